/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sign verify: each check by name, and an answer that says no more than was checked. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/signopts.h"
#include "cli/signverify.h"
#include "pi/countersign.h"
#include "pi/eeprom.h"
#include "pi/sigfile.h"

const char br_cli_sign_verify_help[] =
	"FILE is any file with a .sig beside it (or --sig), an EEPROM image, or boot code of BCM2712 with signature blocks\n"
	"(recovery.bin, bootcode5.bin).\n"
	"  -k, --key KEY      whose signature it must be: a name, a PEM file, pubkey.bin\n"
	"  --sig FILE.sig     its signature file; else beside FILE\n"
	"  --min-ts SECONDS   the time in the .sig must not be before this\n"
	"  -o, --output FORM  table, json or jsonl\n"
	"Each check is valid, INVALID, none (it is not signed) or not checked, and says why. The line below is the verdict.\n"
	"Exit codes: 0 all that can be checked is there and valid; 1 something is INVALID; 20 nothing is wrong, but without --key nobody\n"
	"knows whose signature it is; 22 nothing is wrong, but something is not signed or was not checked; 21 FILE, .sig or key cannot be\n"
	"read as such; 3 it is not there.\n";

static const char *const outcomes[BR_SIGN_OUTCOMES] = { "valid", "INVALID", "not checked", "not checked", "none", "not checked" };

void br_sign_find(struct br_sign_findings *f, const char *what, enum br_sign_outcome o, const char *fmt, ...)
{
	char text[300], check[60];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(check, sizeof(check), "%s%s", f->of ?: "", what);
	f->n[o]++;
	json_array_append_new(f->rows, json_pack("{s:s, s:s, s:s}", "check", check, "result", outcomes[o], "text", text));
}

static void hex_of_key(const struct br_rsapub *pub, char out[static BR_SHA256_HEX])
{
	uint8_t hash[32];

	br_rsapub_hash(pub, hash);
	br_hex(out, hash, sizeof(hash));
}

/* ---- a file and its .sig ---- */

void br_sign_check_ts(struct br_sign_findings *f, const struct br_sigfile *sig, uint64_t min)
{
	uint64_t now = br_wall_ns() / BR_S;

	if (!sig->has_ts)
		br_sign_find(f, "ts", BR_SIGN_INVALID, "there is no time in it: no bootloader takes it for an update");
	else if (sig->ts < min)
		br_sign_find(f, "ts", BR_SIGN_INVALID, "%" PRIu64 " is before %" PRIu64, sig->ts, min);
	else
		br_sign_find(f, "ts", BR_SIGN_VALID, "%" PRIu64 "%s", sig->ts, sig->ts > now + 86400 ? " (in the future)" : "");
}

void br_sign_check_sig(struct br_sign_findings *f, const uint8_t *data, size_t len, const struct br_sigfile *sig,
	const struct br_rsapub *pub, bool hash_only)
{
	char hex[BR_SHA256_HEX];
	uint8_t sha256[32];

	br_sha256_once(data, len, sha256);
	br_hex(hex, sha256, sizeof(sha256));
	if (memcmp(sha256, sig->sha256, sizeof(sha256)) != 0)
		br_sign_find(f, "hash", BR_SIGN_INVALID, "the file is %s; it was changed, or is another one", hex);
	else
		br_sign_find(f, "hash", BR_SIGN_VALID, "%s", hex);
	if (!sig->has_rsa && hash_only)
		return;
	if (!sig->has_rsa && pub)
		br_sign_find(f, "signature", BR_SIGN_INVALID, "there is none, only a hash");
	else if (!sig->has_rsa)
		br_sign_find(f, "signature", BR_SIGN_NONE, "hash and time only: anybody can have made them");
	else if (!pub)
		br_sign_find(f, "signature", BR_SIGN_NO_KEY, "no key to check it with; give --key");
	else if (br_rsapub_verify(pub, sha256, sig->rsa) < 0)
		br_sign_find(f, "signature", BR_SIGN_INVALID, "not of this file by this key");
	else
		br_sign_find(f, "signature", BR_SIGN_VALID, "RSA-2048 with SHA-256, PKCS#1 v1.5");
}

/* ---- boot code with blocks ---- */

void br_sign_check_key(struct br_sign_findings *f, const struct br_rsapub *found, const struct br_rsapub *given)
{
	char hex[BR_SHA256_HEX];

	hex_of_key(found, hex);
	if (!given)
		br_sign_find(f, "key", BR_SIGN_NO_KEY, "%s; give --key to check whose it is", hex);
	else if (memcmp(given, found, sizeof(*given)) != 0)
		br_sign_find(f, "key", BR_SIGN_INVALID, "another key: %s", hex);
	else
		br_sign_find(f, "key", BR_SIGN_VALID, "%s", hex);
}

void br_sign_check_blocks(struct br_sign_findings *f, const struct br_signblocks *b, const struct br_rsapub *pub, bool must)
{
	const char *fault = br_signblocks_vendor_fault(b);

	if (fault)
		br_sign_find(f, "vendor", BR_SIGN_INVALID, "it %s: no board would run it", fault);
	else if (b->vendor_by == BR_SIGNBLOCK_BY_UNKNOWN)
		br_sign_find(f, "vendor", BR_SIGN_NOT_CHECKED, "key number %u, version %u: it fits the key beside it, which may be Raspberry Pi's or not",
			b->vendor.keynum, b->vendor.version);
	else
		br_sign_find(f, "vendor", BR_SIGN_VALID, "Raspberry Pi's key number %u, version %u", b->vendor.keynum, b->vendor.version);
	if (!b->has_customer) {
		br_sign_find(f, "signature", must ? BR_SIGN_INVALID : BR_SIGN_NONE, "no block of a customer: only boards that are not fused run it");
		return;
	}
	br_sign_find(f, "signature", b->customer_valid ? BR_SIGN_VALID : BR_SIGN_INVALID, "key number 16, version %u%s", b->customer.version,
		b->customer_valid ? "" : ": the signature does not fit; the file was changed");
	br_sign_check_key(f, &b->customer.pub, pub);
}

/* ---- */

static int bad_file(const struct br_error *err, int r)
{
	int code = br_cli_error(err, r);

	return code == BR_EXIT_NOT_FOUND ? code : BR_SIGN_BAD_FILE;
}

static void cell_check(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "check", out);
}

static void cell_result(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "result", out);
}

static void cell_detail(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "text", out);
}

/* One word for all of it, its exit code, and the same for people. */
static const struct verdict {
	enum br_sign_outcome worst;
	int code;
	const char *word, *text;
} verdicts[] = {
	{ BR_SIGN_INVALID, BR_EXIT_FAILED, "invalid", "INVALID" },
	{ BR_SIGN_NO_KEY, BR_SIGN_NO_KEY_GIVEN, "no-key", "nothing is wrong; whose signature it is was not checked (--key)" },
	{ BR_SIGN_NOT_CHECKED, BR_SIGN_PARTLY, "partly", "nothing is wrong, but not all was checked" },
	{ BR_SIGN_NONE, BR_SIGN_PARTLY, "partly", "nothing is wrong, but not all is signed" },
	{ BR_SIGN_BOARD_ONLY, BR_EXIT_OK, "valid", "valid, as far as anybody but a board can check" },
	{ BR_SIGN_VALID, BR_EXIT_OK, "valid", "valid" },
};

static const struct verdict *verdict(const struct br_sign_findings *f)
{
	size_t i = 0;

	while (i + 1 < BR_ARRAY_SIZE(verdicts) && !f->n[verdicts[i].worst])
		i++;
	return &verdicts[i];
}

static int conclude(struct br_sign_request *q, const char *file, struct br_sign_findings *f)
{
	static const struct br_column columns[] = {
		{ "CHECK", cell_check }, { "RESULT", cell_result }, { "DETAIL", cell_detail }, { 0 },
	};
	const struct verdict *v = verdict(f);
	char vis[300];

	br_vis(vis, sizeof(vis), file, strlen(file));
	if (q->common.form != BR_FORM_TABLE) {
		json_t *whole = json_pack("{s:s, s:s, s:s, s:O}", "file", vis, "result", v->word, "verdict", v->text, "checks", f->rows);

		br_print_json(whole, q->common.form == BR_FORM_JSON);
		json_decref(whole);
	} else if (!q->common.quiet) {
		br_table_print(f->rows, columns, "check", &q->common);
		printf("%s: %s\n", vis, v->text);
	}
	return v->code;
}

/* Of an image's size; one that does not begin as one is meant as one only where no .sig says what it is. */
static bool is_eeprom(const uint8_t *data, size_t len, bool has_sig)
{
	return (len == BR_EEPROM_SIZE_2711 || len == BR_EEPROM_SIZE_2712) && (!has_sig || !memcmp(data, "\x55\xaa\xf0\x0f", 4));
}

/* The bootloader compares it with its own chip; soc 0: the file does not tell for which it is. */
static void check_soc(struct br_sign_findings *f, const struct br_sigfile *sig, unsigned soc)
{
	if (!sig->target_soc)
		return;
	if (!soc)
		br_sign_find(f, "target-soc", BR_SIGN_BOARD_ONLY, "%u, which only a board compares: the file does not say for which chip it is", sig->target_soc);
	else
		br_sign_find(f, "target-soc", soc == sig->target_soc ? BR_SIGN_VALID : BR_SIGN_INVALID, "%u, and the file is for BCM%u", sig->target_soc, soc);
}

/* What is signed inside of the file, if anything. 0: nothing; else the chip it is for (2711, 2712). Negative: an exit code's cause. */
static int check_inside(const uint8_t *data, size_t len, bool has_sig, const struct br_rsapub *pub, struct br_sign_findings *f, struct br_error *err)
{
	struct br_signblocks blocks = { 0 };
	int r;

	if (is_eeprom(data, len, has_sig)) {
		r = br_sign_check_eeprom(f, data, len, pub, err);
		return r < 0 ? r : len == BR_EEPROM_SIZE_2711 ? 2711 : 2712;
	}
	r = br_signblocks_read(data, len, &blocks, err);
	if (r < 0 || (!blocks.has_vendor && !blocks.has_customer))
		return r;
	br_sign_check_blocks(f, &blocks, pub, pub != NULL);
	return 2712;
}

/* Which kind of file it is, and its checks. 0 or an exit code. */
static int check(struct br_sign_request *q, const char *file, const struct br_rsapub *pub, struct br_sign_findings *f)
{
	br_cleanup(br_freep) char *sig_path = q->sig ? strdup(q->sig) : br_sign_beside(file, ".sig");
	br_cleanup(br_freep) uint8_t *data = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_sigfile sig;
	size_t len;
	bool has_sig;
	int soc, r = br_sign_read(file, &data, &len, &err);

	if (r < 0)
		return bad_file(&err, r);
	has_sig = q->sig || (sig_path && !access(sig_path, F_OK));
	soc = check_inside(data, len, has_sig, pub, f, &err);
	if (soc < 0)
		return bad_file(&err, soc);
	if (soc && !has_sig)
		return 0;
	r = br_sigfile_read(sig_path, &sig, &err);
	if (r < 0)
		return bad_file(&err, r);
	br_sign_check_sig(f, data, len, &sig, pub, soc != 0);
	br_sign_check_ts(f, &sig, q->min_ts);
	check_soc(f, &sig, (unsigned)soc);
	return 0;
}

int br_cli_sign_verify(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	struct br_sign_findings f = { .rows = json_array() };
	int code = br_sign_options(argc, argv, "kSft", 1, 1, "a FILE", &q);
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key = NULL;
	int r;

	if (!code && q.key.key) {
		r = br_sign_open_key(&q, NULL, &key, &err);
		code = r < 0 ? bad_file(&err, r) : 0;
	}
	if (!code)
		code = check(&q, argv[q.first_word], key ? br_rsakey_public(key) : NULL, &f);
	if (!code)
		code = conclude(&q, argv[q.first_word], &f);
	br_rsakey_free(key);
	json_decref(f.rows);
	br_sign_done(&q);
	return code;
}
