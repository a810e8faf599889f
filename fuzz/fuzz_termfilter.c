/* SPDX-License-Identifier: Apache-2.0 */
/* What a board says on its console: what passes does not depend on where it was cut, and has nothing in it that may not pass. */
#include <assert.h>
#include <string.h>

#include "console/termfilter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(enum br_term_mode mode, const uint8_t *data, size_t size, size_t piece, struct br_text *out)
{
	struct br_term_filter f = { .mode = mode };

	for (size_t at = 0; at < size; at += piece)
		br_term_filter(&f, data + at, size - at < piece ? size - at : piece, out);
}

static void check_plain(const struct br_text *t)
{
	for (size_t i = 0; i < t->len; i++) {
		unsigned char c = (unsigned char)t->buf[i];

		assert(c >= 0x20 || c == '\n' || c == '\t');
		assert(c != 0x7f);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_text whole = BR_TEXT_NULL, pieces = BR_TEXT_NULL, plain = BR_TEXT_NULL, again = BR_TEXT_NULL;

	if (size < 2)
		return 0;
	run(BR_TERM_SCREEN, data + 1, size - 1, size, &whole);
	run(BR_TERM_SCREEN, data + 1, size - 1, 1u + data[0] % 7, &pieces);
	run(BR_TERM_PLAIN, data + 1, size - 1, 1u + data[0] % 5, &plain);
	assert(!whole.failed && whole.len == pieces.len && (!whole.len || !memcmp(whole.buf, pieces.buf, whole.len)));
	check_plain(&plain);
	/* what passed passes: no dropped piece leaves something behind that is a sequence with what follows */
	if (whole.len)
		run(BR_TERM_SCREEN, (const uint8_t *)whole.buf, whole.len, whole.len, &again);
	assert(again.len <= whole.len);
	for (size_t i = 0; i < whole.len; i++)
		assert(whole.buf[i] != 0x05 && (i + 1 == whole.len || whole.buf[i] != 0x1b || !strchr("]PX^_k", whole.buf[i + 1]) || !whole.buf[i + 1]));
	br_text_done(&whole);
	br_text_done(&pieces);
	br_text_done(&plain);
	br_text_done(&again);
	return 0;
}
