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
 *          of the card's own MBR, of more than three 2, 3, and from 5 on logical ones in an extended 4. What names them
 *          by number (PARTUUID, /dev/mmcblk0p2) in cmdline.txt and /etc/fstab is changed in place to what they are there
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

#define BR_FLASH_DISK_NAME 16
/* disk: what Linux calls it, as br_flash_linux_disk() says. -ENOTSUP with words: it cannot lie so (a name of a partition for
 * which there is no room in its text). */
int br_flash_plan_new(struct br_flash_map *map, const struct br_flash_place *place, const char *disk, struct br_flash_plan **ret,
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
/* The sector before logical partition i that leads to it and to the next, and where it lies. false: there are no more. */
bool br_flash_plan_logical(const struct br_flash_plan *plan, unsigned i, uint8_t ret[static BR_FLASH_SECTOR], uint64_t *ret_at);
/* Number on the card of a partition of the image; 0: it has none. */
unsigned br_flash_plan_number(const struct br_flash_plan *plan, unsigned part);
/* Words on what was changed ("cmdline.txt: PARTUUID=... is PARTUUID=..."), lines; "" when nothing was. */
const char *br_flash_plan_notes(const struct br_flash_plan *plan);

/* The name of a disk of U-Boot's to Linux, as partitions' numbers follow it: "mmcblk0p", "nvme0n1p", "sda". */
void br_flash_linux_disk(const char *bif, unsigned dev, char ret[static BR_FLASH_DISK_NAME]);
/* The disk that an image means when it says /dev/... of itself, by root= of its kernel's arguments, or by the lines for / and
 * /boot of its fstab. false: it names none there. Hostile text. */
bool br_flash_own_disk(const char *text, size_t len, bool fstab, char ret[static BR_FLASH_DISK_NAME]);

struct br_flash_names {
	const struct br_image_info *info;
	const unsigned *to; /* to[i]: the number on the card of info->partitions[i] */
	uint32_t disk_id;
	char was[BR_FLASH_DISK_NAME], is[BR_FLASH_DISK_NAME]; /* of the disk; was "" : none is named so */
};
struct br_flash_renamed {
	unsigned changed, stuck; /* stuck: there is no room for the new name */
};
/* Renames in a text what names the image's partitions, keeping its length. Names of other disks stay. Hostile text. */
struct br_flash_renamed br_flash_rename(const struct br_flash_names *names, char *text, size_t len);
