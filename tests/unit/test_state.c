/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"

static void the_first_that_is_set_wins(void **state)
{
	static const struct {
		const char *given, *bramble, *xdg, *home, *want; /* want NULL: depends on who runs this */
	} cases[] = {
		{ "/a/b/", "/env", "/xdg", "/home/x", "/a/b" },
		{ "/", NULL, NULL, NULL, "/" },
		{ NULL, "/env", "/xdg", "/home/x", "/env" },
		{ NULL, NULL, "/xdg", "/home/x", "/xdg/bramble" },
		{ NULL, "", "relative", "/home/x", "/home/x/.local/state/bramble" },
		{ NULL, NULL, NULL, "/home/x", "/home/x/.local/state/bramble" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *dir = NULL;
		bool user = !cases[i].given && !(cases[i].bramble && *cases[i].bramble);

		setenv("BRAMBLE_STATE", cases[i].bramble ? cases[i].bramble : "", 1);
		setenv("XDG_STATE_HOME", cases[i].xdg ? cases[i].xdg : "", 1);
		setenv("HOME", cases[i].home ? cases[i].home : "", 1);
		assert_int_equal(br_state_dir(cases[i].given, &dir, NULL), 0);
		if (user && (geteuid() == 0 || access("/var/lib/bramble", W_OK) == 0))
			assert_string_equal(dir, "/var/lib/bramble");
		else
			assert_string_equal(dir, cases[i].want);
	}
}

static void a_relative_one_becomes_absolute(void **state)
{
	br_cleanup(br_freep) char *dir = NULL, *cwd = getcwd(NULL, 0);

	assert_int_equal(br_state_dir("st", &dir, NULL), 0);
	assert_true(br_str_starts(dir, cwd));
	assert_true(br_str_ends(dir, "/st"));
	assert_int_equal(br_state_dir("", &dir, NULL), -EINVAL);
}

static void what_root_makes_is_the_owners(void **state)
{
	br_cleanup(br_freep) char *file = br_path_join(test_dir(), "made");
	struct stat st;

	assert_int_equal(br_file_write(file, "x", 1, 0600, NULL), 0);
	if (geteuid() != 0) {
		print_message("skipped: only root can give files away\n");
		skip();
	}
	assert_int_equal(chown(test_dir(), 12345, 12346), 0);
	assert_int_equal(br_state_own(test_dir(), file, NULL), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 12346);
}

static int remove_dir(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_that_is_set_wins),
		cmocka_unit_test(a_relative_one_becomes_absolute),
		cmocka_unit_test(what_root_makes_is_the_owners),
	};

	return cmocka_run_group_tests(tests, NULL, remove_dir);
}
