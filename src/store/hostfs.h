/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "store/fs.h"

/*
 * A directory of the host as a file system (store/fs.h), for shared areas. What happens there is done as the user we
 * are: a file that this user may not read gives -EACCES.
 *
 *   - Nothing leads out: every path is opened by openat2(2) below the directory, without following a link and
 *     without crossing a mount, at every call. Links are text for the client.
 *   - Owners: what belongs to our user and group on the host is shown as 'uid' and 'gid', all else as BR_HOSTFS_NOBODY.
 *     Who makes a file, it becomes ours. Other owners cannot be set (-EPERM). Set-user-id and set-group-id bits of files
 *     are never set: they would be our user's.
 *   - An inode's number is the host's, its generation its time of birth, so that handles outlive a restart. Where an inode
 *     is is remembered (up to BR_HOSTFS_NODES of them); one that is not remembered, or not there any more because
 *     somebody moved it on the host, is looked for: at most BR_HOSTFS_STEP directory entries in one call, then -EAGAIN
 *     ('ask again'). br_hostfs_learn() looks at all before the first call.
  *   - When a sync of the host failed, commits fail for ten seconds more: nobody knows whose changes it was about.
 */
struct br_hostfs_options {
	const char *dir;
	uint32_t uid, gid;
	int (*fsync)(int fd); /* instead of the system's, for tests; NULL */
};

#define BR_HOSTFS_NOBODY 65534u
#define BR_HOSTFS_NODES 262144u
#define BR_HOSTFS_STEP 50000u

/* -ENOENT, -EACCES, -ENOTDIR: not a directory that we may use; -ENOTSUP: its file system lacks what is needed. */
int br_hostfs_open(const struct br_hostfs_options *opt, struct br_fs **ret, struct br_error *err);
/* Remembers where everything is, up to BR_HOSTFS_NODES. May take seconds; before anybody else uses fs. */
void br_hostfs_learn(struct br_fs *fs);
/* Whether another directory is at this path now than the one that was opened: a file system was mounted over it, say. */
bool br_hostfs_elsewhere(struct br_fs *fs, const char *dir);
/* Whether we may write into the directory. */
bool br_hostfs_writable(struct br_fs *fs);
