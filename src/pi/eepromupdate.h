/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "pi/eeprom.h"
#include "pi/findings.h"

/*
 * The files that bring an image into a board's EEPROM, and the reasons not to (systems notes c.9, d.4, d.6). No file is written
 * here.
 */
enum br_eeprom_road {
	BR_EEPROM_SELF_UPDATE, /* pieeprom.upd, pieeprom.sig: taken by the bootloader that is in the board, from its boot media or TFTP */
	BR_EEPROM_RESCUE,      /* recovery.bin, pieeprom.bin, pieeprom.sig on a card: by the ROM */
	BR_EEPROM_RPIBOOT,     /* bootcode4.bin or bootcode5.bin, config.txt, pieeprom.bin, pieeprom.sig: over USB */
};

#define BR_EEPROM_FILES 4
struct br_eeprom_update {
	const struct br_eeprom *image;
	enum br_eeprom_road road;
	const void *recovery; /* recovery.bin; NULL for a self-update */
	size_t recovery_len;
	enum br_soc board;   /* whom it is for; UNKNOWN: not said */
	bool fused;	     /* the board has the key's hash in its OTP */
	bool fusing;	     /* with fused: it gets it by this very update, and takes a recovery.bin that is not counter-signed */
	const uint8_t *key_hash; /* with fused: the 32 bytes in the OTP (br_rsapub_hash()); NULL: not known */
	uint32_t floor;	     /* no image built before; 0: none */
	uint32_t lowered;    /* the floor stood there, and was set lower for this update; 0: it was not */
	const char *current; /* bootconf.txt that the board has now; NULL: not known */
	size_t current_len;
	const char *options; /* lines of config.txt, for RPIBOOT; "" */
};

/* Images older than this killed boards made later (raspberrypi/rpi-eeprom#838: one of 2023-01 all of a batch of 2025), and nothing
 * on such a board tells it apart. Raspberry Pi made the release of that day the least for all boards. */
#define BR_EEPROM_FLOOR 1739232000u /* 2025-02-11 */

/* The reasons against it as errors, each of which --force may pass over; the same for whoever writes an EEPROM (update, sign
 * fuse). None: f is left empty. */
void br_eeprom_update_check(const struct br_eeprom_update *u, struct br_findings *f);

/* One file of the update: pointers into u or, where owned, its own. */
struct br_eeprom_update_file {
	const char *name;
	const void *data;
	size_t len;
	char *owned;
};
/* The files, the signature last: whoever reads meanwhile sees no signature of a file that is not there. ts: of pieeprom.sig.
 * Returns how many; -ENOMEM. */
int br_eeprom_update_files(const struct br_eeprom_update *u, uint64_t ts, struct br_eeprom_update_file ret[static BR_EEPROM_FILES],
	struct br_error *err);
void br_eeprom_update_files_done(struct br_eeprom_update_file *files, int n);

/* A line KEY=VALUE of recovery's config.txt. -EINVAL with words: unknown, out of range, not of this chip; -EPERM: it would burn
 * fuses. */
int br_eeprom_recovery_option(enum br_soc soc, const char *line, struct br_error *err);
