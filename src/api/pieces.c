/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse files on their way. */
#include "api/pieces.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

static const char magic[8] = { 'B', 'R', 'P', 'I', 'E', 'C', 'E', 'S' };

void br_pieces_head(uint8_t out[static BR_PIECES_HEAD], uint64_t size)
{
	memcpy(out, magic, sizeof(magic));
	br_store_le64(out + 8, size);
}

void br_pieces_piece(uint8_t out[static BR_PIECES_HEAD], uint64_t offset, uint64_t len)
{
	br_store_le64(out, offset);
	br_store_le64(out + 8, len);
}

static int bad(struct br_error *err)
{
	return br_error_set(err, EBADMSG, "the daemon's answer is not understood; is it another version?");
}

static int take_head(struct br_pieces *p, struct br_error *err)
{
	uint64_t a = br_load_le64(p->head), b = br_load_le64(p->head + 8);

	p->n_head = 0;
	if (!p->begun) {
		if (memcmp(p->head, magic, sizeof(magic)) != 0 || b > INT64_MAX)
			return bad(err);
		p->begun = true;
		p->size = b;
		return 0;
	}
	if (p->ended || a < p->at || a > p->size || b > p->size - a || (!b && a != p->size))
		return bad(err);
	p->at = a;
	p->left = b;
	p->ended = !b;
	return 0;
}

int br_pieces_take(struct br_pieces *p, const void *data, size_t n, br_pieces_fn fn, void *ctx, struct br_error *err)
{
	const uint8_t *s = data;
	int r = 0;

	while (!r && n) {
		size_t k = p->left ? (p->left < n ? (size_t)p->left : n) : BR_PIECES_HEAD - p->n_head;

		k = k < n ? k : n;
		if (p->left) {
			r = fn(ctx, p->at, s, k, err);
			p->at += k;
			p->left -= k;
		} else {
			memcpy(p->head + p->n_head, s, k);
			p->n_head += k;
			if (p->n_head == BR_PIECES_HEAD)
				r = take_head(p, err);
		}
		s += k;
		n -= k;
	}
	return r;
}

int br_pieces_end(const struct br_pieces *p, struct br_error *err)
{
	if (p->ended && !p->n_head)
		return 0;
	return br_error_set(err, EPIPE, "the daemon's answer was cut off; its log says why");
}
