/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>

#include "tftp/server.h"

/*
 * Datagrams on their way out: collected, then sent with one sendmmsg(). Neighbours of one size to one peer, as a
 * window makes them (RFC 7440), become one message that the kernel cuts (UDP_SEGMENT): it walks the network
 * stack once for all of them. Payload is not copied; it must stay until the flush.
 *
 * Where there is a packet socket too, single datagrams to a peer whose link is known leave by it as whole frames.
 * That is a third cheaper: no route is looked up, no neighbour, no firewall asked. The first datagram of a transfer,
 * one every half second and all after a lost one take the socket's way (struct br_tftp_peer says when).
 */
struct br_tftp_outbox;

/* Counters of the worker's thread, read by others: with one writer no locked instruction is needed. */
static inline void br_tftp_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* bound: the socket has one address, so that the source of a reply need not be told. The fd stays the caller's. */
int br_tftp_outbox_new(int fd, bool bound, struct br_tftp_outbox **ret);
/* Frames may go out by this packet socket (PACKET_VNET_HDR is set), as from this UDP port. It stays the caller's. */
void br_tftp_outbox_set_frames(struct br_tftp_outbox *box, int packet_fd, uint16_t port);
void br_tftp_outbox_free(struct br_tftp_outbox *box);
/* May flush when full. Arguments as of br_tftp_ops.send. */
void br_tftp_outbox_add(struct br_tftp_outbox *box, const struct br_tftp_peer *peer, const void *head,
	size_t head_len, const struct br_span *payload, size_t n);
/* Sends all. What cannot be sent is counted as lost: the transfers' timers send it again. */
void br_tftp_outbox_flush(struct br_tftp_outbox *box);
/* Datagrams since the start; from any thread. */
uint64_t br_tftp_outbox_sent(const struct br_tftp_outbox *box);
uint64_t br_tftp_outbox_lost(const struct br_tftp_outbox *box);
/* How many of those sent went as frames. */
uint64_t br_tftp_outbox_framed(const struct br_tftp_outbox *box);
