/* SPDX-License-Identifier: Apache-2.0 */
/* NFSv3: the table of procedures and what they share. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/siphash.h"
#include "nfs/call.h"
#include "nfs/status.h"

/* What a failed call says besides its status, one letter each, of objects[0], [1] ... */
#define ATTR 'a' /* post_op_attr */
#define WCC  'w' /* wcc_data */

static const struct {
	int (*run)(struct br_nfs_call *call);
	const char *failure;
	bool once; /* not to be done again for a duplicate */
} procedures[BR_NFS3_PROCS] = {
	[BR_NFS3_GETATTR] = { br_nfs3_getattr, "" },
	[BR_NFS3_SETATTR] = { br_nfs3_setattr, "w", true },
	[BR_NFS3_LOOKUP] = { br_nfs3_lookup, "a" },
	[BR_NFS3_ACCESS] = { br_nfs3_access, "a" },
	[BR_NFS3_READLINK] = { br_nfs3_readlink, "a" },
	[BR_NFS3_READ] = { br_nfs3_read, "a" },
	[BR_NFS3_WRITE] = { br_nfs3_write, "w", true },
	[BR_NFS3_CREATE] = { br_nfs3_create, "w", true },
	[BR_NFS3_MKDIR] = { br_nfs3_mkdir, "w", true },
	[BR_NFS3_SYMLINK] = { br_nfs3_symlink, "w", true },
	[BR_NFS3_MKNOD] = { br_nfs3_mknod, "w", true },
	[BR_NFS3_REMOVE] = { br_nfs3_remove, "w", true },
	[BR_NFS3_RMDIR] = { br_nfs3_rmdir, "w", true },
	[BR_NFS3_RENAME] = { br_nfs3_rename, "ww", true },
	[BR_NFS3_LINK] = { br_nfs3_link, "aw", true },
	[BR_NFS3_READDIR] = { br_nfs3_readdir, "a" },
	[BR_NFS3_READDIRPLUS] = { br_nfs3_readdirplus, "a" },
	[BR_NFS3_FSSTAT] = { br_nfs3_fsstat, "a" },
	[BR_NFS3_FSINFO] = { br_nfs3_fsinfo, "a" },
	[BR_NFS3_PATHCONF] = { br_nfs3_pathconf, "a" },
	[BR_NFS3_COMMIT] = { br_nfs3_commit, "w" },
};

static int find_export(struct br_nfs_call *call, const uint8_t id[static 16])
{
	struct br_nfs_core *core = call->core;
	struct br_nfs_slow *found = core->found;
	int r;

	if (found && !memcmp(found->id, id, sizeof(found->id))) {
		if (found->r == 0) {
			call->export = found->export;
			found->has_export = false;
		}
		return found->r;
	}
	r = core->opt.ops->find(core->opt.ctx, call->req->ip, id, !core->defer, &call->export);
	if (r == -EINPROGRESS) {
		core->slow = (struct br_nfs_slow){ .ip = call->req->ip };
		memcpy(core->slow.id, id, sizeof(core->slow.id));
		call->later = true;
	}
	return r;
}

int br_nfs3_open(struct br_nfs_call *call, unsigned i, const struct br_nfs3_fh *fh)
{
	struct br_nfs_core *core = call->core;
	struct br_nfs_object *o = &call->objects[i];
	struct br_fs *fs;
	int r;

	if (br_nfs_handle_get(core->opt.handle_key, fh->p, fh->len, &o->handle) < 0)
		return BR_NFS3_ERROR(BR_NFS3ERR_BADHANDLE);
	if (!call->has_export) {
		r = find_export(call, o->handle.export_id);
		/* for good or for now: a client gives up on STALE and asks again on JUKEBOX */
		if (r < 0)
			return r == -EAGAIN || r == -ENOMEM ? r : -ESTALE;
		pthread_mutex_lock(call->export.lock);
		call->has_export = true;
	} else if (memcmp(o->handle.export_id, call->export.id, sizeof(call->export.id))) {
		return -EXDEV;
	}
	fs = call->export.fs;
	r = fs->ops->getattr(fs, o->handle.ino, &o->before);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (o->before.generation != o->handle.generation)
		return -ESTALE;
	o->known = true;
	return 0;
}

int br_nfs3_check_writable(const struct br_nfs_call *call)
{
	return call->export.read_only ? -EROFS : 0;
}

bool br_nfs3_is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

int br_nfs3_name(const struct br_nfs3_bytes *name, char out[static BR_NFS_NAME_SIZE])
{
	if (name->len >= BR_NFS_NAME_SIZE)
		return -ENAMETOOLONG;
	/* RFC 1813, 3.2 'Filename': a name the server cannot take gives ACCES */
	if (!name->len || memchr(name->p, '/', name->len) || memchr(name->p, 0, name->len))
		return -EACCES;
	memcpy(out, name->p, name->len);
	out[name->len] = 0;
	return 0;
}

static enum br_nfs3_type type_of(uint32_t mode)
{
	static const struct {
		uint32_t mode;
		enum br_nfs3_type type;
	} types[] = {
		{ S_IFREG, BR_NF3REG },
		{ S_IFDIR, BR_NF3DIR },
		{ S_IFLNK, BR_NF3LNK },
		{ S_IFBLK, BR_NF3BLK },
		{ S_IFCHR, BR_NF3CHR },
		{ S_IFIFO, BR_NF3FIFO },
		{ S_IFSOCK, BR_NF3SOCK },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(types); i++)
		if ((mode & S_IFMT) == types[i].mode)
			return types[i].type;
	return BR_NF3REG; /* a broken inode shows as a file */
}

void br_nfs3_fattr(
	const struct br_nfs_call *call, const struct br_fs_attr *attr, struct br_nfs3_fattr *ret)
{
	*ret = (struct br_nfs3_fattr){
		.type = type_of(attr->mode),
		.mode = attr->mode & BR_NFS3_MODE_MASK,
		.nlink = attr->nlink,
		.uid = attr->uid,
		.gid = attr->gid,
		.size = attr->size,
		.used = attr->used,
		.rdev_major = attr->rdev_major,
		.rdev_minor = attr->rdev_minor,
		.fsid = br_load_be64(call->export.id),
		.fileid = attr->ino,
		.atime = attr->atime,
		.mtime = attr->mtime,
		.ctime = attr->ctime,
	};
}

static int current_attr(const struct br_nfs_call *call, uint64_t ino, struct br_nfs3_fattr *ret)
{
	struct br_fs *fs = call->export.fs;
	struct br_fs_attr attr;
	int r = fs->ops->getattr(fs, ino, &attr);

	if (r == 0)
		br_nfs3_fattr(call, &attr, ret);
	return r;
}

void br_nfs3_put_ino_attr(struct br_nfs_call *call, uint64_t ino)
{
	struct br_nfs3_fattr fattr;

	br_nfs3_put_post_op(&call->out, current_attr(call, ino, &fattr) == 0 ? &fattr : NULL);
}

void br_nfs3_put_object_attr(struct br_nfs_call *call, unsigned i)
{
	if (call->objects[i].known)
		br_nfs3_put_ino_attr(call, call->objects[i].handle.ino);
	else
		br_nfs3_put_post_op(&call->out, NULL);
}

void br_nfs3_put_object_wcc(struct br_nfs_call *call, unsigned i)
{
	const struct br_nfs_object *o = &call->objects[i];
	struct br_nfs3_wcc wcc = { o->before.size, o->before.mtime, o->before.ctime };
	struct br_nfs3_fattr after;

	br_nfs3_put_wcc(&call->out, o->known ? &wcc : NULL,
		o->known && current_attr(call, o->handle.ino, &after) == 0 ? &after : NULL);
}

void br_nfs3_put_handle(struct br_nfs_call *call, const struct br_fs_attr *attr)
{
	struct br_nfs_handle handle = { .ino = attr->ino, .generation = attr->generation };
	uint8_t fh[BR_NFS_HANDLE_SIZE];

	memcpy(handle.export_id, call->export.id, sizeof(handle.export_id));
	br_nfs_handle_put(call->core->opt.handle_key, &handle, fh);
	br_nfs3_put_fh(&call->out, fh, sizeof(fh));
}

uint64_t br_nfs3_write_verifier(const struct br_nfs_call *call)
{
	uint8_t data[sizeof(call->export.id) + 8];

	memcpy(data, call->export.id, sizeof(call->export.id));
	br_store_be64(data + sizeof(call->export.id), atomic_load(call->core->n_lost));
	return br_siphash(call->core->verifier_key, data, sizeof(data));
}

void br_nfs3_put_failure(struct br_writer *w, enum br_nfs3_proc proc, int r)
{
	br_put_be32(w, br_nfs3_status(proc, r));
	for (const char *what = procedures[proc].failure; *what; what++) {
		if (*what == WCC)
			br_nfs3_put_wcc(w, NULL, NULL);
		else
			br_nfs3_put_post_op(w, NULL);
	}
}

static void put_failure_with_attrs(struct br_nfs_call *call, int r)
{
	const char *what = procedures[call->rpc.procedure].failure;

	call->status = br_nfs3_status(call->rpc.procedure, r);
	br_put_be32(&call->out, call->status);
	for (unsigned i = 0; what[i]; i++) {
		if (what[i] == WCC)
			br_nfs3_put_object_wcc(call, i);
		else
			br_nfs3_put_object_attr(call, i);
	}
}

/* Results into the reply; 0 or BR_RPC_GARBAGE_ARGS. */
static int run_procedure(struct br_nfs_call *call)
{
	size_t start = call->out.len;
	int r;

	br_put_be32(&call->out, BR_NFS3_OK);
	r = procedures[call->rpc.procedure].run(call);
	if (r == 0 && call->out.failed) /* a mistake of ours: less was reserved than written */
		r = BR_NFS3_ERROR(BR_NFS3ERR_SERVERFAULT);
	if (r < 0) {
		br_nfs_drop_tail(call->reply);
		call->out.len = start;
		call->out.failed = false;
		put_failure_with_attrs(call, r);
		r = 0;
	}
	return r;
}

static void count_activity(struct br_nfs_call *call)
{
	struct br_nfs_core *core = call->core;
	uint32_t proc = call->rpc.procedure;

	if (core->opt.ops->activity && (proc == BR_NFS3_READ || proc == BR_NFS3_WRITE))
		br_nfs_clients_count(core->clients, call->req->ip, proc == BR_NFS3_WRITE,
			call->moved, call->req->now_ns, core->opt.ops->activity, core->opt.ctx);
}

static int end_call(struct br_nfs_call *call, int r)
{
	struct br_nfs_core *core = call->core;
	struct br_nfs_drc_token drc = call->reply->drc;

	if (call->later) {
		br_nfs_drc_drop(core->drc, drc);
		return BR_NFS_RUN_LATER;
	}
	if (r == 0)
		br_nfs_reply_finish(call->reply, &call->out);
	if (r == 0 && call->has_export && call->dirty) {
		r = br_nfs_hold(call);
		if (r < 0)
			br_nfs_drc_drop(core->drc, drc);
		else
			r = BR_NFS_RUN_HELD;
	} else {
		if (r == 0)
			br_nfs_drc_finish(core->drc, drc, call->reply->data, call->reply->len);
		else
			br_nfs_drc_drop(core->drc, drc);
		if (call->has_export) {
			pthread_mutex_unlock(call->export.lock);
			core->opt.ops->release(core->opt.ctx, &call->export);
		}
	}
	count_activity(call);
	br_nfs3_note_trouble(call);
	return r;
}

static void repeat_reply(struct br_nfs_call *call, const void *data, size_t len)
{
	call->out.len = 0;
	br_put_bytes(&call->out, data, len);
}

int br_nfs3_run(struct br_nfs_call *call)
{
	uint32_t proc = call->rpc.procedure;
	const void *old;
	size_t old_len;

	if (proc == BR_NFS3_NULL)
		return 0;
	if (proc >= BR_NFS3_PROCS)
		return BR_RPC_PROC_UNAVAIL;
	if (!br_nfs_port_allowed(call))
		return BR_NFS_RUN_TOO_WEAK;
	if (procedures[proc].once) {
		struct br_nfs_drc_key key = { call->rpc.xid, call->req->ip, call->req->port,
			br_nfs_drc_check(call->req->data, call->req->len) };

		switch (br_nfs_drc_begin(call->core->drc, &key, call->req->now_ns,
			&call->reply->drc, &old, &old_len)) {
		case BR_NFS_DRC_NEW:
			break;
		case BR_NFS_DRC_BUSY:
			return BR_NFS_RUN_SILENT;
		case BR_NFS_DRC_DONE:
			repeat_reply(call, old, old_len);
			return 0;
		}
	}
	return end_call(call, run_procedure(call));
}
