/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a shared directory; where things are is hosttree.c's. */
#include "store/hostfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "store/hosttree.h"

#define DIRTY_MAX 64  /* files synced one by one; with more it is the whole file system */
#define DATA_FDS 64   /* files kept open for reading and writing */
#define FAILED_NS (10 * BR_S)

/* What a commit has to sync. */
struct dirty {
	struct dirty *next; /* of a later commit */
	uint64_t ticket, n_failed; /* since its begin */
	struct {
		uint64_t ino;
		int fd;
	} files[DIRTY_MAX];
	unsigned n;
	bool all; /* the host's file system as a whole */
};

struct data_fd {
	uint64_t ino;
	uint32_t generation;
	bool write;
	int fd; /* -1: a free place */
	uint64_t used;
};

struct hostfs {
	struct br_fs fs; /* first */
	struct host_tree *tree;
	uint32_t uid, gid;	/* shown for ours */
	uint32_t our_uid, our_gid;
	struct data_fd data[DATA_FDS];
	uint64_t uses;
	struct dirty *dirty;
	/* the commits between begin and end, in the order of their begins, which is that of their syncs */
	pthread_mutex_t sync_lock;
	pthread_cond_t synced;
	struct dirty *syncs;
	uint64_t ticket, n_failed;
	int failure; /* the last one */
	uint64_t failed_ns; /* when; 0: never */
	int (*fsync)(int fd);
};

static struct hostfs *host_of(struct br_fs *fs)
{
	return br_container_of(fs, struct hostfs, fs);
}

/* ---- what is to be synced ---- */

static void dirty_free(struct dirty *d)
{
	for (unsigned i = 0; d && i < d->n; i++)
		close(d->files[i].fd);
	free(d);
}

static struct dirty *dirty_of(struct hostfs *h)
{
	if (!h->dirty)
		h->dirty = calloc(1, sizeof(*h->dirty));
	return h->dirty;
}

static void note_all(struct hostfs *h)
{
	struct dirty *d = dirty_of(h);

	if (d)
		d->all = true;
	else /* no memory to remember it */
		(void)syncfs(host_tree_root_fd(h->tree));
}

/* fd is borrowed. */
static void note_dirty(struct hostfs *h, uint64_t ino, int fd)
{
	struct dirty *d = dirty_of(h);
	int copy;

	for (unsigned i = 0; d && i < d->n; i++)
		if (d->files[i].ino == ino)
			return;
	copy = d && !d->all && d->n < DIRTY_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (copy < 0) {
		note_all(h);
		return;
	}
	d->files[d->n].ino = ino;
	d->files[d->n++].fd = copy;
}

static void note_dir(struct hostfs *h, uint64_t dir)
{
	br_cleanup(br_closep) int fd = -1;

	if (host_tree_open_data(h->tree, dir, O_RDONLY | O_DIRECTORY, &fd) < 0)
		note_all(h);
	else
		note_dirty(h, dir, fd);
}

/* ---- attributes ---- */

static int open_dir(struct hostfs *h, uint64_t dir, int *ret_fd)
{
	struct host_stat st;
	int r = host_tree_open(h->tree, dir, ret_fd, &st);

	if (!r && !S_ISDIR(st.mode)) {
		close(br_take_fd(*ret_fd));
		r = -ENOTDIR;
	}
	return r;
}

static uint32_t shown(uint32_t id, uint32_t ours, uint32_t as)
{
	return id == ours ? as : BR_HOSTFS_NOBODY;
}

static int getattr(struct br_fs *fs, uint64_t ino, struct br_fs_attr *ret)
{
	struct hostfs *h = host_of(fs);
	br_cleanup(br_closep) int fd = -1;
	struct host_stat st;
	int r = host_tree_open(h->tree, ino, &fd, &st);

	if (r < 0)
		return r;
	*ret = (struct br_fs_attr){
		.ino = ino,
		.generation = st.generation,
		.mode = st.mode,
		.nlink = st.nlink,
		.uid = shown(st.uid, h->our_uid, h->uid),
		.gid = shown(st.gid, h->our_gid, h->gid),
		.size = st.size,
		.used = st.used,
		.rdev_major = st.rdev_major,
		.rdev_minor = st.rdev_minor,
		.atime = st.atime,
		.mtime = st.mtime,
		.ctime = st.ctime,
	};
	return 0;
}

/* Bits that would make our user's rights somebody else's are left out. */
static mode_t safe_mode(uint32_t mode)
{
	return (mode_t)(S_ISDIR(mode) ? mode & 07777 : mode & 01777);
}

/* An O_PATH descriptor has no fchmod(2): the way round, as libc's own fchmodat(2) goes it. */
static int set_mode(int path_fd, mode_t mode)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	return chmod(path, mode) < 0 ? -errno : 0;
}

/*
 * For writing to a file whose mode forbids its owner that: NFS lets an owner write to what it has open, and git writes to
 * files that it makes read-only. The mode is another one for that moment.
 */
static int open_despite_mode(struct hostfs *h, uint64_t ino, int flags, int *ret_fd)
{
	br_cleanup(br_closep) int path_fd = -1;
	struct host_stat st;
	int r, back;

	r = host_tree_open(h->tree, ino, &path_fd, &st);
	if (r < 0)
		return r;
	if (st.uid != h->our_uid || set_mode(path_fd, safe_mode(st.mode) | S_IRUSR | S_IWUSR) < 0)
		return -EACCES;
	r = host_tree_open_data(h->tree, ino, flags, ret_fd);
	back = set_mode(path_fd, safe_mode(st.mode));
	if (!r && back < 0) {
		close(br_take_fd(*ret_fd));
		r = back;
	}
	return r;
}

/* A descriptor to read or write with, kept for the next call; not the caller's. */
static int data_fd(struct hostfs *h, uint64_t ino, bool write, int *ret_fd)
{
	br_cleanup(br_closep) int path_fd = -1, fd = -1;
	struct data_fd *place = &h->data[0];
	struct host_stat st;
	/* at every call: it must still be below the root */
	int r = host_tree_open(h->tree, ino, &path_fd, &st);

	if (r < 0)
		return r;
	if (!S_ISREG(st.mode))
		return S_ISDIR(st.mode) ? -EISDIR : -EINVAL;
	for (size_t i = 0; i < DATA_FDS; i++) {
		struct data_fd *d = &h->data[i];

		if (d->fd >= 0 && d->ino == ino && d->generation == st.generation && (d->write || !write)) {
			d->used = ++h->uses;
			*ret_fd = d->fd;
			return 0;
		}
		if (d->fd < 0 ? place->fd >= 0 : place->fd >= 0 && d->used < place->used)
			place = d;
	}
	r = host_tree_open_data(h->tree, ino, write ? O_RDWR : O_RDONLY, &fd);
	if (r == -EACCES)
		r = open_despite_mode(h, ino, write ? O_RDWR : O_RDONLY, &fd);
	if (r < 0)
		return r;
	if (place->fd >= 0)
		close(place->fd);
	*place = (struct data_fd){ .ino = ino, .generation = st.generation, .write = write, .used = ++h->uses };
	*ret_fd = place->fd = br_take_fd(fd);
	return 0;
}

/* Its last name went: the room should be the host's again. */
static void drop_data(struct hostfs *h, uint64_t ino)
{
	for (size_t i = 0; i < DATA_FDS; i++)
		if (h->data[i].fd >= 0 && h->data[i].ino == ino)
			close(br_take_fd(h->data[i].fd));
}

static struct timespec time_to_set(const struct br_fs_setattr *attr, unsigned which, const struct timespec *t)
{
	return attr->set & which ? *t : (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static int truncate_to(struct hostfs *h, uint64_t ino, uint64_t size)
{
	int fd, r = data_fd(h, ino, true, &fd);

	if (r < 0)
		return r;
	if (size > INT64_MAX)
		return -EFBIG;
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	note_dirty(h, ino, fd);
	return 0;
}

/* A change of the inode alone: an open file is synced, for anything else it is the file system. */
static void note_inode(struct hostfs *h, uint64_t ino, uint32_t mode)
{
	br_cleanup(br_closep) int fd = -1;

	if ((!S_ISREG(mode) && !S_ISDIR(mode)) || host_tree_open_data(h->tree, ino, O_RDONLY, &fd) < 0)
		note_all(h);
	else
		note_dirty(h, ino, fd);
}

static int setattr(struct br_fs *fs, uint64_t ino, const struct br_fs_setattr *attr)
{
	struct hostfs *h = host_of(fs);
	br_cleanup(br_closep) int fd = -1;
	struct host_stat st;
	struct timespec times[2];
	int r = host_tree_open(h->tree, ino, &fd, &st);

	if (r < 0)
		return r;
	if ((attr->set & BR_FS_SET_UID && attr->uid != shown(st.uid, h->our_uid, h->uid)) ||
		(attr->set & BR_FS_SET_GID && attr->gid != shown(st.gid, h->our_gid, h->gid)))
		return -EPERM;
	/* the size first: it is what can fail, and it needs the old mode */
	if (attr->set & BR_FS_SET_SIZE)
		r = truncate_to(h, ino, attr->size);
	if (!r && attr->set & BR_FS_SET_MODE)
		r = S_ISLNK(st.mode) ? -EOPNOTSUPP : set_mode(fd, safe_mode((st.mode & S_IFMT) | attr->mode));
	times[0] = time_to_set(attr, BR_FS_SET_ATIME, &attr->atime);
	times[1] = time_to_set(attr, BR_FS_SET_MTIME, &attr->mtime);
	if (!r && attr->set & (BR_FS_SET_ATIME | BR_FS_SET_MTIME) && utimensat(fd, "", times, AT_EMPTY_PATH) < 0)
		r = -errno;
	if (attr->set & ~(unsigned)BR_FS_SET_SIZE)
		note_inode(h, ino, st.mode);
	return r;
}

/* ---- names ---- */

static int lookup(struct br_fs *fs, uint64_t dir, const char *name, uint64_t *ret_ino)
{
	struct hostfs *h = host_of(fs);
	br_cleanup(br_closep) int fd = -1;
	struct host_stat st;
	int r = open_dir(h, dir, &fd);

	if (r < 0)
		return r;
	if (!strcmp(name, ".")) {
		*ret_ino = dir;
		return 0;
	}
	if (!strcmp(name, ".."))
		return host_tree_parent(h->tree, dir, ret_ino);
	r = host_tree_enter(h->tree, fd, dir, name, NULL, &st);
	if (!r)
		*ret_ino = st.ino;
	return r;
}

static int readlink_(struct br_fs *fs, uint64_t ino, char *buf, size_t size)
{
	br_cleanup(br_closep) int fd = -1;
	struct host_stat st;
	int r = host_tree_open(host_of(fs)->tree, ino, &fd, &st);
	ssize_t n;

	if (r < 0)
		return r;
	if (!S_ISLNK(st.mode))
		return -EINVAL;
	n = readlinkat(fd, "", buf, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buf[n] = 0;
	return 0;
}

/* What was made gets the mode it was to have: our umask stood in the way. */
static int finish_new(struct hostfs *h, int dir_fd, uint64_t dir, const char *name, const struct br_fs_new *node,
	uint64_t *ret_ino)
{
	br_cleanup(br_closep) int fd = -1;
	struct host_stat st;
	int r = host_tree_enter(h->tree, dir_fd, dir, name, &fd, &st);

	if (!r && !S_ISLNK(node->mode))
		r = set_mode(fd, safe_mode(node->mode));
	if (r < 0)
		return r;
	note_dir(h, dir);
	if (!S_ISLNK(node->mode))
		note_inode(h, st.ino, st.mode);
	*ret_ino = st.ino;
	return 0;
}

/* Makes it with no rights for others. */
static int make(int dir_fd, const char *name, const struct br_fs_new *node)
{
	int fd;

	switch (node->mode & S_IFMT) {
	case S_IFREG:
		fd = host_open_beneath(dir_fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : 0;
	case S_IFDIR:
		return mkdirat(dir_fd, name, 0700) < 0 ? -errno : 0;
	case S_IFLNK:
		return symlinkat(node->target, dir_fd, name) < 0 ? -errno : 0;
	case S_IFIFO:
	case S_IFSOCK:
		return mknodat(dir_fd, name, (node->mode & S_IFMT) | 0600, 0) < 0 ? -errno : 0;
	}
	return -EPERM; /* a device of the host */
}

static int create(struct br_fs *fs, uint64_t dir, const char *name, const struct br_fs_new *node, uint64_t *ret_ino)
{
	struct hostfs *h = host_of(fs);
	br_cleanup(br_closep) int fd = -1;
	int r = open_dir(h, dir, &fd);

	if (!r)
		r = make(fd, name, node);
	if (r < 0)
		return r;
	r = finish_new(h, fd, dir, name, node, ret_ino);
	if (r < 0)
		(void)unlinkat(fd, name, S_ISDIR(node->mode) ? AT_REMOVEDIR : 0);
	return r;
}

static int link_(struct br_fs *fs, uint64_t ino, uint64_t dir, const char *name)
{
	struct hostfs *h = host_of(fs);
	br_cleanup(br_closep) int fd = -1, from_fd = -1, to_fd = -1;
	struct host_stat st, now;
	char from[256];
	uint64_t from_dir;
	int r = host_tree_open(h->tree, ino, &fd, &st);

	if (!r)
		r = host_tree_place(h->tree, ino, &from_dir, from);
	if (!r)
		r = open_dir(h, from_dir, &from_fd);
	if (!r)
		r = open_dir(h, dir, &to_fd);
	if (!r && linkat(from_fd, from, to_fd, name, 0) < 0)
		r = -errno;
	if (r < 0)
		return r;
	/* somebody on the host may have been quicker: then it is not that file */
	r = host_tree_enter(h->tree, to_fd, dir, name, NULL, &now);
	if (!r && now.ino != ino) {
		(void)unlinkat(to_fd, name, 0);
		r = -ESTALE;
	}
	note_dir(h, dir);
	return r;
}

static int remove_entry(struct br_fs *fs, uint64_t dir, const char *name, int flags)
{
	struct hostfs *h = host_of(fs);
	br_cleanup(br_closep) int fd = -1;
	struct host_stat st = { 0 };
	int r = open_dir(h, dir, &fd);

	if (!r)
		r = host_tree_enter(h->tree, fd, dir, name, NULL, &st);
	if (!r && !flags && S_ISDIR(st.mode))
		r = -EISDIR;
	if (!r && unlinkat(fd, name, flags) < 0)
		r = -errno;
	if (r < 0)
		return r;
	host_tree_forget(h->tree, st.ino);
	drop_data(h, st.ino);
	note_dir(h, dir);
	return 0;
}

static int unlink_(struct br_fs *fs, uint64_t dir, const char *name)
{
	return remove_entry(fs, dir, name, 0);
}

static int rmdir_(struct br_fs *fs, uint64_t dir, const char *name)
{
	return remove_entry(fs, dir, name, AT_REMOVEDIR);
}

static int rename_(struct br_fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to)
{
	struct hostfs *h = host_of(fs);
	br_cleanup(br_closep) int from_fd = -1, to_fd = -1;
	struct host_stat st = { 0 }, old = { 0 };
	int r = open_dir(h, from_dir, &from_fd);

	if (!r)
		r = open_dir(h, to_dir, &to_fd);
	if (!r)
		r = host_tree_enter(h->tree, from_fd, from_dir, from, NULL, &st);
	if (r < 0)
		return r;
	(void)host_tree_enter(h->tree, to_fd, to_dir, to, NULL, &old);
	if (renameat(from_fd, from, to_fd, to) < 0)
		return -errno;
	if (old.ino == st.ino) /* two names of one file: POSIX does nothing then */
		return 0;
	if (old.ino) {
		host_tree_forget(h->tree, old.ino);
		drop_data(h, old.ino);
	}
	host_tree_remember(h->tree, st.ino, to_dir, to);
	note_dir(h, from_dir);
	note_dir(h, to_dir);
	return 0;
}

static int give_entries(const char *buf, ssize_t n, br_fs_readdir_fn fn, void *ctx, uint64_t root, uint64_t dir)
{
	for (ssize_t at = 0; at < n;) {
		const struct dirent64 *e = (const struct dirent64 *)(const void *)(buf + at);
		/* the directory above the root is nobody's business */
		bool up = dir == root && !strcmp(e->d_name, "..");
		struct br_fs_dirent out = { .ino = up ? root : e->d_ino, .cookie = (uint64_t)e->d_off, .name = e->d_name };

		if (fn(ctx, &out))
			return 1;
		at += e->d_reclen;
	}
	return 0;
}

static int readdir_(struct br_fs *fs, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx, bool *ret_eof)
{
	struct hostfs *h = host_of(fs);
	br_cleanup(br_closep) int fd = -1;
	char buf[16384];
	ssize_t n = 0;
	int r = host_tree_open_data(h->tree, dir, O_RDONLY | O_DIRECTORY, &fd);

	if (r < 0)
		return r;
	*ret_eof = false;
	if (cookie > INT64_MAX || (cookie && lseek(fd, (off_t)cookie, SEEK_SET) < 0))
		return -EINVAL;
	while ((n = getdents64(fd, buf, sizeof(buf))) > 0)
		if (give_entries(buf, n, fn, ctx, host_tree_root(h->tree), dir))
			return 0;
	*ret_eof = !n;
	return n < 0 ? -errno : 0;
}

/* ---- data ---- */

static int read_(struct br_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len, size_t *ret_len, bool *ret_eof)
{
	int fd, r = data_fd(host_of(fs), ino, false, &fd);
	size_t got = 0;

	if (r < 0)
		return r;
	*ret_eof = false;
	while (got < len && !*ret_eof) {
		ssize_t n = offset > INT64_MAX - len ? 0 : pread(fd, (char *)buf + got, len - got, (off_t)(offset + got));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			got += (size_t)n;
		*ret_eof = !n;
	}
	if (!*ret_eof) {
		struct stat st;

		*ret_eof = !fstat(fd, &st) && offset + got >= (uint64_t)st.st_size;
	}
	*ret_len = got;
	return 0;
}

static int write_(struct br_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len)
{
	struct hostfs *h = host_of(fs);
	int fd, r = data_fd(h, ino, true, &fd);

	if (r < 0)
		return r;
	if (offset > INT64_MAX - len)
		return -EFBIG;
	r = br_pwrite_all(fd, buf, len, offset);
	note_dirty(h, ino, fd); /* a part may have been written */
	return r;
}

static int statfs_(struct br_fs *fs, struct br_fs_statfs *ret)
{
	br_cleanup(br_closep) int fd = -1;
	struct statvfs st;
	struct hostfs *h = host_of(fs);
	int r = host_tree_open(h->tree, host_tree_root(h->tree), &fd, NULL);

	if (r < 0)
		return r;
	if (fstatvfs(fd, &st) < 0)
		return -errno;
	*ret = (struct br_fs_statfs){
		.total_bytes = (uint64_t)st.f_blocks * st.f_frsize,
		.free_bytes = (uint64_t)st.f_bfree * st.f_frsize,
		.avail_bytes = (uint64_t)st.f_bavail * st.f_frsize,
		.total_files = st.f_files,
		.free_files = st.f_ffree,
	};
	return 0;
}

/* ---- commit ---- */

/*
 * With sync_lock. Several commit for their own clients, and what one of them took may hold what others changed. When its sync
 * failed and was ended before they began theirs, nothing is left that says so, and the kernel tells it only once: for some time
 * after a failure nobody is told that all is stable.
 */
static bool failed_lately(const struct hostfs *h)
{
	return h->failed_ns && br_now_ns() - h->failed_ns < FAILED_NS;
}

/* What an earlier commit took may be of this one's callers: it goes through the same queue although nothing is left. */
static int commit_begin(struct br_fs *fs, uint64_t *ret_ticket)
{
	struct hostfs *h = host_of(fs);
	struct dirty **last = &h->syncs, *d = NULL;
	int r = 0;

	pthread_mutex_lock(&h->sync_lock);
	while (*last)
		last = &(*last)->next;
	if (h->dirty || h->syncs) {
		d = dirty_of(h);
		if (!d) {
			pthread_mutex_unlock(&h->sync_lock);
			return -ENOMEM;
		}
		h->dirty = NULL;
		d->ticket = *ret_ticket = ++h->ticket;
		d->n_failed = h->n_failed;
		*last = d;
		r = 1;
	} else if (failed_lately(h)) {
		r = h->failure;
	}
	pthread_mutex_unlock(&h->sync_lock);
	return r;
}

static int sync_all(struct hostfs *h, const struct dirty *d)
{
	int r = 0;

	if (d->all) {
		br_cleanup(br_closep) int fd = host_open_beneath(host_tree_root_fd(h->tree), ".", O_RDONLY | O_DIRECTORY, 0);

		return fd < 0 ? fd : syncfs(fd) < 0 ? -errno : 0;
	}
	for (unsigned i = 0; i < d->n; i++)
		if (h->fsync(d->files[i].fd) < 0 && !r)
			r = -errno;
	return r;
}

/*
 * Without the caller's lock. One after the other: the kernel tells a failed write to one fsync() only, and those that wait here
 * must hear of it.
 */
static int commit_sync(struct br_fs *fs, uint64_t ticket)
{
	struct hostfs *h = host_of(fs);
	struct dirty *d;
	int r;

	pthread_mutex_lock(&h->sync_lock);
	while (h->syncs->ticket != ticket)
		pthread_cond_wait(&h->synced, &h->sync_lock);
	d = h->syncs;
	pthread_mutex_unlock(&h->sync_lock);
	r = sync_all(h, d);
	pthread_mutex_lock(&h->sync_lock);
	if (r < 0) {
		h->n_failed++;
		h->failure = r;
		h->failed_ns = br_now_ns();
	} else if (d->n_failed != h->n_failed || failed_lately(h)) {
		r = h->failure;
	}
	h->syncs = d->next;
	pthread_cond_broadcast(&h->synced);
	pthread_mutex_unlock(&h->sync_lock);
	dirty_free(d);
	return r;
}

static int commit_end(struct br_fs *fs, uint64_t ticket, int r)
{
	return r;
}

static int commit(struct br_fs *fs)
{
	uint64_t ticket = 0;
	int r = commit_begin(fs, &ticket);

	return r <= 0 ? r : commit_end(fs, ticket, commit_sync(fs, ticket));
}

/* ---- opening ---- */

static void close_(struct br_fs *fs)
{
	struct hostfs *h = host_of(fs);

	for (size_t i = 0; i < DATA_FDS; i++)
		if (h->data[i].fd >= 0)
			close(h->data[i].fd);
	dirty_free(h->dirty);
	while (h->syncs) {
		struct dirty *next = h->syncs->next;

		dirty_free(h->syncs);
		h->syncs = next;
	}
	host_tree_free(h->tree);
	pthread_mutex_destroy(&h->sync_lock);
	pthread_cond_destroy(&h->synced);
	free(h);
}

static uint64_t root(struct br_fs *fs)
{
	return host_tree_root(host_of(fs)->tree);
}

static const struct br_fs_ops ops = {
	.close = close_,
	.root = root,
	.getattr = getattr,
	.setattr = setattr,
	.lookup = lookup,
	.readlink = readlink_,
	.read = read_,
	.write = write_,
	.create = create,
	.link = link_,
	.unlink = unlink_,
	.rmdir = rmdir_,
	.rename = rename_,
	.readdir = readdir_,
	.statfs = statfs_,
	.commit = commit,
	.commit_begin = commit_begin,
	.commit_sync = commit_sync,
	.commit_end = commit_end,
};

static int open_root(const char *dir, int *ret_fd, struct br_error *err)
{
	br_cleanup(br_closep) int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), test = -1;

	if (fd < 0)
		return br_error_set(err, errno, "directory %s: %s", dir, strerrordesc_np(errno));
	/* only a reading one tells whether we may */
	test = host_open_beneath(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (test == -ENOSYS)
		return br_error_set(err, ENOTSUP,
			"directory %s: this kernel has no openat2(2), which keeps boards inside; Linux 5.6 has", dir);
	if (test < 0)
		return br_error_set(err, -test, "directory %s: user %u, as which bramble runs, cannot read it: %s", dir, geteuid(),
			strerrordesc_np(-test));
	*ret_fd = br_take_fd(fd);
	return 0;
}

int br_hostfs_open(const struct br_hostfs_options *opt, struct br_fs **ret, struct br_error *err)
{
	struct hostfs *h = calloc(1, sizeof(*h));
	int fd = -1, r;

	if (!h)
		return br_error_set(err, ENOMEM, "out of memory");
	r = open_root(opt->dir, &fd, err);
	if (!r) {
		r = host_tree_new(fd, &h->tree);
		if (r == -ENOTSUP)
			br_error_set(err, ENOTSUP, "directory %s: its file system does not tell when a file was made; ext4, xfs, "
				"btrfs, zfs and tmpfs do", opt->dir);
		else if (r < 0)
			br_error_set(err, -r, "directory %s: %s", opt->dir, strerrordesc_np(-r));
	}
	if (r < 0) {
		free(h);
		return r;
	}
	h->fs.ops = &ops;
	h->uid = opt->uid;
	h->gid = opt->gid;
	h->our_uid = geteuid();
	h->our_gid = getegid();
	h->fsync = opt->fsync ?: fsync;
	for (size_t i = 0; i < DATA_FDS; i++)
		h->data[i].fd = -1;
	pthread_mutex_init(&h->sync_lock, NULL);
	pthread_cond_init(&h->synced, NULL);
	*ret = &h->fs;
	return 0;
}

void br_hostfs_learn(struct br_fs *fs)
{
	host_tree_learn(host_of(fs)->tree);
}

bool br_hostfs_elsewhere(struct br_fs *fs, const char *dir)
{
	struct stat here, there;

	return !fstat(host_tree_root_fd(host_of(fs)->tree), &here) && !stat(dir, &there) && S_ISDIR(there.st_mode) &&
	       (here.st_dev != there.st_dev || here.st_ino != there.st_ino);
}

bool br_hostfs_writable(struct br_fs *fs)
{
	return !faccessat(host_tree_root_fd(host_of(fs)->tree), ".", W_OK | X_OK, AT_EACCESS);
}
