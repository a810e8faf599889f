/* SPDX-License-Identifier: Apache-2.0 */
/* Moving in: five set-ups of real shape against what is expected of them (tests/import/), and files that wish us ill. */
#include "tests/unit/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "import/import.h"

/* Run as 'test_movein write' in the source's root, the expected answers are written anew: read them before they are committed. */
static bool writing;

static char *plan_of(const char *const *paths)
{
	struct br_import_how how = { 0 };
	struct br_error err = BR_ERROR_NULL;
	struct br_import *im = NULL;
	json_t *plan = NULL;
	char *text;

	assert_int_equal(br_import_new(&how, &im, &err), 0);
	for (size_t i = 0; paths[i]; i++)
		if (br_import_path(im, paths[i], &err) < 0)
			fail_msg("%s: %s", paths[i], err.text);
	assert_int_equal(br_import_plan(im, &plan, &err), 0);
	text = json_dumps(plan, JSON_INDENT(2));
	json_decref(plan);
	br_import_free(im);
	return text;
}

static void set_ups_give_the_boards_they_describe(void **state)
{
	static const struct {
		const char *paths[4], *expected;
	} cases[] = {
		{ { "guide" }, "guide.json" },
		{ { "dhcpd" }, "dhcpd.json" },
		{ { "piserver" }, "piserver.json" },
		{ { "argus/rack.csv", "argus/db/labhost.csv" }, "argus.json" },
		{ { "mixed" }, "mixed.json" },
	};
	const char *root = getenv("SOURCE_ROOT");
	br_cleanup(br_freep) char *dir = br_path_join(root ? root : ".", "tests/import");
	char *was = getcwd(NULL, 0);

	assert_int_equal(chdir(dir), 0); /* the places in the plan are as the paths given */
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *plan = plan_of(cases[i].paths), *expected = NULL;
		size_t len;

		if (writing)
			assert_int_equal(br_file_write(cases[i].expected, plan, strlen(plan), 0644, NULL), 0);
		assert_int_equal(br_file_read(cases[i].expected, 1 << 20, &expected, &len, NULL), 0);
		assert_string_equal(plan, expected);
	}
	assert_int_equal(chdir(was), 0);
	free(was);
}

static void put(const char *name, const void *data, size_t n)
{
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), name);

	assert_int_equal(br_file_write(path, data, n, 0644, NULL), 0);
}

/* How reading one file ends, and its words. */
static int read_one(const char *name, char words[static 400])
{
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), name);
	struct br_import_how how = { .root = test_dir() };
	struct br_error err = BR_ERROR_NULL;
	struct br_import *im = NULL;
	int r;

	assert_int_equal(br_import_new(&how, &im, &err), 0);
	r = br_import_path(im, path, &err);
	snprintf(words, 400, "%.399s", err.text);
	br_import_free(im);
	return r;
}

static void hostile_files_are_refused_in_words(void **state)
{
	static const struct {
		const char *name, *text;
		size_t n; /* 0: strlen */
		int r;
		const char *words;
	} cases[] = {
		{ "loop.conf", "conf-file=/loop2.conf\n", 0, -ELOOP, "includes itself" },
		{ "loop2.conf", "dhcp-host=b8:27:eb:00:00:01,a\nconf-file=/loop.conf\n", 0, -ELOOP, "includes itself" },
		{ "self.conf", "conf-file=/self.conf\n", 0, -ELOOP, "includes itself" },
		{ "dhcpd-loop.conf", "group { include \"/dhcpd-loop.conf\"; }\n", 0, -ELOOP, "includes itself" },
		{ "nul.conf", "dhcp-host=a\0b\n", 14, -EINVAL, "NUL byte" },
		{ "dhcpd-open.conf", "host a { hardware ethernet b8:27:eb:00:00:01;\n", 0, -EINVAL, "not closed" },
		{ "dhcpd-close.conf", "option routers 1.2.3.4;\n}\n", 0, -EINVAL, "without its '{'" },
		{ "dhcpd-quote.conf", "option domain-name \"x;\n", 0, -EINVAL, "not closed" },
		{ "dhcpd-net.conf", "subnet 10.0.0.0 netmask 255.0.255.0 { }\n", 0, -EINVAL, "a subnet looks like" },
		{ "dhcpd-hosts.conf", "host a { host b { } }\n", 0, -EINVAL, "inside of a host" },
		{ "none.csv", "1,2,3\n", 0, -EINVAL, "have no names" },
		{ "what", "hello world\n", 0, -EINVAL, "none of those known" },
		{ "what-else", "", 0, -EINVAL, "none of those known" },
	};
	char words[400];

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
			if (!pass) {
				put(cases[i].name, cases[i].text, cases[i].n ? cases[i].n : strlen(cases[i].text));
				continue;
			}
			assert_int_equal(read_one(cases[i].name, words), cases[i].r);
			if (!strstr(words, cases[i].words))
				fail_msg("%s: %s", cases[i].name, words);
		}
}

static void long_lines_and_deep_blocks_end(void **state)
{
	static const size_t line = 100u << 20;
	struct br_text t = BR_TEXT_NULL;
	char words[400], name[40];
	char *big = malloc(line);

	assert_non_null(big);
	memset(big, 'a', line);
	put("huge.conf", big, line);
	assert_int_equal(read_one("huge.conf", words), -EFBIG);
	memcpy(big, "dhcp-host=", 10);
	put("long.conf", big, BR_IMPORT_LINE_MAX + 1);
	assert_int_equal(read_one("long.conf", words), -EFBIG);
	assert_non_null(strstr(words, "longer than"));
	free(big);
	for (int i = 0; i < 1000; i++)
		br_text_add(&t, "group { ");
	put("dhcpd-deep.conf", t.buf, t.len);
	assert_int_equal(read_one("dhcpd-deep.conf", words), -EINVAL);
	assert_non_null(strstr(words, "nested deeper"));
	br_text_done(&t);
	for (int i = 0; i < 40; i++) { /* a chain that is no circle */
		br_cleanup(br_freep) char *text = br_asprintf("conf-file=/chain%d.conf\n", i + 1);

		snprintf(name, sizeof(name), "chain%d.conf", i);
		put(name, text, strlen(text));
	}
	assert_int_equal(read_one("chain0.conf", words), -ELOOP);
	assert_int_equal(read_one("/dev/zero", words), -ENOENT); /* below the test's directory */
}

static void no_fifo_is_waited_for(void **state)
{
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), "fifo");
	struct br_import_how how = { 0 };
	struct br_error err = BR_ERROR_NULL;
	struct br_import *im = NULL;

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(br_import_new(&how, &im, &err), 0);
	assert_int_equal(br_import_path(im, path, &err), -EINVAL);
	assert_non_null(strstr(err.text, "no plain file"));
	br_import_free(im);
}

static int remove_scratch(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_ups_give_the_boards_they_describe),
		cmocka_unit_test(hostile_files_are_refused_in_words),
		cmocka_unit_test(long_lines_and_deep_blocks_end),
		cmocka_unit_test(no_fifo_is_waited_for),
	};

	writing = argc > 1 && !strcmp(argv[1], "write");
	return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
