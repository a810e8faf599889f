/* SPDX-License-Identifier: Apache-2.0 */
/* A sparse file as a stream: whatever comes, what is given out lies inside the file and ascends. Input: chunk size, stream. */
#include <stdint.h>
#include <stdlib.h>

#include "api/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct seen {
	const struct br_pieces *p;
	uint64_t at;
};

static int take(void *ctx, uint64_t offset, const void *data, size_t n, struct br_error *err)
{
	struct seen *s = ctx;

	if (!n || offset < s->at || offset > s->p->size || n > s->p->size - offset)
		abort();
	s->at = offset + n;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_pieces p = { 0 };
	struct seen seen = { .p = &p };
	size_t chunk = len ? 1 + data[0] : 1;

	for (size_t at = 1; at < len; at += chunk)
		if (br_pieces_take(&p, data + at, chunk < len - at ? chunk : len - at, take, &seen, &err) < 0)
			return 0;
	if (!br_pieces_end(&p, &err) && seen.at > p.size)
		abort();
	return 0;
}
