/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/xdr.h"

const uint8_t *br_xdr_get_fixed(struct br_reader *r, size_t n)
{
	const uint8_t *p = br_reader_take(r, n);

	return p && br_reader_take(r, br_xdr_padding(n)) ? p : NULL;
}

const uint8_t *br_xdr_get_opaque(struct br_reader *r, uint32_t max, uint32_t *ret_n)
{
	uint32_t n = br_get_be32(r);
	const uint8_t *p;

	if (n > max)
		r->failed = true;
	p = br_xdr_get_fixed(r, n);
	if (p)
		*ret_n = n;
	return p;
}

bool br_xdr_get_bool(struct br_reader *r)
{
	return br_get_be32(r) != 0;
}

void br_xdr_put_fixed(struct br_writer *w, const void *data, size_t n)
{
	br_put_bytes(w, data, n);
	br_put_zeros(w, br_xdr_padding(n));
}

void br_xdr_put_opaque(struct br_writer *w, const void *data, size_t n)
{
	br_put_be32(w, (uint32_t)n);
	br_xdr_put_fixed(w, data, n);
}

void br_xdr_put_string(struct br_writer *w, const char *s)
{
	br_xdr_put_opaque(w, s, strlen(s));
}
