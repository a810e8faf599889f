/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A TCP client (RFC 9293) as small as firmware's: one connection, segments in order or
 * not at all, no window scale, no SACK, no timestamps. Segments come in and go out as bytes
 * between IP header and end; the IP layer fills in and checks the checksum.
 */
#define BR_SIM_TCP_MSS	   1460
#define BR_SIM_TCP_OUT	   2048			 /* bytes that may wait for their acknowledgement */
#define BR_SIM_TCP_MAX	   (24 + BR_SIM_TCP_MSS) /* longest segment built here */
#define BR_SIM_TCP_SUM_AT  16			 /* where its checksum belongs */

enum br_sim_tcp_state {
	BR_SIM_TCP_CLOSED,
	BR_SIM_TCP_CONNECTING,
	BR_SIM_TCP_OPEN,
	BR_SIM_TCP_ENDED,  /* both sides have said all, or abort() */
	BR_SIM_TCP_FAILED, /* why says how */
};

/* Bytes of the stream, in order. It may call send() and close(), nothing else of the connection. */
typedef void br_sim_tcp_data_fn(void *ctx, const uint8_t *p, size_t n);

struct br_sim_tcp {
	enum br_sim_tcp_state state;
	uint16_t port, peer_port;
	uint32_t first;	   /* sequence number of out[0] */
	uint32_t expected; /* the next one of the peer */
	uint8_t out[BR_SIM_TCP_OUT];
	size_t n_out, n_sent; /* bytes in out; of them on the way */
	size_t peer_window, peer_mss;
	bool fin, fin_sent, fin_acked; /* ours: asked for by close() */
	bool peer_fin;
	bool due;		       /* an acknowledgement is */
	bool reset;		       /* a RST is */
	unsigned tries, n_resent;
	uint64_t resend_ns, interval_ns;
	const char *why;
	br_sim_tcp_data_fn *data;
	void *ctx;
};

/* iss: where its sequence numbers begin, by chance. */
void br_sim_tcp_connect(struct br_sim_tcp *t, uint16_t port, uint16_t peer_port, uint32_t iss, uint64_t now_ns,
	br_sim_tcp_data_fn *data, void *ctx);
/* -ENOBUFS when not all of it fits; nothing is taken then. Before the connection is open it waits. */
int br_sim_tcp_send(struct br_sim_tcp *t, const void *data, size_t n);
/* Nothing more will be sent. */
void br_sim_tcp_close(struct br_sim_tcp *t);
/* Over at once, with a RST. */
void br_sim_tcp_abort(struct br_sim_tcp *t);

/* The segment that is due, checksum 0; 0 bytes when none is. May fail the state. Call until it returns 0. */
size_t br_sim_tcp_poll(struct br_sim_tcp *t, uint64_t now_ns, uint8_t out[static BR_SIM_TCP_MAX]);
/* A segment from the peer; others' ports are ignored. */
void br_sim_tcp_input(struct br_sim_tcp *t, uint64_t now_ns, const uint8_t *segment, size_t len);
uint64_t br_sim_tcp_deadline(const struct br_sim_tcp *t);
/* The peer has said all, or the connection is no more. */
bool br_sim_tcp_peer_done(const struct br_sim_tcp *t);
