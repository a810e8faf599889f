/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "store/fat.h"
#include "tftp/frame.h"

/*
 * TFTP read server (RFC 1350, 2347, 2348, 2349, 7440). The engine takes datagrams and
 * time and hands out datagrams; the socket part (tftp/io.h) owns one UDP socket shared by
 * all transfers: peers are told apart by address and port, and every reply leaves from the
 * port the request came to. One engine belongs to one thread.
 */
struct br_tftp;

#define BR_TFTP_HELD_NS (60 * 1000000000ull)

/* A file being served: spans of bytes that stay put until release. */
struct br_tftp_file {
	const struct br_span *spans; /* together at least 'size' bytes */
	size_t n_spans;
	uint64_t size;
	void *ref; /* the owner's, for release */
	void (*unref)(void *ref); /* the owner's, too */
	const char *origin; /* the owner's, for reports */
	char path[512]; /* cleaned name for reports */
	int64_t board_id; /* 0: none */
	uint64_t boot;
};

/* The other end of a transfer. */
struct br_tftp_peer {
	uint32_t ip;
	uint16_t port;
	uint32_t local_ip; /* our address the request was sent to, and replies leave from; 0: not known */
	struct br_tftp_link link; /* of the request's frame; zeros: not known. Kept as it is, for ops->send */
	/* in ops->send; in br_tftp_input() not looked at: */
	bool proven; /* it has answered, so it is there */
	bool again;  /* a timer ran out once: what went before may have taken a wrong way */
	bool plain;  /* by the kernel's own way, whatever link says: a window, or the one each half second that keeps it open */
};

enum br_tftp_outcome {
	BR_TFTP_SENT,	 /* last block acknowledged */
	BR_TFTP_PROBED,	 /* client ended with ERROR 0 or 8 after OACK or block 1: normal for Pi firmware */
	BR_TFTP_MISSING, /* ERROR 1 sent */
	BR_TFTP_REFUSED, /* ERROR 0, 2 or 4 sent: a write, a mode other than octet, no access, no room */
	BR_TFTP_FAILED,	 /* timed out, or the client gave up in the middle */
};

struct br_tftp_report {
	enum br_tftp_outcome outcome;
	uint32_t ip;
	const struct br_tftp_file *file; /* what open() filled in, also when it failed; NULL when it was not asked */
	const char *path;		 /* cleaned, or the escaped name of the request; safe to print */
	uint64_t bytes;			 /* acknowledged */
	uint64_t duration_ns;
	unsigned retransmits; /* datagrams sent again */
	const char *reason;   /* FAILED, REFUSED: words, safe to print; otherwise NULL. Lives as long as the call */
};

struct br_tftp_ops {
	/* name: hostile text as in the request, at most 511 bytes. 0 or a negative errno: -ENOENT (also -ENOTDIR,
	 * -EISDIR, -ENAMETOOLONG, -EINVAL, -ELOOP) is answered with ERROR 1, -EACCES and -EPERM with ERROR 2, others with
	 * ERROR 0. -EINPROGRESS: it is being made; it is called again every few milliseconds, for BR_TFTP_HELD_NS at most, and the
	 * client is answered then. file is all zeros before; path and board_id may be filled in either case. */
	int (*open)(void *ctx, uint32_t ip, const char *name, struct br_tftp_file *file);
	/* Once for each open() that returned 0. */
	void (*release)(void *ctx, struct br_tftp_file *file);
	/* Once for each transfer, before its release(), and for each request that became none. May be NULL. */
	void (*report)(void *ctx, const struct br_tftp_report *report);
	/* At most ten times a second per transfer, for live displays. May be NULL. */
	void (*progress)(void *ctx, uint32_t ip, const struct br_tftp_file *file, uint64_t bytes);
	/* Sends one datagram: head (4 bytes of DATA, or a whole packet of at most BR_TFTP_HEAD_MAX bytes) and payload in n
	 * pieces. May batch: head is copied, the array of pieces too, the bytes themselves stay until release(). What
	 * cannot be sent is lost, as on any network. With tftp/io.h this is io's own. */
	void (*send)(void *ctx, const struct br_tftp_peer *peer, const void *head, size_t head_len,
		const struct br_span *payload, size_t n_payload);
};

#define BR_TFTP_HEAD_MAX 160
#define BR_TFTP_PIECES_MAX 1000 /* of one block; the kernel's limit of an iovec is 1024 */
#define BR_TFTP_WINDOW_MAX 64	/* blocks */

struct br_tftp_options {
	unsigned max_transfers;	 /* bounded memory, under 1 KiB each; 0: 4096 */
	unsigned max_blksize;	 /* path MTU - 32; 0: 1468 */
	uint64_t retransmit_ns;	 /* first interval, unless the client asks for another (RFC 2349); 0: 500 ms */
	unsigned max_retransmits; /* in a row; 0: 10 */
	const struct br_tftp_ops *ops;
	void *ctx;
};

/* opt->ops must live as long as the engine. */
int br_tftp_new(const struct br_tftp_options *opt, struct br_tftp **ret);
/* Ends running transfers with ERROR 0 to the client and a FAILED report. */
void br_tftp_free(struct br_tftp *tftp);
/* One datagram that arrived. Never fails: bad ones are answered or dropped as RFC 1350 says. */
void br_tftp_input(struct br_tftp *tftp, const struct br_tftp_peer *peer, const uint8_t *data, size_t len,
	uint64_t now_ns);
/* Runs due timers; returns when to call again at the latest (UINT64_MAX: no transfer is running). */
uint64_t br_tftp_tick(struct br_tftp *tftp, uint64_t now_ns);
/* Transfers running now. */
unsigned br_tftp_running(const struct br_tftp *tftp);
