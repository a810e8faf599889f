/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/image.h"

/*
 * What of an image must be on a card that holds it: the blocks its file systems use, and of what we cannot read all. Free
 * blocks of FAT and ext4 are left as they are on the card; blocks in use that hold zeros are not.
 *
 * These extents are cut into windows of bounded size (what a board reads, fetches and writes at once), and windows into
 * leaves: the smallest that is compared and sent alone. Each has the CRC-32 U-Boot's 'crc32' would print.
 *
 * Immutable once made; counted; any thread.
 */
struct br_flash_map;

#define BR_FLASH_LEAF	 65536u
#define BR_FLASH_WINDOW	 (16u << 20)
#define BR_FLASH_EXTENTS 48u /* of a window: bounds the length of its scripts */

struct br_flash_extent {
	unsigned part; /* number of the image's partition it is in; 0: in none (table, boot code) */
	uint64_t at;   /* in the image's disk; as len a multiple of 512 */
	uint32_t len;
};

struct br_flash_window {
	uint32_t first, n; /* extents, packed one behind the other */
	uint32_t len;	   /* bytes of all of them */
	uint32_t first_leaf;
	uint32_t crc;
};

/*
 * Reads the whole image: takes seconds. *cancelled (may be NULL) ends it with -ECANCELED; *ret_done (may be NULL) counts
 * the bytes read.
 */
int br_flash_map_new(struct br_image *image, const atomic_bool *cancelled, _Atomic uint64_t *ret_done,
	struct br_flash_map **ret, struct br_error *err);
struct br_flash_map *br_flash_map_ref(struct br_flash_map *map);
void br_flash_map_unref(struct br_flash_map *map);

struct br_image *br_flash_map_image(const struct br_flash_map *map); /* not a new reference */
/* Windows of partitions come first; of what is outside of them the others, the disk's first sectors last of all. */
uint32_t br_flash_map_windows(const struct br_flash_map *map, uint32_t *ret_inside);
const struct br_flash_window *br_flash_map_window(const struct br_flash_map *map, uint32_t w);
const struct br_flash_extent *br_flash_map_extents(const struct br_flash_map *map, uint32_t w);
uint32_t br_flash_map_leaves(const struct br_flash_map *map, uint32_t w);
const uint32_t *br_flash_map_leaf_crcs(const struct br_flash_map *map, uint32_t w);
uint32_t br_flash_leaf_len(const struct br_flash_window *w, uint32_t leaf);
uint64_t br_flash_map_bytes(const struct br_flash_map *map, bool outside); /* of all windows */

/* Bytes [offset, offset + len) of a window, packed. */
int br_flash_map_read(const struct br_flash_map *map, uint32_t w, uint32_t offset, void *buf, uint32_t len);
/* Which window has this byte of the image's disk, and where; false: none has. *ret_len: how many lie behind it there. */
bool br_flash_map_find(const struct br_flash_map *map, uint64_t at, uint32_t *ret_w, uint32_t *ret_offset, uint32_t *ret_len);

/* The CRC of n leaves in a row, from those of each. */
uint32_t br_flash_crc_join(const struct br_flash_window *w, const uint32_t *leaf_crcs, uint32_t from, uint32_t n);
