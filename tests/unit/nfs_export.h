/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "nfs/server.h"
#include "tests/unit/memfs.h"

/* One file system shown to NFS clients: what the daemon does for boards, for tests. */
struct nfs_test_export {
	struct br_fs *fs;
	pthread_mutex_t lock;
	uint8_t id[16];
	uint32_t only_ip; /* 0: anyone */
	bool read_only, gone, busy, slow;
	int refs; /* held by the server now; 0 when it is idle */
	uint32_t active_ip;
	uint64_t reads, read_bytes, writes, written_bytes;
	unsigned n_refused, troubles[BR_NFS_N_TROUBLES], troubles_beside[BR_NFS_N_TROUBLES];
	bool beside;
};

static const uint8_t nfs_test_key[16] = "0123456789abcde";

static void nfs_test_fill(struct nfs_test_export *e, struct br_nfs_export *ret)
{
	*ret = (struct br_nfs_export){
		.fs = e->fs, .lock = &e->lock, .read_only = e->read_only, .ref = e, .beside = e->beside
	};
	memcpy(ret->id, e->id, sizeof(ret->id));
	__atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
}

static int nfs_test_mount(
	void *ctx, uint32_t ip, const char *path, struct br_nfs_export *ret, struct br_error *err)
{
	struct nfs_test_export *e = ctx;

	if (e->only_ip && e->only_ip != ip)
		return br_error_set(err, EACCES, "not for this client");
	if (e->gone)
		return br_error_set(err, ENOENT, "no such export");
	nfs_test_fill(e, ret);
	ret->dir = path;
	return 0;
}

static int nfs_test_find(
	void *ctx, uint32_t ip, const uint8_t id[static 16], bool may_wait, struct br_nfs_export *ret)
{
	struct nfs_test_export *e = ctx;

	if (e->slow && !may_wait)
		return -EINPROGRESS;
	if (e->busy)
		return -EAGAIN;
	if (e->gone || (e->only_ip && e->only_ip != ip) || memcmp(id, e->id, sizeof(e->id)))
		return -ESTALE;
	nfs_test_fill(e, ret);
	return 0;
}

static void nfs_test_release(void *ctx, struct br_nfs_export *export)
{
	struct nfs_test_export *e = export->ref;

	__atomic_sub_fetch(&e->refs, 1, __ATOMIC_RELAXED);
}

static void nfs_test_activity(void *ctx, uint32_t ip, uint64_t reads, uint64_t read_bytes,
	uint64_t writes, uint64_t written_bytes)
{
	struct nfs_test_export *e = ctx;

	e->active_ip = ip;
	e->reads = reads;
	e->read_bytes = read_bytes;
	e->writes = writes;
	e->written_bytes = written_bytes;
}

static void nfs_test_refused(void *ctx, uint32_t ip, const char *why)
{
	struct nfs_test_export *e = ctx;

	e->n_refused++;
}

static void nfs_test_trouble(void *ctx, uint32_t ip, enum br_nfs_trouble what, const struct br_nfs_export *export)
{
	struct nfs_test_export *e = ctx;

	(export && export->beside ? e->troubles_beside : e->troubles)[what]++;
}

static const struct br_nfs_ops nfs_test_ops = {
	.mount = nfs_test_mount,
	.find = nfs_test_find,
	.release = nfs_test_release,
	.activity = nfs_test_activity,
	.refused = nfs_test_refused,
	.trouble = nfs_test_trouble,
};

static inline void nfs_test_export_init(struct nfs_test_export *e, struct br_fs *fs)
{
	*e = (struct nfs_test_export){ .fs = fs, .id = { "an export, tests" } };
	pthread_mutex_init(&e->lock, NULL);
}

static inline void nfs_test_export_done(struct nfs_test_export *e)
{
	pthread_mutex_destroy(&e->lock);
	e->fs->ops->close(e->fs);
}
