/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/bytes.h"

/*
 * XDR (RFC 4506) over the cursors of base/bytes.h: big-endian words; opaque bytes are
 * padded with zeros to a multiple of four. Numbers are br_get_be32() and friends.
 */

/* Bytes of padding behind n bytes. */
static inline size_t br_xdr_padding(size_t n)
{
	return -n & 3;
}

/* n bytes and their padding; a pointer into the input, NULL (and 'failed') when it ends before. */
const uint8_t *br_xdr_get_fixed(struct br_reader *r, size_t n);
/* Counted bytes, at most max; as above. An empty one gives a pointer that is not NULL. */
const uint8_t *br_xdr_get_opaque(struct br_reader *r, uint32_t max, uint32_t *ret_n);
bool br_xdr_get_bool(struct br_reader *r);

void br_xdr_put_fixed(struct br_writer *w, const void *data, size_t n);
void br_xdr_put_opaque(struct br_writer *w, const void *data, size_t n);
void br_xdr_put_string(struct br_writer *w, const char *s);
