/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/fdt.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

#define HEADER	 40
#define VERSION	 17
#define COMPATIBLE 16
#define RESERVED 16 /* an empty memory reservation block: its end */
#define NOP	 4
#define END	 9

static bool block(const uint8_t *fdt, uint32_t total, size_t at_field, size_t size_field, const uint8_t **ret,
	size_t *ret_len)
{
	uint32_t at = br_load_be32(fdt + at_field), size = br_load_be32(fdt + size_field);

	if (at > total || size > total - at)
		return false;
	*ret = fdt + at;
	*ret_len = size;
	return true;
}

int br_fdt_open(const void *data, size_t len, struct br_fdt *ret, struct br_error *err)
{
	const uint8_t *fdt = data;
	struct br_fdt f = { 0 };
	uint32_t total;

	if (len < HEADER || br_load_be32(fdt) != BR_FDT_MAGIC)
		return br_error_set(err, EBADMSG, "is no flattened device tree: no such magic number at its start");
	total = br_load_be32(fdt + 4);
	if (total < HEADER || total > len)
		return br_error_set(err, EBADMSG, "flattened device tree: says that it has %u bytes, of %zu that are there",
			total, len);
	if (!block(fdt, total, 8, 36, &f.structure, &f.n_structure) ||
		!block(fdt, total, 12, 32, &f.strings, &f.n_strings))
		return br_error_set(err, EBADMSG, "flattened device tree: its header points outside of it");
	f.total = total;
	*ret = f;
	return 0;
}

static void align(struct br_reader *r, const uint8_t *start)
{
	size_t over = (size_t)(r->p - start) & 3;

	if (over)
		br_reader_take(r, 4 - over);
}

static const char *terminated(const uint8_t *s, size_t room)
{
	return memchr(s, 0, room) ? (const char *)s : NULL;
}

static int take_node(struct br_fdt_cursor *c, struct br_reader *r, struct br_fdt_item *ret)
{
	size_t left = br_reader_left(r);

	ret->name = left ? terminated(r->p, left) : NULL;
	if (!ret->name || c->depth == BR_FDT_DEPTH_MAX)
		return -EBADMSG;
	br_reader_take(r, strlen(ret->name) + 1);
	ret->depth = ++c->depth;
	return 1;
}

static int take_prop(struct br_fdt_cursor *c, struct br_reader *r, struct br_fdt_item *ret)
{
	uint32_t len = br_get_be32(r), name = br_get_be32(r);

	ret->data = br_reader_take(r, len);
	ret->len = len;
	if (!ret->data || name >= c->fdt->n_strings || !c->depth)
		return -EBADMSG;
	ret->name = terminated(c->fdt->strings + name, c->fdt->n_strings - name);
	ret->depth = c->depth;
	return ret->name ? 1 : -EBADMSG;
}

int br_fdt_next(struct br_fdt_cursor *c, struct br_fdt_item *ret)
{
	struct br_reader r = br_reader_of(c->fdt->structure, c->fdt->n_structure);
	uint32_t token;
	int n;

	br_reader_take(&r, c->at);
	do
		token = br_get_be32(&r);
	while (token == NOP && !r.failed);
	*ret = (struct br_fdt_item){ .token = token };
	switch (token) {
	case BR_FDT_NODE:
		n = take_node(c, &r, ret);
		break;
	case BR_FDT_PROP:
		n = take_prop(c, &r, ret);
		break;
	case BR_FDT_NODE_END:
		ret->depth = c->depth;
		n = c->depth ? 1 : -EBADMSG;
		c->depth -= c->depth ? 1 : 0;
		break;
	default:
		return token == END && !c->depth && !r.failed ? 0 : -EBADMSG;
	}
	align(&r, c->fdt->structure);
	c->at = (size_t)(r.p - c->fdt->structure);
	return r.failed ? -EBADMSG : n;
}

int br_fdt_check(const struct br_fdt *fdt, struct br_error *err)
{
	struct br_fdt_cursor c = { .fdt = fdt };
	struct br_fdt_item item;
	size_t roots = 0;
	int r;

	while ((r = br_fdt_next(&c, &item)) > 0)
		roots += item.token == BR_FDT_NODE && item.depth == 1;
	if (r < 0 || roots != 1)
		return br_error_set(err, EBADMSG, "flattened device tree: damaged after %zu of its %zu bytes of structure",
			c.at, fdt->n_structure);
	return 0;
}

/* Where the node at path begins: the cursor is then behind its name. */
static bool find(const struct br_fdt *fdt, const char *path, struct br_fdt_cursor *ret)
{
	struct br_fdt_cursor c = { .fdt = fdt };
	struct br_fdt_item item;
	unsigned matched = 0; /* levels of the path that the cursor is in */

	while (br_fdt_next(&c, &item) > 0) {
		const char *part = path + strspn(path, "/");
		size_t n = strcspn(part, "/");

		if (item.token == BR_FDT_NODE_END && item.depth == matched)
			return false; /* the node was there, the rest of its path was not */
		if (item.token != BR_FDT_NODE || item.depth != matched + 1)
			continue;
		if (matched && (strlen(item.name) != n || memcmp(item.name, part, n) != 0))
			continue;
		if (matched)
			path = part + n;
		matched++;
		if (!path[strspn(path, "/")]) {
			*ret = c;
			return true;
		}
	}
	return false;
}

const uint8_t *br_fdt_prop(const struct br_fdt *fdt, const char *path, const char *name, size_t *ret_len)
{
	struct br_fdt_cursor c;
	struct br_fdt_item item;

	if (!find(fdt, path, &c))
		return NULL;
	while (br_fdt_next(&c, &item) > 0 && item.token == BR_FDT_PROP) {
		if (strcmp(item.name, name) != 0)
			continue;
		if (ret_len)
			*ret_len = item.len;
		return item.data;
	}
	return NULL;
}

const char *br_fdt_prop_text(const struct br_fdt *fdt, const char *path, const char *name)
{
	size_t len = 0;
	const uint8_t *p = br_fdt_prop(fdt, path, name, &len);

	return p && len && memchr(p, 0, len) == p + len - 1 ? (const char *)p : NULL;
}

const char *br_fdt_child(const struct br_fdt *fdt, const char *path, size_t i)
{
	struct br_fdt_cursor c;
	struct br_fdt_item item;
	unsigned depth;

	if (!find(fdt, path, &c))
		return NULL;
	depth = c.depth;
	while (br_fdt_next(&c, &item) > 0 && item.depth >= depth) {
		if (item.token == BR_FDT_NODE_END && item.depth == depth)
			return NULL;
		if (item.token == BR_FDT_NODE && item.depth == depth + 1 && !i--)
			return item.name;
	}
	return NULL;
}

static void put_u32(struct br_text *t, uint32_t v)
{
	uint8_t b[4];

	br_store_be32(b, v);
	br_text_add_bytes(t, b, 4);
}

static void pad(struct br_text *t, size_t n)
{
	static const uint8_t zeros[3] = { 0 };

	br_text_add_bytes(t, zeros, (4 - (n & 3)) & 3);
}

void br_fdt_begin_node(struct br_fdt_writer *w, const char *name)
{
	size_t n = strlen(name) + 1;

	put_u32(&w->structure, BR_FDT_NODE);
	br_text_add_bytes(&w->structure, name, n);
	pad(&w->structure, n);
	w->depth++;
}

void br_fdt_end_node(struct br_fdt_writer *w)
{
	put_u32(&w->structure, BR_FDT_NODE_END);
	w->depth--;
}

/* Offset of a name in the strings, which has each once. */
static uint32_t string_at(struct br_text *strings, const char *name)
{
	size_t n = strlen(name) + 1, at = 0;

	while (at < strings->len) {
		if (!strcmp(strings->buf + at, name))
			return (uint32_t)at;
		at += strlen(strings->buf + at) + 1;
	}
	br_text_add_bytes(strings, name, n);
	return (uint32_t)at;
}

static void put_prop(struct br_fdt_writer *w, const char *name, uint32_t len)
{
	put_u32(&w->structure, BR_FDT_PROP);
	put_u32(&w->structure, len);
	put_u32(&w->structure, string_at(&w->strings, name));
}

void br_fdt_add(struct br_fdt_writer *w, const char *name, const void *data, size_t len)
{
	put_prop(w, name, (uint32_t)len);
	br_text_add_bytes(&w->structure, data, len);
	pad(&w->structure, len);
}

void br_fdt_add_text(struct br_fdt_writer *w, const char *name, const char *text)
{
	br_fdt_add(w, name, text, strlen(text) + 1);
}

void br_fdt_add_u32(struct br_fdt_writer *w, const char *name, uint32_t value)
{
	uint8_t b[4];

	br_store_be32(b, value);
	br_fdt_add(w, name, b, 4);
}

size_t br_fdt_add_hole(struct br_fdt_writer *w, const char *name, uint32_t len)
{
	put_prop(w, name, len);
	w->holes += ((uint64_t)len + 3) & ~3ull;
	return w->structure.len;
}

int br_fdt_end(struct br_fdt_writer *w, uint8_t **ret, size_t *ret_len, size_t *ret_start)
{
	size_t start = HEADER + RESERVED;
	uint64_t structure, total;
	struct br_text out = BR_TEXT_NULL;
	uint8_t head[HEADER + RESERVED] = { 0 };

	put_u32(&w->structure, END);
	structure = w->structure.len + w->holes;
	total = start + structure + w->strings.len;
	if (total > UINT32_MAX) {
		br_fdt_writer_done(w);
		return -EFBIG;
	}
	br_store_be32(head, BR_FDT_MAGIC);
	br_store_be32(head + 4, (uint32_t)total);
	br_store_be32(head + 8, (uint32_t)start);
	br_store_be32(head + 12, (uint32_t)(start + structure));
	br_store_be32(head + 16, HEADER);
	br_store_be32(head + 20, VERSION);
	br_store_be32(head + 24, COMPATIBLE);
	br_store_be32(head + 32, (uint32_t)w->strings.len);
	br_store_be32(head + 36, (uint32_t)structure);
	br_text_add_bytes(&out, head, sizeof(head));
	br_text_add_bytes(&out, w->structure.buf, w->structure.len);
	br_text_add_bytes(&out, w->strings.buf, w->strings.len);
	out.failed |= w->structure.failed || w->strings.failed;
	br_fdt_writer_done(w);
	*ret_len = out.len;
	*ret_start = start;
	*ret = (uint8_t *)br_text_take(&out);
	return *ret ? 0 : -ENOMEM;
}

void br_fdt_writer_done(struct br_fdt_writer *w)
{
	br_text_done(&w->structure);
	br_text_done(&w->strings);
	*w = (struct br_fdt_writer){ 0 };
}
