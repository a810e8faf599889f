/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "store/fat.h"

/*
 * TFTP read server (RFC 1350, 2347, 2348, 2349; 7440 later). The engine takes datagrams and
 * time and hands out datagrams; the socket part (tftp/io.h) owns one UDP socket per worker,
 * shared by all its transfers: peers are told apart by address and port, and replies leave
 * from port 69's socket or a transfer socket as io decides.
 */
struct br_tftp;

/* A file being served: spans of bytes that stay put until release. */
struct br_tftp_file {
	const struct br_span *spans;
	size_t n_spans;
	uint64_t size;
	void *ref; /* the owner's, for release */
	bool projected;
	char path[512]; /* cleaned name for reports */
	int64_t board_id; /* 0: none */
	uint64_t boot;
};

enum br_tftp_outcome {
	BR_TFTP_SENT,	 /* last block acknowledged */
	BR_TFTP_PROBED,	 /* client ended with ERROR 0 or 8 after OACK or block 1: normal for Pi firmware */
	BR_TFTP_MISSING, /* ERROR 1 sent */
	BR_TFTP_REFUSED, /* ERROR 2 or 4 sent */
	BR_TFTP_FAILED,	 /* timed out, or the client gave up in the middle */
};

struct br_tftp_report {
	enum br_tftp_outcome outcome;
	uint32_t ip;
	const struct br_tftp_file *file; /* NULL when it was never opened */
	const char *path;		 /* cleaned */
	uint64_t bytes;			 /* acknowledged */
	uint64_t duration_ns;
	unsigned retransmits;
	const char *reason; /* FAILED, REFUSED: words */
};

struct br_tftp_ops {
	/* name: hostile text as in the request. -ENOENT, -EACCES: ERROR 1 or 2; file->path and board_id are filled
	 * then too. */
	int (*open)(void *ctx, uint32_t ip, const char *name, struct br_tftp_file *file);
	void (*release)(void *ctx, struct br_tftp_file *file);
	void (*report)(void *ctx, const struct br_tftp_report *report);
	/* At most ten times a second per transfer, for live displays. May be NULL. */
	void (*progress)(void *ctx, uint32_t ip, const struct br_tftp_file *file, uint64_t bytes);
	/* Sends one datagram: header (4 bytes of DATA, or a whole small packet) and payload, which may be in up to
	 * n pieces. May batch until the engine returns to io. */
	void (*send)(void *ctx, uint32_t ip, uint16_t port, const void *head, size_t head_len,
		const struct br_span *payload, size_t n_payload);
};

struct br_tftp_options {
	unsigned max_transfers;	 /* bounded memory; default 4096 */
	unsigned max_blksize;	 /* path MTU - 32; default 1468 */
	uint64_t retransmit_ns;	 /* default 500 ms */
	unsigned max_retransmits; /* in a row; default 10 */
	const struct br_tftp_ops *ops;
	void *ctx;
};

int br_tftp_new(const struct br_tftp_options *opt, struct br_tftp **ret);
void br_tftp_free(struct br_tftp *tftp);
/* One datagram that arrived. Never fails: bad ones are answered or dropped as RFC 1350 says. */
void br_tftp_input(struct br_tftp *tftp, uint32_t ip, uint16_t port, const uint8_t *data, size_t len,
	uint64_t now_ns);
/* Runs due timers; returns when the next one is due (UINT64_MAX: none). */
uint64_t br_tftp_tick(struct br_tftp *tftp, uint64_t now_ns);
