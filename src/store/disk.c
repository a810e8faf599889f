/* SPDX-License-Identifier: Apache-2.0 */
/* A board's disk: a directory with a layer, its lock, and the ext4 in it. */
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/cow.h"
#include "store/extfs.h"

struct br_disk {
	struct br_image *image;
	struct br_cow *cow;
	struct br_fs *fs;
	uint8_t uuid[16];
	int lock_fd;
};

/* ---- disk.json ---- */

static int json_write(const char *path, const struct br_image_info *info, const uint8_t uuid[16], struct br_error *err)
{
	char hex[33];
	br_cleanup(br_freep) char *text = NULL;
	json_t *o;

	br_hex(hex, uuid, 16);
	o = json_pack("{s:i, s:s, s:s, s:s}", "format", 1, "image", info->name, "sha256", info->sha256, "uuid", hex);
	text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
	json_decref(o);
	if (!text)
		return br_error_set(err, ENOMEM, "%s: out of memory", path);
	return br_file_write(path, text, strlen(text), 0600, err);
}

static int json_read(const char *path, const struct br_image_info *info, uint8_t uuid[16], struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;
	const char *image = NULL, *sha256 = NULL, *hex = NULL;
	int format = 0, r;
	json_t *o;
	size_t n;

	r = br_file_read(path, 1 << 16, &text, &n, err);
	if (r < 0)
		return r;
	o = json_loadb(text, n, 0, NULL);
	if (!o || json_unpack(o, "{s:i, s:s, s:s, s:s}", "format", &format, "image", &image, "sha256", &sha256, "uuid",
			  &hex) < 0 || br_unhex(uuid, 16, hex) < 0)
		r = br_error_set(err, EUCLEAN, "%s: damaged; remove the disk to start afresh", path);
	else if (format != 1)
		r = br_error_set(err, ENOTSUP, "%s: format %d is not known to this program", path, format);
	else if (strcmp(sha256, info->sha256) != 0)
		r = br_error_set(err, ESTALE,
			"%s: the disk was made on image %s with another content (sha256 %.12s..., now %.12s...); "
			"reset the disk to use the new image", path, image, sha256, info->sha256);
	json_decref(o);
	return r;
}

static int json_open(const char *dir, const struct br_image_info *info, uint8_t uuid[16], struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "disk.json");
	br_cleanup(br_freep) char *map = br_path_join(dir, "map");

	if (!path || !map)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	if (access(path, F_OK) == 0) {
		if (access(map, F_OK) < 0)
			return br_error_set(err, EUCLEAN,
				"%s: is missing; the disk's changes are lost; remove the disk to start afresh", map);
		return json_read(path, info, uuid, err);
	}
	if (errno != ENOENT)
		return br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
	/* disk.json is written last: without it there is no disk yet, whatever an interrupted start left */
	if (unlink(map) < 0 && errno != ENOENT)
		return br_error_set(err, errno, "%s: %s", map, strerrordesc_np(errno));
	br_random(uuid, 16);
	return 1;
}

/* ---- open and close ---- */

static int lock(const char *dir, int *ret_fd, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "lock");
	br_cleanup(br_closep) int fd = -1;

	if (!path)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return br_error_set(err, EBUSY,
				"disk %s: in use by another program; ask that one (the daemon?) or stop it", dir);
		return br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
	}
	*ret_fd = br_take_fd(fd);
	return 0;
}

static void disk_free(struct br_disk *disk)
{
	if (disk->fs)
		disk->fs->ops->close(disk->fs);
	br_cow_close(disk->cow);
	br_image_unref(disk->image);
	if (disk->lock_fd >= 0)
		close(disk->lock_fd); /* lets the lock go */
	free(disk);
}

static int disk_open(struct br_disk *disk, const char *dir, struct br_error *err)
{
	const struct br_image_info *info = br_image_info(disk->image);
	br_cleanup(br_freep) char *path = br_path_join(dir, "disk.json");
	uint64_t start, size;
	int fresh, r;

	if (!path)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	if (!br_image_root(disk->image, &start, &size))
		return br_error_set(err, ENOTSUP, "image %s: has no root partition to make a disk of", info->name);
	r = br_mkdir_all(dir, 0700, err);
	if (r == 0)
		r = lock(dir, &disk->lock_fd, err);
	if (r < 0)
		return r;
	fresh = json_open(dir, info, disk->uuid, err);
	if (fresh < 0)
		return fresh;
	r = br_cow_open(br_image_fd(disk->image), start, size, dir, disk->uuid, NULL, &disk->cow, err);
	if (r == 0)
		r = br_extfs_open(disk->cow, true, &disk->fs, err);
	if (r < 0) {
		br_error_prefix(err, "disk %s of image %s", dir, info->name);
		return r;
	}
	return fresh ? json_write(path, info, disk->uuid, err) : 0;
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
	(void)disk->fs->ops->commit(disk->fs);
	disk_free(disk);
}

struct br_fs *br_disk_fs(struct br_disk *disk)
{
	return disk->fs;
}

const uint8_t *br_disk_uuid(const struct br_disk *disk)
{
	return disk->uuid;
}

struct br_image *br_disk_image(const struct br_disk *disk)
{
	return disk->image;
}

void br_disk_usage(const struct br_disk *disk, struct br_disk_usage *ret)
{
	struct br_cow_usage u;

	br_cow_usage(disk->cow, &u);
	*ret = (struct br_disk_usage){
		.base_bytes = br_cow_size(disk->cow), .changed_bytes = u.changed, .stored_bytes = u.stored };
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

int br_image_fs(struct br_image *image, struct br_fs **ret, struct br_error *err)
{
	const char *name = br_image_info(image)->name;
	struct image_fs *x;
	uint64_t start, size;
	int r;

	if (!br_image_root(image, &start, &size))
		return br_error_set(err, ENOTSUP, "image %s: has no root partition", name);
	x = calloc(1, sizeof(*x));
	if (!x)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	x->image = br_image_ref(image);
	r = br_cow_open(br_image_fd(image), start, size, NULL, NULL, NULL, &x->cow, err);
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
