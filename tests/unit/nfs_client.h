/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls by hand into the NFS server's core, for tests: no sockets. Include after test.h. */
#include "nfs/core.h"
#include "nfs/handle.h"
#include "tests/unit/nfs_export.h"
#include "wire/nfs3.h"
#include "wire/rpc.h"
#include "wire/xdr.h"

struct nfs_fh {
	uint8_t b[BR_NFS3_FHSIZE];
	uint32_t len;
};

struct nfs_rig {
	struct nfs_test_export export;
	struct br_nfs_core core;
	struct br_rpc_cred cred;
	uint32_t ip, xid;
	uint16_t port;
	unsigned services;
	uint64_t now_ns;
	uint8_t call_buf[BR_NFS_CALL_MAX + 4096];
	struct br_writer call;
	uint8_t *reply; /* the last one, owned */
	size_t reply_len;
};

static inline void rig_init_fs(struct nfs_rig *rig, struct br_fs *fs)
{
	struct br_nfs_options opt = { .ops = &nfs_test_ops, .ctx = &rig->export };

	memset(rig, 0, offsetof(struct nfs_rig, call_buf));
	rig->reply = NULL;
	memcpy(opt.handle_key, nfs_test_key, sizeof(opt.handle_key));
	nfs_test_export_init(&rig->export, fs);
	assert_int_equal(br_nfs_core_init(&rig->core, &opt), 0);
	rig->core.nfs_port = 2049;
	rig->core.mount_port = 20048;
	rig->cred.flavor = BR_RPC_AUTH_SYS;
	rig->ip = 0x0a4d0007;
	rig->port = 931;
	rig->services = BR_NFS_NFS | BR_NFS_MOUNT | BR_NFS_PORTMAP;
	rig->xid = 1000;
	rig->now_ns = 1000000000;
}

static inline void rig_done(struct nfs_rig *rig)
{
	assert_int_equal(rig->export.refs, 0);
	br_nfs_core_done(&rig->core);
	nfs_test_export_done(&rig->export);
	free(rig->reply);
}

static inline void rig_take_reply(void *ctx, struct br_nfs_reply *reply)
{
	struct nfs_rig *rig = ctx;

	free(rig->reply);
	rig->reply_len = reply->len - BR_RPC_MARK_SIZE;
	rig->reply = malloc(rig->reply_len + 1);
	assert_int_equal(br_load_be32(reply->data), 0x80000000u | rig->reply_len);
	memcpy(rig->reply, reply->data + BR_RPC_MARK_SIZE, rig->reply_len);
	free(reply);
}

/* Starts a call; the arguments go to the returned writer. */
static inline struct br_writer *rig_begin(
	struct nfs_rig *rig, uint32_t program, uint32_t version, uint32_t procedure)
{
	struct br_rpc_call call = { ++rig->xid, program, version, procedure, rig->cred };

	rig->call = br_writer_of(rig->call_buf, sizeof(rig->call_buf));
	br_rpc_put_call(&rig->call, &call);
	return &rig->call;
}

static inline struct br_writer *rig_nfs(struct nfs_rig *rig, enum br_nfs3_proc proc)
{
	return rig_begin(rig, BR_RPC_NFS, 3, proc);
}

/* Hands bytes to the core without committing; what br_nfs_core_call() says. */
static inline int rig_submit(struct nfs_rig *rig, const void *data, size_t len)
{
	struct br_nfs_request req = {
		.ip = rig->ip,
		.port = rig->port,
		.local_ip = 0x0a4d0001,
		.services = rig->services,
		.data = data,
		.len = len,
		.now_ns = rig->now_ns,
		.wall_ns = 1700000000ull * 1000000000 + 5,
	};
	struct br_nfs_reply *reply = NULL;
	int r = br_nfs_core_call(&rig->core, &req, &reply);

	if (r == BR_NFS_REPLY)
		rig_take_reply(rig, reply);
	return r;
}

/* Sends the call that was begun (again) and commits; the reply's reader stands behind the accepted
 * head, whose accept status must be the given one. */
static inline struct br_reader rig_send(struct nfs_rig *rig, enum br_rpc_accept accept)
{
	struct br_reader r;
	int got;

	assert_false(rig->call.failed);
	got = rig_submit(rig, rig->call.buf, rig->call.len);
	if (got == BR_NFS_HELD)
		br_nfs_core_commit(&rig->core, rig_take_reply, rig);
	else
		assert_int_equal(got, BR_NFS_REPLY);
	assert_int_equal(rig->reply_len % 4, 0);
	r = br_reader_of(rig->reply, rig->reply_len);
	assert_int_equal(br_get_be32(&r), rig->xid);
	assert_int_equal(br_get_be32(&r), 1); /* a reply */
	assert_int_equal(br_get_be32(&r), 0); /* accepted */
	assert_int_equal(br_get_be64(&r), 0); /* verifier */
	assert_int_equal(br_get_be32(&r), accept);
	return r;
}

/* As rig_send(), and the status of NFS must be the given one. */
static inline struct br_reader rig_expect(struct nfs_rig *rig, enum br_nfs3_status status)
{
	struct br_reader r = rig_send(rig, BR_RPC_SUCCESS);

	assert_int_equal(br_get_be32(&r), status);
	return r;
}

/* pieces of arguments and results */

static inline void put_fh(struct br_writer *w, const struct nfs_fh *fh)
{
	br_nfs3_put_fh(w, fh->b, fh->len);
}

static inline void put_where(struct br_writer *w, const struct nfs_fh *dir, const char *name)
{
	put_fh(w, dir);
	br_xdr_put_string(w, name);
}

static inline struct nfs_fh get_fh(struct br_reader *r)
{
	struct nfs_fh fh = { 0 };
	const uint8_t *p = br_xdr_get_opaque(r, BR_NFS3_FHSIZE, &fh.len);

	assert_non_null(p);
	memcpy(fh.b, p, fh.len);
	return fh;
}

static inline struct nfs_fh get_post_fh(struct br_reader *r)
{
	assert_true(br_xdr_get_bool(r));
	return get_fh(r);
}

static inline struct br_nfs3_fattr get_post_attr(struct br_reader *r)
{
	struct br_nfs3_fattr attr;

	assert_true(br_xdr_get_bool(r));
	assert_int_equal(br_nfs3_get_fattr(r, &attr), 0);
	return attr;
}

struct nfs_wcc {
	uint64_t size_before;
	struct timespec mtime_before, ctime_before;
	struct br_nfs3_fattr after;
};

static inline struct nfs_wcc get_wcc(struct br_reader *r)
{
	struct nfs_wcc wcc;

	assert_true(br_xdr_get_bool(r));
	wcc.size_before = br_get_be64(r);
	wcc.mtime_before.tv_sec = br_get_be32(r);
	wcc.mtime_before.tv_nsec = br_get_be32(r);
	wcc.ctime_before.tv_sec = br_get_be32(r);
	wcc.ctime_before.tv_nsec = br_get_be32(r);
	wcc.after = get_post_attr(r);
	return wcc;
}

static inline void assert_ended(const struct br_reader *r)
{
	assert_false(r->failed);
	assert_int_equal(br_reader_left(r), 0);
}

/* a few whole calls */

static inline struct nfs_fh rig_mount(struct nfs_rig *rig, const char *path)
{
	struct br_reader r;
	struct nfs_fh fh;

	br_xdr_put_string(rig_begin(rig, BR_RPC_MOUNT, 3, 1), path);
	r = rig_send(rig, BR_RPC_SUCCESS);
	assert_int_equal(br_get_be32(&r), 0);
	fh = get_fh(&r);
	assert_int_equal(br_get_be32(&r), 1); /* one flavour */
	assert_int_equal(br_get_be32(&r), BR_RPC_AUTH_SYS);
	assert_ended(&r);
	return fh;
}

static inline struct nfs_fh rig_lookup(
	struct nfs_rig *rig, const struct nfs_fh *dir, const char *name, enum br_nfs3_status status)
{
	struct nfs_fh fh = { 0 };
	struct br_reader r;

	put_where(rig_nfs(rig, BR_NFS3_LOOKUP), dir, name);
	r = rig_expect(rig, status);
	if (status == BR_NFS3_OK) {
		fh = get_fh(&r);
		get_post_attr(&r);
	}
	get_post_attr(&r);
	assert_ended(&r);
	return fh;
}

static inline struct br_nfs3_fattr rig_getattr(struct nfs_rig *rig, const struct nfs_fh *fh)
{
	struct br_nfs3_fattr attr = { 0 };
	struct br_reader r;

	put_fh(rig_nfs(rig, BR_NFS3_GETATTR), fh);
	r = rig_expect(rig, BR_NFS3_OK);
	assert_int_equal(br_nfs3_get_fattr(&r, &attr), 0);
	assert_ended(&r);
	return attr;
}

static inline void put_write(struct br_writer *w, const struct nfs_fh *fh, uint64_t offset,
	const char *text, enum br_nfs3_stable stable)
{
	put_fh(w, fh);
	br_put_be64(w, offset);
	br_put_be32(w, (uint32_t)strlen(text));
	br_put_be32(w, stable);
	br_xdr_put_string(w, text);
}

/* Returns the verifier. */
static inline uint64_t rig_write(struct nfs_rig *rig, const struct nfs_fh *fh, uint64_t offset,
	const char *text, enum br_nfs3_stable stable)
{
	struct br_reader r;
	uint64_t verifier;

	put_write(rig_nfs(rig, BR_NFS3_WRITE), fh, offset, text, stable);
	r = rig_expect(rig, BR_NFS3_OK);
	get_wcc(&r);
	assert_int_equal(br_get_be32(&r), strlen(text));
	assert_int_equal(br_get_be32(&r), stable ? BR_NFS3_FILE_SYNC : BR_NFS3_UNSTABLE);
	verifier = br_get_be64(&r);
	assert_ended(&r);
	return verifier;
}

/* Reads at most count bytes as text; the end of the file must be as told. */
static inline void rig_read(struct nfs_rig *rig, const struct nfs_fh *fh, uint64_t offset,
	uint32_t count, const char *expect, bool eof)
{
	struct br_writer *w = rig_nfs(rig, BR_NFS3_READ);
	struct br_reader r;
	const uint8_t *p;
	uint32_t n;

	put_fh(w, fh);
	br_put_be64(w, offset);
	br_put_be32(w, count);
	r = rig_expect(rig, BR_NFS3_OK);
	get_post_attr(&r);
	assert_int_equal(br_get_be32(&r), strlen(expect));
	assert_int_equal(br_get_be32(&r), eof);
	p = br_xdr_get_opaque(&r, UINT32_MAX, &n);
	assert_ended(&r);
	assert_int_equal(n, strlen(expect));
	assert_memory_equal(p, expect, n);
}
