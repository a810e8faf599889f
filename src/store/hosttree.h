/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * Inside of hostfs: from inode numbers to descriptors. A tree remembers where (directory and name) an inode was last seen,
 * and checks it at every use.
 */
struct host_tree;

struct host_stat {
	uint64_t ino;
	uint32_t generation, mode, nlink, uid, gid, rdev_major, rdev_minor;
	uint64_t size, used;
	struct timespec atime, mtime, ctime;
};

/* root_fd: O_PATH, taken. -ENOTSUP: no times of birth there. */
int host_tree_new(int root_fd, struct host_tree **ret);
void host_tree_free(struct host_tree *t);
uint64_t host_tree_root(const struct host_tree *t);
int host_tree_root_fd(const struct host_tree *t);

/*
 * An O_PATH descriptor of an inode that is below the root now, and what it is (ret_stat may be NULL). -ESTALE: it is
 * nowhere; -EAGAIN: still looking for it.
 */
int host_tree_open(struct host_tree *t, uint64_t ino, int *ret_fd, struct host_stat *ret_stat);
/* The same opened with flags (O_RDONLY ...), which never waits for a FIFO or a device. -ENOTDIR; -ENXIO: no plain file or directory. */
int host_tree_open_data(struct host_tree *t, uint64_t ino, int flags, int *ret_fd);
/* An entry of an open directory: O_PATH and what it is; it is remembered there. */
int host_tree_enter(struct host_tree *t, int dir_fd, uint64_t dir, const char *name, int *ret_fd, struct host_stat *ret_stat);
/* The directory above; the root is above itself. */
int host_tree_parent(struct host_tree *t, uint64_t ino, uint64_t *ret);
/* Where it was last seen: its directory and name (256 bytes). -ESTALE. */
int host_tree_place(struct host_tree *t, uint64_t ino, uint64_t *ret_dir, char name[static 256]);
/* It has no name any more, or another one. */
void host_tree_forget(struct host_tree *t, uint64_t ino);
void host_tree_remember(struct host_tree *t, uint64_t ino, uint64_t dir, const char *name);
/* Looks at everything, as far as there is room. */
void host_tree_learn(struct host_tree *t);

int host_stat(int fd, struct host_stat *ret);
int host_open_beneath(int dir_fd, const char *path, int flags, unsigned mode);
