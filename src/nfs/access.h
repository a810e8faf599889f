/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "store/fs.h"
#include "wire/rpc.h"

/* Who may do what: the checks of Linux (fs/namei.c), with uid 0 of the client as root, as a board's
 * root disk needs. */

enum br_nfs_may {
	BR_NFS_MAY_EXEC = 1, /* the bits of a mode */
	BR_NFS_MAY_WRITE = 2,
	BR_NFS_MAY_READ = 4,
};

bool br_nfs_in_group(const struct br_rpc_cred *cred, uint32_t gid);
/* 0 or -EACCES. may: enum br_nfs_may */
int br_nfs_may(const struct br_rpc_cred *cred, const struct br_fs_attr *attr, unsigned may);
/* For an open file: what a mode forbids its owner was allowed when it was opened; who may execute
 * must read. */
int br_nfs_may_read_data(const struct br_rpc_cred *cred, const struct br_fs_attr *attr);
int br_nfs_may_write_data(const struct br_rpc_cred *cred, const struct br_fs_attr *attr);
/* Taking victim out of dir (removal, rename): -EACCES, -EPERM in a sticky directory of others. */
int br_nfs_may_remove(const struct br_rpc_cred *cred, const struct br_fs_attr *dir,
	const struct br_fs_attr *victim);
