/* SPDX-License-Identifier: Apache-2.0 */
/* How long names and paths may be, and what must be on the way. */
#define SUBJECT "names"
#include "posix.h"

#include <dirent.h>
#include <limits.h>
#include <sys/statvfs.h>

/* Every call that takes a path, on one. */
#define CALL(name, expr)                  \
	static int name(const char *path) \
	{                                 \
		return expr;              \
	}
CALL(do_open, open(path, O_RDONLY))
CALL(do_creat, open(path, O_CREAT | O_WRONLY, 0644))
CALL(do_mkdir, mkdir(path, 0755))
CALL(do_rmdir, rmdir(path))
CALL(do_unlink, unlink(path))
CALL(do_link, link(path, "linked"))
CALL(do_link_to, link("file", path))
CALL(do_symlink, symlink("x", path))
CALL(do_readlink, (int)readlink(path, (char[2]){ 0 }, 2))
CALL(do_rename, rename(path, "renamed"))
CALL(do_rename_to, rename("file", path))
CALL(do_mkfifo, mkfifo(path, 0644))
CALL(do_chmod, chmod(path, 0644))
CALL(do_chown, chown(path, geteuid(), getegid()))
CALL(do_lchown, lchown(path, geteuid(), getegid()))
CALL(do_truncate, truncate(path, 0))
CALL(do_stat, stat(path, &(struct stat){ 0 }))
CALL(do_lstat, lstat(path, &(struct stat){ 0 }))
CALL(do_access, euidaccess(path, F_OK))
CALL(do_utimens, utimensat(AT_FDCWD, path, NULL, 0))
CALL(do_chdir, chdir(path))

static const struct {
	const char *name;
	int (*call)(const char *path);
} calls[] = {
	{ "open", do_open },
	{ "creat", do_creat },
	{ "mkdir", do_mkdir },
	{ "rmdir", do_rmdir },
	{ "unlink", do_unlink },
	{ "link", do_link },
	{ "link_to", do_link_to },
	{ "symlink", do_symlink },
	{ "readlink", do_readlink },
	{ "rename", do_rename },
	{ "rename_to", do_rename_to },
	{ "mkfifo", do_mkfifo },
	{ "chmod", do_chmod },
	{ "chown", do_chown },
	{ "lchown", do_lchown },
	{ "truncate", do_truncate },
	{ "stat", do_stat },
	{ "lstat", do_lstat },
	{ "access", do_access },
	{ "utimens", do_utimens },
	{ "chdir", do_chdir },
};

#define N_CALLS (sizeof(calls) / sizeof(*calls))

static void all_fail(const char *path, int e)
{
	for (size_t i = 0; i < N_CALLS; i++) {
		int r = calls[i].call(path), got = errno;

		errno = got;
		if (r != -1 || got != e)
			posix_note("%s:", calls[i].name);
		errno = got;
		err(e, r);
	}
}

CASE(names_of_255_bytes)
{
	const char *name = name_of(255);
	struct dirent *e;
	bool seen = false;
	DIR *d;

	put(name, "long");
	text_is(name, "long");
	ok(link(name, "short"));
	ok(unlink(name));
	ok(rename("short", name));
	ok(chmod(name, 0600));
	d = opendir(".");
	while ((e = readdir(d)))
		seen |= strcmp(e->d_name, name) == 0;
	closedir(d);
	is(seen);
	ok(unlink(name));
	ok(mkdir(name, 0755));
	ok(rmdir(name));
	ok(symlink("x", name));
	ok(unlink(name));
	ok(mkfifo(name, 0644));
	ok(unlink(name));
}

CASE(names_of_256_bytes)
{
	touch("file", 0644);
	all_fail(name_of(256), ENAMETOOLONG);
	all_fail(name_of(1000), ENAMETOOLONG);
}

CASE(a_directory_full_of_long_names)
{
	char name[256];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	memset(name, 'y', 255);
	name[255] = 0;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%03d", i);
		name[3] = 'y';
		touch(name, 0644);
	}
	d = opendir(".");
	while ((e = readdir(d)))
		n += strlen(e->d_name) == 255;
	closedir(d);
	eq(n, 100);
}

CASE(paths_of_4095_bytes)
{
	char path[PATH_MAX + 2];

	touch("file", 0644);
	memset(path, '/', sizeof(path));
	path[0] = '.';
	memcpy(path + 4095 - 4, "file", 5);
	eq(strlen(path), 4095);
	ok(close(fd_of(path, O_RDONLY, 0)));
	path[4091] = '/';
	memcpy(path + 4096 - 4, "file", 5);
	all_fail(path, ENAMETOOLONG);
}

CASE(paths_of_1023_bytes)
{
	char path[1100] = "";

	while (strlen(path) < 900) {
		strcat(path, name_of(99));
		ok(mkdir(path, 0755));
		strcat(path, "/");
	}
	while (strlen(path) < 1023)
		strcat(path, "p");
	put(path, "deep");
	text_is(path, "deep");
	ok(chmod(path, 0600));
	ok(rename(path, "f"));
	text_is("f", "deep");
}

CASE(deeper_than_a_path_can_say)
{
	const char *name = name_of(250);
	int top = fd_of(".", O_RDONLY | O_DIRECTORY, 0);

	for (int i = 0; i < 30; i++) {
		ok(mkdir(name, 0755));
		ok(chdir(name));
	}
	put("f", "deep");
	text_is("f", "deep");
	ok(unlink("f"));
	for (int i = 0; i < 30; i++) {
		ok(chdir(".."));
		ok(rmdir(name));
	}
	eq(stat_of(".").st_ino, (ok(fchdir(top)), stat_of(".").st_ino));
}

CASE(what_is_not_there)
{
	touch("file", 0644);
	all_fail("none/x", ENOENT);
	is(!exists("linked") && !exists("renamed"));
}

CASE(what_is_no_directory)
{
	touch("file", 0644);
	ok(mkfifo("fifo", 0644));
	all_fail("file/x", ENOTDIR);
	all_fail("fifo/x", ENOTDIR);
}

CASE(what_loops)
{
	touch("file", 0644);
	ok(symlink("loop", "loop"));
	all_fail("loop/x", ELOOP);
}

CASE(what_may_not_be_searched)
{
	need_root();
	ok(chmod(".", 0777));
	ok(mkdir("d", 0777));
	ok(mkdir("d/x", 0777));
	ok(chmod("d", 0666));
	ok(mkdir("e", 0777));
	as(1000, 1000);
	touch("file", 0666);
	all_fail("d/x", EACCES);
	all_fail("d/none", EACCES);
}

CASE(facts_of_the_file_system)
{
	struct statvfs st;

	ok(statvfs(".", &st));
	eq(st.f_namemax, 255);
	is(st.f_frsize >= 512 && st.f_blocks > 0);
	is(st.f_bfree <= st.f_blocks && st.f_bavail <= st.f_bfree);
	eq(pathconf(".", _PC_NAME_MAX), 255);
	eq(pathconf(".", _PC_NO_TRUNC) != 0, 1);
	is(pathconf(".", _PC_LINK_MAX) >= 8);
}
