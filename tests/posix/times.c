/* SPDX-License-Identifier: Apache-2.0 */
/* utimensat, and which call changes which times. */
#define SUBJECT "times"
#include "posix.h"

#include <sys/mman.h>
#include <sys/statvfs.h>

static int set(const char *path, struct timespec a, struct timespec m)
{
	return utimensat(AT_FDCWD, path, (struct timespec[]){ a, m }, AT_SYMLINK_NOFOLLOW);
}

static const struct timespec now = { 0, UTIME_NOW }, omit = { 0, UTIME_OMIT };

static void times_are(const char *path, struct timespec a, struct timespec m)
{
	struct stat st = stat_of(path);

	eq(st.st_atim.tv_sec, a.tv_sec);
	eq(st.st_atim.tv_nsec, a.tv_nsec);
	eq(st.st_mtim.tv_sec, m.tv_sec);
	eq(st.st_mtim.tv_nsec, m.tv_nsec);
}

CASE(nanoseconds_are_kept)
{
	static const struct timespec t[] = { { 0, 0 }, { 1, 1 }, { 1, 999999999 }, { 1000000000, 123456789 },
		{ 0x7fffffff, 999999999 }, { 0x80000000, 1 }, { 0xfffffffe, 5 }, { 0xffffffff, 0 } };

	touch("file", 0644);
	ok(mkdir("dir", 0755));
	ok(mkfifo("fifo", 0644));
	ok(symlink("file", "link"));
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct timespec other = t[(i + 3) % 8];

		ok(set("file", t[i], other));
		times_are("file", t[i], other);
		ok(set("dir", t[i], other));
		times_are("dir", t[i], other);
		ok(set("fifo", t[i], other));
		times_are("fifo", t[i], other);
		ok(set("link", other, t[i]));
		times_are("link", other, t[i]);
		times_are("file", t[i], other);
	}
}

CASE(times_before_1970)
{
	touch("f", 0644);
	ok(set("f", (struct timespec){ -1, 5 }, (struct timespec){ -1000000, 0 }));
	times_are("f", (struct timespec){ -1, 5 }, (struct timespec){ -1000000, 0 });
}

CASE(times_after_2106)
{
	struct timespec t = { 0x100000000, 7 };

	touch("f", 0644);
	ok(set("f", t, t));
	times_are("f", t, t);
}

CASE(utime_now_and_utime_omit)
{
	struct timespec old = { 1000000, 77 };
	struct stat st;

	touch("clock", 0644);
	touch("f", 0644);
	ok(set("f", old, old));
	tick();
	ok(set("f", omit, omit));
	times_are("f", old, old);
	ok(set("f", now, omit));
	st = stat_of("f");
	is(later(st.st_atim, stat_of("clock").st_mtim));
	is(same(st.st_mtim, old));
	ok(set("f", old, now));
	st = stat_of("f");
	is(same(st.st_atim, old));
	is(later(st.st_mtim, stat_of("clock").st_mtim));
	ok(set("f", old, old));
	ok(utimensat(AT_FDCWD, "f", NULL, 0));
	st = stat_of("f");
	is(later(st.st_atim, old) && later(st.st_mtim, old));
	err(EINVAL, set("f", (struct timespec){ 1, 1000000000 }, old));
	err(EINVAL, set("f", old, (struct timespec){ 1, -1 }));
	err(ENOENT, set("none", old, old));
	changes(M | C, "f", set("f", omit, (struct timespec){ 5, 5 }));
	changes(C, "f", set("f", (struct timespec){ 5, 5 }, omit));
}

CASE(who_may_set_times)
{
	struct timespec t = { 1000, 1000 };

	need_root();
	touch("mine", 0444);
	ok(chown("mine", 1000, 1000));
	touch("writable", 0666);
	touch("closed", 0644);
	ok(mkdir("hidden", 0700));
	touch("hidden/f", 0666);
	as(1000, 1000);
	ok(set("mine", t, t));
	ok(set("mine", now, now));
	ok(set("mine", omit, t));
	ok(set("writable", now, now));
	ok(utimensat(AT_FDCWD, "writable", NULL, 0));
	err(EPERM, set("writable", t, t));
	err(EPERM, set("writable", omit, t));
	err(EPERM, set("writable", t, omit));
	err(EPERM, set("writable", t, now));
	err(EPERM, set("writable", now, omit));
	err(EACCES, set("closed", now, now));
	err(EACCES, utimensat(AT_FDCWD, "closed", NULL, 0));
	err(EPERM, set("closed", t, t));
	err(EACCES, set("hidden/f", now, now));
}

CASE(mtime_alone_is_the_owners)
{
	need_root();
	touch("writable", 0666);
	as(1000, 1000);
	err(EPERM, set("writable", omit, now));
}

/* ---- what marks what ---- */

CASE(writing_marks_mtime_and_ctime)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);

	changes(M | C, "f", write(fd, "x", 1));
	changes(M | C, "f", pwrite(fd, "x", 1, 100));
	changes(0, "f", write(fd, "x", 0));
	changes(0, ".", write(fd, "x", 1));
	changes(0, "f", fsync(fd));
	ok(close(fd));
}

CASE(truncating_marks_mtime_and_ctime)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);

	changes(M | C, "f", ftruncate(fd, 1000));
	changes(M | C, "f", ftruncate(fd, 10));
	changes(M | C, "f", ftruncate(fd, 10)); /* the same size, too: POSIX */
	changes(M | C, "f", truncate("f", 100));
	changes(M | C, "f", truncate("f", 0));
	changes(0, ".", truncate("f", 5));
	ok(close(fd));
}

CASE(a_mapping_marks_mtime_and_ctime)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);
	char *p;

	ok(ftruncate(fd, 4096));
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	is(p != MAP_FAILED);
	changes(M | C, "f", (p[0] = 'x', msync(p, 4096, MS_SYNC)));
	ok(munmap(p, 4096));
	ok(close(fd));
}

CASE(reading_and_asking_mark_nothing_else)
{
	struct stat dir;
	int fd;

	put("f", "text");
	ok(symlink("f", "l"));
	fd = fd_of("f", O_RDONLY, 0);
	dir = stat_of(".");
	changes(0, "f", read(fd, (char[4]){ 0 }, 4));
	changes(0, "l", readlink("l", (char[4]){ 0 }, 4));
	changes(0, "f", access("f", R_OK));
	changes(0, ".", close(fd_of(".", O_RDONLY, 0)));
	eq(moved(&dir, ".") & (M | C), 0);
	ok(close(fd));
}

CASE(reading_marks_atime)
{
	struct statvfs sv;
	struct stat before;
	int fd;

	ok(statvfs(".", &sv));
	if (sv.f_flag & ST_NOATIME)
		posix_skip("mounted noatime");
	put("f", "text");
	before = stat_of("f");
	tick();
	fd = fd_of("f", O_RDONLY, 0);
	eq(read(fd, (char[4]){ 0 }, 4), 4);
	ok(close(fd));
	eq(moved(&before, "f"), A);
}

CASE(what_fails_marks_nothing)
{
	struct stat dir, file;

	need_root();
	ok(mkdir("d", 0777));
	touch("d/f", 0644);
	touch("d/g", 0644);
	ok(mkdir("d/full", 0755));
	touch("d/full/x", 0644);
	dir = stat_of("d");
	file = stat_of("d/f");
	tick();
	err(EEXIST, link("d/f", "d/g"));
	err(EEXIST, mkdir("d/f", 0755));
	err(EEXIST, symlink("x", "d/f"));
	err(EEXIST, mkfifo("d/f", 0755));
	err(ENOTEMPTY, rmdir("d/full"));
	err(ENOENT, unlink("d/none"));
	err(EISDIR, rename("d/f", "d/full"));
	as(1000, 1000);
	err(EPERM, chmod("d/f", 0600));
	err(EPERM, chown("d/f", 1000, 1000));
	err(EACCES, truncate("d/f", 0));
	root();
	eq(moved(&dir, "d") & (M | C), 0);
	eq(moved(&file, "d/f") & (M | C), 0);
}

CASE(times_go_on)
{
	struct timespec last = stat_of(".").st_mtim;

	for (int i = 0; i < 5; i++) {
		struct timespec t;

		tick();
		touch("f", 0644);
		t = stat_of("f").st_mtim;
		is(later(t, last));
		is(t.tv_nsec < 1000000000);
		last = t;
		ok(unlink("f"));
	}
}
