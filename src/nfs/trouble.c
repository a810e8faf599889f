/* SPDX-License-Identifier: Apache-2.0 */
/* What the answers to a client show of its trouble, for 'bramble why': rows 62, 63, 67, 71 and 74 of its table. */
#include "nfs/call.h"

#define EARLY	 16 /* READs: until its init is found and runs, a client has made fewer */
#define SAMPLE	 64 /* READs after which their size says something */
#define PAGE	 4096 /* what the kernel asks for when nfsroot= has no rsize (fs/nfs/nfsroot.c) */
#define AGAIN_NS (10ull * 1000000000)

/* Of any file system. */
static int of_status(uint32_t status)
{
	switch (status) {
	case BR_NFS3ERR_STALE:
		return BR_NFS_TROUBLE_STALE;
	case BR_NFS3ERR_ROFS:
		return BR_NFS_TROUBLE_READ_ONLY;
	case BR_NFS3ERR_NOSPC:
	case BR_NFS3ERR_DQUOT:
		return BR_NFS_TROUBLE_NO_SPACE;
	case BR_NFS3ERR_IO:
		return BR_NFS_TROUBLE_IO;
	default:
		return -1;
	}
}

/* Of a root. */
static int of_failure(const struct br_nfs_call *call, const struct br_nfs_seen *seen)
{
	uint32_t proc = call->rpc.procedure;

	switch (call->status) {
	case BR_NFS3ERR_NOENT:
		return seen->n_reads < EARLY && call->seeks_init ? BR_NFS_TROUBLE_NO_INIT : -1;
	case BR_NFS3ERR_ACCES:
		if (seen->n_reads < EARLY && (proc == BR_NFS3_LOOKUP || proc == BR_NFS3_READ))
			return BR_NFS_TROUBLE_DENIED;
		return -1;
	default:
		return of_status(call->status);
	}
}

/* The size of READs: most are whole pages, and none is larger. */
static int of_reads(const struct br_nfs_call *call, struct br_nfs_seen *seen)
{
	seen->n_reads++;
	seen->n_pages += call->moved == PAGE;
	if (call->moved > seen->longest)
		seen->longest = call->moved;
	return seen->n_reads == SAMPLE && seen->longest == PAGE && seen->n_pages >= SAMPLE / 2 ?
		BR_NFS_TROUBLE_SMALL_READS : -1;
}

static int look(const struct br_nfs_call *call, struct br_nfs_seen *seen)
{
	if (call->status)
		return of_failure(call, seen);
	if (call->rpc.procedure == BR_NFS3_READ)
		return of_reads(call, seen);
	if (call->rpc.procedure == BR_NFS3_FSINFO) /* a mount: a new boot, perhaps */
		*seen = (struct br_nfs_seen){ 0 };
	return -1;
}

void br_nfs3_note_trouble(struct br_nfs_call *call)
{
	const struct br_nfs_options *opt = &call->core->opt;
	uint64_t now_ns = call->req->now_ns;
	bool beside = call->has_export && call->export.beside;
	struct br_nfs_seen *seen;
	int what;

	if (!opt->ops->trouble || !call->core->clients)
		return;
	seen = br_nfs_clients_seen(call->core->clients, call->req->ip, now_ns);
	what = beside ? of_status(call->status) : look(call, seen);
	if (what < 0 || (seen->told_ns[beside][what] && now_ns - seen->told_ns[beside][what] < AGAIN_NS))
		return;
	seen->told_ns[beside][what] = now_ns;
	opt->ops->trouble(opt->ctx, call->req->ip, (enum br_nfs_trouble)what, call->has_export ? &call->export : NULL);
}
