/* SPDX-License-Identifier: Apache-2.0 */
/* A projection is made: the entries checked and copied, their directories found. */
#include "store/projfs_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

#define ENTRIES_MAX 65536
#define TARGET_MAX  4095

static int bad_path(const char *path, struct br_error *err)
{
	char vis[120];

	return br_error_set(err, EINVAL, "projection '%s': not an absolute path of a file",
		br_vis(vis, sizeof(vis), path, strlen(path)));
}

/* The entry's name, and its directory in *ret_dir (free()). */
static int split(const char *path, struct br_projfs_entry *e, char **ret_dir, struct br_error *err)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? strlen(slash + 1) : 0;

	if (path[0] != '/' || !n || n > 255 || !strcmp(slash + 1, ".") || !strcmp(slash + 1, ".."))
		return bad_path(path, err);
	e->name = strdup(slash + 1);
	*ret_dir = strndup(path, (size_t)(slash - path));
	return e->name && *ret_dir ? 0 : br_error_set(err, ENOMEM, "projection: out of memory");
}

static int copy_content(struct br_projfs_entry *e, const struct br_projection *in, struct br_error *err)
{
	e->mode = (in->symlink ? S_IFLNK | 0777 : S_IFREG | (in->mode & 07777));
	e->uid = in->uid;
	e->gid = in->gid;
	e->generation = br_crc32c(0, in->path, strlen(in->path));
	if (!in->data)
		return 0;
	if (in->symlink && (!in->len || in->len > TARGET_MAX || memchr(in->data, 0, in->len)))
		return br_error_set(err, EINVAL, "projection '%s': the target of a link has 1 to %d bytes", in->path, TARGET_MAX);
	e->data = malloc(in->len + 1);
	if (!e->data)
		return br_error_set(err, ENOMEM, "projection: out of memory");
	if (in->len)
		memcpy(e->data, in->data, in->len);
	e->data[in->len] = 0;
	e->len = in->len;
	return 0;
}

static bool taken(const struct br_projfs *p, uint64_t dir, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->entries[i].dir == dir && !strcmp(p->entries[i].name, name))
			return true;
	return false;
}

static bool missing(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/* Finds the directory here and the file in the image; e->dir stays 0 when the entry cannot do anything. */
static int place(struct br_projfs *p, struct br_fs *base, struct br_projfs_entry *e, const char *dir_path)
{
	struct br_fs_attr attr = { 0 };
	uint64_t dir = 0, base_dir = 0, ino = 0;
	int r = br_fs_walk_follow(p->below, dir_path, &dir);

	if (!r)
		r = p->below->ops->getattr(p->below, dir, &attr);
	if (r < 0)
		return missing(r) ? 0 : r;
	if (!br_projfs_is_type(attr.mode, S_IFDIR) || taken(p, dir, e->name))
		return 0;
	e->time = attr.mtime;
	r = br_fs_walk_follow(base, dir_path, &base_dir);
	if (!r && !base->ops->getattr(base, base_dir, &attr))
		e->time = attr.mtime;
	if (!r)
		r = base->ops->lookup(base, base_dir, e->name, &ino);
	if (!r)
		r = base->ops->getattr(base, ino, &e->base);
	if (r < 0 && !missing(r))
		return r;
	if (!e->base.ino || !br_projfs_is_type(e->base.mode, S_IFDIR))
		e->dir = dir;
	return 0;
}

static int add(struct br_projfs *p, struct br_fs *base, const struct br_projection *in, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = NULL;
	struct br_projfs_entry e = { 0 };
	int r = split(in->path, &e, &dir, err);

	if (!r)
		r = copy_content(&e, in, err);
	if (!r) {
		r = place(p, base, &e, dir);
		if (r < 0)
			br_error_set(err, -r, "projection '%s': the file system cannot be read: %s", in->path, strerror(-r));
	}
	if (r < 0) {
		free(e.name);
		free(e.data);
		return r;
	}
	p->entries[p->n++] = e;
	return 0;
}

int br_projfs_open(struct br_fs *below, struct br_fs *base, const struct br_projection *entries, size_t n_entries,
	struct br_fs **ret, struct br_error *err)
{
	struct br_projfs *p = calloc(1, sizeof(*p));

	if (n_entries > ENTRIES_MAX) {
		free(p);
		return br_error_set(err, E2BIG, "projection: more than %d files", ENTRIES_MAX);
	}
	if (p)
		p->entries = calloc(n_entries + 1, sizeof(*p->entries));
	if (!p || !p->entries) {
		free(p);
		return br_error_set(err, ENOMEM, "projection: out of memory");
	}
	p->fs.ops = &br_projfs_ops;
	p->below = below;
	for (size_t i = 0; i < n_entries; i++) {
		int r = add(p, base, &entries[i], err);

		if (r < 0) {
			p->fs.ops->close(&p->fs);
			return r;
		}
	}
	*ret = &p->fs;
	return 0;
}
