/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sign eeprom: configuration signature, public key and counter-signatures into an EEPROM image. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/audit.h"
#include "cli/cli.h"
#include "cli/signopts.h"
#include "cli/signverify.h"
#include "pi/countersign.h"
#include "pi/eeprom.h"
#include "pi/eepromcheck.h"
#include "pi/eepromsign.h"
#include "pi/sigfile.h"

const char br_cli_sign_eeprom_help[] =
	BR_SIGN_KEY_HELP
	"  -o, --output FILE  the signed image; its .sig (hash and time, for updates) is written beside it\n"
	"  --config FILE      this bootconf.txt goes in first; else the image's own is signed\n"
	"  --no-countersign   of BCM2712: leaves the boot code as it is (boards that are not fused refuse a counter-signed one)\n"
	"  --fw-version N     of the counter-signatures, 0 (default) to 32\n"
	"  --force            also an image older than signed boot (2021-09-20)\n"
	"The image given is not changed. 'bramble sign verify FILE --key KEY' checks the result.\n";

/* bootconf.txt, its signature and the key. */
static int sign_config(struct br_sign_request *q, struct br_eeprom *e, struct br_rsakey *key, struct br_error *err)
{
	br_cleanup(br_freep) char *config = NULL;
	size_t len = 0;
	int r = q->config ? br_file_read(q->config, 65536, &config, &len, err) : 0;

	if (!r && q->config)
		r = br_eeprom_replace(e, BR_EEPROM_CONFIG, config, len, err);
	return r < 0 ? r : br_eeprom_sign_config(e, key, err);
}

static int countersign(struct br_sign_request *q, struct br_eeprom *e, const char *name, struct br_rsakey *key, struct br_error *err)
{
	br_cleanup(br_freep) uint8_t *out = NULL;
	size_t len, n;
	const uint8_t *code = br_eeprom_get(e, name, &len);
	int r = code ? br_countersign(code, len, key, q->version, &out, &n, err) : br_error_set(err, ENOENT, "it is not there");

	if (!r)
		r = br_eeprom_replace(e, name, out, n, err);
	return r < 0 ? br_error_prefix(err, "%s", name) : 0;
}

static int check_age(struct br_sign_request *q, const struct br_eeprom *e, struct br_error *err)
{
	struct br_eeprom_build build;

	br_eeprom_build(e, &build);
	if (build.time >= BR_EEPROM_SIGNED_FLOOR)
		return 0;
	if (q->force)
		return br_audit(&q->common, "force", NULL, NULL, "signed an EEPROM image that is older than signed boot", err);
	if (!build.time)
		return br_error_set(err, EPERM, "it does not say when it was made; boards with signed boot need %u (2021-09-20) or later. "
			"--force signs it nevertheless", BR_EEPROM_SIGNED_FLOOR);
	return br_error_set(err, EPERM, "it was made at %" PRIu32 ", before signed boot (%u, 2021-09-20): a fused board would not "
		"start with it. --force signs it nevertheless", build.time, BR_EEPROM_SIGNED_FLOOR);
}

/* Everything, in memory. */
static int sign(struct br_sign_request *q, struct br_eeprom *e, struct br_rsakey *key, struct br_error *err)
{
	bool two = e->soc == BR_SOC_BCM2712 && !q->no_countersign;
	int r;

	if (!br_eeprom_find(e, BR_EEPROM_CONFIG_SIG) || !br_eeprom_find(e, BR_EEPROM_PUBKEY))
		return br_error_set(err, EPERM, "it has no place for a signature and a key: it is from before signed boot (2021-09-20)");
	r = check_age(q, e, err);
	if (!r && q->version && !two)
		r = br_error_set(err, EINVAL, "--fw-version is of counter-signatures, and this image gets none");
	if (!r && two)
		r = countersign(q, e, BR_EEPROM_BOOTCODE, key, err);
	if (!r && two && e->ab)
		r = countersign(q, e, BR_EEPROM_BOOTSYS, key, err);
	return r < 0 ? r : sign_config(q, e, key, err);
}

/* What we are about to write must hold in its own checks. */
static int prove(const struct br_eeprom *e, struct br_rsakey *key, struct br_error *err)
{
	struct br_sign_findings f = { .rows = json_array() };
	int r = br_sign_check_eeprom(&f, e->data, e->len, br_rsakey_public(key), err);

	if (!r && (f.n[BR_SIGN_INVALID] || f.n[BR_SIGN_NO_KEY]))
		r = br_error_set(err, EIO, "the signed image does not verify; nothing was written");
	json_decref(f.rows);
	return r;
}

/* The image and its .sig: two files, and neither what is read. */
static int may_write(const struct br_sign_request *q, const char *sig, const char *image, struct br_error *err)
{
	int r = 0;

	assert(q->out); /* the options' check */
	if (!strcmp(sig, q->out))
		r = br_error_set(err, EINVAL, "-o %s: the image's .sig would be written over it; give a name like pieeprom.bin", q->out);
	if (!r)
		r = br_sign_may_write_out(q, q->out, BR_SIGN_ANY, image, err);
	return r < 0 ? r : br_sign_may_write_out(q, sig, BR_SIGN_SIG, image, err);
}

static int run(struct br_sign_request *q, const char *image, struct br_error *err)
{
	br_cleanup(br_freep) char *sig = br_sign_beside(q->out, ".sig");
	br_cleanup(br_freep) uint8_t *data = NULL;
	struct br_text text = BR_TEXT_NULL;
	struct br_sign_out pair = { 0 };
	struct br_eeprom e = { 0 };
	struct br_rsakey *key = NULL;
	size_t len;
	int r;

	if (!sig)
		return br_error_set(err, ENOMEM, "out of memory");
	r = may_write(q, sig, image, err);
	if (!r)
		r = br_sign_open_key(q, NULL, &key, err);
	if (!r)
		r = br_sign_read(image, &data, &len, err);
	if (!r) {
		r = br_eeprom_open(data, len, &e, err);
		r = !r ? sign(q, &e, key, err) : r;
		r = !r ? prove(&e, key, err) : r;
		if (r < 0)
			br_error_prefix(err, "%s", image);
	}
	if (!r)
		r = br_sign_sig_text(e.data, e.len, NULL, q->target_soc, &text, err);
	if (!r)
		r = br_sign_out_add(&pair, q->out, e.data, e.len, err);
	if (!r)
		r = br_sign_out_add(&pair, sig, text.buf, text.len, err);
	if (!r)
		r = br_sign_out_commit(&pair, err);
	if (!r && !br_eeprom_signed_boot(&e))
		br_cli_fail(BR_EXIT_OK, "%s: note: its bootconf.txt does not say SIGNED_BOOT=1; until a board is fused, it will boot unsigned files, too", q->out);
	br_sign_out_done(&pair);
	br_text_done(&text);
	br_eeprom_done(&e);
	br_rsakey_free(key);
	return r;
}

int br_cli_sign_eeprom(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int code = br_sign_options(argc, argv, "koCcvFs", 1, 1, "an IMAGE", &q);
	int r;

	if (!code && (!q.key.key || !q.out))
		code = br_cli_usage("--key KEY and -o FILE are needed");
	if (!code) {
		r = run(&q, argv[q.first_word], &err);
		code = r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
	}
	br_sign_done(&q);
	return code;
}

/* ---- verify ---- */

static void check_config(struct br_sign_findings *f, const struct br_eeprom *e, const struct br_rsapub *given)
{
	bool has_sig = br_eeprom_has(e, BR_EEPROM_CONFIG_SIG);
	struct br_eeprom_seal seal;

	br_eeprom_seal(e, &seal);
	if (!seal.config) {
		br_sign_find(f, "signature", BR_SIGN_INVALID, "there is no bootconf.txt in the image");
		return;
	}
	if (!has_sig && !br_eeprom_has(e, BR_EEPROM_PUBKEY)) {
		br_sign_find(f, "signature", given ? BR_SIGN_INVALID : BR_SIGN_NONE, "it is not signed");
		return;
	}
	if (seal.key_fault[0])
		br_sign_find(f, "key", BR_SIGN_INVALID, "%s", seal.key_fault);
	else
		br_sign_check_key(f, &seal.pub, given);
	if (seal.sig_fault[0])
		br_sign_find(f, "signature", BR_SIGN_INVALID, "%s", seal.sig_fault);
	if (seal.key_fault[0] || seal.sig_fault[0])
		return;
	if (!seal.sig.has_rsa)
		br_sign_find(f, "signature", BR_SIGN_INVALID, "bootconf.sig has a hash only");
	br_sign_check_sig(f, seal.config, seal.config_len, &seal.sig, &seal.pub, true);
	br_sign_check_ts(f, &seal.sig, 0);
	if (seal.sig.target_soc && seal.sig.target_soc != (e->soc == BR_SOC_BCM2712 ? 2712 : 2711))
		br_sign_find(f, "target-soc", BR_SIGN_INVALID, "%u, and the image is for %s", seal.sig.target_soc, br_soc_name(e->soc));
}

static int check_code(struct br_sign_findings *f, const struct br_eeprom *e, const char *name, const struct br_rsapub *given,
	struct br_error *err)
{
	struct br_signblocks blocks = { 0 };
	size_t len = 0;
	const uint8_t *code = br_eeprom_get(e, name, &len);
	int r;

	if (!code)
		return br_error_set(err, EBADMSG, "%s is missing", name);
	if (e->soc == BR_SOC_BCM2711) { /* RSA with SHA-1 and a MAC, by keys that are in the ROM alone (systems notes d.3) */
		if (br_eeprom_ends_as_2711(code, len))
			br_sign_find(f, "vendor", BR_SIGN_BOARD_ONLY, "there is a signature of BCM2711's form, which only its ROM can check");
		else
			br_sign_find(f, "vendor", BR_SIGN_INVALID, "there is no signature of BCM2711's form at its end: no board would run it");
		return 0;
	}
	r = br_signblocks_read(code, len, &blocks, err);
	if (!r) /* without a customer's block it is right for boards that are not fused */
		br_sign_check_blocks(f, &blocks, given, false);
	return r;
}

int br_sign_check_eeprom(struct br_sign_findings *f, const uint8_t *data, size_t len, const struct br_rsapub *pub,
	struct br_error *err)
{
	struct br_eeprom e;
	int r = br_eeprom_open(data, len, &e, err);

	if (r < 0)
		return r;
	f->of = "bootconf.txt ";
	check_config(f, &e, pub);
	f->of = "bootcode ";
	r = check_code(f, &e, BR_EEPROM_BOOTCODE, pub, err);
	f->of = "bootsys ";
	if (!r && e.ab)
		r = check_code(f, &e, BR_EEPROM_BOOTSYS, pub, err);
	f->of = NULL;
	if (!r && e.ab && br_eeprom_used(&e, BR_EEPROM_B, BR_EEPROM_JOURNALS))
		br_sign_find(f, "partition B", BR_SIGN_NOT_CHECKED, "it is used, and only A was looked at: a board may start from B");
	br_eeprom_done(&e);
	return r;
}
