/* SPDX-License-Identifier: Apache-2.0 */
/* The projection: what a board sees instead of the image's files, until it writes its own. */
#include "store/projfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

#define ENTRIES_MAX 65536
#define TARGET_MAX 4095
#define SPACE_SLACK (64u << 10) /* free bytes beside the content before a copy is begun */

enum state {
	ABSENT,	  /* there is no such file */
	OWN,	  /* the board's, or not projected: as below */
	REPLACED, /* the image's regular file with our content */
	VIRTUAL,  /* ours alone; below it is missing, or something that we cover */
	HIDDEN,
};

struct entry {
	char *name;
	uint64_t dir; /* below; 0: this entry does nothing */
	uint8_t *data; /* NULL: hide; of a symlink with a NUL */
	size_t len;
	uint32_t mode, uid, gid, generation;
	struct timespec time; /* of a virtual file: that of its directory in the image, so it never changes */
	struct br_fs_attr base; /* ino 0: not in the image */
	bool removed, half;	/* half: a copy into the image's inode failed midway, it still shows the projection */
	uint64_t real;		/* the inode a virtual file was copied to; 0: none */
	uint32_t real_generation;

	enum state now; /* both as of the last look() */
	uint64_t ino;	/* what there is below, 0: nothing */
};

struct projfs {
	struct br_fs fs;
	struct br_fs *below;
	struct entry *entries;
	size_t n;
};

/* An inode number from outside, looked at. */
struct target {
	struct entry *e; /* its projection, when it shows one (REPLACED or VIRTUAL) */
	uint64_t ino;	 /* below; 0: VIRTUAL */
	uint64_t shown;	 /* the number outside */
	struct entry *moved; /* a virtual entry that became the real file 'ino' */
};

static struct projfs *of(struct br_fs *fs)
{
	return (struct projfs *)fs;
}

/* ---- what an entry is just now ---- */

static bool is_type(uint32_t mode, uint32_t type)
{
	return (mode & S_IFMT) == type;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool still_images(const struct entry *e, const struct br_fs_attr *attr)
{
	if (!e->base.ino || attr->ino != e->base.ino || attr->generation != e->base.generation)
		return false;
	return e->half || (same_time(attr->mtime, e->base.mtime) && same_time(attr->ctime, e->base.ctime));
}

/* Regular over regular shows through the image's inode; everything else needs a number of its own. */
static bool keeps_inode(const struct entry *e)
{
	return e->data && is_type(e->mode, S_IFREG) && is_type(e->base.mode, S_IFREG);
}

static int look(struct projfs *p, struct entry *e)
{
	struct br_fs_attr attr = { 0 };
	int r = p->below->ops->lookup(p->below, e->dir, e->name, &e->ino);

	if (r == -ENOENT) {
		/* what the image had and the board has not was removed by the board */
		e->now = e->data && !e->removed && !e->base.ino ? VIRTUAL : ABSENT;
		e->ino = 0;
		return 0;
	}
	if (!r)
		r = p->below->ops->getattr(p->below, e->ino, &attr);
	if (r < 0)
		return r;
	if (!still_images(e, &attr))
		e->now = OWN;
	else if (!e->data)
		e->now = HIDDEN;
	else
		e->now = keeps_inode(e) ? REPLACED : VIRTUAL;
	return 0;
}

/* The entry for a name, looked at; NULL in *ret: none, the name is as below. */
static int find(struct projfs *p, uint64_t dir, const char *name, struct entry **ret)
{
	*ret = NULL;
	for (size_t i = 0; i < p->n; i++) {
		if (p->entries[i].dir != dir || strcmp(p->entries[i].name, name) != 0)
			continue;
		*ret = &p->entries[i];
		return look(p, *ret);
	}
	return 0;
}

static uint64_t number(const struct projfs *p, const struct entry *e)
{
	return BR_PROJFS_INO + (uint64_t)(e - p->entries);
}

/* A number from below to the one outside: a copied file keeps its virtual number as long as it lives. */
static uint64_t outside(struct projfs *p, uint64_t ino)
{
	struct br_fs_attr attr = { 0 };

	for (size_t i = 0; i < p->n; i++) {
		struct entry *e = &p->entries[i];

		if (e->real != ino || !ino)
			continue;
		if (!p->below->ops->getattr(p->below, ino, &attr) && attr.generation == e->real_generation)
			return number(p, e);
		e->real = 0; /* gone, its number used again */
	}
	return ino;
}

/* The real file a virtual number stands for since the copy, also when that was before a restart. */
static int target_of_moved(struct projfs *p, struct entry *e, struct target *ret)
{
	struct br_fs_attr attr = { 0 };
	uint64_t ino = e->real;
	int r;

	if (!ino && e->now != OWN)
		return -ESTALE;
	if (!ino)
		ino = e->ino;
	r = p->below->ops->getattr(p->below, ino, &attr);
	if (r < 0)
		return r;
	if (e->real && attr.generation != e->real_generation)
		return -ESTALE;
	*ret = (struct target){ .ino = ino, .shown = number(p, e), .moved = e };
	return 0;
}

static int target_of(struct projfs *p, uint64_t ino, struct target *ret)
{
	struct br_fs_attr attr = { 0 };
	int r;

	*ret = (struct target){ .ino = ino, .shown = ino };
	if (!ino) /* nobody's, and 0 says VIRTUAL here */
		return -ESTALE;
	if (ino >= BR_PROJFS_INO) {
		struct entry *e;

		if (ino - BR_PROJFS_INO >= p->n)
			return -ESTALE;
		e = &p->entries[ino - BR_PROJFS_INO];
		r = e->dir ? look(p, e) : -ESTALE;
		if (r < 0)
			return r;
		if (e->now != VIRTUAL || e->real)
			return target_of_moved(p, e, ret);
		*ret = (struct target){ .e = e, .shown = ino };
		return 0;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct entry *e = &p->entries[i];

		if (e->base.ino != ino || !e->dir || !keeps_inode(e))
			continue;
		r = p->below->ops->getattr(p->below, ino, &attr);
		if (r < 0)
			return r;
		if (still_images(e, &attr))
			ret->e = e;
		return 0;
	}
	return 0;
}

/* ---- copying up ---- */

static int room_for(struct projfs *p, size_t len)
{
	struct br_fs_statfs st;
	int r = p->below->ops->statfs(p->below, &st);

	return r < 0 ? r : st.avail_bytes < len + SPACE_SLACK ? -ENOSPC : 0;
}

static int fill(struct projfs *p, uint64_t ino, const struct entry *e)
{
	const struct br_fs_setattr attr = {
		.set = BR_FS_SET_SIZE | BR_FS_SET_UID | BR_FS_SET_GID,
		.size = e->len,
		.uid = e->uid,
		.gid = e->gid,
	};
	/* apart and last: changing the owner takes setuid away */
	const struct br_fs_setattr mode = { .set = BR_FS_SET_MODE, .mode = e->mode & 07777 };
	int r = 0;

	if (e->len)
		r = p->below->ops->write(p->below, ino, 0, e->data, e->len);
	if (!r)
		r = p->below->ops->setattr(p->below, ino, &attr);
	if (!r)
		r = p->below->ops->setattr(p->below, ino, &mode);
	return r;
}

static int copy_replaced(struct projfs *p, struct entry *e)
{
	int r = room_for(p, e->len);

	if (r < 0)
		return r;
	/* should it fail midway the file goes on to show the projection, and the next try writes it anew */
	e->half = true;
	r = fill(p, e->base.ino, e);
	if (!r)
		e->half = false;
	return r;
}

/* Makes the real file, under another name first when there is something to take the place of. */
static int copy_virtual(struct projfs *p, struct entry *e)
{
	struct br_fs *below = p->below;
	const struct br_fs_new node = {
		.mode = e->mode,
		.uid = e->uid,
		.gid = e->gid,
		.target = is_type(e->mode, S_IFLNK) ? (const char *)e->data : NULL,
	};
	char tmp[48];
	const char *name = e->name;
	struct br_fs_attr attr = { 0 };
	uint64_t ino = 0;
	int r = room_for(p, e->len);

	if (e->ino) {
		snprintf(tmp, sizeof(tmp), ".bramble-projection-%zu", (size_t)(e - p->entries));
		name = tmp;
	}
	if (!r)
		r = below->ops->create(below, e->dir, name, &node, &ino);
	if (r < 0)
		return r;
	if (is_type(e->mode, S_IFREG))
		r = fill(p, ino, e);
	if (!r)
		r = below->ops->getattr(below, ino, &attr);
	if (!r && e->ino)
		r = below->ops->rename(below, e->dir, name, e->dir, e->name);
	if (r < 0) {
		(void)below->ops->unlink(below, e->dir, name);
		return r;
	}
	e->real = ino;
	e->real_generation = attr.generation;
	return 0;
}

/* Makes an ordinary file of what t shows; t->ino is then what to work on. */
static int make_real(struct projfs *p, struct target *t)
{
	int r;

	if (!t->e)
		return 0;
	if (t->ino) {
		r = copy_replaced(p, t->e);
	} else {
		r = copy_virtual(p, t->e);
		if (!r)
			t->ino = t->e->real;
	}
	if (!r)
		t->e = NULL;
	return r;
}

/* ---- operations on files ---- */

static uint64_t projfs_root(struct br_fs *fs)
{
	return of(fs)->below->ops->root(of(fs)->below);
}

static void virtual_attr(const struct projfs *p, const struct entry *e, struct br_fs_attr *ret)
{
	*ret = (struct br_fs_attr){
		.ino = number(p, e),
		.generation = e->generation,
		.nlink = 1,
		.atime = e->time,
		.mtime = e->time,
		.ctime = e->time,
	};
}

static int projfs_getattr(struct br_fs *fs, uint64_t ino, struct br_fs_attr *ret)
{
	struct projfs *p = of(fs);
	struct br_fs_attr attr = { 0 };
	struct target t;
	int r = target_of(p, ino, &t);

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
	struct projfs *p = of(fs);
	struct target t;
	int r = target_of(p, ino, &t);

	if (!r && t.e && attr->set & BR_FS_SET_SIZE && !is_type(t.e->mode, S_IFREG))
		r = -EINVAL;
	if (!r)
		r = make_real(p, &t);
	return r < 0 ? r : p->below->ops->setattr(p->below, t.ino, attr);
}

static int projfs_readlink(struct br_fs *fs, uint64_t ino, char *buf, size_t size)
{
	struct projfs *p = of(fs);
	struct target t;
	int r = target_of(p, ino, &t);

	if (r < 0)
		return r;
	if (!t.e)
		return p->below->ops->readlink(p->below, t.ino, buf, size);
	if (!is_type(t.e->mode, S_IFLNK))
		return -EINVAL;
	return br_strcpy(buf, size, (const char *)t.e->data);
}

static int projfs_read(struct br_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len, size_t *ret_len,
	bool *ret_eof)
{
	struct projfs *p = of(fs);
	struct target t;
	int r = target_of(p, ino, &t);

	if (r < 0)
		return r;
	if (!t.e)
		return p->below->ops->read(p->below, t.ino, offset, buf, len, ret_len, ret_eof);
	if (!is_type(t.e->mode, S_IFREG))
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
	struct projfs *p = of(fs);
	struct target t;
	int r = target_of(p, ino, &t);

	if (!r && t.e && !is_type(t.e->mode, S_IFREG))
		r = -EINVAL;
	if (!r)
		r = make_real(p, &t);
	return r < 0 ? r : p->below->ops->write(p->below, t.ino, offset, buf, len);
}

/* ---- operations on names ---- */

static bool shows(const struct entry *e)
{
	return e && (e->now == REPLACED || e->now == VIRTUAL);
}

/* Says to a client's cache that a directory changed, when nothing changed below. */
static void touch(struct projfs *p, uint64_t dir)
{
	struct br_fs_setattr attr = { .set = BR_FS_SET_MTIME };

	clock_gettime(CLOCK_REALTIME, &attr.mtime);
	(void)p->below->ops->setattr(p->below, dir, &attr); /* the change itself is done */
}

static int projfs_lookup(struct br_fs *fs, uint64_t dir, const char *name, uint64_t *ret_ino)
{
	struct projfs *p = of(fs);
	struct entry *e;
	uint64_t ino;
	int r = find(p, dir, name, &e);

	if (r < 0)
		return r;
	if (e && (e->now == ABSENT || e->now == HIDDEN))
		return -ENOENT;
	if (e && e->now == VIRTUAL) {
		*ret_ino = number(p, e);
		return 0;
	}
	r = p->below->ops->lookup(p->below, dir, name, &ino);
	if (!r)
		*ret_ino = outside(p, ino);
	return r;
}

/* A name is about to be made: -EEXIST when one is shown; what is hidden there goes for good, which nobody sees. */
static int make_way(struct projfs *p, uint64_t dir, const char *name)
{
	struct entry *e;
	int r = find(p, dir, name, &e);

	if (r < 0)
		return r;
	if (shows(e))
		return -EEXIST;
	return e && e->now == HIDDEN ? p->below->ops->unlink(p->below, dir, name) : 0;
}

static int projfs_create(struct br_fs *fs, uint64_t dir, const char *name, const struct br_fs_new *node,
	uint64_t *ret_ino)
{
	struct projfs *p = of(fs);
	int r = make_way(p, dir, name);

	return r < 0 ? r : p->below->ops->create(p->below, dir, name, node, ret_ino);
}

static int projfs_link(struct br_fs *fs, uint64_t ino, uint64_t dir, const char *name)
{
	struct projfs *p = of(fs);
	struct target t;
	int r = target_of(p, ino, &t);

	if (!r)
		r = make_way(p, dir, name);
	if (!r)
		r = make_real(p, &t);
	return r < 0 ? r : p->below->ops->link(p->below, t.ino, dir, name);
}

static int projfs_unlink(struct br_fs *fs, uint64_t dir, const char *name)
{
	struct projfs *p = of(fs);
	struct entry *e;
	int r = find(p, dir, name, &e);

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
static int empty(struct projfs *p, uint64_t dir)
{
	size_t hidden = 0, n = 0;
	bool eof;
	int r;

	for (size_t i = 0; i < p->n; i++) {
		struct entry *e = &p->entries[i];

		if (e->dir != dir)
			continue;
		r = look(p, e);
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
static void forget_dir(struct projfs *p, uint64_t dir)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->entries[i].dir == dir)
			p->entries[i].dir = 0;
}

/* The directory at a name below; 0 in *ret when there is none. */
static int dir_at(struct projfs *p, uint64_t dir, const char *name, uint64_t *ret)
{
	struct br_fs_attr attr = { 0 };
	uint64_t ino;
	int r = p->below->ops->lookup(p->below, dir, name, &ino);

	*ret = 0;
	if (!r)
		r = p->below->ops->getattr(p->below, ino, &attr);
	if (!r && is_type(attr.mode, S_IFDIR))
		*ret = ino;
	return r == -ENOENT ? 0 : r;
}

static int projfs_rmdir(struct br_fs *fs, uint64_t dir, const char *name)
{
	struct projfs *p = of(fs);
	struct entry *e;
	uint64_t gone = 0;
	int r = find(p, dir, name, &e);

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
static int prepare_place(struct projfs *p, uint64_t dir, const char *name, bool from_dir, uint64_t *ret_gone)
{
	struct entry *e;
	int r = find(p, dir, name, &e);

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
	struct projfs *p = of(fs);
	struct entry *e;
	uint64_t moved = 0, gone = 0;
	int r = find(p, from_dir, from, &e);

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
		struct target t = { .e = e, .ino = e->now == REPLACED ? e->base.ino : 0 };

		r = make_real(p, &t);
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
	struct projfs *p;
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
		struct entry *e = &l->p->entries[i];

		if (e->dir != l->dir || strcmp(e->name, d->name) != 0)
			continue;
		if (e->now == HIDDEN || e->now == VIRTUAL)
			return 0;
	}
	if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
		for (size_t i = 0; i < l->p->n; i++)
			if (l->p->entries[i].real == d->ino)
				shown.ino = number(l->p, &l->p->entries[i]);
	l->stopped = l->fn(l->ctx, &shown) != 0;
	return l->stopped;
}

static int projfs_readdir(struct br_fs *fs, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx,
	bool *ret_eof)
{
	struct projfs *p = of(fs);
	struct listing l = { .p = p, .dir = dir, .fn = fn, .ctx = ctx };
	bool eof = true;

	/* before, not from inside the other's readdir */
	for (size_t i = 0; i < p->n; i++) {
		int r = p->entries[i].dir == dir ? look(p, &p->entries[i]) : 0;

		if (r < 0)
			return r;
		if (p->entries[i].real)
			(void)outside(p, p->entries[i].real); /* forgets one whose file is gone */
	}
	if (cookie < BR_PROJFS_COOKIE) {
		int r = p->below->ops->readdir(p->below, dir, cookie, list_one, &l, &eof);

		if (r < 0)
			return r;
		cookie = BR_PROJFS_COOKIE;
	}
	for (size_t i = cookie - BR_PROJFS_COOKIE; eof && !l.stopped && i < p->n; i++) {
		struct entry *e = &p->entries[i];
		struct br_fs_dirent d = { .ino = number(p, e), .cookie = BR_PROJFS_COOKIE + i + 1, .name = e->name };

		if (e->dir == dir && e->now == VIRTUAL)
			l.stopped = fn(ctx, &d) != 0;
	}
	*ret_eof = eof && !l.stopped;
	return 0;
}

static int projfs_statfs(struct br_fs *fs, struct br_fs_statfs *ret)
{
	return of(fs)->below->ops->statfs(of(fs)->below, ret);
}

static int projfs_commit(struct br_fs *fs)
{
	return of(fs)->below->ops->commit(of(fs)->below);
}

static struct br_fs *projfs_stored(struct br_fs *fs)
{
	return of(fs)->below;
}

static int projfs_map(struct br_fs *fs, uint64_t ino, uint64_t offset, size_t len, struct br_fs_map *ret)
{
	struct projfs *p = of(fs);
	struct target t;
	int r = target_of(p, ino, &t);

	if (r < 0)
		return r;
	return t.e || !p->below->ops->map ? -EOPNOTSUPP : p->below->ops->map(p->below, t.ino, offset, len, ret);
}

static void projfs_close(struct br_fs *fs)
{
	struct projfs *p = of(fs);

	for (size_t i = 0; i < p->n; i++) {
		free(p->entries[i].name);
		free(p->entries[i].data);
	}
	free(p->entries);
	free(p);
}

static const struct br_fs_ops ops = {
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

/* ---- opening ---- */

static int bad_path(const char *path, struct br_error *err)
{
	char vis[120];

	return br_error_set(err, EINVAL, "projection '%s': not an absolute path of a file",
		br_vis(vis, sizeof(vis), path, strlen(path)));
}

/* The entry's name, and its directory in *ret_dir (free()). */
static int split(const char *path, struct entry *e, char **ret_dir, struct br_error *err)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? strlen(slash + 1) : 0;

	if (path[0] != '/' || !n || n > 255 || !strcmp(slash + 1, ".") || !strcmp(slash + 1, ".."))
		return bad_path(path, err);
	e->name = strdup(slash + 1);
	*ret_dir = strndup(path, (size_t)(slash - path));
	return e->name && *ret_dir ? 0 : br_error_set(err, ENOMEM, "projection: out of memory");
}

static int copy_content(struct entry *e, const struct br_projection *in, struct br_error *err)
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

static bool taken(const struct projfs *p, uint64_t dir, const char *name)
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
static int place(struct projfs *p, struct br_fs *base, struct entry *e, const char *dir_path)
{
	struct br_fs_attr attr = { 0 };
	uint64_t dir = 0, base_dir = 0, ino = 0;
	int r = br_fs_walk_follow(p->below, dir_path, &dir);

	if (!r)
		r = p->below->ops->getattr(p->below, dir, &attr);
	if (r < 0)
		return missing(r) ? 0 : r;
	if (!is_type(attr.mode, S_IFDIR) || taken(p, dir, e->name))
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
	if (!e->base.ino || !is_type(e->base.mode, S_IFDIR))
		e->dir = dir;
	return 0;
}

static int add(struct projfs *p, struct br_fs *base, const struct br_projection *in, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = NULL;
	struct entry e = { 0 };
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
	struct projfs *p = calloc(1, sizeof(*p));

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
	p->fs.ops = &ops;
	p->below = below;
	for (size_t i = 0; i < n_entries; i++) {
		int r = add(p, base, &entries[i], err);

		if (r < 0) {
			projfs_close(&p->fs);
			return r;
		}
	}
	*ret = &p->fs;
	return 0;
}
