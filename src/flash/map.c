/* SPDX-License-Identifier: Apache-2.0 */
/* An image's blocks that matter, as windows and leaves with their CRCs. */
#include "flash/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "store/blocks.h"
#include "store/disk.h"
#include "store/extfs.h"
#include "store/fat.h"

#define ALIGN	 4096u
#define GAP_MAX	 65536u /* a free run shorter than this is written: as many extents, scripts and seeks less */
#define HEAD	 4096u	/* the disk's first sectors: table and boot code */
#define READ_MAX (1u << 20)
#define EXTENTS_MAX (UINT32_MAX / 4)
#define EXT4_RECOVER 4u /* s_feature_incompat: the journal holds what the blocks do not say yet */

struct br_flash_map {
	atomic_uint refs;
	struct br_image *image;
	uint64_t root_start, root_size;
	struct br_flash_extent *extents;
	uint32_t n_extents, n_windows, n_inside;
	size_t cap_extents, cap_windows;
	struct br_flash_window *windows;
	uint32_t *leaf_crc;
	uint32_t n_leaves;
	bool cut; /* the next extent begins a window */
};

BR_DEFINE_CLEANUP(struct br_flash_map *, br_flash_map_unref);

/* ---- windows ---- */

/* The window that has room for another extent, or a new one. */
static int open_window(struct br_flash_map *map, struct br_flash_window **ret)
{
	struct br_flash_window *w = map->n_windows ? &map->windows[map->n_windows - 1] : NULL;
	int r;

	if (w && !map->cut && w->n < BR_FLASH_EXTENTS && w->len < BR_FLASH_WINDOW) {
		*ret = w;
		return 0;
	}
	r = br_array_reserve(&map->windows, &map->cap_windows, map->n_windows + 1, sizeof(*w));
	if (r < 0)
		return r;
	map->cut = false;
	*ret = &map->windows[map->n_windows++];
	**ret = (struct br_flash_window){ .first = map->n_extents };
	return 0;
}

static int put(struct br_flash_map *map, unsigned part, uint64_t at, uint64_t len)
{
	while (len) {
		struct br_flash_window *w;
		uint64_t n;
		int r = map->n_extents < EXTENTS_MAX ? open_window(map, &w) : -EFBIG;

		if (!r)
			r = br_array_reserve(&map->extents, &map->cap_extents, map->n_extents + 1, sizeof(*map->extents));
		if (r < 0)
			return r;
		n = BR_FLASH_WINDOW - w->len;
		n = len < n ? len : n;
		map->extents[map->n_extents++] = (struct br_flash_extent){ part, at, (uint32_t)n };
		w->n++;
		w->len += (uint32_t)n;
		at += n;
		len -= n;
	}
	return 0;
}

/* ---- what is in use ---- */

/* Runs of one partition on their way to the map: rounded to whole blocks, near ones joined. */
struct adding {
	struct br_flash_map *map;
	unsigned part;
	uint64_t start, size; /* of the partition */
	uint64_t from, to;    /* the run that grows, in the partition; to 0: none */
};

static int flush(struct adding *a)
{
	int r = a->to ? put(a->map, a->part, a->start + a->from, a->to - a->from) : 0;

	a->to = 0;
	return r;
}

static int add_run(void *ctx, uint64_t offset, uint64_t len)
{
	struct adding *a = ctx;
	uint64_t from = offset & ~(uint64_t)(ALIGN - 1), to = (offset + len + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
	int r = 0;

	to = to < a->size ? to : a->size;
	if (from >= to)
		return 0;
	if (a->to && from <= a->to + GAP_MAX) {
		a->to = to > a->to ? to : a->to;
		return 0;
	}
	r = flush(a);
	a->from = from;
	a->to = to;
	return r;
}

static void fs_close(struct br_fs *fs)
{
	fs->ops->close(fs);
}
BR_DEFINE_CLEANUP(struct br_fs *, fs_close);
BR_DEFINE_CLEANUP(struct br_blocks *, br_blocks_unref);

/* 1: not one whose bitmaps can be trusted, all of it counts. */
static int add_ext(struct adding *a, struct br_blocks *blocks)
{
	br_cleanup(fs_closep) struct br_fs *fs = NULL;
	struct br_error err = BR_ERROR_NULL;
	uint8_t feature[4];

	if (br_blocks_read(blocks, 1024 + 96, feature, sizeof(feature)) < 0 || br_load_le32(feature) & EXT4_RECOVER)
		return 1;
	if (br_blocks_fs(a->map->image, blocks, &fs, &err) < 0)
		return 1;
	return br_extfs_in_use(fs, add_run, a);
}

static int add_partition(struct br_flash_map *map, const struct br_partition *p, struct br_error *err)
{
	const struct br_image_info *info = br_image_info(map->image);
	struct adding a = { .map = map, .part = p->number, .start = p->start, .size = p->size & ~511ull };
	const struct br_fat *boot = br_image_boot(map->image);
	uint32_t n_windows = map->n_windows, n_extents = map->n_extents;
	int r = 1;

	if (p->number == info->boot && boot)
		r = br_fat_in_use(boot, add_run, &a);
	else if (p->number == info->root && br_image_blocks(map->image))
		r = !strncmp(p->fs, "ext", 3) ? add_ext(&a, br_image_blocks(map->image)) : 1;
	else if (!strncmp(p->fs, "ext", 3)) {
		br_cleanup(br_blocks_unrefp) struct br_blocks *blocks = NULL;

		r = br_blocks_new(br_image_fd(map->image), p->start, a.size, &blocks, err);
		r = r < 0 ? r : add_ext(&a, blocks);
	}
	if (r < 0 && r != -EUCLEAN)
		return br_error_set(err, -r, "image %s, partition %u: %s", info->name, p->number, strerrordesc_np(-r));
	if (r) { /* another file system, or a damaged one: as it is, zeros and all. What was found before the damage counts once */
		map->n_windows = n_windows;
		map->n_extents = n_extents;
		map->cut = true;
		a.to = a.from = 0;
		r = add_run(&a, 0, a.size);
	}
	return r < 0 ? r : flush(&a);
}

static bool in_partition(const struct br_image_info *info, uint64_t at, uint64_t *ret_end, uint64_t *ret_next)
{
	*ret_next = info->size;
	for (unsigned i = 0; i < info->n_partitions; i++) {
		const struct br_partition *p = &info->partitions[i];

		if (at >= p->start && at < p->start + p->size) {
			*ret_end = p->start + p->size;
			return true;
		}
		if (p->start > at && p->start < *ret_next)
			*ret_next = p->start;
	}
	return false;
}

/* What is between partitions and holds data: boot code, the copy of a GPT. The first sectors make a window of their own. */
static int add_outside(struct br_flash_map *map)
{
	const struct br_image_info *info = br_image_info(map->image);
	uint64_t at = HEAD, size = info->size & ~511ull;
	int r = 0;

	map->cut = true;
	while (!r && at < size) {
		uint64_t end, next;
		off_t data, hole;

		if (in_partition(info, at, &end, &next)) {
			at = end;
			continue;
		}
		data = lseek(br_image_fd(map->image), (off_t)at, SEEK_DATA);
		if (data < 0 || (uint64_t)data >= next) {
			if (data < 0 && errno != ENXIO)
				return -errno;
			at = next;
			continue;
		}
		hole = lseek(br_image_fd(map->image), data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		at = (uint64_t)hole < next ? (uint64_t)hole : next;
		at = at < size ? at : size;
		data &= ~511;
		r = put(map, 0, (uint64_t)data, (at - (uint64_t)data + 511) & ~511ull);
	}
	map->cut = true;
	return r ? r : put(map, 0, 0, HEAD);
}

/* ---- bytes ---- */

static int read_at(const struct br_flash_map *map, const struct br_flash_extent *e, uint32_t offset, void *buf, uint32_t len)
{
	const struct br_image_info *info = br_image_info(map->image);
	uint64_t at = e->at + offset;

	if (e->part && e->part == info->root && br_image_blocks(map->image))
		return br_blocks_read(br_image_blocks(map->image), at - map->root_start, buf, len);
	return br_pread_all(br_image_fd(map->image), buf, len, at);
}

int br_flash_map_read(const struct br_flash_map *map, uint32_t w, uint32_t offset, void *buf, uint32_t len)
{
	const struct br_flash_window *win = &map->windows[w];
	uint8_t *p = buf;

	for (uint32_t i = 0; i < win->n && len; i++) {
		const struct br_flash_extent *e = &map->extents[win->first + i];
		uint32_t n;
		int r;

		if (offset >= e->len) {
			offset -= e->len;
			continue;
		}
		n = e->len - offset < len ? e->len - offset : len;
		r = read_at(map, e, offset, p, n);
		if (r < 0)
			return r;
		p += n;
		len -= n;
		offset = 0;
	}
	return len ? -EIO : 0;
}

bool br_flash_map_find(const struct br_flash_map *map, uint64_t at, uint32_t *ret_w, uint32_t *ret_offset, uint32_t *ret_len)
{
	for (uint32_t w = 0; w < map->n_windows; w++) {
		const struct br_flash_window *win = &map->windows[w];
		uint32_t packed = 0;

		for (uint32_t i = 0; i < win->n; i++) {
			const struct br_flash_extent *e = &map->extents[win->first + i];

			if (at >= e->at && at < e->at + e->len) {
				*ret_w = w;
				*ret_offset = packed + (uint32_t)(at - e->at);
				*ret_len = (uint32_t)(e->at + e->len - at);
				return true;
			}
			packed += e->len;
		}
	}
	return false;
}

/* ---- CRCs ---- */

static uint32_t leaves_of(const struct br_flash_window *w)
{
	return (w->len + BR_FLASH_LEAF - 1) / BR_FLASH_LEAF;
}

uint32_t br_flash_leaf_len(const struct br_flash_window *w, uint32_t leaf)
{
	uint32_t left = w->len - leaf * BR_FLASH_LEAF;

	return left < BR_FLASH_LEAF ? left : BR_FLASH_LEAF;
}

uint32_t br_flash_crc_join(const struct br_flash_window *w, const uint32_t *leaf_crcs, uint32_t from, uint32_t n)
{
	uLong crc = 0;

	for (uint32_t i = from; i < from + n; i++)
		crc = crc32_combine(crc, leaf_crcs[i], br_flash_leaf_len(w, i));
	return (uint32_t)crc;
}

static int sum_window(struct br_flash_map *map, uint32_t w, uint8_t *buf)
{
	struct br_flash_window *win = &map->windows[w];
	uint32_t *crcs = map->leaf_crc + win->first_leaf;

	for (uint32_t at = 0; at < win->len; at += READ_MAX) {
		uint32_t n = win->len - at < READ_MAX ? win->len - at : READ_MAX;
		int r = br_flash_map_read(map, w, at, buf, n);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < n; i += BR_FLASH_LEAF)
			crcs[(at + i) / BR_FLASH_LEAF] = (uint32_t)crc32(0, buf + i, br_flash_leaf_len(win, (at + i) / BR_FLASH_LEAF));
	}
	win->crc = br_flash_crc_join(win, crcs, 0, leaves_of(win));
	return 0;
}

static int sum_all(struct br_flash_map *map, const atomic_bool *cancelled, _Atomic uint64_t *ret_done, struct br_error *err)
{
	br_cleanup(br_freep) uint8_t *buf = malloc(READ_MAX);
	int r = 0;

	for (uint32_t w = 0; w < map->n_windows; w++) {
		map->windows[w].first_leaf = map->n_leaves;
		map->n_leaves += leaves_of(&map->windows[w]);
	}
	map->leaf_crc = calloc(map->n_leaves ? map->n_leaves : 1, sizeof(*map->leaf_crc));
	if (!map->leaf_crc || !buf)
		return br_error_set(err, ENOMEM, "out of memory");
	for (uint32_t w = 0; !r && w < map->n_windows; w++) {
		if (cancelled && *cancelled)
			return br_error_set(err, ECANCELED, "interrupted");
		r = sum_window(map, w, buf);
		if (ret_done)
			*ret_done += map->windows[w].len;
	}
	if (r < 0)
		return br_error_set(err, -r, "image %s: cannot be read: %s", br_image_info(map->image)->name, strerrordesc_np(-r));
	return 0;
}

/* ---- the whole ---- */

int br_flash_map_new(struct br_image *image, const atomic_bool *cancelled, _Atomic uint64_t *ret_done,
	struct br_flash_map **ret, struct br_error *err)
{
	br_cleanup(br_flash_map_unrefp) struct br_flash_map *map = calloc(1, sizeof(*map));
	const struct br_image_info *info = br_image_info(image);
	int r = 0;

	if (!map)
		return br_error_set(err, ENOMEM, "out of memory");
	map->refs = 1;
	map->image = br_image_ref(image);
	br_image_root(image, &map->root_start, &map->root_size);
	for (unsigned i = 0; !r && i < info->n_partitions; i++) {
		map->cut = true; /* windows of a partition are the same wherever it comes to lie */
		r = add_partition(map, &info->partitions[i], err);
	}
	map->n_inside = map->n_windows;
	if (!r)
		r = add_outside(map);
	if (r < 0)
		return err && err->code ? r : br_error_set(err, -r, "image %s: %s", info->name, strerrordesc_np(-r));
	r = sum_all(map, cancelled, ret_done, err);
	if (r < 0)
		return r;
	*ret = br_take(map);
	return 0;
}

struct br_flash_map *br_flash_map_ref(struct br_flash_map *map)
{
	map->refs++;
	return map;
}

void br_flash_map_unref(struct br_flash_map *map)
{
	if (!map || --map->refs)
		return;
	br_image_unref(map->image);
	free(map->extents);
	free(map->windows);
	free(map->leaf_crc);
	free(map);
}

struct br_image *br_flash_map_image(const struct br_flash_map *map)
{
	return map->image;
}

uint32_t br_flash_map_windows(const struct br_flash_map *map, uint32_t *ret_inside)
{
	if (ret_inside)
		*ret_inside = map->n_inside;
	return map->n_windows;
}

const struct br_flash_window *br_flash_map_window(const struct br_flash_map *map, uint32_t w)
{
	return &map->windows[w];
}

const struct br_flash_extent *br_flash_map_extents(const struct br_flash_map *map, uint32_t w)
{
	return &map->extents[map->windows[w].first];
}

uint32_t br_flash_map_leaves(const struct br_flash_map *map, uint32_t w)
{
	return leaves_of(&map->windows[w]);
}

const uint32_t *br_flash_map_leaf_crcs(const struct br_flash_map *map, uint32_t w)
{
	return map->leaf_crc + map->windows[w].first_leaf;
}

uint64_t br_flash_map_bytes(const struct br_flash_map *map, bool outside)
{
	uint64_t sum = 0;

	for (uint32_t w = 0; w < (outside ? map->n_windows : map->n_inside); w++)
		sum += map->windows[w].len;
	return sum;
}
