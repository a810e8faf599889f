/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nfs/clients.h"
#include "nfs/drc.h"
#include "nfs/server.h"
#include "wire/rpc.h"

/*
 * The server without sockets: one RPC message in, one reply out. A reply to a call that changed
 * something is held until br_nfs_core_commit(), which makes the changes of all calls since the last
 * one stable with one commit per file system and then hands the replies out. Not thread-safe: one
 * core belongs to one thread.
 */

#define BR_NFS_IO_MAX (1u << 20) /* bytes in one READ or WRITE */
/* What a call may have: a WRITE of the greatest size, and room for the head, credentials, handle
 * and names. */
#define BR_NFS_CALL_MAX (BR_NFS_IO_MAX + 4096)

enum br_nfs_service { /* what is spoken at a port */
	BR_NFS_PORTMAP = 1,
	BR_NFS_MOUNT = 2,
	BR_NFS_NFS = 4,
};

struct br_nfs_request {
	uint32_t ip;       /* the client's */
	uint16_t port;     /* the client's */
	uint32_t local_ip; /* where it reached us */
	unsigned services; /* enum br_nfs_service */
	const uint8_t *data;
	size_t len;
	uint64_t now_ns;
	uint64_t wall_ns; /* for 'set to server time' */
};

struct br_nfs_reply {
	struct br_nfs_reply *next; /* for lists of who owns it */
	void *owner;               /* of who called, for br_nfs_core_commit() */
	size_t len;                /* of data, with the record mark */
	/* for a held one */
	uint32_t xid, procedure;
	struct br_nfs_drc_token drc;
	uint8_t data[]; /* begins with BR_RPC_MARK_SIZE bytes of record mark, for streams */
};

struct br_nfs_core {
	struct br_nfs_options opt;
	uint16_t nfs_port, mount_port; /* as bound, for the port mapper */
	uint8_t verifier_key[16];      /* random per start */
	uint64_t n_lost; /* failed commits: unstable data may be gone, so write verifiers change */
	struct br_nfs_drc *drc;
	struct br_nfs_clients *clients;
	struct br_nfs_batch *batches; /* file systems with replies held */
};

/* opt is copied; opt->ops must outlive the core. */
int br_nfs_core_init(struct br_nfs_core *core, const struct br_nfs_options *opt);
/* Nothing may be held. */
void br_nfs_core_done(struct br_nfs_core *core);

enum br_nfs_answer {
	BR_NFS_REPLY = 0, /* *ret is the caller's: free() */
	BR_NFS_HELD = 1,  /* comes out of br_nfs_core_commit(); *ret may be given an owner, and is
			     not the caller's */
	BR_NFS_SILENT =
		2, /* none: a duplicate of a call that is being worked on, or one nobody answers */
};

/* An enum br_nfs_answer, -EBADMSG (no call: close the connection), or -ENOMEM. */
int br_nfs_core_call(
	struct br_nfs_core *core, const struct br_nfs_request *req, struct br_nfs_reply **ret);
/* Hands every held reply to 'done', which owns it then. */
void br_nfs_core_commit(
	struct br_nfs_core *core, void (*done)(void *ctx, struct br_nfs_reply *reply), void *ctx);
/* Reports the activity of clients: to be called once a second while some is due. */
bool br_nfs_core_report_due(const struct br_nfs_core *core);
void br_nfs_core_report(struct br_nfs_core *core, uint64_t now_ns);
