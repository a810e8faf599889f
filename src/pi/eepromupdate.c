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
			return br_error_set(err, EPERM, "%s burns fuses, which is for ever: not here. 'bramble sign fuse' burns a key's hash, and none of the others", names[i]);
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

/* A self-update is taken only where the configuration in the board allows it. */
static void check_futile(const struct br_eeprom_update *u, struct br_findings *f)
{
	size_t len = u->current ? u->current_len : 0;
	const char *text = u->current ? u->current : (const char *)br_eeprom_get(u->image, BR_EEPROM_CONFIG, &len);
	const char *whose = u->current ? "the board's configuration has" : "the image has (and so the board, if it was made with the same configuration)";

	if (u->road != BR_EEPROM_SELF_UPDATE)
		return;
	if (br_bootconf_says(text, len, u->image->soc, "FREEZE_VERSION", 1))
		br_findings_add(f, BR_FINDING_ERROR, 0, "FREEZE_VERSION", "use --as rescue or --as rpiboot", "%s FREEZE_VERSION=1: the update would not be taken", whose);
	if (br_bootconf_says(text, len, u->image->soc, "ENABLE_SELF_UPDATE", 0))
		br_findings_add(f, BR_FINDING_ERROR, 0, "ENABLE_SELF_UPDATE", "use --as rescue or --as rpiboot", "%s ENABLE_SELF_UPDATE=0: the update would not be taken", whose);
}

static void check_age(const struct br_eeprom_update *u, struct br_findings *f)
{
	struct br_eeprom_build build;
	char built[BR_EEPROM_DATE], least[BR_EEPROM_DATE];

	if (u->floor < u->lowered)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "leave --min-date out", "the floor was lowered from %s to %s: it is what keeps dead images away",
			br_eeprom_date(u->lowered, least), br_eeprom_date(u->floor, built));
	br_eeprom_build(u->image, &build);
	if (!build.time) {
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use a stock image", "the image does not say when it was built, so it may be too old for the board");
		return;
	}
	if (build.time >= u->floor)
		return;
	br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use a newer image",
		"the image was built %s, before %s: boards made later may never start again with it, and nothing on a board tells which",
		br_eeprom_date(build.time, built), br_eeprom_date(u->floor, least));
}

/* recovery.bin of BCM2712 is checked by the ROM as the first stage is. */
static void check_recovery_2712(const struct br_eeprom_update *u, struct br_findings *f)
{
	bool counter = u->fused && !u->fusing; /* what the board wants */
	struct br_signblocks blocks;
	struct br_error err = BR_ERROR_NULL;
	struct br_rsapub pub;

	if (br_signblocks_read(u->recovery, u->recovery_len, &blocks, &err) < 0)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use a fresh recovery.bin", "recovery.bin: %s", err.text);
	else if (br_signblocks_vendor_fault(&blocks))
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use a fresh recovery.bin of BCM2712", "recovery.bin %s: the ROM would not run it",
			br_signblocks_vendor_fault(&blocks));
	else if (blocks.has_customer && !counter)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, u->fusing ? "use the stock recovery.bin" : "use the stock recovery.bin, or say --fused",
			"recovery.bin is counter-signed: a board that is not fused refuses it");
	else if (!blocks.has_customer && counter)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign it: bramble sign recovery", "recovery.bin is not counter-signed: a fused board refuses it");
	else if (blocks.has_customer && !blocks.customer_valid)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign it anew: bramble sign recovery",
			"recovery.bin: the customer's signature does not fit: a fused board refuses it");
	else if (blocks.has_customer && br_eeprom_pubkey(u->image, &pub) && memcmp(&pub, &blocks.customer.pub, sizeof(pub)) != 0)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign it with the image's key: bramble sign recovery",
			"recovery.bin is counter-signed with another key than the one in the image's pubkey.bin");
}

static void check_recovery(const struct br_eeprom_update *u, struct br_findings *f)
{
	struct br_signblock block;

	if (!u->recovery)
		return;
	if (u->image->soc == BR_SOC_BCM2712)
		check_recovery_2712(u, f);
	else if (br_signblock_parse(u->recovery, u->recovery_len, &block, NULL) == 0)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use the recovery.bin of BCM2711", "recovery.bin is for BCM2712: the ROM of BCM2711 would not run it");
	else if (!br_eeprom_ends_as_2711(u->recovery, u->recovery_len))
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "use the recovery.bin of BCM2711",
			"recovery.bin does not end with a signature of BCM2711's form: it is cut or another chip's, and the ROM would not run it");
}

/* A fused board takes one key's signatures only, and wants them whatever the configuration says. */
static void check_fused(const struct br_eeprom_update *u, struct br_findings *f)
{
	char why[BR_EEPROM_WHY];
	struct br_signblocks blocks;
	struct br_rsapub pub;
	uint8_t hash[32];
	size_t len = 0;
	const uint8_t *code = br_eeprom_get(u->image, BR_EEPROM_BOOTCODE, &len);

	if (!br_eeprom_config_signed(u->image, why))
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "sign it: bramble sign eeprom",
			"%s: a fused board takes no other configuration, whatever SIGNED_BOOT says", why);
	if (!br_eeprom_pubkey(u->image, &pub))
		return;
	br_rsapub_hash(&pub, hash);
	if (u->key_hash && memcmp(hash, u->key_hash, sizeof(hash)) != 0)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "sign it with the board's key: bramble sign eeprom",
			"the image is signed with another key than the one in the board's OTP: it would not start again");
	if (u->image->soc == BR_SOC_BCM2712 && code && br_signblocks_read(code, len, &blocks, NULL) == 0 && blocks.has_customer &&
		memcmp(&pub, &blocks.customer.pub, sizeof(pub)) != 0)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "sign all with one key: bramble sign eeprom",
			"bootcode is counter-signed with another key than the one in pubkey.bin: a fused board would not start");
}

/* recovery.bin's options that need a second thought. */
static void check_options(const struct br_eeprom_update *u, struct br_findings *f)
{
	static const char erase[] = "erase_eeprom=";
	int64_t n;

	for (const char *p = u->options; u->road == BR_EEPROM_RPIBOOT && p && *p; p += strcspn(p, "\n"), p += *p == '\n') {
		const char *value = p + sizeof(erase) - 1;

		if (strncmp(p, erase, sizeof(erase) - 1) || br_bootconf_number(value, strcspn(value, "\n"), &n) < 0 || !n)
			continue;
		br_findings_add(f, BR_FINDING_ERROR, 0, "erase_eeprom", "leave it out: the image is written over what is there anyway",
			"erase_eeprom=1 leaves the board without a bootloader: it starts again by rpiboot only, and a fused Pi 4 or 400 without an "
			"rpiboot GPIO never");
		return;
	}
}

static void check_image(const struct br_eeprom_update *u, struct br_findings *f)
{
	struct br_findings all = { 0 };

	br_eeprom_check(u->image, false, &all);
	for (size_t i = 0; i < all.n; i++) {
		if (all.list[i].severity == BR_FINDING_ERROR)
			br_findings_add(f, BR_FINDING_ERROR, all.list[i].line, all.list[i].key, all.list[i].cure, "%s", all.list[i].text);
	}
	f->failed |= all.failed;
	br_findings_done(&all);
	if (u->image->ab && br_eeprom_used(u->image, BR_EEPROM_B, BR_EEPROM_JOURNALS))
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "give a stock image, or one made of it",
			"partition B is used: nothing of it was looked at, and the board may start from it");
}

void br_eeprom_update_check(const struct br_eeprom_update *u, struct br_findings *f)
{
	bool countersigned = br_eeprom_countersigned(u->image);

	check_image(u, f);
	check_age(u, f);
	if (u->board && u->board != u->image->soc)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "take the image of the board's chip", "the image is for %s, the board has a %s: it would not start again",
			br_soc_name(u->image->soc), br_soc_name(u->board));
	if (countersigned && !u->fused)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "say --fused when the board has the key's hash in its OTP",
			"the image is counter-signed, and the board is not known as fused: there it would not start again");
	if (!countersigned && u->fused && u->image->soc == BR_SOC_BCM2712)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign it: bramble sign eeprom", "the image is not counter-signed: a fused board would not start again");
	if (u->fused)
		check_fused(u, f);
	check_recovery(u, f);
	check_options(u, f);
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

/* The lines of config.txt that say how to start again, or the others. */
static void add_options(struct br_text *text, const char *options, bool reboot)
{
	for (const char *p = options; *p;) {
		size_t n = strcspn(p, "\n");

		if (n && !strncmp(p, "set_reboot_", 11) == reboot)
			br_text_addf(text, "%.*s\n", (int)n, p);
		p += n + (p[n] == '\n');
	}
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
		add_options(&text, u->options, true); /* they count in front of recovery_reboot only (systems notes c.9) */
		add_options(&text, u->options, false);
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
