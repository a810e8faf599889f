/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

/*
 * Flattened device trees (Devicetree Specification 0.4, chapter 5), as firmware hands them to kernels and as U-Boot's FIT
 * images are built. Reading copes with any bytes; writing makes version 17.
 */
#define BR_FDT_MAGIC 0xd00dfeedu
#define BR_FDT_DEPTH_MAX 16

struct br_fdt {
	const uint8_t *structure, *strings;
	size_t n_structure, n_strings, total;
};

/* -EBADMSG with words when header and blocks do not lie within len bytes. Points into data. */
int br_fdt_open(const void *data, size_t len, struct br_fdt *ret, struct br_error *err);

enum br_fdt_token { BR_FDT_NODE = 1, BR_FDT_NODE_END = 2, BR_FDT_PROP = 3 };

struct br_fdt_item {
	enum br_fdt_token token;
	unsigned depth;	     /* of the node, or of the node that has the property; the root is 1 */
	const char *name;    /* of a node ("" is the root) or property; terminated */
	const uint8_t *data; /* of a property */
	size_t len;
};

struct br_fdt_cursor {
	const struct br_fdt *fdt;
	size_t at;
	unsigned depth;
};

/* 1: the next item; 0: the end; -EBADMSG: garbage. */
int br_fdt_next(struct br_fdt_cursor *c, struct br_fdt_item *ret);
/* Checks all of it: whether br_fdt_next() comes to the end of one tree. 0 or -EBADMSG. */
int br_fdt_check(const struct br_fdt *fdt, struct br_error *err);

/* A property of the node at path ("/images/script"; "/" is the root); NULL when there is none. ret_len may be NULL. */
const uint8_t *br_fdt_prop(const struct br_fdt *fdt, const char *path, const char *name, size_t *ret_len);
/* As text: NULL also when it is not one terminated string. */
const char *br_fdt_prop_text(const struct br_fdt *fdt, const char *path, const char *name);
/* Name of the i-th node below path; NULL: no more, or no such path. */
const char *br_fdt_child(const struct br_fdt *fdt, const char *path, size_t i);

/*
 * Building one: begin, nodes and properties in order (properties before subnodes), end. A hole is a property whose
 * 'len' bytes are left to the caller, who puts them where the offset says: large data need not be copied.
 */
struct br_fdt_writer {
	struct br_text structure, strings;
	uint64_t holes; /* bytes of all so far, with their padding */
	unsigned depth;
};

void br_fdt_begin_node(struct br_fdt_writer *w, const char *name); /* "" for the root */
void br_fdt_end_node(struct br_fdt_writer *w);
void br_fdt_add(struct br_fdt_writer *w, const char *name, const void *data, size_t len);
void br_fdt_add_text(struct br_fdt_writer *w, const char *name, const char *text);
void br_fdt_add_u32(struct br_fdt_writer *w, const char *name, uint32_t value);
/* Returns the offset in w->structure.buf where the property's bytes, and pad to a multiple of four, are left out. */
size_t br_fdt_add_hole(struct br_fdt_writer *w, const char *name, uint32_t len);

/*
 * Ends it. ret: header, structure without the holes, strings; free(). *ret_start: offset of the structure in it, so that
 * a hole is at *ret_start + its offset. -ENOMEM, -EFBIG beyond 4 GiB. The writer is done with in any case.
 */
int br_fdt_end(struct br_fdt_writer *w, uint8_t **ret, size_t *ret_len, size_t *ret_start);
void br_fdt_writer_done(struct br_fdt_writer *w);
