/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/nfs3.h"

#include <errno.h>

#include "wire/xdr.h"

static int outcome(const struct br_reader *r)
{
	return r->failed ? -EBADMSG : 0;
}

/* A discriminant outside of its enumeration makes the message malformed (RFC 4506, 4.15). */
static uint32_t get_enum(struct br_reader *r, uint32_t max)
{
	uint32_t v = br_get_be32(r);

	if (v > max) {
		r->failed = true;
		return 0;
	}
	return v;
}

static struct timespec get_time(struct br_reader *r)
{
	struct timespec t;

	t.tv_sec = br_get_be32(r);
	t.tv_nsec = br_get_be32(r);
	return t;
}

static void put_time(struct br_writer *w, const struct timespec *t)
{
	br_put_be32(w, (uint32_t)t->tv_sec);
	br_put_be32(w, (uint32_t)t->tv_nsec);
}

static void get_bytes(struct br_reader *r, struct br_nfs3_bytes *ret)
{
	ret->len = 0;
	ret->p = br_xdr_get_opaque(r, UINT32_MAX, &ret->len); /* bounded by the message */
}

int br_nfs3_get_fh(struct br_reader *r, struct br_nfs3_fh *ret)
{
	ret->len = 0;
	ret->p = br_xdr_get_opaque(r, BR_NFS3_FHSIZE, &ret->len);
	return outcome(r);
}

int br_nfs3_get_dirop(struct br_reader *r, struct br_nfs3_dirop *ret)
{
	br_nfs3_get_fh(r, &ret->dir);
	get_bytes(r, &ret->name);
	return outcome(r);
}

static void get_sattr(struct br_reader *r, struct br_nfs3_sattr *ret)
{
	*ret = (struct br_nfs3_sattr){ 0 };
	ret->set_mode = br_xdr_get_bool(r);
	if (ret->set_mode)
		ret->mode = br_get_be32(r) & BR_NFS3_MODE_MASK;
	ret->set_uid = br_xdr_get_bool(r);
	if (ret->set_uid)
		ret->uid = br_get_be32(r);
	ret->set_gid = br_xdr_get_bool(r);
	if (ret->set_gid)
		ret->gid = br_get_be32(r);
	ret->set_size = br_xdr_get_bool(r);
	if (ret->set_size)
		ret->size = br_get_be64(r);
	ret->set_atime = get_enum(r, BR_NFS3_CLIENT_TIME);
	if (ret->set_atime == BR_NFS3_CLIENT_TIME)
		ret->atime = get_time(r);
	ret->set_mtime = get_enum(r, BR_NFS3_CLIENT_TIME);
	if (ret->set_mtime == BR_NFS3_CLIENT_TIME)
		ret->mtime = get_time(r);
}

void br_nfs3_put_sattr(struct br_writer *w, const struct br_nfs3_sattr *attr)
{
	br_put_be32(w, attr->set_mode);
	if (attr->set_mode)
		br_put_be32(w, attr->mode);
	br_put_be32(w, attr->set_uid);
	if (attr->set_uid)
		br_put_be32(w, attr->uid);
	br_put_be32(w, attr->set_gid);
	if (attr->set_gid)
		br_put_be32(w, attr->gid);
	br_put_be32(w, attr->set_size);
	if (attr->set_size)
		br_put_be64(w, attr->size);
	br_put_be32(w, attr->set_atime);
	if (attr->set_atime == BR_NFS3_CLIENT_TIME)
		put_time(w, &attr->atime);
	br_put_be32(w, attr->set_mtime);
	if (attr->set_mtime == BR_NFS3_CLIENT_TIME)
		put_time(w, &attr->mtime);
}

int br_nfs3_get_setattr(struct br_reader *r, struct br_nfs3_setattr_args *ret)
{
	br_nfs3_get_fh(r, &ret->fh);
	get_sattr(r, &ret->attr);
	ret->guarded = br_xdr_get_bool(r);
	ret->guard_ctime = ret->guarded ? get_time(r) : (struct timespec){ 0 };
	return outcome(r);
}

int br_nfs3_get_access(struct br_reader *r, struct br_nfs3_access_args *ret)
{
	br_nfs3_get_fh(r, &ret->fh);
	ret->access = br_get_be32(r);
	return outcome(r);
}

int br_nfs3_get_read(struct br_reader *r, struct br_nfs3_read_args *ret)
{
	br_nfs3_get_fh(r, &ret->fh);
	ret->offset = br_get_be64(r);
	ret->count = br_get_be32(r);
	return outcome(r);
}

int br_nfs3_get_write(struct br_reader *r, struct br_nfs3_write_args *ret)
{
	br_nfs3_get_fh(r, &ret->fh);
	ret->offset = br_get_be64(r);
	ret->count = br_get_be32(r);
	ret->stable = get_enum(r, BR_NFS3_FILE_SYNC);
	get_bytes(r, &ret->data);
	if (ret->count > ret->data.len)
		r->failed = true;
	return outcome(r);
}

int br_nfs3_get_create(struct br_reader *r, struct br_nfs3_create_args *ret)
{
	br_nfs3_get_dirop(r, &ret->where);
	ret->how = get_enum(r, BR_NFS3_EXCLUSIVE);
	ret->attr = (struct br_nfs3_sattr){ 0 };
	ret->verf[0] = ret->verf[1] = 0;
	if (ret->how == BR_NFS3_EXCLUSIVE) {
		ret->verf[0] = br_get_be32(r);
		ret->verf[1] = br_get_be32(r);
	} else {
		get_sattr(r, &ret->attr);
	}
	return outcome(r);
}

int br_nfs3_get_mkdir(struct br_reader *r, struct br_nfs3_mkdir_args *ret)
{
	br_nfs3_get_dirop(r, &ret->where);
	get_sattr(r, &ret->attr);
	return outcome(r);
}

int br_nfs3_get_symlink(struct br_reader *r, struct br_nfs3_symlink_args *ret)
{
	br_nfs3_get_dirop(r, &ret->where);
	get_sattr(r, &ret->attr);
	get_bytes(r, &ret->target);
	return outcome(r);
}

int br_nfs3_get_mknod(struct br_reader *r, struct br_nfs3_mknod_args *ret)
{
	br_nfs3_get_dirop(r, &ret->where);
	ret->type = br_get_be32(r);
	ret->attr = (struct br_nfs3_sattr){ 0 };
	ret->rdev_major = ret->rdev_minor = 0;
	switch (ret->type) {
	case BR_NF3BLK:
	case BR_NF3CHR:
		get_sattr(r, &ret->attr);
		ret->rdev_major = br_get_be32(r);
		ret->rdev_minor = br_get_be32(r);
		break;
	case BR_NF3SOCK:
	case BR_NF3FIFO:
		get_sattr(r, &ret->attr);
		break;
	}
	return outcome(r);
}

int br_nfs3_get_rename(struct br_reader *r, struct br_nfs3_rename_args *ret)
{
	br_nfs3_get_dirop(r, &ret->from);
	br_nfs3_get_dirop(r, &ret->to);
	return outcome(r);
}

int br_nfs3_get_link(struct br_reader *r, struct br_nfs3_link_args *ret)
{
	br_nfs3_get_fh(r, &ret->fh);
	br_nfs3_get_dirop(r, &ret->where);
	return outcome(r);
}

int br_nfs3_get_readdir(struct br_reader *r, struct br_nfs3_readdir_args *ret)
{
	br_nfs3_get_fh(r, &ret->fh);
	ret->cookie = br_get_be64(r);
	ret->cookieverf = br_get_be64(r);
	ret->dircount = UINT32_MAX;
	ret->maxcount = br_get_be32(r);
	return outcome(r);
}

int br_nfs3_get_readdirplus(struct br_reader *r, struct br_nfs3_readdir_args *ret)
{
	br_nfs3_get_fh(r, &ret->fh);
	ret->cookie = br_get_be64(r);
	ret->cookieverf = br_get_be64(r);
	ret->dircount = br_get_be32(r);
	ret->maxcount = br_get_be32(r);
	return outcome(r);
}

int br_nfs3_get_commit(struct br_reader *r, struct br_nfs3_commit_args *ret)
{
	br_nfs3_get_fh(r, &ret->fh);
	ret->offset = br_get_be64(r);
	ret->count = br_get_be32(r);
	return outcome(r);
}

void br_nfs3_put_fattr(struct br_writer *w, const struct br_nfs3_fattr *attr)
{
	br_put_be32(w, attr->type);
	br_put_be32(w, attr->mode);
	br_put_be32(w, attr->nlink);
	br_put_be32(w, attr->uid);
	br_put_be32(w, attr->gid);
	br_put_be64(w, attr->size);
	br_put_be64(w, attr->used);
	br_put_be32(w, attr->rdev_major);
	br_put_be32(w, attr->rdev_minor);
	br_put_be64(w, attr->fsid);
	br_put_be64(w, attr->fileid);
	put_time(w, &attr->atime);
	put_time(w, &attr->mtime);
	put_time(w, &attr->ctime);
}

int br_nfs3_get_fattr(struct br_reader *r, struct br_nfs3_fattr *ret)
{
	ret->type = get_enum(r, BR_NF3FIFO);
	ret->mode = br_get_be32(r);
	ret->nlink = br_get_be32(r);
	ret->uid = br_get_be32(r);
	ret->gid = br_get_be32(r);
	ret->size = br_get_be64(r);
	ret->used = br_get_be64(r);
	ret->rdev_major = br_get_be32(r);
	ret->rdev_minor = br_get_be32(r);
	ret->fsid = br_get_be64(r);
	ret->fileid = br_get_be64(r);
	ret->atime = get_time(r);
	ret->mtime = get_time(r);
	ret->ctime = get_time(r);
	return outcome(r);
}

void br_nfs3_put_post_op(struct br_writer *w, const struct br_nfs3_fattr *attr)
{
	br_put_be32(w, attr != NULL);
	if (attr)
		br_nfs3_put_fattr(w, attr);
}

void br_nfs3_put_wcc(
	struct br_writer *w, const struct br_nfs3_wcc *before, const struct br_nfs3_fattr *after)
{
	br_put_be32(w, before != NULL);
	if (before) {
		br_put_be64(w, before->size);
		put_time(w, &before->mtime);
		put_time(w, &before->ctime);
	}
	br_nfs3_put_post_op(w, after);
}

void br_nfs3_put_fh(struct br_writer *w, const void *fh, uint32_t len)
{
	br_xdr_put_opaque(w, fh, len);
}

void br_nfs3_put_fsstat(struct br_writer *w, const struct br_nfs3_fsstat *fsstat)
{
	br_put_be64(w, fsstat->total_bytes);
	br_put_be64(w, fsstat->free_bytes);
	br_put_be64(w, fsstat->avail_bytes);
	br_put_be64(w, fsstat->total_files);
	br_put_be64(w, fsstat->free_files);
	br_put_be64(w, fsstat->avail_files);
	br_put_be32(w, fsstat->invarsec);
}

void br_nfs3_put_fsinfo(struct br_writer *w, const struct br_nfs3_fsinfo *fsinfo)
{
	br_put_be32(w, fsinfo->rtmax);
	br_put_be32(w, fsinfo->rtpref);
	br_put_be32(w, fsinfo->rtmult);
	br_put_be32(w, fsinfo->wtmax);
	br_put_be32(w, fsinfo->wtpref);
	br_put_be32(w, fsinfo->wtmult);
	br_put_be32(w, fsinfo->dtpref);
	br_put_be64(w, fsinfo->max_file_size);
	put_time(w, &fsinfo->time_delta);
	br_put_be32(w, fsinfo->properties);
}

void br_nfs3_put_pathconf(struct br_writer *w, const struct br_nfs3_pathconf *pathconf)
{
	br_put_be32(w, pathconf->link_max);
	br_put_be32(w, pathconf->name_max);
	br_put_be32(w, pathconf->no_trunc);
	br_put_be32(w, pathconf->chown_restricted);
	br_put_be32(w, pathconf->case_insensitive);
	br_put_be32(w, pathconf->case_preserving);
}
