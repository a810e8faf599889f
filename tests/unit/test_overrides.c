/* SPDX-License-Identifier: Apache-2.0 */
/* The overrides directory: layers, what is frozen, what is refused. */
#include "tests/unit/test.h"

#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "plan/overrides.h"

BR_DEFINE_CLEANUP(struct br_overrides *, br_overrides_free);
BR_DEFINE_CLEANUP(struct br_override_set *, br_override_set_free);

static const char *const layers[] = { "pi07", "all" };

static char *at(const char *path)
{
	char *p = br_path_join(test_dir(), path);

	assert_non_null(p);
	return p;
}

static void put(const char *path, const char *text)
{
	br_cleanup(br_freep) char *p = at(path);
	char *slash = strrchr(p, '/');

	*slash = 0;
	assert_int_equal(br_mkdir_all(p, 0755, NULL), 0);
	*slash = '/';
	assert_int_equal(br_file_write(p, text, strlen(text), 0644, NULL), 0);
}

static void put_link(const char *to, const char *path)
{
	br_cleanup(br_freep) char *p = at(path);

	assert_int_equal(symlink(to, p), 0);
}

static struct br_overrides *open_dir(const char *dir)
{
	br_cleanup(br_freep) char *p = at(dir);
	struct br_overrides *o;

	assert_int_equal(br_overrides_new(p, false, &o, NULL), 0);
	return o;
}

static struct br_override_set *read_set(struct br_overrides *o)
{
	struct br_override_set *set;

	assert_int_equal(br_overrides_read(o, layers, BR_ARRAY_SIZE(layers), &set, NULL), 0);
	return set;
}

static void assert_file(const struct br_override_set *set, const char *path, const char *layer, const char *text)
{
	const struct br_override *o = br_override_find(set, path);

	assert_non_null(o);
	assert_string_equal(o->layer, layer);
	assert_int_equal(o->span.len, strlen(text));
	assert_memory_equal(o->span.data, text, strlen(text));
}

static int remove_dir(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

static int make_dir(void **state)
{
	return br_mkdir_all(test_dir(), 0755, NULL);
}

static void a_missing_directory_is_empty(void **state)
{
	br_cleanup(br_overrides_freep) struct br_overrides *o = open_dir("none");
	br_cleanup(br_override_set_freep) struct br_override_set *set = read_set(o);

	assert_null(br_override_at(set, 0));
	assert_null(br_override_find(set, "config.txt"));
	assert_null(br_override_set_problem(set));
	assert_null(br_override_find(NULL, "config.txt"));
}

static void the_board_wins_over_all(void **state)
{
	put("o/pi07/config.txt", "board");
	put("o/all/CONFIG.TXT", "all");
	put("o/all/overlays/a.dtbo", "overlay");
	put("o/all/empty", "");
	put("o/pi08/config.txt", "another");
	put("o/config.txt", "belongs to nobody");

	br_cleanup(br_overrides_freep) struct br_overrides *o = open_dir("o");
	br_cleanup(br_override_set_freep) struct br_override_set *set = read_set(o);

	assert_file(set, "config.txt", "pi07", "board");
	assert_file(set, "Config.Txt", "pi07", "board");
	assert_file(set, "OVERLAYS/a.dtbo", "all", "overlay");
	assert_file(set, "empty", "all", "");
	assert_null(br_override_find(set, "overlays"));
	assert_string_equal(br_override_at(set, 0)->path, "config.txt");
	assert_string_equal(br_override_at(set, 1)->path, "empty");
	assert_string_equal(br_override_at(set, 2)->path, "overlays/a.dtbo");
	assert_null(br_override_at(set, 3));
	assert_null(br_override_set_problem(set));
}

static void what_was_read_stays(void **state)
{
	put("o/all/config.txt", "first");
	br_cleanup(br_overrides_freep) struct br_overrides *o = open_dir("o");
	br_cleanup(br_override_set_freep) struct br_override_set *a = read_set(o);
	br_cleanup(br_override_set_freep) struct br_override_set *same = read_set(o);

	/* two boards share the memory of a file that did not change */
	assert_ptr_equal(br_override_find(a, "config.txt")->span.data, br_override_find(same, "config.txt")->span.data);
	put("o/all/config.txt", "other");
	br_cleanup(br_override_set_freep) struct br_override_set *b = read_set(o);
	assert_file(a, "config.txt", "all", "first");
	assert_file(b, "config.txt", "all", "other");
	br_overrides_free(br_take(o)); /* sets outlive it */
	assert_file(same, "config.txt", "all", "first");
}

/* For a root file system: exact names, hidden files, links as links. */
static void files_of_a_root_are_taken_as_they_are(void **state)
{
	br_cleanup(br_freep) char *dir = at("r");
	br_cleanup(br_overrides_freep) struct br_overrides *o = NULL;
	const struct br_override *found;

	put("r/pi07/etc/motd", "board");
	put("r/all/etc/MOTD", "all");
	put("r/all/etc/motd", "all too");
	put("r/all/home/pi/.bashrc", "alias");
	put("r/all/etc/.motd.swp", "an editor's");
	put("r/all/etc/motd~", "an editor's");
	put("r/all/etc/a\\b", "no boot file could be called so");
	put_link("/usr/share/zoneinfo/UTC", "r/all/etc/localtime");
	assert_int_equal(br_overrides_new(dir, true, &o, NULL), 0);
	br_cleanup(br_override_set_freep) struct br_override_set *set = read_set(o);

	assert_file(set, "etc/motd", "pi07", "board");
	assert_file(set, "etc/MOTD", "all", "all");
	assert_file(set, "etc/a\\b", "all", "no boot file could be called so");
	assert_file(set, "home/pi/.bashrc", "all", "alias");
	assert_null(br_override_find(set, "etc/.motd.swp"));
	assert_null(br_override_find(set, "etc/motd~"));
	found = br_override_find(set, "etc/localtime");
	assert_true(found->symlink);
	assert_int_equal(br_override_find(set, "etc/motd")->mode, 0644);
	assert_file(set, "etc/localtime", "all", "/usr/share/zoneinfo/UTC");
	assert_null(br_override_set_problem(set));
}

static void links_stay_inside(void **state)
{
	static const struct {
		const char *to, *name, *problem; /* NULL: it is taken */
	} cases[] = {
		{ "../groups/kiosk.txt", "inside", NULL },
		{ "../../secret", "outside", "leads out" },
		{ "/etc/passwd", "absolute", "leads out" },
		{ "nowhere", "dangling", NULL },
		{ "../pi07", "loop", "above it" },
		{ "self", "self", "too many symbolic links" },
	};

	put("secret", "not for boards");
	put("o/groups/kiosk.txt", "kiosk");
	put("o/pi07/x", "x");
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *link = br_asprintf("o/pi07/%s", cases[i].name);
		br_cleanup(br_freep) char *path = at(link);
		br_cleanup(br_overrides_freep) struct br_overrides *o = open_dir("o");

		put_link(cases[i].to, link);
		br_cleanup(br_override_set_freep) struct br_override_set *set = read_set(o);
		if (cases[i].problem) {
			assert_non_null(br_override_set_problem(set));
			assert_non_null(strstr(br_override_set_problem(set), cases[i].problem));
			assert_non_null(strstr(br_override_set_problem(set), cases[i].name));
			assert_null(br_override_find(set, cases[i].name));
		} else {
			assert_null(br_override_set_problem(set));
		}
		assert_file(set, "x", "pi07", "x");
		if (!strcmp(cases[i].name, "inside"))
			assert_file(set, "inside", "pi07", "kiosk");
		assert_int_equal(unlink(path), 0);
	}
}

static void a_board_may_be_a_link_to_a_group(void **state)
{
	put("o/kiosks/config.txt", "group");
	put_link("kiosks", "o/pi07");
	br_cleanup(br_overrides_freep) struct br_overrides *o = open_dir("o");
	br_cleanup(br_override_set_freep) struct br_override_set *set = read_set(o);
	assert_file(set, "config.txt", "pi07", "group");
}

static void odd_files_are_left_out(void **state)
{
	br_cleanup(br_freep) char *fifo = at("o/pi07/fifo");

	put("o/pi07/config.txt", "good");
	put("o/pi07/.config.txt.swp", "editor");
	put("o/pi07/config.txt~", "editor");
	put("o/pi07/a\\b", "a name no firmware can ask for");
	put("o/pi07/1/2/3/4/5/6/7/8/9/deep", "deep");
	assert_int_equal(mkfifo(fifo, 0666), 0);

	br_cleanup(br_overrides_freep) struct br_overrides *o = open_dir("o");
	br_cleanup(br_override_set_freep) struct br_override_set *set = read_set(o);
	assert_file(set, "config.txt", "pi07", "good");
	assert_null(br_override_at(set, 1));
	assert_non_null(strstr(br_override_set_problem(set), "no plain file"));
	assert_non_null(strstr(br_override_set_problem(set), "no firmware"));
	assert_non_null(strstr(br_override_set_problem(set), "too many directories"));
}

static void the_number_of_files_is_bounded(void **state)
{
	for (int i = 0; i < BR_OVERRIDES_FILES_MAX + 5; i++) {
		br_cleanup(br_freep) char *name = br_asprintf("o/all/f%04d", i);
		br_cleanup(br_freep) char *path = at(name);
		br_cleanup(br_fclosep) FILE *f = NULL;

		if (!i)
			put(name, "");
		f = fopen(path, "w");
		assert_non_null(f);
	}
	br_cleanup(br_overrides_freep) struct br_overrides *o = open_dir("o");
	br_cleanup(br_override_set_freep) struct br_override_set *set = read_set(o);
	assert_non_null(br_override_at(set, BR_OVERRIDES_FILES_MAX - 1));
	assert_null(br_override_at(set, BR_OVERRIDES_FILES_MAX));
	assert_non_null(strstr(br_override_set_problem(set), "too many files"));
	assert_non_null(strstr(br_override_set_problem(set), "and 2 more"));
}

static void the_size_is_bounded(void **state)
{
	br_cleanup(br_freep) char *path = at("o/all/huge");

	put("o/all/huge", "");
	put("o/all/small", "small");
	assert_int_equal(truncate(path, (off_t)BR_OVERRIDES_BYTES_MAX + 1), 0);
	br_cleanup(br_overrides_freep) struct br_overrides *o = open_dir("o");
	br_cleanup(br_override_set_freep) struct br_override_set *set = read_set(o);
	assert_file(set, "small", "all", "small");
	assert_null(br_override_find(set, "huge"));
	assert_non_null(strstr(br_override_set_problem(set), "too large"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_missing_directory_is_empty),
		TEST(the_board_wins_over_all),
		TEST(what_was_read_stays),
		TEST(files_of_a_root_are_taken_as_they_are),
		TEST(links_stay_inside),
		TEST(a_board_may_be_a_link_to_a_group),
		TEST(odd_files_are_left_out),
		TEST(the_number_of_files_is_bounded),
		TEST(the_size_is_bounded),
	};

	return cmocka_run_group_tests_name("overrides", tests, NULL, NULL);
}
