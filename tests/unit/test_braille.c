/* SPDX-License-Identifier: Apache-2.0 */
/* Curves of dots, row by row. */
#include "base/braille.h"

#include "test.h"

static const struct {
	const char *what;
	uint64_t values[6];
	size_t n;
	uint64_t max;
	unsigned width, rows;
	const char *braille[2], *ascii[2]; /* rows from the top */
} cases[] = {
	{ "nothing", { 0 }, 0, 1, 2, 1, { "\u2800\u2800" }, { "  " } },
	{ "full", { 4, 4 }, 2, 4, 1, 1, { "\u28ff" }, { "|" } },
	{ "half", { 2, 2 }, 2, 4, 1, 1, { "\u28e4" }, { "." } },
	{ "a trace of something is seen", { 1, 1 }, 2, 1000, 1, 1, { "\u28c0" }, { "." } },
	{ "newest at the right", { 4, 0 }, 2, 4, 2, 1, { "\u2800\u2847" }, { " |" } },
	{ "one value is the right column", { 4 }, 1, 4, 1, 1, { "\u28b8" }, { "|" } },
	{ "two rows", { 8, 4 }, 2, 8, 1, 2, { "\u2847", "\u28ff" }, { "|", "|" } },
	{ "more than max is max", { 900, 900 }, 2, 4, 1, 1, { "\u28ff" }, { "|" } },
	{ "the oldest go", { 4, 4, 0, 0, 4, 4 }, 6, 4, 2, 1, { "\u2800\u28ff" }, { " |" } },
};

static void test_rows(void **state)
{
	char out[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (unsigned row = 0; row < cases[i].rows; row++) {
			print_message("%s, row %u\n", cases[i].what, row);
			br_braille_row(cases[i].values, cases[i].n, cases[i].max, cases[i].width, row, cases[i].rows, out);
			assert_string_equal(out, cases[i].braille[row]);
			br_ascii_row(cases[i].values, cases[i].n, cases[i].max, cases[i].width, row, cases[i].rows, out);
			assert_string_equal(out, cases[i].ascii[row]);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
