/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "tftp/server.h"

/* Whether DATA may leave as whole frames (tftp/links.h), past the kernel's routing and firewall. */
enum br_tftp_frames {
	BR_TFTP_FRAMES_AUTO, /* where permitted */
	BR_TFTP_FRAMES_OFF,
	BR_TFTP_FRAMES_ON, /* or it is an error */
};

/*
 * The socket and the thread of the TFTP server: batches with recvmmsg and sendmmsg, payload straight from
 * the file's spans.
 *
 * One socket serves all transfers and every reply leaves from the port the request came to (69), not from
 * a new one per transfer as RFC 1350 suggests. A client takes the source port of the first reply as the
 * server's TID, and 69 is as good as any: all Raspberry Pi stages, U-Boot, iPXE, EDK2, curl, BusyBox and
 * tftp-hpa do. Firewalls that let port 69 in need no more.
 */
struct br_tftp_io;

struct br_tftp_io_options {
	uint32_t ip;	      /* address to bind, 0: any; replies leave from the address that was asked */
	uint16_t port;	      /* 69; 0 picks a free one */
	const char *interface; /* SO_BINDTODEVICE, NULL: none */
	unsigned max_transfers; /* as in br_tftp_options; 0: 4096 */
	unsigned max_blksize;	/* 0: the interface's MTU - 32, or 1468 when no interface is given */
	enum br_tftp_frames frames;
	const struct br_tftp_ops *ops; /* 'send' is filled in by io; copied */
	void *ctx;	      /* ops are called with it, from the worker's thread only */
};

/* Counters since the start, for metrics. */
struct br_tftp_io_stats {
	uint64_t received, sent; /* datagrams */
	uint64_t framed;	 /* of those sent, as frames */
	uint64_t dropped_in;	 /* the kernel's receive buffer was full */
	uint64_t dropped_out;	 /* could not be sent: the retransmission timer's business */
	unsigned running;	 /* transfers, now */
};

/* Binds (words for a busy port name who might hold it) and starts the thread. */
int br_tftp_io_start(const struct br_tftp_io_options *opt, struct br_tftp_io **ret, struct br_error *err);
/* Ends running transfers with ERROR 0 and joins the thread. */
void br_tftp_io_stop(struct br_tftp_io *io);
uint16_t br_tftp_io_port(const struct br_tftp_io *io);
/* From any thread. */
struct br_tftp_io_stats br_tftp_io_stats(const struct br_tftp_io *io);
