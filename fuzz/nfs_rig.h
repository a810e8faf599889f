/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A core with a small file system in memory, the same each time. */
#include <stdlib.h>

#include "nfs/core.h"
#include "tests/unit/nfs_export.h"

struct fuzz_rig {
	struct nfs_test_export export;
	struct br_nfs_core core;
	uint8_t *last; /* the last reply, without its mark */
	size_t last_len;
};

static inline void fuzz_rig_init(struct fuzz_rig *rig)
{
	struct br_nfs_options opt = { .ops = &nfs_test_ops, .ctx = &rig->export };
	static struct br_nfs_core
		fresh; /* its tables are large to make and this is done for each input */

	memcpy(opt.handle_key, nfs_test_key, sizeof(opt.handle_key));
	nfs_test_export_init(&rig->export, memfs_new());
	memfs_limit(rig->export.fs, 1 << 20);
	memfs_put(rig->export.fs, "/etc/hostname", 0644, "pi07\n");
	memfs_put_link(rig->export.fs, "/sbin", "usr/sbin");
	memfs_put(rig->export.fs, "/home/pi/file", 0600, "0123456789");
	if (!fresh.clients) {
		if (br_nfs_core_init(&fresh, &opt) < 0)
			abort();
		br_nfs_drc_free(fresh.drc);
		fresh.drc = NULL;
	}
	rig->core = fresh;
	rig->core.opt = opt;
	rig->core.drc = br_nfs_drc_new(16);
	rig->last = NULL;
	rig->last_len = 0;
}

static inline void fuzz_rig_done(struct fuzz_rig *rig)
{
	if (rig->export.refs)
		abort();
	br_nfs_drc_free(rig->core.drc);
	nfs_test_export_done(&rig->export);
	free(rig->last);
}

/* What must be true of every reply. */
static inline void fuzz_rig_take(void *ctx, struct br_nfs_reply *reply)
{
	struct fuzz_rig *rig = ctx;

	if (reply->len < BR_RPC_MARK_SIZE + 12 || reply->len % 4 ||
		br_load_be32(reply->data) != (0x80000000u | (reply->len - BR_RPC_MARK_SIZE)))
		abort();
	free(rig->last);
	rig->last_len = reply->len - BR_RPC_MARK_SIZE;
	rig->last = malloc(rig->last_len);
	memcpy(rig->last, reply->data + BR_RPC_MARK_SIZE, rig->last_len);
	free(reply);
}

static inline void fuzz_rig_call(struct fuzz_rig *rig, const uint8_t *data, size_t len)
{
	struct br_nfs_request req = {
		.ip = 0x0a4d0007,
		.port = 931,
		.local_ip = 0x0a4d0001,
		.services = BR_NFS_NFS | BR_NFS_MOUNT | BR_NFS_PORTMAP,
		.data = data,
		.len = len,
		.now_ns = 1000000000,
		.wall_ns = 1000000000,
	};
	struct br_nfs_reply *reply = NULL;

	if (br_nfs_core_call(&rig->core, &req, &reply) == BR_NFS_REPLY)
		fuzz_rig_take(rig, reply);
}
