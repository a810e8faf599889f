/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "nfs/core.h"
#include "nfs/handle.h"
#include "store/fs.h"
#include "wire/nfs3.h"

/* One call while it is being answered: what the programs and procedures share. */

struct br_nfs_object { /* an inode a call is about */
	bool known;
	struct br_nfs_handle handle;
	struct br_fs_attr before; /* as the call found it */
};

struct br_nfs_call {
	struct br_nfs_core *core;
	const struct br_nfs_request *req;
	struct br_rpc_call rpc;
	struct br_reader in;  /* arguments */
	struct br_writer out; /* the reply from its record mark on */
	struct br_nfs_reply *reply;
	bool has_export,
		dirty, /* something was changed and must be stable before the reply goes */
		later; /* slow work is needed first: core->slow */
	struct br_nfs_export export; /* locked while has_export */
	struct br_nfs_object objects[2];
	uint64_t moved; /* bytes read or written */
	uint32_t status; /* of NFS: what was answered */
	bool seeks_init; /* a LOOKUP of what a kernel starts first */
};

/* What running a program gives: 0 (results are encoded), an enum br_rpc_accept, or one of these, or
 * -ENOMEM. */
enum {
	BR_NFS_RUN_HELD = 0x100, /* encoded, and given to br_nfs_hold() */
	BR_NFS_RUN_SILENT = 0x101,
	BR_NFS_RUN_TOO_WEAK = 0x102, /* AUTH_ERROR: the source port is not a privileged one */
	BR_NFS_RUN_LATER = 0x103,    /* core->slow says what is needed first */
};

/* Makes room for n more bytes of results. -ENOMEM. */
int br_nfs_reserve(struct br_nfs_call *call, size_t n);
/* Keeps the finished reply and the export (unlocked here) until the next commit. */
int br_nfs_hold(struct br_nfs_call *call);
/* Tells the owner of the server why, if it wants to know. */
__attribute__((format(printf, 2, 3))) void br_nfs_tell_refused(
	struct br_nfs_call *call, const char *fmt, ...);
/* Is the source port one that only root can have? Told as refused if not. */
bool br_nfs_port_allowed(struct br_nfs_call *call);
void br_nfs_drop_tail(struct br_nfs_reply *reply);
/* Stores the lengths and the record mark. */
void br_nfs_reply_finish(struct br_nfs_reply *reply, const struct br_writer *out);

int br_nfs_portmap_run(struct br_nfs_call *call);
int br_nfs_mount_run(struct br_nfs_call *call);
int br_nfs3_run(struct br_nfs_call *call);

/* Looks at a call that was answered (trouble.c); the export is no longer locked. */
void br_nfs3_note_trouble(struct br_nfs_call *call);

/* The results of an NFS procedure that failed after all, with no attributes. */
void br_nfs3_put_failure(struct br_writer *w, enum br_nfs3_proc proc, int r);

/* for nfs3_*.c */

/* Opens the file handle as call->objects[i]: finds and locks the export with the first one. */
int br_nfs3_open(struct br_nfs_call *call, unsigned i, const struct br_nfs3_fh *fh);
/* As above, and -ENOTDIR. */
int br_nfs3_open_dir(struct br_nfs_call *call, unsigned i, const struct br_nfs3_fh *fh);
/* The entry 'name' of objects[i]; ".." of the root is the root. */
int br_nfs3_lookup_name(struct br_nfs_call *call, unsigned i, const char *name, uint64_t *ret_ino);
/* Asked for by those who will change something. -EROFS. */
int br_nfs3_check_writable(const struct br_nfs_call *call);
/* A name of a directory entry, terminated. -EACCES: empty or with '/' or NUL; -ENAMETOOLONG. "."
 * and ".." pass. */
#define BR_NFS_NAME_SIZE 256
int br_nfs3_name(const struct br_nfs3_bytes *name, char out[static BR_NFS_NAME_SIZE]);
bool br_nfs3_is_dot(const char *name); /* "." or ".." */

void br_nfs3_fattr(
	const struct br_nfs_call *call, const struct br_fs_attr *attr, struct br_nfs3_fattr *ret);
/* Attributes as they are now; absent when they cannot be had. */
void br_nfs3_put_ino_attr(struct br_nfs_call *call, uint64_t ino);
void br_nfs3_put_object_attr(struct br_nfs_call *call, unsigned i);
void br_nfs3_put_object_wcc(struct br_nfs_call *call, unsigned i);
void br_nfs3_put_handle(struct br_nfs_call *call, const struct br_fs_attr *attr);
/* What the client asks to set, in the file system's words. -EINVAL, -EFBIG. */
int br_nfs3_sattr(
	const struct br_nfs_call *call, const struct br_nfs3_sattr *in, struct br_fs_setattr *ret);
uint64_t br_nfs3_write_verifier(const struct br_nfs_call *call);

/* Procedures: results behind the status go to call->out. 0, BR_RPC_GARBAGE_ARGS, negative errno or
 * BR_NFS3_ERROR(). */
int br_nfs3_getattr(struct br_nfs_call *call);
int br_nfs3_setattr(struct br_nfs_call *call);
int br_nfs3_lookup(struct br_nfs_call *call);
int br_nfs3_access(struct br_nfs_call *call);
int br_nfs3_readlink(struct br_nfs_call *call);
int br_nfs3_read(struct br_nfs_call *call);
int br_nfs3_write(struct br_nfs_call *call);
int br_nfs3_create(struct br_nfs_call *call);
int br_nfs3_mkdir(struct br_nfs_call *call);
int br_nfs3_symlink(struct br_nfs_call *call);
int br_nfs3_mknod(struct br_nfs_call *call);
int br_nfs3_remove(struct br_nfs_call *call);
int br_nfs3_rmdir(struct br_nfs_call *call);
int br_nfs3_rename(struct br_nfs_call *call);
int br_nfs3_link(struct br_nfs_call *call);
int br_nfs3_readdir(struct br_nfs_call *call);
int br_nfs3_readdirplus(struct br_nfs_call *call);
int br_nfs3_fsstat(struct br_nfs_call *call);
int br_nfs3_fsinfo(struct br_nfs_call *call);
int br_nfs3_pathconf(struct br_nfs_call *call);
int br_nfs3_commit(struct br_nfs_call *call);
