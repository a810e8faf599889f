/* SPDX-License-Identifier: Apache-2.0 */
#include "console/lines.h"

#include <string.h>

void br_lines_flush(struct br_lines *lines, void (*fn)(void *ctx, const char *line, size_t n), void *ctx)
{
	size_t n = lines->n;

	lines->n = 0;
	if (n)
		fn(ctx, lines->buf, n);
}

void br_lines_take(struct br_lines *lines, const void *data, size_t n, void (*fn)(void *ctx, const char *line, size_t n),
	void *ctx)
{
	const char *p = data;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n' || p[i] == '\r') {
			br_lines_flush(lines, fn, ctx);
			continue;
		}
		if (lines->n == sizeof(lines->buf))
			br_lines_flush(lines, fn, ctx);
		lines->buf[lines->n++] = p[i];
	}
}
