/* SPDX-License-Identifier: Apache-2.0 */
/* MOUNT: a path to the handle of its root directory. Nothing is kept of who mounted: clients do not
 * tell when they end. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "nfs/call.h"
#include "nfs/status.h"
#include "wire/mount.h"

/* The head with the longest credentials and verifier there may be, and a path. What is longer would be copied for nothing. */
#define CALL_MAX (40 + 2 * 400 + 4 + BR_MOUNT_PATH_MAX)

static int dir_handle(struct br_nfs_call *call, const struct br_nfs_export *export,
	uint8_t out[static BR_NFS_HANDLE_SIZE])
{
	struct br_fs *fs = export->fs;
	struct br_nfs_handle handle;
	struct br_fs_attr attr = { 0 };
	uint64_t ino;
	int r;

	pthread_mutex_lock(export->lock);
	r = br_fs_walk(fs, export->dir ? export->dir : "", &ino);
	if (r == 0)
		r = fs->ops->getattr(fs, ino, &attr);
	pthread_mutex_unlock(export->lock);
	if (r < 0)
		return r;
	if (!S_ISDIR(attr.mode))
		return -ENOTDIR;
	memcpy(handle.export_id, export->id, sizeof(handle.export_id));
	handle.ino = attr.ino;
	handle.generation = attr.generation;
	br_nfs_handle_put(call->core->opt.handle_key, &handle, out);
	return 0;
}

static int mount_path(
	struct br_nfs_call *call, const char *path, uint8_t out[static BR_NFS_HANDLE_SIZE])
{
	struct br_nfs_core *core = call->core;
	struct br_error err = BR_ERROR_NULL;
	struct br_nfs_export export;
	int r;

	if (!br_nfs_port_allowed(call))
		return -EACCES;
	if (core->defer) {
		core->slow = (struct br_nfs_slow){ .ip = call->req->ip, .whole = true };
		call->later = true;
		return -EINPROGRESS;
	}
	r = core->opt.ops->mount(core->opt.ctx, call->req->ip, path, &export, &err);
	if (r < 0)
		return r;
	r = dir_handle(call, &export, out);
	core->opt.ops->release(core->opt.ctx, &export);
	return r;
}

static int null(struct br_nfs_call *call)
{
	return 0;
}

static int mnt(struct br_nfs_call *call)
{
	uint8_t fh[BR_NFS_HANDLE_SIZE];
	char path[BR_MOUNT_PATH_MAX + 1];
	int r;

	if (call->req->len > CALL_MAX || br_mount_get_path(&call->in, path) < 0)
		return BR_RPC_GARBAGE_ARGS;
	if (call->rpc.version != 3) {
		/* a handle of version 1 and 2 has no room for ours (32 bytes) */
		br_nfs_tell_refused(call, "MOUNT version %u is not served: add 'vers=3' to nfsroot",
			call->rpc.version);
		br_mount_put_status(&call->out, BR_MNT3ERR_NOTSUPP);
		return 0;
	}
	r = mount_path(call, path, fh);
	if (call->later)
		return BR_NFS_RUN_LATER;
	if (r < 0)
		br_mount_put_status(&call->out, br_mount_status(r));
	else
		br_mount_put_handle(&call->out, fh, sizeof(fh));
	return 0;
}

static int umnt(struct br_nfs_call *call)
{
	char path[BR_MOUNT_PATH_MAX + 1];

	return br_mount_get_path(&call->in, path) < 0 ? BR_RPC_GARBAGE_ARGS : 0;
}

/* An entry of the list, for everybody: no groups (RFC 1813, 5.2.5). */
static int put_export(void *ctx, const char *path)
{
	struct br_nfs_call *call = ctx;
	size_t n = strlen(path);

	if (n > BR_MOUNT_PATH_MAX || br_nfs_reserve(call, 16 + n) < 0)
		return -ENOMEM;
	br_mount_put_export(&call->out, path);
	return 0;
}

static int exports(struct br_nfs_call *call)
{
	struct br_nfs_core *core = call->core;
	int r;

	if (core->opt.ops->exports && core->defer) { /* may read the database */
		core->slow = (struct br_nfs_slow){ .ip = call->req->ip, .whole = true };
		call->later = true;
		return BR_NFS_RUN_LATER;
	}
	r = core->opt.ops->exports ? core->opt.ops->exports(core->opt.ctx, call->req->ip, put_export, call) : 0;
	if (r < 0)
		return r == -ENOMEM ? r : BR_RPC_SYSTEM_ERR;
	br_put_be32(&call->out, false);
	return 0;
}

static int empty_list(struct br_nfs_call *call)
{
	br_put_be32(&call->out, false);
	return 0;
}

int br_nfs_mount_run(struct br_nfs_call *call)
{
	static int (*const procs[])(struct br_nfs_call * call) = {
		[BR_MOUNT_NULL] = null,
		[BR_MOUNT_MNT] = mnt,
		[BR_MOUNT_DUMP] = empty_list,
		[BR_MOUNT_UMNT] = umnt,
		[BR_MOUNT_UMNTALL] = null,
		[BR_MOUNT_EXPORT] = exports,
	};

	if (call->rpc.procedure >= BR_ARRAY_SIZE(procs))
		return BR_RPC_PROC_UNAVAIL;
	return procs[call->rpc.procedure](call);
}
