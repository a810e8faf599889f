/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The properties of bootconf.txt and their values (systems notes d.7). The names are those that the bootloaders of 2020 to
 * 2026 look up.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/text.h"
#include "pi/bootconf.h"

struct property;
/* Words on what is wrong with a value, in out; false: nothing is. */
typedef bool (*wrong_fn)(const struct property *p, const char *value, char *out, size_t size);

struct property {
	const char *name;
	wrong_fn wrong;
	int64_t min, max;
	enum br_soc soc; /* the only one that knows it; UNKNOWN: both */
	bool or_zero;	 /* 0 too, though min is above it */
};

#define WORDS(...) (snprintf(out, size, __VA_ARGS__), true)

static bool number_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	int64_t n;

	if (br_bootconf_number(value, strlen(value), &n) < 0)
		return WORDS("must be a number (decimal, or hexadecimal with 0x)");
	if (n == 0 && p->or_zero)
		return false;
	if (n < p->min || n > p->max)
		return WORDS("must be %s%" PRId64 " to %" PRId64, p->or_zero ? "0, or " : "", p->min, p->max);
	return false;
}

static bool flag_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	if (!strcmp(value, "0") || !strcmp(value, "1"))
		return false;
	return WORDS("must be 0 or 1");
}

static bool text_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	size_t n = strlen(value);

	for (size_t i = 0; i < n; i++) {
		if (value[i] < ' ' || value[i] > '~')
			return WORDS("must be printable ASCII");
	}
	if ((int64_t)n < p->min || (int64_t)n > p->max)
		return WORDS("must have %" PRId64 " to %" PRId64 " characters, not %zu", p->min, p->max, n);
	return false;
}

/* Nibbles from right to left, each a boot mode. */
static bool order_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	int64_t n;

	if (br_bootconf_number(value, strlen(value), &n) < 0 || n < 0 || n > UINT32_MAX)
		return WORDS("must be a number of up to eight hexadecimal digits, as 0xf21");
	if (n == 0)
		return WORDS("names no boot mode at all");
	for (uint32_t left = (uint32_t)n; left; left >>= 4) {
		if ((left & 15) > 7 && (left & 15) < 14)
			return WORDS("has the digit %x, which is no boot mode (0-7, e and f are: 1 SD, 2 network, 3 rpiboot, "
				"4 USB, 5 USB-C, 6 NVMe, 7 HTTP, e stop, f restart)", left & 15);
	}
	return false;
}

static bool ip_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	uint32_t ip;

	if (!value[0])
		return false;
	return br_ip_parse(value, &ip) < 0 ? WORDS("must be an IPv4 address") : false;
}

static bool mac_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	static const char form[] = "hh:hh:hh:hh:hh:hh";
	bool zero = true;
	struct br_mac mac;

	if (!value[0])
		return false;
	for (size_t i = 0; i < sizeof(form); i++) {
		if (form[i] == 'h' ? !value[i] || !strchr("0123456789abcdefABCDEF", value[i]) : form[i] != value[i])
			return WORDS("must be an address as dc:a6:32:01:02:03");
	}
	if (br_mac_parse(value, &mac) < 0)
		return WORDS("must be an address as dc:a6:32:01:02:03");
	for (size_t i = 0; i < 6; i++)
		zero &= mac.b[i] == 0;
	if (zero || (mac.b[0] & 1))
		return WORDS("is %s, which is no board's own address", zero ? "all zeros" : "a group address");
	return false;
}

/* Two rows of customer OTP: "0,1". */
static bool otp_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	unsigned a, b;
	char rest;

	if (strlen(value) == 3 && sscanf(value, "%1u,%1u%c", &a, &b, &rest) == 2 && a < 8 && b < 8 && a != b)
		return false;
	return WORDS("must be two different rows of customer OTP, 0 to 7, as 0,1");
}

static bool hash_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	uint8_t bytes[32];

	return value[0] && br_unhex(bytes, 32, value) < 0 ? WORDS("must be 64 hexadecimal digits (SHA-256 of the DER file)") : false;
}

static bool host_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	if (strstr(value, "://"))
		return WORDS("must be a name or an address alone, without 'http://'");
	if (strchr(value, '/') || strchr(value, ':'))
		return WORDS("must be a name or an address alone; port and path are HTTP_PORT and HTTP_PATH");
	for (const char *c = value; *c; c++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-", *c))
			return WORDS("must be a name or an address");
	}
	return text_wrong(p, value, out, size);
}

/* A part of NETCONSOLE up to a separator. Moves *p behind it; false: the separator is missing. */
static bool netconsole_part(const char **p, char separator, char part[static 33])
{
	const char *end = separator ? strchr(*p, separator) : *p + strlen(*p);
	size_t n = end ? (size_t)(end - *p) : 0;

	if (!end || n > 32)
		return false;
	memcpy(part, *p, n);
	part[n] = '\0';
	*p = end + (separator ? 1 : 0);
	return true;
}

/* sport@sip/dev,dport@dip/dmac: parts may be empty, separators may not be missing */
static bool netconsole_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	static const struct {
		const char *what;
		char separator, kind;
	} parts[] = { { "port", '@', 'p' }, { "source address", '/', 'i' }, { "device", ',', 'd' }, { "target port", '@', 'p' },
		{ "target address", '/', 'i' }, { "target MAC", 0, 'm' } };
	const char *at = value;
	char part[33], words[100];

	if (!value[0])
		return false;
	if (strlen(value) > 32)
		return WORDS("has %zu characters; the bootloader reads 32", strlen(value));
	for (size_t i = 0; i < BR_ARRAY_SIZE(parts); i++) {
		uint64_t port;
		uint32_t ip;
		bool bad;

		if (!netconsole_part(&at, parts[i].separator, part))
			return WORDS("must be PORT@ADDRESS/DEVICE,PORT@ADDRESS/MAC: parts may be empty, but '%c' behind the %s is missing",
				parts[i].separator, parts[i].what);
		if (!part[0] || parts[i].kind == 'd')
			continue;
		bad = parts[i].kind == 'p' ? br_parse_u64(part, 1, 65535, &port) < 0 :
			parts[i].kind == 'i' ? br_ip_parse(part, &ip) < 0 : mac_wrong(p, part, words, sizeof(words));
		if (bad)
			return WORDS("has a %s that is none", parts[i].what);
	}
	return false;
}

/* VIDPID,VIDPID... up to four of eight digits */
static bool vidpid_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	const char *at = value;
	unsigned n = 0;

	while (*at && n++ < 4) {
		uint8_t id[4];
		char one[9];
		size_t len = strcspn(at, ",");

		if (len != 8)
			break;
		memcpy(one, at, 8);
		one[8] = '\0';
		if (br_unhex(id, 4, one) < 0)
			break;
		at += 8 + (at[8] == ',');
	}
	return *at ? WORDS("must be up to four times eight hexadecimal digits (vendor and product), with commas between") : false;
}

static bool any_wrong(const struct property *p, const char *value, char *out, size_t size)
{
	return false;
}

#define FLAG(name) { name, flag_wrong, 0, 0, BR_SOC_UNKNOWN, false }
#define NUMBER(name, min, max) { name, number_wrong, min, max, BR_SOC_UNKNOWN, false }
#define TEXT(name, min, max) { name, text_wrong, min, max, BR_SOC_UNKNOWN, false }
#define OTHER(name, fn) { name, fn, 0, 0, BR_SOC_UNKNOWN, false }

static const struct property properties[] = {
	NUMBER("BOOTVAR0", 0, UINT32_MAX),
	FLAG("BOOT_MENU_ENABLED"),
	OTHER("BOOT_MENU_OPTIONS", any_wrong),
	OTHER("BOOT_ORDER", order_wrong),
	FLAG("BOOT_UART"),
	NUMBER("BOOT_WATCHDOG_PARTITION", 0, 255),
	NUMBER("BOOT_WATCHDOG_TIMEOUT", 0, 86400),
	OTHER("CLIENT_IP", ip_wrong),
	NUMBER("DHCP_OPTION97", 0, UINT32_MAX),
	NUMBER("DHCP_REQ_TIMEOUT", 500, INT32_MAX),
	NUMBER("DHCP_TIMEOUT", 5000, INT32_MAX),
	FLAG("DISABLE_HDMI"),
	OTHER("DNS_IP", ip_wrong),
	FLAG("ENABLE_SELF_UPDATE"),
	FLAG("FREEZE_VERSION"),
	OTHER("GATEWAY", ip_wrong),
	NUMBER("HDMI_DELAY", 0, 3600),
	OTHER("HTTP_CACERT_HASH", hash_wrong),
	{ "HTTP_HOST", host_wrong, 0, 253, BR_SOC_UNKNOWN, false },
	TEXT("HTTP_PATH", 0, 255),
	NUMBER("HTTP_PORT", 1, 65535),
	TEXT("IMAGER_REPO_URL", 0, 1024),
	OTHER("MAC_ADDRESS", mac_wrong),
	OTHER("MAC_ADDRESS_OTP", otp_wrong),
	OTHER("MALLOC_LEVEL", any_wrong),
	NUMBER("MAX_RESTARTS", -1, INT32_MAX),
	OTHER("NETCONSOLE", netconsole_wrong),
	NUMBER("NET_BOOT_MAX_RETRIES", -1, INT32_MAX),
	FLAG("NET_INSTALL_AT_POWER_ON"),
	FLAG("NET_INSTALL_ENABLED"),
	NUMBER("NET_INSTALL_KEYBOARD_WAIT", 0, INT32_MAX),
	NUMBER("PARTITION", 0, 255),
	FLAG("PARTITION_WALK"),
	{ "PCIE_PROBE", flag_wrong, 0, 0, BR_SOC_BCM2712, false },
	FLAG("POWER_OFF_ON_HALT"),
	NUMBER("PSU_MAX_CURRENT", 0, 20000),
	TEXT("PXE_OPTION43", 1, 64),
	FLAG("REBOOT_ON_FATAL_ERROR"),
	NUMBER("SD_BOOT_MAX_RETRIES", -1, INT32_MAX),
	FLAG("SD_OVERCURRENT_CHECK"),
	NUMBER("SD_QUIRKS", 0, UINT32_MAX),
	FLAG("SIGNED_BOOT"),
	OTHER("SUBNET", ip_wrong),
	NUMBER("TFTP_FILE_TIMEOUT", 5000, INT32_MAX),
	OTHER("TFTP_IP", ip_wrong),
	NUMBER("TFTP_PREFIX", 0, 2),
	TEXT("TFTP_PREFIX_STR", 0, 32),
	{ "UART_BAUD", number_wrong, 300, 4000000, BR_SOC_BCM2712, false },
	NUMBER("USB_DEV_BOOT_MAX_RETRIES", -1, INT32_MAX),
	NUMBER("USB_DEV_FILE_TIMEOUT", 0, INT32_MAX),
	NUMBER("USB_MSD_BOOT_MAX_RETRIES", -1, INT32_MAX),
	{ "USB_MSD_DISCOVER_TIMEOUT", number_wrong, 5000, INT32_MAX, BR_SOC_UNKNOWN, false },
	OTHER("USB_MSD_EXCLUDE_VID_PID", vidpid_wrong),
	{ "USB_MSD_LUN_TIMEOUT", number_wrong, 100, INT32_MAX, BR_SOC_UNKNOWN, false },
	{ "USB_MSD_PWR_OFF_TIME", number_wrong, 250, 5000, BR_SOC_UNKNOWN, true },
	NUMBER("USB_MSD_STARTUP_DELAY", 0, 30000),
	FLAG("USE_IPV6"),
	OTHER("VC_LOGLEVEL", any_wrong),
	FLAG("VL805"),
	NUMBER("WAKE_ON_GPIO", 0, 2),
	NUMBER("XHCI_DEBUG", 0, UINT32_MAX),
};

static const struct property *find_property(const char *name, const char **ret_near)
{
	const char *names[BR_ARRAY_SIZE(properties)];

	for (size_t i = 0; i < BR_ARRAY_SIZE(properties); i++) {
		names[i] = properties[i].name;
		if (!strcmp(properties[i].name, name))
			return &properties[i];
		if (!strcasecmp(properties[i].name, name)) {
			*ret_near = properties[i].name;
			return NULL;
		}
	}
	*ret_near = br_nearest(name, names, BR_ARRAY_SIZE(names));
	return NULL;
}

int br_bootconf_check_value(const char *key, const char *value, const struct br_bootconf_board *board, struct br_error *err)
{
	const char *near = NULL;
	const struct property *p = find_property(key, &near);
	char words[300], vis[100];

	br_vis(vis, sizeof(vis), key, strlen(key));
	if (!p)
		return br_error_set(err, ENOENT, "no bootloader known here has a property %s%s%s%s", vis, near ? "; did you mean " : "",
			near ? near : "", near ? "?" : "");
	if (p->soc && board->soc && p->soc != board->soc)
		return br_error_set(err, ENOENT, "%s means something on %s only", p->name, br_soc_name(p->soc));
	if (p->wrong(p, value, words, sizeof(words))) {
		br_vis(vis, sizeof(vis), value, strlen(value));
		return br_error_set(err, EINVAL, "%s=%s: %s", p->name, vis, words);
	}
	return 0;
}

/* What may stand in brackets beside expressions; models last. */
static const char *const filters[] = { "all", "none", "tryboot", BR_BOOTCONF_TAIL, "pi0", "pi0w", "pi02", "pi1", "pi2", "pi3", "pi3+",
	"pi4", "pi400", "cm1", "cm3", "cm3+", "cm4", "cm4s", "cm0", "pi5", "pi500", "pi500+", "cm5" };
static const char *const expressions[] = { "0x", "board-type=", "gpio", "edid=", "partition", "boot_partition", "boot_count",
	"boot_arg1", "bootvar0", "bootarg" };

static void check_section(const struct br_bootconf_line *line, struct br_findings *f)
{
	char name[BR_BOOTCONF_NAME_MAX + 1], vis[100];
	const char *near;

	br_vis(vis, sizeof(vis), line->name, line->name_len);
	if (line->name_len <= BR_BOOTCONF_NAME_MAX) {
		memcpy(name, line->name, line->name_len);
		name[line->name_len] = '\0';
		for (size_t i = 0; i < BR_ARRAY_SIZE(filters); i++) {
			if (!strcasecmp(filters[i], name))
				return;
		}
		for (size_t i = 0; i < BR_ARRAY_SIZE(expressions); i++) {
			if (!strncasecmp(expressions[i], name, strlen(expressions[i])))
				return;
		}
		near = br_nearest(name, filters, BR_ARRAY_SIZE(filters));
		if (near) {
			br_findings_add(f, BR_FINDING_WARNING, line->number, NULL, NULL,
				"no board knows a section [%s], so it reads nothing of it; did you mean [%s]?", vis, near);
			return;
		}
	}
	br_findings_add(f, BR_FINDING_WARNING, line->number, NULL, "use a model ([pi4], [cm4], [pi5], [cm5] ...) or [all]",
		"no board knows a section [%s], so it reads nothing of it", vis);
}

static void check_property(const struct br_bootconf_line *line, const struct br_bootconf_board *board, struct br_findings *f)
{
	struct br_error err = BR_ERROR_NULL;
	char key[BR_BOOTCONF_NAME_MAX + 1], value[2048], vis[100];
	int r;

	if (line->name_len > BR_BOOTCONF_NAME_MAX || line->value_len >= sizeof(value) || memchr(line->name, 0, line->name_len) ||
		memchr(line->value, 0, line->value_len)) {
		br_findings_add(f, BR_FINDING_WARNING, line->number, NULL, "remove it", "%s... is too long, or has zeros in it",
			br_vis(vis, 40, line->name, line->name_len));
		return;
	}
	memcpy(key, line->name, line->name_len);
	key[line->name_len] = '\0';
	memcpy(value, line->value, line->value_len);
	value[line->value_len] = '\0';
	r = br_bootconf_check_value(key, value, board, &err);
	br_vis(vis, sizeof(vis), key, strlen(key));
	if (r < 0)
		br_findings_add(f, r == -ENOENT ? BR_FINDING_WARNING : BR_FINDING_ERROR, line->number, vis, NULL, "%s", err.text);
	/* measured nowhere: whether each bootloader skips blanks; certain is the form without */
	if (line->name + line->name_len != line->value - 1 || line->name != line->start)
		br_findings_add(f, BR_FINDING_WARNING, line->number, vis, "write KEY=VALUE without blanks",
			"%s: blanks in front of the name or around '=' may become part of them", vis);
}

/* An earlier line of the same section with the same name: the later one counts. */
static void check_twice(const char *text, const struct br_bootconf_line *line, struct br_findings *f)
{
	struct br_bootconf_reader reader;
	struct br_bootconf_line before;
	char vis[100];

	br_bootconf_start(&reader, text, (size_t)(line->start - text));
	while (br_bootconf_next(&reader, &before)) {
		if (before.kind != BR_BOOTCONF_PROPERTY || before.name_len != line->name_len ||
			memcmp(before.name, line->name, line->name_len) != 0 || before.section_len != line->section_len ||
			(line->section_len && strncasecmp(before.section, line->section, line->section_len) != 0))
			continue;
		br_vis(vis, sizeof(vis), line->name, line->name_len);
		br_findings_add(f, BR_FINDING_WARNING, line->number, vis, "remove one of the lines",
			"%s is set in line %u already; this line is the one that counts", vis, before.number);
		return;
	}
}

void br_bootconf_check_lines(const char *text, size_t len, const struct br_bootconf_board *board, struct br_findings *f)
{
	struct br_bootconf_reader reader;
	struct br_bootconf_line line;
	char vis[100];

	br_bootconf_start(&reader, text, len);
	while (br_bootconf_next(&reader, &line)) {
		if (line.tail && line.kind != BR_BOOTCONF_SECTION)
			continue; /* config.txt has its own rules */
		if (line.kind == BR_BOOTCONF_SECTION) {
			check_section(&line, f);
		} else if (line.kind == BR_BOOTCONF_PROPERTY) {
			check_property(&line, board, f);
			check_twice(text, &line, f);
		} else if (line.kind == BR_BOOTCONF_JUNK) {
			br_findings_add(f, BR_FINDING_WARNING, line.number, NULL, "remove it, or put '#' in front",
				"'%s' is no KEY=VALUE, no [section] and no comment", br_vis(vis, 60, line.start, line.len));
		}
	}
}
