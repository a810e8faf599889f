/* SPDX-License-Identifier: Apache-2.0 */
/* What the classical NFS exercises do: trees made, looked at, changed and removed, and odd things done on purpose. */
#define SUBJECT "rounds"
#include "posix.h"

#include <dirent.h>
#include <limits.h>
#include <sys/statvfs.h>

#define LEVELS 3
#define FILES  5
#define DIRS   2

/* Calls fn for every file and directory of a tree, directories last (down) or first. */
static void tree(unsigned level, bool down, void (*dir)(const char *), void (*file)(const char *))
{
	char name[32];

	for (unsigned i = 0; file && i < FILES; i++) {
		snprintf(name, sizeof(name), "file.%u", i);
		file(name);
	}
	for (unsigned i = 0; level && i < DIRS; i++) {
		snprintf(name, sizeof(name), "dir.%u", i);
		if (!down && dir)
			dir(name);
		ok(chdir(name));
		tree(level - 1, down, dir, file);
		ok(chdir(".."));
		if (down && dir)
			dir(name);
	}
}

static void make_file(const char *name)
{
	touch(name, 0666);
}

static void make_dir(const char *name)
{
	ok(mkdir(name, 0755));
}

static void remove_file(const char *name)
{
	ok(unlink(name));
	is(!exists(name));
}

static void remove_dir(const char *name)
{
	ok(rmdir(name));
	is(!exists(name));
}

static void modes(const char *name)
{
	for (mode_t mode = 0; mode < 0777; mode += 0333) {
		ok(chmod(name, mode));
		eq(stat_of(name).st_mode & 0777, mode);
	}
	ok(chmod(name, 0666));
}

CASE(trees_are_made_and_removed)
{
	for (int round = 0; round < 2; round++) {
		tree(LEVELS, false, make_dir, make_file);
		tree(LEVELS, true, NULL, modes);
		tree(LEVELS, true, remove_dir, remove_file);
	}
}

CASE(the_way_up_is_found)
{
	char at[PATH_MAX];

	for (int i = 0; i < 250; i++) {
		is(getcwd(at, sizeof(at)));
		is(stat_of("..").st_ino != 0);
		is(stat_of(at).st_ino == stat_of(".").st_ino);
	}
}

CASE(a_megabyte_again_and_again)
{
	static char buf[8192], back[8192];

	for (int round = 0; round < 5; round++) {
		int fd = fd_of("bigfile", O_CREAT | O_TRUNC | O_RDWR, 0666);

		memset(buf, 'a' + round, sizeof(buf));
		for (int i = 0; i < 128; i++)
			eq(write(fd, buf, sizeof(buf)), sizeof(buf));
		eq(stat_of("bigfile").st_size, 1 << 20);
		ok(close(fd));
		fd = fd_of("bigfile", O_RDONLY, 0);
		for (int i = 0; i < 128; i++) {
			eq(read(fd, back, sizeof(back)), sizeof(back));
			is(memcmp(back, buf, sizeof(buf)) == 0);
		}
		ok(close(fd));
	}
}

CASE(listings_while_files_go)
{
	char name[32];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "file.%d", i);
		touch(name, 0644);
	}
	for (int i = 0; i < 100; i += 20) {
		struct dirent *e;
		int n = 0;
		DIR *d = opendir(".");

		while ((e = readdir(d)))
			n += strncmp(e->d_name, "file.", 5) == 0;
		eq(n, 100 - i);
		closedir(d);
		for (int k = 0; k < 20; k++) {
			snprintf(name, sizeof(name), "file.%d", i + k);
			ok(unlink(name));
		}
	}
}

CASE(links_and_renames)
{
	char name[32], other[32];

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "file.%d", i % 10);
		snprintf(other, sizeof(other), "new.%d", i % 10);
		if (i < 10)
			touch(name, 0644);
		ok(rename(name, other));
		is(!exists(name));
		eq(stat_of(other).st_nlink, 1);
		ok(link(other, name));
		eq(stat_of(other).st_nlink, 2);
		eq(stat_of(name).st_nlink, 2);
		ok(unlink(other));
		eq(stat_of(name).st_nlink, 1);
	}
}

CASE(symlinks_back_and_forth)
{
	char name[32], target[64], buf[64];

	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "link.%d", i);
		snprintf(target, sizeof(target), "this/is/a/symlink.%d", i);
		ok(symlink(target, name));
		is(S_ISLNK(stat_of(name).st_mode));
		eq(readlink(name, buf, sizeof(buf)), strlen(target));
		is(memcmp(buf, target, strlen(target)) == 0);
		ok(unlink(name));
	}
}

CASE(statfs_many_times)
{
	struct statvfs st;

	for (int i = 0; i < 100; i++) {
		ok(statvfs(".", &st));
		is(st.f_blocks >= st.f_bfree);
	}
}

/* ---- oddities ---- */

CASE(holes_of_all_sizes)
{
	unsigned char byte;
	int fd = fd_of("holey", O_CREAT | O_RDWR, 0644);
	off_t at = 0;

	for (off_t step = 1; step < 100000; step = step * 3 + 1, at += step)
		eq(pwrite(fd, "\1", 1, at), 1);
	ok(fsync(fd));
	at = 0;
	for (off_t step = 1; step < 100000; step = step * 3 + 1, at += step) {
		eq(pread(fd, &byte, 1, at), 1);
		eq(byte, 1);
		if (step > 2 && pread(fd, &byte, 1, at + step / 2) == 1)
			eq(byte, 0);
	}
	ok(close(fd));
}

CASE(an_open_file_under_other_names)
{
	int fd = fd_of("a", O_CREAT | O_RDWR, 0644);
	char buf[8];

	eq(write(fd, "one", 3), 3);
	ok(rename("a", "b"));
	eq(write(fd, "two", 3), 3);
	ok(link("b", "c"));
	ok(unlink("b"));
	eq(write(fd, "end", 3), 3);
	eq(pread(fd, buf, 6, 3), 6);
	is(memcmp(buf, "twoend", 6) == 0);
	ok(close(fd));
	text_is("c", "onetwoend");
}

/* What must not be done twice, done fast, as a client that repeats lost calls would. */
CASE(the_same_over_and_over)
{
	for (int i = 0; i < 30; i++) {
		ok(mkdir("d", 0755));
		touch("d/a", 0644);
		ok(rename("d/a", "d/b"));
		ok(symlink("b", "d/c"));
		ok(link("d/b", "d/e"));
		ok(unlink("d/b"));
		ok(unlink("d/c"));
		ok(unlink("d/e"));
		ok(rmdir("d"));
	}
}

CASE(permission_of_an_unlinked_file)
{
	struct stat st;
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);

	ok(unlink("f"));
	for (mode_t mode = 0; mode < 0777; mode += 0123) {
		ok(fchmod(fd, mode));
		ok(fstat(fd, &st));
		eq(st.st_mode & 0777, mode);
	}
	ok(close(fd));
}

CASE(one_file_seen_from_two_ends)
{
	char line[64], text[2048] = "";

	touch("log", 0644);
	for (int i = 0; i < 50; i++) {
		FILE *f = fopen("log", "a");

		is(f);
		snprintf(line, sizeof(line), "line number %d\n", i);
		is(f && fputs(line, f) >= 0);
		is(f && fclose(f) == 0);
		strcat(text, line);
		text_is("log", text);
	}
}

static void copy_file(const char *from, const char *to)
{
	int in = fd_of(from, O_RDONLY, 0), out = fd_of(to, O_CREAT | O_EXCL | O_WRONLY, 0600);
	char buf[5000];
	struct stat st = stat_of(from);
	ssize_t n;

	while ((n = read(in, buf, sizeof(buf))) > 0)
		eq(write(out, buf, (size_t)n), n);
	ok(n);
	ok(fchmod(out, st.st_mode & 07777));
	ok(futimens(out, (struct timespec[]){ st.st_atim, st.st_mtim }));
	ok(close(out));
	ok(close(in));
}

/* As archivers do: contents, modes and times, and all of it is there. */
CASE(copies_are_faithful)
{
	char name[32], copy[32], text[4096];

	ok(mkdir("from", 0755));
	ok(mkdir("to", 0755));
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "from/%u", i);
		snprintf(copy, sizeof(copy), "to/%u", i);
		memset(text, 'a' + (int)i % 26, sizeof(text));
		text[i * 101] = 0;
		put(name, text);
		ok(chmod(name, i * 0111 % 01000));
		copy_file(name, copy);
	}
	for (unsigned i = 0; i < 20; i++) {
		struct stat a, b;

		snprintf(name, sizeof(name), "from/%u", i);
		snprintf(copy, sizeof(copy), "to/%u", i);
		a = stat_of(name);
		b = stat_of(copy);
		eq(a.st_size, i * 101);
		eq(a.st_size, b.st_size);
		eq(a.st_mode, b.st_mode);
		is(same(a.st_mtim, b.st_mtim));
	}
}
