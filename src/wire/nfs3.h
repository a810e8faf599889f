/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <time.h>

#include "base/bytes.h"

/*
 * NFS version 3 (RFC 1813): arguments from bytes to structs, the building blocks of results from
 * structs to bytes. A decoder returns 0 or -EBADMSG; pointers in what it fills point into the
 * input. What a name or handle may hold is the server's business: here only their bounds in the
 * message are checked.
 */

enum br_nfs3_proc {
	BR_NFS3_NULL,
	BR_NFS3_GETATTR,
	BR_NFS3_SETATTR,
	BR_NFS3_LOOKUP,
	BR_NFS3_ACCESS,
	BR_NFS3_READLINK,
	BR_NFS3_READ,
	BR_NFS3_WRITE,
	BR_NFS3_CREATE,
	BR_NFS3_MKDIR,
	BR_NFS3_SYMLINK,
	BR_NFS3_MKNOD,
	BR_NFS3_REMOVE,
	BR_NFS3_RMDIR,
	BR_NFS3_RENAME,
	BR_NFS3_LINK,
	BR_NFS3_READDIR,
	BR_NFS3_READDIRPLUS,
	BR_NFS3_FSSTAT,
	BR_NFS3_FSINFO,
	BR_NFS3_PATHCONF,
	BR_NFS3_COMMIT,
	BR_NFS3_PROCS,
};

enum br_nfs3_status {
	BR_NFS3_OK = 0,
	BR_NFS3ERR_PERM = 1,
	BR_NFS3ERR_NOENT = 2,
	BR_NFS3ERR_IO = 5,
	BR_NFS3ERR_NXIO = 6,
	BR_NFS3ERR_ACCES = 13,
	BR_NFS3ERR_EXIST = 17,
	BR_NFS3ERR_XDEV = 18,
	BR_NFS3ERR_NODEV = 19,
	BR_NFS3ERR_NOTDIR = 20,
	BR_NFS3ERR_ISDIR = 21,
	BR_NFS3ERR_INVAL = 22,
	BR_NFS3ERR_FBIG = 27,
	BR_NFS3ERR_NOSPC = 28,
	BR_NFS3ERR_ROFS = 30,
	BR_NFS3ERR_MLINK = 31,
	BR_NFS3ERR_NAMETOOLONG = 63,
	BR_NFS3ERR_NOTEMPTY = 66,
	BR_NFS3ERR_DQUOT = 69,
	BR_NFS3ERR_STALE = 70,
	BR_NFS3ERR_REMOTE = 71,
	BR_NFS3ERR_BADHANDLE = 10001,
	BR_NFS3ERR_NOT_SYNC = 10002,
	BR_NFS3ERR_BAD_COOKIE = 10003,
	BR_NFS3ERR_NOTSUPP = 10004,
	BR_NFS3ERR_TOOSMALL = 10005,
	BR_NFS3ERR_SERVERFAULT = 10006,
	BR_NFS3ERR_BADTYPE = 10007,
	BR_NFS3ERR_JUKEBOX = 10008,
};

enum br_nfs3_type {
	BR_NF3REG = 1,
	BR_NF3DIR = 2,
	BR_NF3BLK = 3,
	BR_NF3CHR = 4,
	BR_NF3LNK = 5,
	BR_NF3SOCK = 6,
	BR_NF3FIFO = 7,
};

enum br_nfs3_access {
	BR_NFS3_ACCESS_READ = 0x01,
	BR_NFS3_ACCESS_LOOKUP = 0x02,
	BR_NFS3_ACCESS_MODIFY = 0x04,
	BR_NFS3_ACCESS_EXTEND = 0x08,
	BR_NFS3_ACCESS_DELETE = 0x10,
	BR_NFS3_ACCESS_EXECUTE = 0x20,
};

enum br_nfs3_stable {
	BR_NFS3_UNSTABLE = 0,
	BR_NFS3_DATA_SYNC = 1,
	BR_NFS3_FILE_SYNC = 2,
};

enum br_nfs3_create {
	BR_NFS3_UNCHECKED = 0,
	BR_NFS3_GUARDED = 1,
	BR_NFS3_EXCLUSIVE = 2,
};

enum br_nfs3_time_how {
	BR_NFS3_DONT_CHANGE = 0,
	BR_NFS3_SERVER_TIME = 1,
	BR_NFS3_CLIENT_TIME = 2,
};

enum br_nfs3_properties { /* of FSINFO */
	BR_NFS3_FSF_LINK = 0x01,
	BR_NFS3_FSF_SYMLINK = 0x02,
	BR_NFS3_FSF_HOMOGENEOUS = 0x08,
	BR_NFS3_FSF_CANSETTIME = 0x10,
};

#define BR_NFS3_FHSIZE    64
#define BR_NFS3_VERFSIZE  8 /* of create, write and cookie verifiers */
#define BR_NFS3_MODE_MASK 07777u

struct br_nfs3_bytes {
	const uint8_t *p;
	uint32_t len;
};

struct br_nfs3_fh {
	const uint8_t *p;
	uint32_t len; /* 0..64 */
};

struct br_nfs3_dirop {
	struct br_nfs3_fh dir;
	struct br_nfs3_bytes name;
};

struct br_nfs3_sattr {
	bool set_mode, set_uid, set_gid, set_size;
	enum br_nfs3_time_how set_atime, set_mtime;
	uint32_t mode, uid, gid;
	uint64_t size;
	struct timespec atime, mtime; /* tv_nsec as sent: may be a second or more */
};

struct br_nfs3_fattr {
	enum br_nfs3_type type;
	uint32_t mode, nlink, uid, gid;
	uint64_t size, used;
	uint32_t rdev_major, rdev_minor;
	uint64_t fsid, fileid;
	struct timespec atime, mtime, ctime;
};

/* arguments */

struct br_nfs3_setattr_args {
	struct br_nfs3_fh fh;
	struct br_nfs3_sattr attr;
	bool guarded;
	struct timespec guard_ctime;
};

struct br_nfs3_access_args {
	struct br_nfs3_fh fh;
	uint32_t access; /* enum br_nfs3_access */
};

struct br_nfs3_read_args {
	struct br_nfs3_fh fh;
	uint64_t offset;
	uint32_t count;
};

struct br_nfs3_write_args {
	struct br_nfs3_fh fh;
	uint64_t offset;
	uint32_t count; /* never more than data.len */
	enum br_nfs3_stable stable;
	struct br_nfs3_bytes data;
};

struct br_nfs3_create_args {
	struct br_nfs3_dirop where;
	enum br_nfs3_create how;
	struct br_nfs3_sattr attr; /* not with EXCLUSIVE */
	uint32_t verf[2];          /* with EXCLUSIVE */
};

struct br_nfs3_mkdir_args {
	struct br_nfs3_dirop where;
	struct br_nfs3_sattr attr;
};

struct br_nfs3_symlink_args {
	struct br_nfs3_dirop where;
	struct br_nfs3_sattr attr;
	struct br_nfs3_bytes target;
};

struct br_nfs3_mknod_args {
	struct br_nfs3_dirop where;
	uint32_t type; /* enum br_nfs3_type or anything */
	struct br_nfs3_sattr attr;
	uint32_t rdev_major, rdev_minor;
};

struct br_nfs3_rename_args {
	struct br_nfs3_dirop from, to;
};

struct br_nfs3_link_args {
	struct br_nfs3_fh fh;
	struct br_nfs3_dirop where;
};

struct br_nfs3_readdir_args {
	struct br_nfs3_fh fh;
	uint64_t cookie;
	uint64_t cookieverf;
	uint32_t dircount; /* READDIRPLUS only */
	uint32_t maxcount; /* READDIR: count */
};

struct br_nfs3_commit_args {
	struct br_nfs3_fh fh;
	uint64_t offset;
	uint32_t count;
};

int br_nfs3_get_fh(struct br_reader *r, struct br_nfs3_fh *ret);
int br_nfs3_get_dirop(struct br_reader *r, struct br_nfs3_dirop *ret);
int br_nfs3_get_setattr(struct br_reader *r, struct br_nfs3_setattr_args *ret);
int br_nfs3_get_access(struct br_reader *r, struct br_nfs3_access_args *ret);
int br_nfs3_get_read(struct br_reader *r, struct br_nfs3_read_args *ret);
int br_nfs3_get_write(struct br_reader *r, struct br_nfs3_write_args *ret);
int br_nfs3_get_create(struct br_reader *r, struct br_nfs3_create_args *ret);
int br_nfs3_get_mkdir(struct br_reader *r, struct br_nfs3_mkdir_args *ret);
int br_nfs3_get_symlink(struct br_reader *r, struct br_nfs3_symlink_args *ret);
int br_nfs3_get_mknod(struct br_reader *r, struct br_nfs3_mknod_args *ret);
int br_nfs3_get_rename(struct br_reader *r, struct br_nfs3_rename_args *ret);
int br_nfs3_get_link(struct br_reader *r, struct br_nfs3_link_args *ret);
int br_nfs3_get_readdir(struct br_reader *r, struct br_nfs3_readdir_args *ret);
int br_nfs3_get_readdirplus(struct br_reader *r, struct br_nfs3_readdir_args *ret);
int br_nfs3_get_commit(struct br_reader *r, struct br_nfs3_commit_args *ret);

/* pieces of results */

#define BR_NFS3_FATTR_SIZE   84
#define BR_NFS3_POST_OP_SIZE (4 + BR_NFS3_FATTR_SIZE)

struct br_nfs3_wcc { /* what weak cache consistency wants to know of before */
	uint64_t size;
	struct timespec mtime, ctime;
};

struct br_nfs3_fsstat {
	uint64_t total_bytes, free_bytes, avail_bytes, total_files, free_files, avail_files;
	uint32_t invarsec;
};

struct br_nfs3_fsinfo {
	uint32_t rtmax, rtpref, rtmult, wtmax, wtpref, wtmult, dtpref;
	uint64_t max_file_size;
	struct timespec time_delta;
	uint32_t properties; /* enum br_nfs3_properties */
};

struct br_nfs3_pathconf {
	uint32_t link_max, name_max;
	bool no_trunc, chown_restricted, case_insensitive, case_preserving;
};

void br_nfs3_put_fattr(struct br_writer *w, const struct br_nfs3_fattr *attr);
/* NULL: not known */
void br_nfs3_put_post_op(struct br_writer *w, const struct br_nfs3_fattr *attr);
void br_nfs3_put_wcc(
	struct br_writer *w, const struct br_nfs3_wcc *before, const struct br_nfs3_fattr *after);
void br_nfs3_put_fh(struct br_writer *w, const void *fh, uint32_t len);
void br_nfs3_put_fsstat(struct br_writer *w, const struct br_nfs3_fsstat *fsstat);
void br_nfs3_put_fsinfo(struct br_writer *w, const struct br_nfs3_fsinfo *fsinfo);
void br_nfs3_put_pathconf(struct br_writer *w, const struct br_nfs3_pathconf *pathconf);

/* for clients (tests, virtual boards) */
int br_nfs3_get_fattr(struct br_reader *r, struct br_nfs3_fattr *ret);
void br_nfs3_put_sattr(struct br_writer *w, const struct br_nfs3_sattr *attr);
