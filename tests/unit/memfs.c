/* SPDX-License-Identifier: Apache-2.0 */
/* A file system in memory. Plain arrays and linear search: tests are small. */
#include "tests/unit/memfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define ROOT 2
#define NODES_MAX 4096
#define LINK_MAX_ 32000
#define SIZE_MAX_ (64u << 20)

struct child {
	uint64_t ino, cookie;
	char name[256];
};

struct node {
	bool used;
	struct br_fs_attr attr;
	uint8_t *data; /* content, or a link's target with its NUL */
	uint64_t parent; /* of a directory */
	struct child *children;
	size_t n_children;
	uint64_t next_cookie;
};

struct memfs {
	struct br_fs fs;
	struct node nodes[NODES_MAX];
	int64_t now;
	uint64_t limit;
	unsigned fail_in, commits;
	int fail_r;
};

static struct memfs *of(struct br_fs *fs)
{
	return (struct memfs *)fs;
}

static struct node *get(struct br_fs *fs, uint64_t ino)
{
	struct node *n = ino < NODES_MAX ? &of(fs)->nodes[ino] : NULL;

	return n && n->used ? n : NULL;
}

static bool is_dir(const struct node *n)
{
	return (n->attr.mode & S_IFMT) == S_IFDIR;
}

static int get_dir(struct br_fs *fs, uint64_t ino, struct node **ret)
{
	struct node *n = get(fs, ino);

	if (!n)
		return -ESTALE;
	if (!is_dir(n))
		return -ENOTDIR;
	*ret = n;
	return 0;
}

static struct child *find(struct node *dir, const char *name)
{
	for (size_t i = 0; i < dir->n_children; i++)
		if (!strcmp(dir->children[i].name, name))
			return &dir->children[i];
	return NULL;
}

/* Every changing operation comes through here when it is sure to succeed otherwise. */
static int change(struct br_fs *fs, struct timespec *now)
{
	struct memfs *m = of(fs);

	*now = (struct timespec){ .tv_sec = m->now++ };
	return m->fail_in && !--m->fail_in ? m->fail_r : 0;
}

static void touch(struct node *n, struct timespec now)
{
	n->attr.mtime = n->attr.ctime = now;
}

static uint64_t used_bytes(struct memfs *m)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < NODES_MAX; i++)
		if (m->nodes[i].used && !is_dir(&m->nodes[i]))
			sum += m->nodes[i].attr.size;
	return sum;
}

static int resize(struct br_fs *fs, struct node *n, uint64_t size)
{
	uint8_t *p;

	if (size > SIZE_MAX_)
		return -EFBIG;
	if (size > n->attr.size && used_bytes(of(fs)) + (size - n->attr.size) > of(fs)->limit)
		return -ENOSPC;
	p = realloc(n->data, size + 1);
	if (!p)
		return -ENOMEM;
	if (size > n->attr.size)
		memset(p + n->attr.size, 0, size - n->attr.size);
	n->data = p;
	n->attr.size = size;
	n->attr.used = (size + 4095) / 4096 * 4096;
	return 0;
}

static void drop(struct node *n)
{
	free(n->data);
	free(n->children);
	*n = (struct node){ .attr.generation = n->attr.generation };
}

static int add_child(struct node *dir, const char *name, uint64_t ino)
{
	struct child *p = realloc(dir->children, (dir->n_children + 1) * sizeof(*p));

	if (!p)
		return -ENOMEM;
	dir->children = p;
	p = &p[dir->n_children++];
	*p = (struct child){ .ino = ino, .cookie = 3 + dir->next_cookie++ };
	memcpy(p->name, name, strlen(name) + 1);
	return 0;
}

static void remove_child(struct node *dir, const struct child *c)
{
	size_t i = (size_t)(c - dir->children);

	memmove(&dir->children[i], &dir->children[i + 1], (dir->n_children - i - 1) * sizeof(*c));
	dir->n_children--;
}

static void unref(struct node *n, struct timespec now)
{
	n->attr.ctime = now;
	if (!--n->attr.nlink)
		drop(n);
}

static void memfs_close(struct br_fs *fs)
{
	for (size_t i = 0; i < NODES_MAX; i++)
		drop(&of(fs)->nodes[i]);
	free(fs);
}

static uint64_t memfs_root(struct br_fs *fs)
{
	return ROOT;
}

static int memfs_getattr(struct br_fs *fs, uint64_t ino, struct br_fs_attr *ret)
{
	struct node *n = get(fs, ino);

	if (!n)
		return -ESTALE;
	*ret = n->attr;
	return 0;
}

static void clear_setid(struct node *n)
{
	n->attr.mode &= ~(uint32_t)S_ISUID;
	if (n->attr.mode & S_IXGRP)
		n->attr.mode &= ~(uint32_t)S_ISGID;
}

static int memfs_setattr(struct br_fs *fs, uint64_t ino, const struct br_fs_setattr *a)
{
	struct node *n = get(fs, ino);
	struct timespec now = { 0 };
	int r;

	if (!n)
		return -ESTALE;
	if (a->set & BR_FS_SET_SIZE) {
		if (is_dir(n))
			return -EISDIR;
		if ((n->attr.mode & S_IFMT) != S_IFREG)
			return -EINVAL;
	}
	r = change(fs, &now);
	if (!r && a->set & BR_FS_SET_SIZE)
		r = resize(fs, n, a->size);
	if (r < 0)
		return r;
	if (a->set & (BR_FS_SET_UID | BR_FS_SET_GID | BR_FS_SET_SIZE) && !is_dir(n))
		clear_setid(n);
	if (a->set & BR_FS_SET_SIZE)
		n->attr.mtime = now;
	if (a->set & BR_FS_SET_MODE)
		n->attr.mode = (n->attr.mode & S_IFMT) | (a->mode & 07777);
	if (a->set & BR_FS_SET_UID)
		n->attr.uid = a->uid;
	if (a->set & BR_FS_SET_GID)
		n->attr.gid = a->gid;
	if (a->set & BR_FS_SET_ATIME)
		n->attr.atime = a->atime;
	if (a->set & BR_FS_SET_MTIME)
		n->attr.mtime = a->mtime;
	n->attr.ctime = now;
	return 0;
}

static int memfs_lookup(struct br_fs *fs, uint64_t dir, const char *name, uint64_t *ret_ino)
{
	struct node *d;
	struct child *c;
	int r = get_dir(fs, dir, &d);

	if (r < 0)
		return r;
	if (!strcmp(name, ".")) {
		*ret_ino = dir;
		return 0;
	}
	if (!strcmp(name, "..")) {
		*ret_ino = d->parent;
		return 0;
	}
	c = find(d, name);
	if (!c)
		return -ENOENT;
	*ret_ino = c->ino;
	return 0;
}

static int memfs_readlink(struct br_fs *fs, uint64_t ino, char *buf, size_t size)
{
	struct node *n = get(fs, ino);

	if (!n)
		return -ESTALE;
	if ((n->attr.mode & S_IFMT) != S_IFLNK)
		return -EINVAL;
	if (n->attr.size >= size)
		return -ENAMETOOLONG;
	memcpy(buf, n->data, n->attr.size);
	buf[n->attr.size] = 0;
	return 0;
}

static int check_file(const struct node *n)
{
	if (!n)
		return -ESTALE;
	if (is_dir(n))
		return -EISDIR;
	return (n->attr.mode & S_IFMT) == S_IFREG ? 0 : -EINVAL;
}

static int memfs_read(struct br_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len,
	size_t *ret_len, bool *ret_eof)
{
	struct node *n = get(fs, ino);
	int r = check_file(n);

	if (r < 0)
		return r;
	if (offset >= n->attr.size)
		len = 0;
	else if (len > n->attr.size - offset)
		len = n->attr.size - offset;
	if (len)
		memcpy(buf, n->data + offset, len);
	*ret_len = len;
	*ret_eof = offset + len >= n->attr.size;
	return 0;
}

static int memfs_write(struct br_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len)
{
	struct node *n = get(fs, ino);
	struct timespec now = { 0 };
	int r = check_file(n);

	if (r < 0)
		return r;
	if (offset > SIZE_MAX_ || len > SIZE_MAX_)
		return -EFBIG;
	r = change(fs, &now);
	if (!r && offset + len > n->attr.size)
		r = resize(fs, n, offset + len);
	if (r < 0)
		return r;
	if (len)
		memcpy(n->data + offset, buf, len);
	clear_setid(n);
	touch(n, now);
	return 0;
}

static uint64_t free_ino(struct memfs *m)
{
	for (uint64_t i = ROOT + 1; i < NODES_MAX; i++)
		if (!m->nodes[i].used)
			return i;
	return 0;
}

static void fill(struct node *n, uint64_t ino, uint64_t dir, const struct br_fs_new *node, struct timespec now)
{
	n->used = true;
	n->parent = dir;
	n->attr = (struct br_fs_attr){
		.ino = ino,
		.generation = n->attr.generation + 1,
		.mode = node->mode,
		.nlink = is_dir(n) ? 2 : 1,
		.uid = node->uid,
		.gid = node->gid,
		.rdev_major = node->rdev_major,
		.rdev_minor = node->rdev_minor,
		.atime = now,
		.mtime = now,
		.ctime = now,
	};
	n->attr.nlink = is_dir(n) ? 2 : 1;
	if (is_dir(n))
		n->attr.size = 4096;
}

static int memfs_create(struct br_fs *fs, uint64_t dir, const char *name, const struct br_fs_new *node,
	uint64_t *ret_ino)
{
	bool link = (node->mode & S_IFMT) == S_IFLNK;
	struct timespec now = { 0 };
	struct node *d, *n;
	uint64_t ino = free_ino(of(fs));
	int r = get_dir(fs, dir, &d);

	if (r < 0)
		return r;
	if (find(d, name))
		return -EEXIST;
	if (!ino)
		return -ENOSPC;
	r = change(fs, &now);
	if (!r)
		r = add_child(d, name, ino);
	if (r < 0)
		return r;
	n = &of(fs)->nodes[ino];
	fill(n, ino, dir, node, now);
	if (link)
		r = resize(fs, n, strlen(node->target));
	if (r < 0) {
		remove_child(d, find(d, name));
		drop(n);
		return r;
	}
	if (link)
		memcpy(n->data, node->target, n->attr.size);
	if (is_dir(n))
		d->attr.nlink++;
	touch(d, now);
	*ret_ino = ino;
	return 0;
}

static int memfs_link(struct br_fs *fs, uint64_t ino, uint64_t dir, const char *name)
{
	struct node *n = get(fs, ino), *d;
	struct timespec now = { 0 };
	int r = get_dir(fs, dir, &d);

	if (!n)
		return -ESTALE;
	if (r < 0)
		return r;
	if (find(d, name))
		return -EEXIST;
	if (is_dir(n))
		return -EPERM;
	if (n->attr.nlink >= LINK_MAX_)
		return -EMLINK;
	r = change(fs, &now);
	if (!r)
		r = add_child(d, name, ino);
	if (r < 0)
		return r;
	n->attr.nlink++;
	n->attr.ctime = now;
	touch(d, now);
	return 0;
}

static int memfs_unlink(struct br_fs *fs, uint64_t dir, const char *name)
{
	struct timespec now = { 0 };
	struct node *d, *n;
	struct child *c;
	int r = get_dir(fs, dir, &d);

	if (r < 0)
		return r;
	c = find(d, name);
	if (!c)
		return -ENOENT;
	n = get(fs, c->ino);
	if (is_dir(n))
		return -EISDIR;
	r = change(fs, &now);
	if (r < 0)
		return r;
	remove_child(d, c);
	unref(n, now);
	touch(d, now);
	return 0;
}

static int memfs_rmdir(struct br_fs *fs, uint64_t dir, const char *name)
{
	struct timespec now = { 0 };
	struct node *d, *n;
	struct child *c;
	int r = get_dir(fs, dir, &d);

	if (r < 0)
		return r;
	c = find(d, name);
	if (!c)
		return -ENOENT;
	n = get(fs, c->ino);
	if (!is_dir(n))
		return -ENOTDIR;
	if (n->n_children)
		return -ENOTEMPTY;
	r = change(fs, &now);
	if (r < 0)
		return r;
	remove_child(d, c);
	drop(n);
	d->attr.nlink--;
	touch(d, now);
	return 0;
}

/* Whether directory 'ino' is 'above' or inside it. */
static bool inside(struct br_fs *fs, uint64_t ino, uint64_t above)
{
	for (; ino != ROOT; ino = get(fs, ino)->parent)
		if (ino == above)
			return true;
	return above == ROOT;
}

static int may_replace(const struct node *n, const struct node *old)
{
	if (is_dir(n) && !is_dir(old))
		return -ENOTDIR;
	if (!is_dir(n) && is_dir(old))
		return -EISDIR;
	return is_dir(old) && old->n_children ? -ENOTEMPTY : 0;
}

static int memfs_rename(struct br_fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to)
{
	struct timespec now = { 0 };
	struct node *f, *t, *n;
	struct child *c, *old;
	uint64_t ino;
	int r = get_dir(fs, from_dir, &f);

	if (!r)
		r = get_dir(fs, to_dir, &t);
	if (r < 0)
		return r;
	c = find(f, from);
	if (!c)
		return -ENOENT;
	ino = c->ino;
	n = get(fs, ino);
	if (is_dir(n) && inside(fs, to_dir, ino))
		return -EINVAL;
	old = find(t, to);
	if (old && old->ino == ino)
		return 0;
	r = old ? may_replace(n, get(fs, old->ino)) : 0;
	if (!r)
		r = change(fs, &now);
	if (r < 0)
		return r;
	if (old) {
		struct node *gone = get(fs, old->ino);

		remove_child(t, old);
		if (is_dir(gone)) {
			t->attr.nlink--;
			drop(gone);
		} else {
			unref(gone, now);
		}
	}
	remove_child(f, find(f, from));
	if (add_child(t, to, ino) < 0)
		abort();
	if (is_dir(n)) {
		f->attr.nlink--;
		t->attr.nlink++;
		n->parent = to_dir;
	}
	n->attr.ctime = now;
	touch(f, now);
	touch(t, now);
	return 0;
}

static int memfs_readdir(struct br_fs *fs, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx,
	bool *ret_eof)
{
	struct node *d;
	int r = get_dir(fs, dir, &d);

	if (r < 0)
		return r;
	*ret_eof = false;
	if (cookie < 1 && fn(ctx, &(struct br_fs_dirent){ .ino = dir, .cookie = 1, .name = "." }))
		return 0;
	if (cookie < 2 && fn(ctx, &(struct br_fs_dirent){ .ino = d->parent, .cookie = 2, .name = ".." }))
		return 0;
	for (size_t i = 0; i < d->n_children; i++) {
		struct child *c = &d->children[i];

		if (c->cookie <= cookie)
			continue;
		if (fn(ctx, &(struct br_fs_dirent){ .ino = c->ino, .cookie = c->cookie, .name = c->name }))
			return 0;
	}
	*ret_eof = true;
	return 0;
}

static int memfs_statfs(struct br_fs *fs, struct br_fs_statfs *ret)
{
	uint64_t total = of(fs)->limit == UINT64_MAX ? 1u << 30 : of(fs)->limit, used = used_bytes(of(fs));
	uint64_t left = used < total ? total - used : 0, files = 0;

	for (size_t i = 0; i < NODES_MAX; i++)
		files += of(fs)->nodes[i].used;
	*ret = (struct br_fs_statfs){
		.total_bytes = total,
		.free_bytes = left,
		.avail_bytes = left,
		.total_files = NODES_MAX,
		.free_files = NODES_MAX - files,
	};
	return 0;
}

static int memfs_commit(struct br_fs *fs)
{
	of(fs)->commits++;
	return 0;
}

static const struct br_fs_ops ops = {
	.close = memfs_close,
	.root = memfs_root,
	.getattr = memfs_getattr,
	.setattr = memfs_setattr,
	.lookup = memfs_lookup,
	.readlink = memfs_readlink,
	.read = memfs_read,
	.write = memfs_write,
	.create = memfs_create,
	.link = memfs_link,
	.unlink = memfs_unlink,
	.rmdir = memfs_rmdir,
	.rename = memfs_rename,
	.readdir = memfs_readdir,
	.statfs = memfs_statfs,
	.commit = memfs_commit,
};

struct br_fs *memfs_new(void)
{
	struct memfs *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	m->fs.ops = &ops;
	m->now = 1000;
	m->limit = UINT64_MAX;
	fill(&m->nodes[ROOT], ROOT, ROOT, &(struct br_fs_new){ .mode = S_IFDIR | 0755 },
		(struct timespec){ .tv_sec = m->now++ });
	return &m->fs;
}

static void *copy(const void *p, size_t n)
{
	void *q = malloc(n + 1);

	if (!q)
		abort();
	if (n)
		memcpy(q, p, n);
	return q;
}

struct br_fs *memfs_clone(struct br_fs *fs)
{
	struct memfs *m = copy(fs, sizeof(*m));

	for (size_t i = 0; i < NODES_MAX; i++) {
		struct node *n = &m->nodes[i];

		if (n->data)
			n->data = copy(n->data, n->attr.size);
		if (n->children)
			n->children = copy(n->children, n->n_children * sizeof(*n->children));
	}
	return &m->fs;
}

/* The directory a path's last part is in, made when missing; *name is that part. */
static uint64_t parent_of(struct br_fs *fs, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	br_cleanup(br_freep) char *dir = NULL;

	*name = slash ? slash + 1 : path;
	if (!slash || slash == path)
		return ROOT;
	dir = strndup(path, (size_t)(slash - path));
	if (!dir)
		abort();
	return memfs_mkdir(fs, dir);
}

static uint64_t make(struct br_fs *fs, const char *path, const struct br_fs_new *node)
{
	const char *name;
	uint64_t dir = parent_of(fs, path, &name), ino;
	int r;

	r = memfs_lookup(fs, dir, name, &ino);
	if (r == -ENOENT)
		r = memfs_create(fs, dir, name, node, &ino);
	if (r < 0)
		abort();
	return ino;
}

uint64_t memfs_mkdir(struct br_fs *fs, const char *path)
{
	return make(fs, path, &(struct br_fs_new){ .mode = S_IFDIR | 0755 });
}

uint64_t memfs_put(struct br_fs *fs, const char *path, uint32_t mode, const char *text)
{
	uint64_t ino = make(fs, path, &(struct br_fs_new){ .mode = S_IFREG | mode });

	if (memfs_setattr(fs, ino, &(struct br_fs_setattr){ .set = BR_FS_SET_SIZE }) < 0 ||
		memfs_write(fs, ino, 0, text, strlen(text)) < 0)
		abort();
	get(fs, ino)->attr.mode = S_IFREG | mode; /* the write took setuid away */
	return ino;
}

uint64_t memfs_put_link(struct br_fs *fs, const char *path, const char *target)
{
	return make(fs, path, &(struct br_fs_new){ .mode = S_IFLNK | 0777, .target = target });
}

void memfs_limit(struct br_fs *fs, uint64_t bytes)
{
	of(fs)->limit = bytes;
}

void memfs_fail(struct br_fs *fs, unsigned n, int r)
{
	of(fs)->fail_in = n;
	of(fs)->fail_r = r;
}

unsigned memfs_commits(struct br_fs *fs)
{
	return of(fs)->commits;
}
