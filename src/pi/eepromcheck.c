/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with an EEPROM image as a whole. */
#include "pi/eepromcheck.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "pi/bootconf.h"
#include "pi/countersign.h"
#include "pi/rsakey.h"
#include "pi/sigfile.h"

bool br_eeprom_signed_boot(const struct br_eeprom *e)
{
	size_t len = 0;
	const char *text = (const char *)br_eeprom_get(e, BR_EEPROM_CONFIG, &len);

	return br_bootconf_says(text, len, e->soc, "SIGNED_BOOT", 1);
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

/* The first stage and its second half; blocks are BCM2712's. False: no more can be said of it. */
static bool check_stage(const struct br_eeprom *e, const char *name, struct br_signblocks *blocks, struct br_findings *f)
{
	static const char cure[] = "start from a stock image";
	struct br_error err = BR_ERROR_NULL;
	size_t len = 0;
	const uint8_t *code = br_eeprom_get(e, name, &len);
	const char *fault;

	if (e->soc == BR_SOC_BCM2711) {
		if (!code || !br_eeprom_ends_as_2711(code, len))
			br_findings_add(f, BR_FINDING_ERROR, 0, NULL, cure, "%s has no signature of Raspberry Pi's at its end: no board would run it", name);
		return false;
	}
	if (br_signblocks_read(code, code ? len : 0, blocks, &err) < 0) {
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, cure, "%s: %s", name, err.text);
		return false;
	}
	fault = br_signblocks_vendor_fault(blocks);
	if (fault)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, cure, "%s %s: no board would run it", name, fault);
	else if (blocks->vendor_by == BR_SIGNBLOCK_BY_UNKNOWN)
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, "compare it with Raspberry Pi's own file",
			"%s is signed with Raspberry Pi's key number %u, which is not known here: whether it is theirs was not checked", name,
			blocks->vendor.keynum);
	if (blocks->has_customer && !blocks->customer_valid)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign it anew: bramble sign eeprom",
			"%s: the customer's signature at its end does not fit: no fused board would run it", name);
	return true;
}

static void check_stages(const struct br_eeprom *e, struct br_findings *f)
{
	struct br_signblocks first = { 0 }, second = { 0 };
	bool both = check_stage(e, BR_EEPROM_BOOTCODE, &first, f);

	if (e->ab)
		both &= check_stage(e, BR_EEPROM_BOOTSYS, &second, f);
	if (e->ab && both && first.has_customer != second.has_customer)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign both: bramble sign eeprom",
			"%s is counter-signed and %s is not: a fused board would not start", first.has_customer ? BR_EEPROM_BOOTCODE : BR_EEPROM_BOOTSYS,
			first.has_customer ? BR_EEPROM_BOOTSYS : BR_EEPROM_BOOTCODE);
	else if (e->ab && both && first.has_customer && memcmp(&first.customer.pub, &second.customer.pub, sizeof(first.customer.pub)) != 0)
		br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "counter-sign both with one key: bramble sign eeprom",
			"%s and %s are counter-signed with two different keys: no board would start", BR_EEPROM_BOOTCODE, BR_EEPROM_BOOTSYS);
	if (first.has_customer || second.has_customer)
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, "keep it away from boards without the key's hash in their OTP",
			"counter-signed with a customer's key: a board that is not fused with it does not start");
}

/* A part whose name begins so, in the half of the image that boards start from. */
static bool has_part(const struct br_eeprom *e, const char *name)
{
	for (size_t i = 1; i < e->n_sections; i++) {
		const struct br_eeprom_section *s = &e->sections[i];

		if (e->ab && (s->offset < BR_EEPROM_A || s->offset >= BR_EEPROM_B))
			continue;
		if (s->size && !strncmp(s->name, name, strlen(name)))
			return true;
	}
	return false;
}

/* What stock images have without exception (systems notes d.2). Those of BCM2711 before LZ4 had all in the first stage. */
static void check_parts(const struct br_eeprom *e, struct br_findings *f)
{
	bool lz4 = false, two_halves = false;

	for (size_t i = 1; i < e->n_sections; i++) {
		const struct br_eeprom_section *s = &e->sections[i];

		lz4 |= s->kind == BR_EEPROM_LZ4;
		two_halves |= e->soc == BR_SOC_BCM2712 && s->kind != BR_EEPROM_PAD && s->offset < BR_EEPROM_A;
	}
	const struct {
		const char *name;
		bool wanted;
	} parts[] = { { BR_EEPROM_BOOTSYS, two_halves }, { "bootmain", lz4 || e->soc == BR_SOC_BCM2712 }, { "memsys", true } };

	for (size_t i = 0; i < BR_ARRAY_SIZE(parts); i++) {
		if (parts[i].wanted && !has_part(e, parts[i].name))
			br_findings_add(f, BR_FINDING_ERROR, 0, NULL, "start from a stock image", "there is no %s%s: no board would start",
				parts[i].name, e->ab ? " in partition A" : "");
	}
}

static void check_other_half(const struct br_eeprom *e, struct br_findings *f)
{
	if (e->ab && br_eeprom_used(e, BR_EEPROM_B, BR_EEPROM_JOURNALS))
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, "start from a stock image, in which B is empty",
			"partition B is used, as in an image read from a board: only A is looked at here, and a board may start from B");
}

bool br_eeprom_pubkey(const struct br_eeprom *e, struct br_rsapub *ret)
{
	size_t len = 0;
	const uint8_t *key = br_eeprom_get(e, BR_EEPROM_PUBKEY, &len);

	if (!key || len != BR_RSAPUB_BYTES)
		return false;
	memcpy(ret->bytes, key, BR_RSAPUB_BYTES);
	return true;
}

void br_eeprom_seal(const struct br_eeprom *e, struct br_eeprom_seal *ret)
{
	struct br_error err = BR_ERROR_NULL;
	size_t len = 0;
	const char *text = (const char *)br_eeprom_get(e, BR_EEPROM_CONFIG_SIG, &len);

	*ret = (struct br_eeprom_seal){ 0 };
	ret->config = br_eeprom_get(e, BR_EEPROM_CONFIG, &ret->config_len);
	if (!br_eeprom_has(e, BR_EEPROM_CONFIG_SIG))
		snprintf(ret->sig_fault, sizeof(ret->sig_fault), "there is no bootconf.sig");
	else if (br_sigfile_parse(text, len, &ret->sig, &err) < 0)
		snprintf(ret->sig_fault, sizeof(ret->sig_fault), "bootconf.sig: %.250s", err.text);
	if (!br_eeprom_has(e, BR_EEPROM_PUBKEY))
		snprintf(ret->key_fault, sizeof(ret->key_fault), "there is no pubkey.bin");
	else if (!br_eeprom_pubkey(e, &ret->pub))
		snprintf(ret->key_fault, sizeof(ret->key_fault), "pubkey.bin has not the %d bytes of a key", BR_RSAPUB_BYTES);
	else if (br_rsapub_check(&ret->pub, &err) < 0)
		snprintf(ret->key_fault, sizeof(ret->key_fault), "pubkey.bin: %.250s", err.text);
}

bool br_eeprom_config_signed(const struct br_eeprom *e, char why[static BR_EEPROM_WHY])
{
	struct br_eeprom_seal seal;
	uint8_t sum[32];

	br_eeprom_seal(e, &seal);
	br_sha256_once(seal.config, seal.config ? seal.config_len : 0, sum);
	why[0] = '\0';
	if (seal.sig_fault[0])
		memcpy(why, seal.sig_fault, BR_EEPROM_WHY);
	else if (!seal.config || memcmp(sum, seal.sig.sha256, sizeof(sum)) != 0)
		snprintf(why, BR_EEPROM_WHY, "bootconf.sig is of another bootconf.txt (its hash does not fit)");
	else if (!seal.sig.has_rsa)
		snprintf(why, BR_EEPROM_WHY, "bootconf.sig has no RSA signature");
	else if (seal.key_fault[0])
		memcpy(why, seal.key_fault, BR_EEPROM_WHY);
	else if (br_rsapub_verify(&seal.pub, sum, seal.sig.rsa) < 0)
		snprintf(why, BR_EEPROM_WHY, "bootconf.sig was not signed by the key in pubkey.bin");
	return !why[0];
}

static void check_signature(const struct br_eeprom *e, struct br_findings *f)
{
	char why[BR_EEPROM_WHY];

	if (br_eeprom_config_signed(e, why))
		return;
	if (br_eeprom_signed_boot(e))
		br_findings_add(f, BR_FINDING_ERROR, 0, "SIGNED_BOOT", "sign it: bramble sign eeprom, or bramble eeprom set IMAGE --sign KEY",
			"SIGNED_BOOT=1, but %s: a board would not boot", why);
	else if (br_eeprom_has(e, BR_EEPROM_CONFIG_SIG))
		br_findings_add(f, BR_FINDING_WARNING, 0, NULL, "sign it anew, or take it out",
			"%s: of no use, and wrong once SIGNED_BOOT=1 is set or the board fused", why);
}

/* One value of HTTP_CACERT_HASH; false: it was found wrong. */
static bool check_hash(const struct br_eeprom *e, const char *hash, size_t n, struct br_findings *f)
{
	size_t len = 0;
	const uint8_t *der = br_eeprom_get(e, BR_EEPROM_CACERT, &len);
	char hex[BR_SHA256_HEX], cure[100];

	if (!der || !br_eeprom_has(e, BR_EEPROM_CACERT)) {
		br_findings_add(f, BR_FINDING_ERROR, 0, "HTTP_CACERT_HASH", der ? "put the certificate in: --cacert FILE" : "use a newer image",
			"HTTP_CACERT_HASH is set, but the image has no cacert.der%s: HTTPS would fail", der ? " in its place" : ", and no place for one");
		return false;
	}
	br_sha256_hex(der, len, hex);
	if (n == 64 && !strncasecmp(hash, hex, 64))
		return true;
	snprintf(cure, sizeof(cure), "set HTTP_CACERT_HASH=%s", hex);
	br_findings_add(f, BR_FINDING_ERROR, 0, "HTTP_CACERT_HASH", cure, "HTTP_CACERT_HASH is not the SHA-256 of cacert.der: HTTPS would fail");
	return false;
}

static void check_cacert(const struct br_eeprom *e, struct br_findings *f)
{
	size_t n = 0, len = 0;
	const char *text = (const char *)br_eeprom_get(e, BR_EEPROM_CONFIG, &len), *hash;
	struct br_bootconf_values values;
	bool named = false;

	br_bootconf_values(&values, text, len, e->soc, "HTTP_CACERT_HASH");
	while (br_bootconf_next_value(&values, &hash, &n)) {
		if (!n)
			continue;
		named = true;
		if (!check_hash(e, hash, n, f))
			return;
	}
	if (!named && br_eeprom_has(e, BR_EEPROM_CACERT))
		br_findings_add(f, BR_FINDING_NOTE, 0, "HTTP_CACERT_HASH", "set HTTP_CACERT_HASH to the file's SHA-256",
			"there is a cacert.der, which is used with HTTP_CACERT_HASH only");
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
	check_parts(e, f);
	check_other_half(e, f);
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
