/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/portmap.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "wire/xdr.h"

#define STRING_MAX 256 /* of netid, address and owner; none that is real comes near */

static const struct {
	const char *netid;
	uint32_t protocol;
} netids[] = {
	{ "tcp", BR_PORTMAP_TCP },
	{ "udp", BR_PORTMAP_UDP },
};

int br_portmap_get_mapping(struct br_reader *r, struct br_portmap_mapping *ret)
{
	struct br_portmap_mapping m;

	m.program = br_get_be32(r);
	m.version = br_get_be32(r);
	m.protocol = br_get_be32(r);
	m.port = br_get_be32(r);
	if (r->failed)
		return -EBADMSG;
	*ret = m;
	return 0;
}

void br_portmap_put_mapping(struct br_writer *w, const struct br_portmap_mapping *mapping)
{
	br_put_be32(w, mapping->program);
	br_put_be32(w, mapping->version);
	br_put_be32(w, mapping->protocol);
	br_put_be32(w, mapping->port);
}

int br_rpcbind_get_binding(struct br_reader *r, struct br_portmap_mapping *ret)
{
	struct br_portmap_mapping m = { 0 };
	uint32_t n_netid = 0, n;
	const uint8_t *netid;

	m.program = br_get_be32(r);
	m.version = br_get_be32(r);
	netid = br_xdr_get_opaque(r, STRING_MAX, &n_netid);
	br_xdr_get_opaque(r, STRING_MAX, &n); /* address: a hint */
	br_xdr_get_opaque(r, STRING_MAX, &n); /* owner */
	if (r->failed)
		return -EBADMSG;
	for (size_t i = 0; i < BR_ARRAY_SIZE(netids); i++)
		if (n_netid == strlen(netids[i].netid) && !memcmp(netid, netids[i].netid, n_netid))
			m.protocol = netids[i].protocol;
	*ret = m;
	return 0;
}

const char *br_rpcbind_netid(uint32_t protocol)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(netids); i++)
		if (netids[i].protocol == protocol)
			return netids[i].netid;
	return "";
}

const char *br_rpcbind_uaddr(char out[static BR_RPCBIND_UADDR], uint32_t ip, uint16_t port)
{
	snprintf(out, BR_RPCBIND_UADDR, "%u.%u.%u.%u.%u.%u", ip >> 24, ip >> 16 & 255,
		ip >> 8 & 255, ip & 255, port >> 8u, port & 255u);
	return out;
}
