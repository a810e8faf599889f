/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nfs/clients.h"
#include "nfs/drc.h"
#include "nfs/server.h"
#include "wire/rpc.h"

/*
 * The server without sockets: one RPC message in, one reply out. A reply to a call that changed
 * something is held in the batch of its file system until a commit has made the changes of all the
 * batch stable. What may take long can be done in other threads: the commit of a batch
 * (br_nfs_batch_commit()), and what a call answered with BR_NFS_LATER needs first
 * (br_nfs_slow_run()). All else belongs to one thread.
 *
 * A client must always come to the same core: the duplicate request cache is there.
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
	void *owner;               /* of who called, for br_nfs_core_finish() */
	size_t len;                /* of all, with the record mark */
	size_t data_len;           /* of data; behind it come the tail's pieces and padding to len */
	struct br_fs_map *tail;    /* bytes of a file, sent from where they lie; NULL: none */
	/* for a held one */
	uint32_t xid, procedure;
	struct br_nfs_drc_token drc;
	uint8_t data[]; /* begins with BR_RPC_MARK_SIZE bytes of record mark, for streams */
};

/* Frees what it holds too. NULL is fine. */
void br_nfs_reply_free(struct br_nfs_reply *reply);

/* What a call needs that may take long: all of it (MNT), or finding its export. */
struct br_nfs_slow {
	bool whole;
	uint32_t ip;
	uint8_t id[16];
	int r; /* of br_nfs_core_call() or of the operation 'find' */
	struct br_nfs_reply *reply;
	bool has_export;
	struct br_nfs_export export;
};

struct br_nfs_core {
	struct br_nfs_options opt;
	uint16_t nfs_port, mount_port; /* as bound, for the port mapper */
	uint8_t verifier_key[16];      /* random per start */
	/* failed commits: unstable data may be gone, so write verifiers change. All cores of a server
	 * count in one place */
	atomic_uint_least64_t own_lost, *n_lost;
	struct br_nfs_drc *drc; /* these two NULL: MOUNT only */
	struct br_nfs_clients *clients;
	struct br_nfs_batch *batches; /* file systems with replies held, and commits under way */
	bool defer;                   /* answer BR_NFS_LATER rather than do slow work */
	struct br_nfs_slow slow;      /* what the last BR_NFS_LATER needs */
	struct br_nfs_slow *found;    /* during br_nfs_slow_finish() */
};

/* opt is copied; opt->ops must outlive the core. */
int br_nfs_core_init(struct br_nfs_core *core, const struct br_nfs_options *opt);
/* One more core of the same server; 'first' outlives it. */
int br_nfs_core_join(struct br_nfs_core *core, struct br_nfs_core *first);
/* Nothing may be held. */
void br_nfs_core_done(struct br_nfs_core *core);

enum br_nfs_answer {
	BR_NFS_REPLY = 0, /* *ret is the caller's: br_nfs_reply_free() */
	BR_NFS_HELD = 1,  /* comes out of br_nfs_core_finish(); *ret may be given an owner, and is
			     not the caller's */
	BR_NFS_SILENT =
		2, /* none: a duplicate of a call that is being worked on, or one nobody answers */
	BR_NFS_LATER = 3, /* core->slow first */
};

/* An enum br_nfs_answer, -EBADMSG (no call: close the connection), or -ENOMEM. */
int br_nfs_core_call(
	struct br_nfs_core *core, const struct br_nfs_request *req, struct br_nfs_reply **ret);
/* In any thread: what slow asks for, for the request of that call (which must be kept). */
void br_nfs_slow_run(const struct br_nfs_core *core, const struct br_nfs_request *req, struct br_nfs_slow *slow);
/* The call again, with what it needed; as br_nfs_core_call(), never BR_NFS_LATER. */
int br_nfs_slow_finish(struct br_nfs_core *core, const struct br_nfs_request *req, struct br_nfs_slow *slow,
	struct br_nfs_reply **ret);

/* A batch to be committed, whose file system has no other commit of this core under way; NULL: none. */
struct br_nfs_batch *br_nfs_core_take(struct br_nfs_core *core);
/* In any thread. */
void br_nfs_batch_commit(struct br_nfs_batch *batch);
/* Hands every reply of the batch to 'done', which owns it then. */
void br_nfs_core_finish(struct br_nfs_core *core, struct br_nfs_batch *batch,
	void (*done)(void *ctx, struct br_nfs_reply *reply), void *ctx);
/* All three for all that is held, here and now. */
void br_nfs_core_commit(
	struct br_nfs_core *core, void (*done)(void *ctx, struct br_nfs_reply *reply), void *ctx);
/* Reports the activity of clients: to be called once a second while some is due. */
bool br_nfs_core_report_due(const struct br_nfs_core *core);
void br_nfs_core_report(struct br_nfs_core *core, uint64_t now_ns);
