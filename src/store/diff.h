/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "base/text.h"
#include "store/disk.h"
#include "store/fs.h"
#include "store/image.h"

/*
 * Which files two file systems do not have in common. Two that stand on the same layers are compared by where their
 * blocks lie, so that only files whose blocks differ are read.
 */
enum br_diff_what { /* what a changed file differs in */
	BR_DIFF_TYPE = 1,
	BR_DIFF_CONTENT = 2, /* bytes of a file */
	BR_DIFF_MODE = 4,
	BR_DIFF_OWNER = 8,
	BR_DIFF_TIME = 16, /* mtime; of a directory it is not looked at: every new entry changes it */
	BR_DIFF_TARGET = 32, /* of a link */
	BR_DIFF_DEVICE = 64, /* numbers of a device node */
	BR_DIFF_XATTR = 128, /* extended attributes, access lists among them */
};

struct br_diff {
	const char *path; /* absolute; bytes, not text */
	const struct br_fs_attr *before, *after; /* NULL: it is not there */
	unsigned what; /* enum br_diff_what, when it is on both sides */
};

/* Returns 0 to go on; what it returns otherwise ends the comparison and is its result. */
typedef int (*br_diff_fn)(void *ctx, const struct br_diff *d);

/* As their booted systems see them, the boot partition among them (view.h). */
int br_image_diff(struct br_image *before, struct br_image *after, br_diff_fn fn, void *ctx, struct br_error *err);
/* A disk against its image's root. Under the disk's lock. */
int br_disk_diff(struct br_disk *disk, br_diff_fn fn, void *ctx, struct br_error *err);

/* What is known of two file systems beyond struct br_fs. */
struct br_diff_help {
	void *ctx;
	/* Of a file with one inode number on both sides: 1: the content is surely the same, 0: it has to be compared. */
	int (*same)(void *ctx, uint64_t ino);
	/* Adds the extended attributes of an inode of one side (0, 1), as br_extfs_attrs() does. */
	int (*attrs)(void *ctx, int side, uint64_t ino, struct br_text *ret);
};

/* Any two. help may be NULL. */
int br_fs_diff(struct br_fs *before, struct br_fs *after, const struct br_diff_help *help, br_diff_fn fn, void *ctx,
	struct br_error *err);
