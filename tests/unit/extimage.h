/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small ext4 images for the tests of the disk layer, made and judged by e2fsprogs. */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "store/cow.h"
#include "store/extfs.h"

static const uint8_t ext_uuid[16] = "0123456789abcdef";

__attribute__((format(printf, 1, 2))) static inline int run(const char *fmt, ...)
{
	char cmd[2048] = "export PATH=$PATH:/usr/sbin:/sbin; ";
	size_t n = strlen(cmd);
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(cmd + n, sizeof(cmd) - n, fmt, ap);
	va_end(ap);
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline bool have_mke2fs(void)
{
	return run("command -v mke2fs e2fsck debugfs >/dev/null") == 0;
}

#define NEEDS_TOOLS()                                                           \
	do {                                                                    \
		if (!have_mke2fs()) {                                           \
			print_message("skipped: mke2fs, e2fsck and debugfs are needed\n"); \
			skip();                                                 \
		}                                                               \
	} while (0)

/* name in test_dir(), of kib KiB; from: a directory for -d, or NULL. */
static inline void make_image(const char *name, unsigned kib, const char *options, const char *from)
{
	assert_int_equal(run("rm -f %s/%s; mke2fs -q -t ext4 %s %s %s %s/%s %uk", test_dir(), name, options,
				 from ? "-d" : "", from ? from : "", test_dir(), name, kib),
		0);
}

/* One open image with its layer. */
struct ext_test {
	char image[300], layer[560];
	int fd;
	uint64_t size;
	struct br_cow *cow;
	struct br_fs *fs;
};

static inline void ext_test_open(struct ext_test *t, const struct br_cow_io *io)
{
	struct br_error err = { 0 };

	if (br_cow_open(t->fd, 0, t->size, t->layer, ext_uuid, io, &t->cow, &err) < 0 ||
		br_extfs_open(t->cow, true, &t->fs, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void ext_test_new(struct ext_test *t, const char *name)
{
	struct stat st;

	snprintf(t->image, sizeof(t->image), "%s/%s", test_dir(), name);
	snprintf(t->layer, sizeof(t->layer), "%s/%s.layer", test_dir(), name);
	assert_int_equal(run("rm -rf %s", t->layer), 0);
	assert_int_equal(mkdir(t->layer, 0700), 0);
	t->fd = open(t->image, O_RDONLY);
	assert_true(t->fd >= 0 && fstat(t->fd, &st) == 0);
	t->size = (uint64_t)st.st_size;
	ext_test_open(t, NULL);
}

/* Without a commit, as if the process had been killed. */
static inline void ext_test_kill(struct ext_test *t)
{
	t->fs->ops->close(t->fs);
	br_cow_close(t->cow);
}

static inline void ext_test_end(struct ext_test *t)
{
	ext_test_kill(t);
	close(t->fd);
	assert_int_equal(run("rm -rf %s %s", t->layer, t->image), 0);
}

/* Commits, exports, and asks e2fsck. */
static inline void ext_test_fsck(struct ext_test *t)
{
	char out[600];

	snprintf(out, sizeof(out), "%s.export", t->image);
	unlink(out);
	assert_int_equal(t->fs->ops->commit(t->fs), 0);
	assert_int_equal(br_cow_export(t->cow, out, true, NULL), 0);
	if (run("e2fsck -fn %s >%s.log 2>&1", out, out) != 0) {
		run("cat %s.log", out);
		fail_msg("e2fsck found errors in %s", out);
	}
	unlink(out);
	assert_int_equal(run("rm -f %s.log", out), 0);
}

/* ---- shorter ---- */

static inline uint64_t root_of(struct ext_test *t)
{
	return t->fs->ops->root(t->fs);
}

static inline uint64_t make(struct ext_test *t, uint64_t dir, const char *name, uint32_t mode)
{
	struct br_fs_new new = { .mode = mode };
	uint64_t ino = 0;

	assert_int_equal(t->fs->ops->create(t->fs, dir, name, &new, &ino), 0);
	return ino;
}

static inline struct br_fs_attr attr_of(struct ext_test *t, uint64_t ino)
{
	struct br_fs_attr a;

	assert_int_equal(t->fs->ops->getattr(t->fs, ino, &a), 0);
	return a;
}
