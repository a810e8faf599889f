/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "dhcp/server.h"

/*
 * The sockets of the DHCP server on one interface: requests come in on UDP port 67; replies to clients
 * without an address leave as whole frames, since those answer no ARP. No thread: the caller's loop waits
 * for br_dhcp_io_fd() to become readable and calls br_dhcp_io_dispatch(). Rights (root, or CAP_NET_RAW
 * and CAP_NET_BIND_SERVICE) are needed to open only.
 */
struct br_dhcp_io;

struct br_dhcp_io_stats {
	uint64_t received; /* packets on port 67 */
	uint64_t bad;	   /* of these: no DHCP request */
	uint64_t replies;  /* sent */
	uint64_t nudges;   /* sent */
	uint64_t failed;   /* replies and nudges that the kernel refused */
	int failed_errno;  /* of the last one, positive */
	uint64_t dropped;  /* by the kernel: the receive buffer was full */
	uint64_t probes;   /* sent: is another server here? */
	uint64_t foreign;  /* replies of other servers seen */
	uint64_t arps;	   /* questions sent */
	uint64_t followed; /* times that the interface was made anew, and the sockets bound to it again */
	int follow_errno;  /* why that failed the last time, positive; 0: it did not */
	uint64_t unstored; /* replies that were not sent, since what they say could not be stored */
	struct br_error pxe_trouble; /* port 4011 could not be had: UEFI and iPXE behind a foreign server miss it */
};

/* The interface must exist, be up, an Ethernet, and have the server's address. Words for each of these, for a port that
 * is taken (naming who has it) and for missing rights. The server is borrowed. */
int br_dhcp_io_open(const char *interface, struct br_dhcp_server *server, struct br_dhcp_io **ret,
	struct br_error *err);
void br_dhcp_io_close(struct br_dhcp_io *io);
/* The index of the interface as it is served now. */
unsigned br_dhcp_io_ifindex(const struct br_dhcp_io *io);
/* Readable when there is something to dispatch: packets or a timer. Level-triggered. */
int br_dhcp_io_fd(const struct br_dhcp_io *io);
/* Serves a bounded number of packets (so that others in the loop get their turn) and what timers are due. Returns how
 * many packets there were, or a negative errno when the socket failed (-ENETDOWN: the interface went down; dispatch may
 * be called again). */
int br_dhcp_io_dispatch(struct br_dhcp_io *io, uint64_t now_ns);
/* What has this ticket of ops->commit, and all before it, is stable (r 0), or lost (r negative): the replies that wait for
 * it leave with the next dispatch, or never. From any thread. */
void br_dhcp_io_stable(struct br_dhcp_io *io, uint64_t ticket, int r);
/*
 * Handles requests once more that were held: of the clients that next() names, until it names none. Those who would not
 * listen any more are passed over.
 */
void br_dhcp_io_resume(struct br_dhcp_io *io, bool (*next)(void *ctx, struct br_mac *ret), void *ctx, uint64_t now_ns);
/* Asks by ARP whether somebody has an address; the answer comes by ops->arp. */
void br_dhcp_io_ask(struct br_dhcp_io *io, uint32_t ip);
const struct br_dhcp_io_stats *br_dhcp_io_stats(const struct br_dhcp_io *io);
