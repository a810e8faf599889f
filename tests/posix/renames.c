/* SPDX-License-Identifier: Apache-2.0 */
/* rename. */
#define SUBJECT "rename"
#include "posix.h"

CASE(a_renamed_file_stays_itself)
{
	struct stat before, after;

	put("a", "text");
	ok(chmod("a", 0640));
	before = stat_of("a");
	tick();
	ok(rename("a", "b"));
	is(!exists("a"));
	after = stat_of("b");
	eq(after.st_ino, before.st_ino);
	eq(after.st_mode, before.st_mode);
	eq(after.st_nlink, 1);
	is(same(after.st_mtim, before.st_mtim));
	text_is("b", "text");
}

CASE(rename_marks_both_directories)
{
	ok(mkdir("d", 0755));
	ok(mkdir("e", 0755));
	touch("d/f", 0644);
	touch("d/g", 0644);
	changes(M | C, "d", rename("d/f", "d/h"));
	changes(M | C, "d", rename("d/h", "e/h"));
	changes(M | C, "e", rename("d/g", "e/h"));
	is(!exists("d/g"));
}

CASE(rename_of_other_things)
{
	ok(mkfifo("fifo", 0600));
	ok(symlink("x", "link"));
	ok(rename("fifo", "f"));
	ok(rename("link", "l"));
	is(S_ISFIFO(stat_of("f").st_mode));
	is(S_ISLNK(stat_of("l").st_mode));
	ok(rename("l", "f"));
	is(S_ISLNK(stat_of("f").st_mode));
	is(!exists("l"));
}

CASE(rename_replaces)
{
	struct stat before;

	put("old", "old");
	ok(link("old", "kept"));
	put("new", "new");
	before = stat_of("kept");
	tick();
	ok(rename("new", "old"));
	text_is("old", "new");
	text_is("kept", "old");
	eq(stat_of("kept").st_nlink, 1);
	eq(moved(&before, "kept") & (M | C), C);
	ok(mkdir("d", 0700));
	ok(mkdir("e", 0755));
	touch("d/f", 0644);
	ok(rename("d", "e"));
	is(exists("e/f") && !exists("d"));
	eq(stat_of("e").st_mode & 07777, 0700);
}

CASE(two_names_of_one_file_stay)
{
	touch("a", 0644);
	ok(link("a", "b"));
	ok(mkdir("d", 0755));
	ok(link("a", "d/c"));
	ok(rename("a", "b"));
	ok(rename("a", "d/c"));
	ok(rename("a", "a"));
	is(exists("a") && exists("b") && exists("d/c"));
	eq(stat_of("a").st_nlink, 3);
	ok(rename("d", "d"));
}

CASE(what_rename_refuses)
{
	touch("file", 0644);
	ok(mkdir("dir", 0755));
	ok(mkdir("dir/sub", 0755));
	ok(mkdir("full", 0755));
	touch("full/x", 0644);
	ok(symlink("dir", "link"));
	err(EISDIR, rename("file", "dir"));
	err(EISDIR, rename("link", "dir"));
	err(ENOTDIR, rename("dir", "file"));
	err(ENOTDIR, rename("dir", "link"));
	err2(ENOTEMPTY, EEXIST, rename("dir", "full"));
	err(EINVAL, rename("dir", "dir/new"));
	err(EINVAL, rename("dir", "dir/sub/new"));
	err2(EINVAL, ENOTEMPTY, rename("dir", "dir/sub"));
	err2(ENOTEMPTY, EEXIST, rename("dir/sub", "dir"));
	err2(EBUSY, EINVAL, rename("dir/.", "x"));
	err2(EBUSY, EINVAL, rename("dir/..", "x"));
	err2(EBUSY, EINVAL, rename("file", "dir/."));
	err2(EBUSY, EEXIST, rename("full", "dir/sub/.."));
	err(ENOENT, rename("none", "x"));
	err(ENOENT, rename("none", "file"));
	err(ENOENT, rename("file", "none/x"));
	err(ENOENT, rename("file", ""));
	err(ENOTDIR, rename("file/x", "x"));
	err(ENOTDIR, rename("dir", "file/x"));
	err(ENOTDIR, rename("file", "new/"));
	err(ENOTDIR, rename("file/", "new"));
	is(exists("file") && exists("dir/sub") && exists("full/x") && exists("link"));
}

CASE(rename_stays_in_its_file_system)
{
	const char *other = elsewhere();

	touch("file", 0644);
	err(EXDEV, rename("file", other));
	is(exists("file") && !exists(other));
}

CASE(directories_move_with_all_below)
{
	struct stat top;

	ok(mkdir("a", 0755));
	ok(mkdir("b", 0755));
	ok(mkdir("a/d", 0755));
	put("a/d/f", "text");
	top = stat_of("b");
	eq(stat_of("a").st_nlink, 3);
	eq(stat_of("b").st_nlink, 2);
	changes(M | C, "b", rename("a/d", "b/e"));
	eq(stat_of("a").st_nlink, 2);
	eq(stat_of("b").st_nlink, 3);
	text_is("b/e/f", "text");
	eq(stat_of("b/e/..").st_ino, top.st_ino);
	/* over an empty one */
	ok(mkdir("a/d", 0755));
	ok(rename("b/e", "a/d"));
	eq(stat_of("a").st_nlink, 3);
	eq(stat_of("b").st_nlink, 2);
	eq(stat_of("a/d/..").st_ino, stat_of("a").st_ino);
	text_is("a/d/f", "text");
	ok(mkdir("a/e", 0755));
	ok(rename("a/d", "a/e"));
	eq(stat_of("a").st_nlink, 3);
}

CASE(rename_needs_rights_on_both_sides)
{
	need_root();
	ok(mkdir("mine", 0755));
	ok(chown("mine", 1000, 1000));
	ok(mkdir("closed", 0755));
	touch("closed/f", 0666);
	ok(chown("closed/f", 1000, 1000));
	as(1000, 1000);
	touch("mine/f", 0644);
	err(EACCES, rename("mine/f", "closed/g"));
	err(EACCES, rename("closed/f", "mine/g"));
	err(EACCES, rename("closed/f", "closed/g"));
	err(EACCES, rename("mine/f", "closed/f"));
	ok(rename("mine/f", "mine/g"));
	root();
	ok(chmod("closed", 0700));
	as(1000, 1000);
	err(EACCES, rename("closed/f", "mine/h"));
}

/* Its ".." changes: that is a write to the directory itself. */
CASE(a_moving_directory_must_be_writable)
{
	need_root();
	ok(mkdir("a", 0777));
	ok(mkdir("b", 0777));
	ok(mkdir("a/d", 0755));
	as(1000, 1000);
	err(EACCES, rename("a/d", "b/d"));
	ok(rename("a/d", "a/e"));
	root();
	ok(chmod("a/e", 0777));
	as(1000, 1000);
	ok(rename("a/e", "b/d"));
}

CASE(rename_under_an_open_directory)
{
	int fd;

	ok(mkdir("d", 0755));
	ok(mkdir("elsewhere", 0755));
	put("d/f", "text");
	fd = fd_of("d", O_RDONLY | O_DIRECTORY, 0);
	ok(rename("d", "elsewhere/e"));
	ok(close(ok(openat(fd, "f", O_RDONLY))));
	ok(close(ok(openat(fd, "g", O_CREAT | O_WRONLY, 0644))));
	is(exists("elsewhere/e/g"));
	ok(close(fd));
}

CASE(one_name_goes_round)
{
	char from[16], to[16];

	touch("n0", 0644);
	for (int i = 0; i < 60; i++) {
		snprintf(from, sizeof(from), "n%d", i);
		snprintf(to, sizeof(to), "n%d", i + 1);
		ok(rename(from, to));
		is(!exists(from));
	}
	is(exists("n60"));
}
