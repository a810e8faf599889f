/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Duplicate request cache: a client that got no answer (a broken connection, say) sends a call
 * again with the same xid; one that may be done only once (REMOVE, exclusive CREATE ...) gets the
 * first answer again. Bounded: the oldest answers are forgotten first.
 */
struct br_nfs_drc;

struct br_nfs_drc_key {
	uint32_t xid, ip;
	uint16_t port;
	uint32_t check; /* of the call's bytes */
};

/* An entry by place and life: it may have been forgotten meanwhile. 0: none. */
struct br_nfs_drc_token {
	uint32_t slot;
	uint64_t life;
};

#define BR_NFS_DRC_REPLY_MAX                                                                       \
	512 /* bytes; longer replies are not kept, and no procedure that is cached has them */

/* n_entries: a power of two. NULL: out of memory. */
struct br_nfs_drc *br_nfs_drc_new(unsigned n_entries);
void br_nfs_drc_free(struct br_nfs_drc *drc);

/* The call's check, over its first bytes and length. */
uint32_t br_nfs_drc_check(const void *data, size_t len);

enum br_nfs_drc_result {
	BR_NFS_DRC_NEW,  /* not seen: *ret_token is to be finished or dropped */
	BR_NFS_DRC_BUSY, /* the first one is not answered yet */
	BR_NFS_DRC_DONE, /* *ret_reply, owned by the cache until its next use */
};
enum br_nfs_drc_result br_nfs_drc_begin(struct br_nfs_drc *drc, const struct br_nfs_drc_key *key,
	uint64_t now_ns, struct br_nfs_drc_token *ret_token, const void **ret_reply,
	size_t *ret_len);
/* Keeps the answer. Without memory the entry is dropped. */
void br_nfs_drc_finish(
	struct br_nfs_drc *drc, struct br_nfs_drc_token token, const void *reply, size_t len);
void br_nfs_drc_drop(struct br_nfs_drc *drc, struct br_nfs_drc_token token);
