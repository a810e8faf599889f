/* SPDX-License-Identifier: Apache-2.0 */
/* JUnit XML: any bytes become text that XML readers take. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "cli/junit.h"

static char *message_of(const char *words)
{
	struct br_junit_case c = { .name = "boot", .class_name = "pi07", .failure = words, .failure_type = "lab", .took_ns = 1234567890 };
	char *text = br_junit_text("s", 0, &c, 1), *from, *to, *out;

	assert_non_null(text);
	from = strstr(text, "type=\"lab\">");
	assert_non_null(from);
	from += strlen("type=\"lab\">");
	to = strstr(from, "</failure>");
	assert_non_null(to);
	out = strndup(from, (size_t)(to - from));
	free(text);
	return out;
}

static void texts_are_escaped(void **state)
{
	static const struct {
		const char *words, *xml;
	} cases[] = {
		{ "plain", "plain" },
		{ "<b> & \"c\" 'd'", "&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;" },
		{ "]]>", "]]&gt;" },
		{ "a\nb\tc\r", "a&#10;b&#9;c&#13;" },
		{ "\x1b[31m\x01\x7f", "\xef\xbf\xbd[31m\xef\xbf\xbd\x7f" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xff\xc3", "\xef\xbf\xbd\xef\xbf\xbd" },		/* no UTF-8 */
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },		/* longer than need be */
		{ "\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
		{ "\xef\xbf\xbe", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* U+FFFE */
		{ "\xf0\x9f\x8d\x87", "\xf0\x9f\x8d\x87" },
		{ "\xf5\x80\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *xml = message_of(cases[i].words);

		assert_string_equal(xml, cases[i].xml);
	}
}

static void a_suite_counts(void **state)
{
	const struct br_junit_case cases[] = {
		{ .name = "queue", .class_name = "a", .took_ns = 1500000000 },
		{ .name = "boot", .class_name = "a", .took_ns = 2250000000, .failure = "dark" },
	};
	br_cleanup(br_freep) char *text = br_junit_text("run <x>", 1795219200000000000ull, cases, 2);

	assert_non_null(strstr(text, "<testsuite name=\"run &lt;x&gt;\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\""));
	assert_non_null(strstr(text, "time=\"3.750\""));
	assert_non_null(strstr(text, "<testcase name=\"queue\" classname=\"a\" time=\"1.500\"/>"));
	assert_non_null(strstr(text, "timestamp=\"2026-11-21T"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(texts_are_escaped), cmocka_unit_test(a_suite_counts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
