/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nfs/server.h"

/* What each client has read and written so far, for timelines. Bounded: the client longest silent
 * is forgotten first. */
struct br_nfs_clients;

typedef void br_nfs_clients_fn(void *ctx, uint32_t ip, uint64_t reads, uint64_t read_bytes,
	uint64_t writes, uint64_t written_bytes);

struct br_nfs_clients *br_nfs_clients_new(void);
void br_nfs_clients_free(struct br_nfs_clients *clients);
/* Counts one READ or WRITE; the first of each kind is reported at once, through fn. */
void br_nfs_clients_count(struct br_nfs_clients *clients, uint32_t ip, bool write, uint64_t bytes,
	uint64_t now_ns, br_nfs_clients_fn *fn, void *ctx);
/* What the answers since its last mount show of a client; valid until the next call for another one. */
struct br_nfs_seen {
	unsigned n_reads, n_pages; /* pages: READs of 4096 bytes */
	uint64_t longest;	   /* READ, bytes */
	uint64_t told_ns[2][BR_NFS_N_TROUBLES]; /* of its root, of what is beside it */
};
struct br_nfs_seen *br_nfs_clients_seen(struct br_nfs_clients *clients, uint32_t ip, uint64_t now_ns);
/* True once in ten seconds per client: a refusal may be told. */
bool br_nfs_clients_may_tell(struct br_nfs_clients *clients, uint32_t ip, uint64_t now_ns);
bool br_nfs_clients_report_due(const struct br_nfs_clients *clients);
/* Reports clients whose numbers changed, each at most once a second. */
void br_nfs_clients_report(
	struct br_nfs_clients *clients, uint64_t now_ns, br_nfs_clients_fn *fn, void *ctx);
