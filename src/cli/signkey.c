/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sign key: the keys of signed boot. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/state.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/signopts.h"

const char br_cli_sign_key_help[] =
	"  new NAME|FILE.pem  a new RSA-2048 key, by name in the state directory's keys/ (the daemon can sign with it) or in a\n"
	"                     file; mode 0600, never written over\n"
	"  list               the keys by name\n"
	"  show KEY           its public half: PEM, pubkey.bin in hexadecimal, fingerprints\n"
	"  hash KEY           what is burnt into OTP: SHA-256 of modulus and exponent, little-endian\n"
	BR_SIGN_KEY_HELP
	"  -o, --output FORM  of list and show: table, json or jsonl\n"
	"Boot ROMs take RSA-2048 and no other key. Whoever loses the key of fused boards can never again change what they boot.\n";

struct fingerprints {
	char otp[BR_SHA256_HEX], der[BR_SHA256_HEX], bin[BR_RSAPUB_BYTES * 2 + 1];
};

static void fingerprints_of(const struct br_rsapub *pub, struct fingerprints *f)
{
	uint8_t hash[32];

	br_rsapub_hash(pub, hash);
	br_hex(f->otp, hash, sizeof(hash));
	f->der[0] = 0;
	if (!br_rsapub_der_hash(pub, hash))
		br_hex(f->der, hash, sizeof(hash));
	br_hex(f->bin, pub->bytes, sizeof(pub->bytes));
}

static int run_new(struct br_sign_request *q, const char *name)
{
	bool file = br_rsakey_is_file(name);
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key = NULL;
	struct fingerprints f;
	int r = br_sign_key_dir(q, &err);

	if (q->key.wrapper || q->key.key || !strncmp(name, "pkcs11:", 7))
		return br_cli_usage("a new key goes into a file; a token's is made with the token's tools");
	if (br_str_ends(name, ".der") || br_str_ends(name, ".bin"))
		return br_cli_usage("a new key is made as PEM: call it NAME, or FILE.pem");
	if (!r && !file && !br_rsakey_name_ok(name))
		return br_cli_usage("a key's name has letters, digits, '.', '_' and '-', at most 64");
	if (!r)
		r = br_rsakey_resolve(q->key_dir, name, &path, &err);
	if (!r && !file)
		r = br_mkdir_all(q->key_dir, 0700, &err);
	if (!r)
		r = br_rsakey_new(path, q->key.passphrase_file, &err);
	if (!r && !file) {
		br_cleanup(br_freep) char *state = strndup(q->key_dir, strlen(q->key_dir) - strlen("/keys"));

		r = state ? br_state_own(state, q->key_dir, &err) : -ENOMEM;
		r = !r ? br_state_own(state, path, &err) : r;
	}
	if (!r)
		r = br_sign_open_key(q, path, &key, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	fingerprints_of(br_rsakey_public(key), &f);
	br_rsakey_free(key);
	if (!q->common.quiet)
		printf("%s: RSA-2048, OTP key hash %s\nKeep a copy in a safe place: boards fused with its hash boot nothing else, for ever.\n",
			path, f.otp);
	return BR_EXIT_OK;
}

/* ---- list ---- */

static json_t *row_of(struct br_sign_request *q, const char *dir, const char *file)
{
	struct br_rsakey_options opt = { .passphrase_file = q->key.passphrase_file };
	br_cleanup(br_freep) char *path = br_path_join(dir, file);
	br_cleanup(br_freep) char *name = strndup(file, strlen(file) - strlen(".pem"));
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key = NULL;
	struct fingerprints f = { 0 };
	const char *kind;
	struct stat st;
	bool open;
	json_t *row;
	int r;

	if (!path || !name)
		return NULL;
	opt.key = path;
	r = br_rsakey_open(&opt, &key, &err);
	if (!r)
		fingerprints_of(br_rsakey_public(key), &f);
	kind = !r ? (br_rsakey_can_sign(key) ? "private" : "public") : r == -ENOKEY ? "encrypted" : "unusable";
	open = stat(path, &st) == 0 && st.st_mode & 077 && !(r == 0 && !br_rsakey_can_sign(key));
	row = json_pack("{s:s, s:s, s:s, s:s*, s:b, s:s*}", "name", name, "file", path, "kind", kind, "otp_hash",
		r ? NULL : f.otp, "readable_by_others", open, "problem", r < 0 && r != -ENOKEY ? err.text : NULL);
	br_rsakey_free(key);
	return row;
}

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "name", out);
}

static void cell_kind(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "kind", out);
	if (json_is_true(json_object_get(row, "readable_by_others")))
		strncat(out, ", others can read it", BR_CELL_MAX - strlen(out) - 1);
}

static void cell_hash(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, json_object_get(row, "problem") ? "problem" : "otp_hash", out);
}

static int is_key(const struct dirent *d)
{
	return d->d_name[0] != '.' && br_str_ends(d->d_name, ".pem");
}

static int run_list(struct br_sign_request *q)
{
	static const struct br_column columns[] = {
		{ "NAME", cell_name }, { "KIND", cell_kind }, { "OTP KEY HASH", cell_hash }, { 0 },
	};
	json_t *rows = json_array();
	struct br_error err = BR_ERROR_NULL;
	struct dirent **entries = NULL;
	int r = br_sign_key_dir(q, &err), n;

	if (r < 0)
		return br_cli_error(&err, r);
	n = scandir(q->key_dir, &entries, is_key, alphasort);
	if (n < 0 && errno != ENOENT) {
		json_decref(rows);
		return br_cli_fail(BR_EXIT_FAILED, "%s: %m", q->key_dir);
	}
	for (int i = 0; i < n; i++) {
		json_array_append_new(rows, row_of(q, q->key_dir, entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
	br_table_print(rows, columns, "name", &q->common);
	json_decref(rows);
	return BR_EXIT_OK;
}

/* ---- show, hash ---- */

static int run_show(struct br_sign_request *q, const char *name)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key;
	struct fingerprints f;
	int r = br_sign_open_key(q, name, &key, &err);

	if (r < 0)
		return br_cli_error(&err, r);
	br_cleanup(br_freep) char *pem = br_rsapub_pem(br_rsakey_public(key));
	fingerprints_of(br_rsakey_public(key), &f);
	if (q->common.form != BR_FORM_TABLE) {
		json_t *row = json_pack("{s:s, s:b, s:s, s:s, s:s, s:s*}", "type", "RSA-2048", "private", br_rsakey_can_sign(key),
			"otp_hash", f.otp, "der_sha256", f.der, "pubkey_bin", f.bin, "pem", pem);

		br_print_json(row, q->common.form == BR_FORM_JSON);
		json_decref(row);
	} else {
		printf("RSA-2048, %s\nOTP key hash  %s  (burnt into fused boards)\nDER SHA-256   %s  (as other tools show keys; not burnt)\n"
		       "pubkey.bin    %s\n%s",
			br_rsakey_can_sign(key) ? "with its private half" : "public half only", f.otp, f.der, f.bin, pem ?: "");
	}
	br_rsakey_free(key);
	return BR_EXIT_OK;
}

static int run_hash(struct br_sign_request *q, const char *name)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key;
	struct fingerprints f;
	int r = br_sign_open_key(q, name, &key, &err);

	if (r < 0)
		return br_cli_error(&err, r);
	fingerprints_of(br_rsakey_public(key), &f);
	puts(f.otp);
	br_rsakey_free(key);
	return BR_EXIT_OK;
}

int br_cli_sign_key(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	int code = br_sign_options(argc, argv, "kf", 1, 2, "new, list, show or hash", &q);
	const char *verb = code ? "" : argv[q.first_word];
	int words = code ? 0 : argc - q.first_word - 1;
	const char *name = words == 1 ? argv[q.first_word + 1] : q.key.key;

	if (code)
		;
	else if (!strcmp(verb, "list"))
		code = words ? br_cli_usage("list takes no word") : run_list(&q);
	else if (!name)
		code = br_cli_usage("a key is needed");
	else if (!strcmp(verb, "new"))
		code = run_new(&q, name);
	else if (!strcmp(verb, "show"))
		code = run_show(&q, name);
	else if (!strcmp(verb, "hash"))
		code = run_hash(&q, name);
	else
		code = br_cli_usage("'%s': new, list, show or hash", verb);
	br_sign_done(&q);
	return code;
}
