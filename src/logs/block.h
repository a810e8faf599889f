/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "logs/logs.h"

/*
 * A block: some hundred lines, in memory and as bytes of a segment. In memory there are two areas, what is known of each line
 * ('meta', variable-length numbers) and the lines' texts, one behind the other, so that a search for a text goes
 * through one piece of memory.
 *
 * On disk: the header (BR_LOGS_HEADER bytes, little-endian), the filter, the areas compressed with zstd.
 *
 *    0  u32 magic "BRLB"            48  u64 last us         (all lines' times are within)
 *    4  u32 CRC-32C of 8 to 96      56  u8[32] boards: bit (id % 256)
 *    8  u64 number of the first     88  u8 sources, bits
 *   16  u32 lines                   89  u8 log2 of the filter's bits, 0: none
 *   20  u32 bytes of meta           90  u16 0
 *   24  u32 bytes of text           92  u32 CRC-32C of all behind the header
 *   28  u32 bytes compressed
 *   32  u64 us of the base that the first line's time is told against
 *   40  u64 first us
 *
 * A line in meta: time (us, difference to the line before, zigzag), board, address (4 bytes), source << 4 | severity, length of
 * the stream's name and the name, length of the text.
 *
 * The filter has a bit set for each four bytes that follow each other in a text (ASCII letters as lower case), by a hash of
 * theirs. Its size is the smallest with at most a third of the bits set.
 */
#define BR_LOGS_HEADER 96
#define BR_LOGS_BLOCK_BYTES (128 << 10) /* meta and text: full */
#define BR_LOGS_BLOCK_MAX (BR_LOGS_BLOCK_BYTES + BR_LOGS_TEXT_MAX + 256)
#define BR_LOGS_FILTER_LOG2 18
#define BR_LOGS_FILTER_MIN_LOG2 9
#define BR_LOGS_GRAM 4

/* What a header says, checked. */
struct br_logs_head {
	uint64_t first_seq, base_us, first_us, last_us;
	uint32_t n, n_meta, n_text, n_packed, crc;
	uint8_t boards[32], sources, filter_log2;
};

static inline size_t br_logs_filter_bytes(unsigned log2)
{
	return log2 ? (size_t)1 << (log2 - 3) : 0;
}

/* All of a block's bytes on disk. */
static inline size_t br_logs_head_size(const struct br_logs_head *h)
{
	return BR_LOGS_HEADER + br_logs_filter_bytes(h->filter_log2) + h->n_packed;
}

struct br_logs_block {
	atomic_uint refs;
	struct br_logs_head head; /* n_packed, crc, filter_log2: of the packed form only */
	uint64_t now_us;	  /* time of the last line added */
	char *meta, *text;
	size_t cap_meta, cap_text;
};

/* One reference. NULL: memory is out. base_us: about now, for small numbers. */
struct br_logs_block *br_logs_block_new(uint64_t first_seq, uint64_t base_us);
struct br_logs_block *br_logs_block_ref(struct br_logs_block *b);
/* NULL is accepted. */
void br_logs_block_unref(struct br_logs_block *b);
struct br_logs_block *br_logs_block_copy(const struct br_logs_block *b);
static inline bool br_logs_block_full(const struct br_logs_block *b)
{
	return b->head.n_meta + b->head.n_text >= BR_LOGS_BLOCK_BYTES;
}
/* Adds a line (its seq is not looked at; the text within BR_LOGS_TEXT_MAX). 0 or -ENOMEM. */
int br_logs_block_add(struct br_logs_block *b, const struct br_logs_line *line);

/* Goes through the lines in order. Strings point into the block. */
struct br_logs_cursor {
	const struct br_logs_block *block;
	uint64_t seq, us; /* of the line before */
	uint32_t left, at_meta, at_text, text_start; /* text_start: of the line just given */
};
struct br_logs_cursor br_logs_cursor_of(const struct br_logs_block *b);
/* False at the end, or where the bytes make no sense. */
bool br_logs_cursor_next(struct br_logs_cursor *c, struct br_logs_line *ret);

/* Room for packing and unpacking; one thread at a time. */
struct br_logs_packer;
struct br_logs_packer *br_logs_packer_new(void);
void br_logs_packer_free(struct br_logs_packer *p);
/* The block as bytes of a segment: points into the packer, until its next use. Sets the block's n_packed, crc and filter_log2. */
int br_logs_pack(struct br_logs_packer *p, struct br_logs_block *b, const uint8_t **ret, size_t *ret_n);
/* -EBADMSG: these BR_LOGS_HEADER bytes are no header. */
int br_logs_head_read(const uint8_t *bytes, struct br_logs_head *ret);
/* From what follows the header (filter and areas, n bytes). -EBADMSG: it is damaged. */
int br_logs_unpack(struct br_logs_packer *p, const struct br_logs_head *h, const uint8_t *bytes, size_t n,
	struct br_logs_block **ret);

/* The bits of a literal, n at least BR_LOGS_GRAM, are all in the filter. */
bool br_logs_filter_has(const uint8_t *filter, unsigned log2, const char *literal, size_t n);
/* Whether lines of that kind can be in the block, but for its texts. */
bool br_logs_head_may_have(const struct br_logs_head *h, const struct br_logs_filter *f);
/* Whether the line passes, but for the pattern. */
bool br_logs_line_passes(const struct br_logs_line *line, const struct br_logs_filter *f);
