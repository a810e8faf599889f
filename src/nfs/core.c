/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "nfs/call.h"
#include "wire/xdr.h"

#define DRC_ENTRIES 16384
#define REPLY_SIZE  1024 /* bytes for results; procedures that need more reserve it */
#define HIGH_PORT   1024 /* from here on any program may send */

/* A file system with held replies. */
struct br_nfs_batch {
	struct br_nfs_batch *next;
	bool under_way; /* being committed: what comes now goes to another batch */
	int r;          /* of the commit */
	struct br_nfs_export export;
	struct br_nfs_reply *first, **last;
};

static const struct {
	const char *name;
	uint32_t program, low, high; /* versions */
	enum br_nfs_service service;
	int (*run)(struct br_nfs_call *call);
} programs[] = {
	{ "NFS", BR_RPC_NFS, 3, 3, BR_NFS_NFS, br_nfs3_run },
	{ "MOUNT", BR_RPC_MOUNT, 1, 3, BR_NFS_MOUNT, br_nfs_mount_run },
	{ "portmap", BR_RPC_PORTMAP, 2, 4, BR_NFS_PORTMAP, br_nfs_portmap_run },
};

static int init(struct br_nfs_core *core, const struct br_nfs_options *opt)
{
	*core = (struct br_nfs_core){ .opt = *opt, .n_lost = &core->own_lost };
	core->drc = br_nfs_drc_new(DRC_ENTRIES);
	core->clients = br_nfs_clients_new();
	if (!core->drc || !core->clients) {
		br_nfs_core_done(core);
		return -ENOMEM;
	}
	return 0;
}

int br_nfs_core_init(struct br_nfs_core *core, const struct br_nfs_options *opt)
{
	int r = init(core, opt);

	if (r == 0)
		br_random(core->verifier_key, sizeof(core->verifier_key));
	return r;
}

int br_nfs_core_join(struct br_nfs_core *core, struct br_nfs_core *first)
{
	int r = init(core, &first->opt);

	if (r < 0)
		return r;
	core->nfs_port = first->nfs_port;
	core->mount_port = first->mount_port;
	memcpy(core->verifier_key, first->verifier_key, sizeof(core->verifier_key));
	core->n_lost = first->n_lost;
	return 0;
}

void br_nfs_core_done(struct br_nfs_core *core)
{
	br_nfs_drc_free(core->drc);
	br_nfs_clients_free(core->clients);
	*core = (struct br_nfs_core){ 0 };
}

void br_nfs_drop_tail(struct br_nfs_reply *reply)
{
	if (!reply->tail)
		return;
	br_fs_map_done(reply->tail);
	free(br_take(reply->tail));
}

void br_nfs_reply_free(struct br_nfs_reply *reply)
{
	if (!reply)
		return;
	br_nfs_drop_tail(reply);
	free(reply);
}

bool br_nfs_core_report_due(const struct br_nfs_core *core)
{
	return br_nfs_clients_report_due(core->clients);
}

void br_nfs_core_report(struct br_nfs_core *core, uint64_t now_ns)
{
	if (core->opt.ops->activity)
		br_nfs_clients_report(
			core->clients, now_ns, core->opt.ops->activity, core->opt.ctx);
}

void br_nfs_tell_refused(struct br_nfs_call *call, const char *fmt, ...)
{
	struct br_nfs_core *core = call->core;
	const struct br_nfs_request *req = call->req;
	char why[256];
	va_list ap;

	if (!core->opt.ops->refused || !core->clients ||
		!br_nfs_clients_may_tell(core->clients, req->ip, req->now_ns))
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	core->opt.ops->refused(core->opt.ctx, req->ip, why);
}

bool br_nfs_port_allowed(struct br_nfs_call *call)
{
	if (call->core->opt.allow_high_ports || call->req->port < HIGH_PORT)
		return true;
	br_nfs_tell_refused(call,
		"NFS from source port %u: any user of the board could have sent that and claimed "
		"to be root; mount as "
		"root without 'noresvport'",
		call->req->port);
	return false;
}

/* The reply's memory moves when it must grow. */
static int resize(struct br_nfs_call *call, size_t cap)
{
	struct br_nfs_reply *reply = realloc(call->reply, sizeof(*reply) + cap);

	if (!reply)
		return -ENOMEM;
	call->reply = reply;
	call->out.buf = reply->data;
	call->out.cap = cap;
	return 0;
}

int br_nfs_reserve(struct br_nfs_call *call, size_t n)
{
	if (call->out.cap - call->out.len >= n)
		return 0;
	return resize(call, call->out.len + n);
}

void br_nfs_reply_finish(struct br_nfs_reply *reply, const struct br_writer *out)
{
	reply->data_len = reply->len = out->len;
	if (reply->tail)
		reply->len += reply->tail->len + br_xdr_padding(reply->tail->len);
	br_rpc_store_mark(reply->data, (uint32_t)(reply->len - BR_RPC_MARK_SIZE), true);
}

static struct br_nfs_batch *batch_of(struct br_nfs_core *core, const struct br_fs *fs)
{
	for (struct br_nfs_batch *b = core->batches; b; b = b->next)
		if (b->export.fs == fs && !b->under_way)
			return b;
	return NULL;
}

int br_nfs_hold(struct br_nfs_call *call)
{
	struct br_nfs_core *core = call->core;
	struct br_nfs_batch *b = batch_of(core, call->export.fs);
	struct br_nfs_reply *reply = call->reply;

	pthread_mutex_unlock(call->export.lock);
	call->has_export = false;
	if (b) {
		core->opt.ops->release(core->opt.ctx, &call->export);
	} else {
		b = calloc(1, sizeof(*b));
		if (!b) {
			core->opt.ops->release(core->opt.ctx, &call->export);
			return -ENOMEM;
		}
		*b = (struct br_nfs_batch){
			.next = core->batches, .export = call->export, .last = &b->first
		};
		core->batches = b;
	}
	reply->xid = call->rpc.xid;
	reply->procedure = call->rpc.procedure;
	reply->next = NULL;
	*b->last = reply;
	b->last = &reply->next;
	return 0;
}

/* What was answered as done is not stable: say so instead. The failure is never longer than the
 * success was. */
static void turn_into_failure(struct br_nfs_reply *reply, int r)
{
	struct br_writer w = br_writer_of(reply->data, reply->len);

	br_writer_room(&w, BR_RPC_MARK_SIZE);
	br_rpc_put_accepted(&w, reply->xid, BR_RPC_SUCCESS);
	br_nfs3_put_failure(&w, reply->procedure, r);
	br_nfs_reply_finish(reply, &w);
}

struct br_nfs_batch *br_nfs_core_take(struct br_nfs_core *core)
{
	for (struct br_nfs_batch *b = core->batches; b; b = b->next) {
		bool busy = false;

		if (b->under_way)
			continue;
		for (struct br_nfs_batch *o = core->batches; o && !busy; o = o->next)
			busy = o->under_way && o->export.fs == b->export.fs;
		if (busy)
			continue;
		b->under_way = true;
		return b;
	}
	return NULL;
}

void br_nfs_batch_commit(struct br_nfs_batch *b)
{
	b->r = br_fs_commit(b->export.fs, b->export.lock);
}

void br_nfs_core_finish(struct br_nfs_core *core, struct br_nfs_batch *b,
	void (*done)(void *ctx, struct br_nfs_reply *reply), void *ctx)
{
	struct br_nfs_batch **at = &core->batches;
	struct br_nfs_reply *after;

	if (b->r < 0)
		atomic_fetch_add(core->n_lost, 1);
	for (struct br_nfs_reply *reply = b->first; reply; reply = after) {
		after = reply->next;
		if (b->r < 0)
			turn_into_failure(reply, b->r);
		br_nfs_drc_finish(core->drc, reply->drc, reply->data, reply->len);
		done(ctx, reply);
	}
	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	core->opt.ops->release(core->opt.ctx, &b->export);
	free(b);
}

void br_nfs_core_commit(
	struct br_nfs_core *core, void (*done)(void *ctx, struct br_nfs_reply *reply), void *ctx)
{
	for (struct br_nfs_batch *b = br_nfs_core_take(core); b; b = br_nfs_core_take(core)) {
		br_nfs_batch_commit(b);
		br_nfs_core_finish(core, b, done, ctx);
	}
}

/* ---- calls that need slow work first ---- */

/* MOUNT alone, in a thread that is not the core's: it has no caches and tells nobody. */
static void run_mount(const struct br_nfs_core *core, const struct br_nfs_request *req, struct br_nfs_slow *slow)
{
	struct br_nfs_core own = { .opt = core->opt, .nfs_port = core->nfs_port, .mount_port = core->mount_port };

	slow->r = br_nfs_core_call(&own, req, &slow->reply);
}

void br_nfs_slow_run(const struct br_nfs_core *core, const struct br_nfs_request *req, struct br_nfs_slow *slow)
{
	if (slow->whole) {
		run_mount(core, req, slow);
		return;
	}
	slow->r = core->opt.ops->find(core->opt.ctx, slow->ip, slow->id, true, &slow->export);
	slow->has_export = slow->r == 0;
}

int br_nfs_slow_finish(struct br_nfs_core *core, const struct br_nfs_request *req, struct br_nfs_slow *slow,
	struct br_nfs_reply **ret)
{
	int r;

	if (slow->whole) {
		*ret = slow->reply;
		return slow->r;
	}
	core->found = slow;
	r = br_nfs_core_call(core, req, ret);
	core->found = NULL;
	if (slow->has_export)
		core->opt.ops->release(core->opt.ctx, &slow->export);
	return r;
}

/* ---- one call ---- */

static int run_program(struct br_nfs_call *call)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(programs); i++) {
		if (programs[i].program != call->rpc.program ||
			!(programs[i].service & call->req->services))
			continue;
		if (call->rpc.version < programs[i].low || call->rpc.version > programs[i].high) {
			br_nfs_tell_refused(call,
				"%s version %u is not served: add 'vers=3' to nfsroot",
				programs[i].name, call->rpc.version);
			return BR_RPC_PROG_MISMATCH;
		}
		return programs[i].run(call);
	}
	return BR_RPC_PROG_UNAVAIL;
}

static void put_prog_mismatch(struct br_nfs_call *call)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(programs); i++)
		if (programs[i].program == call->rpc.program)
			br_rpc_put_prog_mismatch(
				&call->out, call->rpc.xid, programs[i].low, programs[i].high);
}

/* Writes the head that r asks for in place of results. */
static void put_refusal(struct br_nfs_call *call, int r)
{
	uint32_t xid = call->rpc.xid;

	call->out.len = BR_RPC_MARK_SIZE;
	call->out.failed = false;
	switch (r) {
	case BR_RPC_PROG_MISMATCH:
		put_prog_mismatch(call);
		break;
	case BR_NFS_RUN_TOO_WEAK:
		br_rpc_put_auth_error(&call->out, xid, BR_RPC_AUTH_TOOWEAK);
		break;
	default:
		br_rpc_put_accepted(&call->out, xid, (enum br_rpc_accept)r);
	}
}

static void put_decode_error(struct br_nfs_call *call, int r)
{
	uint32_t xid = call->rpc.xid;

	switch (r) {
	case BR_RPC_BAD_VERSION:
		br_rpc_put_rpc_mismatch(&call->out, xid);
		break;
	case BR_RPC_BAD_CRED:
		br_rpc_put_auth_error(&call->out, xid, BR_RPC_AUTH_BADCRED);
		break;
	case BR_RPC_BAD_VERF:
		br_rpc_put_auth_error(&call->out, xid, BR_RPC_AUTH_BADVERF);
		break;
	}
}

int br_nfs_core_call(
	struct br_nfs_core *core, const struct br_nfs_request *req, struct br_nfs_reply **ret)
{
	struct br_nfs_call call = {
		.core = core, .req = req, .in = br_reader_of(req->data, req->len)
	};
	int r = br_rpc_get_call(&call.in, &call.rpc);

	if (r < 0)
		return r;
	if (resize(&call, REPLY_SIZE) < 0)
		return -ENOMEM;
	*call.reply = (struct br_nfs_reply){ 0 };
	br_writer_room(&call.out, BR_RPC_MARK_SIZE);
	if (r > 0) {
		put_decode_error(&call, r);
	} else {
		br_rpc_put_accepted(&call.out, call.rpc.xid, BR_RPC_SUCCESS);
		r = run_program(&call);
		if (r < 0 || r == BR_NFS_RUN_SILENT || r == BR_NFS_RUN_LATER) {
			br_nfs_reply_free(call.reply);
			return r < 0 ? r : r == BR_NFS_RUN_LATER ? BR_NFS_LATER : BR_NFS_SILENT;
		}
		if (r > 0 && r != BR_NFS_RUN_HELD)
			put_refusal(&call, r);
	}
	if (r != BR_NFS_RUN_HELD)
		br_nfs_reply_finish(call.reply, &call.out);
	*ret = call.reply;
	return r == BR_NFS_RUN_HELD ? BR_NFS_HELD : BR_NFS_REPLY;
}
