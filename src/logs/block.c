/* SPDX-License-Identifier: Apache-2.0 */
/* Lines in a block: adding them, going through them. */
#include "logs/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define META_MAX (10 + 10 + 4 + 1 + 1 + BR_LOGS_STREAM_MAX + 3) /* of one line */

struct br_logs_block *br_logs_block_new(uint64_t first_seq, uint64_t base_us)
{
	struct br_logs_block *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->head.first_seq = first_seq;
	b->head.base_us = b->now_us = base_us;
	return b;
}

struct br_logs_block *br_logs_block_ref(struct br_logs_block *b)
{
	atomic_fetch_add(&b->refs, 1);
	return b;
}

void br_logs_block_unref(struct br_logs_block *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
		return;
	free(b->meta);
	if (b->cap_text) /* else it is behind meta, in one piece */
		free(b->text);
	free(b);
}

struct br_logs_block *br_logs_block_copy(const struct br_logs_block *b)
{
	struct br_logs_block *copy = br_logs_block_new(b->head.first_seq, b->head.base_us);

	if (!copy || br_array_reserve(&copy->meta, &copy->cap_meta, b->head.n_meta + 1, 1) < 0 ||
		br_array_reserve(&copy->text, &copy->cap_text, b->head.n_text + 1, 1) < 0) {
		br_logs_block_unref(copy);
		return NULL;
	}
	copy->head = b->head;
	copy->now_us = b->now_us;
	if (b->head.n_meta)
		memcpy(copy->meta, b->meta, b->head.n_meta);
	if (b->head.n_text)
		memcpy(copy->text, b->text, b->head.n_text);
	return copy;
}

static void put_number(struct br_writer *w, uint64_t v)
{
	while (v >= 0x80) {
		br_put_u8(w, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	br_put_u8(w, (uint8_t)v);
}

static uint64_t get_number(struct br_reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b = br_get_u8(r);

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	r->failed = true;
	return 0;
}

static uint64_t zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

int br_logs_block_add(struct br_logs_block *b, const struct br_logs_line *line)
{
	size_t n_stream = line->n_stream < BR_LOGS_STREAM_MAX ? line->n_stream : BR_LOGS_STREAM_MAX;
	size_t n_text = line->n_text < BR_LOGS_TEXT_MAX ? line->n_text : BR_LOGS_TEXT_MAX;
	uint64_t us = line->wall_ns / 1000;
	struct br_logs_head *h = &b->head;
	struct br_writer w;

	if (br_array_reserve(&b->meta, &b->cap_meta, h->n_meta + META_MAX, 1) < 0 ||
		br_array_reserve(&b->text, &b->cap_text, h->n_text + n_text + 1, 1) < 0)
		return -ENOMEM;
	w = br_writer_of(b->meta + h->n_meta, META_MAX);
	put_number(&w, zigzag((int64_t)(us - b->now_us)));
	put_number(&w, (uint64_t)line->board_id);
	br_put_le32(&w, line->ip);
	br_put_u8(&w, (uint8_t)((unsigned)line->source << 4 | (line->severity & 15)));
	br_put_u8(&w, (uint8_t)n_stream);
	br_put_bytes(&w, line->stream, n_stream);
	put_number(&w, n_text);
	h->n_meta += (uint32_t)w.len;
	if (n_text)
		memcpy(b->text + h->n_text, line->text, n_text);
	h->n_text += (uint32_t)n_text;
	h->first_us = h->n && h->first_us < us ? h->first_us : us;
	h->last_us = h->last_us > us ? h->last_us : us;
	h->boards[(uint64_t)line->board_id % 256 / 8] |= (uint8_t)(1 << (uint64_t)line->board_id % 8);
	h->sources |= (uint8_t)(1 << line->source);
	b->now_us = us;
	h->n++;
	return 0;
}

struct br_logs_cursor br_logs_cursor_of(const struct br_logs_block *b)
{
	return (struct br_logs_cursor){ .block = b, .seq = b->head.first_seq - 1, .us = b->head.base_us, .left = b->head.n };
}

bool br_logs_cursor_next(struct br_logs_cursor *c, struct br_logs_line *ret)
{
	const struct br_logs_block *b = c->block;
	struct br_reader r;
	uint64_t n_text;
	uint8_t kind;

	if (!c->left)
		return false;
	r = br_reader_of(b->meta + c->at_meta, b->head.n_meta - c->at_meta);
	c->us += (uint64_t)unzigzag(get_number(&r));
	ret->board_id = (int64_t)get_number(&r);
	ret->ip = br_get_le32(&r);
	kind = br_get_u8(&r);
	ret->n_stream = br_get_u8(&r);
	ret->stream = (const char *)br_reader_take(&r, ret->n_stream);
	n_text = get_number(&r);
	if (r.failed || n_text > b->head.n_text - c->at_text || kind >> 4 >= BR_LOGS_SOURCES || ret->board_id < 0) {
		c->left = 0;
		return false;
	}
	ret->source = kind >> 4;
	ret->severity = kind & 15;
	ret->seq = ++c->seq;
	ret->wall_ns = c->us * 1000;
	ret->text = b->text + c->at_text;
	ret->n_text = n_text;
	c->text_start = c->at_text;
	c->at_text += (uint32_t)n_text;
	c->at_meta = b->head.n_meta - (uint32_t)br_reader_left(&r);
	c->left--;
	return true;
}

bool br_logs_head_may_have(const struct br_logs_head *h, const struct br_logs_filter *f)
{
	bool any = !f->n_boards;

	if (h->first_seq + h->n - 1 <= f->after || (f->sources && !(h->sources & f->sources)) ||
		(f->since_ns && h->last_us * 1000 < f->since_ns - f->since_ns % 1000) ||
		(f->until_ns && h->first_us * 1000 >= f->until_ns))
		return false;
	for (size_t i = 0; i < f->n_boards && !any; i++)
		any = h->boards[(uint64_t)f->boards[i] % 256 / 8] & 1 << (uint64_t)f->boards[i] % 8;
	return any;
}

/* "sshd" is the stream "sshd", and "sshd[123]", too. */
static bool same_stream(const struct br_logs_line *line, const char *stream)
{
	size_t n = strlen(stream);

	return line->n_stream >= n && !memcmp(line->stream, stream, n) && (line->n_stream == n || line->stream[n] == '[');
}

bool br_logs_line_passes(const struct br_logs_line *line, const struct br_logs_filter *f)
{
	bool any = !f->n_boards;

	if (line->seq <= f->after || (f->sources && !(f->sources & 1u << line->source)) ||
		(f->has_severity && line->severity > f->max_severity) || (f->ip && line->ip != f->ip) ||
		(f->since_ns && line->wall_ns < f->since_ns - f->since_ns % 1000) || (f->until_ns && line->wall_ns >= f->until_ns))
		return false;
	for (size_t i = 0; i < f->n_boards && !any; i++)
		any = f->boards[i] == line->board_id;
	return any && (!f->stream || same_stream(line, f->stream));
}
