/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "flash/plan.h"

/*
 * What a board's U-Boot runs to write its card: scripts made from a plan, each small, fetched one after the other. All
 * knowledge is the server's; the board keeps nothing but a few variables (bf_*), so a power cut costs the window it was in.
 *
 *   start    names and addresses, finds the card, asks for the plan by telling what it found, then one group after another
 *   group    windows: reads each, compares its CRC, and where it differs runs bf_fix
 *   detail   the same for the leaves of one window: which of them differ, as a mask
 *   chunk    the leaves of a mask, gzipped ("d"), and the script ("s") that unpacks, writes, reads back and compares: a FIT
 *            (SHA-256), or, where U-Boot has none, a legacy image (CRC-32)
 *   table    the same with entries 2 to 4 of the MBR and the script that writes them last
 *
 * Numbers in scripts are hexadecimal, as U-Boot reads them.
 */

enum br_flash_verify {
	BR_FLASH_VERIFY_HASH, /* what is written is read back and compared */
	BR_FLASH_VERIFY_FULL, /* ... and when all is written, all is read once more */
	BR_FLASH_VERIFY_NONE,
};

struct br_flash_job {
	uint64_t id;
	char bif[8];  /* U-Boot's command for the card: "mmc", "virtio", "nvme", "usb", "scsi" */
	unsigned dev; /* its number there */
	enum br_flash_verify verify;
	bool native; /* its crc32 stores sums as its processor does, else big-endian: Debian's builds differ */
	bool fine; /* compare leaves before fetching: worth it when most of the card is right already */
};

/* A sum as itest reads it where crc32 stored it. */
static inline uint32_t br_flash_as_loaded(const struct br_flash_job *job, uint32_t crc)
{
	return job->native ? crc : __builtin_bswap32(crc);
}

/* "mmc0", "mmc 0", "nvme1". -EINVAL. */
int br_flash_target_parse(const char *text, char bif[static 8], unsigned *ret_dev);

#define BR_FLASH_GROUP 16u /* windows in one script */
uint32_t br_flash_groups(const struct br_flash_plan *plan);

/* All add the text of a script. */
void br_flash_script_start(const struct br_flash_job *job, struct br_text *t);
void br_flash_script_wait(struct br_text *t); /* the plan is being made */
void br_flash_script_stop(const char *why, struct br_text *t); /* as the plan: why is a word for fail/ */
/* again: the last pass of 'full', where what differs is a failure. */
void br_flash_script_group(const struct br_flash_job *job, const struct br_flash_plan *plan, uint32_t group, bool again,
	struct br_text *t);
void br_flash_script_detail(const struct br_flash_job *job, const struct br_flash_plan *plan, uint32_t w, struct br_text *t);

/* Leaves of a window: bit i of word i / 16. */
struct br_flash_mask {
	uint16_t bits[BR_FLASH_WINDOW / BR_FLASH_LEAF / 16];
};
/* "all", or words of 16 bits in hexadecimal, each with a '.' behind it. Hostile text. -EINVAL; no leaf at all is one, too. */
int br_flash_mask_parse(const char *text, uint32_t n_leaves, struct br_flash_mask *ret);

/* Whether this U-Boot knows FITs (Debian's for QEMU do, its for the Raspberry Pi do not): a small one for iminfo. */
int br_flash_probe(uint8_t **ret, size_t *ret_len, struct br_error *err);
/* A FIT, or a legacy image; free(). *ret_bytes: unpacked. -ENOMEM, -EIO. */
int br_flash_chunk(const struct br_flash_job *job, const struct br_flash_plan *plan, bool fit, uint32_t w,
	const struct br_flash_mask *mask, uint8_t **ret, size_t *ret_len, uint64_t *ret_bytes, struct br_error *err);
int br_flash_table(const struct br_flash_job *job, const struct br_flash_plan *plan, bool fit, uint8_t **ret, size_t *ret_len,
	struct br_error *err);
