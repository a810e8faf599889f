/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.img with its boot.sig, as a bootloader checks them: hash and SoC always, the RSA signature when the board was given the
 * public key in its EEPROM. By HTTP boot.sig comes first, by TFTP boot.img (wire facts 3; symptom 38).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "sim/board_private.h"

#define IMAGE_MAX (128ull << 20) /* what firmware takes (systems facts d.5) */

/* Which processor this is, as boot.sig names it. */
static unsigned soc_of(const struct br_sim_board *b)
{
	return !strcmp(b->config.model->platform, "bcm2712") ? 2712 : 2711;
}

/* What boot.sig says, but for the hash. The signature is over boot.img: the hash in line 1 stands for it. False: the boot is over. */
static bool sig_agrees(struct br_sim_board *b, const struct br_sigfile *sig)
{
	if (!sig->has_rsa)
		br_sim_board_give_up(b, "boot.sig has no line 'rsa2048:': only signed images are taken");
	else if (sig->target_soc && sig->target_soc != soc_of(b))
		br_sim_board_give_up(b, "boot.sig is for BCM%u, this board has a BCM%u", sig->target_soc, soc_of(b));
	else if (b->config.signed_key && br_rsapub_verify(b->config.signed_key, sig->sha256, sig->rsa) < 0)
		br_sim_board_give_up(b, "boot.sig was not signed with the key of this board");
	else
		return true;
	return false;
}

/* Both are there. */
static void open_image(struct br_sim_board *b)
{
	struct br_error err = BR_ERROR_NULL;
	uint8_t hash[32];
	char hex[65];
	int r;

	br_sha256_once(b->image.data, b->image.len, hash);
	br_hex(hex, hash, sizeof(hash));
	if (strcasecmp(hex, b->image_hash) != 0) {
		br_sim_board_give_up(b, "boot.img is not the file that boot.sig signs: its SHA-256 is %s", hex);
		return;
	}
	r = br_fat_open(b->image.data, b->image.len, &b->files, &err);
	if (r < 0)
		br_sim_board_give_up(b, "boot.img is no FAT file system: %s", br_error_text(&err, r));
	b->prefix[0] = 0; /* names inside have no directory */
}

void br_sim_board_take_sig(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	const char *text = (const char *)b->tftp.data;
	size_t n = (size_t)b->tftp.size;
	struct br_error err = BR_ERROR_NULL;
	struct br_sigfile sig;

	if (!found)
		return;
	if (br_sigfile_parse(text, n, &sig, &err) < 0) {
		br_sim_board_give_up(b, "boot.sig cannot be read: %s", err.text);
		return;
	}
	if (!sig_agrees(b, &sig))
		return;
	br_hex(b->image_hash, sig.sha256, sizeof(sig.sha256));
	if (b->image.data)
		open_image(b);
}

void br_sim_board_take_img(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	if (!found)
		return;
	if (b->tftp.size > IMAGE_MAX) {
		br_sim_board_give_up(b, "boot.img has %llu bytes; firmware takes 128 MiB at most", (unsigned long long)b->tftp.size);
		return;
	}
	b->image.len = (size_t)b->tftp.size;
	b->image.data = br_take(b->tftp.data);
	if (b->image_hash[0])
		open_image(b);
}
