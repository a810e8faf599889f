/* SPDX-License-Identifier: Apache-2.0 */
/* link, symlink, readlink. */
#define SUBJECT "links"
#include "posix.h"

#include <limits.h>

#define LINKS_MAX 65000 /* ext4's, which PATHCONF tells */

CASE(link_is_another_name)
{
	struct stat a, b;

	put("a", "text");
	changes(C, "a", link("a", "b"));
	a = stat_of("a");
	b = stat_of("b");
	eq(a.st_ino, b.st_ino);
	eq(a.st_nlink, 2);
	eq(b.st_nlink, 2);
	ok(chmod("b", 0640));
	eq(stat_of("a").st_mode & 07777, 0640);
	put("b", "changed");
	text_is("a", "changed");
	ok(mkdir("d", 0755));
	ok(link("b", "d/c"));
	eq(stat_of("a").st_nlink, 3);
	ok(unlink("a"));
	text_is("d/c", "changed");
	changes(M | C, "d", link("b", "d/e"));
}

CASE(link_of_other_things)
{
	ok(mkfifo("fifo", 0600));
	ok(link("fifo", "fifo2"));
	eq(stat_of("fifo2").st_ino, stat_of("fifo").st_ino);
	ok(symlink("target", "link"));
	/* POSIX leaves it open whether link() follows; Linux does not */
	ok(linkat(AT_FDCWD, "link", AT_FDCWD, "link2", 0));
	eq(stat_of("link2").st_ino, stat_of("link").st_ino);
	eq(stat_of("link2").st_nlink, 2);
	err(ENOENT, linkat(AT_FDCWD, "link", AT_FDCWD, "link3", AT_SYMLINK_FOLLOW));
	touch("target", 0644);
	ok(linkat(AT_FDCWD, "link", AT_FDCWD, "link3", AT_SYMLINK_FOLLOW));
	eq(stat_of("link3").st_ino, stat_of("target").st_ino);
}

CASE(what_link_refuses)
{
	struct stat before;

	touch("file", 0644);
	touch("other", 0644);
	ok(mkdir("dir", 0755));
	ok(symlink("nowhere", "dangling"));
	before = stat_of("file");
	tick();
	err(EEXIST, link("file", "other"));
	err(EEXIST, link("file", "dir"));
	err(EEXIST, link("file", "dangling"));
	err(EEXIST, link("file", "file"));
	err(ENOENT, link("none", "x"));
	err(ENOENT, link("file", "none/x"));
	err(ENOENT, link("file", ""));
	err(ENOTDIR, link("file/x", "x"));
	err(ENOTDIR, link("file", "other/x"));
	err2(EPERM, EACCES, link("dir", "x"));
	eq(moved(&before, "file"), 0);
	eq(before.st_nlink, 1);
}

CASE(link_stays_in_its_file_system)
{
	const char *other = elsewhere();

	touch("file", 0644);
	err(EXDEV, link("file", other));
	is(exists("file") && !exists(other));
}

CASE(link_needs_rights)
{
	need_root();
	ok(chmod(".", 0777));
	ok(mkdir("closed", 0755));
	ok(mkdir("hidden", 0700));
	as(1000, 1000);
	touch("f", 0666);
	err(EACCES, link("f", "closed/f"));
	root();
	touch("hidden/f", 0666);
	as(1000, 1000);
	err(EACCES, link("hidden/f", "f2"));
	eq(stat_of("f").st_nlink, 1);
}

SLOW_CASE(as_many_links_as_there_may_be)
{
	char name[16];

	touch("f", 0644);
	for (int i = 1; i < LINKS_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ok(link("f", name));
	}
	eq(stat_of("f").st_nlink, LINKS_MAX);
	err(EMLINK, link("f", "more"));
	ok(unlink("1"));
	ok(link("f", "more"));
}

/* ---- symbolic links ---- */

CASE(symlinks_keep_what_they_are_given)
{
	static const size_t lengths[] = { 1, 59, 60, 61, 255, 1000, 1023, 4095 };
	char buf[PATH_MAX + 1];
	struct stat st;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		ok(symlink(name_of(lengths[i]), "l"));
		st = stat_of("l");
		eq(st.st_mode & S_IFMT, S_IFLNK);
		eq(st.st_size, lengths[i]);
		eq(st.st_nlink, 1);
		eq(st.st_uid, geteuid());
		eq(readlink("l", buf, sizeof(buf)), lengths[i]);
		is(memcmp(buf, name_of(lengths[i]), lengths[i]) == 0);
		eq(readlink("l", buf, 1), 1);
		ok(unlink("l"));
	}
	err(ENAMETOOLONG, symlink(name_of(4096), "l"));
	ok(symlink("a/../b//c/", "l"));
	eq(readlink("l", buf, sizeof(buf)), 10);
	is(memcmp(buf, "a/../b//c/", 10) == 0);
}

CASE(symlinks_lead_on)
{
	ok(mkdir("d", 0755));
	put("d/f", "text");
	ok(symlink("d/f", "to_file"));
	ok(symlink("d", "to_dir"));
	ok(symlink("../d/f", "d/back"));
	text_is("to_file", "text");
	text_is("to_dir/f", "text");
	text_is("to_dir/back", "text");
	put("to_dir/back", "other");
	text_is("d/f", "other");
	is(S_ISLNK(stat_of("to_dir").st_mode));
	is(S_ISDIR(stat_of("to_dir/").st_mode));
	changes(M | C, ".", symlink("x", "y"));
	changes(M | C, ".", unlink("to_file"));
	text_is("d/f", "other");
}

CASE(what_symlink_refuses)
{
	touch("file", 0644);
	ok(mkdir("dir", 0755));
	ok(symlink("nowhere", "dangling"));
	err(EEXIST, symlink("x", "file"));
	err(EEXIST, symlink("x", "dir"));
	err(EEXIST, symlink("x", "dangling"));
	err(ENOENT, symlink("", "empty"));
	err(ENOENT, symlink("x", "none/l"));
	err(ENOTDIR, symlink("x", "file/l"));
	err(EINVAL, readlink("file", (char[8]){ 0 }, 8));
	err(EINVAL, readlink("dir", (char[8]){ 0 }, 8));
	err(ENOENT, readlink("none", (char[8]){ 0 }, 8));
	err(ENOTDIR, readlink("file/x", (char[8]){ 0 }, 8));
}

CASE(symlink_needs_rights)
{
	need_root();
	ok(mkdir("d", 0755));
	as(1000, 1000);
	err(EACCES, symlink("x", "d/l"));
	root();
	ok(symlink("x", "d/l"));
	ok(chmod("d", 0700));
	as(1000, 1000);
	err(EACCES, readlink("d/l", (char[8]){ 0 }, 8));
}

CASE(loops_of_symlinks_end)
{
	char a[16], b[16];

	ok(symlink("self", "self"));
	ok(symlink("two", "one"));
	ok(symlink("one", "two"));
	err(ELOOP, open("self", O_RDONLY));
	err(ELOOP, open("self/x", O_RDONLY));
	err(ELOOP, open("one", O_RDONLY));
	err(ELOOP, mkdir("one/x", 0755));
	err(ELOOP, chmod("one", 0644));
	err(ELOOP, chdir("self"));
	err(ELOOP, link("self/x", "y"));
	err(ELOOP, rename("one/x", "y"));
	err(ELOOP, unlink("one/x"));
	err(ELOOP, rmdir("one/x"));
	err(ELOOP, truncate("one", 0));
	put("l0", "end");
	for (int i = 0; i < 40; i++) {
		snprintf(a, sizeof(a), "l%d", i);
		snprintf(b, sizeof(b), "l%d", i + 1);
		ok(symlink(a, b));
	}
	text_is("l30", "end");
	text_is("l40", "end"); /* Linux follows 40 */
}

CASE(the_owner_of_a_link_is_its_own)
{
	need_root();
	touch("f", 0644);
	ok(symlink("f", "l"));
	changes(C, "l", lchown("l", 12, 13));
	eq(stat_of("l").st_uid, 12);
	eq(stat_of("l").st_gid, 13);
	eq(stat_of("f").st_uid, 0);
	ok(chown("l", 5, 6));
	eq(stat_of("f").st_uid, 5);
	eq(stat_of("l").st_uid, 12);
	ok(chmod("l", 0600));
	eq(stat_of("f").st_mode & 07777, 0600);
	eq(stat_of("l").st_mode, S_IFLNK | 0777);
}
