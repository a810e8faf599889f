/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "store/projfs.h"
#include "tests/unit/fsdiff.h"
#include "tests/unit/memfs.h"

/*
 * The image: a few files, of which some are projected. Over them:
 *   /etc/fstab      a file of the image: shown with other content
 *   /etc/mtab       a link of the image, shown as a file
 *   /etc/machine-id missing in the image: appears
 *   /etc/zone       a link that appears
 *   /etc/ssh/key    hidden
 *   /nodir/x        its directory is missing
 *   /usr            a directory of the image: nothing happens
 */
static const struct br_projection entries[] = {
	{ .path = "/etc/fstab", .data = "projected fstab\n", .len = 16, .mode = 0640, .uid = 1, .gid = 2 },
	{ .path = "/etc/mtab", .data = "projected mtab", .len = 14, .mode = 0644 },
	{ .path = "/etc/machine-id", .data = "0123456789", .len = 10, .mode = 0444 },
	{ .path = "/etc/zone", .data = "../usr/zone", .len = 11, .symlink = true },
	{ .path = "/etc/ssh/key" },
	{ .path = "/nodir/x", .data = "x", .len = 1, .mode = 0644 },
	{ .path = "/usr", .data = "x", .len = 1, .mode = 0644 },
	{ .path = "/etc/fstab", .data = "the first counts", .len = 16, .mode = 0600 },
};
enum { MTAB = 1, MACHINE_ID = 2, ZONE = 3 };

struct world {
	struct br_fs *base, *below, *fs;
};

static void reopen(struct world *w)
{
	struct br_error err = BR_ERROR_NULL;

	if (w->fs)
		w->fs->ops->close(w->fs);
	if (br_projfs_open(w->below, w->base, entries, BR_ARRAY_SIZE(entries), &w->fs, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->base = memfs_new();
	memfs_put(w->base, "/etc/fstab", 0644, "the image's fstab, which is longer\n");
	memfs_put(w->base, "/etc/hosts", 0644, "localhost\n");
	memfs_put_link(w->base, "/etc/mtab", "/proc/mounts");
	memfs_put(w->base, "/etc/ssh/key", 0600, "secret of the image");
	memfs_put(w->base, "/usr/zone", 0644, "zone");
	w->below = memfs_clone(w->base);
	reopen(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	w->fs->ops->close(w->fs);
	w->below->ops->close(w->below);
	w->base->ops->close(w->base);
	free(w);
	return 0;
}

static uint64_t ino_of(struct br_fs *fs, const char *path)
{
	uint64_t ino = 0;

	if (br_fs_walk(fs, path, &ino) < 0)
		fail_msg("%s is missing", path);
	return ino;
}

static int lookup(struct world *w, const char *path)
{
	uint64_t ino;

	return br_fs_walk(w->fs, path, &ino);
}

static void check_text(struct br_fs *fs, uint64_t ino, const char *want)
{
	char buf[200] = "";
	struct br_fs_attr attr;
	size_t n = 0;
	bool eof = false;

	assert_int_equal(fs->ops->read(fs, ino, 0, buf, sizeof(buf) - 1, &n, &eof), 0);
	buf[n] = 0;
	assert_string_equal(buf, want);
	assert_true(eof);
	assert_int_equal(fs->ops->getattr(fs, ino, &attr), 0);
	assert_int_equal(attr.size, strlen(want));
	assert_int_equal(attr.ino, ino);
}

static int join_name(void *ctx, const struct br_fs_dirent *d)
{
	if (strcmp(d->name, ".") && strcmp(d->name, ".."))
		strcat(strcat(ctx, d->name), " ");
	return 0;
}

static void check_list(struct world *w, const char *dir, const char *want)
{
	char names[1000] = "";
	bool eof;

	assert_int_equal(w->fs->ops->readdir(w->fs, ino_of(w->fs, dir), 0, join_name, names, &eof), 0);
	assert_true(eof);
	assert_string_equal(names, want);
}

static void it_shows_what_it_should(void **state)
{
	struct world *w = *state;
	struct br_fs_attr attr;
	char buf[32], small[4];
	uint64_t ino;
	size_t n;
	bool eof;

	ino = ino_of(w->fs, "/etc/fstab");
	assert_int_equal(ino, ino_of(w->base, "/etc/fstab"));
	check_text(w->fs, ino, "projected fstab\n");
	w->fs->ops->getattr(w->fs, ino, &attr);
	assert_int_equal(attr.mode, S_IFREG | 0640);
	assert_int_equal(attr.uid, 1);
	assert_int_equal(attr.gid, 2);
	assert_int_equal(ino_of(w->fs, "/etc/mtab"), BR_PROJFS_INO + MTAB);
	check_text(w->fs, BR_PROJFS_INO + MTAB, "projected mtab");
	assert_int_equal(w->fs->ops->readlink(w->fs, BR_PROJFS_INO + MTAB, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(ino_of(w->fs, "/etc/machine-id"), BR_PROJFS_INO + MACHINE_ID);
	check_text(w->fs, BR_PROJFS_INO + MACHINE_ID, "0123456789");
	assert_int_equal(w->fs->ops->readlink(w->fs, BR_PROJFS_INO + ZONE, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "../usr/zone");
	assert_int_equal(w->fs->ops->readlink(w->fs, BR_PROJFS_INO + ZONE, small, sizeof(small)), -ENAMETOOLONG);
	assert_int_equal(w->fs->ops->read(w->fs, BR_PROJFS_INO + ZONE, 0, buf, 1, &n, &eof), -EINVAL);
	assert_int_equal(br_fs_walk_follow(w->fs, "/etc/zone", &ino), 0);
	assert_int_equal(ino, ino_of(w->base, "/usr/zone"));
	assert_int_equal(lookup(w, "/etc/ssh/key"), -ENOENT);
	assert_int_equal(lookup(w, "/nodir"), -ENOENT);
	w->fs->ops->getattr(w->fs, ino_of(w->fs, "/usr"), &attr);
	assert_true(S_ISDIR(attr.mode));
	check_text(w->fs, ino_of(w->fs, "/etc/hosts"), "localhost\n");
	check_list(w, "/etc", "fstab hosts ssh mtab machine-id zone ");
	check_list(w, "/etc/ssh", "");
	assert_int_equal(w->fs->ops->getattr(w->fs, BR_PROJFS_INO + 4, &attr), -ESTALE);
	assert_int_equal(w->fs->ops->getattr(w->fs, BR_PROJFS_INO + 5, &attr), -ESTALE);
	assert_int_equal(w->fs->ops->getattr(w->fs, BR_PROJFS_INO + 999, &attr), -ESTALE);
	assert_int_equal(w->fs->ops->getattr(w->fs, UINT64_MAX, &attr), -ESTALE);
	/* and nothing of that wrote anything */
	check_text(w->below, ino_of(w->below, "/etc/fstab"), "the image's fstab, which is longer\n");
}

static void reads_are_clipped(void **state)
{
	struct world *w = *state;
	static const struct {
		uint64_t offset;
		size_t len, n;
		bool eof;
	} cases[] = { { 0, 4, 4, false }, { 6, 4, 4, true }, { 6, 99, 4, true }, { 10, 1, 0, true }, { UINT64_MAX, 9, 0, true },
		{ 3, 0, 0, false } };

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		char buf[100];
		size_t n = 77;
		bool eof = !cases[i].eof;

		assert_int_equal(w->fs->ops->read(w->fs, BR_PROJFS_INO + MACHINE_ID, cases[i].offset, buf, cases[i].len, &n,
					 &eof), 0);
		assert_int_equal(n, cases[i].n);
		assert_int_equal(eof, cases[i].eof);
	}
}

static void a_first_write_makes_it_the_boards(void **state)
{
	static const char *const paths[] = { "/etc/fstab", "/etc/mtab", "/etc/machine-id" };
	static const char *const want[] = { "!rojected fstab\n", "!rojected mtab", "!123456789" };
	struct world *w = *state;

	for (size_t i = 0; i < BR_ARRAY_SIZE(paths); i++) {
		uint64_t ino = ino_of(w->fs, paths[i]);
		struct br_fs_attr before, after;

		w->fs->ops->getattr(w->fs, ino, &before);
		assert_int_equal(w->fs->ops->write(w->fs, ino, 0, "!", 1), 0);
		check_text(w->fs, ino, want[i]);
		assert_int_equal(ino_of(w->fs, paths[i]), ino); /* the client sees the number it knows */
		w->fs->ops->getattr(w->fs, ino, &after);
		assert_int_equal(after.generation, before.generation);
		assert_int_equal(after.mode, before.mode);
		assert_int_equal(after.uid, before.uid);
		check_text(w->below, ino_of(w->below, paths[i]), want[i]);
	}
	check_list(w, "/etc", "fstab hosts ssh mtab machine-id zone ");
	reopen(w);
	check_list(w, "/etc", "fstab hosts ssh mtab machine-id zone ");
	for (size_t i = 0; i < BR_ARRAY_SIZE(paths); i++)
		check_text(w->fs, ino_of(w->fs, paths[i]), want[i]);
	/* a handle from before the restart */
	check_text(w->fs, BR_PROJFS_INO + MACHINE_ID, "!123456789");
	assert_int_equal(w->fs->ops->write(w->fs, BR_PROJFS_INO + MACHINE_ID, 1, "!", 1), 0);
	check_text(w->below, ino_of(w->below, "/etc/machine-id"), "!!23456789");
}

static void a_change_of_attributes_too(void **state)
{
	struct world *w = *state;
	const struct br_fs_setattr mode = { .set = BR_FS_SET_MODE, .mode = 0600 };
	const struct br_fs_setattr size = { .set = BR_FS_SET_SIZE, .size = 3 };
	uint64_t fstab = ino_of(w->fs, "/etc/fstab");
	struct br_fs_attr attr;

	assert_int_equal(w->fs->ops->setattr(w->fs, fstab, &mode), 0);
	w->fs->ops->getattr(w->fs, fstab, &attr);
	assert_int_equal(attr.mode, S_IFREG | 0600);
	check_text(w->below, fstab, "projected fstab\n");
	assert_int_equal(w->fs->ops->setattr(w->fs, BR_PROJFS_INO + MACHINE_ID, &size), 0);
	check_text(w->fs, BR_PROJFS_INO + MACHINE_ID, "012");
	assert_int_equal(w->fs->ops->setattr(w->fs, BR_PROJFS_INO + ZONE, &size), -EINVAL);
	assert_int_equal(lookup(w, "/etc/zone"), 0);
	assert_int_equal(br_fs_walk(w->below, "/etc/zone", &fstab), -ENOENT);
}

static void removal_is_remembered(void **state)
{
	struct world *w = *state;
	uint64_t etc = ino_of(w->fs, "/etc"), ino;
	struct br_fs_new node = { .mode = S_IFREG | 0600 };
	struct br_fs_attr before, after;

	w->fs->ops->getattr(w->fs, etc, &before);
	assert_int_equal(w->fs->ops->unlink(w->fs, etc, "machine-id"), 0);
	w->fs->ops->getattr(w->fs, etc, &after);
	assert_true(after.mtime.tv_sec != before.mtime.tv_sec); /* caches of the directory must notice */
	assert_int_equal(w->fs->ops->unlink(w->fs, etc, "machine-id"), -ENOENT);
	assert_int_equal(w->fs->ops->getattr(w->fs, BR_PROJFS_INO + MACHINE_ID, &before), -ESTALE);
	assert_int_equal(w->fs->ops->unlink(w->fs, etc, "fstab"), 0);
	assert_int_equal(w->fs->ops->unlink(w->fs, etc, "mtab"), 0);
	assert_int_equal(w->fs->ops->unlink(w->fs, ino_of(w->fs, "/etc/ssh"), "key"), -ENOENT);
	check_list(w, "/etc", "hosts ssh zone ");
	assert_int_equal(w->fs->ops->create(w->fs, etc, "machine-id", &node, &ino), 0);
	assert_true(ino < BR_PROJFS_INO);
	check_text(w->fs, ino_of(w->fs, "/etc/machine-id"), "");
	assert_int_equal(w->fs->ops->unlink(w->fs, etc, "machine-id"), 0);
	assert_int_equal(lookup(w, "/etc/machine-id"), -ENOENT);
	reopen(w);
	/* only what nothing below can tell comes again */
	check_list(w, "/etc", "hosts ssh machine-id zone ");
}

static void names_that_are_shown_are_taken(void **state)
{
	static const char *const names[] = { "fstab", "mtab", "machine-id", "zone" };
	struct world *w = *state;
	uint64_t etc = ino_of(w->fs, "/etc"), ino = 0;
	struct br_fs_new file = { .mode = S_IFREG | 0600 }, dir = { .mode = S_IFDIR | 0700 };

	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++) {
		assert_int_equal(w->fs->ops->create(w->fs, etc, names[i], &file, &ino), -EEXIST);
		assert_int_equal(w->fs->ops->create(w->fs, etc, names[i], &dir, &ino), -EEXIST);
		assert_int_equal(w->fs->ops->link(w->fs, ino_of(w->fs, "/etc/hosts"), etc, names[i]), -EEXIST);
		assert_int_equal(w->fs->ops->rmdir(w->fs, etc, names[i]), -ENOTDIR);
		assert_int_equal(w->fs->ops->rename(w->fs, 2, "usr", etc, names[i]), -ENOTDIR);
	}
	/* a hidden one is no hindrance */
	assert_int_equal(w->fs->ops->create(w->fs, ino_of(w->fs, "/etc/ssh"), "key", &dir, &ino), 0);
	check_list(w, "/etc/ssh", "key ");
}

static void links_and_renames_copy_first(void **state)
{
	struct world *w = *state;
	uint64_t etc = ino_of(w->fs, "/etc"), fstab = ino_of(w->fs, "/etc/fstab");
	struct br_fs_attr attr;
	char buf[20];

	assert_int_equal(w->fs->ops->link(w->fs, fstab, etc, "fstab~"), 0);
	check_text(w->fs, ino_of(w->fs, "/etc/fstab~"), "projected fstab\n");
	assert_int_equal(w->fs->ops->link(w->fs, BR_PROJFS_INO + MACHINE_ID, etc, "id~"), 0);
	assert_int_equal(ino_of(w->fs, "/etc/id~"), BR_PROJFS_INO + MACHINE_ID); /* two names, one number */
	w->fs->ops->getattr(w->fs, BR_PROJFS_INO + MACHINE_ID, &attr);
	assert_int_equal(attr.nlink, 2);
	assert_int_equal(w->fs->ops->rename(w->fs, etc, "mtab", 2, "mtab"), 0);
	check_text(w->fs, BR_PROJFS_INO + MTAB, "projected mtab");
	assert_int_equal(lookup(w, "/etc/mtab"), -ENOENT);
	assert_int_equal(w->fs->ops->rename(w->fs, etc, "zone", etc, "zone2"), 0);
	assert_int_equal(w->fs->ops->readlink(w->fs, ino_of(w->fs, "/etc/zone2"), buf, sizeof(buf)), 0);
	assert_string_equal(buf, "../usr/zone");
	assert_int_equal(lookup(w, "/etc/zone"), -ENOENT);
	assert_int_equal(w->fs->ops->rename(w->fs, etc, "hosts", etc, "machine-id"), 0);
	check_text(w->fs, ino_of(w->fs, "/etc/machine-id"), "localhost\n");
	check_text(w->fs, ino_of(w->fs, "/etc/id~"), "0123456789");
	assert_int_equal(w->fs->ops->rename(w->fs, etc, "id~", etc, "id~"), 0);
	assert_int_equal(w->fs->ops->rename(w->fs, etc, "nothing", etc, "fstab"), -ENOENT);
	assert_int_equal(w->fs->ops->rename(w->fs, ino_of(w->fs, "/etc/ssh"), "key", etc, "key"), -ENOENT);
	check_list(w, "/etc", "fstab ssh fstab~ id~ zone2 machine-id ");
}

static void rename_onto_itself_changes_nothing(void **state)
{
	struct world *w = *state;
	uint64_t etc = ino_of(w->fs, "/etc"), ino;

	assert_int_equal(w->fs->ops->rename(w->fs, etc, "machine-id", etc, "machine-id"), 0);
	assert_int_equal(br_fs_walk(w->below, "/etc/machine-id", &ino), -ENOENT);
	assert_int_equal(w->fs->ops->rename(w->fs, 2, "etc", 2, "etc"), 0);
	check_list(w, "/etc", "fstab hosts ssh mtab machine-id zone ");
}

static void directories_go_when_they_look_empty(void **state)
{
	struct world *w = *state;
	uint64_t etc = ino_of(w->fs, "/etc"), dir;
	struct br_fs_new node = { .mode = S_IFDIR | 0755 };

	assert_int_equal(w->fs->ops->rmdir(w->fs, etc, "ssh"), 0); /* only the hidden key was in it */
	assert_int_equal(lookup(w, "/etc/ssh"), -ENOENT);
	w->fs->ops->unlink(w->fs, etc, "hosts");
	w->fs->ops->unlink(w->fs, etc, "fstab");
	w->fs->ops->unlink(w->fs, etc, "mtab");
	assert_int_equal(w->fs->ops->rmdir(w->fs, 2, "etc"), -ENOTEMPTY); /* below it is empty */
	assert_int_equal(w->fs->ops->create(w->fs, 2, "new", &node, &dir), 0);
	assert_int_equal(w->fs->ops->rename(w->fs, 2, "new", 2, "etc"), -ENOTEMPTY);
	w->fs->ops->unlink(w->fs, etc, "machine-id");
	w->fs->ops->unlink(w->fs, etc, "zone");
	assert_int_equal(w->fs->ops->rmdir(w->fs, 2, "etc"), 0);
	/* the number is used again, for a directory with nothing projected */
	assert_int_equal(w->fs->ops->create(w->fs, 2, "other", &node, &dir), 0);
	check_list(w, "/other", "");
}

static void a_full_disk_shows_the_projection_on(void **state)
{
	struct world *w = *state;
	uint64_t fstab = ino_of(w->fs, "/etc/fstab");
	const struct br_fs_setattr mode = { .set = BR_FS_SET_MODE, .mode = 0600 };

	memfs_limit(w->below, 200);
	assert_int_equal(w->fs->ops->write(w->fs, fstab, 0, "!", 1), -ENOSPC);
	assert_int_equal(w->fs->ops->setattr(w->fs, BR_PROJFS_INO + MACHINE_ID, &mode), -ENOSPC);
	check_text(w->fs, fstab, "projected fstab\n");
	check_text(w->below, fstab, "the image's fstab, which is longer\n");
	memfs_limit(w->below, UINT64_MAX);
	/* a copy into the image's inode that fails at each of its steps, then once more */
	for (unsigned n = 1; n <= 3; n++) {
		memfs_fail(w->below, n, -EIO);
		assert_int_equal(w->fs->ops->setattr(w->fs, fstab, &mode), -EIO);
		check_text(w->fs, fstab, "projected fstab\n");
		memfs_fail(w->below, n, -EIO);
		assert_int_equal(w->fs->ops->setattr(w->fs, BR_PROJFS_INO + MTAB, &mode), -EIO);
		check_text(w->fs, BR_PROJFS_INO + MTAB, "projected mtab");
		check_list(w, "/etc", "fstab hosts ssh mtab machine-id zone ");
	}
	memfs_fail(w->below, 0, 0);
	assert_int_equal(w->fs->ops->write(w->fs, fstab, 0, "!", 1), 0);
	check_text(w->fs, fstab, "!rojected fstab\n");
}

static void the_boards_own_files_are_not_touched(void **state)
{
	struct world *w = *state;
	uint64_t key;

	w->fs->ops->close(w->fs);
	w->fs = NULL;
	memfs_put(w->below, "/etc/fstab", 0600, "mine");
	memfs_put(w->below, "/etc/machine-id", 0600, "my own");
	key = memfs_put(w->below, "/etc/ssh/key", 0600, "my key");
	reopen(w);
	check_text(w->fs, ino_of(w->fs, "/etc/fstab"), "mine");
	check_text(w->fs, ino_of(w->fs, "/etc/machine-id"), "my own");
	assert_true(ino_of(w->fs, "/etc/machine-id") < BR_PROJFS_INO);
	check_text(w->fs, key, "my key");
	check_list(w, "/etc", "fstab hosts ssh machine-id mtab zone ");
}

struct paged {
	char names[1000];
	unsigned left;
	uint64_t cookie;
};

static int take_page(void *ctx, const struct br_fs_dirent *d)
{
	struct paged *p = ctx;

	if (!p->left)
		return 1;
	p->left--;
	p->cookie = d->cookie;
	return join_name(p->names, d);
}

static void directories_are_read_in_pieces_of_any_size(void **state)
{
	struct world *w = *state;
	uint64_t etc = ino_of(w->fs, "/etc");

	for (unsigned page = 1; page < 10; page++) {
		struct paged p = { .cookie = 0 };
		bool eof = false;

		for (unsigned i = 0; i < 20 && !eof; i++) {
			p.left = page;
			assert_int_equal(w->fs->ops->readdir(w->fs, etc, p.cookie, take_page, &p, &eof), 0);
		}
		assert_true(eof);
		assert_string_equal(p.names, "fstab hosts ssh mtab machine-id zone ");
	}
}

static void senseless_projections_are_refused(void **state)
{
	struct world *w = *state;
	static const struct br_projection bad[] = {
		{ .path = "", .data = "x", .len = 1 },
		{ .path = "etc/x", .data = "x", .len = 1 },
		{ .path = "/etc/", .data = "x", .len = 1 },
		{ .path = "/etc/..", .data = "x", .len = 1 },
		{ .path = "/etc/x", .data = "", .len = 0, .symlink = true },
		{ .path = "/etc/x", .data = "a\0b", .len = 3, .symlink = true },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(bad); i++) {
		struct br_error err = BR_ERROR_NULL;
		struct br_fs *fs;

		assert_int_equal(br_projfs_open(w->below, w->base, &bad[i], 1, &fs, &err), -EINVAL);
		assert_true(br_str_starts(err.text, "projection '"));
	}
}

/* ---- against a file system that simply has what the projection shows ---- */

static struct br_fs *equivalent(void)
{
	struct br_fs *fs = memfs_new();
	const struct br_fs_setattr owner = { .set = BR_FS_SET_UID | BR_FS_SET_GID, .uid = 1, .gid = 2 };

	fs->ops->setattr(fs, memfs_put(fs, "/etc/fstab", 0640, "projected fstab\n"), &owner);
	memfs_put(fs, "/etc/hosts", 0644, "localhost\n");
	memfs_put(fs, "/etc/mtab", 0644, "projected mtab");
	memfs_mkdir(fs, "/etc/ssh");
	memfs_put(fs, "/usr/zone", 0644, "zone");
	memfs_put(fs, "/etc/machine-id", 0444, "0123456789");
	memfs_put_link(fs, "/etc/zone", "../usr/zone");
	return fs;
}

static void it_behaves_as_if_the_files_were_there(void **state)
{
	for (uint32_t run = 1; run <= 400; run++) {
		struct br_fs *want = equivalent();
		struct world *w;

		setup((void **)&w);
		fsdiff_run(w->fs, want, run, 40);
		want->ops->close(want);
		teardown((void **)&w);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(it_shows_what_it_should),
		TEST(reads_are_clipped),
		TEST(a_first_write_makes_it_the_boards),
		TEST(a_change_of_attributes_too),
		TEST(removal_is_remembered),
		TEST(names_that_are_shown_are_taken),
		TEST(links_and_renames_copy_first),
		TEST(rename_onto_itself_changes_nothing),
		TEST(directories_go_when_they_look_empty),
		TEST(a_full_disk_shows_the_projection_on),
		TEST(the_boards_own_files_are_not_touched),
		TEST(directories_are_read_in_pieces_of_any_size),
		TEST(senseless_projections_are_refused),
		cmocka_unit_test(it_behaves_as_if_the_files_were_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
