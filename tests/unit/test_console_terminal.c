/* SPDX-License-Identifier: Apache-2.0 */
/* What of a board's bytes a terminal gets, what a recording gets; UTF-8, and host lists made of names. */
#include "tests/unit/test.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "base/utf8.h"
#include "console/cast.h"
#include "console/termfilter.h"

static void characters(void **state)
{
	static const struct {
		const char *bytes;
		size_t n, ret;
		uint32_t c;
	} cases[] = {
		{ "a", 1, 1, 'a' }, { "\xc3\xa9", 2, 2, 0xe9 }, { "\xe2\x82\xac", 3, 3, 0x20ac }, { "\xf0\x9f\x8d\x93", 4, 4, 0x1f353 },
		{ "\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff }, { "\xc2\x9b", 2, 2, 0x9b }, { "\xe2\x82", 2, BR_UTF8_MORE, 0 }, { "\xf0", 1, BR_UTF8_MORE, 0 },
		{ "\x80", 1, 0, 0 }, { "\xc0\x80", 2, 0, 0 }, { "\xc1\xbf", 2, 0, 0 }, { "\xe0\x9f\xbf", 3, 0, 0 }, { "\xed\xa0\x80", 3, 0, 0 },
		{ "\xf0\x8f\xbf\xbf", 4, 0, 0 }, { "\xf4\x90\x80\x80", 4, 0, 0 }, { "\xf5", 1, 0, 0 }, { "\xff", 1, 0, 0 }, { "\xc3(", 2, 0, 0 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		uint32_t c = 0;

		if (br_utf8_next((const uint8_t *)cases[i].bytes, cases[i].n, &c) != cases[i].ret || c != cases[i].c)
			fail_msg("case %zu: %x", i, c);
	}
}

/* One byte at a time, since sequences are cut anywhere. */
static char *filtered(enum br_term_mode mode, const char *bytes, size_t n)
{
	struct br_term_filter f = { .mode = mode };
	struct br_text t = BR_TEXT_NULL;

	for (size_t i = 0; i < n; i++)
		br_term_filter(&f, bytes + i, 1, &t);
	return br_text_take(&t);
}

static void what_draws_passes_the_rest_does_not(void **state)
{
#define IN(text) text, sizeof(text) - 1
	static const struct {
		const char *in;
		size_t n;
		const char *screen, *plain;
	} cases[] = {
		{ IN("login: \r\n"), "login: \r\n", "login: \n" },
		{ IN("\x1b[1;32mok\x1b[0m"), "\x1b[1;32mok\x1b[0m", "ok" },
		{ IN("\x1b[?1049h\x1b[2J\x1b(0q\x1b(B"), "\x1b[?1049h\x1b[2J\x1b(0q\x1b(B", "q" },
		{ IN("\x1b[6n\x1b[c\x1b[21t\x1b[8;1;1tx"), "\x1b[6n\x1b[cx", "x" },
		{ IN("a\x1b%@\x1b%G\x1b F\x1b%/Gb\x1b#8"), "ab\x1b#8", "ab" },
		{ IN("a\x1b[5i\x1b[?5ib\x1b[>4;2m\x1b[>1u\x1b[?4mc\x1b[s\x1b[u\x1b[m"), "abc\x1b[s\x1b[u\x1b[m", "abc" },
		{ IN("a\x1b]0;title\x07" "b\x1b]52;c;Zm9v\x1b\\c"), "abc", "abc" },
		{ IN("a\x1bP$qm\x1b\\b\x1b_x\x1b\\c\x1b^x\x1b\\d\x1bXx\x1b\\e\x1bktitle\x1b\\f"), "abcdef", "abcdef" },
		{ IN("a\x05" "b\x9b" "31mc\xc2\x9b" "31md\xc2\x9d"), "ab31mc31md", "a\\x05b\\x9b31mc31md" },
		{ IN("\xe2\x82\xac \xff\xc3( \xc3\x1b[1mx"), "\xe2\x82\xac \xff\xc3( \xc3\x1b[1mx", "\xe2\x82\xac \\xff\\xc3( \\xc3x" },
		{ IN("a\x1b\x1b[1mb\x1b[1\x1b[2mc\x1b[1\x18" "d"), "a\x1b[1mb\x1b[2mcd", "abcd" },
		{ IN("a\x1b\nb\x08\x7f" "c"), "ab\x08\x7f" "c", "ab\\x08\\x7fc" },
		{ IN("\x1b[0000000000000000000000000000000000000000000000000000000000000000000000000mx"), "0000000000mx", "0000000000mx" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *screen = filtered(BR_TERM_SCREEN, cases[i].in, cases[i].n);
		br_cleanup(br_freep) char *plain = filtered(BR_TERM_PLAIN, cases[i].in, cases[i].n);
		br_cleanup(br_freep) char *raw = filtered(BR_TERM_RAW, cases[i].in, cases[i].n);

		assert_string_equal(screen, cases[i].screen);
		assert_string_equal(plain, cases[i].plain);
		assert_string_equal(raw, cases[i].in);
	}
}

/* To what it said before nobody waits for an answer. */
static void the_past_asks_nothing(void **state)
{
	static const char asks[] = "a\x1b[6n\x1b[c\x1b[>c\x1bZ\x1b[?25$p\x1b[>q\x1b[0x\x1b[1;1;1;1;1;1*yb\x1b[!p\x1b[2 q\x1b[1;1$x\x1b[1mc";
	struct br_term_filter f = { .mode = BR_TERM_SCREEN, .past = true };
	struct br_text t = BR_TEXT_NULL;

	br_term_filter(&f, asks, sizeof(asks) - 1, &t);
	assert_string_equal(t.buf, "ab\x1b[!p\x1b[2 q\x1b[1;1$x\x1b[1mc");
	f.past = false;
	t.len = 0;
	br_term_filter(&f, asks, sizeof(asks) - 1, &t);
	assert_string_equal(t.buf, asks);
	br_text_done(&t);
}

/* A string without end does not make the terminal deaf, and the alternate screen is left. */
static void endless_strings_end(void **state)
{
	struct br_term_filter f = { .mode = BR_TERM_SCREEN };
	struct br_text t = BR_TEXT_NULL;

	br_term_filter(&f, "\x1b]0;", 4, &t);
	for (int i = 0; i < BR_TERM_STRING_MAX + 10; i++)
		br_term_filter(&f, "x", 1, &t);
	assert_in_range(t.len, 1, 20);
	assert_null(strstr(br_term_restore(&f), "1049"));
	br_term_filter(&f, "\x1b[?2004l\x1b[?10490h\x1b[1049h", 24, &t);
	assert_false(f.alternate);
	br_term_filter(&f, "\x1b[?2004;1049;25h", 16, &t);
	assert_ptr_equal(strstr(br_term_restore(&f), "\x1b[?1049l"), br_term_restore(&f));
	br_text_done(&t);
}

static void recordings(void **state)
{
	br_cleanup(br_freep) char *path = br_asprintf("%s/x.cast", test_dir());
	br_cleanup(br_freep) char *text = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_cast *cast = NULL;
	uint64_t now;

	assert_int_equal(br_cast_open("/nowhere/x.cast", 80, 24, "", &cast, &err), -ENOENT);
	assert_int_equal(br_cast_open(path, 100, 30, "pi\"1", &cast, &err), 0);
	now = br_now_ns() + BR_S;
	/* a character in two pieces, bytes that are none, what JSON escapes */
	assert_int_equal(br_cast_put(cast, now, "\xe2\x82", 2), 0);
	assert_int_equal(br_cast_put(cast, now, "\xac\xff\"\\\r\n\x1b[1m", 10), 0);
	assert_int_equal(br_cast_close(cast, &err), 0);
	assert_int_equal(br_file_read(path, 4096, &text, NULL, &err), 0);
	assert_non_null(strstr(text, "{\"version\": 2, \"width\": 100, \"height\": 30, \"timestamp\": "));
	assert_non_null(strstr(text, ", \"title\": \"pi\\\"1\"}\n["));
	assert_non_null(strstr(text, ", \"o\", \"\xe2\x82\xac\xef\xbf\xbd\\\"\\\\\\u000d\\u000a\\u001b[1m\"]\n"));
	if (access("/dev/full", W_OK) == 0)
		assert_int_equal(br_cast_open("/dev/full", 80, 24, "", &cast, &err), -EIO);
	unlink(path);
}

static void names_fold(void **state)
{
	static const struct {
		const char *names[8], *list;
	} cases[] = {
		{ { NULL }, "" },
		{ { "pi07" }, "pi07" },
		{ { "pi03", "pi01", "pi02", "pi02" }, "pi[01-03]" },
		{ { "pi1", "pi2", "pi10", "pi07" }, "pi[1,2],pi[07,10]" },
		{ { "pi01", "pi03", "pi04", "pi05", "lab", "x9" }, "lab,pi[01,03-05],x9" },
		{ { "1", "2" }, "[1,2]" },
		{ { "a1b", "a1c" }, "a1b,a1c" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *list = NULL;
		struct br_error err = BR_ERROR_NULL;
		char **back = NULL;
		size_t n = 0, m = 0;

		while (cases[i].names[n])
			n++;
		list = br_hostlist_fold(cases[i].names, n);
		assert_string_equal(list, cases[i].list);
		if (n) {
			assert_int_equal(br_hostlist_expand(list, &back, &m, &err), 0);
			assert_in_range(m, 1, n);
			br_hostlist_free(back, m);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters),
		cmocka_unit_test(what_draws_passes_the_rest_does_not),
		cmocka_unit_test(the_past_asks_nothing),
		cmocka_unit_test(endless_strings_end),
		cmocka_unit_test(recordings),
		cmocka_unit_test(names_fold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
