/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "store/cow.h"
#include "store/fs.h"

/*
 * The ext2/3/4 file system of a layer as the operation table of fs.h. cow is not owned and must
 * outlive it. writable needs a writable layer. Unknown or unsupported features are refused by
 * name (-ENOTSUP); what is no ext4 or is damaged says -EUCLEAN.
 *
 * Beyond fs.h: atime is not changed by reads; what is made below a directory with a default access list gets it, and
 * flags and project as under Linux; chattr's +i and +a and verity are kept (-EPERM). Opening a writable one recovers what
 * was not unmounted and switches the feature quota off.
 */
int br_extfs_open(struct br_cow *cow, bool writable, struct br_fs **ret, struct br_error *err);
/* Calls fn at the end of close(), to free what the file system stands on. */
void br_extfs_on_close(struct br_fs *fs, void (*fn)(void *ctx), void *ctx);

/*
 * Calls fn with each run of a regular file's content: offset in the file and place in the partition, both and len in bytes,
 * whole blocks. Holes and blocks that read as zeros are left out. -EOPNOTSUPP: the content is in the inode.
 */
int br_extfs_extents(struct br_fs *fs, uint64_t ino, int (*fn)(void *ctx, uint64_t offset, uint64_t at, uint64_t len),
	void *ctx);

/* Adds all extended attributes of an inode (access lists too), in an order that only they decide: equal texts, equal
 * attributes. Of one that is not being changed. */
int br_extfs_attrs(struct br_fs *fs, uint64_t ino, struct br_text *ret);

/* Calls fn with each run of bytes of the partition that belongs to the file system: what its bitmaps do not call free. fn
 * returns 0 to go on. -EUCLEAN: they are damaged. */
int br_extfs_in_use(struct br_fs *fs, int (*fn)(void *ctx, uint64_t offset, uint64_t len), void *ctx);
