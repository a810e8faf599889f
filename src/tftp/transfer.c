/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks and acknowledgements of one transfer. */
#include "tftp/transfer.h"

#include <assert.h>

#include "base/clock.h"

bool br_tftp_file_valid(const struct br_tftp_file *file)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < file->n_spans; i++)
		if (__builtin_add_overflow(sum, file->spans[i].len, &sum))
			return false;
	return sum >= file->size;
}

static uint64_t clip(uint64_t v, uint64_t max)
{
	return v < max ? v : max;
}

void br_tftp_transfer_start(struct br_tftp_transfer *t, const struct br_tftp_opts *asked,
	unsigned max_blksize)
{
	struct br_tftp_opts granted = *asked;

	t->blksize = BR_TFTP_BLKSIZE;
	t->window = 1;
	for (unsigned i = 0; i < granted.n; i++) {
		struct br_tftp_opt *o = &granted.v[i];

		switch (o->id) {
		case BR_TFTP_OPT_BLKSIZE:
			o->value = clip(o->value, max_blksize);
			t->blksize = (uint32_t)o->value;
			break;
		case BR_TFTP_OPT_TSIZE:
			o->value = t->file.size;
			break;
		case BR_TFTP_OPT_TIMEOUT:
			t->interval_ns = o->value * BR_S;
			t->told_interval = true;
			break;
		case BR_TFTP_OPT_WINDOWSIZE:
			o->value = clip(o->value, BR_TFTP_WINDOW_MAX);
			t->window = (uint16_t)o->value;
			break;
		case BR_TFTP_N_OPTS:
			break;
		}
	}
	if (granted.n) {
		int n = br_tftp_encode_oack(t->oack, sizeof(t->oack), &granted);

		assert(n > 0);
		t->oack_len = (unsigned)n;
		t->oacking = true;
	}
	/* a file that ends with a full block needs an empty one to say so */
	t->n_blocks = t->file.size / t->blksize + 1;
}

static uint64_t block_len(const struct br_tftp_transfer *t, uint64_t block)
{
	return block < t->n_blocks ? t->blksize : t->file.size % t->blksize;
}

uint64_t br_tftp_transfer_bytes(const struct br_tftp_transfer *t)
{
	return clip(t->acked * t->blksize, t->file.size);
}

/* Moves c over len bytes, noting the pieces when 'pieces' is given; stops noting after max. */
static size_t walk(const struct br_tftp_file *file, struct br_tftp_cursor *c, uint64_t len,
	struct br_span *pieces, size_t max)
{
	size_t n = 0;

	while (len) {
		const struct br_span *s = file->spans + c->span;
		uint64_t take;

		assert(c->span < file->n_spans);
		take = clip(s->len - c->offset, len);
		if (take && n++ < max)
			pieces[n - 1] = (struct br_span){ s->data + c->offset, (size_t)take };
		c->offset += (size_t)take;
		if (c->offset == s->len)
			*c = (struct br_tftp_cursor){ c->span + 1, 0 };
		len -= take;
	}
	return n;
}

enum br_tftp_ack br_tftp_transfer_ack(struct br_tftp_transfer *t, uint16_t block)
{
	uint64_t out = t->sent - t->acked;
	uint16_t ahead = (uint16_t)(block - (uint16_t)t->acked);

	if (t->oacking) {
		if (block != 0)
			return BR_TFTP_ACK_NOTHING;
		t->oacking = false;
		return BR_TFTP_ACK_PROGRESS;
	}
	if (ahead > out)
		return BR_TFTP_ACK_NOTHING;
	if (ahead == 0) {
		/*
		 * In lock-step a duplicate ACK never sends DATA again (RFC 1123 4.2.3.1, the Sorcerer's
		 * Apprentice). In a window it says that the first block was lost (RFC 7440 4.); obeyed
		 * once, then not again before two windows got through, lest doubled ACKs double the
		 * blocks for ever. What is lost in between is the timer's.
		 */
		if (t->window == 1 || t->acked < t->rewind_from || !out)
			return BR_TFTP_ACK_NOTHING;
		t->rewind_from = t->acked + 2u * t->window;
		return BR_TFTP_ACK_REWIND;
	}
	if (ahead == out) {
		t->base = t->next;
	} else {
		/* a gap: the client has the blocks up to here, the rest of the window goes again */
		walk(&t->file, &t->base, (uint64_t)ahead * t->blksize, NULL, 0);
		t->rewind_from = t->acked + ahead + 2u * t->window;
	}
	t->acked += ahead;
	br_tftp_transfer_rewind(t);
	return t->acked == t->n_blocks ? BR_TFTP_ACK_DONE : BR_TFTP_ACK_PROGRESS;
}

bool br_tftp_transfer_next(struct br_tftp_transfer *t, uint8_t head[static BR_TFTP_HEAD],
	struct br_span *pieces, size_t max, size_t *ret_n)
{
	uint64_t block = t->sent + 1;

	if (block > t->n_blocks || t->sent - t->acked >= t->window)
		return false;
	br_tftp_put_data_head(head, (uint16_t)block);
	*ret_n = walk(&t->file, &t->next, block_len(t, block), pieces, max);
	if (*ret_n > max)
		*ret_n = max + 1;
	t->sent = block;
	return true;
}

void br_tftp_transfer_rewind(struct br_tftp_transfer *t)
{
	t->sent = t->acked;
	t->next = t->base;
}
