/* SPDX-License-Identifier: Apache-2.0 */
/* An image on one card. */
#include "flash/plan.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "store/disk.h"
#include "store/extfs.h"
#include "store/fat.h"
#include "store/fs.h"

#define CARD_ALIGN (4u << 20) /* what cards erase at once, or a part of it */
#define EXTENDED   0x0f	      /* by sectors */
#define BEHIND_MAX 3	      /* partitions behind the first: an MBR has four entries */
#define LOGICAL_MAX 32	      /* partitions in its extended one: fewer than any kernel and U-Boot finds */
#define TEXT_MAX   65536u     /* of a file we look into */

struct patch { /* bytes that differ from the image's */
	uint64_t at; /* in its disk */
	uint32_t len;
	uint8_t *bytes;
};

struct touched { /* a window that has some, its CRCs anew */
	uint32_t w, crc;
	uint32_t *leaf_crcs;
};

struct br_flash_plan {
	atomic_uint refs;
	struct br_flash_map *map;
	struct br_flash_place place;
	uint64_t to[BR_PARTITIONS_MAX];	     /* of the image's partition i: bytes from the card's start */
	uint64_t lead[BR_PARTITIONS_MAX];    /* of a logical one: its sector of the chain */
	unsigned number[BR_PARTITIONS_MAX];
	unsigned primary; /* partitions of the image that have an entry of the MBR; the others are logical */
	uint64_t end;
	struct patch *patches;
	size_t n_patches;
	struct touched *touched;
	size_t n_touched;
	struct br_text notes;
};

BR_DEFINE_CLEANUP(struct br_flash_plan *, br_flash_plan_unref);

/* ---- the place ---- */

static bool hex_part(const char **s, char end, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	const char *p = *s;

	for (; isxdigit((unsigned char)*p); p++) {
		v = v << 4 | (uint64_t)(*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
		if (v > max)
			return false;
	}
	if (p == *s || *p != end)
		return false;
	*s = p + 1;
	*ret = v;
	return true;
}

int br_flash_place_parse(const char *text, struct br_flash_place *ret)
{
	static const char card[] = "card/";
	uint64_t start, size, id;
	const char *s = text + sizeof(card) - 1;

	if (!strcmp(text, "whole")) {
		*ret = (struct br_flash_place){ 0 };
		return 0;
	}
	if (strncmp(text, card, sizeof(card) - 1) || !hex_part(&s, '/', UINT32_MAX, &start) || !hex_part(&s, '/', UINT32_MAX, &size) ||
		!hex_part(&s, '-', UINT32_MAX, &id) || strcmp(s, "01") != 0 || !start || !size)
		return -EINVAL;
	*ret = (struct br_flash_place){
		.card = true,
		.first_start = start * BR_FLASH_SECTOR,
		.first_size = size * BR_FLASH_SECTOR,
		.disk_id = (uint32_t)id,
	};
	return 0;
}

void br_flash_place_format(const struct br_flash_place *place, char *ret, size_t size)
{
	if (!place->card)
		snprintf(ret, size, "whole");
	else
		snprintf(ret, size, "card/%" PRIx64 "/%" PRIx64 "/%08x-01", place->first_start / BR_FLASH_SECTOR,
			place->first_size / BR_FLASH_SECTOR, place->disk_id);
}

/* ---- files of the image that name partitions ---- */

struct run { /* a piece of a file in the image's disk */
	uint64_t offset, at, len;
};

struct runs {
	struct run v[64];
	size_t n;
};

static int add_patch(struct br_flash_plan *plan, uint64_t at, const char *bytes, size_t len)
{
	struct patch *p = reallocarray(plan->patches, plan->n_patches + 1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	plan->patches = p;
	p += plan->n_patches;
	p->bytes = malloc(len);
	if (!p->bytes)
		return -ENOMEM;
	memcpy(p->bytes, bytes, len);
	p->at = at;
	p->len = (uint32_t)len;
	plan->n_patches++;
	return 0;
}

/* Patches for what differs between two texts of one length that lie in runs. */
static int patch_runs(struct br_flash_plan *plan, const struct runs *runs, const char *was, const char *is, size_t len)
{
	for (size_t i = 0; i < runs->n; i++) {
		const struct run *run = &runs->v[i];
		size_t n = run->offset + run->len < len ? run->len : len - (run->offset < len ? run->offset : len);

		for (size_t k = 0; k < n;) {
			size_t at = run->offset + k, m = 0;
			int r;

			while (k + m < n && was[at + m] != is[at + m])
				m++;
			r = m ? add_patch(plan, run->at + k, is + at, m) : 0;
			if (r < 0)
				return r;
			k += m ? m : 1;
		}
	}
	return 0;
}

struct text { /* a file of the image that names partitions */
	const char *name;
	bool fstab;
	char *text;
	size_t len;
	struct runs runs;
};

#define TEXTS_MAX 16 /* cmdline.txt in several directories, and fstab */
struct texts {
	struct text v[TEXTS_MAX];
	size_t n;
};

static inline void texts_done(struct texts *texts)
{
	for (size_t i = 0; i < texts->n; i++)
		free(texts->v[i].text);
}
/* A place for another; NULL: no memory, or there are too many. */
static struct text *text_new(struct texts *texts, const char *name, bool fstab, size_t size)
{
	struct text *t = &texts->v[texts->n];

	if (texts->n == TEXTS_MAX)
		return NULL;
	*t = (struct text){ .name = name, .fstab = fstab, .text = malloc(size ? size : 1) };
	texts->n += t->text != NULL;
	return t->text ? t : NULL;
}

static int read_boot_file(struct texts *texts, const struct br_partition *part, const struct br_fat_entry *e, const uint8_t *base)
{
	struct text *t = text_new(texts, e->path, false, e->size);

	if (!t)
		return -ENOMEM;
	for (size_t i = 0; i < e->n_spans && i < BR_ARRAY_SIZE(t->runs.v); i++) {
		size_t n = e->spans[i].len < e->size - t->len ? e->spans[i].len : e->size - t->len;

		memcpy(t->text + t->len, e->spans[i].data, n);
		t->runs.v[t->runs.n++] = (struct run){ t->len, part->start + (uint64_t)(e->spans[i].data - base), n };
		t->len += n;
	}
	return 0;
}

static const struct br_partition *partition(const struct br_image_info *info, unsigned number)
{
	for (unsigned i = 0; i < info->n_partitions; i++)
		if (number && info->partitions[i].number == number)
			return &info->partitions[i];
	return NULL;
}

static bool is_cmdline(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strcasecmp(slash ? slash + 1 : path, "cmdline.txt");
}

static int read_boot(struct br_flash_plan *plan, struct texts *texts)
{
	struct br_image *image = br_flash_map_image(plan->map);
	const struct br_image_info *info = br_image_info(image);
	const struct br_partition *part = partition(info, info->boot);
	const struct br_fat *fat = br_image_boot(image);
	const struct br_fat_entry *e;
	int r = 0;

	if (!fat || !part)
		return 0;
	for (size_t i = 0; !r && texts->n < TEXTS_MAX - 1 && (e = br_fat_walk(fat, i)); i++)
		if (!e->is_dir && e->size && e->size <= TEXT_MAX && is_cmdline(e->path))
			r = read_boot_file(texts, part, e, br_fat_data(fat));
	return r;
}

struct finding {
	struct runs *runs;
	uint64_t start;
};

static int found_run(void *ctx, uint64_t offset, uint64_t at, uint64_t len)
{
	struct finding *f = ctx;

	if (f->runs->n == BR_ARRAY_SIZE(f->runs->v))
		return -EFBIG;
	f->runs->v[f->runs->n++] = (struct run){ offset, f->start + at, len };
	return 0;
}

static void fs_close(struct br_fs *fs)
{
	fs->ops->close(fs);
}
BR_DEFINE_CLEANUP(struct br_fs *, fs_close);

/* /etc/fstab of the root. What cannot be read has none for us. */
static int read_root(struct br_flash_plan *plan, struct texts *texts)
{
	struct br_image *image = br_flash_map_image(plan->map);
	const struct br_image_info *info = br_image_info(image);
	const struct br_partition *part = partition(info, info->root);
	br_cleanup(fs_closep) struct br_fs *fs = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct finding f = { 0 };
	struct text *t;
	uint64_t ino;
	bool eof;
	int r;

	if (!part || !br_image_blocks(image) || strncmp(part->fs, "ext", 3) != 0 || br_image_fs(image, &fs, &err) < 0 ||
		br_fs_walk_follow(fs, "/etc/fstab", &ino) < 0)
		return 0;
	t = text_new(texts, "/etc/fstab", true, TEXT_MAX);
	if (!t)
		return -ENOMEM;
	f = (struct finding){ &t->runs, part->start };
	r = fs->ops->read(fs, ino, 0, t->text, TEXT_MAX, &t->len, &eof);
	if (!r)
		r = br_extfs_extents(fs, ino, found_run, &f);
	if (!r)
		return 0;
	texts->n--;
	free(t->text);
	if (r == -ENOMEM)
		return r;
	/* inline in its inode, in too many pieces, or no file at all */
	br_text_add(&plan->notes, "/etc/fstab: its content lies so that it cannot be changed in place; what it says of the boot partition "
		"will not be found\n");
	return 0;
}

static int change_text(struct br_flash_plan *plan, const struct br_flash_names *names, struct text *t, struct br_error *err)
{
	br_cleanup(br_freep) char *was = malloc(t->len + 1);
	struct br_flash_renamed n;

	if (!was)
		return -ENOMEM;
	memcpy(was, t->text, t->len);
	n = br_flash_rename(names, t->text, t->len);
	if (n.stuck)
		return br_error_set(err, ENOTSUP, "image %s: %s names its partitions as %s..., which is %s... on this target, and there is no "
			"room for the longer name. Let the image say PARTUUID=", names->info->name, t->name, names->was, names->is);
	if (n.changed)
		br_text_addf(&plan->notes, "%s: %u name%s of partitions changed\n", t->name, n.changed, n.changed == 1 ? "" : "s");
	return patch_runs(plan, &t->runs, was, t->text, t->len);
}

/* What names partitions, read first: only the disk that the image means by its own root is renamed. */
static int change_texts(struct br_flash_plan *plan, const char *disk, struct br_error *err)
{
	br_cleanup(texts_done) struct texts texts = { 0 };
	struct br_flash_names names = { .info = br_image_info(br_flash_map_image(plan->map)), .to = plan->number,
		.disk_id = plan->place.disk_id };
	int r = read_boot(plan, &texts);

	br_strcpy(names.is, sizeof(names.is), disk);
	if (!r)
		r = read_root(plan, &texts);
	for (size_t i = 0; !r && !names.was[0] && i < texts.n; i++)
		br_flash_own_disk(texts.v[i].text, texts.v[i].len, texts.v[i].fstab, names.was);
	if (!r && !plan->place.card) { /* as it is: nothing is changed, but it may not boot so */
		if (names.was[0] && strcmp(names.was, names.is) != 0)
			br_text_addf(&plan->notes, "it names its root /dev/%s..., and this target is likely to be /dev/%s...: then it does not boot. "
				"Let the image say PARTUUID=\n", names.was, names.is);
		return 0;
	}
	for (size_t i = 0; !r && i < texts.n; i++)
		r = change_text(plan, &names, &texts.v[i], err);
	return r;
}

/* ---- CRCs of what was touched ---- */

static struct touched *touched_of(const struct br_flash_plan *plan, uint32_t w)
{
	for (size_t i = 0; i < plan->n_touched; i++)
		if (plan->touched[i].w == w)
			return &plan->touched[i];
	return NULL;
}

static int touch(struct br_flash_plan *plan, uint32_t w)
{
	uint32_t n = br_flash_map_leaves(plan->map, w);
	struct touched *t = touched_of(plan, w);

	if (t)
		return 0;
	t = reallocarray(plan->touched, plan->n_touched + 1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	plan->touched = t;
	t += plan->n_touched;
	*t = (struct touched){ .w = w, .leaf_crcs = calloc(n, sizeof(*t->leaf_crcs)) };
	if (!t->leaf_crcs)
		return -ENOMEM;
	plan->n_touched++;
	memcpy(t->leaf_crcs, br_flash_map_leaf_crcs(plan->map, w), n * sizeof(*t->leaf_crcs));
	return 0;
}

static int sum_leaf(struct br_flash_plan *plan, uint32_t w, uint32_t leaf, uint8_t *buf)
{
	const struct br_flash_window *win = br_flash_map_window(plan->map, w);
	uint32_t len = br_flash_leaf_len(win, leaf);
	int r = touch(plan, w);

	if (!r)
		r = br_flash_plan_read(plan, w, leaf * BR_FLASH_LEAF, buf, len);
	if (r < 0)
		return r;
	touched_of(plan, w)->leaf_crcs[leaf] = (uint32_t)crc32(0, buf, len);
	return 0;
}

static int sum_patched(struct br_flash_plan *plan)
{
	br_cleanup(br_freep) uint8_t *buf = malloc(BR_FLASH_LEAF);
	int r = buf ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < plan->n_patches; i++) {
		uint64_t at = plan->patches[i].at, end = at + plan->patches[i].len;

		while (!r && at < end) {
			uint32_t w, offset, len;

			if (!br_flash_map_find(plan->map, at, &w, &offset, &len))
				return -EUCLEAN; /* a file's block that is free */
			r = sum_leaf(plan, w, offset / BR_FLASH_LEAF, buf);
			len = len < BR_FLASH_LEAF - offset % BR_FLASH_LEAF ? len : BR_FLASH_LEAF - offset % BR_FLASH_LEAF;
			at += len;
		}
	}
	for (size_t i = 0; !r && i < plan->n_touched; i++) {
		struct touched *t = &plan->touched[i];

		t->crc = br_flash_crc_join(br_flash_map_window(plan->map, t->w), t->leaf_crcs, 0,
			br_flash_map_leaves(plan->map, t->w));
	}
	return r;
}

/* ---- the whole ---- */

static uint64_t aligned(uint64_t at)
{
	return (at + CARD_ALIGN - 1) & ~(uint64_t)(CARD_ALIGN - 1);
}

/* Behind partition 1: three as 2, 3 and 4; of more the first two so, the others as logical ones from 5 on, each behind the
 * sector that leads to it. */
static int lay_out_card(struct br_flash_plan *plan, struct br_error *err)
{
	const struct br_image_info *info = br_image_info(br_flash_map_image(plan->map));
	uint64_t next = plan->place.first_start + plan->place.first_size;
	unsigned primary = info->n_partitions > BEHIND_MAX ? BEHIND_MAX - 1 : info->n_partitions;

	if (info->n_partitions > LOGICAL_MAX + primary)
		return br_error_set(err, ENOTSUP, "image %s has %u partitions: behind the recovery partition of a card there is room for %u. Give "
			"the board another --target, which gets the image as it is", info->name, info->n_partitions, LOGICAL_MAX + primary);
	for (unsigned i = 0; i < info->n_partitions; i++) {
		bool logical = i >= primary;

		next = aligned(next);
		if (logical)
			plan->lead[i] = next;
		plan->to[i] = next + (logical ? CARD_ALIGN : 0);
		plan->number[i] = logical ? i - primary + 5 : i + 2;
		next = plan->to[i] + info->partitions[i].size;
	}
	plan->primary = primary;
	plan->end = next;
	if (next / BR_FLASH_SECTOR > UINT32_MAX)
		return br_error_set(err, EFBIG, "image %s: its partitions end beyond 2 TiB, which an MBR cannot say", info->name);
	return 0;
}

static int lay_out(struct br_flash_plan *plan, struct br_error *err)
{
	const struct br_image_info *info = br_image_info(br_flash_map_image(plan->map));

	if (plan->place.card)
		return lay_out_card(plan, err);
	plan->end = info->size & ~511ull;
	for (unsigned i = 0; i < info->n_partitions; i++) {
		plan->to[i] = info->partitions[i].start;
		plan->number[i] = info->partitions[i].number;
	}
	return 0;
}

int br_flash_plan_new(struct br_flash_map *map, const struct br_flash_place *place, const char *disk, struct br_flash_plan **ret,
	struct br_error *err)
{
	br_cleanup(br_flash_plan_unrefp) struct br_flash_plan *plan = calloc(1, sizeof(*plan));
	int r;

	if (!plan)
		return br_error_set(err, ENOMEM, "out of memory");
	plan->refs = 1;
	plan->map = br_flash_map_ref(map);
	plan->place = *place;
	r = lay_out(plan, err);
	if (!r)
		r = change_texts(plan, disk, err);
	if (!r)
		r = sum_patched(plan);
	if (r < 0 && err && err->code)
		return r;
	if (r < 0 || plan->notes.failed)
		return br_error_set(err, r < 0 ? -r : ENOMEM, "image %s: cannot be laid out: %s",
			br_image_info(br_flash_map_image(map))->name, strerrordesc_np(r < 0 ? -r : ENOMEM));
	*ret = br_take(plan);
	return 0;
}

struct br_flash_plan *br_flash_plan_ref(struct br_flash_plan *plan)
{
	plan->refs++;
	return plan;
}

void br_flash_plan_unref(struct br_flash_plan *plan)
{
	if (!plan || --plan->refs)
		return;
	for (size_t i = 0; i < plan->n_patches; i++)
		free(plan->patches[i].bytes);
	for (size_t i = 0; i < plan->n_touched; i++)
		free(plan->touched[i].leaf_crcs);
	free(plan->patches);
	free(plan->touched);
	br_text_done(&plan->notes);
	br_flash_map_unref(plan->map);
	free(plan);
}

struct br_flash_map *br_flash_plan_map(const struct br_flash_plan *plan)
{
	return plan->map;
}

const struct br_flash_place *br_flash_plan_place(const struct br_flash_plan *plan)
{
	return &plan->place;
}

uint32_t br_flash_plan_windows(const struct br_flash_plan *plan)
{
	uint32_t inside, all = br_flash_map_windows(plan->map, &inside);

	return plan->place.card ? inside : all;
}

uint64_t br_flash_plan_bytes(const struct br_flash_plan *plan)
{
	return br_flash_map_bytes(plan->map, !plan->place.card);
}

uint64_t br_flash_plan_end(const struct br_flash_plan *plan)
{
	return plan->end;
}

uint64_t br_flash_plan_to(const struct br_flash_plan *plan, const struct br_flash_extent *e)
{
	const struct br_image_info *info = br_image_info(br_flash_map_image(plan->map));

	for (unsigned i = 0; e->part && i < info->n_partitions; i++)
		if (info->partitions[i].number == e->part)
			return plan->to[i] + (e->at - info->partitions[i].start);
	return e->at;
}

int br_flash_plan_read(const struct br_flash_plan *plan, uint32_t w, uint32_t offset, void *buf, uint32_t len)
{
	const struct br_flash_window *win = br_flash_map_window(plan->map, w);
	const struct br_flash_extent *extents = br_flash_map_extents(plan->map, w);
	int r = br_flash_map_read(plan->map, w, offset, buf, len);
	uint32_t packed = 0;

	for (uint32_t i = 0; r >= 0 && i < win->n; packed += extents[i++].len) {
		for (size_t k = 0; k < plan->n_patches; k++) {
			const struct patch *p = &plan->patches[k];

			for (uint32_t b = 0; b < p->len; b++) {
				uint64_t at = p->at + b, pos = packed + (at - extents[i].at);

				if (at >= extents[i].at && at < extents[i].at + extents[i].len && pos >= offset && pos < offset + len)
					((uint8_t *)buf)[pos - offset] = p->bytes[b];
			}
		}
	}
	return r;
}

bool br_flash_plan_touches(const struct br_flash_plan *plan, uint32_t w)
{
	return touched_of(plan, w) != NULL;
}

uint32_t br_flash_plan_crc(const struct br_flash_plan *plan, uint32_t w)
{
	const struct touched *t = touched_of(plan, w);

	return t ? t->crc : br_flash_map_window(plan->map, w)->crc;
}

const uint32_t *br_flash_plan_leaf_crcs(const struct br_flash_plan *plan, uint32_t w)
{
	const struct touched *t = touched_of(plan, w);

	return t ? t->leaf_crcs : br_flash_map_leaf_crcs(plan->map, w);
}

static void put_entry(uint8_t e[static 16], uint8_t type, uint64_t start, uint64_t size)
{
	memcpy(e + 1, "\xfe\xff\xff", 3); /* no cylinders: the sectors count */
	e[4] = type;
	memcpy(e + 5, "\xfe\xff\xff", 3);
	br_store_le32(e + 8, (uint32_t)(start / BR_FLASH_SECTOR));
	br_store_le32(e + 12, (uint32_t)(size / BR_FLASH_SECTOR));
}

static uint8_t type_of(const struct br_partition *p)
{
	if (p->mbr_type)
		return p->mbr_type;
	return !strcmp(p->fs, "vfat") ? 0x0c : !strcmp(p->fs, "swap") ? 0x82 : 0x83;
}

void br_flash_plan_table(const struct br_flash_plan *plan, uint8_t ret[static 48])
{
	const struct br_image_info *info = br_image_info(br_flash_map_image(plan->map));

	memset(ret, 0, 48);
	for (unsigned i = 0; i < plan->primary; i++)
		put_entry(ret + 16 * i, type_of(&info->partitions[i]), plan->to[i], info->partitions[i].size);
	if (plan->primary < info->n_partitions)
		put_entry(ret + 16 * plan->primary, EXTENDED, plan->lead[plan->primary], plan->end - plan->lead[plan->primary]);
}

bool br_flash_plan_logical(const struct br_flash_plan *plan, unsigned i, uint8_t ret[static BR_FLASH_SECTOR], uint64_t *ret_at)
{
	const struct br_image_info *info = br_image_info(br_flash_map_image(plan->map));
	unsigned k = plan->primary + i;
	uint64_t extended;

	if (!plan->place.card || k >= info->n_partitions)
		return false;
	extended = plan->lead[plan->primary];
	memset(ret, 0, BR_FLASH_SECTOR);
	/* its own from here, the next sector of the chain from the extended partition's beginning */
	put_entry(ret + 446, type_of(&info->partitions[k]), plan->to[k] - plan->lead[k], info->partitions[k].size);
	if (k + 1 < info->n_partitions)
		put_entry(ret + 462, EXTENDED, plan->lead[k + 1] - extended, plan->to[k + 1] + info->partitions[k + 1].size - plan->lead[k + 1]);
	ret[510] = 0x55;
	ret[511] = 0xaa;
	*ret_at = plan->lead[k];
	return true;
}

unsigned br_flash_plan_number(const struct br_flash_plan *plan, unsigned part)
{
	const struct br_image_info *info = br_image_info(br_flash_map_image(plan->map));

	for (unsigned i = 0; part && i < info->n_partitions; i++)
		if (info->partitions[i].number == part)
			return plan->number[i];
	return 0;
}

const char *br_flash_plan_notes(const struct br_flash_plan *plan)
{
	return plan->notes.buf ?: "";
}
