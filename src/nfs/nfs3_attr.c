/* SPDX-License-Identifier: Apache-2.0 */
/* NFSv3: GETATTR, SETATTR, ACCESS. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "nfs/access.h"
#include "nfs/call.h"
#include "nfs/status.h"

int br_nfs3_getattr(struct br_nfs_call *call)
{
	struct br_nfs3_fattr fattr;
	struct br_nfs3_fh fh;
	int r;

	if (br_nfs3_get_fh(&call->in, &fh) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = br_nfs3_open(call, 0, &fh);
	if (r < 0)
		return r;
	br_nfs3_fattr(call, &call->objects[0].before, &fattr);
	br_nfs3_put_fattr(&call->out, &fattr);
	return 0;
}

static int set_time(const struct br_nfs_call *call, enum br_nfs3_time_how how,
	const struct timespec *sent, struct timespec *ret)
{
	if (how == BR_NFS3_SERVER_TIME) {
		ret->tv_sec = (time_t)(call->req->wall_ns / BR_S);
		ret->tv_nsec = (long)(call->req->wall_ns % BR_S);
		return 0;
	}
	if (sent->tv_nsec >= (long)BR_S)
		return -EINVAL;
	*ret = *sent;
	return 0;
}

int br_nfs3_sattr(
	const struct br_nfs_call *call, const struct br_nfs3_sattr *in, struct br_fs_setattr *ret)
{
	int r;

	*ret = (struct br_fs_setattr){
		.mode = in->mode, .uid = in->uid, .gid = in->gid, .size = in->size
	};
	if (in->set_mode)
		ret->set |= BR_FS_SET_MODE;
	if (in->set_uid)
		ret->set |= BR_FS_SET_UID;
	if (in->set_gid)
		ret->set |= BR_FS_SET_GID;
	if (in->set_size) {
		if (in->size > INT64_MAX)
			return -EFBIG;
		ret->set |= BR_FS_SET_SIZE;
	}
	if (in->set_atime) {
		r = set_time(call, in->set_atime, &in->atime, &ret->atime);
		if (r < 0)
			return r;
		ret->set |= BR_FS_SET_ATIME;
	}
	if (in->set_mtime) {
		r = set_time(call, in->set_mtime, &in->mtime, &ret->mtime);
		if (r < 0)
			return r;
		ret->set |= BR_FS_SET_MTIME;
	}
	return 0;
}

/* As Linux's setattr_prepare(): what only the owner, and what only root may. */
static int may_setattr(const struct br_rpc_cred *cred, const struct br_fs_attr *attr,
	const struct br_nfs3_sattr *in)
{
	bool owner = cred->uid == 0 || cred->uid == attr->uid;
	bool own_time =
		in->set_atime == BR_NFS3_CLIENT_TIME || in->set_mtime == BR_NFS3_CLIENT_TIME;

	if (in->set_mode && !owner)
		return -EPERM;
	if (in->set_uid && cred->uid != 0 && !(owner && in->uid == attr->uid))
		return -EPERM;
	if (in->set_gid && cred->uid != 0 &&
		!(owner && (in->gid == attr->gid || br_nfs_in_group(cred, in->gid))))
		return -EPERM;
	if (own_time && !owner)
		return -EPERM;
	/* utimensat(2): one time 'now', the other left alone, is the owner's. A lone mtime comes with
	 * every truncation, too: then writing is enough */
	if (in->set_atime && !in->set_mtime && !owner)
		return -EPERM;
	if ((in->set_atime || in->set_mtime) && !owner)
		return br_nfs_may(cred, attr, BR_NFS_MAY_WRITE);
	return 0;
}

/* Truncation is a write; of a file only. */
static int may_set_size(const struct br_rpc_cred *cred, const struct br_fs_attr *attr)
{
	if (S_ISDIR(attr->mode))
		return -EISDIR;
	if (!S_ISREG(attr->mode))
		return -EINVAL;
	return br_nfs_may_write_data(cred, attr);
}

/* A new mode or owner must not leave a set-id bit that the caller could not set. */
static void guard_setid(
	const struct br_rpc_cred *cred, const struct br_fs_attr *attr, struct br_fs_setattr *set)
{
	uint32_t gid = set->set & BR_FS_SET_GID ? set->gid : attr->gid;

	if (!(set->set & BR_FS_SET_MODE))
		return;
	if (cred->uid != 0 && !br_nfs_in_group(cred, gid))
		set->mode &= ~(uint32_t)S_ISGID;
	if (!S_ISDIR(attr->mode) && set->set & (BR_FS_SET_UID | BR_FS_SET_GID)) {
		set->mode &= ~(uint32_t)S_ISUID;
		if (set->mode & S_IXGRP)
			set->mode &= ~(uint32_t)S_ISGID;
	}
}

/* Truncation takes the set-id bits away, but not root's (CAP_FSETID). */
static void keep_setid(const struct br_rpc_cred *cred, const struct br_fs_attr *attr, struct br_fs_setattr *set)
{
	if (cred->uid != 0 || !(attr->mode & (S_ISUID | S_ISGID)) || !(set->set & BR_FS_SET_SIZE) ||
		set->set & (BR_FS_SET_MODE | BR_FS_SET_UID | BR_FS_SET_GID))
		return;
	set->set |= BR_FS_SET_MODE;
	set->mode = attr->mode & 07777;
}

static bool same_ctime(const struct timespec *sent, const struct timespec *ours)
{
	return (uint32_t)sent->tv_sec == (uint32_t)ours->tv_sec && sent->tv_nsec == ours->tv_nsec;
}

static int check_setattr(struct br_nfs_call *call, const struct br_nfs3_setattr_args *args)
{
	const struct br_fs_attr *attr = &call->objects[0].before;
	int r = br_nfs3_check_writable(call);

	if (r < 0)
		return r;
	if (args->guarded && !same_ctime(&args->guard_ctime, &attr->ctime))
		return BR_NFS3_ERROR(BR_NFS3ERR_NOT_SYNC);
	r = may_setattr(&call->rpc.cred, attr, &args->attr);
	if (r < 0)
		return r;
	return args->attr.set_size ? may_set_size(&call->rpc.cred, attr) : 0;
}

int br_nfs3_setattr(struct br_nfs_call *call)
{
	struct br_nfs3_setattr_args args;
	struct br_fs_setattr set;
	int r;

	if (br_nfs3_get_setattr(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = br_nfs3_open(call, 0, &args.fh);
	if (r < 0)
		return r;
	r = check_setattr(call, &args);
	if (r < 0)
		return r;
	r = br_nfs3_sattr(call, &args.attr, &set);
	if (r < 0)
		return r;
	if (set.set) {
		guard_setid(&call->rpc.cred, &call->objects[0].before, &set);
		keep_setid(&call->rpc.cred, &call->objects[0].before, &set);
		r = call->export.fs->ops->setattr(
			call->export.fs, call->objects[0].handle.ino, &set);
		if (r < 0)
			return r;
		call->dirty = true;
	}
	br_nfs3_put_object_wcc(call, 0);
	return 0;
}

/* What each bit of ACCESS needs, for directories and for the rest. */
static const struct {
	uint32_t bit;
	unsigned dir, other; /* enum br_nfs_may; 0: never granted */
} accesses[] = {
	{ BR_NFS3_ACCESS_READ, BR_NFS_MAY_READ, BR_NFS_MAY_READ },
	{ BR_NFS3_ACCESS_LOOKUP, BR_NFS_MAY_EXEC, 0 },
	{ BR_NFS3_ACCESS_MODIFY, BR_NFS_MAY_WRITE | BR_NFS_MAY_EXEC, BR_NFS_MAY_WRITE },
	{ BR_NFS3_ACCESS_EXTEND, BR_NFS_MAY_WRITE | BR_NFS_MAY_EXEC, BR_NFS_MAY_WRITE },
	{ BR_NFS3_ACCESS_DELETE, BR_NFS_MAY_WRITE | BR_NFS_MAY_EXEC, 0 },
	{ BR_NFS3_ACCESS_EXECUTE, 0, BR_NFS_MAY_EXEC },
};

int br_nfs3_access(struct br_nfs_call *call)
{
	const struct br_fs_attr *attr = &call->objects[0].before;
	struct br_nfs3_access_args args;
	uint32_t granted = 0;
	int r;

	if (br_nfs3_get_access(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = br_nfs3_open(call, 0, &args.fh);
	if (r < 0)
		return r;
	for (size_t i = 0; i < BR_ARRAY_SIZE(accesses); i++) {
		unsigned may = S_ISDIR(attr->mode) ? accesses[i].dir : accesses[i].other;

		if (!(args.access & accesses[i].bit) || !may ||
			br_nfs_may(&call->rpc.cred, attr, may) < 0)
			continue;
		/* devices and pipes may be written on a read-only export: they are the client's */
		if (may & BR_NFS_MAY_WRITE && call->export.read_only &&
			(S_ISDIR(attr->mode) || S_ISREG(attr->mode)))
			continue;
		granted |= accesses[i].bit;
	}
	br_nfs3_put_object_attr(call, 0);
	br_put_be32(&call->out, granted);
	return 0;
}
