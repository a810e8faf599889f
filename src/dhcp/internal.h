/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of the DHCP server; not for others. */
#include "dhcp/server.h"
#include "wire/dhcp.h"

struct br_dhcp_server {
	struct br_dhcp_options opt;
	/* scratch of one call: the server is used by one thread at a time */
	struct br_dhcp_message msg;
	struct br_dhcp_client client;
};

/* classify.c: who sent this. */
void br_dhcp_classify(const struct br_dhcp_message *m, struct br_dhcp_client *ret);

/* reply.c: the packet for a client of this kind, and where it goes. Return 1, or 0 when it cannot be built (a client
 * that takes less than our least). grant may be NULL for an INFORM from an address that we did not give. */
int br_dhcp_reply_grant(const struct br_dhcp_server *s, uint8_t type, const struct br_dhcp_grant *grant,
	struct br_dhcp_reply *reply);
int br_dhcp_reply_nak(const struct br_dhcp_server *s, const char *reason, struct br_dhcp_reply *reply);
