/* SPDX-License-Identifier: Apache-2.0 */
/* The projection: what a board sees instead of the image's files, until it writes its own. */
#include "store/projfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/text.h"

/* ---- operations on files ---- */

static uint64_t projfs_root(struct br_fs *fs)
{
	return br_projfs_of(fs)->below->ops->root(br_projfs_of(fs)->below);
}

static void virtual_attr(const struct br_projfs *p, const struct br_projfs_entry *e, struct br_fs_attr *ret)
{
	*ret = (struct br_fs_attr){
		.ino = br_projfs_number(p, e),
		.generation = e->generation,
		.nlink = 1,
		.atime = e->time,
		.mtime = e->time,
		.ctime = e->time,
	};
}

static int projfs_getattr(struct br_fs *fs, uint64_t ino, struct br_fs_attr *ret)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_fs_attr attr = { 0 };
	struct br_projfs_target t;
	int r = br_projfs_target(p, ino, &t);

	if (r < 0)
		return r;
	if (t.ino)
		r = p->below->ops->getattr(p->below, t.ino, &attr);
	else
		virtual_attr(p, t.e, &attr);
	if (r < 0)
		return r;
	if (t.e) {
		attr.mode = t.e->mode;
		attr.uid = t.e->uid;
		attr.gid = t.e->gid;
		attr.size = t.e->len;
		attr.used = (t.e->len + 4095) / 4096 * 4096;
	}
	if (t.moved) /* a client that saw the number change would call the file stale */
		attr.generation = t.moved->generation;
	attr.ino = t.shown;
	*ret = attr;
	return 0;
}

static int projfs_setattr(struct br_fs *fs, uint64_t ino, const struct br_fs_setattr *attr)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_target t;
	int r = br_projfs_target(p, ino, &t);

	if (!r && t.e && attr->set & BR_FS_SET_SIZE && !br_projfs_is_type(t.e->mode, S_IFREG))
		r = -EINVAL;
	if (!r)
		r = br_projfs_make_real(p, &t);
	return r < 0 ? r : p->below->ops->setattr(p->below, t.ino, attr);
}

static int projfs_readlink(struct br_fs *fs, uint64_t ino, char *buf, size_t size)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_target t;
	int r = br_projfs_target(p, ino, &t);

	if (r < 0)
		return r;
	if (!t.e)
		return p->below->ops->readlink(p->below, t.ino, buf, size);
	if (!br_projfs_is_type(t.e->mode, S_IFLNK))
		return -EINVAL;
	return br_strcpy(buf, size, (const char *)t.e->data);
}

static int projfs_read(struct br_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len, size_t *ret_len,
	bool *ret_eof)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_target t;
	int r = br_projfs_target(p, ino, &t);

	if (r < 0)
		return r;
	if (!t.e)
		return p->below->ops->read(p->below, t.ino, offset, buf, len, ret_len, ret_eof);
	if (!br_projfs_is_type(t.e->mode, S_IFREG))
		return -EINVAL;
	if (offset >= t.e->len)
		len = 0;
	else if (len > t.e->len - offset)
		len = t.e->len - (size_t)offset;
	if (len)
		memcpy(buf, t.e->data + offset, len);
	*ret_len = len;
	*ret_eof = offset + len >= t.e->len;
	return 0;
}

static int projfs_write(struct br_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_target t;
	int r = br_projfs_target(p, ino, &t);

	if (!r && t.e && !br_projfs_is_type(t.e->mode, S_IFREG))
		r = -EINVAL;
	if (!r)
		r = br_projfs_make_real(p, &t);
	return r < 0 ? r : p->below->ops->write(p->below, t.ino, offset, buf, len);
}

/* ---- operations on names ---- */

static bool shows(const struct br_projfs_entry *e)
{
	return e && (e->now == REPLACED || e->now == VIRTUAL);
}

/* Says to a client's cache that a directory changed, when nothing changed below. */
static void touch(struct br_projfs *p, uint64_t dir)
{
	struct br_fs_setattr attr = { .set = BR_FS_SET_MTIME };

	clock_gettime(CLOCK_REALTIME, &attr.mtime);
	(void)p->below->ops->setattr(p->below, dir, &attr); /* the change itself is done */
}

static int projfs_lookup(struct br_fs *fs, uint64_t dir, const char *name, uint64_t *ret_ino)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_entry *e;
	uint64_t ino;
	int r = br_projfs_find(p, dir, name, &e);

	if (r < 0)
		return r;
	if (e && (e->now == ABSENT || e->now == HIDDEN))
		return -ENOENT;
	if (e && e->now == VIRTUAL) {
		*ret_ino = br_projfs_number(p, e);
		return 0;
	}
	r = p->below->ops->lookup(p->below, dir, name, &ino);
	if (!r)
		*ret_ino = br_projfs_outside(p, ino);
	return r;
}

/* A name is about to be made: -EEXIST when one is shown; what is hidden there goes for good, which nobody sees. */
static int make_way(struct br_projfs *p, uint64_t dir, const char *name)
{
	struct br_projfs_entry *e;
	int r = br_projfs_find(p, dir, name, &e);

	if (r < 0)
		return r;
	if (shows(e))
		return -EEXIST;
	return e && e->now == HIDDEN ? p->below->ops->unlink(p->below, dir, name) : 0;
}

static int projfs_create(struct br_fs *fs, uint64_t dir, const char *name, const struct br_fs_new *node,
	uint64_t *ret_ino)
{
	struct br_projfs *p = br_projfs_of(fs);
	int r = make_way(p, dir, name);

	return r < 0 ? r : p->below->ops->create(p->below, dir, name, node, ret_ino);
}

static int projfs_link(struct br_fs *fs, uint64_t ino, uint64_t dir, const char *name)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_target t;
	int r = br_projfs_target(p, ino, &t);

	if (!r)
		r = make_way(p, dir, name);
	if (!r)
		r = br_projfs_make_real(p, &t);
	return r < 0 ? r : p->below->ops->link(p->below, t.ino, dir, name);
}

static int projfs_unlink(struct br_fs *fs, uint64_t dir, const char *name)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_entry *e;
	int r = br_projfs_find(p, dir, name, &e);

	if (r < 0)
		return r;
	if (e && e->now == HIDDEN)
		return -ENOENT;
	if (e && e->now == VIRTUAL && !e->ino) {
		e->removed = true;
		touch(p, dir);
		return 0;
	}
	r = p->below->ops->unlink(p->below, dir, name);
	if (!r && e)
		e->removed = true;
	return r;
}

static int count_child(void *ctx, const struct br_fs_dirent *d)
{
	if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
		(*(size_t *)ctx)++;
	return 0;
}

/*
 * A directory is about to go: -ENOTEMPTY when a file that only we show is in it; when all there is in it is
 * hidden, that goes first, for below it counts.
 */
static int empty(struct br_projfs *p, uint64_t dir)
{
	size_t hidden = 0, n = 0;
	bool eof;
	int r;

	for (size_t i = 0; i < p->n; i++) {
		struct br_projfs_entry *e = &p->entries[i];

		if (e->dir != dir)
			continue;
		r = br_projfs_look(p, e);
		if (r < 0)
			return r;
		if (shows(e))
			return -ENOTEMPTY;
		hidden += e->now == HIDDEN;
	}
	if (!hidden)
		return 0;
	r = p->below->ops->readdir(p->below, dir, 0, count_child, &n, &eof);
	if (r < 0 || n != hidden)
		return r < 0 ? r : -ENOTEMPTY;
	for (size_t i = 0; !r && i < p->n; i++)
		if (p->entries[i].dir == dir && p->entries[i].now == HIDDEN)
			r = p->below->ops->unlink(p->below, dir, p->entries[i].name);
	return r;
}

/* A directory is gone and its number may be used again. */
static void forget_dir(struct br_projfs *p, uint64_t dir)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->entries[i].dir == dir)
			p->entries[i].dir = 0;
}

/* The directory at a name below; 0 in *ret when there is none. */
static int dir_at(struct br_projfs *p, uint64_t dir, const char *name, uint64_t *ret)
{
	struct br_fs_attr attr = { 0 };
	uint64_t ino;
	int r = p->below->ops->lookup(p->below, dir, name, &ino);

	*ret = 0;
	if (!r)
		r = p->below->ops->getattr(p->below, ino, &attr);
	if (!r && br_projfs_is_type(attr.mode, S_IFDIR))
		*ret = ino;
	return r == -ENOENT ? 0 : r;
}

static int projfs_rmdir(struct br_fs *fs, uint64_t dir, const char *name)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_entry *e;
	uint64_t gone = 0;
	int r = br_projfs_find(p, dir, name, &e);

	if (!r && e && e->now == HIDDEN)
		r = -ENOENT;
	if (!r && shows(e))
		r = -ENOTDIR;
	if (!r)
		r = dir_at(p, dir, name, &gone);
	if (!r && gone)
		r = empty(p, gone);
	if (!r)
		r = p->below->ops->rmdir(p->below, dir, name);
	if (!r)
		forget_dir(p, gone);
	return r;
}

/* Before a rename to (dir, name): *ret_gone is the directory that it replaces, 0 when none. */
static int prepare_place(struct br_projfs *p, uint64_t dir, const char *name, bool from_dir, uint64_t *ret_gone)
{
	struct br_projfs_entry *e;
	int r = br_projfs_find(p, dir, name, &e);

	*ret_gone = 0;
	if (r < 0)
		return r;
	if (shows(e))
		return from_dir ? -ENOTDIR : 0;
	if (e && e->now == HIDDEN)
		return from_dir ? p->below->ops->unlink(p->below, dir, name) : 0;
	if (!from_dir)
		return 0;
	r = dir_at(p, dir, name, ret_gone);
	return !r && *ret_gone ? empty(p, *ret_gone) : r;
}

static int projfs_rename(struct br_fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_entry *e;
	uint64_t moved = 0, gone = 0;
	int r = br_projfs_find(p, from_dir, from, &e);

	if (!r && e && (e->now == HIDDEN || e->now == ABSENT))
		r = -ENOENT;
	if (r < 0)
		return r;
	if (from_dir == to_dir && !strcmp(from, to)) /* nothing to do, but it must be there */
		return shows(e) ? 0 : p->below->ops->rename(p->below, from_dir, from, to_dir, to);
	if (!shows(e))
		r = dir_at(p, from_dir, from, &moved);
	if (!r && moved == to_dir && moved)
		r = -EINVAL;
	if (!r)
		r = prepare_place(p, to_dir, to, moved, &gone);
	if (!r && shows(e)) {
		struct br_projfs_target t = { .e = e, .ino = e->now == REPLACED ? e->base.ino : 0 };

		r = br_projfs_make_real(p, &t);
	}
	if (!r)
		r = p->below->ops->rename(p->below, from_dir, from, to_dir, to);
	if (!r && e)
		e->removed = true;
	if (!r && gone)
		forget_dir(p, gone);
	return r;
}

/* ---- directories ---- */

struct listing {
	struct br_projfs *p;
	uint64_t dir;
	br_fs_readdir_fn fn;
	void *ctx;
	bool stopped;
};

static int list_one(void *ctx, const struct br_fs_dirent *d)
{
	struct listing *l = ctx;
	struct br_fs_dirent shown = *d;

	for (size_t i = 0; i < l->p->n; i++) {
		struct br_projfs_entry *e = &l->p->entries[i];

		if (e->dir != l->dir || strcmp(e->name, d->name) != 0)
			continue;
		if (e->now == HIDDEN || e->now == VIRTUAL)
			return 0;
	}
	if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
		for (size_t i = 0; i < l->p->n; i++)
			if (l->p->entries[i].real == d->ino)
				shown.ino = br_projfs_number(l->p, &l->p->entries[i]);
	l->stopped = l->fn(l->ctx, &shown) != 0;
	return l->stopped;
}

static int projfs_readdir(struct br_fs *fs, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx,
	bool *ret_eof)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct listing l = { .p = p, .dir = dir, .fn = fn, .ctx = ctx };
	bool eof = true;

	/* before, not from inside the other's readdir */
	for (size_t i = 0; i < p->n; i++) {
		int r = p->entries[i].dir == dir ? br_projfs_look(p, &p->entries[i]) : 0;

		if (r < 0)
			return r;
		if (p->entries[i].real)
			(void)br_projfs_outside(p, p->entries[i].real); /* forgets one whose file is gone */
	}
	if (cookie < BR_PROJFS_COOKIE) {
		int r = p->below->ops->readdir(p->below, dir, cookie, list_one, &l, &eof);

		if (r < 0)
			return r;
		cookie = BR_PROJFS_COOKIE;
	}
	for (size_t i = cookie - BR_PROJFS_COOKIE; eof && !l.stopped && i < p->n; i++) {
		struct br_projfs_entry *e = &p->entries[i];
		struct br_fs_dirent d = { .ino = br_projfs_number(p, e), .cookie = BR_PROJFS_COOKIE + i + 1, .name = e->name };

		if (e->dir == dir && e->now == VIRTUAL)
			l.stopped = fn(ctx, &d) != 0;
	}
	*ret_eof = eof && !l.stopped;
	return 0;
}

static int projfs_statfs(struct br_fs *fs, struct br_fs_statfs *ret)
{
	return br_projfs_of(fs)->below->ops->statfs(br_projfs_of(fs)->below, ret);
}

static int projfs_commit(struct br_fs *fs)
{
	return br_projfs_of(fs)->below->ops->commit(br_projfs_of(fs)->below);
}

static struct br_fs *projfs_stored(struct br_fs *fs)
{
	return br_projfs_of(fs)->below;
}

static int projfs_map(struct br_fs *fs, uint64_t ino, uint64_t offset, size_t len, struct br_fs_map *ret)
{
	struct br_projfs *p = br_projfs_of(fs);
	struct br_projfs_target t;
	int r = br_projfs_target(p, ino, &t);

	if (r < 0)
		return r;
	return t.e || !p->below->ops->map ? -EOPNOTSUPP : p->below->ops->map(p->below, t.ino, offset, len, ret);
}

static void projfs_close(struct br_fs *fs)
{
	struct br_projfs *p = br_projfs_of(fs);

	for (size_t i = 0; i < p->n; i++) {
		free(p->entries[i].name);
		free(p->entries[i].data);
	}
	free(p->entries);
	free(p);
}

const struct br_fs_ops br_projfs_ops = {
	.close = projfs_close,
	.root = projfs_root,
	.getattr = projfs_getattr,
	.setattr = projfs_setattr,
	.lookup = projfs_lookup,
	.readlink = projfs_readlink,
	.read = projfs_read,
	.write = projfs_write,
	.create = projfs_create,
	.link = projfs_link,
	.unlink = projfs_unlink,
	.rmdir = projfs_rmdir,
	.rename = projfs_rename,
	.readdir = projfs_readdir,
	.statfs = projfs_statfs,
	.commit = projfs_commit,
	.stored = projfs_stored,
	.map = projfs_map,
};
