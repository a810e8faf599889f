/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of the DHCP server; not for others. */
#include "dhcp/server.h"
#include "wire/dhcp.h"

#define BR_DHCP_MAX_FOREIGN 8

/* mode.c: who else is here, and what that means for us. */
struct br_dhcp_modes {
	uint64_t started_ns;	/* first tick */
	uint64_t next_probe_ns; /* 0: the first tick sends it */
	unsigned n_probes;	/* sent so far */
	uint64_t decide_ns;	/* 0: decided, or nothing to decide */
	bool yields;		/* another bramble is deciding just now, and goes first */
	struct br_dhcp_seen {
		uint32_t ip;
		struct br_mac mac;
		uint64_t told_ns; /* 0: free */
	} seen[BR_DHCP_MAX_FOREIGN];
};

struct br_dhcp_server {
	struct br_dhcp_options opt;
	struct br_dhcp_modes modes;
	/* scratch of one call: the server is used by one thread at a time */
	struct br_dhcp_message msg;
	struct br_dhcp_client client;
	bool held;   /* its turn comes later */
	bool stored; /* what is answered now rests on what was stored */
	uint32_t id; /* what this client knows us by: our address, or what its relay says */
	const struct br_dhcp_subnet *subnet; /* it is on this one; NULL: on ours */
};

/* mode.c: whether a DISCOVER is the probe of a bramble; ours is not to be answered. */
bool br_dhcp_is_own_probe(struct br_dhcp_server *s);

/* Giving addresses, and nobody else was heard of since long: then what we do not know is wrong. */
bool br_dhcp_is_authority(const struct br_dhcp_server *s, uint64_t now_ns);

/* reply.c: the packet for a client of this kind, and where it goes. Return 1, or 0 when it cannot be built (a client
 * that takes less than our least). grant may be NULL for an INFORM from an address that we did not give. */
int br_dhcp_reply_grant(const struct br_dhcp_server *s, uint8_t type, const struct br_dhcp_grant *grant,
	struct br_dhcp_reply *reply);
/* The boot part alone, for a client that gets its address from another server. type: OFFER, or ACK on port 4011. */
int br_dhcp_reply_proxy(const struct br_dhcp_server *s, uint8_t type, const struct br_dhcp_grant *grant,
	struct br_dhcp_reply *reply);
int br_dhcp_reply_nak(const struct br_dhcp_server *s, const char *reason, struct br_dhcp_reply *reply);
