/* SPDX-License-Identifier: Apache-2.0 */
/* ext4 images of systems that were not shut down: debugfs writes the journals, e2fsck judges what we made of them. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "tests/unit/extimage.h"

#define BLOCK 4096u

static char *read_image(const char *name, size_t *ret_len)
{
	char path[512], *data;

	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	assert_int_equal(br_file_read(path, 64 << 20, &data, ret_len, NULL), 0);
	return data;
}

/* Blocks in which 'after.img' differs from 'before.img': their numbers as text, their content in the file 'blocks'. */
static char *difference(void)
{
	struct br_text list = BR_TEXT_NULL, content = BR_TEXT_NULL;
	char path[512], *text;
	size_t len, n = 0;
	br_cleanup(br_freep) char *a = read_image("before.img", &len);
	br_cleanup(br_freep) char *b = read_image("after.img", &len);

	for (size_t i = 0; i < len / BLOCK; i++) {
		if (memcmp(a + i * BLOCK, b + i * BLOCK, BLOCK) == 0)
			continue;
		br_text_addf(&list, "%s%zu", n++ ? "," : "", i);
		br_text_add_bytes(&content, b + i * BLOCK, BLOCK);
	}
	assert_true(n > 4);
	snprintf(path, sizeof(path), "%s/blocks", test_dir());
	assert_int_equal(br_file_write(path, content.buf, content.len, 0600, NULL), 0);
	br_text_done(&content);
	text = br_text_take(&list);
	assert_non_null(text);
	return text;
}

/* 'before.img', and 'after.img' with a few changes. */
static void make_pair(const char *options)
{
	make_image("before.img", 32 << 10, options, NULL);
	assert_int_equal(run("cd %s && seq 20000 >f && debugfs -w -R 'mkdir gone' before.img 2>/dev/null && "
			     "cp --sparse=always before.img after.img && "
			     "printf 'mkdir d\\nwrite f d/f\\nmkdir d/e\\nrmdir gone\\n' | debugfs -w -f - after.img >/dev/null 2>&1",
				 test_dir()), 0);
}

static void journal(const char *commands)
{
	assert_int_equal(run("cd %s && printf '%s' | debugfs -w -f - before.img >/dev/null 2>&1 && "
			     "dumpe2fs -h before.img 2>/dev/null | grep -q needs_recovery", test_dir(), commands), 0);
}

static bool exists(struct br_fs *fs, const char *path)
{
	uint64_t ino;

	return br_fs_walk(fs, path, &ino) == 0;
}

static void assert_after(struct br_fs *fs)
{
	static char buf[200000];
	uint64_t ino;
	size_t got;
	bool eof;

	assert_true(exists(fs, "d/e"));
	assert_false(exists(fs, "gone"));
	assert_int_equal(br_fs_walk(fs, "d/f", &ino), 0);
	assert_int_equal(fs->ops->read(fs, ino, 0, buf, sizeof(buf), &got, &eof), 0);
	assert_int_equal(got, 108894);
	assert_memory_equal(buf, "1\n2\n3\n", 6);
	assert_memory_equal(buf + got - 6, "20000\n", 6);
}

static void a_journal_is_replayed(void **state)
{
	static const struct {
		const char *options, *open;
	} cases[] = {
		{ "-b 4096", "jo" },
		{ "-b 4096", "jo -c" },
		{ "-b 4096", "jo -c -v 2" },
		{ "-b 4096 -O ^64bit,^metadata_csum", "jo" },
		{ "-b 4096 -O ^64bit,^metadata_csum", "jo -c -v 3" },
	};

	if (!have_mke2fs()) {
		print_message("skipped: mke2fs, e2fsck and debugfs are needed\n");
		skip();
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *list = NULL, *commands = NULL;
		struct br_cow *cow;
		struct ext_test t = { 0 };
		struct br_fs *plain;

		make_pair(cases[i].options);
		list = difference();
		commands = br_asprintf("%s\\njw -b %s blocks\\njc\\n", cases[i].open, list);
		journal(commands);
		ext_test_new(&t, "before.img");
		assert_after(t.fs);
		ext_test_fsck(&t);
		ext_test_kill(&t);
		ext_test_open(&t, NULL); /* it was stored */
		assert_after(t.fs);
		/* read-only, in memory */
		assert_int_equal(br_cow_open(t.fd, 0, t.size, NULL, NULL, NULL, &cow, NULL), 0);
		assert_int_equal(br_extfs_open(cow, false, &plain, NULL), 0);
		assert_after(plain);
		plain->ops->close(plain);
		br_cow_close(cow);
		ext_test_end(&t);
	}
}

static void what_is_not_committed_is_not_replayed(void **state)
{
	br_cleanup(br_freep) char *list = NULL, *commands = NULL;
	struct ext_test t = { 0 };

	if (!have_mke2fs())
		skip();
	make_pair("-b 4096");
	list = difference();
	commands = br_asprintf("jo\\njw -r 5000\\njw -c -b %s blocks\\njc\\n", list);
	journal(commands);
	ext_test_new(&t, "before.img");
	assert_true(exists(t.fs, "gone"));
	assert_false(exists(t.fs, "d"));
	ext_test_fsck(&t);
	ext_test_end(&t);
}

static void revoked_blocks_are_not_replayed(void **state)
{
	br_cleanup(br_freep) char *list = NULL, *commands = NULL;
	struct ext_test t = { 0 };

	if (!have_mke2fs())
		skip();
	make_pair("-b 4096");
	list = difference();
	commands = br_asprintf("jo\\njw -b %s blocks\\njw -r %s\\njc\\n", list, list);
	journal(commands);
	ext_test_new(&t, "before.img");
	assert_true(exists(t.fs, "gone"));
	assert_false(exists(t.fs, "d"));
	ext_test_fsck(&t);
	ext_test_end(&t);
}

static void open_deleted_files_go(void **state)
{
	struct ext_test t = { 0 };
	struct br_fs_attr a;
	struct br_fs_statfs after;

	if (!have_mke2fs())
		skip();
	make_image("orphan.img", 16 << 10, "-b 4096", NULL);
	assert_int_equal(run("cd %s && seq 20000 >f && printf 'write f f\\nsif f links_count 0\\nunlink f\\nsif <12> dtime 0\\nssv "
			     "last_orphan 12\\n' | debugfs -w -f - orphan.img >/dev/null 2>&1", test_dir()), 0);
	ext_test_new(&t, "orphan.img");
	assert_int_equal(t.fs->ops->getattr(t.fs, 12, &a), -ESTALE);
	assert_int_equal(t.fs->ops->statfs(t.fs, &after), 0);
	assert_true(after.free_bytes > 0);
	ext_test_fsck(&t);
	ext_test_end(&t);
}

static void damage_is_told(void **state)
{
	br_cleanup(br_freep) char *list = NULL, *commands = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_cow *cow;
	struct br_fs *fs;
	char path[512];
	size_t len;
	char *image, *jsb;
	int fd;

	if (!have_mke2fs())
		skip();
	make_pair("-b 4096");
	list = difference();
	commands = br_asprintf("jo -c\\njw -b %s blocks\\njc\\n", list);
	journal(commands);
	image = read_image("before.img", &len);
	jsb = NULL;
	for (size_t i = 0; i < len && !jsb; i += BLOCK)
		if (memcmp(image + i, "\xc0\x3b\x39\x98\0\0\0\4", 8) == 0)
			jsb = image + i;
	assert_non_null(jsb);
	for (int what = 0; what < 2; what++) {
		if (what == 0)
			jsb[2 * BLOCK + 100] ^= 1; /* a block of the first transaction */
		else
			jsb[16] ^= 1; /* its length */
		snprintf(path, sizeof(path), "%s/damaged.img", test_dir());
		assert_int_equal(br_file_write(path, image, len, 0600, NULL), 0);
		fd = open(path, O_RDONLY);
		assert_int_equal(br_cow_open(fd, 0, len, NULL, NULL, NULL, &cow, NULL), 0);
		assert_int_equal(br_extfs_open(cow, false, &fs, &err), -EUCLEAN);
		assert_non_null(strstr(err.text, "journal"));
		assert_non_null(strstr(err.text, "e2fsck"));
		br_cow_close(cow);
		close(fd);
		unlink(path);
	}
	free(image);
}

static int clean_up(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_journal_is_replayed),
		cmocka_unit_test(what_is_not_committed_is_not_replayed),
		cmocka_unit_test(revoked_blocks_are_not_replayed),
		cmocka_unit_test(open_deleted_files_go),
		cmocka_unit_test(damage_is_told),
	};

	return cmocka_run_group_tests_name("extfs journal", tests, NULL, clean_up);
}
