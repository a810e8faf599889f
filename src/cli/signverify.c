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
	"Exit codes: 0 all is valid; 1 hash, signature, key or ts is not (it says which); 20 nothing is wrong, but without --key\n"
	"nobody knows whose signature it is; 21 FILE, .sig or key cannot be read as such; 3 it is not there.\n";

void br_sign_find(struct br_sign_findings *f, const char *what, enum br_sign_outcome o, const char *fmt, ...)
{
	static const char *const names[] = { "valid", "INVALID", "not checked" };
	char text[300], check[60];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(check, sizeof(check), "%s%s", f->of ?: "", what);
	f->invalid |= o == BR_SIGN_INVALID;
	f->unchecked |= o == BR_SIGN_NOT_CHECKED;
	json_array_append_new(f->rows, json_pack("{s:s, s:s, s:s}", "check", check, "result", names[o], "text", text));
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
	const struct br_rsapub *pub)
{
	char hex[BR_SHA256_HEX];
	uint8_t sha256[32];

	br_sha256_once(data, len, sha256);
	br_hex(hex, sha256, sizeof(sha256));
	if (memcmp(sha256, sig->sha256, sizeof(sha256)) != 0)
		br_sign_find(f, "hash", BR_SIGN_INVALID, "the file is %s; it was changed, or is another one", hex);
	else
		br_sign_find(f, "hash", BR_SIGN_VALID, "%s", hex);
	if (!sig->has_rsa && pub)
		br_sign_find(f, "signature", BR_SIGN_INVALID, "there is none, only a hash");
	else if (!sig->has_rsa)
		br_sign_find(f, "signature", BR_SIGN_VALID, "none; hash and time only");
	else if (!pub)
		br_sign_find(f, "signature", BR_SIGN_NOT_CHECKED, "no key to check it with; give --key");
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
		br_sign_find(f, "key", BR_SIGN_NOT_CHECKED, "%s; give --key to check whose it is", hex);
	else if (memcmp(given, found, sizeof(*given)) != 0)
		br_sign_find(f, "key", BR_SIGN_INVALID, "another key: %s", hex);
	else
		br_sign_find(f, "key", BR_SIGN_VALID, "%s", hex);
}

void br_sign_check_blocks(struct br_sign_findings *f, const struct br_signblocks *b, const struct br_rsapub *pub)
{
	if (!b->has_vendor)
		br_sign_find(f, "vendor", BR_SIGN_INVALID, "Raspberry Pi's signature block is missing");
	else
		br_sign_find(f, "vendor", b->vendor_valid ? BR_SIGN_VALID : BR_SIGN_INVALID, "key number %u, version %u%s", b->vendor.keynum, b->vendor.version,
			b->vendor_valid ? "" : ": the signature does not fit; the file was changed");
	if (!b->has_customer) {
		br_sign_find(f, "signature", pub ? BR_SIGN_INVALID : BR_SIGN_VALID, "no block of a customer");
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

static int conclude(struct br_sign_request *q, const char *file, struct br_sign_findings *f)
{
	static const struct br_column columns[] = {
		{ "CHECK", cell_check }, { "RESULT", cell_result }, { "DETAIL", cell_detail }, { 0 },
	};
	int code = f->invalid ? BR_EXIT_FAILED : f->unchecked ? BR_SIGN_NO_KEY : BR_EXIT_OK;

	if (q->common.form != BR_FORM_TABLE) {
		json_t *whole = json_pack("{s:s, s:s, s:O}", "file", file, "result",
			f->invalid ? "invalid" : f->unchecked ? "no-key" : "valid", "checks", f->rows);

		br_print_json(whole, q->common.form == BR_FORM_JSON);
		json_decref(whole);
	} else if (!q->common.quiet) {
		br_table_print(f->rows, columns, "check", &q->common);
	}
	return code;
}

static bool is_eeprom(size_t len)
{
	return len == BR_EEPROM_SIZE_2711 || len == BR_EEPROM_SIZE_2712;
}

/* Which kind of file it is, and its checks. 0 or an exit code. */
static int check(struct br_sign_request *q, const char *file, const struct br_rsapub *pub, struct br_sign_findings *f)
{
	br_cleanup(br_freep) char *sig_path = q->sig ? strdup(q->sig) : br_sign_beside(file, ".sig");
	br_cleanup(br_freep) uint8_t *data = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_signblocks blocks = { 0 };
	struct br_sigfile sig;
	size_t len;
	bool inside, has_sig; /* it has signatures inside */
	int r = br_sign_read(file, &data, &len, &err);

	if (r < 0)
		return bad_file(&err, r);
	has_sig = q->sig || (sig_path && !access(sig_path, F_OK));
	inside = is_eeprom(len);
	r = inside ? br_sign_check_eeprom(f, data, len, pub, &err) : br_signblocks_read(data, len, &blocks, &err);
	if (r < 0)
		return bad_file(&err, r);
	if (!inside && (blocks.has_vendor || blocks.has_customer)) {
		inside = true;
		br_sign_check_blocks(f, &blocks, pub);
	}
	if (inside && !has_sig)
		return 0;
	r = br_sigfile_read(sig_path, &sig, &err);
	if (r < 0)
		return bad_file(&err, r);
	br_sign_check_sig(f, data, len, &sig, inside && !sig.has_rsa ? NULL : pub);
	br_sign_check_ts(f, &sig, q->min_ts);
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
