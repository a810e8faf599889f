/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/*
 * The .sig text files of Raspberry Pi's bootloaders (systems notes d.3): beside boot.img, pieeprom.bin, pieeprom.upd and,
 * inside the EEPROM, bootconf.txt. Lines, in this order:
 *
 *   64 hex digits            SHA-256 of the file
 *   ts: 1700000000           when it was made, seconds since 1970; an update is taken when it is newer
 *   target-soc: 2712         optional
 *   rsa2048: 512 hex digits  optional: PKCS#1 v1.5 with SHA-256 over the file itself
 */
#define BR_SIGFILE_MAX 4096 /* bytes of such a file; ours have at most 650 */
#define BR_RSA_BYTES   256  /* RSA-2048: modulus and signature */

struct br_sigfile {
	uint8_t sha256[32];
	bool has_ts, has_rsa;
	uint64_t ts;
	unsigned target_soc; /* 2711, 2712; 0: not said */
	uint8_t rsa[BR_RSA_BYTES]; /* as in the PKCS#1 standard: big-endian */
};

/* text: hostile, need not be terminated. Digits of either case, lines ended by \n or \r\n, lines behind the first in any
 * order; lines with names we do not know are passed over. -EBADMSG with words that name the line. */
int br_sigfile_parse(const char *text, size_t len, struct br_sigfile *ret, struct br_error *err);
/* As parse, from a file. -ENOENT: no such file. */
int br_sigfile_read(const char *path, struct br_sigfile *ret, struct br_error *err);

/* Hash of data, a time (br_sigfile_time()), no SoC and no signature. */
void br_sigfile_of(const void *data, size_t len, uint64_t ts, struct br_sigfile *ret);
/* The text, byte for byte as the published tools write it. */
void br_sigfile_write(const struct br_sigfile *sig, struct br_text *out);

/* The time to put into signatures: $SOURCE_DATE_EPOCH, else now. -EINVAL with words: it is no number. */
int br_sigfile_time(uint64_t *ret, struct br_error *err);
