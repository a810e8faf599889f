/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sign file, bootconf, recovery, pubkey; and the table of all its verbs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/signopts.h"
#include "pi/bootconf.h"
#include "pi/countersign.h"

/* The key that was asked for; NULL with --no-key. 0 or an exit code. */
static int key_of(struct br_sign_request *q, struct br_rsakey **ret)
{
	struct br_error err = BR_ERROR_NULL;
	int r;

	*ret = NULL;
	if (q->no_key)
		return 0;
	if (!q->key.key)
		return br_cli_usage("--key KEY is needed");
	r = br_sign_open_key(q, NULL, ret, &err);
	return r < 0 ? br_cli_error(&err, r) : 0;
}

/* FILE's .sig. */
static int sign_file(struct br_sign_request *q, const char *file)
{
	br_cleanup(br_freep) char *out = q->out ? strdup(q->out) : br_sign_beside(file, ".sig");
	br_cleanup(br_freep) uint8_t *data = NULL;
	struct br_text text = BR_TEXT_NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key;
	size_t len;
	int r, code;

	if (!out)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	r = br_sign_may_write_out(q, out, BR_SIGN_SIG, file, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	code = key_of(q, &key);
	if (code)
		return code;
	r = br_sign_read(file, &data, &len, &err);
	if (!r)
		r = br_sign_sig_text(data, len, key, q->target_soc, &text, &err);
	if (!r)
		r = br_file_write(out, text.buf, text.len, 0644, &err);
	br_text_done(&text);
	br_rsakey_free(key);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

static int run_file(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	int code = br_sign_options(argc, argv, "knso", 1, 1, "a FILE", &q);

	if (!code && !q.key.key && !q.no_key)
		code = br_cli_usage("--key KEY is needed, or --no-key for hash and time only");
	if (!code)
		code = sign_file(&q, argv[q.first_word]);
	br_sign_done(&q);
	return code;
}

static int run_bootconf(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	int code = br_sign_options(argc, argv, "ko", 1, 1, "bootconf.txt", &q);
	br_cleanup(br_freep) char *text = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len;
	int r = code ? 0 : br_file_read(argv[q.first_word], 65536, &text, &len, &err);

	if (!code && r < 0)
		code = br_cli_error(&err, r);
	if (!code)
		code = sign_file(&q, argv[q.first_word]);
	if (!code && !br_bootconf_says(text, len, BR_SOC_UNKNOWN, "SIGNED_BOOT", 1))
		br_cli_fail(BR_EXIT_OK, "%s: note: it does not say SIGNED_BOOT=1; until a board is fused, it will boot unsigned files, too",
			argv[q.first_word]);
	br_sign_done(&q);
	return code;
}

static int countersign(struct br_sign_request *q, const char *file)
{
	br_cleanup(br_freep) uint8_t *data = NULL, *out = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key;
	size_t len, n;
	int r = br_sign_may_write_out(q, q->out, BR_SIGN_ANY, file, &err), code;

	if (r < 0)
		return br_cli_error(&err, r);
	code = key_of(q, &key);
	if (code)
		return code;
	r = br_sign_read(file, &data, &len, &err);
	if (!r) {
		r = br_countersign(data, len, key, q->version, &out, &n, &err);
		if (r < 0)
			br_error_prefix(&err, "%s", file);
	}
	if (!r)
		r = br_file_write(q->out, out, n, 0644, &err);
	br_rsakey_free(key);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

static int run_recovery(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	int code = br_sign_options(argc, argv, "kov", 1, 1, "recovery.bin or bootcode5.bin", &q);

	if (!code && !q.out)
		code = br_cli_usage("-o FILE is needed: the signed one");
	if (!code)
		code = countersign(&q, argv[q.first_word]);
	br_sign_done(&q);
	return code;
}

static int run_pubkey(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	int code = br_sign_options(argc, argv, "ko", 0, 1, "a KEY", &q);
	const char *name = !code && q.first_word < argc ? argv[q.first_word] : q.key.key;
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key;
	int r;

	if (!code && (!name || !q.out))
		code = br_cli_usage("a KEY and -o FILE are needed");
	if (!code) {
		r = br_sign_may_write_out(&q, q.out, BR_SIGN_ANY, name, &err);
		if (!r)
			r = br_sign_open_key(&q, name, &key, &err);
		if (!r) {
			r = br_file_write(q.out, br_rsakey_public(key)->bytes, BR_RSAPUB_BYTES, 0644, &err);
			br_rsakey_free(key);
		}
		code = r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
	}
	br_sign_done(&q);
	return code;
}

const struct br_command br_cli_sign[] = {
	{ "sign", "key", "new|list|show|hash [KEY] [--passphrase-file FILE] [-o table|json|jsonl] [-q]",
		"Makes and shows keys of signed boot", br_cli_sign_key, br_cli_sign_key_help },
	{ "sign", "file", "FILE --key KEY|--no-key [-o FILE.sig] [--target-soc 2711|2712]", "Writes a file's .sig", run_file,
		BR_SIGN_KEY_HELP
		"  --no-key           hash and time only, as pieeprom.sig has it\n"
		"  --target-soc SOC   says for which processor it is\n"
		"  -o, --output FILE  where to; else FILE with .sig for its ending\n"
		"The time in it is $SOURCE_DATE_EPOCH, else now.\n" },
	{ "sign", "bootconf", "bootconf.txt --key KEY [-o bootconf.sig]", "Signs a bootloader's configuration", run_bootconf,
		BR_SIGN_KEY_HELP "  -o, --output FILE  where to; else beside it\n" },
	{ "sign", "recovery", "FILE --key KEY -o FILE [--fw-version N]", "Counter-signs recovery.bin or bootcode5.bin for BCM2712",
		run_recovery,
		BR_SIGN_KEY_HELP
		"  --fw-version N     0 (default) to 32: fused boards refuse what is older than their anti-rollback bits\n"
		"  -o, --output FILE  the signed one\n"
		"Raspberry Pi's own signature must be there and valid; an older one of a customer is replaced. A board that is not\n"
		"fused with the key refuses to start it.\n" },
	{ "sign", "pubkey", "KEY -o pubkey.bin", "Writes a public key as boards hold it", run_pubkey,
		BR_SIGN_KEY_HELP "  -o, --output FILE  modulus and exponent, little-endian: 264 bytes\n" },
	{ "sign", "eeprom", "IMAGE --key KEY -o FILE [--config bootconf.txt] [--no-countersign] [--fw-version N]",
		"Signs an EEPROM image", br_cli_sign_eeprom, br_cli_sign_eeprom_help },
	{ "sign", "bootimg", "DIR|IMAGE|BOARD -o boot.img [--model MODEL] [--key KEY]", "Makes boot.img and its boot.sig",
		br_cli_sign_bootimg, br_cli_sign_bootimg_help },
	{ "sign", "fuse", "BOARD|SERIAL --key KEY --image FILE --firmware FILE --dir DIR [--burn]",
		"Makes what burns a key's hash into a board, for ever", br_cli_sign_fuse, br_cli_sign_fuse_help },
	{ "sign", "verify", "FILE [--sig FILE.sig] [--key KEY] [--min-ts SECONDS] [-o table|json] [-q]",
		"Checks hashes and signatures", br_cli_sign_verify, br_cli_sign_verify_help },
	{ 0 },
};
