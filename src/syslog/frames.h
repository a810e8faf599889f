/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "logs/logs.h"

/*
 * Messages out of a stream of bytes. Syslog over TCP (RFC 6587) counts octets ("23 <13>1 ...") or ends messages with a newline; a
 * message at a time may do either. bramble-log ends them with a newline. What is longer than BR_FRAME_MAX is cut.
 */
#define BR_FRAME_MAX (BR_LOGS_TEXT_MAX + 512)

struct br_frames {
	bool counted; /* octet counting is understood */
	char buf[BR_FRAME_MAX];
	size_t n;
	size_t left;   /* of a counted message: bytes that are to come, behind its count */
	bool in_count; /* 'left' counts */
	bool dropping; /* the rest of a message that was cut */
};

typedef void (*br_frame_fn)(void *ctx, const char *data, size_t n, bool cut);
/* Calls fn for each message that is complete by these bytes. */
void br_frames_feed(struct br_frames *f, const void *data, size_t n, br_frame_fn fn, void *ctx);
/* The stream has ended: what is left is a message, too. */
void br_frames_end(struct br_frames *f, br_frame_fn fn, void *ctx);
