/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Cursors over bytes from outside. A read past the end returns zeros (NULL for
 * br_reader_take) and sets 'failed' for good, so that a decoder may read a whole
 * structure and test once. A write past the end writes nothing and sets 'failed'.
 */
struct br_reader {
	const uint8_t *p, *end;
	bool failed;
};

struct br_writer {
	uint8_t *buf;
	size_t len, cap;
	bool failed;
};

static inline struct br_reader br_reader_of(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct br_reader){ .p = p, .end = len ? p + len : p };
}

static inline struct br_writer br_writer_of(void *buf, size_t cap)
{
	return (struct br_writer){ .buf = buf, .cap = cap };
}

static inline size_t br_reader_left(const struct br_reader *r)
{
	return (size_t)(r->end - r->p);
}

static inline const uint8_t *br_reader_take(struct br_reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->failed || n > br_reader_left(r)) {
		r->failed = true;
		r->p = r->end;
		return NULL;
	}
	if (n)
		r->p += n;
	return p;
}

static inline uint8_t br_get_u8(struct br_reader *r)
{
	const uint8_t *p = br_reader_take(r, 1);

	return p ? p[0] : 0;
}

static inline uint16_t br_load_be16(const void *q)
{
	const uint8_t *p = q;

	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t br_load_be32(const void *q)
{
	const uint8_t *p = q;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t br_load_be64(const void *q)
{
	return (uint64_t)br_load_be32(q) << 32 | br_load_be32((const uint8_t *)q + 4);
}

static inline uint16_t br_load_le16(const void *q)
{
	const uint8_t *p = q;

	return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t br_load_le32(const void *q)
{
	const uint8_t *p = q;

	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t br_load_le64(const void *q)
{
	return (uint64_t)br_load_le32((const uint8_t *)q + 4) << 32 | br_load_le32(q);
}

static inline void br_store_be16(void *q, uint16_t v)
{
	uint8_t *p = q;

	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void br_store_be32(void *q, uint32_t v)
{
	br_store_be16(q, (uint16_t)(v >> 16));
	br_store_be16((uint8_t *)q + 2, (uint16_t)v);
}

static inline void br_store_be64(void *q, uint64_t v)
{
	br_store_be32(q, (uint32_t)(v >> 32));
	br_store_be32((uint8_t *)q + 4, (uint32_t)v);
}

static inline void br_store_le16(void *q, uint16_t v)
{
	uint8_t *p = q;

	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void br_store_le32(void *q, uint32_t v)
{
	br_store_le16(q, (uint16_t)v);
	br_store_le16((uint8_t *)q + 2, (uint16_t)(v >> 16));
}

static inline void br_store_le64(void *q, uint64_t v)
{
	br_store_le32(q, (uint32_t)v);
	br_store_le32((uint8_t *)q + 4, (uint32_t)(v >> 32));
}

static inline uint16_t br_get_be16(struct br_reader *r)
{
	const uint8_t *p = br_reader_take(r, 2);

	return p ? br_load_be16(p) : 0;
}

static inline uint32_t br_get_be32(struct br_reader *r)
{
	const uint8_t *p = br_reader_take(r, 4);

	return p ? br_load_be32(p) : 0;
}

static inline uint64_t br_get_be64(struct br_reader *r)
{
	const uint8_t *p = br_reader_take(r, 8);

	return p ? br_load_be64(p) : 0;
}

static inline uint16_t br_get_le16(struct br_reader *r)
{
	const uint8_t *p = br_reader_take(r, 2);

	return p ? br_load_le16(p) : 0;
}

static inline uint32_t br_get_le32(struct br_reader *r)
{
	const uint8_t *p = br_reader_take(r, 4);

	return p ? br_load_le32(p) : 0;
}

static inline uint64_t br_get_le64(struct br_reader *r)
{
	const uint8_t *p = br_reader_take(r, 8);

	return p ? br_load_le64(p) : 0;
}

/* Room for n bytes, or NULL (and 'failed'). */
static inline uint8_t *br_writer_room(struct br_writer *w, size_t n)
{
	uint8_t *p = w->buf + w->len;

	if (w->failed || n > w->cap - w->len) {
		w->failed = true;
		return NULL;
	}
	w->len += n;
	return p;
}

static inline void br_put_bytes(struct br_writer *w, const void *data, size_t n)
{
	uint8_t *p = br_writer_room(w, n);

	if (p && n)
		memcpy(p, data, n);
}

static inline void br_put_zeros(struct br_writer *w, size_t n)
{
	uint8_t *p = br_writer_room(w, n);

	if (p && n)
		memset(p, 0, n);
}

static inline void br_put_u8(struct br_writer *w, uint8_t v)
{
	br_put_bytes(w, &v, 1);
}

static inline void br_put_be16(struct br_writer *w, uint16_t v)
{
	uint8_t *p = br_writer_room(w, 2);

	if (p)
		br_store_be16(p, v);
}

static inline void br_put_be32(struct br_writer *w, uint32_t v)
{
	uint8_t *p = br_writer_room(w, 4);

	if (p)
		br_store_be32(p, v);
}

static inline void br_put_be64(struct br_writer *w, uint64_t v)
{
	uint8_t *p = br_writer_room(w, 8);

	if (p)
		br_store_be64(p, v);
}

static inline void br_put_le32(struct br_writer *w, uint32_t v)
{
	uint8_t *p = br_writer_room(w, 4);

	if (p)
		br_store_le32(p, v);
}
