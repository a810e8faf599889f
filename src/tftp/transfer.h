/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tftp/server.h"
#include "wire/tftp.h"

/*
 * One file on its way to one peer: which blocks are acknowledged, which are out, and where
 * their bytes lie. Blocks are counted from 1 in 64 bits; only the wire sees 16 of them, and so
 * they roll over to 0 by themselves. Lock-step (RFC 1350) is a window of 1 (RFC 7440).
 */
struct br_tftp_cursor {
	size_t span, offset;
};

struct br_tftp_transfer {
	/* the table's: chain of the hash, place in the timer heap, place in its list */
	struct br_tftp_transfer *hash_next, *list_prev, *list_next;
	unsigned heap_index;
	uint64_t wake_ns; /* the heap's key: never later than deadline_ns */

	struct br_tftp_peer peer; /* proven: its address is not forged */
	bool oacking; /* OACK is out, ACK 0 has not come */
	uint32_t blksize;
	uint16_t window;
	unsigned tries; /* retransmissions since the last progress */
	uint64_t acked, sent, n_blocks; /* blocks */
	uint64_t rewind_from; /* duplicate ACKs below this block ask for nothing */
	struct br_tftp_cursor base, next; /* of blocks acked + 1 and sent + 1 */
	uint64_t deadline_ns, interval_ns, heard_ns, started_ns, progress_ns, plain_ns;
	bool told_interval; /* the client asked for it (RFC 2349): it is not measured */
	uint64_t sent_ns;   /* of what an ACK is awaited for; 0: it went out again, and an ACK tells no round trip */
	uint64_t srtt_ns, rttvar_ns; /* 0: not measured yet */
	unsigned retransmits;
	uint64_t request_hash;
	unsigned oack_len;
	uint8_t oack[96]; /* four options at their longest: 71 bytes */
	struct br_tftp_file file;
};

/* What an ACK did. */
enum br_tftp_ack {
	BR_TFTP_ACK_NOTHING,  /* duplicate, stale or nonsense */
	BR_TFTP_ACK_PROGRESS, /* go on with the next window */
	BR_TFTP_ACK_REWIND,   /* the first block of the window was lost: send it again */
	BR_TFTP_ACK_DONE,
};

/* Whether the spans of a file hold its size. */
bool br_tftp_file_valid(const struct br_tftp_file *file);
/* Negotiates: fills blksize, window, interval_ns and the OACK from what was asked; n_blocks from the file. */
void br_tftp_transfer_start(struct br_tftp_transfer *t, const struct br_tftp_opts *asked,
	unsigned max_blksize);
enum br_tftp_ack br_tftp_transfer_ack(struct br_tftp_transfer *t, uint16_t block);
/* Bytes acknowledged. */
uint64_t br_tftp_transfer_bytes(const struct br_tftp_transfer *t);
/*
 * The block after the last one sent, if the window has room: head, pieces, and their number (0 for the empty
 * last block). false when the window is full or the file is out. br_tftp_transfer_rewind() goes back to the
 * first block that is not acknowledged. A block in more than max pieces is not sent: *ret_n is then max + 1.
 */
bool br_tftp_transfer_next(struct br_tftp_transfer *t, uint8_t head[static BR_TFTP_HEAD],
	struct br_span *pieces, size_t max, size_t *ret_n);
void br_tftp_transfer_rewind(struct br_tftp_transfer *t);
