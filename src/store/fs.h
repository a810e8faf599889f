/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "store/blocks.h"

/*
 * A mounted file system as one table of operations on inode numbers. ext4 implements
 * it (store/extfs.h); a filter such as the projection (store/projfs.h) wraps another
 * one and passes on what it does not change. The NFS server and 'bramble disk' speak
 * only this.
 *
 *   - Every call returns 0 or a negative errno as Linux would for the same call
 *     (-ESTALE: no such inode; -ENOTDIR, -EEXIST, -ENOTEMPTY, -ENOSPC, ...).
 *   - Names are 1..255 bytes without '/' and NUL, never "." or ".." (lookup takes
 *     both of these); the caller checked. Permissions are the caller's: none are
 *     checked here, but setuid/setgid clearing, nlink and times are done here.
 *   - An operation either happens wholly or not at all.
 *   - What an operation changed is stable once a later commit() has returned 0.
 *   - Not thread-safe: the caller serialises calls per file system.
 */
struct br_fs;

enum br_fs_type { /* as S_IFMT says */
	BR_FS_FILE = S_IFREG,
	BR_FS_DIR = S_IFDIR,
	BR_FS_SYMLINK = S_IFLNK,
};

struct br_fs_attr {
	uint64_t ino;
	uint32_t generation; /* changes when an inode number is used again */
	uint32_t mode;	     /* type and permission bits */
	uint32_t nlink, uid, gid;
	uint64_t size, used; /* bytes; used: allocated */
	uint32_t rdev_major, rdev_minor;
	struct timespec atime, mtime, ctime;
};

enum br_fs_set {
	BR_FS_SET_MODE = 1,
	BR_FS_SET_UID = 2,
	BR_FS_SET_GID = 4,
	BR_FS_SET_SIZE = 8,
	BR_FS_SET_ATIME = 16,
	BR_FS_SET_MTIME = 32,
	/* ctime becomes 'now' in every setattr */
};

struct br_fs_setattr {
	unsigned set; /* enum br_fs_set */
	uint32_t mode, uid, gid;
	uint64_t size;
	struct timespec atime, mtime;
};

/* What create, mkdir, symlink and mknod give a new inode. */
struct br_fs_new {
	uint32_t mode; /* with the type: S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK */
	uint32_t uid, gid;
	uint32_t rdev_major, rdev_minor;
	const char *target; /* symlink only, 1..4095 bytes */
};

struct br_fs_statfs {
	uint64_t total_bytes, free_bytes, avail_bytes;
	uint64_t total_files, free_files;
};

struct br_fs_dirent {
	uint64_t ino;
	uint64_t cookie; /* give it to readdir to go on behind this entry; never 0 */
	const char *name;
};

/* Bytes of a file where they lie, in a file of the host that never changes: for sending without a copy. */
#define BR_FS_PIECES 16
struct br_fs_map {
	struct br_blocks *blocks; /* holds the pieces until br_fs_map_done(), whatever becomes of the file system */
	unsigned n;
	struct {
		const uint8_t *p; /* for system calls only: see base/mapping.h */
		size_t len;
	} pieces[BR_FS_PIECES];
	size_t len; /* of all pieces */
	bool eof;
};

/* Returns 0 to go on, 1 to stop before this entry counts as taken. */
typedef int (*br_fs_readdir_fn)(void *ctx, const struct br_fs_dirent *entry);

struct br_fs_ops {
	void (*close)(struct br_fs *fs);
	uint64_t (*root)(struct br_fs *fs);
	int (*getattr)(struct br_fs *fs, uint64_t ino, struct br_fs_attr *ret);
	int (*setattr)(struct br_fs *fs, uint64_t ino, const struct br_fs_setattr *attr);
	int (*lookup)(struct br_fs *fs, uint64_t dir, const char *name, uint64_t *ret_ino);
	/* buf gets a terminated string; -ENAMETOOLONG when it does not fit */
	int (*readlink)(struct br_fs *fs, uint64_t ino, char *buf, size_t size);
	/* Short only at the end of the file; *ret_eof says that the end was reached. */
	int (*read)(struct br_fs *fs, uint64_t ino, uint64_t offset, void *buf, size_t len,
		size_t *ret_len, bool *ret_eof);
	/* All of len or an error. Extends the file; clears setuid/setgid as Linux does. */
	int (*write)(struct br_fs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len);
	/* New entry of any type but hard link; -EEXIST when the name is there. */
	int (*create)(struct br_fs *fs, uint64_t dir, const char *name, const struct br_fs_new *node,
		uint64_t *ret_ino);
	int (*link)(struct br_fs *fs, uint64_t ino, uint64_t dir, const char *name);
	int (*unlink)(struct br_fs *fs, uint64_t dir, const char *name); /* not a directory */
	int (*rmdir)(struct br_fs *fs, uint64_t dir, const char *name);
	int (*rename)(struct br_fs *fs, uint64_t from_dir, const char *from, uint64_t to_dir,
		const char *to);
	/* Entries behind 'cookie' (0: from the start), "." and ".." among them. *ret_eof: none left. */
	int (*readdir)(struct br_fs *fs, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx,
		bool *ret_eof);
	int (*statfs)(struct br_fs *fs, struct br_fs_statfs *ret);
	/* Makes everything done so far stable. */
	int (*commit)(struct br_fs *fs);
	/*
	 * The same in three steps, so that others can use the file system while the host's disk works. begin and end
	 * are calls like all others; sync is made without the caller's lock in between. begin: 1 to go on (with the
	 * same ticket), 0 when all is stable. sync's result goes to end, which gives that of the whole. What another
	 * commit took and has not synced is waited for: in sync, or in begin (a board's own disk). NULL, all three: none.
	 */
	int (*commit_begin)(struct br_fs *fs, uint64_t *ret_ticket);
	int (*commit_sync)(struct br_fs *fs, uint64_t ticket);
	int (*commit_end)(struct br_fs *fs, uint64_t ticket, int r);
	/* A filter's: the file system whose commit is a commit of this one. NULL: itself. */
	struct br_fs *(*stored)(struct br_fs *fs);
	/* As read, but tells where the bytes lie. -EOPNOTSUPP: read them. May be NULL. */
	int (*map)(struct br_fs *fs, uint64_t ino, uint64_t offset, size_t len, struct br_fs_map *ret);
};

/* Implementations embed this as their first member. */
struct br_fs {
	const struct br_fs_ops *ops;
};

/* A whole commit, the lock of the file system (which is not held) taken where needed only. */
int br_fs_commit(struct br_fs *fs, pthread_mutex_t *lock);
void br_fs_map_done(struct br_fs_map *map);

/* Walks a path from the root without following a final symlink; symlinks on the way are
 * followed inside the file system (at most 40). "" and "/" are the root. */
int br_fs_walk(struct br_fs *fs, const char *path, uint64_t *ret_ino);
/* The same, following a final symlink too. */
int br_fs_walk_follow(struct br_fs *fs, const char *path, uint64_t *ret_ino);
