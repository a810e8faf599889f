/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* Lines out of a stream of bytes: ended by CR or LF or both in any order, empty ones left out, long ones cut in pieces. */
#define BR_LINES_MAX 1024

struct br_lines {
	char buf[BR_LINES_MAX];
	size_t n;
};

/* fn gets each line that is complete; it is not terminated. */
void br_lines_take(struct br_lines *lines, const void *data, size_t n, void (*fn)(void *ctx, const char *line, size_t n),
	void *ctx);
/* What has no end yet: a prompt, or the last words. */
void br_lines_flush(struct br_lines *lines, void (*fn)(void *ctx, const char *line, size_t n), void *ctx);
