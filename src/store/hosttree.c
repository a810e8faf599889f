/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where inodes of a host directory are. A node is an inode's directory and name as last seen; by these a path is made and
 * opened below the root, and the inode there must be the one asked for. So a rename on the host never shows another
 * file under an old handle, and nothing that was moved out stays in reach.
 *
 * Without CAP_DAC_READ_SEARCH open_by_handle_at(2) is not ours: an inode that we do not remember (after a restart) is
 * looked for in all directories, piece by piece.
 */
#include "store/hosttree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <uthash.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/hostfs.h"

#define DEPTH_MAX 256
#define GONE 64	     /* inodes that a whole search did not find */
#define GONE_S 5     /* and so long it is believed */
#define DIRS_MAX (1u << 20)
#define DEAR_NS	(2 * BR_MS) /* a vain step that took more than this of the processor ... */
#define REST	10	    /* ... is followed by so many times what it took without another */

struct node {
	uint64_t ino, dir;
	struct node *older, *newer; /* by use */
	UT_hash_handle hh;
	char name[];
};

/* A search over all directories, in pieces. */
struct search {
	uint64_t *dirs; /* to be read, [at, n) */
	size_t at, n, cap;
	uint64_t wanted; /* it began for this one */
	bool running;
};

struct host_tree {
	int root_fd;
	uint64_t root;
	unsigned dev_major, dev_minor;
	struct node *nodes, *oldest, *newest;
	struct search search;
	struct {
		uint64_t ino;
		time_t since;
	} gone[GONE];
	unsigned next_gone;
	uint64_t rest_until_ns;
};

/* ---- system calls ---- */

int host_open_beneath(int dir_fd, const char *path, int flags, unsigned mode)
{
	int fd = br_open_resolved(dir_fd, path, flags | O_NOFOLLOW | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY), mode,
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);

	/* a mount is where the shared area ends; a rename beside us made the kernel unsure */
	return fd == -EXDEV ? -EACCES : fd;
}

static struct timespec time_of(const struct statx_timestamp *t)
{
	return (struct timespec){ .tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec };
}

/* Numbers are used again; the time of birth is another one then. Never 0. */
static uint32_t generation_of(const struct statx *x)
{
	uint64_t birth[2] = { (uint64_t)x->stx_btime.tv_sec, x->stx_btime.tv_nsec };

	return br_crc32c(0, birth, sizeof(birth)) | 1;
}

static int stat_fd(int fd, struct statx *x)
{
	unsigned mask = STATX_BASIC_STATS | STATX_BTIME;

	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, mask, x) < 0)
		return -errno;
	return x->stx_mask & STATX_BTIME ? 0 : -ENOTSUP;
}

static void take_stat(const struct statx *x, struct host_stat *ret)
{
	*ret = (struct host_stat){
		.ino = x->stx_ino,
		.generation = generation_of(x),
		.mode = x->stx_mode,
		.nlink = x->stx_nlink,
		.uid = x->stx_uid,
		.gid = x->stx_gid,
		.rdev_major = x->stx_rdev_major,
		.rdev_minor = x->stx_rdev_minor,
		.size = x->stx_size,
		.used = x->stx_blocks * 512,
		.atime = time_of(&x->stx_atime),
		.mtime = time_of(&x->stx_mtime),
		.ctime = time_of(&x->stx_ctime),
	};
}

int host_stat(int fd, struct host_stat *ret)
{
	struct statx x;
	int r = stat_fd(fd, &x);

	if (!r)
		take_stat(&x, ret);
	return r;
}

/* The same of something that must be on the tree's own file system: numbers of another one would be mixed up with its own. */
static int stat_ours(const struct host_tree *t, int fd, struct host_stat *ret)
{
	struct statx x;
	int r = stat_fd(fd, &x);

	if (!r && (x.stx_dev_major != t->dev_major || x.stx_dev_minor != t->dev_minor))
		r = -EACCES;
	if (!r)
		take_stat(&x, ret);
	return r;
}

/* ---- nodes ---- */

static void unlink_node(struct host_tree *t, struct node *n)
{
	*(n->older ? &n->older->newer : &t->oldest) = n->newer;
	*(n->newer ? &n->newer->older : &t->newest) = n->older;
}

static void append_node(struct host_tree *t, struct node *n)
{
	n->older = t->newest;
	n->newer = NULL;
	*(t->newest ? &t->newest->newer : &t->oldest) = n;
	t->newest = n;
}

static void drop_node(struct host_tree *t, struct node *n)
{
	unlink_node(t, n);
	HASH_DEL(t->nodes, n);
	free(n);
}

static struct node *find_node(struct host_tree *t, uint64_t ino)
{
	struct node *n;

	HASH_FIND(hh, t->nodes, &ino, sizeof(ino), n);
	return n;
}

/* A path uses its directories too, so these are always younger than what is in them. */
static void use_node(struct host_tree *t, struct node *n)
{
	if (n == t->newest)
		return;
	unlink_node(t, n);
	append_node(t, n);
}

void host_tree_forget(struct host_tree *t, uint64_t ino)
{
	struct node *n = find_node(t, ino);

	if (n)
		drop_node(t, n);
}

/* room: false when an older node must make way. Without memory it is looked for again. */
static void remember(struct host_tree *t, uint64_t ino, uint64_t dir, const char *name, bool only_if_room)
{
	size_t len = strlen(name) + 1;
	struct node *n = find_node(t, ino);

	if (ino == t->root)
		return;
	if (n && n->dir == dir && !strcmp(n->name, name)) {
		use_node(t, n);
		return;
	}
	if (n)
		drop_node(t, n);
	if (HASH_COUNT(t->nodes) >= BR_HOSTFS_NODES) {
		if (only_if_room)
			return;
		drop_node(t, t->oldest);
	}
	n = malloc(sizeof(*n) + len);
	if (!n)
		return;
	n->ino = ino;
	n->dir = dir;
	memcpy(n->name, name, len);
	HASH_ADD(hh, t->nodes, ino, sizeof(n->ino), n);
	append_node(t, n);
}

void host_tree_remember(struct host_tree *t, uint64_t ino, uint64_t dir, const char *name)
{
	remember(t, ino, dir, name, false);
}

/* The path from the root, as remembered. -ESTALE: a part of it is not. */
static int path_of(struct host_tree *t, uint64_t ino, char out[static PATH_MAX])
{
	struct node *chain[DEPTH_MAX];
	size_t n = 0, len = 0;

	if (ino == t->root) {
		strcpy(out, ".");
		return 0;
	}
	for (uint64_t at = ino; at != t->root; at = chain[n - 1]->dir) {
		if (n == DEPTH_MAX || !(chain[n] = find_node(t, at)))
			return -ESTALE;
		n++;
	}
	for (size_t i = 0; i < n; i++)
		use_node(t, chain[i]);
	while (n--) {
		size_t part = strlen(chain[n]->name);

		if (len + part + 2 > PATH_MAX)
			return -ENAMETOOLONG;
		memcpy(out + len, chain[n]->name, part);
		len += part;
		out[len++] = n ? '/' : 0;
	}
	return 0;
}

/* Opens it where it was last seen. -ESTALE: it is not there. */
static int open_known(struct host_tree *t, uint64_t ino, int flags, int *ret_fd, struct host_stat *st)
{
	br_cleanup(br_closep) int fd = -1;
	char path[PATH_MAX];
	int r = path_of(t, ino, path);

	if (r < 0)
		return r;
	fd = host_open_beneath(t->root_fd, path, flags, 0);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -ESTALE : fd;
	r = stat_ours(t, fd, st);
	if (!r && (st->ino != ino || !st->nlink))
		r = -ESTALE;
	if (!r)
		*ret_fd = br_take_fd(fd);
	return r;
}

/* ---- searching ---- */

static int push_dir(struct search *s, uint64_t ino)
{
	if (s->n == DIRS_MAX || br_array_reserve(&s->dirs, &s->cap, s->n + 1, sizeof(*s->dirs)) < 0)
		return -ENOMEM;
	s->dirs[s->n++] = ino;
	return 0;
}

static void end_search(struct search *s)
{
	free(s->dirs);
	*s = (struct search){ 0 };
}

static bool is_directory(int dir_fd, const struct dirent64 *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return !fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

/* Reads one directory, remembering what is in it. Positive: so many entries. What cannot be read is nobody's. */
static int search_dir(struct host_tree *t, uint64_t dir, uint64_t wanted, bool *ret_found)
{
	br_cleanup(br_closep) int fd = -1;
	struct host_stat st;
	char buf[32768];
	ssize_t n;
	int entries = 1;

	if (open_known(t, dir, O_RDONLY | O_DIRECTORY, &fd, &st) < 0)
		return entries;
	while ((n = getdents64(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n; entries++) {
			const struct dirent64 *e = (const struct dirent64 *)(const void *)(buf + at);

			at += e->d_reclen;
			if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
				continue;
			if (e->d_ino == wanted)
				*ret_found = true;
			if (is_directory(fd, e)) {
				remember(t, e->d_ino, dir, e->d_name, false);
				push_dir(&t->search, e->d_ino); /* of more than a million nobody knows */
			} else {
				remember(t, e->d_ino, dir, e->d_name, e->d_ino != wanted);
			}
		}
	}
	return entries;
}

static bool is_gone(const struct host_tree *t, uint64_t ino)
{
	for (size_t i = 0; i < GONE; i++)
		if (t->gone[i].ino == ino && time(NULL) - t->gone[i].since < GONE_S)
			return true;
	return false;
}

static void note_gone(struct host_tree *t, uint64_t ino)
{
	t->gone[t->next_gone].ino = ino;
	t->gone[t->next_gone].since = time(NULL);
	t->next_gone = (t->next_gone + 1) % GONE;
}

/* 0: it was found, perhaps. -EAGAIN: not yet; -ESTALE: it is nowhere. */
static int search_on(struct host_tree *t, uint64_t ino, uint64_t budget)
{
	struct search *s = &t->search;
	uint64_t seen = 0, began_for;
	bool found = false;

	if (!s->running) {
		s->running = true;
		s->wanted = ino;
		if (push_dir(s, t->root) < 0)
			return -EAGAIN;
	}
	while (s->at < s->n && seen < budget && !found)
		seen += (uint64_t)search_dir(t, s->dirs[s->at++], ino, &found);
	if (s->at < s->n)
		return found ? 0 : -EAGAIN;
	began_for = s->wanted;
	end_search(s);
	if (found)
		return 0;
	if (began_for != ino) /* it may be where this search had been before we asked */
		return -EAGAIN;
	note_gone(t, ino);
	return -ESTALE;
}

static uint64_t processor_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * BR_S + (uint64_t)t.tv_nsec;
}

/*
 * A client may ask for made-up numbers all day, and each is a search through everything, in a thread and with a lock that others
 * need. So those that find nothing get a part of the time only; who asks meanwhile is to ask again. What is really there is
 * remembered by any search that comes by.
 */
static int look_for(struct host_tree *t, uint64_t ino, uint64_t budget)
{
	uint64_t began, took;
	int r;

	if (is_gone(t, ino))
		return -ESTALE;
	if (br_now_ns() < t->rest_until_ns)
		return -EAGAIN;
	began = processor_ns();
	r = search_on(t, ino, budget);
	took = processor_ns() - began;
	if (r < 0 && took > DEAR_NS)
		t->rest_until_ns = br_now_ns() + REST * took;
	return r;
}

void host_tree_learn(struct host_tree *t)
{
	struct search *s = &t->search;
	bool found = false;

	s->running = push_dir(s, t->root) == 0;
	while (s->at < s->n && HASH_COUNT(t->nodes) < BR_HOSTFS_NODES)
		search_dir(t, s->dirs[s->at++], UINT64_MAX, &found);
	end_search(s);
}

/* ---- opening ---- */

static int open_any(struct host_tree *t, uint64_t ino, int flags, int *ret_fd, struct host_stat *st)
{
	int r = open_known(t, ino, flags, ret_fd, st);

	if (r != -ESTALE)
		return r;
	host_tree_forget(t, ino);
	r = look_for(t, ino, BR_HOSTFS_STEP);
	return r < 0 ? r : open_known(t, ino, flags, ret_fd, st);
}

int host_tree_open(struct host_tree *t, uint64_t ino, int *ret_fd, struct host_stat *ret_stat)
{
	struct host_stat st;
	int r = open_any(t, ino, O_PATH, ret_fd, &st);

	if (!r && ret_stat)
		*ret_stat = st;
	return r;
}

int host_tree_open_data(struct host_tree *t, uint64_t ino, int flags, int *ret_fd)
{
	br_cleanup(br_closep) int path_fd = -1;
	struct host_stat st;
	/* first look at what it is: opening a device could do something */
	int r = open_any(t, ino, O_PATH, &path_fd, &st);

	if (!r && flags & O_DIRECTORY && !S_ISDIR(st.mode))
		r = -ENOTDIR;
	if (!r && !S_ISREG(st.mode) && !S_ISDIR(st.mode))
		r = -ENXIO;
	return r < 0 ? r : open_known(t, ino, flags, ret_fd, &st);
}

int host_tree_enter(struct host_tree *t, int dir_fd, uint64_t dir, const char *name, int *ret_fd, struct host_stat *ret_stat)
{
	br_cleanup(br_closep) int fd = host_open_beneath(dir_fd, name, O_PATH, 0);
	int r = fd < 0 ? fd : stat_ours(t, fd, ret_stat);

	if (r < 0)
		return r;
	host_tree_remember(t, ret_stat->ino, dir, name);
	if (ret_fd)
		*ret_fd = br_take_fd(fd);
	return 0;
}

int host_tree_parent(struct host_tree *t, uint64_t ino, uint64_t *ret)
{
	const struct node *n = find_node(t, ino);

	if (ino != t->root && !n)
		return -ESTALE;
	*ret = n ? n->dir : t->root;
	return 0;
}

int host_tree_place(struct host_tree *t, uint64_t ino, uint64_t *ret_dir, char name[static 256])
{
	const struct node *n = find_node(t, ino);

	if (!n || strlen(n->name) > 255)
		return -ESTALE;
	*ret_dir = n->dir;
	strcpy(name, n->name);
	return 0;
}

uint64_t host_tree_root(const struct host_tree *t)
{
	return t->root;
}

int host_tree_root_fd(const struct host_tree *t)
{
	return t->root_fd;
}

int host_tree_new(int root_fd, struct host_tree **ret)
{
	br_cleanup(br_closep) int fd = root_fd;
	struct host_tree *t;
	struct statx x;
	int r = stat_fd(fd, &x);

	if (r < 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->root_fd = br_take_fd(fd);
	t->root = x.stx_ino;
	t->dev_major = x.stx_dev_major;
	t->dev_minor = x.stx_dev_minor;
	*ret = t;
	return 0;
}

void host_tree_free(struct host_tree *t)
{
	struct node *n, *tmp;

	if (!t)
		return;
	HASH_ITER(hh, t->nodes, n, tmp)
	{
		HASH_DEL(t->nodes, n);
		free(n);
	}
	end_search(&t->search);
	close(t->root_fd);
	free(t);
}
