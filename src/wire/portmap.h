/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/bytes.h"

/* The port mapper, version 2, and rpcbind versions 3 and 4 (RFC 1833) as far as boot clients use
 * them. */

enum br_portmap_proc {
	BR_PORTMAP_NULL = 0,
	BR_PORTMAP_SET = 1,
	BR_PORTMAP_UNSET = 2,
	BR_PORTMAP_GETPORT = 3, /* GETADDR in versions 3 and 4 */
	BR_PORTMAP_DUMP = 4,
	BR_PORTMAP_CALLIT = 5, /* answered by nobody: it reflects traffic */
	BR_RPCBIND_GETTIME = 6,
	BR_RPCBIND_GETVERSADDR = 9,
};

enum br_portmap_protocol {
	BR_PORTMAP_TCP = 6,
	BR_PORTMAP_UDP = 17,
};

struct br_portmap_mapping {
	uint32_t program, version, protocol, port;
};

/* Version 2: arguments of GETPORT, SET and UNSET. -EBADMSG. */
int br_portmap_get_mapping(struct br_reader *r, struct br_portmap_mapping *ret);
void br_portmap_put_mapping(struct br_writer *w, const struct br_portmap_mapping *mapping);

/* Versions 3 and 4: arguments of GETADDR. protocol: from "tcp" and "udp", 0 for others; port is not
 * set. -EBADMSG. */
int br_rpcbind_get_binding(struct br_reader *r, struct br_portmap_mapping *ret);
/* "udp", "tcp", or "" */
const char *br_rpcbind_netid(uint32_t protocol);
#define BR_RPCBIND_UADDR 24 /* "255.255.255.255.255.255" and NUL */
/* Universal address: the four numbers of ip and the two of port. */
const char *br_rpcbind_uaddr(char out[static BR_RPCBIND_UADDR], uint32_t ip, uint16_t port);
