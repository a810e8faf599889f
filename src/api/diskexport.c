/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/boards/NAME/disk/export?form=pieces: a disk without its holes (pieces.h). */
#include "api/diskexport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/pieces.h"

#define BLOCK 4096
#define PIECE (256u << 10)

struct sending {
	struct br_disk *disk; /* a view, ours */
	uint64_t size, at;    /* at: nothing before that is left to be sent */
	bool last;	      /* the end is in buf */
	size_t n, sent;	      /* of buf */
	uint8_t buf[BR_PIECES_HEAD + PIECE];
};

static void sending_free(void *cls)
{
	struct sending *s = cls;

	br_disk_close(s->disk);
	free(s);
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/* The next piece, without blocks of zeros at its ends; 0: none up to 'end'. */
static int read_piece(struct sending *s, uint64_t start, uint64_t end)
{
	size_t n = end - start < PIECE ? (size_t)(end - start) : PIECE, from = 0;
	uint8_t *p = s->buf + BR_PIECES_HEAD;
	int r = br_disk_read(s->disk, start, p, n);

	if (r < 0)
		return r;
	s->at = start + n;
	while (n - from >= BLOCK && is_zero(p + from, BLOCK))
		from += BLOCK;
	while (n - from >= BLOCK && n % BLOCK == 0 && is_zero(p + n - BLOCK, BLOCK))
		n -= BLOCK;
	n -= from;
	if (!n)
		return 0;
	memmove(p, p + from, n);
	br_pieces_piece(s->buf, start + from, n);
	s->n = BR_PIECES_HEAD + n;
	return 1;
}

static int next_piece(struct sending *s)
{
	uint64_t start, end;
	int r = 0;

	s->n = s->sent = 0;
	while (!r && br_disk_next_data(s->disk, s->at, &start, &end))
		r = read_piece(s, start < s->at ? s->at : start, end);
	if (r)
		return r < 0 ? r : 0;
	br_pieces_piece(s->buf, s->size, 0);
	s->n = BR_PIECES_HEAD;
	s->last = true;
	return 0;
}

static ssize_t send_some(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct sending *s = cls;
	size_t n;

	if (s->sent == s->n && s->last)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (s->sent == s->n && next_piece(s) < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR; /* the client sees that the end is missing */
	n = s->n - s->sent < max ? s->n - s->sent : max;
	memcpy(buf, s->buf + s->sent, n);
	s->sent += n;
	return (ssize_t)n;
}

int br_call_send_pieces(struct br_call *call, struct br_disk *view, struct br_error *err)
{
	struct sending *s = calloc(1, sizeof(*s));
	struct br_disk_usage u;

	if (!s) {
		br_disk_close(view);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	br_disk_usage(view, &u);
	s->disk = view;
	s->size = u.base_bytes;
	br_pieces_head(s->buf, s->size);
	s->n = BR_PIECES_HEAD;
	return br_call_stream(call, MHD_SIZE_UNKNOWN, BR_PIECES_TYPE, send_some, sending_free, s, err);
}
