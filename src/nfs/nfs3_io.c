/* SPDX-License-Identifier: Apache-2.0 */
/* NFSv3: READLINK, READ, WRITE, COMMIT. */
#include <errno.h>
#include <stdlib.h>

#include "nfs/access.h"
#include "nfs/call.h"
#include "nfs/status.h"
#include "wire/xdr.h"

#define TARGET_SIZE 4096 /* PATH_MAX of Linux */
#define MAP_MIN     4096 /* bytes from which on sending from where they lie pays */

int br_nfs3_readlink(struct br_nfs_call *call)
{
	struct br_nfs3_fh fh;
	char target[TARGET_SIZE];
	struct br_fs *fs;
	int r;

	if (br_nfs3_get_fh(&call->in, &fh) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = br_nfs3_open(call, 0, &fh);
	if (r < 0)
		return r;
	if (!S_ISLNK(call->objects[0].before.mode))
		return -EINVAL;
	fs = call->export.fs;
	r = fs->ops->readlink(fs, call->objects[0].handle.ino, target, sizeof(target));
	if (r < 0)
		return r;
	if (br_nfs_reserve(call, BR_NFS3_POST_OP_SIZE + 4 + TARGET_SIZE) < 0)
		return -ENOMEM;
	br_nfs3_put_object_attr(call, 0);
	br_xdr_put_string(&call->out, target);
	return 0;
}

static int must_be_file(const struct br_fs_attr *attr)
{
	if (S_ISDIR(attr->mode))
		return -EISDIR;
	return S_ISREG(attr->mode) ? 0 : -EINVAL;
}

static int open_for_read(struct br_nfs_call *call, const struct br_nfs3_fh *fh)
{
	const struct br_fs_attr *attr = &call->objects[0].before;
	int r = br_nfs3_open(call, 0, fh);

	if (r < 0)
		return r;
	r = must_be_file(attr);
	if (r < 0)
		return r;
	return br_nfs_may_read_data(&call->rpc.cred, attr);
}

/* Reads straight into the reply behind its head, whose numbers are filled in when they are known.
 */
static int read_data(struct br_nfs_call *call, uint64_t offset, uint32_t want)
{
	struct br_fs *fs = call->export.fs;
	uint8_t *head, *data;
	bool eof = false;
	size_t n = 0;
	int r;

	if (br_nfs_reserve(call, BR_NFS3_POST_OP_SIZE + 12 + (size_t)want + 4) < 0)
		return -ENOMEM;
	br_nfs3_put_object_attr(call, 0);
	head = br_writer_room(&call->out, 12);
	data = head + 12;
	r = fs->ops->read(fs, call->objects[0].handle.ino, offset, data, want, &n, &eof);
	if (r < 0)
		return r;
	br_store_be32(head, (uint32_t)n);
	br_store_be32(head + 4, eof);
	br_store_be32(head + 8, (uint32_t)n);
	br_writer_room(&call->out, n);
	br_put_zeros(&call->out, br_xdr_padding(n));
	return 0;
}

/* The data goes out from where it lies: only the head is written here. -EOPNOTSUPP: it cannot. */
static int map_data(struct br_nfs_call *call, uint64_t offset, uint32_t want)
{
	struct br_fs *fs = call->export.fs;
	struct br_fs_map *map;
	int r;

	if (!fs->ops->map)
		return -EOPNOTSUPP;
	map = malloc(sizeof(*map));
	if (!map)
		return -ENOMEM;
	r = fs->ops->map(fs, call->objects[0].handle.ino, offset, want, map);
	if (r < 0) {
		free(map);
		return r;
	}
	call->reply->tail = map;
	br_nfs3_put_object_attr(call, 0);
	br_put_be32(&call->out, (uint32_t)map->len);
	br_put_be32(&call->out, map->eof);
	br_put_be32(&call->out, (uint32_t)map->len);
	return 0;
}

int br_nfs3_read(struct br_nfs_call *call)
{
	struct br_nfs3_read_args args;
	uint64_t size, want;
	int r;

	if (br_nfs3_get_read(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = open_for_read(call, &args.fh);
	if (r < 0)
		return r;
	size = call->objects[0].before.size;
	want = args.offset < size ? size - args.offset : 0;
	if (want > args.count)
		want = args.count;
	if (want > BR_NFS_IO_MAX)
		want = BR_NFS_IO_MAX;
	call->moved = want;
	r = want >= MAP_MIN ? map_data(call, args.offset, (uint32_t)want) : -EOPNOTSUPP;
	return r == -EOPNOTSUPP ? read_data(call, args.offset, (uint32_t)want) : r;
}

static int open_for_write(struct br_nfs_call *call, const struct br_nfs3_fh *fh)
{
	const struct br_fs_attr *attr = &call->objects[0].before;
	int r = br_nfs3_open(call, 0, fh);

	if (r < 0)
		return r;
	r = must_be_file(attr);
	if (r < 0)
		return r;
	r = br_nfs3_check_writable(call);
	if (r < 0)
		return r;
	return br_nfs_may_write_data(&call->rpc.cred, attr);
}

/* A write takes the set-id bits away, but not root's (CAP_FSETID). */
static int keep_setid(struct br_nfs_call *call)
{
	const struct br_nfs_object *o = &call->objects[0];
	const struct br_fs_setattr set = { .set = BR_FS_SET_MODE, .mode = o->before.mode & 07777 };
	struct br_fs *fs = call->export.fs;

	if (call->rpc.cred.uid != 0 || !(o->before.mode & (S_ISUID | S_ISGID)))
		return 0;
	return fs->ops->setattr(fs, o->handle.ino, &set);
}

int br_nfs3_write(struct br_nfs_call *call)
{
	struct br_nfs3_write_args args;
	struct br_fs *fs;
	uint32_t n;
	int r;

	if (br_nfs3_get_write(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = open_for_write(call, &args.fh);
	if (r < 0)
		return r;
	n = args.count < BR_NFS_IO_MAX ? args.count : BR_NFS_IO_MAX;
	if (args.offset > (uint64_t)INT64_MAX - n)
		return -EFBIG;
	fs = call->export.fs;
	if (n) {
		r = fs->ops->write(fs, call->objects[0].handle.ino, args.offset, args.data.p, n);
		if (r == 0)
			r = keep_setid(call);
		if (r < 0)
			return r;
	}
	call->dirty = args.stable != BR_NFS3_UNSTABLE;
	call->moved = n;
	br_nfs3_put_object_wcc(call, 0);
	br_put_be32(&call->out, n);
	br_put_be32(
		&call->out, args.stable == BR_NFS3_UNSTABLE ? BR_NFS3_UNSTABLE : BR_NFS3_FILE_SYNC);
	br_put_be64(&call->out, br_nfs3_write_verifier(call));
	return 0;
}

int br_nfs3_commit(struct br_nfs_call *call)
{
	struct br_nfs3_commit_args args;
	int r;

	if (br_nfs3_get_commit(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = open_for_write(call, &args.fh);
	if (r < 0)
		return r;
	call->dirty = true; /* the reply waits for the commit of the whole file system, which covers
			       the range */
	br_nfs3_put_object_wcc(call, 0);
	br_put_be64(&call->out, br_nfs3_write_verifier(call));
	return 0;
}
