/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sign fuse: the recovery directory that burns a key's hash into a board, for ever. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "cli/audit.h"
#include "cli/cli.h"
#include "cli/signopts.h"
#include "cli/signverify.h"
#include "cli/table.h"
#include "fleet/fact.h"
#include "pi/eepromupdate.h"
#include "pi/identity.h"

const char br_cli_sign_fuse_help[] =
	"  BOARD|SERIAL       a board the daemon knows, or a serial of 8 or 16 hexadecimal digits\n"
	"  --image FILE       the EEPROM image, signed with the same key ('bramble sign eeprom')\n"
	"  --firmware FILE    recovery.bin: bootcode4.bin or bootcode5.bin of Raspberry Pi's usbboot or rpi-eeprom\n"
	"  -o, --dir DIR      the directory to make, for 'bramble usb boot -d DIR'; it must not be there yet\n"
	"  --burn             makes it, after the serial and the key's hash were typed; else only says what would be burnt\n"
	BR_SIGN_KEY_HELP
	"A fused board boots nothing that is not signed with this key, and this cannot be undone. Refused: an image that is not\n"
	"signed with the key, and whatever 'bramble eeprom update' refuses for a fused board; here no --force passes it over. A Pi 4 or 400\n"
	"that is fused without a GPIO for rpiboot (program_rpiboot_gpio) cannot be rescued over USB. Every burning is written into the daemon's timeline, or into\n"
	"audit.log in the state directory.\n";

struct fuse {
	struct br_sign_request *q;
	char serial[17], board[64], hash[BR_SHA256_HEX];
	enum br_soc soc; /* of the board, by its record; UNKNOWN: not said */
	struct br_rsakey *key;
	struct br_eeprom image;
	uint8_t *firmware;
	size_t firmware_len;
};

static void fuse_done(struct fuse *f)
{
	br_rsakey_free(f->key);
	br_eeprom_done(&f->image);
	free(f->firmware);
}

/* ---- who ---- */

static bool is_serial(const char *s)
{
	size_t n = strlen(s);

	return (n == 8 || n == 16) && strspn(s, "0123456789abcdefABCDEF") == n;
}

static int ask_daemon(struct fuse *f, const char *name, struct br_error *err)
{
	br_cleanup(br_freep) char *escaped = br_client_escape(name);
	br_cleanup(br_freep) char *path = escaped ? br_asprintf("/v1/boards/%s", escaped) : NULL;
	struct br_client *client = NULL;
	json_t *board = NULL;
	const struct br_pi_model *model;
	const char *serial, *id;
	int r = path ? br_client_new(f->q->common.state, &client, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r)
		r = br_client_call(client, "GET", path, NULL, &board, err);
	br_client_free(client);
	serial = json_string_value(json_object_get(board, "serial"));
	if (!r && !serial)
		r = br_error_set(err, ENODATA, "board %s: its serial is not known yet; give the serial itself", name);
	if (!r && br_fact_is_key_hash(json_string_value(br_json_at(board, "facts.CUSTOMER_KEY_HASH"))))
		r = br_error_set(err, EEXIST, "board %s: a key's hash is burnt into it already (%s); there is room for one only", name,
			json_string_value(br_json_at(board, "facts.CUSTOMER_KEY_HASH")));
	if (!r) {
		id = json_string_value(json_object_get(board, "model"));
		model = id ? br_pi_model_by_id(id) : NULL;
		f->soc = model ? model->soc : BR_SOC_UNKNOWN;
		br_strcpy(f->serial, sizeof(f->serial), serial);
		br_strcpy(f->board, sizeof(f->board), name);
	}
	json_decref(board);
	return r;
}

static int take_who(struct fuse *f, const char *who, struct br_error *err)
{
	if (!is_serial(who))
		return ask_daemon(f, who, err);
	for (size_t i = 0; who[i]; i++)
		f->serial[i] = (char)tolower((unsigned char)who[i]);
	return 0;
}

/* ---- interlocks ---- */

static int check_signatures(struct fuse *f, struct br_error *err)
{
	struct br_sign_findings found = { .rows = json_array() };
	int r = br_sign_check_eeprom(&found, f->image.data, f->image.len, br_rsakey_public(f->key), err);

	json_decref(found.rows);
	if (r < 0)
		return r;
	if (found.n[BR_SIGN_INVALID] || found.n[BR_SIGN_NO_KEY])
		return br_error_set(err, EKEYREJECTED, "%s: it is not signed with this key, or was changed since: a fused board would not "
			"start any more. 'bramble sign verify %s --key ...' tells more", f->q->image, f->q->image);
	if (found.n[BR_SIGN_NOT_CHECKED])
		return br_error_set(err, EKEYREJECTED, "%s: not all of it could be checked, and what is burnt stays. 'bramble sign verify %s "
			"--key ...' tells what", f->q->image, f->q->image);
	return 0;
}

/* What 'eeprom update' refuses, and there is no --force: what is burnt stays. */
static int check_update(struct fuse *f, const uint8_t hash[static 32], struct br_error *err)
{
	const struct br_eeprom_update u = {
		.image = &f->image,
		.road = BR_EEPROM_RPIBOOT,
		.recovery = f->firmware,
		.recovery_len = f->firmware_len,
		.board = f->soc,
		.fused = true,
		.fusing = true,
		.key_hash = hash,
		.floor = BR_EEPROM_FLOOR,
		.options = "",
	};
	struct br_findings found = { 0 };
	int r = 0;

	br_eeprom_update_check(&u, &found);
	if (found.failed)
		r = br_error_set(err, ENOMEM, "out of memory");
	else if (found.n)
		r = br_error_set(err, EPERM, "%s with %s: %s%s%s", f->q->image, f->q->firmware, found.list[0].text,
			found.list[0].cure ? ". Cure: " : "", found.list[0].cure ?: "");
	br_findings_done(&found);
	return r;
}

static int gather(struct fuse *f, const char *who, struct br_error *err)
{
	br_cleanup(br_freep) uint8_t *data = NULL;
	uint8_t hash[32];
	size_t len;
	int r = br_sign_open_key(f->q, NULL, &f->key, err);

	if (!r) {
		br_rsapub_hash(br_rsakey_public(f->key), hash);
		br_hex(f->hash, hash, sizeof(hash));
		r = take_who(f, who, err);
	}
	if (!r)
		r = br_sign_read(f->q->image, &data, &len, err);
	if (!r) {
		r = br_eeprom_open(data, len, &f->image, err);
		if (r < 0)
			br_error_prefix(err, "%s", f->q->image);
	}
	if (!r)
		r = br_sign_read(f->q->firmware, &f->firmware, &f->firmware_len, err);
	if (!r)
		r = check_signatures(f, err);
	return !r ? check_update(f, hash, err) : r;
}

/* ---- the directory ---- */

static void config_of(struct br_text *text)
{
	br_text_add(text, "# Made by bramble sign fuse: burns the hash of the EEPROM image's public key into OTP. This cannot be undone.\n"
			  "uart_2ndstage=1\n"
			  "recovery_metadata=1\n"
			  "program_pubkey=1\n");
}

static int put(const char *dir, const char *name, const void *data, size_t len, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, name);

	return path ? br_file_write(path, data, len, 0644, err) : br_error_set(err, ENOMEM, "out of memory");
}

static int write_dir(struct fuse *f, struct br_error *err)
{
	bool two = f->image.soc == BR_SOC_BCM2712;
	struct br_text sig = BR_TEXT_NULL, config = BR_TEXT_NULL;
	size_t n = strlen(f->q->out);
	br_cleanup(br_freep) char *tmp = NULL;
	int r;

	while (n > 1 && f->q->out[n - 1] == '/')
		n--;
	tmp = br_asprintf("%.*s.part", (int)n, f->q->out);
	if (!tmp)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_mkdir_all(tmp, 0755, err);
	config_of(&config);
	if (!r)
		r = put(tmp, two ? "bootcode5.bin" : "bootcode4.bin", f->firmware, f->firmware_len, err);
	if (!r)
		r = put(tmp, "pieeprom.bin", f->image.data, f->image.len, err);
	if (!r)
		r = br_sign_sig_text(f->image.data, f->image.len, NULL, 0, &sig, err);
	if (!r)
		r = put(tmp, "pieeprom.sig", sig.buf, sig.len, err);
	if (!r)
		r = config.failed ? br_error_set(err, ENOMEM, "out of memory") : put(tmp, "config.txt", config.buf, config.len, err);
	/* all of it or none: a piece of it flashes a board that is not fused with an image for fused ones */
	if (!r && rename(tmp, f->q->out) < 0)
		r = br_error_set(err, errno, "%s: %m", f->q->out);
	if (r < 0)
		br_remove_tree(tmp, NULL);
	br_text_done(&config);
	br_text_done(&sig);
	return r;
}

/* ---- asking ---- */

static void tell(const struct fuse *f)
{
	printf("board         %s%s%s%s\n"
	       "processor     %s\n"
	       "key hash      %s\n"
	       "EEPROM image  %s\n"
	       "into OTP      the key hash (rows 47-54) and the flag that makes signed boot mandatory (row 55): for ever\n",
		f->serial, *f->board ? " (" : "", f->board, *f->board ? ")" : "", br_soc_name(f->image.soc), f->hash, f->q->image);
	if (f->image.soc == BR_SOC_BCM2711)
		printf("rescue        none for a Pi 4 or 400, unless a GPIO for rpiboot was burnt before (program_rpiboot_gpio, which bramble does\n"
		       "              not burn): an EEPROM that does not start is the board's end\n");
}

static bool typed(const char *prompt, const char *wanted, size_t n)
{
	char line[128] = "";

	printf("%s", prompt);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return false;
	line[strcspn(line, "\r\n")] = 0;
	return strlen(line) == n && !strncasecmp(line, wanted, n);
}

static int confirm(const struct fuse *f, struct br_error *err)
{
	if (!typed("Type the board's serial: ", f->serial, strlen(f->serial)))
		return br_error_set(err, ECANCELED, "that is not the serial; nothing was written");
	if (!typed("Type the first 16 digits of the key hash: ", f->hash, 16))
		return br_error_set(err, ECANCELED, "that is not the key hash; nothing was written");
	return 0;
}

static int burn(struct fuse *f, struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;
	char sum[BR_SHA256_HEX];
	int r;

	if (!access(f->q->out, F_OK))
		return br_error_set(err, EEXIST, "%s: exists; give a directory that is not there yet", f->q->out);
	r = confirm(f, err);
	if (r < 0)
		return r;
	br_sha256_hex(f->image.data, f->image.len, sum);
	text = br_asprintf("recovery directory %s that burns key hash %s (%s), with the EEPROM image %s", f->q->out, f->hash,
		br_soc_name(f->image.soc), sum);
	r = text ? br_audit(&f->q->common, "fuse", *f->board ? f->board : NULL, f->serial, text, err)
		 : br_error_set(err, ENOMEM, "out of memory");
	if (r < 0)
		return br_error_prefix(err, "nothing was written, as it cannot be logged");
	r = write_dir(f, err);
	if (!r)
		printf("%s is made. 'bramble usb boot -d %s --serial %s' burns it into the board; any board that gets this directory is fused.\n",
			f->q->out, f->q->out, f->serial);
	return r;
}

int br_cli_sign_fuse(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	struct fuse f = { .q = &q };
	struct br_error err = BR_ERROR_NULL;
	int code = br_sign_options(argc, argv, "koiwB", 1, 1, "a board or its serial", &q);
	int r;

	if (!code && (!q.key.key || !q.image || !q.firmware || !q.out))
		code = br_cli_usage("--key, --image, --firmware and --dir are needed");
	if (!code) {
		r = gather(&f, argv[q.first_word], &err);
		if (!r) {
			tell(&f);
			r = q.burn ? burn(&f, &err) : 0;
		}
		if (!r && !q.burn)
			printf("Nothing was written. --burn makes %s after the serial and the hash were typed.\n", q.out);
		code = r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
	}
	fuse_done(&f);
	br_sign_done(&q);
	return code;
}
