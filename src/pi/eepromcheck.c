/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with an EEPROM image as a whole. */
#include "pi/eepromcheck.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/text.h"
#include "pi/bootconf.h"
#include "pi/rsakey.h"
#include "pi/sigfile.h"

static bool has_value(const struct br_eeprom *e, const char *key, const char *value)
{
	size_t len, n = 0;
	const char *text = (const char *)br_eeprom_get(e, BR_EEPROM_CONFIG, &len);
	const char *p = text ? br_bootconf_get(text, len, NULL, key, &n) : NULL;

	return p && n == strlen(value) && !memcmp(p, value, n);
}

bool br_eeprom_signed_boot(const struct br_eeprom *e)
{
	return has_value(e, "SIGNED_BOOT", "1");
}

static void check_name(const struct br_eeprom *e, size_t i, struct br_findings *f)
{
	const struct br_eeprom_section *s = &e->sections[i];
	char vis[60];

	for (const char *c = s->name; *c; c++) {
		if (*c > ' ' && *c < 0x7f)
			continue;
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "start from a fresh image", "the section at 0x%x has the name '%s': damaged",
			s->offset, br_vis(vis, sizeof(vis), s->name, strlen(s->name)));
		return;
	}
	for (size_t k = 0; k < i && s->name[0]; k++) {
		if (strcmp(e->sections[k].name, s->name) != 0 || br_eeprom_area(e, e->sections[k].offset) != br_eeprom_area(e, s->offset))
			continue;
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, NULL, "%s is there twice, at 0x%x and 0x%x: the first one counts",
			br_vis(vis, sizeof(vis), s->name, strlen(s->name)), e->sections[k].offset, s->offset);
		return;
	}
}

/* Within its partition, and not in the bootloader's own page. */
static void check_place(const struct br_eeprom *e, const struct br_eeprom_section *s, struct br_findings *f)
{
	uint32_t end = s->content + s->size;
	char vis[60];

	br_vis(vis, sizeof(vis), s->name, strlen(s->name));
	if (s->kind == BR_EEPROM_OTHER)
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, NULL, "the section at 0x%x is of a kind (0x%08x) that is not known here", s->offset, s->magic);
	if (s->kind == BR_EEPROM_PAD)
		return;
	if (end > e->len - BR_EEPROM_SCRATCH)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "start from a fresh image",
			"%s reaches into the last 4096 bytes, which the bootloader writes over", vis);
	else if (e->ab && br_eeprom_area(e, s->offset) != br_eeprom_area(e, end - (end > s->offset)))
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "start from a fresh image", "%s at 0x%x reaches over the end of its partition", vis, s->offset);
	if (s->kind == BR_EEPROM_FILE && strcmp(s->name, BR_EEPROM_BOOTSYS) != 0 && s->size > BR_EEPROM_MEMBER_MAX)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "make it smaller", "%s has %u bytes; the bootloader reads %u", vis, s->size,
			BR_EEPROM_MEMBER_MAX);
}

static void check_stages(const struct br_eeprom *e, struct br_findings *f)
{
	struct br_eeprom_signature s[BR_EEPROM_SIGNATURES];
	size_t n = br_eeprom_signatures(e, s);
	bool vendor[2] = { 0 }, customer[2] = { 0 };

	for (size_t i = 0; i < n; i++) {
		bool second = !strcmp(s[i].of, BR_EEPROM_BOOTSYS);

		vendor[second] |= s[i].keynum < BR_EEPROM_KEYNUM_CUSTOMER;
		customer[second] |= s[i].keynum == BR_EEPROM_KEYNUM_CUSTOMER;
	}
	for (int i = 0; i < (e->ab ? 2 : 1); i++) {
		if (!vendor[i])
			br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "start from a stock image",
				"%s has no signature of Raspberry Pi's at its end: no board would run it", i ? BR_EEPROM_BOOTSYS : BR_EEPROM_BOOTCODE);
	}
	if (e->ab && customer[0] != customer[1])
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign both: bramble sign",
			"%s is counter-signed and %s is not: a fused board would not start", customer[0] ? BR_EEPROM_BOOTCODE : BR_EEPROM_BOOTSYS,
			customer[0] ? BR_EEPROM_BOOTSYS : BR_EEPROM_BOOTCODE);
	if (customer[0] || customer[1])
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, "keep it away from boards without the key's hash in their OTP",
			"counter-signed with a customer's key: a board that is not fused with it does not start");
}

static bool signature_fits(const struct br_eeprom *e, const struct br_sigfile *sig, char *why, size_t size)
{
	struct br_rsapub pub;
	uint8_t sum[32];
	size_t len = 0, key_len = 0;
	const uint8_t *text = br_eeprom_get(e, BR_EEPROM_CONFIG, &len), *key = br_eeprom_get(e, BR_EEPROM_PUBKEY, &key_len);

	br_sha256_once(text, text ? len : 0, sum);
	if (memcmp(sum, sig->sha256, sizeof(sum)) != 0) {
		snprintf(why, size, "bootconf.sig is of another bootconf.txt (its hash does not fit)");
		return false;
	}
	if (!sig->has_rsa || !key || key_len != BR_RSAPUB_BYTES) {
		snprintf(why, size, "%s", sig->has_rsa ? "there is no pubkey.bin of 264 bytes to check bootconf.sig with" : "bootconf.sig has no RSA signature");
		return false;
	}
	memcpy(pub.bytes, key, BR_RSAPUB_BYTES);
	if (br_rsapub_verify(&pub, sum, sig->rsa) < 0) {
		snprintf(why, size, "bootconf.sig was not signed by the key in pubkey.bin");
		return false;
	}
	return true;
}

static void check_signature(const struct br_eeprom *e, struct br_findings *f)
{
	bool wanted = br_eeprom_signed_boot(e), has = br_eeprom_has(e, BR_EEPROM_CONFIG_SIG), fits = false;
	struct br_error err = BR_ERROR_NULL;
	struct br_sigfile sig;
	char why[300] = "";
	size_t len = 0;
	const char *text = (const char *)br_eeprom_get(e, BR_EEPROM_CONFIG_SIG, &len);

	if (!has)
		snprintf(why, sizeof(why), "there is no bootconf.sig");
	else if (br_sigfile_parse(text, len, &sig, &err) < 0)
		snprintf(why, sizeof(why), "bootconf.sig: %.250s", err.text);
	else
		fits = signature_fits(e, &sig, why, sizeof(why));
	if (wanted && !fits)
		br_findings_add(f, BR_FINDING_ERROR, 0, "SIGNED_BOOT", "sign it: bramble eeprom set IMAGE --sign KEY", "SIGNED_BOOT=1, but %s: a board would not boot", why);
	else if (!wanted && has && !fits)
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, "sign it anew, or take it out",
			"%s: of no use, and wrong once SIGNED_BOOT=1 is set or the board fused", why);
}

static void check_cacert(const struct br_eeprom *e, struct br_findings *f)
{
	size_t len = 0, n = 0, text_len = 0;
	const char *text = (const char *)br_eeprom_get(e, BR_EEPROM_CONFIG, &text_len);
	const char *hash = text ? br_bootconf_get(text, text_len, NULL, "HTTP_CACERT_HASH", &n) : NULL;
	const uint8_t *der = br_eeprom_get(e, BR_EEPROM_CACERT, &len);
	char hex[BR_SHA256_HEX], cure[100];

	if (!hash || !n) {
		if (br_eeprom_has(e, BR_EEPROM_CACERT))
			br_findings_add(f, BR_FINDING_NOTE, 0, "HTTP_CACERT_HASH", "set HTTP_CACERT_HASH to the file's SHA-256",
				"there is a cacert.der, which is used with HTTP_CACERT_HASH only");
		return;
	}
	if (!der || !br_eeprom_has(e, BR_EEPROM_CACERT)) {
		br_findings_add(f, BR_FINDING_ERROR, 0, "HTTP_CACERT_HASH", der ? "put the certificate in: --cacert FILE" : "use a newer image",
			"HTTP_CACERT_HASH is set, but the image has no cacert.der%s: HTTPS would fail", der ? " in its place" : ", and no place for one");
		return;
	}
	br_sha256_hex(der, len, hex);
	snprintf(cure, sizeof(cure), "set HTTP_CACERT_HASH=%s", hex);
	if (n != 64 || strncasecmp(hash, hex, 64) != 0)
		br_findings_add(f, BR_FINDING_ERROR, 0, "HTTP_CACERT_HASH", cure, "HTTP_CACERT_HASH is not the SHA-256 of cacert.der: HTTPS would fail");
}

void br_eeprom_check(const struct br_eeprom *e, bool network, struct br_findings *f)
{
	struct br_bootconf_board board = { .soc = e->soc, .network = network };
	struct br_eeprom_build build;
	size_t len;
	const char *text;

	for (size_t i = 0; i < e->n_sections; i++) {
		check_name(e, i, f);
		check_place(e, &e->sections[i], f);
	}
	check_stages(e, f);
	br_eeprom_build(e, &build);
	board.build_time = build.time;
	if (!build.time)
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, NULL, "the image does not say when it was built");
	text = (const char *)br_eeprom_get(e, BR_EEPROM_CONFIG, &len);
	if (!text) {
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "start from a fresh image", "there is no bootconf.txt");
		return;
	}
	br_bootconf_check_lines(text, len, &board, f);
	br_bootconf_check_meaning(text, len, &board, f);
	check_signature(e, f);
	check_cacert(e, f);
}
