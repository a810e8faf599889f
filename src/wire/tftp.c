/* SPDX-License-Identifier: Apache-2.0 */
/* TFTP datagrams. */
#include "wire/tftp.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"

static const struct {
	const char *name;
	uint64_t min, max; /* legal on the wire */
} known[BR_TFTP_N_OPTS] = {
	/* more than 65464 is answered with less, as RFC 2348 lets a server do */
	[BR_TFTP_OPT_BLKSIZE] = { "blksize", BR_TFTP_BLKSIZE_MIN, UINT32_MAX },
	[BR_TFTP_OPT_TSIZE] = { "tsize", 0, UINT64_MAX },
	[BR_TFTP_OPT_TIMEOUT] = { "timeout", 1, 255 },
	[BR_TFTP_OPT_WINDOWSIZE] = { "windowsize", 1, 65535 },
};

unsigned br_tftp_peek(const void *data, size_t len)
{
	return len < 2 ? 0 : br_load_be16(data);
}

/* The next text that ends with a NUL, or NULL. */
static const char *take_string(struct br_reader *r)
{
	size_t left = br_reader_left(r);
	const uint8_t *nul = left ? memchr(r->p, 0, left) : NULL;

	if (!nul)
		return NULL;
	return (const char *)br_reader_take(r, (size_t)(nul - r->p) + 1);
}

/* Decimal digits and nothing else: no sign, no blank, as the RFCs write numbers. */
static bool parse_value(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		if (__builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return false;
	}
	if (v < min || v > max)
		return false;
	*ret = v;
	return true;
}

static void decode_opt(struct br_tftp_opts *opts, const char *name, const char *text)
{
	for (unsigned id = 0; id < BR_TFTP_N_OPTS; id++) {
		struct br_tftp_opt *o = &opts->v[opts->n];
		uint64_t value;

		if (strcasecmp(name, known[id].name) != 0)
			continue;
		/* RFC 2347: an option may only be specified once */
		if (br_tftp_find_opt(opts, id) || !parse_value(text, known[id].min, known[id].max, &value))
			return;
		o->id = id;
		o->value = value;
		snprintf(o->name, sizeof(o->name), "%s", name);
		opts->n++;
		return;
	}
}

static void decode_opts(struct br_reader *r, struct br_tftp_opts *opts)
{
	opts->n = 0;
	for (;;) {
		const char *name = take_string(r);
		const char *value = name ? take_string(r) : NULL;

		if (!value)
			return;
		decode_opt(opts, name, value);
	}
}

int br_tftp_decode_request(const void *data, size_t len, struct br_tftp_request *ret)
{
	struct br_reader r = br_reader_of(data, len);
	uint16_t opcode = br_get_be16(&r);
	const char *name, *mode;

	if (opcode != BR_TFTP_RRQ && opcode != BR_TFTP_WRQ)
		return -EBADMSG;
	name = take_string(&r);
	mode = name ? take_string(&r) : NULL;
	if (!mode)
		return -EBADMSG;
	ret->opcode = opcode;
	ret->octet = strcasecmp(mode, "octet") == 0;
	snprintf(ret->mode, sizeof(ret->mode), "%s", mode);
	decode_opts(&r, &ret->opts);
	return snprintf(ret->name, sizeof(ret->name), "%s", name) < (int)sizeof(ret->name)
		? 0
		: -ENAMETOOLONG;
}

int br_tftp_decode_ack(const void *data, size_t len, uint16_t *ret_block)
{
	if (len < BR_TFTP_HEAD || br_load_be16(data) != BR_TFTP_ACK)
		return -EBADMSG;
	*ret_block = br_load_be16((const uint8_t *)data + 2);
	return 0;
}

int br_tftp_decode_data(const void *data, size_t len, uint16_t *ret_block, const uint8_t **ret_data,
	size_t *ret_len)
{
	if (len < BR_TFTP_HEAD || br_load_be16(data) != BR_TFTP_DATA)
		return -EBADMSG;
	*ret_block = br_load_be16((const uint8_t *)data + 2);
	*ret_data = (const uint8_t *)data + BR_TFTP_HEAD;
	*ret_len = len - BR_TFTP_HEAD;
	return 0;
}

int br_tftp_decode_error(const void *data, size_t len, uint16_t *ret_code, char *text, size_t text_size)
{
	const uint8_t *words = (const uint8_t *)data + BR_TFTP_HEAD;

	if (len < BR_TFTP_HEAD || br_load_be16(data) != BR_TFTP_ERROR)
		return -EBADMSG;
	*ret_code = br_load_be16((const uint8_t *)data + 2);
	br_vis(text, text_size, words, strnlen((const char *)words, len - BR_TFTP_HEAD));
	return 0;
}

int br_tftp_decode_oack(const void *data, size_t len, struct br_tftp_opts *ret)
{
	struct br_reader r = br_reader_of(data, len);

	if (br_get_be16(&r) != BR_TFTP_OACK)
		return -EBADMSG;
	decode_opts(&r, ret);
	return 0;
}

static void put_string(struct br_writer *w, const char *s)
{
	br_put_bytes(w, s, strlen(s) + 1);
}

static void put_opts(struct br_writer *w, const struct br_tftp_opts *opts)
{
	for (unsigned i = 0; i < opts->n; i++) {
		char value[24];

		snprintf(value, sizeof(value), "%llu", (unsigned long long)opts->v[i].value);
		put_string(w, opts->v[i].name);
		put_string(w, value);
	}
}

static int finish(const struct br_writer *w)
{
	return w->failed ? -EMSGSIZE : (int)w->len;
}

int br_tftp_encode_request(void *buf, size_t cap, const struct br_tftp_request *req)
{
	struct br_writer w = br_writer_of(buf, cap);

	br_put_be16(&w, (uint16_t)req->opcode);
	put_string(&w, req->name);
	put_string(&w, req->octet ? "octet" : req->mode);
	put_opts(&w, &req->opts);
	return finish(&w);
}

int br_tftp_encode_ack(void *buf, size_t cap, uint16_t block)
{
	struct br_writer w = br_writer_of(buf, cap);

	br_put_be16(&w, BR_TFTP_ACK);
	br_put_be16(&w, block);
	return finish(&w);
}

int br_tftp_encode_error(void *buf, size_t cap, uint16_t code, const char *text)
{
	struct br_writer w = br_writer_of(buf, cap);

	br_put_be16(&w, BR_TFTP_ERROR);
	br_put_be16(&w, code);
	put_string(&w, text);
	return finish(&w);
}

int br_tftp_encode_oack(void *buf, size_t cap, const struct br_tftp_opts *opts)
{
	struct br_writer w = br_writer_of(buf, cap);

	br_put_be16(&w, BR_TFTP_OACK);
	put_opts(&w, opts);
	return finish(&w);
}

void br_tftp_put_data_head(uint8_t head[static BR_TFTP_HEAD], uint16_t block)
{
	br_store_be16(head, BR_TFTP_DATA);
	br_store_be16(head + 2, block);
}

void br_tftp_add_opt(struct br_tftp_opts *opts, enum br_tftp_opt_id id, uint64_t value)
{
	struct br_tftp_opt *o = &opts->v[opts->n];

	assert(opts->n < BR_TFTP_N_OPTS && id < BR_TFTP_N_OPTS);
	o->id = id;
	o->value = value;
	snprintf(o->name, sizeof(o->name), "%s", known[id].name);
	opts->n++;
}

const struct br_tftp_opt *br_tftp_find_opt(const struct br_tftp_opts *opts, enum br_tftp_opt_id id)
{
	for (unsigned i = 0; i < opts->n; i++)
		if (opts->v[i].id == id)
			return &opts->v[i];
	return NULL;
}
