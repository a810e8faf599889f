/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events: the same events whatever the pieces they come in. */
#include <stdint.h>
#include <stdlib.h>

#include "base/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int hear(void *ctx, const char *name, const char *data, size_t n)
{
	uint64_t *sum = ctx;

	if (data[n])
		abort();
	for (; *name; name++)
		*sum = *sum * 31 + (uint8_t)*name;
	for (size_t i = 0; i < n; i++)
		*sum = *sum * 31 + (uint8_t)data[i];
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_sse whole = { 0 }, parts = { 0 };
	uint64_t a = 0, b = 0;

	if (br_sse_take(&whole, data, size, hear, &a) < 0)
		abort();
	for (size_t i = 0, n = 1; i < size; i += n, n = n % 7 + 1)
		if (br_sse_take(&parts, data + i, size - i < n ? size - i : n, hear, &b) < 0)
			abort();
	if (a != b)
		abort();
	br_sse_done(&whole);
	br_sse_done(&parts);
	return 0;
}
