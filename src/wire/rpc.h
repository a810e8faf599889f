/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/bytes.h"

/* ONC RPC version 2 (RFC 5531): the head of calls and replies, AUTH_NONE and AUTH_SYS, record
 * marking. */

enum br_rpc_program {
	BR_RPC_PORTMAP = 100000,
	BR_RPC_NFS = 100003,
	BR_RPC_MOUNT = 100005,
	BR_RPC_NFSACL = 100227,
};

enum br_rpc_flavor {
	BR_RPC_AUTH_NONE = 0,
	BR_RPC_AUTH_SYS = 1,
};

enum br_rpc_accept {
	BR_RPC_SUCCESS = 0,
	BR_RPC_PROG_UNAVAIL = 1,
	BR_RPC_PROG_MISMATCH = 2,
	BR_RPC_PROC_UNAVAIL = 3,
	BR_RPC_GARBAGE_ARGS = 4,
	BR_RPC_SYSTEM_ERR = 5,
};

enum br_rpc_auth_error {
	BR_RPC_AUTH_BADCRED = 1,
	BR_RPC_AUTH_BADVERF = 3,
	BR_RPC_AUTH_TOOWEAK = 5,
};

#define BR_RPC_AUTH_MAX 400 /* bytes of a credential or verifier */
#define BR_RPC_GIDS_MAX 16
#define BR_RPC_NOBODY   65534 /* who AUTH_NONE is */

struct br_rpc_cred {
	uint32_t flavor; /* enum br_rpc_flavor */
	uint32_t uid, gid;
	uint32_t n_gids;
	uint32_t gids[BR_RPC_GIDS_MAX];
};

struct br_rpc_call {
	uint32_t xid, program, version, procedure;
	struct br_rpc_cred cred;
};

/* What is wrong with a call that is one, and has to be answered so. */
enum br_rpc_decoded {
	BR_RPC_BAD_VERSION = 1, /* br_rpc_put_rpc_mismatch() */
	BR_RPC_BAD_CRED = 2,    /* br_rpc_put_auth_error() with AUTH_BADCRED */
	BR_RPC_BAD_VERF = 3,    /* br_rpc_put_auth_error() with AUTH_BADVERF */
};

/* Reads the head; r then stands at the arguments. 0, an enum br_rpc_decoded (xid is valid), or
 * -EBADMSG for what is no call at all and gets no answer. */
int br_rpc_get_call(struct br_reader *r, struct br_rpc_call *ret);
/* For clients (tests, virtual boards). */
void br_rpc_put_call(struct br_writer *w, const struct br_rpc_call *call);

/* The head of an accepted reply; results follow when accept is SUCCESS. */
void br_rpc_put_accepted(struct br_writer *w, uint32_t xid, enum br_rpc_accept accept);
void br_rpc_put_prog_mismatch(struct br_writer *w, uint32_t xid, uint32_t low, uint32_t high);
void br_rpc_put_rpc_mismatch(struct br_writer *w, uint32_t xid);
void br_rpc_put_auth_error(struct br_writer *w, uint32_t xid, enum br_rpc_auth_error error);
/* Bytes of br_rpc_put_accepted(). */
#define BR_RPC_ACCEPTED_SIZE 24

/* Record marking (RFC 5531, 11): each fragment on a stream begins with four bytes. */
#define BR_RPC_MARK_SIZE 4

static inline void br_rpc_store_mark(void *p, uint32_t len, bool last)
{
	br_store_be32(p, len | (last ? 1u << 31 : 0));
}

static inline uint32_t br_rpc_load_mark(const void *p, bool *ret_last)
{
	uint32_t v = br_load_be32(p);

	*ret_last = v >> 31;
	return v & 0x7fffffff;
}
