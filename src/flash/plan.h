/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "flash/map.h"

/*
 * An image laid out on one board's card: where each window goes, and the few bytes that differ there from the image's.
 *
 *   whole  the image as it is, its partition table and all, from the card's first sector on
 *   card   behind partition 1 of a recovery card (docs/flash.md), which keeps it: the image's partitions become 2, 3, 4
 *          of the card's own MBR. What names them by number (PARTUUID, /dev/mmcblk0p2) in cmdline.txt and /etc/fstab is
 *          changed in place to what they are there
 *
 * Immutable; counted; any thread.
 */
struct br_flash_plan;

struct br_flash_place {
	bool card;
	uint64_t first_start, first_size; /* card: bytes, of its partition 1 */
	uint32_t disk_id;		  /* card: of its MBR */
};

#define BR_FLASH_SECTOR 512u

/* "whole", or "card/START/SIZE/ID-01" as U-Boot's 'part' says them: hexadecimal, in sectors. Hostile text. -EINVAL. */
int br_flash_place_parse(const char *text, struct br_flash_place *ret);
/* The same back. ret: 64 bytes. */
void br_flash_place_format(const struct br_flash_place *place, char *ret, size_t size);

/* -ENOTSUP with words: it cannot lie so (more than three partitions behind a recovery partition). */
int br_flash_plan_new(struct br_flash_map *map, const struct br_flash_place *place, struct br_flash_plan **ret,
	struct br_error *err);
struct br_flash_plan *br_flash_plan_ref(struct br_flash_plan *plan);
void br_flash_plan_unref(struct br_flash_plan *plan);

struct br_flash_map *br_flash_plan_map(const struct br_flash_plan *plan); /* not a new reference */
const struct br_flash_place *br_flash_plan_place(const struct br_flash_plan *plan);
uint32_t br_flash_plan_windows(const struct br_flash_plan *plan);
uint64_t br_flash_plan_bytes(const struct br_flash_plan *plan); /* of them */
uint64_t br_flash_plan_end(const struct br_flash_plan *plan);	/* bytes the card must have */
/* Where an extent goes, in bytes from the card's start. */
uint64_t br_flash_plan_to(const struct br_flash_plan *plan, const struct br_flash_extent *e);

/* As of the map, with what differs. */
int br_flash_plan_read(const struct br_flash_plan *plan, uint32_t w, uint32_t offset, void *buf, uint32_t len);
bool br_flash_plan_touches(const struct br_flash_plan *plan, uint32_t w); /* bytes of it differ from the image's */
uint32_t br_flash_plan_crc(const struct br_flash_plan *plan, uint32_t w);
const uint32_t *br_flash_plan_leaf_crcs(const struct br_flash_plan *plan, uint32_t w);

/* card: entries 2, 3 and 4 of the MBR, 48 bytes. */
void br_flash_plan_table(const struct br_flash_plan *plan, uint8_t ret[static 48]);
/* Number on the card of a partition of the image; 0: it has none. */
unsigned br_flash_plan_number(const struct br_flash_plan *plan, unsigned part);
/* Words on what was changed ("cmdline.txt: PARTUUID=... is PARTUUID=..."), lines; "" when nothing was. */
const char *br_flash_plan_notes(const struct br_flash_plan *plan);

/*
 * Renames in a text what names the image's partitions, keeping its length. to[i]: the number on the card of
 * info->partitions[i]. Returns how many names it changed.
 */
unsigned br_flash_rename(const struct br_image_info *info, const unsigned *to, uint32_t disk_id, char *text, size_t len);
