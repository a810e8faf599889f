/* SPDX-License-Identifier: Apache-2.0 */
/* A board's disk: a directory with a layer, its lock, and the ext4 in it. */
#include "store/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/cow.h"
#include "store/disk_priv.h"
#include "store/extfs.h"

/* ---- open and close ---- */

/* Positive: there is no disk yet. */
static int state_open(const char *dir, const struct br_image_info *info, struct disk_state *s, struct br_error *err)
{
	br_cleanup(br_freep) char *map = NULL, *own = NULL;
	int r = disk_state_read(dir, s, NULL);

	if (r == -ENOENT) {
		/* disk.json is written last: without it there is no disk yet, whatever an interrupted start left */
		map = br_path_join(dir, "map");
		if (!map)
			return br_error_set(err, ENOMEM, "%s: out of memory", dir);
		if (unlink(map) < 0 && errno != ENOENT)
			return br_error_set(err, errno, "%s: %s", map, strerrordesc_np(errno));
		memcpy(s->image, info->name, sizeof(s->image));
		memcpy(s->sha256, info->sha256, sizeof(s->sha256));
		memcpy(s->parent, info->layer, sizeof(s->parent));
		br_random(s->uuid, 16);
		br_hex(s->layer, s->uuid, 16);
		return 1;
	}
	if (r < 0)
		return disk_state_read(dir, s, err);
	if (strcmp(s->sha256, info->sha256) != 0)
		return br_error_set(err, ESTALE,
			"%s: the disk was made on image %s with another content (sha256 %.12s..., now %.12s...); "
			"reset the disk to use the new image", dir, s->image, s->sha256, info->sha256);
	own = disk_layer_dir(dir, s);
	map = own ? br_path_join(own, "map") : NULL;
	if (!map)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	if (access(map, F_OK) < 0)
		return br_error_set(err, EUCLEAN,
			"%s: is missing; the disk's changes are lost; remove the disk to start afresh", map);
	disk_sweep(dir, s);
	return 0;
}

int disk_base(struct br_image *image, const struct disk_state *s, struct br_blocks **ret, struct br_error *err)
{
	const struct br_image_info *info = br_image_info(image);
	struct br_blocks *blocks = br_image_blocks(image);

	if (!strcmp(s->parent, info->layer)) {
		*ret = br_blocks_ref(blocks);
		return 0;
	}
	return br_layer_stack(br_image_store(image), s->parent, info->layer, blocks, ret, err);
}

void disk_free(struct br_disk *disk)
{
	if (disk->fs)
		disk->fs->ops->close(disk->fs);
	br_cow_close(disk->cow);
	br_image_unref(disk->image);
	disk_state_done(&disk->state);
	if (disk->lock_fd >= 0)
		close(disk->lock_fd); /* lets the lock go */
	free(disk->dir);
	free(disk);
}

int disk_cow(const char *dir, const struct disk_state *s, struct br_blocks *base, struct br_cow **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *own = disk_layer_dir(dir, s);
	uint64_t size = br_blocks_size(base);
	uint8_t id[16];

	if (!own || br_unhex(id, sizeof(id), s->layer) < 0)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	return br_cow_open_on(base, s->size > size ? s->size : size, own, id, NULL, ret, err);
}

static int layers_open(struct br_disk *disk, const char *dir, struct br_error *err)
{
	struct br_blocks *base;
	int r = disk_base(disk->image, &disk->state, &base, err);

	if (r < 0)
		return r;
	(void)br_unhex(disk->layer_id, sizeof(disk->layer_id), disk->state.layer); /* it was checked */
	r = disk_cow(dir, &disk->state, base, &disk->cow, err);
	br_blocks_unref(base);
	return r;
}

static int disk_open(struct br_disk *disk, const char *dir, struct br_error *err)
{
	const struct br_image_info *info = br_image_info(disk->image);
	int fresh, r;

	if (!br_image_blocks(disk->image))
		return br_error_set(err, ENOTSUP, "image %s: has no root partition to make a disk of", info->name);
	disk->dir = strdup(dir);
	if (!disk->dir)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	r = br_mkdir_all(dir, 0700, err);
	if (r == 0)
		r = disk_lock(dir, &disk->lock_fd, err);
	if (r == 0)
		r = disk_relaxed_check(dir, err);
	if (r < 0)
		return r;
	fresh = state_open(dir, info, &disk->state, err);
	if (fresh < 0)
		return fresh;
	r = layers_open(disk, dir, err);
	if (r == 0 && disk_settle(disk) < 0)
		r = br_error_set(err, EIO, "%s: what was written without syncs cannot be made stable", dir);
	if (r == 0)
		r = br_extfs_open(disk->cow, true, &disk->fs, err);
	if (r < 0) {
		br_error_prefix(err, "disk %s of image %s", dir, info->name);
		return r;
	}
	return fresh ? disk_state_write(dir, &disk->state, err) : 0;
}

int br_disk_open(struct br_image *image, const char *dir, struct br_disk **ret, struct br_error *err)
{
	struct br_disk *disk = calloc(1, sizeof(*disk));
	int r;

	if (!disk)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	disk->lock_fd = -1;
	disk->image = br_image_ref(image);
	r = disk_open(disk, dir, err);
	if (r < 0) {
		disk_free(disk);
		return r;
	}
	*ret = disk;
	return 0;
}

void br_disk_close(struct br_disk *disk)
{
	if (!disk)
		return;
	/* who needs to know whether the last changes are stable commits before */
	if (disk->fs->ops->commit(disk->fs) == 0 && disk->relaxed)
		(void)disk_settle(disk); /* else it stays marked */
	disk_free(disk);
}

struct br_fs *br_disk_fs(struct br_disk *disk)
{
	return disk->fs;
}

const uint8_t *br_disk_uuid(const struct br_disk *disk)
{
	return disk->state.uuid;
}

struct br_image *br_disk_image(const struct br_disk *disk)
{
	return disk->image;
}

void br_disk_usage(const struct br_disk *disk, struct br_disk_usage *ret)
{
	struct br_cow_usage u;

	br_cow_usage(disk->cow, &u);
	*ret = (struct br_disk_usage){ .base_bytes = br_cow_size(disk->cow), .changed_bytes = u.changed,
		.stored_bytes = u.stored,
		.layers = br_blocks_depth(br_cow_base(disk->cow)) - br_blocks_depth(br_image_blocks(disk->image)) };
}

bool br_disk_next_data(struct br_disk *disk, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end)
{
	return br_cow_next_data(disk->cow, offset, ret_start, ret_end);
}

int br_disk_read(struct br_disk *disk, uint64_t offset, void *buf, size_t len)
{
	return br_cow_read(disk->cow, offset, buf, len);
}

/* ---- export ---- */

int br_disk_export(struct br_disk *disk, const char *path, bool quiet, struct br_error *err)
{
	int r = disk->fs->ops->commit(disk->fs);

	if (r < 0)
		return br_error_set(err, -r, "the disk's changes cannot be made stable: %s", strerrordesc_np(-r));
	return br_cow_export(disk->cow, path, quiet, err);
}

/* ---- the image without a layer ---- */

struct image_fs {
	struct br_image *image;
	struct br_cow *cow;
};

static void image_fs_free(void *ctx)
{
	struct image_fs *x = ctx;

	br_cow_close(x->cow);
	br_image_unref(x->image);
	free(x);
}

int br_blocks_fs(struct br_image *image, struct br_blocks *blocks, struct br_fs **ret, struct br_error *err)
{
	const char *name = br_image_info(image)->name;
	struct image_fs *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	x->image = br_image_ref(image);
	r = br_cow_open_on(blocks, br_blocks_size(blocks), NULL, NULL, NULL, &x->cow, err);
	if (r == 0)
		r = br_extfs_open(x->cow, false, ret, err);
	if (r < 0) {
		br_error_prefix(err, "image %s", name);
		image_fs_free(x);
		return r;
	}
	br_extfs_on_close(*ret, image_fs_free, x);
	return 0;
}

int br_image_fs(struct br_image *image, struct br_fs **ret, struct br_error *err)
{
	if (!br_image_blocks(image))
		return br_error_set(err, ENOTSUP, "image %s: has no root partition", br_image_info(image)->name);
	return br_blocks_fs(image, br_image_blocks(image), ret, err);
}
