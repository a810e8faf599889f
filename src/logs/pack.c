/* SPDX-License-Identifier: Apache-2.0 */
/* A block as bytes: compressed, with its filter. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "logs/block.h"

#define MAGIC 0x424c5242u /* "BRLB" */
#define LEVEL 1 /* of zstd: three times faster than 3, a tenth larger */
#define FILTER_BYTES ((size_t)1 << (BR_LOGS_FILTER_LOG2 - 3))

struct br_logs_packer {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *expand;
	uint8_t *out; /* header, filter, compressed */
	size_t cap;
	uint8_t filter[FILTER_BYTES];
	char areas[2 * BR_LOGS_BLOCK_MAX];
};

struct br_logs_packer *br_logs_packer_new(void)
{
	struct br_logs_packer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->cap = BR_LOGS_HEADER + FILTER_BYTES + ZSTD_compressBound(sizeof(p->areas));
	p->out = malloc(p->cap);
	p->compress = ZSTD_createCCtx();
	p->expand = ZSTD_createDCtx();
	if (p->out && p->compress && p->expand)
		return p;
	br_logs_packer_free(p);
	return NULL;
}

void br_logs_packer_free(struct br_logs_packer *p)
{
	if (!p)
		return;
	ZSTD_freeCCtx(p->compress);
	ZSTD_freeDCtx(p->expand);
	free(p->out);
	free(p);
}

/* Four bytes to a bit of the largest filter; a smaller one takes the lower bits of it. */
static uint32_t gram_bit(uint32_t gram)
{
	gram *= 0x9e3779b1u;
	return (gram ^ gram >> 15) & ((1u << BR_LOGS_FILTER_LOG2) - 1);
}

static uint8_t fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : (uint8_t)c;
}

static void fill_filter(uint8_t *filter, const struct br_logs_block *b)
{
	struct br_logs_cursor c = br_logs_cursor_of(b);
	struct br_logs_line line;

	memset(filter, 0, FILTER_BYTES);
	while (br_logs_cursor_next(&c, &line)) {
		uint32_t gram = 0;

		for (size_t i = 0; i < line.n_text; i++) {
			uint32_t bit;

			gram = gram << 8 | fold(line.text[i]);
			if (i + 1 < BR_LOGS_GRAM)
				continue;
			bit = gram_bit(gram);
			filter[bit / 8] |= (uint8_t)(1 << bit % 8);
		}
	}
}

static size_t count_bits(const uint8_t *filter, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i += 8)
		count += (size_t)__builtin_popcountll(br_load_le64(filter + i));
	return count;
}

/* Halves it while that leaves at most a third of the bits set; log2 of the bits. */
static unsigned shrink_filter(uint8_t *filter)
{
	unsigned log2 = BR_LOGS_FILTER_LOG2;

	while (log2 > BR_LOGS_FILTER_MIN_LOG2) {
		size_t half = br_logs_filter_bytes(log2 - 1);

		/* a half has at most as many bits set as the whole */
		if (count_bits(filter, 2 * half) * 3 > half * 8)
			break;
		for (size_t i = 0; i < half; i++)
			filter[i] |= filter[half + i];
		log2--;
	}
	return log2;
}

bool br_logs_filter_has(const uint8_t *filter, unsigned log2, const char *literal, size_t n)
{
	uint32_t gram = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t bit;

		gram = gram << 8 | fold(literal[i]);
		if (i + 1 < BR_LOGS_GRAM)
			continue;
		bit = gram_bit(gram) & ((1u << log2) - 1);
		if (!(filter[bit / 8] & 1 << bit % 8))
			return false;
	}
	return true;
}

static void write_head(uint8_t *at, const struct br_logs_head *h)
{
	memset(at, 0, BR_LOGS_HEADER);
	br_store_le32(at, MAGIC);
	br_store_le64(at + 8, h->first_seq);
	br_store_le32(at + 16, h->n);
	br_store_le32(at + 20, h->n_meta);
	br_store_le32(at + 24, h->n_text);
	br_store_le32(at + 28, h->n_packed);
	br_store_le64(at + 32, h->base_us);
	br_store_le64(at + 40, h->first_us);
	br_store_le64(at + 48, h->last_us);
	memcpy(at + 56, h->boards, sizeof(h->boards));
	at[88] = h->sources;
	at[89] = h->filter_log2;
	br_store_le32(at + 92, h->crc);
	br_store_le32(at + 4, br_crc32c(0, at + 8, BR_LOGS_HEADER - 8));
}

int br_logs_pack(struct br_logs_packer *p, struct br_logs_block *b, const uint8_t **ret, size_t *ret_n)
{
	struct br_logs_head *h = &b->head;
	size_t n_filter, n;

	if ((size_t)h->n_meta + h->n_text > sizeof(p->areas))
		return -EOVERFLOW;
	fill_filter(p->filter, b);
	h->filter_log2 = (uint8_t)shrink_filter(p->filter);
	n_filter = br_logs_filter_bytes(h->filter_log2);
	if (h->n_meta)
		memcpy(p->areas, b->meta, h->n_meta);
	if (h->n_text)
		memcpy(p->areas + h->n_meta, b->text, h->n_text);
	memcpy(p->out + BR_LOGS_HEADER, p->filter, n_filter);
	n = ZSTD_compressCCtx(p->compress, p->out + BR_LOGS_HEADER + n_filter, p->cap - BR_LOGS_HEADER - n_filter, p->areas,
		(size_t)h->n_meta + h->n_text, LEVEL);
	if (ZSTD_isError(n))
		return -EIO;
	h->n_packed = (uint32_t)n;
	h->crc = br_crc32c(0, p->out + BR_LOGS_HEADER, n_filter + n);
	write_head(p->out, h);
	*ret = p->out;
	*ret_n = BR_LOGS_HEADER + n_filter + n;
	return 0;
}

int br_logs_head_read(const uint8_t *at, struct br_logs_head *ret)
{
	struct br_logs_head h = {
		.first_seq = br_load_le64(at + 8),
		.n = br_load_le32(at + 16),
		.n_meta = br_load_le32(at + 20),
		.n_text = br_load_le32(at + 24),
		.n_packed = br_load_le32(at + 28),
		.base_us = br_load_le64(at + 32),
		.first_us = br_load_le64(at + 40),
		.last_us = br_load_le64(at + 48),
		.sources = at[88],
		.filter_log2 = at[89],
		.crc = br_load_le32(at + 92),
	};

	if (br_load_le32(at) != MAGIC || br_load_le32(at + 4) != br_crc32c(0, at + 8, BR_LOGS_HEADER - 8))
		return -EBADMSG;
	memcpy(h.boards, at + 56, sizeof(h.boards));
	if (!h.first_seq || !h.n || h.n > h.n_meta || h.n_meta > BR_LOGS_BLOCK_MAX || h.n_text > BR_LOGS_BLOCK_MAX || !h.n_packed ||
		h.n_packed > ZSTD_compressBound((size_t)2 * BR_LOGS_BLOCK_MAX) || h.first_seq > UINT64_MAX - h.n ||
		h.first_us > h.last_us || h.last_us > UINT64_MAX / 1000 || h.filter_log2 < BR_LOGS_FILTER_MIN_LOG2 || h.filter_log2 > BR_LOGS_FILTER_LOG2)
		return -EBADMSG;
	*ret = h;
	return 0;
}

int br_logs_unpack(struct br_logs_packer *p, const struct br_logs_head *h, const uint8_t *bytes, size_t n,
	struct br_logs_block **ret)
{
	size_t n_filter = br_logs_filter_bytes(h->filter_log2), n_areas = (size_t)h->n_meta + h->n_text, got;
	struct br_logs_block *b;

	if (n != n_filter + h->n_packed || br_crc32c(0, bytes, n) != h->crc)
		return -EBADMSG;
	b = br_logs_block_new(h->first_seq, h->base_us);
	if (!b)
		return -ENOMEM;
	b->head = *h;
	b->meta = malloc(n_areas + 1); /* both areas: they stay as they are */
	b->cap_meta = n_areas + 1;
	if (!b->meta) {
		br_logs_block_unref(b);
		return -ENOMEM;
	}
	got = ZSTD_decompressDCtx(p->expand, b->meta, n_areas, bytes + n_filter, h->n_packed);
	if (ZSTD_isError(got) || got != n_areas) {
		br_logs_block_unref(b);
		return -EBADMSG;
	}
	b->text = b->meta + h->n_meta;
	*ret = b;
	return 0;
}
