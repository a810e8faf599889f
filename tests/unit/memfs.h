/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/fs.h"

/*
 * A file system in memory with the errno rules of store/fs.h, for tests of what sits on one (projection,
 * NFS). Inode numbers are used again, lowest first, with a new generation; the root is 2. Its clock starts at
 * 1000 s and steps by one second with each operation that changes something.
 */
struct br_fs *memfs_new(void);
/* An equal one with the same inode numbers, generations and times, as a disk is to its image. */
struct br_fs *memfs_clone(struct br_fs *fs);

/* Makes the file and the directories above it; replaces content. Aborts on failure. Returns the inode. */
uint64_t memfs_put(struct br_fs *fs, const char *path, uint32_t mode, const char *text);
uint64_t memfs_put_link(struct br_fs *fs, const char *path, const char *target);
uint64_t memfs_mkdir(struct br_fs *fs, const char *path);

/* From now on no more than this many bytes of content fit (-ENOSPC). */
void memfs_limit(struct br_fs *fs, uint64_t bytes);
/* The n-th operation from now that changes something (1: the next one) fails with r, once. */
void memfs_fail(struct br_fs *fs, unsigned n, int r);
unsigned memfs_commits(struct br_fs *fs);
