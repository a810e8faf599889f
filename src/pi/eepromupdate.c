/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing an EEPROM image into a board: which files, and when not. */
#include "pi/eepromupdate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/text.h"
#include "pi/bootconf.h"
#include "pi/countersign.h"
#include "pi/eepromcheck.h"
#include "pi/sigfile.h"

/* config.txt of recovery.bin. */
static const struct {
	const char *name;
	int64_t min, max;
	bool fuses;
	enum br_soc soc; /* UNKNOWN: both */
} recovery_options[] = {
	{ "eeprom_write_protect", -1, 1, false, BR_SOC_UNKNOWN },
	{ "erase_eeprom", 0, 1, false, BR_SOC_UNKNOWN },
	{ "program_jtag_lock", 0, 1, true, BR_SOC_UNKNOWN },
	{ "program_pubkey", 0, 1, true, BR_SOC_UNKNOWN },
	{ "program_rpiboot_gpio", 2, 8, true, BR_SOC_BCM2711 },
	{ "recovery_metadata", 0, 1, false, BR_SOC_UNKNOWN },
	{ "recovery_reboot", 0, 1, false, BR_SOC_UNKNOWN },
	{ "recovery_wait", 0, 1, false, BR_SOC_UNKNOWN },
	{ "revoke_devkey", 0, 1, true, BR_SOC_UNKNOWN },
	{ "set_reboot_order", 0, UINT32_MAX, false, BR_SOC_BCM2712 },
	{ "set_reboot_arg1", 0, UINT32_MAX, false, BR_SOC_BCM2712 },
	{ "uart_2ndstage", 0, 1, false, BR_SOC_UNKNOWN },
};

int br_eeprom_recovery_option(enum br_soc soc, const char *line, struct br_error *err)
{
	const char *names[BR_ARRAY_SIZE(recovery_options)], *near;
	const char *equals = strchr(line, '=');
	char name[40], vis[80];
	int64_t n;

	br_vis(vis, sizeof(vis), line, strlen(line));
	if (!equals || (size_t)(equals - line) >= sizeof(name))
		return br_error_set(err, EINVAL, "'%s' is no KEY=VALUE", vis);
	memcpy(name, line, (size_t)(equals - line));
	name[equals - line] = '\0';
	for (size_t i = 0; i < BR_ARRAY_SIZE(recovery_options); i++) {
		names[i] = recovery_options[i].name;
		if (strcmp(names[i], name) != 0)
			continue;
		if (recovery_options[i].fuses)
			return br_error_set(err, EPERM, "%s burns fuses, which is for ever: that is 'bramble sign fuse's, with its confirmation", names[i]);
		if (soc && recovery_options[i].soc && recovery_options[i].soc != soc)
			return br_error_set(err, EINVAL, "%s is for %s only", names[i], br_soc_name(recovery_options[i].soc));
		if (br_bootconf_number(equals + 1, strlen(equals + 1), &n) < 0 || n < recovery_options[i].min || n > recovery_options[i].max)
			return br_error_set(err, EINVAL, "%s: must be %" PRId64 " to %" PRId64, vis, recovery_options[i].min, recovery_options[i].max);
		return 0;
	}
	near = br_nearest(name, names, BR_ARRAY_SIZE(names));
	return br_error_set(err, EINVAL, "recovery.bin has no option '%s'%s%s%s", vis, near ? "; did you mean " : "", near ? near : "",
		near ? "?" : "");
}

static bool is_one(const char *text, size_t len, const char *key, const char *value)
{
	size_t n = 0;
	const char *p = text ? br_bootconf_get(text, len, NULL, key, &n) : NULL;

	return p && n == strlen(value) && !memcmp(p, value, n);
}

/* A self-update is taken only where the configuration in the board allows it. */
static void check_futile(const struct br_eeprom_update *u, struct br_findings *f)
{
	size_t len = u->current_len;
	const char *text = u->current ? u->current : (const char *)br_eeprom_get(u->image, BR_EEPROM_CONFIG, &len);
	const char *whose = u->current ? "the board's configuration has" : "the image has (and so the board, if it was made with the same configuration)";

	if (u->road != BR_EEPROM_SELF_UPDATE)
		return;
	if (is_one(text, len, "FREEZE_VERSION", "1"))
		br_findings_add(f, BR_FINDING_ERROR, 0, "FREEZE_VERSION", "use --as rescue or --as rpiboot", "%s FREEZE_VERSION=1: the update would not be taken", whose);
	if (is_one(text, len, "ENABLE_SELF_UPDATE", "0"))
		br_findings_add(f, BR_FINDING_ERROR, 0, "ENABLE_SELF_UPDATE", "use --as rescue or --as rpiboot", "%s ENABLE_SELF_UPDATE=0: the update would not be taken", whose);
}

static void check_age(const struct br_eeprom_update *u, struct br_findings *f)
{
	struct br_eeprom_build build;
	char built[BR_EEPROM_DATE], least[BR_EEPROM_DATE];

	br_eeprom_build(u->image, &build);
	if (!build.time) {
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use a stock image", "the image does not say when it was built, so it may be too old for the board");
		return;
	}
	if (build.time >= u->floor)
		return;
	br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use a newer image; --min-date sets another limit",
		"the image was built %s, before %s: boards made later may never start again with it, and nothing on a board tells which",
		br_eeprom_date(build.time, built), br_eeprom_date(u->floor, least));
}

/* recovery.bin of BCM2712 is checked by the ROM as the first stage is. */
static void check_recovery(const struct br_eeprom_update *u, struct br_findings *f)
{
	struct br_signblocks blocks;
	struct br_error err = BR_ERROR_NULL;

	if (u->image->soc != BR_SOC_BCM2712 || !u->recovery)
		return;
	if (br_signblocks_read(u->recovery, u->recovery_len, &blocks, &err) < 0)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use a fresh recovery.bin", "recovery.bin: %s", err.text);
	else if (!blocks.has_vendor)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use the recovery.bin of BCM2712", "recovery.bin has no signature of Raspberry Pi's: the ROM would not run it");
	else if (blocks.has_customer && !u->fused)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use the stock recovery.bin, or say --fused", "recovery.bin is counter-signed: a board that is not fused refuses it");
	else if (!blocks.has_customer && u->fused)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign it: bramble sign recovery", "recovery.bin is not counter-signed: a fused board refuses it");
}

void br_eeprom_update_check(const struct br_eeprom_update *u, struct br_findings *f)
{
	struct br_findings all = { 0 };
	bool countersigned = br_eeprom_countersigned(u->image);

	br_eeprom_check(u->image, false, &all);
	for (size_t i = 0; i < all.n; i++) {
		if (all.list[i].severity == BR_FINDING_ERROR)
			br_findings_add(f, BR_FINDING_ERROR, all.list[i].line, all.list[i].key, all.list[i].cure, "%s", all.list[i].text);
	}
	f->failed |= all.failed;
	br_findings_done(&all);
	check_age(u, f);
	if (u->board && u->board != u->image->soc)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "take the image of the board's chip", "the image is for %s, the board has a %s: it would not start again",
			br_soc_name(u->image->soc), br_soc_name(u->board));
	if (countersigned && !u->fused)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "say --fused when the board has the key's hash in its OTP",
			"the image is counter-signed, and the board is not known as fused: there it would not start again");
	if (!countersigned && u->fused && u->image->soc == BR_SOC_BCM2712)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign it: bramble sign eeprom", "the image is not counter-signed: a fused board would not start again");
	check_recovery(u, f);
	check_futile(u, f);
}

static int own_file(struct br_eeprom_update_file *file, const char *name, struct br_text *text, struct br_error *err)
{
	size_t len = text->len;
	char *data = br_text_take(text);

	if (!data)
		return br_error_set(err, ENOMEM, "out of memory");
	*file = (struct br_eeprom_update_file){ .name = name, .data = data, .len = len, .owned = data };
	return 0;
}

int br_eeprom_update_files(const struct br_eeprom_update *u, uint64_t ts, struct br_eeprom_update_file ret[static BR_EEPROM_FILES],
	struct br_error *err)
{
	static const char *const stage[] = { "bootcode4.bin", "bootcode5.bin" };
	struct br_text text = BR_TEXT_NULL;
	struct br_sigfile sig;
	int n = 0, r = 0;

	if (u->road == BR_EEPROM_RPIBOOT) {
		br_text_add(&text, "# made by 'bramble eeprom update'\n");
		br_text_add(&text, u->options);
		r = own_file(&ret[n], "config.txt", &text, err);
		if (r < 0)
			return r;
		n++;
	}
	if (u->road != BR_EEPROM_SELF_UPDATE)
		ret[n++] = (struct br_eeprom_update_file){ .data = u->recovery, .len = u->recovery_len,
			.name = u->road == BR_EEPROM_RESCUE ? "recovery.bin" : stage[u->image->soc == BR_SOC_BCM2712] };
	ret[n++] = (struct br_eeprom_update_file){ .data = u->image->data, .len = u->image->len,
		.name = u->road == BR_EEPROM_SELF_UPDATE ? "pieeprom.upd" : "pieeprom.bin" };
	br_sigfile_of(u->image->data, u->image->len, ts, &sig);
	br_sigfile_write(&sig, &text);
	r = own_file(&ret[n], "pieeprom.sig", &text, err);
	if (r < 0) {
		br_eeprom_update_files_done(ret, n);
		return r;
	}
	return n + 1;
}

void br_eeprom_update_files_done(struct br_eeprom_update_file *files, int n)
{
	for (int i = 0; i < n; i++)
		free(files[i].owned);
}
