/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events: lines of "field: value", an empty one ends an event. */
#include "base/sse.h"

#include <errno.h>
#include <string.h>

/* A name too long for us is none that we know. */
static void set_name(struct br_sse *s, const char *value)
{
	if (br_strcpy(s->name, sizeof(s->name), value) < 0)
		br_strcpy(s->name, sizeof(s->name), "?");
}

static void take_field(struct br_sse *s, const char *key, const char *value, size_t n)
{
	if (!strcmp(key, "event")) {
		set_name(s, value);
	} else if (!strcmp(key, "data")) {
		br_text_add_bytes(&s->data, value, n);
		br_text_add(&s->data, "\n");
	} else if (!strcmp(key, "id")) {
		if (br_strcpy(s->id, sizeof(s->id), value) < 0)
			s->id[0] = 0;
	}
}

static int end_event(struct br_sse *s, br_sse_fn fn, void *ctx)
{
	int r = 0;

	if (s->data.len) {
		s->data.buf[--s->data.len] = 0; /* the last line's end */
		r = fn(ctx, s->name[0] ? s->name : "message", s->data.buf, s->data.len);
	}
	s->data.len = 0;
	s->name[0] = 0;
	return r;
}

static int end_line(struct br_sse *s, br_sse_fn fn, void *ctx)
{
	char *line = s->line.buf, *colon, *value;
	size_t n = s->line.len;

	s->line.len = 0;
	if (!n)
		return end_event(s, fn, ctx);
	colon = memchr(line, ':', n);
	if (colon == line)
		return 0; /* a comment: a sign of life */
	value = line + n;
	if (colon) {
		*colon = 0;
		value = colon + 1 + (colon[1] == ' ');
	}
	take_field(s, line, value, (size_t)(line + n - value));
	return 0;
}

int br_sse_take(struct br_sse *s, const void *data, size_t n, br_sse_fn fn, void *ctx)
{
	const char *p = data, *end = p + n;
	int r = 0;

	while (p < end && !r) {
		size_t len = 0;

		if (s->after_cr && *p == '\n') { /* of CR LF */
			s->after_cr = false;
			p++;
			continue;
		}
		s->after_cr = false;
		while (p + len < end && p[len] != '\n' && p[len] != '\r')
			len++;
		br_text_add_bytes(&s->line, p, len);
		p += len;
		if (p < end) {
			s->after_cr = *p++ == '\r';
			r = end_line(s, fn, ctx);
		}
		if (s->line.failed || s->data.failed)
			return -ENOMEM;
		if (s->line.len + s->data.len > BR_SSE_MAX)
			return -EFBIG;
	}
	return r;
}

void br_sse_done(struct br_sse *s)
{
	br_text_done(&s->line);
	br_text_done(&s->data);
}
