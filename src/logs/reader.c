/* SPDX-License-Identifier: Apache-2.0 */
/* Going through lines in order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "logs/internal.h"
#include "logs/pattern.h"

#define LINES_AT_ONCE 4096 /* looked at in one call, */
#define LONG_NS (50 * BR_MS) /* for so long, where matching is slow */
#define LONG_TEXT 512 /* bytes; of these one alone may be slow */

struct br_logs_reader {
	struct br_logs *logs;
	struct br_logs_fetch *fetch;
	struct br_logs_block *block; /* of 'cursor' */
	struct br_logs_cursor cursor;
	const struct br_logs_pattern *pattern; /* of the matcher */
	struct br_logs_matcher *matcher;
};

int br_logs_reader_new(struct br_logs *logs, struct br_logs_reader **ret)
{
	struct br_logs_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->logs = logs;
	reader->fetch = br_logs_fetch_new();
	if (!reader->fetch) {
		free(reader);
		return -ENOMEM;
	}
	*ret = reader;
	return 0;
}

void br_logs_reader_free(struct br_logs_reader *reader)
{
	if (!reader)
		return;
	br_logs_fetch_free(reader->fetch);
	br_logs_block_unref(reader->block);
	br_logs_matcher_free(reader->matcher);
	free(reader);
}

static void set_block(struct br_logs_reader *rd, struct br_logs_block *b)
{
	br_logs_block_unref(rd->block);
	rd->block = b;
	if (b)
		rd->cursor = br_logs_cursor_of(b);
}

/* From memory: the first block with lines from seq on. */
static int load_recent(struct br_logs_reader *rd, const struct br_logs_filter *f)
{
	struct br_logs_block *recent[BR_LOGS_QUEUE + 1];
	uint64_t before;
	size_t n;
	int r = br_logs_recent(rd->logs, f, recent, &n, &before);

	if (r < 0)
		return r;
	for (size_t i = 1; i < n; i++)
		br_logs_block_unref(recent[i]);
	if (!n)
		return -ENOENT;
	set_block(rd, recent[0]);
	return 0;
}

/* Where the next block is that may have lines that pass. 1: in memory, and loaded. -ENOENT: there is none now. */
static int look(struct br_logs_reader *rd, const struct br_logs_filter *f, struct br_logs_place *ret)
{
	struct br_logs_shelf *shelf = rd->logs->shelf;
	int r = br_logs_shelf_place(shelf, f, f->after + 1, ret);

	if (r != -ENOENT)
		return r;
	r = load_recent(rd, f);
	/* between the two looks an earlier one may have gone from memory to the disk */
	if ((r < 0 && r != -ENOENT) || br_logs_shelf_place(shelf, f, f->after + 1, ret) < 0)
		return r < 0 ? r : 1;
	if (r == 0 && ret->head.first_seq >= rd->block->head.first_seq) {
		br_logs_place_done(ret);
		return 1;
	}
	set_block(rd, NULL);
	return 0;
}

/* Loads that block. -ENOENT: none now, f->after is the number up to which there is none. */
static int load(struct br_logs_reader *rd, struct br_logs_filter *f)
{
	uint64_t last = br_logs_last(rd->logs); /* before the look */
	struct br_logs_place place;
	struct br_logs_block *b = NULL;
	const char *literal = NULL;
	size_t n_literal = 0;
	int r;

	if (f->pattern)
		literal = br_logs_pattern_literal(f->pattern, &n_literal);
	r = look(rd, f, &place);
	if (r == -ENOENT && last > f->after)
		f->after = last;
	if (r)
		return r < 0 ? r : 0;
	if (br_logs_fetch_may_have(rd->fetch, &place, literal, n_literal))
		r = br_logs_fetch_block(rd->fetch, &place, &b);
	else
		r = -EAGAIN;
	if (r == -EBADMSG || r == -EIO)
		br_logs_shelf_damaged(rd->logs->shelf);
	if (r == -EBADMSG || r == -EIO || r == -EAGAIN) {
		f->after = place.head.first_seq + place.head.n - 1;
		r = -EAGAIN;
	}
	br_logs_place_done(&place);
	if (r == 0)
		set_block(rd, b);
	return r;
}

static int use_pattern(struct br_logs_reader *rd, const struct br_logs_pattern *p)
{
	if (p == rd->pattern)
		return 0;
	br_logs_matcher_free(rd->matcher);
	rd->pattern = p;
	rd->matcher = p ? br_logs_matcher_new(p) : NULL;
	if (!p || rd->matcher)
		return 0;
	rd->pattern = NULL;
	return -ENOMEM;
}

/* What went by size or age between the last line read and the first one there. */
static uint64_t skip_gone(const struct br_logs_reader *rd, struct br_logs_filter *f)
{
	struct br_logs_stats st;
	uint64_t gone = 0;

	br_logs_stats(rd->logs, &st);
	if (st.first_seq > f->after + 1) {
		gone = st.first_seq - f->after - 1;
		f->after = st.first_seq - 1;
	}
	return gone;
}

int br_logs_reader_next(struct br_logs_reader *rd, struct br_logs_filter *f, struct br_logs_line *ret, uint64_t *ret_gone)
{
	int r = use_pattern(rd, f->pattern);
	uint64_t until_ns = f->pattern ? br_now_ns() + LONG_NS : 0;

	*ret_gone = 0;
	if (r < 0)
		return r;
	if (rd->block && (rd->cursor.seq > f->after || !rd->cursor.left))
		set_block(rd, NULL);
	if (!rd->block) {
		*ret_gone = f->after ? skip_gone(rd, f) : 0;
		r = load(rd, f);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
	}
	for (unsigned i = 0; i < LINES_AT_ONCE; i++) {
		if (!br_logs_cursor_next(&rd->cursor, ret)) {
			uint64_t last = rd->block->head.first_seq + rd->block->head.n - 1;

			f->after = last > f->after ? last : f->after;
			set_block(rd, NULL);
			return -EAGAIN;
		}
		if (br_logs_line_passes(ret, f) && (!f->pattern || br_logs_matches(rd->matcher, ret->text, ret->n_text))) {
			f->after = ret->seq;
			return 1;
		}
		if (ret->seq > f->after)
			f->after = ret->seq;
		if (f->pattern && (i % 32 == 31 || ret->n_text > LONG_TEXT) && br_now_ns() > until_ns)
			break;
	}
	return -EAGAIN;
}

int br_logs_reader_get(struct br_logs_reader *rd, uint64_t seq, struct br_logs_line *ret)
{
	struct br_logs_filter f = { .after = seq - 1 };
	uint64_t gone;
	int r;

	/* what is in hand serves as long as one goes forward in it */
	if (rd->block && (rd->cursor.seq >= seq || seq >= rd->block->head.first_seq + rd->block->head.n))
		set_block(rd, NULL);
	while (rd->block && rd->cursor.left) {
		if (!br_logs_cursor_next(&rd->cursor, ret))
			break;
		if (ret->seq == seq)
			return 0;
	}
	set_block(rd, NULL);
	do
		r = br_logs_reader_next(rd, &f, ret, &gone);
	while (r == -EAGAIN && f.after < seq);
	return r == 1 && ret->seq == seq ? 0 : r < 0 && r != -EAGAIN ? r : -ENOENT;
}
