/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events, in pieces of each size. */
#include "base/sse.h"

#include "test.h"

struct heard {
	char text[512];
	int answer;
};

static int hear(void *ctx, const char *name, const char *data, size_t n)
{
	struct heard *h = ctx;
	size_t at = strlen(h->text);

	assert_int_equal(strlen(data), n);
	snprintf(h->text + at, sizeof(h->text) - at, "<%s|%s>", name, data);
	return h->answer;
}

static const struct {
	const char *what, *in, *out, *id;
} cases[] = {
	{ "one", "event: boards\ndata: []\n\n", "<boards|[]>", "" },
	{ "no name", "data: x\n\n", "<message|x>", "" },
	{ "two lines of data", "data: a\ndata: b\n\n", "<message|a\nb>", "" },
	{ "no blank behind the colon", "event:e\ndata:a\n\n", "<e|a>", "" },
	{ "two blanks: one stays", "data:  a\n\n", "<message| a>", "" },
	{ "a comment is a sign of life", ": ping\n\ndata: a\n\n", "<message|a>", "" },
	{ "a name without data is nothing, and forgotten", "event: x\n\ndata: a\n\n", "<message|a>", "" },
	{ "CR LF", "event: e\r\ndata: a\r\n\r\n", "<e|a>", "" },
	{ "CR", "event: e\rdata: a\r\r", "<e|a>", "" },
	{ "an id stays", "id: E-7\ndata: a\n\ndata: b\n\n", "<message|a><message|b>", "E-7" },
	{ "unknown fields, fields without a colon", "retry: 5\nfoo\ndata\ndata: a\n\n", "<message|\na>", "" },
	{ "cut off", "data: a\n", "", "" },
	{ "a name that is too long", "event: 0123456789012345678901234567890123456789\ndata: a\n\n", "<?|a>", "" },
};

static void test_pieces(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t piece = 1; piece < 20; piece++) {
			struct br_sse sse = { 0 };
			struct heard h = { "", 0 };
			size_t n = strlen(cases[i].in);

			print_message("%s, pieces of %zu\n", cases[i].what, piece);
			for (size_t at = 0; at < n; at += piece)
				assert_int_equal(br_sse_take(&sse, cases[i].in + at, n - at < piece ? n - at : piece, hear, &h), 0);
			assert_string_equal(h.text, cases[i].out);
			assert_string_equal(sse.id, cases[i].id);
			br_sse_done(&sse);
		}
}

static void test_end_by_the_reader(void **state)
{
	struct br_sse sse = { 0 };
	struct heard h = { "", 1 };

	assert_int_equal(br_sse_take(&sse, "data: a\n\ndata: b\n\n", 18, hear, &h), 1);
	assert_string_equal(h.text, "<message|a>");
	br_sse_done(&sse);
}

static void test_too_large(void **state)
{
	struct br_sse sse = { 0 };
	struct heard h = { "", 0 };
	size_t n = 1 << 20;
	char *piece = calloc(1, n);
	int r = 0;

	assert_non_null(piece);
	memset(piece, 'x', n);
	for (unsigned i = 0; i < 70 && !r; i++)
		r = br_sse_take(&sse, piece, n, hear, &h);
	assert_int_equal(r, -EFBIG);
	br_sse_done(&sse);
	free(piece);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_end_by_the_reader),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
