/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/*
 * Server-sent events (HTML standard, 9.2.6) as they come, in pieces of any size. Zero, then br_sse_take() for each piece.
 */
#define BR_SSE_MAX (64u << 20) /* bytes of one event */

struct br_sse {
	struct br_text line, data;
	char name[32]; /* "" : "message" */
	char id[64];   /* of the last event that had one; for Last-Event-ID */
	bool after_cr;
};

/* An event is complete: data of n bytes, terminated. Returns 0 to go on; another value ends br_sse_take() with it. */
typedef int (*br_sse_fn)(void *ctx, const char *name, const char *data, size_t n);

/* 0; what fn returned; -EFBIG: an event larger than BR_SSE_MAX; -ENOMEM. After these the state is of no use any more. */
int br_sse_take(struct br_sse *sse, const void *data, size_t n, br_sse_fn fn, void *ctx);
void br_sse_done(struct br_sse *sse);
