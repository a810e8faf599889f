/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/table.h"
#include "cli/signout.h"
#include "pi/rsakey.h"

/* What the verbs of 'bramble sign' share: their options, keys by name, files. */

struct br_sign_request {
	struct br_common common;
	struct br_rsakey_options key; /* .key NULL: none was given */
	char *key_dir;		      /* owned: the state directory's */
	bool no_key, no_countersign, burn, force;
	unsigned target_soc, version;
	uint64_t min_ts;
	const char *out, *sig, *config, *model, *image, *firmware;
	int first_word; /* argv index of the words */
};

/*
 * allowed: letters of the options that the verb has: k the key's (--key, --wrapper, --passphrase-file), o --output FILE,
 * f --output FORM (and -q), and as the table in signopts.c says. Words: min to max of them, 'what' for the message.
 * 0, or the exit code after a message.
 */
int br_sign_options(int argc, char **argv, const char *allowed, int min, int max, const char *what, struct br_sign_request *q);
void br_sign_done(struct br_sign_request *q);

/* STATE/keys. */
int br_sign_key_dir(struct br_sign_request *q, struct br_error *err);
/* The key that --key names (or 'name' when not NULL). *ret: br_rsakey_free(). */
int br_sign_open_key(struct br_sign_request *q, const char *name, struct br_rsakey **ret, struct br_error *err);

/* br_sign_may_write() with everything that the options read and the word (NULL: none). */
int br_sign_may_write_out(const struct br_sign_request *q, const char *path, enum br_sign_kind kind, const char *word,
	struct br_error *err);

/* A file to sign. -EFBIG above 512 MiB. */
int br_sign_read(const char *path, uint8_t **ret, size_t *ret_len, struct br_error *err);
/* The text of a .sig with the time for it; key NULL: hash and time only. *ret: br_text_done(). */
int br_sign_sig_text(const void *data, size_t len, struct br_rsakey *key, unsigned target_soc, struct br_text *ret,
	struct br_error *err);
/* path with its last ".xyz" replaced (or suffix added): "a/pieeprom.bin" to "a/pieeprom.sig". free(); NULL: no memory. */
char *br_sign_beside(const char *path, const char *suffix);

/* Exit codes of 'sign verify'. */
enum { BR_SIGN_NO_KEY_GIVEN = 20, BR_SIGN_BAD_FILE = 21, BR_SIGN_PARTLY = 22 };

/* The verbs, each in its file. */
int br_cli_sign_key(int argc, char **argv);
int br_cli_sign_verify(int argc, char **argv);
int br_cli_sign_eeprom(int argc, char **argv);
int br_cli_sign_bootimg(int argc, char **argv);
int br_cli_sign_fuse(int argc, char **argv);
extern const char br_cli_sign_key_help[], br_cli_sign_verify_help[], br_cli_sign_eeprom_help[], br_cli_sign_bootimg_help[],
	br_cli_sign_fuse_help[];

#define BR_SIGN_KEY_HELP                                                                                              \
	"  -k, --key KEY      a name ('bramble sign key list'), a PEM file, or a pkcs11: URI of a token's private key\n" \
	"  --wrapper PROGRAM  signs in the key's place: run as 'PROGRAM -a rsa2048-sha256 FILE', prints the signature in\n" \
	"                     hexadecimal; --key is then the file of the public key\n"                              \
	"  --passphrase-file FILE  its first line opens an encrypted key, or is the token's PIN; else it is asked for\n"
