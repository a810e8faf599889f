/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A sparse file as a stream: what lies between the pieces is zeros, and is not sent. Numbers are little-endian.
 *
 *   "BRPIECES", size of the file (64 bits)
 *   offset (64), length (64, not 0), that many bytes      ascending, none overlap
 *   size of the file (64), 0 (64)                         the end; a stream without it was cut off
 */
#define BR_PIECES_TYPE "application/x-bramble-pieces"
#define BR_PIECES_HEAD 16

void br_pieces_head(uint8_t out[static BR_PIECES_HEAD], uint64_t size);
void br_pieces_piece(uint8_t out[static BR_PIECES_HEAD], uint64_t offset, uint64_t len);

/* Reading: zero-initialised. */
struct br_pieces {
	uint64_t size; /* of the file; known once 'begun' */
	uint64_t at;   /* the file is told up to here */
	uint64_t left; /* of the piece */
	uint8_t head[BR_PIECES_HEAD];
	size_t n_head;
	bool begun, ended;
};

/* Some bytes of the stream. fn gets those of the file, ascending; returns 0, or a negative errno with words, which ends it. */
typedef int (*br_pieces_fn)(void *ctx, uint64_t offset, const void *data, size_t n, struct br_error *err);
int br_pieces_take(struct br_pieces *p, const void *data, size_t n, br_pieces_fn fn, void *ctx, struct br_error *err);
/* After the last: -EPIPE when the end is missing. */
int br_pieces_end(const struct br_pieces *p, struct br_error *err);
