/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "store/fs.h"

/*
 * Projection: a filter that shows other files at some paths without changing what is
 * below. Per entry:
 *   - the file is there and is still the image's (same inode, mtime and ctime as in
 *     'base'): reads and attributes show the projected content;
 *   - the file is missing, in the image too, and its directory exists: it appears;
 *   - hidden entries (data NULL) that are still the image's disappear;
 *   - a file the board wrote, replaced or removed is the board's own: no projection.
 * A first write to a projected file (or a change of its attributes, a link to it, a rename) writes the projected
 * content below and then is an ordinary one. The removal of a file that only the projection showed is
 * remembered until the filter is closed.
 *
 * Directories are found once, when the filter is opened; an entry whose directory is missing then, or that names
 * a directory of the image, does nothing. Of two entries for one file the first counts.
 *
 * Inode numbers: a projected regular file that is a regular file in the image keeps its number. Every other
 * projected file has a number from BR_PROJFS_INO up that depends on its place in 'entries' alone, so that a handle
 * outlives a restart (its generation tells a changed list); it keeps this number when it becomes a real file.
 * readdir cookies from BR_PROJFS_COOKIE up are the filter's own: 'below' must use smaller ones.
 */
#define BR_PROJFS_INO (1ull << 40)
#define BR_PROJFS_COOKIE (1ull << 63)

struct br_projection {
	const char *path; /* absolute, below existing directories */
	const void *data; /* NULL: hide the image's file */
	size_t len;
	uint32_t mode; /* permission bits; type from target */
	uint32_t uid, gid;
	bool symlink; /* data is the target */
	const char *why; /* words for people; not looked at here, not copied */
};

/* below must outlive the filter; neither is closed by it. base: the image's own file system, looked at here only.
 * The entries are copied. */
int br_projfs_open(struct br_fs *below, struct br_fs *base, const struct br_projection *entries,
	size_t n_entries, struct br_fs **ret, struct br_error *err);
