/* SPDX-License-Identifier: Apache-2.0 */
/* NFSv3: REMOVE, RMDIR, RENAME, LINK. */
#include <errno.h>

#include "nfs/access.h"
#include "nfs/call.h"
#include "nfs/status.h"

/* objects[i] is open: may a name in it be changed? */
static int check_named(struct br_nfs_call *call, unsigned i, const struct br_nfs3_dirop *where,
	char name[static BR_NFS_NAME_SIZE])
{
	int r = br_nfs3_name(&where->name, name);

	if (r < 0)
		return r;
	r = br_nfs3_check_writable(call);
	if (r < 0)
		return r;
	return br_nfs_may(&call->rpc.cred, &call->objects[i].before, BR_NFS_MAY_EXEC);
}

static int open_named(struct br_nfs_call *call, const struct br_nfs3_dirop *where,
	char name[static BR_NFS_NAME_SIZE])
{
	int r = br_nfs3_open_dir(call, 0, &where->dir);

	return r < 0 ? r : check_named(call, 0, where, name);
}

static int find_victim(
	struct br_nfs_call *call, unsigned i, const char *name, struct br_fs_attr *ret)
{
	struct br_fs *fs = call->export.fs;
	uint64_t ino;
	int r = br_nfs3_lookup_name(call, i, name, &ino);

	if (r < 0)
		return r;
	r = fs->ops->getattr(fs, ino, ret);
	if (r < 0)
		return r;
	return br_nfs_may_remove(&call->rpc.cred, &call->objects[i].before, ret);
}

/* REMOVE, and RMDIR (RFC 1813, 3.3.12 and 3.3.13), which differ in what they take. */
static int remove_one(struct br_nfs_call *call, bool directory)
{
	struct br_nfs3_dirop args;
	char name[BR_NFS_NAME_SIZE];
	struct br_fs_attr victim;
	struct br_fs *fs;
	int r;

	if (br_nfs3_get_dirop(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = open_named(call, &args, name);
	if (r < 0)
		return r;
	if (br_nfs3_is_dot(name))
		return !directory ? -EACCES : name[1] ? -EEXIST : -EINVAL;
	r = find_victim(call, 0, name, &victim);
	if (r < 0)
		return r;
	if (S_ISDIR(victim.mode) != directory)
		return directory ? -ENOTDIR : -EISDIR;
	fs = call->export.fs;
	r = (directory ? fs->ops->rmdir : fs->ops->unlink)(fs, call->objects[0].handle.ino, name);
	if (r < 0)
		return r;
	call->dirty = true;
	br_nfs3_put_object_wcc(call, 0);
	return 0;
}

int br_nfs3_remove(struct br_nfs_call *call)
{
	return remove_one(call, false);
}

int br_nfs3_rmdir(struct br_nfs_call *call)
{
	return remove_one(call, true);
}

/* A directory that moves gets another "..": that is a write to it. */
static int may_move(struct br_nfs_call *call, const struct br_fs_attr *victim)
{
	if (!S_ISDIR(victim->mode) || call->objects[0].handle.ino == call->objects[1].handle.ino)
		return 0;
	return br_nfs_may(&call->rpc.cred, victim, BR_NFS_MAY_WRITE);
}

static int may_rename(struct br_nfs_call *call, const char *from, const char *to)
{
	struct br_fs_attr victim, replaced;
	int r;

	if (br_nfs3_is_dot(from) || br_nfs3_is_dot(to))
		return -EINVAL; /* RFC 1813, 3.3.14 */
	r = find_victim(call, 0, from, &victim);
	if (r < 0)
		return r;
	r = may_move(call, &victim);
	if (r < 0)
		return r;
	r = find_victim(call, 1, to, &replaced);
	if (r != -ENOENT)
		return r;
	return br_nfs_may(
		&call->rpc.cred, &call->objects[1].before, BR_NFS_MAY_WRITE | BR_NFS_MAY_EXEC);
}

int br_nfs3_rename(struct br_nfs_call *call)
{
	struct br_nfs3_rename_args args;
	char from[BR_NFS_NAME_SIZE], to[BR_NFS_NAME_SIZE];
	struct br_fs *fs;
	int r;

	if (br_nfs3_get_rename(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	/* both first, so that a refusal has the attributes of both */
	r = br_nfs3_open_dir(call, 0, &args.from.dir);
	if (r < 0)
		return r;
	r = br_nfs3_open_dir(call, 1, &args.to.dir);
	if (r < 0)
		return r;
	r = check_named(call, 0, &args.from, from);
	if (r < 0)
		return r;
	r = check_named(call, 1, &args.to, to);
	if (r < 0)
		return r;
	r = may_rename(call, from, to);
	if (r < 0)
		return r;
	fs = call->export.fs;
	r = fs->ops->rename(fs, call->objects[0].handle.ino, from, call->objects[1].handle.ino, to);
	if (r < 0)
		return r;
	call->dirty = true;
	br_nfs3_put_object_wcc(call, 0);
	br_nfs3_put_object_wcc(call, 1);
	return 0;
}

int br_nfs3_link(struct br_nfs_call *call)
{
	struct br_nfs3_link_args args;
	char name[BR_NFS_NAME_SIZE];
	struct br_fs *fs;
	int r;

	if (br_nfs3_get_link(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = br_nfs3_open(call, 0, &args.fh);
	if (r < 0)
		return r;
	r = br_nfs3_open_dir(call, 1, &args.where.dir);
	if (r < 0)
		return r;
	r = check_named(call, 1, &args.where, name);
	if (r < 0)
		return r;
	if (br_nfs3_is_dot(name))
		return -EEXIST;
	if (S_ISDIR(call->objects[0].before.mode))
		return -EPERM; /* link(2) */
	r = br_nfs_may(
		&call->rpc.cred, &call->objects[1].before, BR_NFS_MAY_WRITE | BR_NFS_MAY_EXEC);
	if (r < 0)
		return r;
	fs = call->export.fs;
	r = fs->ops->link(fs, call->objects[0].handle.ino, call->objects[1].handle.ino, name);
	if (r < 0)
		return r;
	call->dirty = true;
	br_nfs3_put_object_attr(call, 0);
	br_nfs3_put_object_wcc(call, 1);
	return 0;
}
