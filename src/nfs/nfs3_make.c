/* SPDX-License-Identifier: Apache-2.0 */
/* NFSv3: CREATE, MKDIR, SYMLINK, MKNOD. */
#include <errno.h>

#include "nfs/access.h"
#include "nfs/call.h"
#include "nfs/status.h"

#define TARGET_MAX 4095
/* ext4 keeps 34 bits of seconds; Linux's nfsd leaves out the sign, so that the verifier comes back
 * as it was */
#define VERIFIER_MASK 0x7fffffffu

/* Opens the directory for a new entry. */
static int open_parent(struct br_nfs_call *call, const struct br_nfs3_dirop *where,
	char name[static BR_NFS_NAME_SIZE])
{
	int r = br_nfs3_open_dir(call, 0, &where->dir);

	if (r < 0)
		return r;
	r = br_nfs3_name(&where->name, name);
	if (r < 0)
		return r;
	if (br_nfs3_is_dot(name))
		return -EEXIST;
	r = br_nfs_may(&call->rpc.cred, &call->objects[0].before, BR_NFS_MAY_EXEC);
	if (r < 0)
		return r;
	return br_nfs3_check_writable(call);
}

/* Whose the new inode is, and its mode, as Linux's inode_init_owner() says. */
static void fill_new(const struct br_nfs_call *call, const struct br_nfs3_sattr *attr,
	uint32_t type, struct br_fs_new *ret)
{
	const struct br_fs_attr *dir = &call->objects[0].before;
	const struct br_rpc_cred *cred = &call->rpc.cred;

	*ret = (struct br_fs_new){ .mode = type | attr->mode, .uid = cred->uid, .gid = cred->gid };
	if (dir->mode & S_ISGID) {
		ret->gid = dir->gid;
		if (type == S_IFDIR)
			ret->mode |= S_ISGID;
		else if (ret->mode & S_IXGRP && cred->uid != 0 && !br_nfs_in_group(cred, dir->gid))
			ret->mode &= ~(uint32_t)S_ISGID;
	}
	/* only root gives files away; from others it is a guess that is passed over, as by Linux's
	 * nfsd */
	if (cred->uid == 0 && attr->set_uid)
		ret->uid = attr->uid;
	if (cred->uid == 0 && attr->set_gid)
		ret->gid = attr->gid;
}

/* Size and times of a new file; whatever fails then, it is as if it had never been made. */
static int set_rest(
	struct br_nfs_call *call, uint64_t ino, const struct br_nfs3_sattr *attr, uint32_t type)
{
	struct br_fs *fs = call->export.fs;
	struct br_fs_setattr set;
	int r = br_nfs3_sattr(call, attr, &set);

	if (r < 0)
		return r;
	set.set &= BR_FS_SET_SIZE | BR_FS_SET_ATIME | BR_FS_SET_MTIME;
	if (type != S_IFREG)
		set.set &= ~(unsigned)BR_FS_SET_SIZE;
	return set.set ? fs->ops->setattr(fs, ino, &set) : 0;
}

static int make(struct br_nfs_call *call, const char *name, const struct br_nfs3_sattr *attr,
	const struct br_fs_new *node, uint64_t *ret_ino)
{
	struct br_fs *fs = call->export.fs;
	uint64_t dir = call->objects[0].handle.ino, ino;
	uint32_t type = node->mode & S_IFMT;
	int r = br_nfs_may(
		&call->rpc.cred, &call->objects[0].before, BR_NFS_MAY_WRITE | BR_NFS_MAY_EXEC);

	if (r < 0)
		return r;
	r = fs->ops->create(fs, dir, name, node, &ino);
	if (r < 0)
		return r;
	call->dirty = true;
	r = set_rest(call, ino, attr, type);
	if (r < 0) {
		if (type == S_IFDIR)
			fs->ops->rmdir(fs, dir, name);
		else
			fs->ops->unlink(fs, dir, name);
		return r;
	}
	*ret_ino = ino;
	return 0;
}

static int put_made(struct br_nfs_call *call, uint64_t ino)
{
	struct br_fs *fs = call->export.fs;
	struct br_nfs3_fattr fattr;
	struct br_fs_attr attr;
	int r = fs->ops->getattr(fs, ino, &attr);

	if (r < 0) {
		br_put_be32(&call->out, false);
		br_nfs3_put_post_op(&call->out, NULL);
	} else {
		br_nfs3_fattr(call, &attr, &fattr);
		br_put_be32(&call->out, true);
		br_nfs3_put_handle(call, &attr);
		br_nfs3_put_post_op(&call->out, &fattr);
	}
	br_nfs3_put_object_wcc(call, 0);
	return 0;
}

/* CREATE where the name is taken: fine for UNCHECKED (size 0 then empties it), and for EXCLUSIVE
 * when it was this client that made it. */
static int create_existing(
	struct br_nfs_call *call, const struct br_nfs3_create_args *args, uint64_t ino)
{
	struct br_fs *fs = call->export.fs;
	const struct br_fs_setattr set = { .set = BR_FS_SET_SIZE, .size = args->attr.size };
	struct br_fs_attr attr;
	int r = fs->ops->getattr(fs, ino, &attr);

	if (r < 0)
		return r;
	switch (args->how) {
	case BR_NFS3_GUARDED:
		return -EEXIST;
	case BR_NFS3_EXCLUSIVE:
		return attr.atime.tv_sec == (time_t)(args->verf[0] & VERIFIER_MASK) &&
				       attr.mtime.tv_sec ==
					       (time_t)(args->verf[1] & VERIFIER_MASK) &&
				       S_ISREG(attr.mode) && !attr.size
			       ? 0
			       : -EEXIST;
	case BR_NFS3_UNCHECKED:
		break;
	}
	if (S_ISDIR(attr.mode))
		return -EISDIR;
	if (!S_ISREG(attr.mode) || !args->attr.set_size)
		return 0;
	r = br_nfs_may_write_data(&call->rpc.cred, &attr);
	if (r < 0)
		return r;
	if (args->attr.size > INT64_MAX)
		return -EFBIG;
	r = fs->ops->setattr(fs, ino, &set);
	if (r == 0)
		call->dirty = true;
	return r;
}

static int create_new(struct br_nfs_call *call, const struct br_nfs3_create_args *args,
	const char *name, uint64_t *ret_ino)
{
	struct br_nfs3_sattr attr = args->attr;
	struct br_fs_new node;

	if (args->how == BR_NFS3_EXCLUSIVE) {
		attr.set_atime = attr.set_mtime = BR_NFS3_CLIENT_TIME;
		attr.atime = (struct timespec){ .tv_sec = args->verf[0] & VERIFIER_MASK };
		attr.mtime = (struct timespec){ .tv_sec = args->verf[1] & VERIFIER_MASK };
	}
	fill_new(call, &attr, S_IFREG, &node);
	return make(call, name, &attr, &node, ret_ino);
}

int br_nfs3_create(struct br_nfs_call *call)
{
	struct br_nfs3_create_args args;
	char name[BR_NFS_NAME_SIZE];
	uint64_t ino;
	int r;

	if (br_nfs3_get_create(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = open_parent(call, &args.where, name);
	if (r < 0)
		return r;
	r = br_nfs3_lookup_name(call, 0, name, &ino);
	if (r == 0)
		r = create_existing(call, &args, ino);
	else if (r == -ENOENT)
		r = create_new(call, &args, name, &ino);
	return r < 0 ? r : put_made(call, ino);
}

/* What MKDIR, SYMLINK and MKNOD have in common. */
static int make_entry(struct br_nfs_call *call, const struct br_nfs3_dirop *where,
	const struct br_nfs3_sattr *attr, const struct br_fs_new *kind)
{
	char name[BR_NFS_NAME_SIZE];
	struct br_fs_new node;
	uint64_t ino;
	int r = open_parent(call, where, name);

	if (r < 0)
		return r;
	r = br_nfs3_lookup_name(call, 0, name, &ino);
	if (r == 0)
		return -EEXIST; /* before EACCES, as mkdir(2) has it */
	if (r != -ENOENT)
		return r;
	fill_new(call, attr, kind->mode, &node);
	node.rdev_major = kind->rdev_major;
	node.rdev_minor = kind->rdev_minor;
	node.target = kind->target;
	r = make(call, name, attr, &node, &ino);
	return r < 0 ? r : put_made(call, ino);
}

int br_nfs3_mkdir(struct br_nfs_call *call)
{
	struct br_nfs3_mkdir_args args;

	if (br_nfs3_get_mkdir(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	return make_entry(call, &args.where, &args.attr, &(struct br_fs_new){ .mode = S_IFDIR });
}

int br_nfs3_symlink(struct br_nfs_call *call)
{
	struct br_nfs3_symlink_args args;
	char target[TARGET_MAX + 1];
	struct br_fs_new kind = { .mode = S_IFLNK, .target = target };

	if (br_nfs3_get_symlink(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	if (!args.target.len || memchr(args.target.p, 0, args.target.len))
		return -EINVAL;
	if (args.target.len > TARGET_MAX)
		return -ENAMETOOLONG;
	memcpy(target, args.target.p, args.target.len);
	target[args.target.len] = 0;
	args.attr.set_mode = true;
	args.attr.mode = 0777; /* a symlink's mode means nothing on Linux and is always this */
	return make_entry(call, &args.where, &args.attr, &kind);
}

static uint32_t mode_of(uint32_t type)
{
	switch (type) {
	case BR_NF3BLK:
		return S_IFBLK;
	case BR_NF3CHR:
		return S_IFCHR;
	case BR_NF3SOCK:
		return S_IFSOCK;
	case BR_NF3FIFO:
		return S_IFIFO;
	}
	return 0;
}

int br_nfs3_mknod(struct br_nfs_call *call)
{
	struct br_nfs3_mknod_args args;
	struct br_fs_new kind;

	if (br_nfs3_get_mknod(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	kind = (struct br_fs_new){
		.mode = mode_of(args.type),
		.rdev_major = args.rdev_major,
		.rdev_minor = args.rdev_minor,
	};
	if (!kind.mode)
		return BR_NFS3_ERROR(BR_NFS3ERR_BADTYPE);
	if ((S_ISBLK(kind.mode) || S_ISCHR(kind.mode)) && call->rpc.cred.uid != 0)
		return -EPERM; /* mknod(2) needs CAP_MKNOD for devices */
	return make_entry(call, &args.where, &args.attr, &kind);
}
