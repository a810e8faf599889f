/* SPDX-License-Identifier: Apache-2.0 */
/* Paths over any file system. */
#include "store/fs.h"

#include <errno.h>
#include <string.h>

int br_fs_commit(struct br_fs *fs, pthread_mutex_t *lock)
{
	uint64_t ticket;
	int r;

	pthread_mutex_lock(lock);
	while (fs->ops->stored)
		fs = fs->ops->stored(fs);
	if (!fs->ops->commit_begin) {
		r = fs->ops->commit(fs);
		pthread_mutex_unlock(lock);
		return r;
	}
	r = fs->ops->commit_begin(fs, &ticket);
	pthread_mutex_unlock(lock);
	if (r <= 0)
		return r;
	r = fs->ops->commit_sync(fs, ticket);
	pthread_mutex_lock(lock);
	r = fs->ops->commit_end(fs, ticket, r);
	pthread_mutex_unlock(lock);
	return r;
}

void br_fs_map_done(struct br_fs_map *map)
{
	br_blocks_unref(map->blocks);
	*map = (struct br_fs_map){ 0 };
}

#define LINKS_MAX 40 /* as Linux */
#define WALK_MAX 4096

/* What is still to walk: it ends at the end of buf, so that a link's target goes before it without a move. */
struct rest {
	char buf[WALK_MAX];
	size_t at;
};

static int push(struct rest *rest, const char *s, size_t n)
{
	if (n > rest->at)
		return -ENAMETOOLONG;
	rest->at -= n;
	memcpy(rest->buf + rest->at, s, n);
	return 0;
}

/* Takes the next part into name; 0 at the end, 1 with *ret_last telling that nothing follows, not even a slash. */
static int pop(struct rest *rest, char name[static 256], bool *ret_last)
{
	const char *p = rest->buf + rest->at, *end = rest->buf + WALK_MAX, *slash;
	size_t n;

	while (p < end && *p == '/')
		p++;
	if (p == end)
		return 0;
	slash = memchr(p, '/', (size_t)(end - p));
	n = (size_t)((slash ? slash : end) - p);
	if (n > 255)
		return -ENAMETOOLONG;
	memcpy(name, p, n);
	name[n] = 0;
	rest->at = (size_t)(p + n - rest->buf);
	*ret_last = !slash;
	return 1;
}

/* ino is a link in directory dir: its target goes before the rest. */
static int follow(struct br_fs *fs, uint64_t ino, struct rest *rest, uint64_t *dir)
{
	char target[WALK_MAX];
	int r = fs->ops->readlink(fs, ino, target, sizeof(target));

	if (r < 0)
		return r;
	if (!target[0])
		return -ENOENT;
	if (target[0] == '/')
		*dir = fs->ops->root(fs);
	return push(rest, target, strlen(target));
}

static int walk(struct br_fs *fs, const char *path, bool final, uint64_t *ret_ino)
{
	struct rest rest = { .at = WALK_MAX };
	uint64_t at = fs->ops->root(fs);
	unsigned links = 0;
	int r = push(&rest, path, strlen(path));

	while (!r) {
		struct br_fs_attr attr;
		char name[256];
		uint64_t ino;
		bool last;

		r = pop(&rest, name, &last);
		if (r <= 0)
			break;
		r = fs->ops->lookup(fs, at, name, &ino);
		if (!r)
			r = fs->ops->getattr(fs, ino, &attr);
		if (r)
			return r;
		if ((attr.mode & S_IFMT) == S_IFLNK && (!last || final)) {
			if (++links > LINKS_MAX)
				return -ELOOP;
			r = follow(fs, ino, &rest, &at);
			continue;
		}
		if ((attr.mode & S_IFMT) != S_IFDIR && !last)
			return -ENOTDIR;
		at = ino;
	}
	if (!r)
		*ret_ino = at;
	return r;
}

int br_fs_walk(struct br_fs *fs, const char *path, uint64_t *ret_ino)
{
	return walk(fs, path, false, ret_ino);
}

int br_fs_walk_follow(struct br_fs *fs, const char *path, uint64_t *ret_ino)
{
	return walk(fs, path, true, ret_ino);
}
