/* SPDX-License-Identifier: Apache-2.0 */
/* A walk over the structure block; only two levels matter here (overlay_map.dtb, the root's compatible). */
#include "sim/fdt.h"

#include <string.h>

#include "base/bytes.h"

#define MAGIC	   0xd00dfeedu
#define HEADER	   40
#define BEGIN_NODE 1
#define END_NODE   2
#define PROP	   3
#define NOP	   4

struct blocks {
	const uint8_t *structure, *strings;
	size_t n_structure, n_strings;
};

static bool find_blocks(const uint8_t *fdt, size_t len, struct blocks *ret)
{
	uint32_t total, at, size;

	if (len < HEADER || br_load_be32(fdt) != MAGIC)
		return false;
	total = br_load_be32(fdt + 4);
	if (total < HEADER || total > len)
		return false;
	at = br_load_be32(fdt + 8);
	size = br_load_be32(fdt + 36);
	if (at > total || size > total - at)
		return false;
	ret->structure = fdt + at;
	ret->n_structure = size;
	at = br_load_be32(fdt + 12);
	size = br_load_be32(fdt + 32);
	if (at > total || size > total - at)
		return false;
	ret->strings = fdt + at;
	ret->n_strings = size;
	return true;
}

bool br_sim_fdt_valid(const uint8_t *fdt, size_t len)
{
	struct blocks b;

	return find_blocks(fdt, len, &b);
}

static void align4(struct br_reader *r, const uint8_t *start)
{
	size_t over = (size_t)(r->p - start) & 3;

	if (over)
		br_reader_take(r, 4 - over);
}

static const char *take_name(struct br_reader *r, const uint8_t *start)
{
	size_t left = br_reader_left(r);
	const char *name = (const char *)r->p;
	size_t n = left ? strnlen(name, left) : 0;

	if (n == left) {
		r->failed = true;
		return NULL;
	}
	br_reader_take(r, n + 1);
	align4(r, start);
	return name;
}

static bool string_is(const struct blocks *b, uint32_t at, const char *want)
{
	size_t n = strlen(want) + 1;

	return at <= b->n_strings && n <= b->n_strings - at && !memcmp(b->strings + at, want, n);
}

/* prop NULL: stop at the node itself, returning a pointer that is not NULL. */
static const uint8_t *walk(const struct blocks *b, const char *node, const char *prop, size_t *ret_n)
{
	struct br_reader r = br_reader_of(b->structure, b->n_structure);
	int depth = 0;
	bool here = false;

	while (br_reader_left(&r) >= 4 && !r.failed) {
		uint32_t token = br_get_be32(&r), n, name_at;
		const char *name;
		const uint8_t *value;

		switch (token) {
		case BEGIN_NODE:
			name = take_name(&r, b->structure);
			depth++;
			here = name && depth == (*node ? 2 : 1) && !strcmp(name, node);
			if (here && !prop)
				return b->structure;
			break;
		case END_NODE:
			depth--;
			here = false;
			break;
		case PROP:
			n = br_get_be32(&r);
			name_at = br_get_be32(&r);
			value = br_reader_take(&r, n);
			if (value && here && prop && string_is(b, name_at, prop)) {
				*ret_n = n;
				return value;
			}
			align4(&r, b->structure);
			break;
		case NOP:
			break;
		default:
			return NULL; /* END, or garbage */
		}
	}
	return NULL;
}

bool br_sim_fdt_has_node(const uint8_t *fdt, size_t len, const char *node)
{
	struct blocks b;

	return find_blocks(fdt, len, &b) && walk(&b, node, NULL, NULL);
}

const uint8_t *br_sim_fdt_prop(const uint8_t *fdt, size_t len, const char *node, const char *prop, size_t *ret_n)
{
	struct blocks b;

	return find_blocks(fdt, len, &b) ? walk(&b, node, prop, ret_n) : NULL;
}

static bool node_is(const char *name, const char *want)
{
	size_t n = strlen(want);

	return !strncmp(name, want, n) && (!name[n] || name[n] == '@');
}

/* Behind the token that r has just read: 0, or -1 for garbage and the end. */
static int skip(struct br_reader *r, const uint8_t *start, uint32_t token)
{
	uint32_t n;

	if (token == BEGIN_NODE) {
		take_name(r, start);
	} else if (token == PROP) {
		n = br_get_be32(r);
		br_get_be32(r);
		br_reader_take(r, n);
		align4(r, start);
	} else if (token != END_NODE && token != NOP) {
		return -1;
	}
	return r->failed ? -1 : 0;
}

unsigned br_sim_fdt_remove(uint8_t *fdt, size_t len, const char *node)
{
	struct blocks b;
	struct br_reader r;
	unsigned n = 0;
	int depth = 0, from_depth = -1;
	size_t from = 0;

	if (!find_blocks(fdt, len, &b))
		return 0;
	r = br_reader_of(b.structure, b.n_structure);
	while (br_reader_left(&r) >= 4) {
		size_t at = (size_t)(r.p - b.structure);
		uint32_t token = br_get_be32(&r);

		if (token == BEGIN_NODE && from_depth < 0 && br_reader_left(&r) &&
			strnlen((const char *)r.p, br_reader_left(&r)) < br_reader_left(&r) &&
			node_is((const char *)r.p, node)) {
			from = at;
			from_depth = depth;
		}
		if (skip(&r, b.structure, token) < 0)
			return n;
		depth += token == BEGIN_NODE ? 1 : token == END_NODE ? -1 : 0;
		if (token != END_NODE || depth != from_depth)
			continue;
		/* no lengths change: the whole node becomes NOP tokens */
		for (size_t i = from; i < (size_t)(r.p - b.structure); i += 4)
			br_store_be32(fdt + (b.structure - fdt) + i, NOP);
		from_depth = -1;
		n++;
	}
	return n;
}
