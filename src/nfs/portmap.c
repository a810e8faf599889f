/* SPDX-License-Identifier: Apache-2.0 */
/* The port mapper: says where NFS and MOUNT are. Registers nothing, forwards nothing. */
#include "wire/portmap.h"
#include "base/cleanup.h"
#include "nfs/call.h"
#include "wire/xdr.h"

#define N_MAPPINGS   11
#define PORTMAP_PORT 111

static unsigned mappings(
	const struct br_nfs_call *call, struct br_portmap_mapping out[static N_MAPPINGS])
{
	static const uint32_t transports[] = { BR_PORTMAP_TCP, BR_PORTMAP_UDP };
	unsigned n = 0;

	for (unsigned t = 0; t < BR_ARRAY_SIZE(transports); t++) {
		for (uint32_t v = 2; v <= 4; v++)
			out[n++] = (struct br_portmap_mapping){ BR_RPC_PORTMAP, v, transports[t],
				PORTMAP_PORT };
		out[n++] = (struct br_portmap_mapping){ BR_RPC_MOUNT, 3, transports[t],
			call->core->mount_port };
		out[n++] = (struct br_portmap_mapping){ BR_RPC_MOUNT, 1, transports[t],
			call->core->mount_port };
	}
	out[n++] =
		(struct br_portmap_mapping){ BR_RPC_NFS, 3, BR_PORTMAP_TCP, call->core->nfs_port };
	return n;
}

/* As rpcbind: a version that is not here gets the port of one that is, and PROG_MISMATCH there. */
static uint16_t port_of(const struct br_nfs_call *call, const struct br_portmap_mapping *want)
{
	struct br_portmap_mapping all[N_MAPPINGS];
	unsigned n = mappings(call, all);
	uint32_t port = 0;

	for (unsigned i = 0; i < n; i++)
		if (all[i].program == want->program && all[i].protocol == want->protocol)
			port = all[i].port;
	return (uint16_t)port;
}

static int null(struct br_nfs_call *call)
{
	return 0;
}

static int refuse(struct br_nfs_call *call)
{
	br_put_be32(&call->out, false);
	return 0;
}

static int silent(struct br_nfs_call *call)
{
	return BR_NFS_RUN_SILENT;
}

static int getport(struct br_nfs_call *call)
{
	struct br_portmap_mapping want;

	if (br_portmap_get_mapping(&call->in, &want) < 0)
		return BR_RPC_GARBAGE_ARGS;
	br_put_be32(&call->out, port_of(call, &want));
	return 0;
}

static int getaddr(struct br_nfs_call *call)
{
	struct br_portmap_mapping want;
	char uaddr[BR_RPCBIND_UADDR];
	uint16_t port;

	if (br_rpcbind_get_binding(&call->in, &want) < 0)
		return BR_RPC_GARBAGE_ARGS;
	port = port_of(call, &want);
	br_xdr_put_string(
		&call->out, port ? br_rpcbind_uaddr(uaddr, call->req->local_ip, port) : "");
	return 0;
}

static int dump(struct br_nfs_call *call)
{
	struct br_portmap_mapping all[N_MAPPINGS];
	unsigned n = mappings(call, all);

	for (unsigned i = 0; i < n; i++) {
		br_put_be32(&call->out, true);
		br_portmap_put_mapping(&call->out, &all[i]);
	}
	br_put_be32(&call->out, false);
	return 0;
}

static int rpcbind_dump(struct br_nfs_call *call)
{
	struct br_portmap_mapping all[N_MAPPINGS];
	unsigned n = mappings(call, all);

	for (unsigned i = 0; i < n; i++) {
		char uaddr[BR_RPCBIND_UADDR];

		br_put_be32(&call->out, true);
		br_put_be32(&call->out, all[i].program);
		br_put_be32(&call->out, all[i].version);
		br_xdr_put_string(&call->out, br_rpcbind_netid(all[i].protocol));
		br_xdr_put_string(&call->out,
			br_rpcbind_uaddr(uaddr, call->req->local_ip, (uint16_t)all[i].port));
		br_xdr_put_string(&call->out, "bramble");
	}
	br_put_be32(&call->out, false);
	return 0;
}

static int get_time(struct br_nfs_call *call)
{
	br_put_be32(&call->out, (uint32_t)(call->req->wall_ns / 1000000000));
	return 0;
}

int br_nfs_portmap_run(struct br_nfs_call *call)
{
	static int (*const version2[])(struct br_nfs_call * call) = {
		[BR_PORTMAP_NULL] = null,
		[BR_PORTMAP_SET] = refuse,
		[BR_PORTMAP_UNSET] = refuse,
		[BR_PORTMAP_GETPORT] = getport,
		[BR_PORTMAP_DUMP] = dump,
		[BR_PORTMAP_CALLIT] = silent,
	};
	static int (*const rpcbind[])(struct br_nfs_call * call) = {
		[BR_PORTMAP_NULL] = null,
		[BR_PORTMAP_SET] = refuse,
		[BR_PORTMAP_UNSET] = refuse,
		[BR_PORTMAP_GETPORT] = getaddr,
		[BR_PORTMAP_DUMP] = rpcbind_dump,
		[BR_PORTMAP_CALLIT] = silent,
		[BR_RPCBIND_GETTIME] = get_time,
		[BR_RPCBIND_GETVERSADDR] = getaddr,
	};
	uint32_t p = call->rpc.procedure;

	if (call->rpc.version == 2) {
		if (p < BR_ARRAY_SIZE(version2))
			return version2[p](call);
	} else if (p < BR_ARRAY_SIZE(rpcbind) && rpcbind[p]) {
		return rpcbind[p](call);
	}
	return BR_RPC_PROC_UNAVAIL;
}
