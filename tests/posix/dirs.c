/* SPDX-License-Identifier: Apache-2.0 */
/* mkdir, rmdir, and reading directories. */
#define SUBJECT "directories"
#include "posix.h"

#include <dirent.h>
#include <limits.h>

CASE(a_new_directory)
{
	static const struct {
		mode_t mode, mask, want;
	} rows[] = { { 0755, 0, 0755 }, { 0777, 022, 0755 }, { 0151, 077, 0100 }, { 0, 0, 0 }, { 01777, 0, 01777 } };

	need_root();
	ok(chmod(".", 0777));
	as(1000, 1001);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct stat st, dir = stat_of(".");

		umask(rows[i].mask);
		tick();
		ok(mkdir("d", rows[i].mode));
		st = stat_of("d");
		eq(st.st_mode, S_IFDIR | rows[i].want);
		eq(st.st_uid, 1000);
		eq(st.st_gid, 1001);
		eq(st.st_nlink, 2);
		eq(stat_of(".").st_nlink, dir.st_nlink + 1);
		eq(moved(&dir, ".") & (M | C), M | C);
		is(later(st.st_mtim, dir.st_ctim));
		changes(M | C, ".", rmdir("d"));
		eq(stat_of(".").st_nlink, dir.st_nlink);
	}
}

CASE(what_mkdir_refuses)
{
	touch("file", 0644);
	ok(mkdir("dir", 0755));
	ok(mkfifo("fifo", 0644));
	ok(symlink("dir", "link"));
	ok(symlink("nowhere", "dangling"));
	err(EEXIST, mkdir("file", 0755));
	err(EEXIST, mkdir("dir", 0755));
	err(EEXIST, mkdir("fifo", 0755));
	err(EEXIST, mkdir("link", 0755));
	err(EEXIST, mkdir("dangling", 0755));
	err(EEXIST, mkdir(".", 0755));
	err(EEXIST, mkdir("dir/..", 0755));
	err(ENOENT, mkdir("none/dir", 0755));
	err(ENOENT, mkdir("", 0755));
	err(ENOTDIR, mkdir("file/dir", 0755));
	ok(mkdir("slash/", 0755));
}

CASE(mkdir_needs_rights)
{
	need_root();
	ok(mkdir("d", 0755));
	as(1000, 1000);
	err(EACCES, mkdir("d/e", 0755));
	root();
	ok(chmod("d", 0766));
	as(1000, 1000);
	err(EACCES, mkdir("d/e", 0755));
	root();
	ok(chmod("d", 0773));
	as(1000, 1000);
	ok(mkdir("d/e", 0));
	ok(rmdir("d/e"));
}

CASE(what_rmdir_refuses)
{
	touch("file", 0644);
	ok(mkdir("dir", 0755));
	ok(mkdir("dir/sub", 0755));
	ok(symlink("dir/sub", "link"));
	err2(ENOTEMPTY, EEXIST, rmdir("dir"));
	err(ENOTDIR, rmdir("file"));
	err(ENOTDIR, rmdir("link"));
	err(ENOENT, rmdir("none"));
	err(ENOENT, rmdir("none/sub"));
	err(ENOTDIR, rmdir("file/sub"));
	err(EINVAL, rmdir("dir/sub/."));
	err2(ENOTEMPTY, EEXIST, rmdir("dir/sub/.."));
	ok(rmdir("dir/sub"));
	ok(symlink("x", "dir/link"));
	err2(ENOTEMPTY, EEXIST, rmdir("dir"));
	ok(unlink("dir/link"));
	touch("dir/.hidden", 0);
	err2(ENOTEMPTY, EEXIST, rmdir("dir"));
	ok(unlink("dir/.hidden"));
	ok(rmdir("dir"));
}

CASE(rmdir_needs_rights)
{
	need_root();
	ok(mkdir("d", 0755));
	ok(mkdir("d/e", 0777));
	ok(chown("d/e", 1000, 1000));
	as(1000, 1000);
	err(EACCES, rmdir("d/e"));
	root();
	ok(chmod("d", 0777));
	as(1001, 1001);
	ok(rmdir("d/e"));
}

CASE(a_removed_directory_is_empty)
{
	char buf[PATH_MAX];
	struct dirent *e;
	DIR *d;

	ok(mkdir("d", 0755));
	ok(chdir("d"));
	d = opendir(".");
	is(d);
	ok(rmdir("../d"));
	err(ENOENT, open("f", O_CREAT | O_WRONLY, 0644));
	err(ENOENT, mkdir("e", 0755));
	err(ENOENT, getcwd(buf, sizeof(buf)) ? 0 : -1);
	while (d && (e = readdir(d)))
		is(e->d_name[0] == '.');
	closedir(d);
	ok(chdir("/"));
}

CASE(getcwd_tells_the_way)
{
	char top[PATH_MAX], at[PATH_MAX], want[PATH_MAX * 2];

	is(getcwd(top, sizeof(top)));
	ok(mkdir("a", 0755));
	ok(mkdir("a/b", 0755));
	ok(chdir("a/b"));
	is(getcwd(at, sizeof(at)));
	snprintf(want, sizeof(want), "%s/a/b", top);
	is(strcmp(at, want) == 0);
	ok(rename("../../a", "../../c"));
	is(getcwd(at, sizeof(at)));
	snprintf(want, sizeof(want), "%s/c/b", top);
	is(strcmp(at, want) == 0);
	ok(chdir("../.."));
	is(getcwd(at, sizeof(at)));
	is(strcmp(at, top) == 0);
}

CASE(subdirectories_count_as_links)
{
	char name[16];

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		ok(mkdir(name, 0755));
		eq(stat_of(".").st_nlink, 3 + i);
	}
	touch("f", 0644);
	eq(stat_of(".").st_nlink, 42);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		ok(rmdir(name));
	}
	eq(stat_of(".").st_nlink, 2);
}

CASE(searching_and_reading_are_two_rights)
{
	struct dirent *e;
	int n = 0;
	DIR *d;

	need_root();
	ok(mkdir("search", 0755));
	put("search/f", "found");
	ok(mkdir("read", 0755));
	put("read/f", "hidden");
	ok(chmod("search", 0711));
	ok(chmod("read", 0744));
	as(1000, 1000);
	text_is("search/f", "found");
	err(EACCES, opendir("search") ? 0 : -1);
	d = opendir("read");
	is(d);
	while (d && (e = readdir(d)))
		n++;
	eq(n, 3);
	err(EACCES, euidaccess("read/f", F_OK));
	err(EACCES, open("read/f", O_RDONLY));
	err(EACCES, chdir("read"));
	ok(chdir("search"));
}

/* ---- reading ---- */

static void fill(unsigned n)
{
	char name[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "f%05u", i);
		ok(close(fd_of(name, O_CREAT | O_WRONLY, 0644))); /* without O_EXCL: one call of NFS, not two */
	}
}

/* Reads to the end: which of f00000 ... there were, each once. */
static unsigned read_all(DIR *d, unsigned char *seen, unsigned n)
{
	unsigned count = 0;

	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		unsigned i;

		if (sscanf(e->d_name, "f%05u", &i) != 1)
			continue;
		is(i < n);
		if (i < n)
			eq(seen[i]++, 0);
		count++;
	}
	return count;
}

CASE(a_listing_is_complete)
{
	unsigned char seen[400] = { 0 };
	struct dirent *e;
	struct stat st;
	DIR *d;

	fill(400);
	d = opendir(".");
	eq(read_all(d, seen, 400), 400);
	rewinddir(d);
	memset(seen, 0, sizeof(seen));
	eq(read_all(d, seen, 400), 400);
	rewinddir(d);
	while ((e = readdir(d))) {
		st = stat_of(e->d_name);
		if (strcmp(e->d_name, "..") != 0)
			eq(e->d_ino, st.st_ino);
		is(e->d_type == DT_UNKNOWN || e->d_type == IFTODT(st.st_mode));
	}
	closedir(d);
}

CASE(a_listing_tells_types)
{
	struct dirent *e;
	int n = 0;
	DIR *d;

	touch("file", 0644);
	ok(mkdir("dir", 0755));
	ok(mkfifo("fifo", 0644));
	ok(symlink("file", "link"));
	d = opendir(".");
	while ((e = readdir(d))) {
		is(e->d_type == DT_UNKNOWN || e->d_type == IFTODT(stat_of(e->d_name).st_mode));
		n++;
	}
	eq(n, 6);
	closedir(d);
}

CASE(telldir_and_seekdir)
{
	static struct {
		long at;
		char name[32];
	} places[303]; /* and the end */
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	fill(300);
	d = opendir(".");
	for (;;) {
		places[n].at = telldir(d);
		e = readdir(d);
		if (!e || n == 302)
			break;
		snprintf(places[n++].name, sizeof(places[0].name), "%.31s", e->d_name);
	}
	eq(n, 302);
	for (unsigned i = n; i-- > 0;) {
		seekdir(d, places[i].at);
		e = readdir(d);
		is(e && strcmp(e->d_name, places[i].name) == 0);
	}
	/* also when what was before has gone */
	for (unsigned i = 0; i < 150; i++)
		if (places[i].name[0] == 'f')
			ok(unlink(places[i].name));
	seekdir(d, places[150].at);
	for (unsigned i = 150; i < n; i++) {
		e = readdir(d);
		is(e && strcmp(e->d_name, places[i].name) == 0);
	}
	closedir(d);
}

CASE(removing_while_reading_leaves_nothing)
{
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	fill(500);
	d = opendir(".");
	while ((e = readdir(d)))
		if (e->d_name[0] == 'f') {
			ok(unlink(e->d_name));
			n++;
		}
	closedir(d);
	eq(n, 500);
}

CASE(creating_while_reading_hides_nothing)
{
	unsigned char seen[600] = { 0 };
	unsigned n = 0, made = 200, i;
	struct dirent *e;
	char name[64];
	DIR *d;

	fill(200);
	d = opendir(".");
	while ((e = readdir(d)))
		if (sscanf(e->d_name, "f%05u", &i) == 1 && i < 600) {
			eq(seen[i]++, 0);
			n += i < 200;
			if (made < 600) {
				snprintf(name, sizeof(name), "f%05u", made++);
				touch(name, 0644);
			}
		}
	closedir(d);
	eq(n, 200);
}

CASE(renaming_while_reading_hides_no_other)
{
	unsigned char seen[300] = { 0 };
	struct dirent *e;
	char name[64];
	unsigned i;
	DIR *d;

	fill(300);
	d = opendir(".");
	while ((e = readdir(d)))
		if (sscanf(e->d_name, "f%05u", &i) == 1 && i < 300) {
			is(seen[i]++ < 1);
			if (i % 2) {
				snprintf(name, sizeof(name), "renamed-to-a-longer-name-%05u", i);
				ok(rename(e->d_name, name));
			}
		}
	closedir(d);
	for (i = 0; i < 300; i++)
		eq(seen[i], 1);
}

CASE(strange_names)
{
	static const char *const names[] = { " ", "a b", "a\nb", "\t", "-rf", "\\", "*", "?", "\x7f", "\xff\xfe", "...",
		". ", "a:b", "COM1", "\xc3\xa4", "a\xcc\x88", "AbC", "aBc", "~", "#x#", "%2f", "\"'`$" };
	unsigned n = 0;
	DIR *d;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		put(names[i], names[i]);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		text_is(names[i], names[i]);
	d = opendir(".");
	for (struct dirent *e = readdir(d); e; e = readdir(d), n++)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			text_is(e->d_name, e->d_name);
	closedir(d);
	eq(n, sizeof(names) / sizeof(*names) + 2);
}

static void large_directory(unsigned n)
{
	unsigned char *seen = calloc(1, n);
	char name[32];
	DIR *d;

	fill(n);
	d = opendir(".");
	eq(read_all(d, seen, n), n);
	closedir(d);
	for (unsigned i = 0; i < n; i += 7) {
		snprintf(name, sizeof(name), "f%05u", i);
		ok(unlink(name));
		is(!exists(name));
	}
	for (unsigned i = 0; i < n; i += 97) {
		snprintf(name, sizeof(name), "f%05u", i);
		eq(exists(name), i % 7 != 0);
	}
	memset(seen, 0, n);
	d = opendir(".");
	eq(read_all(d, seen, n), n - (n + 6) / 7);
	closedir(d);
	free(seen);
}

CASE(a_large_directory)
{
	large_directory(600);
}

SLOW_CASE(a_very_large_directory)
{
	large_directory(50000);
}

SLOW_CASE(very_many_subdirectories)
{
	char name[16];

	ok(mkdir("d", 0755));
	ok(chdir("d"));
	for (int i = 0; i < 65100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ok(mkdir(name, 0755));
	}
	eq(stat_of(".").st_nlink, 1); /* ext4's dir_nlink: more than it can count */
	for (int i = 0; i < 65100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ok(rmdir(name));
	}
	ok(chdir(".."));
	ok(rmdir("d"));
}
