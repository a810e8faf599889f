/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The receiver's sockets: not blocking, with words for why they cannot be had. */

/* interface may be NULL. With the times of arrival, the count of what was dropped, and a large buffer. */
int br_syslog_udp(uint32_t ip, uint16_t port, const char *interface, const char *what, struct br_error *err);
int br_syslog_tcp(uint32_t ip, uint16_t port, const char *what, struct br_error *err);
/* The port a socket is bound to; 0 for none. */
uint16_t br_syslog_port_of(int fd);

/* Datagrams, many at once. */
struct br_datagrams;
struct br_datagram {
	uint32_t ip;
	uint16_t port;
	const char *data;
	size_t n;
	uint64_t wall_ns; /* of its arrival; 0: not told */
};
struct br_datagrams *br_datagrams_new(void);
void br_datagrams_free(struct br_datagrams *d);
/* How many there are now, 0: none; a negative errno. *ret_dropped: what the socket says it dropped in all, untouched where it
 * does not. */
int br_datagrams_receive(struct br_datagrams *d, int fd, uint32_t *ret_dropped);
/* The i-th of them, until the next call. */
void br_datagrams_get(const struct br_datagrams *d, unsigned i, struct br_datagram *ret);
