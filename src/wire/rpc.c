/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/rpc.h"

#include <errno.h>

#include "wire/xdr.h"

enum {
	MSG_CALL = 0,
	MSG_REPLY = 1,
	REPLY_ACCEPTED = 0,
	REPLY_DENIED = 1,
	DENIED_RPC_MISMATCH = 0,
	DENIED_AUTH_ERROR = 1,
	RPC_VERSION = 2,
};

#define MACHINE_NAME_MAX 255 /* RFC 5531, appendix A */

static int get_auth_sys(const uint8_t *body, uint32_t len, struct br_rpc_cred *ret)
{
	struct br_reader r = br_reader_of(body, len);
	uint32_t n;

	br_get_be32(&r); /* stamp */
	br_xdr_get_opaque(&r, MACHINE_NAME_MAX, &n);
	ret->uid = br_get_be32(&r);
	ret->gid = br_get_be32(&r);
	ret->n_gids = br_get_be32(&r);
	if (r.failed || ret->n_gids > BR_RPC_GIDS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0; i < ret->n_gids; i++)
		ret->gids[i] = br_get_be32(&r);
	return r.failed ? -EBADMSG : 0;
}

static int get_cred(uint32_t flavor, const uint8_t *body, uint32_t len, struct br_rpc_cred *ret)
{
	*ret = (struct br_rpc_cred){ .flavor = flavor, .uid = BR_RPC_NOBODY, .gid = BR_RPC_NOBODY };
	switch (flavor) {
	case BR_RPC_AUTH_NONE:
		return 0;
	case BR_RPC_AUTH_SYS:
		return get_auth_sys(body, len, ret);
	}
	return -EBADMSG;
}

int br_rpc_get_call(struct br_reader *r, struct br_rpc_call *ret)
{
	struct br_rpc_call call = { .xid = br_get_be32(r) };
	uint32_t type = br_get_be32(r), version = br_get_be32(r);
	uint32_t flavor, n_cred = 0, n_verf = 0, verf_flavor;
	const uint8_t *cred;

	if (r->failed || type != MSG_CALL)
		return -EBADMSG;
	if (version != RPC_VERSION) {
		*ret = call;
		return BR_RPC_BAD_VERSION;
	}
	call.program = br_get_be32(r);
	call.version = br_get_be32(r);
	call.procedure = br_get_be32(r);
	flavor = br_get_be32(r);
	cred = br_xdr_get_opaque(r, BR_RPC_AUTH_MAX, &n_cred);
	verf_flavor = br_get_be32(r);
	br_xdr_get_opaque(r, BR_RPC_AUTH_MAX, &n_verf);
	if (r->failed)
		return -EBADMSG;
	if (get_cred(flavor, cred, n_cred, &call.cred) < 0) {
		*ret = call;
		return BR_RPC_BAD_CRED;
	}
	*ret = call;
	return verf_flavor != BR_RPC_AUTH_NONE || n_verf ? BR_RPC_BAD_VERF : 0;
}

void br_rpc_put_call(struct br_writer *w, const struct br_rpc_call *call)
{
	static const char machine[] = "bramble";
	const struct br_rpc_cred *cred = &call->cred;

	br_put_be32(w, call->xid);
	br_put_be32(w, MSG_CALL);
	br_put_be32(w, RPC_VERSION);
	br_put_be32(w, call->program);
	br_put_be32(w, call->version);
	br_put_be32(w, call->procedure);
	br_put_be32(w, cred->flavor);
	if (cred->flavor == BR_RPC_AUTH_SYS) {
		br_put_be32(w, 4 + 4 + 8 + 12 + 4 * cred->n_gids);
		br_put_be32(w, 0);
		br_xdr_put_string(w, machine);
		br_put_be32(w, cred->uid);
		br_put_be32(w, cred->gid);
		br_put_be32(w, cred->n_gids);
		for (uint32_t i = 0; i < cred->n_gids; i++)
			br_put_be32(w, cred->gids[i]);
	} else {
		br_put_be32(w, 0);
	}
	br_put_be64(w, 0); /* verifier: AUTH_NONE, empty */
}

void br_rpc_put_accepted(struct br_writer *w, uint32_t xid, enum br_rpc_accept accept)
{
	br_put_be32(w, xid);
	br_put_be32(w, MSG_REPLY);
	br_put_be32(w, REPLY_ACCEPTED);
	br_put_be64(w, 0); /* verifier: AUTH_NONE, empty */
	br_put_be32(w, accept);
}

void br_rpc_put_prog_mismatch(struct br_writer *w, uint32_t xid, uint32_t low, uint32_t high)
{
	br_rpc_put_accepted(w, xid, BR_RPC_PROG_MISMATCH);
	br_put_be32(w, low);
	br_put_be32(w, high);
}

static void put_denied(struct br_writer *w, uint32_t xid, uint32_t why)
{
	br_put_be32(w, xid);
	br_put_be32(w, MSG_REPLY);
	br_put_be32(w, REPLY_DENIED);
	br_put_be32(w, why);
}

void br_rpc_put_rpc_mismatch(struct br_writer *w, uint32_t xid)
{
	put_denied(w, xid, DENIED_RPC_MISMATCH);
	br_put_be32(w, RPC_VERSION);
	br_put_be32(w, RPC_VERSION);
}

void br_rpc_put_auth_error(struct br_writer *w, uint32_t xid, enum br_rpc_auth_error error)
{
	put_denied(w, xid, DENIED_AUTH_ERROR);
	br_put_be32(w, error);
}
