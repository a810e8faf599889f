/* SPDX-License-Identifier: Apache-2.0 */
/* JUnit XML. XML 1.0 cannot say most control characters, nor bytes that are no UTF-8: these become U+FFFD. */
#include "cli/junit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* Bytes of the UTF-8 character at s that XML 1.0 (2.2) allows; 0: none. */
static size_t character(const uint8_t *s, size_t left)
{
	uint32_t c = 0;
	size_t n = br_utf8_next(s, left, &c);

	if (n == BR_UTF8_WRONG || n == BR_UTF8_MORE || c == 0xfffe || c == 0xffff)
		return 0;
	return c >= 0x20 || c == '\t' || c == '\n' || c == '\r' ? n : 0;
}

static void add_escaped(struct br_text *t, const char *text)
{
	static const char *const entities[] = { ['<'] = "&lt;", ['>'] = "&gt;", ['&'] = "&amp;", ['"'] = "&quot;", ['\''] = "&apos;",
		['\n'] = "&#10;", ['\t'] = "&#9;", ['\r'] = "&#13;" };
	const uint8_t *s = (const uint8_t *)text, *end = s + strlen(text);

	while (s < end) {
		size_t n = character(s, (size_t)(end - s));

		if (!n)
			br_text_add(t, REPLACEMENT);
		else if (*s < sizeof(entities) / sizeof(entities[0]) && entities[*s])
			br_text_add(t, entities[*s]);
		else
			br_text_add_bytes(t, s, n);
		s += n ? n : 1;
	}
}

static void add_attribute(struct br_text *t, const char *name, const char *value)
{
	br_text_addf(t, " %s=\"", name);
	add_escaped(t, value);
	br_text_add(t, "\"");
}

static void add_seconds(struct br_text *t, uint64_t ns)
{
	br_text_addf(t, " time=\"%llu.%03u\"", (unsigned long long)(ns / BR_S), (unsigned)(ns % BR_S / BR_MS));
}

static void add_case(struct br_text *t, const struct br_junit_case *c)
{
	br_text_add(t, "    <testcase");
	add_attribute(t, "name", c->name);
	add_attribute(t, "classname", c->class_name);
	add_seconds(t, c->took_ns);
	if (!c->failure) {
		br_text_add(t, "/>\n");
		return;
	}
	br_text_add(t, ">\n      <failure");
	add_attribute(t, "message", c->failure);
	add_attribute(t, "type", c->failure_type ? c->failure_type : "failure");
	br_text_add(t, ">");
	add_escaped(t, c->failure);
	br_text_add(t, "</failure>\n    </testcase>\n");
}

char *br_junit_text(const char *suite, uint64_t began_wall_ns, const struct br_junit_case *cases, size_t n)
{
	struct br_text t = BR_TEXT_NULL;
	time_t began = (time_t)(began_wall_ns / BR_S);
	char when[32] = "";
	uint64_t took = 0;
	size_t failed = 0;
	struct tm tm;

	for (size_t i = 0; i < n; i++) {
		took += cases[i].took_ns;
		failed += cases[i].failure != NULL;
	}
	if (!gmtime_r(&began, &tm) || !strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm))
		when[0] = 0;
	br_text_add(&t, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite");
	add_attribute(&t, "name", suite);
	br_text_addf(&t, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\"", n, failed);
	add_attribute(&t, "timestamp", when);
	add_seconds(&t, took);
	br_text_add(&t, ">\n");
	for (size_t i = 0; i < n; i++)
		add_case(&t, &cases[i]);
	br_text_add(&t, "  </testsuite>\n</testsuites>\n");
	return br_text_take(&t);
}

int br_junit_write(const char *path, const char *suite, uint64_t began_wall_ns, const struct br_junit_case *cases, size_t n,
	struct br_error *err)
{
	char *text = br_junit_text(suite, began_wall_ns, cases, n);
	int r;

	if (!text)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_file_write(path, text, strlen(text), 0644, err);
	free(text);
	return r;
}
