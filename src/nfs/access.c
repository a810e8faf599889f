/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/access.h"

#include <errno.h>

bool br_nfs_in_group(const struct br_rpc_cred *cred, uint32_t gid)
{
	if (cred->gid == gid)
		return true;
	for (uint32_t i = 0; i < cred->n_gids; i++)
		if (cred->gids[i] == gid)
			return true;
	return false;
}

int br_nfs_may(const struct br_rpc_cred *cred, const struct br_fs_attr *attr, unsigned may)
{
	unsigned shift = 0;

	if (cred->uid == 0) {
		/* root may all but execute what nobody may execute */
		if (may & BR_NFS_MAY_EXEC && !S_ISDIR(attr->mode) && !(attr->mode & 0111))
			return -EACCES;
		return 0;
	}
	if (cred->uid == attr->uid)
		shift = 6;
	else if (br_nfs_in_group(cred, attr->gid))
		shift = 3;
	return may & ~(attr->mode >> shift) ? -EACCES : 0;
}

int br_nfs_may_read_data(const struct br_rpc_cred *cred, const struct br_fs_attr *attr)
{
	if (cred->uid == attr->uid || br_nfs_may(cred, attr, BR_NFS_MAY_READ) == 0)
		return 0;
	return br_nfs_may(cred, attr, BR_NFS_MAY_EXEC);
}

int br_nfs_may_write_data(const struct br_rpc_cred *cred, const struct br_fs_attr *attr)
{
	return cred->uid == attr->uid ? 0 : br_nfs_may(cred, attr, BR_NFS_MAY_WRITE);
}

int br_nfs_may_remove(const struct br_rpc_cred *cred, const struct br_fs_attr *dir,
	const struct br_fs_attr *victim)
{
	int r = br_nfs_may(cred, dir, BR_NFS_MAY_WRITE | BR_NFS_MAY_EXEC);

	if (r < 0)
		return r;
	if (dir->mode & S_ISVTX && cred->uid != 0 && cred->uid != dir->uid &&
		cred->uid != victim->uid)
		return -EPERM;
	return 0;
}
