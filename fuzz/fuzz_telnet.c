/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal server's bytes, in pieces: what they become fits, and does not depend on where the pieces end. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "console/telnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX 8192

struct result {
	uint8_t data[MAX], out[2 * MAX];
	struct br_writer d, o;
	struct br_telnet t;
};

static void feed(struct result *r, const uint8_t *data, size_t size, size_t piece, bool comport)
{
	r->d = br_writer_of(r->data, sizeof(r->data));
	r->o = br_writer_of(r->out, sizeof(r->out));
	br_telnet_start(&r->t, comport, 115200, &r->o);
	r->o.len = 0;
	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece, before = r->o.len;

		br_telnet_take(&r->t, data + at, n, &r->d, &r->o);
		/* what the caller has room for */
		assert(r->o.len - before <= n + BR_TELNET_EXTRA);
	}
	assert(!r->d.failed && r->d.len <= size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct result a, b;
	uint8_t back[2 * MAX];
	struct br_writer w = br_writer_of(back, sizeof(back));

	if (size < 2 || size > MAX / 4)
		return 0;
	feed(&a, data + 1, size - 1, size, data[0] & 1);
	feed(&b, data + 1, size - 1, 1u + data[0] / 2, data[0] & 1);
	assert(a.d.len == b.d.len && !memcmp(a.data, b.data, a.d.len));
	assert(a.o.len == b.o.len && !memcmp(a.out, b.out, a.o.len));
	br_telnet_put(&a.t, data, size, &w);
	assert(!w.failed);
	br_telnet_break(&a.t, true, &w);
	return 0;
}
