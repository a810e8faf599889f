/* SPDX-License-Identifier: Apache-2.0 */
#include "syslog/frames.h"

#include <string.h>

#define COUNT_DIGITS 7

static void give(struct br_frames *f, br_frame_fn fn, void *ctx)
{
	if (f->n)
		fn(ctx, f->buf, f->n, f->dropping);
	f->n = 0;
	f->left = 0;
	f->in_count = f->dropping = false;
}

static void keep(struct br_frames *f, const char *data, size_t n)
{
	size_t room = sizeof(f->buf) - f->n;

	f->dropping |= n > room;
	n = n < room ? n : room;
	memcpy(f->buf + f->n, data, n);
	f->n += n;
}

/* "23 <": a count. 1; 0: it is none; -1: more bytes are needed to tell. */
static int find_count(const struct br_frames *f, size_t *ret, size_t *ret_digits)
{
	size_t v = 0, i = 0;

	while (i < f->n && i < COUNT_DIGITS && f->buf[i] >= '0' && f->buf[i] <= '9')
		v = v * 10 + (size_t)(f->buf[i++] - '0');
	if (!i || f->buf[0] == '0')
		return f->n ? 0 : -1;
	if (i == f->n)
		return -1;
	if (f->buf[i] != ' ')
		return 0;
	if (i + 1 == f->n)
		return -1;
	*ret = v;
	*ret_digits = i + 1;
	return f->buf[i + 1] == '<';
}

/* What the count says of the bytes that are there already. */
static void begin_count(struct br_frames *f, size_t count, size_t digits)
{
	f->n -= digits;
	memmove(f->buf, f->buf + digits, f->n);
	f->in_count = true;
	f->left = count > f->n ? count - f->n : 0;
}

/* Bytes up to a newline or NUL (6587 3.4.2); of the first ones, one at a time, whether they are a count. */
static size_t take_line(struct br_frames *f, const char *data, size_t n, bool *ret_end)
{
	size_t count, digits, i = 0;
	const char *stop;

	if (f->counted && !f->dropping && f->n < COUNT_DIGITS + 3 && (!f->n || find_count(f, &count, &digits) < 0)) {
		*ret_end = *data == '\n' || !*data;
		if (*ret_end)
			return 1;
		keep(f, data, 1);
		if (find_count(f, &count, &digits) == 1)
			begin_count(f, count, digits);
		return 1;
	}
	stop = memchr(data, '\n', n);
	i = stop ? (size_t)(stop - data) : n;
	if (f->counted) {
		stop = memchr(data, 0, i);
		i = stop ? (size_t)(stop - data) : i;
	}
	keep(f, data, i);
	*ret_end = i < n;
	return i + (i < n);
}

void br_frames_feed(struct br_frames *f, const void *data, size_t n, br_frame_fn fn, void *ctx)
{
	const char *p = data;

	while (n) {
		bool end = false;
		size_t took;

		if (f->in_count) {
			took = n < f->left ? n : f->left;
			keep(f, p, took);
			f->left -= took;
			end = !f->left;
		} else {
			took = take_line(f, p, n, &end);
			end |= f->in_count && !f->left; /* a message of the one byte that told the count's end */
		}
		p += took;
		n -= took;
		if (end)
			give(f, fn, ctx);
	}
}

void br_frames_end(struct br_frames *f, br_frame_fn fn, void *ctx)
{
	give(f, fn, ctx);
}
