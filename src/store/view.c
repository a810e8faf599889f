/* SPDX-License-Identifier: Apache-2.0 */
/* Both partitions of an image as one tree. */
#include "store/view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "store/disk.h"

#define FAT_INO (1ull << 40) /* the FAT's root; its i-th entry is FAT_INO + 1 + i. ext4's numbers have 32 bits */
#define FSTAB_MAX 65536

struct view {
	struct br_fs fs;
	struct br_image *image;
	struct br_fs *root; /* may be NULL */
	const struct br_fat *boot; /* may be NULL */
	uint64_t mount, above;	   /* inode covered by the boot partition, and the directory it is in; 0: none */
	char path[64];
};

static struct view *of(const struct br_fs *fs)
{
	return (struct view *)(uintptr_t)fs;
}

static bool is_fat(uint64_t ino)
{
	return ino >= FAT_INO;
}

static const struct br_fat_entry *entry_of(const struct view *v, uint64_t ino)
{
	return ino == FAT_INO ? br_fat_lookup(v->boot, "") : br_fat_walk(v->boot, ino - FAT_INO - 1);
}

/* The entries are sorted by path. */
static uint64_t ino_of(const struct view *v, const struct br_fat_entry *e)
{
	size_t low = 0, high = br_fat_count(v->boot);

	while (*e->path && low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(br_fat_walk(v->boot, mid)->path, e->path);

		if (!c)
			return FAT_INO + 1 + mid;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return FAT_INO;
}

static uint64_t view_root(struct br_fs *fs)
{
	struct view *v = of(fs);

	return v->root ? v->root->ops->root(v->root) : FAT_INO;
}

static int view_getattr(struct br_fs *fs, uint64_t ino, struct br_fs_attr *ret)
{
	struct view *v = of(fs);
	const struct br_fat_entry *e;

	if (!is_fat(ino))
		return v->root ? v->root->ops->getattr(v->root, ino, ret) : -ESTALE;
	e = v->boot ? entry_of(v, ino) : NULL;
	if (!e)
		return -ESTALE;
	*ret = (struct br_fs_attr){
		.ino = ino,
		.mode = e->is_dir ? S_IFDIR | 0755 : S_IFREG | 0755, /* as vfat is mounted */
		.nlink = 1,
		.size = e->size,
		.used = e->size,
		.atime.tv_sec = e->mtime,
		.mtime.tv_sec = e->mtime,
		.ctime.tv_sec = e->mtime,
	};
	return 0;
}

static int fat_lookup(const struct view *v, uint64_t dir, const char *name, uint64_t *ret)
{
	const struct br_fat_entry *e = entry_of(v, dir), *found;
	br_cleanup(br_freep) char *path = NULL;
	const char *slash;

	if (!e || !e->is_dir)
		return e ? -ENOTDIR : -ESTALE;
	if (!strcmp(name, "..") && dir == FAT_INO) {
		*ret = v->root ? v->above : FAT_INO;
		return 0;
	}
	if (!strcmp(name, ".")) {
		*ret = dir;
		return 0;
	}
	slash = strrchr(e->path, '/');
	path = !strcmp(name, "..") ? strndup(e->path, slash ? (size_t)(slash - e->path) : 0)
				   : br_asprintf("%s%s%s", e->path, *e->path ? "/" : "", name);
	if (!path)
		return -ENOMEM;
	found = br_fat_lookup(v->boot, path);
	if (!found)
		return -ENOENT;
	*ret = ino_of(v, found);
	return 0;
}

static int view_lookup(struct br_fs *fs, uint64_t dir, const char *name, uint64_t *ret_ino)
{
	struct view *v = of(fs);
	uint64_t ino;
	int r;

	if (is_fat(dir))
		return v->boot ? fat_lookup(v, dir, name, ret_ino) : -ESTALE;
	if (!v->root)
		return -ESTALE;
	r = v->root->ops->lookup(v->root, dir, name, &ino);
	if (!r)
		*ret_ino = v->mount && ino == v->mount ? FAT_INO : ino;
	return r;
}

static int view_readlink(struct br_fs *fs, uint64_t ino, char *buf, size_t size)
{
	struct view *v = of(fs);

	return is_fat(ino) ? -EINVAL : v->root ? v->root->ops->readlink(v->root, ino, buf, size) : -ESTALE;
}

static int view_read(struct br_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len, size_t *ret_len, bool *ret_eof)
{
	struct view *v = of(fs);
	const struct br_fat_entry *e;
	size_t done = 0;

	if (!is_fat(ino))
		return v->root ? v->root->ops->read(v->root, ino, offset, buf, len, ret_len, ret_eof) : -ESTALE;
	e = v->boot ? entry_of(v, ino) : NULL;
	if (!e || e->is_dir)
		return e ? -EISDIR : -ESTALE;
	*ret_eof = offset >= e->size || len >= e->size - offset;
	for (size_t i = 0; i < e->n_spans && done < len; i++) {
		size_t n = e->spans[i].len;

		if (offset >= n) {
			offset -= n;
			continue;
		}
		n -= (size_t)offset;
		n = n < len - done ? n : len - done;
		memcpy((char *)buf + done, e->spans[i].data + offset, n);
		done += n;
		offset = 0;
	}
	*ret_len = done;
	return 0;
}

/* "." is cookie 1, ".." 2, the i-th child 3 + i. */
static int fat_readdir(const struct view *v, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx, bool *ret_eof)
{
	const struct br_fat_entry *e = entry_of(v, dir), *child;
	static const char *const dots[] = { ".", ".." };

	if (!e || !e->is_dir)
		return e ? -ENOTDIR : -ESTALE;
	*ret_eof = false;
	for (uint64_t i = cookie; i < 2; i++) {
		struct br_fs_dirent d = { .ino = dir, .cookie = i + 1, .name = dots[i] };

		if (i && fat_lookup(v, dir, "..", &d.ino) < 0)
			return -EIO;
		if (fn(ctx, &d))
			return 0;
	}
	for (uint64_t i = cookie < 2 ? 0 : cookie - 2; (child = br_fat_list(v->boot, e->path, i)); i++) {
		const char *slash = strrchr(child->path, '/');
		struct br_fs_dirent d = { .ino = ino_of(v, child), .cookie = i + 3, .name = slash ? slash + 1 : child->path };

		if (fn(ctx, &d))
			return 0;
	}
	*ret_eof = true;
	return 0;
}

static int view_readdir(struct br_fs *fs, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx, bool *ret_eof)
{
	struct view *v = of(fs);

	if (is_fat(dir))
		return v->boot ? fat_readdir(v, dir, cookie, fn, ctx, ret_eof) : -ESTALE;
	return v->root ? v->root->ops->readdir(v->root, dir, cookie, fn, ctx, ret_eof) : -ESTALE;
}

static int view_statfs(struct br_fs *fs, struct br_fs_statfs *ret)
{
	struct view *v = of(fs);

	if (v->root)
		return v->root->ops->statfs(v->root, ret);
	*ret = (struct br_fs_statfs){ .total_files = br_fat_count(v->boot) };
	return 0;
}

static int view_commit(struct br_fs *fs)
{
	return 0;
}

/* Nothing can be changed. */

static int no_setattr(struct br_fs *fs, uint64_t ino, const struct br_fs_setattr *attr)
{
	return -EROFS;
}

static int no_write(struct br_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len)
{
	return -EROFS;
}

static int no_create(struct br_fs *fs, uint64_t dir, const char *name, const struct br_fs_new *node, uint64_t *ret_ino)
{
	return -EROFS;
}

static int no_link(struct br_fs *fs, uint64_t ino, uint64_t dir, const char *name)
{
	return -EROFS;
}

static int no_unlink(struct br_fs *fs, uint64_t dir, const char *name)
{
	return -EROFS;
}

static int no_rename(struct br_fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to)
{
	return -EROFS;
}

static void view_close(struct br_fs *fs)
{
	struct view *v = of(fs);

	if (v->root)
		v->root->ops->close(v->root);
	br_image_unref(v->image);
	free(v);
}

static const struct br_fs_ops ops = {
	.close = view_close,
	.root = view_root,
	.getattr = view_getattr,
	.setattr = no_setattr,
	.lookup = view_lookup,
	.readlink = view_readlink,
	.read = view_read,
	.write = no_write,
	.create = no_create,
	.link = no_link,
	.unlink = no_unlink,
	.rmdir = no_unlink,
	.rename = no_rename,
	.readdir = view_readdir,
	.statfs = view_statfs,
	.commit = view_commit,
};

/* The place below /boot where fstab mounts a vfat; false when it says none. */
static bool mount_in_fstab(const char *fstab, char *ret, size_t size)
{
	for (const char *line = fstab; *line;) {
		char device[256], place[64], type[32];

		if (sscanf(line, " %255s %63s %31s", device, place, type) == 3 && device[0] != '#' &&
			!strcmp(type, "vfat") && (!strcmp(place, "/boot") || br_str_starts(place, "/boot/")))
			return br_strcpy(ret, size, place) == 0;
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return false;
}

static bool is_dir(struct view *v, const char *path, uint64_t *ret)
{
	struct br_fs_attr attr;

	return !br_fs_walk_follow(v->root, path, ret) && !v->root->ops->getattr(v->root, *ret, &attr) &&
		S_ISDIR(attr.mode);
}

static int find_mount(struct view *v)
{
	br_cleanup(br_freep) char *text = malloc(FSTAB_MAX);
	uint64_t ino;
	size_t n = 0;
	bool eof;

	if (!text)
		return -ENOMEM;
	if (!br_fs_walk_follow(v->root, "/etc/fstab", &ino))
		(void)v->root->ops->read(v->root, ino, 0, text, FSTAB_MAX - 1, &n, &eof); /* a broken one says nothing */
	text[n] = 0;
	if ((mount_in_fstab(text, v->path, sizeof(v->path)) && is_dir(v, v->path, &v->mount)) ||
		(!br_strcpy(v->path, sizeof(v->path), "/boot/firmware") && is_dir(v, v->path, &v->mount)) ||
		(!br_strcpy(v->path, sizeof(v->path), "/boot") && is_dir(v, v->path, &v->mount)))
		return v->root->ops->lookup(v->root, v->mount, "..", &v->above);
	v->mount = 0;
	v->path[0] = 0;
	return 0;
}

int br_view_open(struct br_image *image, struct br_fs **ret, struct br_error *err)
{
	struct view *v = calloc(1, sizeof(*v));
	uint64_t start, size;
	int r = 0;

	if (!v)
		return br_error_set(err, ENOMEM, "image: out of memory");
	v->fs.ops = &ops;
	v->image = br_image_ref(image);
	v->boot = br_image_boot(image);
	if (br_image_root(image, &start, &size))
		r = br_image_fs(image, &v->root, err);
	else
		br_strcpy(v->path, sizeof(v->path), "/");
	if (!r && v->root && v->boot) {
		r = find_mount(v);
		if (r < 0)
			br_error_set(err, -r, "image %s: its root partition cannot be read: %s", br_image_info(image)->name,
				strerror(-r));
	}
	if (r < 0) {
		view_close(&v->fs);
		return r;
	}
	*ret = &v->fs;
	return 0;
}

const char *br_view_boot_path(const struct br_fs *view)
{
	return of(view)->path;
}

struct br_fs *br_view_root_fs(const struct br_fs *view)
{
	return of(view)->root;
}
