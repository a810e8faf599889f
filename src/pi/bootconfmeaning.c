/* SPDX-License-Identifier: Apache-2.0 */
/* What the properties of bootconf.txt mean together: above all, what would leave a board dark (systems notes d.7, d.8). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "pi/bootconf.h"
#include "pi/eeprom.h"

/* Boot modes, the digits of BOOT_ORDER. */
enum mode {
	MODE_NETWORK = 2,
	MODE_RPIBOOT = 3,
	MODE_HTTP = 7,
	MODE_STOP = 14,
	MODE_RESTART = 15,
};

/* Releases that changed something: seconds since 1970 of the days' beginnings. */
#define TFTP_1468_SINCE 1665619200u   /* 2022-10-13: blocks of 1468 instead of 1024 bytes */
#define HTTPS_FUSED_SINCE 1746662400u /* 2025-05-08 */
#define TFTP_ROLLOVER_SINCE 1758585600u /* 2025-09-23: more than 65535 blocks */
#define MODES_MAX 8
#define CONTEXTS_MAX 16

/* The configuration of one kind of board: what all read, and what one section adds. */
struct conf {
	const char *text;
	size_t len;
	const char *section; /* terminated; "" for all */
	const struct br_bootconf_board *board;
	struct br_findings *f;
	unsigned modes[MODES_MAX];
	size_t n_modes;
	bool network, http; /* among the modes that are ever tried */
};

static bool value_of(const struct conf *c, const char *key, char out[static 256])
{
	size_t len = 0;
	const char *p = br_bootconf_effective(c->text, c->len, c->section, key, &len);

	if (!p || !len || len > 255 || memchr(p, 0, len))
		return false;
	memcpy(out, p, len);
	out[len] = '\0';
	return true;
}

static int64_t number_of(const struct conf *c, const char *key, int64_t otherwise)
{
	char value[256];
	int64_t n;

	return value_of(c, key, value) && br_bootconf_number(value, strlen(value), &n) == 0 ? n : otherwise;
}

static bool is_set(const struct conf *c, const char *key)
{
	char value[256];

	return value_of(c, key, value);
}

static bool has_mode(const struct conf *c, unsigned mode, size_t *ret_at)
{
	for (size_t i = 0; i < c->n_modes; i++) {
		if (c->modes[i] != mode)
			continue;
		*ret_at = i;
		return true;
	}
	return false;
}

static const char *mode_name(unsigned mode)
{
	static const char *const names[] = { "SD (detect)", "SD", "network", "rpiboot", "USB", "USB-C", "NVMe", "HTTP" };

	return mode < BR_ARRAY_SIZE(names) ? names[mode] : mode == MODE_STOP ? "stop" : "restart";
}

/* After stop, restart and rpiboot nothing else is tried. */
static void check_reach(struct conf *c, int64_t order)
{
	size_t end = c->n_modes;

	for (size_t i = 0; i < c->n_modes && end == c->n_modes; i++) {
		if (c->modes[i] == MODE_RPIBOOT || c->modes[i] == MODE_STOP || c->modes[i] == MODE_RESTART)
			end = i;
	}
	if (end == c->n_modes) {
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "BOOT_ORDER", "put f (restart) in front, as 0xf21",
			"BOOT_ORDER=0x%" PRIx64 " ends with %s and has no restart (f): a board whose server was off for a moment stays dark "
			"until somebody takes its power away",
			order, mode_name(c->modes[end - 1]));
		return;
	}
	for (size_t i = end + 1; i < c->n_modes; i++) {
		if (c->modes[end] == MODE_RPIBOOT && c->modes[i] == MODE_RESTART && i + 1 == c->n_modes)
			continue; /* factory settings have it so */
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "BOOT_ORDER",
			c->modes[end] == MODE_RPIBOOT ? "put 3 (rpiboot) last, the leftmost digit but f" : "put e and f last, the leftmost digit",
			"BOOT_ORDER=0x%" PRIx64 ": %s is never tried, for %s in front of it never ends%s", order, mode_name(c->modes[i]),
			mode_name(c->modes[end]), c->modes[end] == MODE_RPIBOOT ? " (it has no timeout)" : "");
	}
	c->n_modes = end + 1;
}

static void check_retries(struct conf *c, const char *key, unsigned mode)
{
	size_t at = 0;

	if (number_of(c, key, 0) >= 0 || !has_mode(c, mode, &at) || at + 1 >= c->n_modes || c->modes[at + 1] == MODE_RESTART)
		return;
	br_findings_add(c->f, BR_FINDING_WARNING, 0, key, "set it to a small number",
		"%s=-1 tries %s for ever: %s behind it in BOOT_ORDER is never tried", key, mode_name(mode), mode_name(c->modes[at + 1]));
}

/* Whether the board ever asks the network. Fills in the modes. */
static void check_order(struct conf *c)
{
	int64_t standard = c->board->soc == BR_SOC_BCM2712 ? 0xf461 : 0xf41;
	int64_t order = number_of(c, "BOOT_ORDER", standard);
	size_t at;

	if (order <= 0 || order > UINT32_MAX)
		return; /* said of its line */
	for (uint32_t left = (uint32_t)order; left; left >>= 4)
		c->modes[c->n_modes++] = left & 15;
	check_reach(c, order);
	c->network = has_mode(c, MODE_NETWORK, &at);
	c->http = has_mode(c, MODE_HTTP, &at);
	if (c->board->network && !c->network && !(c->http && is_set(c, "HTTP_HOST")))
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "BOOT_ORDER", "add the digit 2, as BOOT_ORDER=0xf21 (SD, network, again)",
			"BOOT_ORDER=0x%" PRIx64 "%s has no network (2): the board never asks bramble, and stays dark without a system of its own",
			order, is_set(c, "BOOT_ORDER") ? "" : " (the default)");
	if (has_mode(c, 0, &at))
		br_findings_add(c->f, BR_FINDING_NOTE, 0, "BOOT_ORDER", "use 1 instead",
			"BOOT_ORDER=0x%" PRIx64 ": the digit 0 (wait for a card) is one of old bootloaders", order);
	if (number_of(c, "MAX_RESTARTS", -1) >= 0 && has_mode(c, MODE_RESTART, &at))
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "MAX_RESTARTS", "leave it out, or set -1",
			"MAX_RESTARTS=%" PRId64 ": after so many rounds without a server the board gives up, and stays dark until its power is cut",
			number_of(c, "MAX_RESTARTS", -1));
	check_retries(c, "NET_BOOT_MAX_RETRIES", MODE_NETWORK);
	check_retries(c, "SD_BOOT_MAX_RETRIES", 1);
}

/* CLIENT_IP, SUBNET, GATEWAY and TFTP_IP: all of them, and DHCP is not used at all. */
static void check_static(struct conf *c)
{
	static const char *const keys[] = { "TFTP_IP", "CLIENT_IP", "SUBNET", "GATEWAY" };
	uint32_t ip[BR_ARRAY_SIZE(keys)] = { 0 };
	char value[256], missing[100] = "";
	size_t n = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(keys); i++) {
		if (value_of(c, keys[i], value) && br_ip_parse(value, &ip[i]) == 0)
			n++;
		else
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), "%s%s", missing[0] ? ", " : "", keys[i]);
	}
	if (!n || !c->network)
		return;
	if (n == 1 && ip[0]) {
		br_findings_add(c->f, BR_FINDING_NOTE, 0, "TFTP_IP", NULL,
			"TFTP_IP overrides what DHCP says: the board asks that address for its files, whoever answers it");
		return;
	}
	if (n < BR_ARRAY_SIZE(keys)) {
		br_findings_add(c->f, BR_FINDING_WARNING, 0, missing[0] ? NULL : keys[0], "set all four, or none",
			"a static address is not complete (%s missing): the board still waits for DHCP, and takes only a part of this", missing);
		return;
	}
	if (~ip[2] & (~ip[2] + 1))
		br_findings_add(c->f, BR_FINDING_ERROR, 0, "SUBNET", "use a mask as 255.255.255.0", "SUBNET is no network mask: the board would reach nobody");
	else if ((ip[0] ^ ip[1]) & ip[2] && (ip[3] ^ ip[1]) & ip[2])
		br_findings_add(c->f, BR_FINDING_ERROR, 0, "GATEWAY", "correct GATEWAY or SUBNET",
			"TFTP_IP is in another network than CLIENT_IP, and GATEWAY is not in CLIENT_IP's: the board cannot reach its server");
	br_findings_add(c->f, BR_FINDING_WARNING, 0, "CLIENT_IP", "leave them out, and give the address by 'bramble board edit'",
		"the board has a static address and does not use DHCP: bramble knows it by its TFTP requests only, and every board with this image "
		"has the same address");
}

static void check_tftp(struct conf *c)
{
	int64_t prefix = number_of(c, "TFTP_PREFIX", 0);
	char value[256];
	bool has = value_of(c, "TFTP_PREFIX_STR", value);

	if (!c->network)
		return;
	if (prefix == 1 && !has)
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "TFTP_PREFIX", "set TFTP_PREFIX_STR, or TFTP_PREFIX=0",
			"TFTP_PREFIX=1 takes TFTP_PREFIX_STR, which is empty: the board asks without a directory of its own");
	if (has && prefix != 1)
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "TFTP_PREFIX_STR", "set TFTP_PREFIX=1",
			"TFTP_PREFIX_STR is used with TFTP_PREFIX=1 only: the board asks by its %s", prefix == 2 ? "MAC address" : "serial number");
	if (has && prefix == 1 && value[strlen(value) - 1] != '/')
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "TFTP_PREFIX_STR", "end it with '/'",
			"TFTP_PREFIX_STR is put in front of file names as it is: without '/' at its end they become '%.40sconfig.txt'", value);
	if (c->board->build_time && c->board->build_time < TFTP_ROLLOVER_SINCE) {
		unsigned mb = c->board->build_time < TFTP_1468_SINCE ? 67 : 96;

		br_findings_add(c->f, number_of(c, "SIGNED_BOOT", 0) == 1 ? BR_FINDING_WARNING : BR_FINDING_NOTE, 0, NULL,
			"use an image of 2025-09-23 or later, or keep files below that",
			"a bootloader of this age counts 65535 blocks: no file above %u MB comes over TFTP%s", mb,
			number_of(c, "SIGNED_BOOT", 0) == 1 ? ", and with SIGNED_BOOT all is in one boot.img" : "");
	}
}

static void check_http(struct conf *c)
{
	bool host = is_set(c, "HTTP_HOST"), ca = is_set(c, "HTTP_CACERT_HASH"), is_signed = number_of(c, "SIGNED_BOOT", 0) == 1;

	if (ca && !host)
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "HTTP_CACERT_HASH", "set HTTP_HOST",
			"HTTP_CACERT_HASH without HTTP_HOST: the certificate is for your own host, which is not named");
	if (ca && is_signed && c->board->build_time && c->board->build_time < HTTPS_FUSED_SINCE)
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "HTTP_CACERT_HASH", "use an image of 2025-05-08 or later",
			"bootloaders before 2025-05-08 refuse HTTPS on boards with a fused key");
	if (is_signed && c->http && !host)
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "HTTP_HOST", "set HTTP_HOST, or take 7 out of BOOT_ORDER",
			"with secure boot the mode HTTP (7) is passed over unless HTTP_HOST is set");
	if (!host)
		return;
	if (!c->http)
		br_findings_add(c->f, BR_FINDING_NOTE, 0, "HTTP_HOST", "add the digit 7 to BOOT_ORDER to boot by HTTP",
			"HTTP_HOST is set, but BOOT_ORDER has no HTTP (7): it counts for the network installer only");
	if (!ca)
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "HTTP_HOST", "put your CA's certificate in (--cacert) and its hash into HTTP_CACERT_HASH, "
			"or keep to a network that you trust",
			"HTTP_HOST alone turns HTTPS off: what the board loads comes over plain HTTP, protected by boot.sig only");
	if (c->board->soc == BR_SOC_BCM2712 && c->http && !is_set(c, "GATEWAY"))
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "HTTP_HOST", "let DHCP name a router ('bramble serve --router'), or set GATEWAY",
			"a Pi 5 boots by HTTP only when DHCP names a router, even for a host in its own network");
}

static void check_identity(struct conf *c)
{
	if (is_set(c, "MAC_ADDRESS"))
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "MAC_ADDRESS", "put it below a section for one board, as [0x1234abcd] with its serial",
			"MAC_ADDRESS is in this image: every board that gets it has the same address, and two of them on one network are one to bramble");
	if (number_of(c, "USE_IPV6", 0) == 1 && c->network)
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "USE_IPV6", "set USE_IPV6=0",
			"USE_IPV6=1 asks by DHCPv6, which bramble does not answer%s",
			c->board->soc == BR_SOC_BCM2712 ? "; Pi 5 bootloaders leave neighbour solicitations unanswered, too" : "");
	if (is_set(c, "PXE_OPTION43") && c->network)
		br_findings_add(c->f, BR_FINDING_WARNING, 0, "PXE_OPTION43", "leave it out",
			"PXE_OPTION43 is set: the board takes no offer without this text, and bramble's has 'Raspberry Pi Boot'");
	if (is_set(c, "NETCONSOLE"))
		br_findings_add(c->f, BR_FINDING_NOTE, 0, "NETCONSOLE", NULL,
			"NETCONSOLE waits for the network's link at each boot, also of boards without a cable");
}

static void check_update(struct conf *c)
{
	if (number_of(c, "FREEZE_VERSION", 0) == 1)
		br_findings_add(c->f, BR_FINDING_NOTE, 0, "FREEZE_VERSION", "use recovery.bin or rpiboot, or set FREEZE_VERSION=0",
			"FREEZE_VERSION=1: the board takes no further update from its boot media or the network");
	else if (number_of(c, "ENABLE_SELF_UPDATE", 1) == 0)
		br_findings_add(c->f, BR_FINDING_NOTE, 0, "ENABLE_SELF_UPDATE", "use recovery.bin or rpiboot, or set ENABLE_SELF_UPDATE=1",
			"ENABLE_SELF_UPDATE=0: the board takes no further update from its boot media or the network");
	if (number_of(c, "SIGNED_BOOT", 0) == 1 && c->board->build_time && c->board->build_time < BR_EEPROM_SIGNED_FLOOR)
		br_findings_add(c->f, BR_FINDING_ERROR, 0, "SIGNED_BOOT", "use an image of 2021-09-20 or later",
			"SIGNED_BOOT=1 in an image that is too old for it: it would load anything");
	if (number_of(c, "POWER_OFF_ON_HALT", 0) == 1 && number_of(c, "WAKE_ON_GPIO", 1) != 0)
		br_findings_add(c->f, BR_FINDING_NOTE, 0, "POWER_OFF_ON_HALT", "set WAKE_ON_GPIO=0",
			"POWER_OFF_ON_HALT=1 has its effect with WAKE_ON_GPIO=0 only");
}

static void check_one(const char *text, size_t len, const char *section, const struct br_bootconf_board *board,
	struct br_findings *f)
{
	struct conf c = { .text = text, .len = len, .section = section, .board = board, .f = f };

	check_order(&c);
	check_static(&c);
	check_tftp(&c);
	check_http(&c);
	check_identity(&c);
	check_update(&c);
}

static bool says_already(const struct br_findings *f, const struct br_finding *one)
{
	for (size_t i = 0; i < f->n; i++) {
		if (!strcmp(f->list[i].text, one->text))
			return true;
	}
	return false;
}

/* What holds on boards of one section and not on all. */
static void check_section(const char *text, size_t len, const char *section, const struct br_bootconf_board *board,
	struct br_findings *f)
{
	struct br_findings own = { 0 };
	char vis[100];

	check_one(text, len, section, board, &own);
	br_vis(vis, sizeof(vis), section, strlen(section));
	for (size_t i = 0; i < own.n; i++) {
		const struct br_finding *one = &own.list[i];

		/* in a section it may well be meant for one board */
		if (!says_already(f, one) && !(one->key && !strcmp(one->key, "MAC_ADDRESS")))
			br_findings_add(f, one->severity, 0, one->key, one->cure, "on boards of [%s]: %s", vis, one->text);
	}
	f->failed |= own.failed;
	br_findings_done(&own);
}

void br_bootconf_check_meaning(const char *text, size_t len, const struct br_bootconf_board *board, struct br_findings *f)
{
	char names[CONTEXTS_MAX][BR_BOOTCONF_NAME_MAX + 1];
	struct br_bootconf_reader reader;
	struct br_bootconf_line line;
	size_t n = 0;

	check_one(text, len, "", board, f);
	br_bootconf_start(&reader, text, len);
	while (n < CONTEXTS_MAX && br_bootconf_next(&reader, &line)) {
		bool known = false;

		if (line.kind != BR_BOOTCONF_PROPERTY || line.tail || br_bootconf_in(&line, NULL) || !line.section_len ||
			line.section_len > BR_BOOTCONF_NAME_MAX || memchr(line.section, 0, line.section_len))
			continue;
		memcpy(names[n], line.section, line.section_len);
		names[n][line.section_len] = '\0';
		for (size_t i = 0; i < n; i++)
			known |= !strcasecmp(names[i], names[n]);
		if (!known && br_bootconf_may_hold(names[n], board->soc))
			n++;
	}
	for (size_t i = 0; i < n; i++)
		check_section(text, len, names[i], board, f);
}
