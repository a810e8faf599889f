/* SPDX-License-Identifier: Apache-2.0 */
/* Paths over a file system, and the in-memory one that other tests stand on. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "tests/unit/memfs.h"

static void paths_walk(void **state)
{
	struct br_fs *fs = memfs_new();
	uint64_t bin = memfs_mkdir(fs, "/usr/bin"), sh = memfs_put(fs, "/usr/bin/sh", 0755, "x"), root = 2;
	uint64_t link = memfs_put_link(fs, "/bin", "usr/bin"), abs = memfs_put_link(fs, "/usr/abs", "/usr/bin/");
	char long_path[5001], deep[] = "/a/b";
	uint64_t up = memfs_put_link(fs, "/usr/up", "../../../usr/bin");

	memset(long_path, 'a', 5000);
	long_path[5000] = 0;
	memfs_put_link(fs, "/loop", "loop/x");
	memfs_put_link(fs, "/dead", "nowhere");
	const struct {
		const char *path;
		int r;
		uint64_t ino;
	} cases[] = {
		{ "", 0, root }, { "/", 0, root }, { "//", 0, root }, { "..", 0, root }, { "/../..", 0, root },
		{ "usr/bin", 0, bin }, { "/usr//bin/.", 0, bin }, { "/usr/bin/../bin/sh", 0, sh },
		{ "/bin", 0, link }, { "/bin/", 0, bin }, { "/bin/sh", 0, sh }, { "/bin/..", 0, 3 },
		{ "/usr/abs", 0, abs }, { "/usr/abs/sh", 0, sh }, { "/usr/up/sh", 0, sh }, { "/usr/up", 0, up },
		{ "/usr/bin/sh/", -ENOTDIR, 0 }, { "/usr/bin/sh/x", -ENOTDIR, 0 }, { "/loop/y", -ELOOP, 0 },
		{ "/dead/", -ENOENT, 0 }, { deep, -ENOENT, 0 }, { long_path, -ENAMETOOLONG, 0 },
		{ long_path + 4000, -ENAMETOOLONG, 0 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		uint64_t ino = 0;

		assert_int_equal(br_fs_walk(fs, cases[i].path, &ino), cases[i].r);
		assert_int_equal(ino, cases[i].ino);
	}
	fs->ops->close(fs);
}

static void memfs_follows_the_rules(void **state)
{
	struct br_fs *fs = memfs_new();
	uint64_t d = memfs_mkdir(fs, "d"), f = memfs_put(fs, "d/f", 04755, "hello"), ino, other;
	struct br_fs_attr a, b;
	struct br_fs_new file = { .mode = S_IFREG | 0644 };

	assert_int_equal(fs->ops->create(fs, d, "f", &file, &ino), -EEXIST);
	assert_int_equal(fs->ops->rmdir(fs, 2, "d"), -ENOTEMPTY);
	assert_int_equal(fs->ops->rmdir(fs, d, "f"), -ENOTDIR);
	assert_int_equal(fs->ops->unlink(fs, 2, "d"), -EISDIR);
	assert_int_equal(fs->ops->link(fs, d, 2, "e"), -EPERM);
	assert_int_equal(fs->ops->rename(fs, 2, "d", d, "x"), -EINVAL);
	fs->ops->getattr(fs, f, &a);
	assert_int_equal(a.mode, S_IFREG | 04755);
	assert_int_equal(fs->ops->write(fs, f, 7, "!", 1), 0);
	fs->ops->getattr(fs, f, &b);
	assert_int_equal(b.mode, S_IFREG | 0755);
	assert_int_equal(b.size, 8);
	assert_true(b.mtime.tv_sec > a.mtime.tv_sec);
	assert_int_equal(fs->ops->link(fs, f, 2, "g"), 0);
	assert_int_equal(fs->ops->unlink(fs, d, "f"), 0);
	fs->ops->getattr(fs, f, &b);
	assert_int_equal(b.nlink, 1);
	assert_int_equal(fs->ops->unlink(fs, 2, "g"), 0);
	assert_int_equal(fs->ops->getattr(fs, f, &b), -ESTALE);
	assert_int_equal(fs->ops->create(fs, d, "n", &file, &other), 0);
	assert_int_equal(other, f);
	fs->ops->getattr(fs, other, &b);
	assert_int_not_equal(a.generation, b.generation);
	memfs_limit(fs, 3);
	assert_int_equal(fs->ops->write(fs, other, 0, "1234", 4), -ENOSPC);
	memfs_fail(fs, 1, -EIO);
	assert_int_equal(fs->ops->write(fs, other, 0, "1", 1), -EIO);
	assert_int_equal(fs->ops->write(fs, other, 0, "1", 1), 0);
	fs->ops->close(fs);
}

static int count(void *ctx, const struct br_fs_dirent *e)
{
	unsigned *left = ctx;

	return (*left)-- ? 0 : 1;
}

static int last_cookie(void *ctx, const struct br_fs_dirent *e)
{
	*(uint64_t *)ctx = e->cookie;
	return 0;
}

static void memfs_reads_directories_in_pieces(void **state)
{
	struct br_fs *fs = memfs_new();
	unsigned left = 3;
	uint64_t cookie = 0;
	bool eof;

	memfs_put(fs, "a", 0644, "");
	memfs_put(fs, "b", 0644, "");
	assert_int_equal(fs->ops->readdir(fs, 2, 0, count, &left, &eof), 0);
	assert_false(eof);
	assert_int_equal(fs->ops->readdir(fs, 2, 3, last_cookie, &cookie, &eof), 0);
	assert_true(eof);
	assert_int_equal(cookie, 4);
	fs->ops->close(fs);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_walk),
		cmocka_unit_test(memfs_follows_the_rules),
		cmocka_unit_test(memfs_reads_directories_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
