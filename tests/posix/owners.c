/* SPDX-License-Identifier: Apache-2.0 */
/* chmod, chown, setuid and setgid bits, sticky directories, groups, devices. */
#define SUBJECT "owners"
#include "posix.h"

#include <sys/sysmacros.h>

#define N(array) (sizeof(array) / sizeof(*(array)))

static mode_t mode_of(const char *path)
{
	return stat_of(path).st_mode & 07777;
}

CASE(chmod_sets_each_bit)
{
	touch("f", 0);
	ok(mkdir("d", 0));
	for (mode_t mode = 1; mode < 010000; mode <<= 1) {
		ok(chmod("f", mode));
		eq(mode_of("f"), mode);
		ok(chmod("d", mode));
		eq(mode_of("d"), mode);
	}
	ok(chmod("f", 07777));
	eq(mode_of("f"), 07777);
	ok(chmod("d", 0755));
	ok(mkfifo("fifo", 0));
	ok(chmod("fifo", 0642));
	eq(mode_of("fifo"), 0642);
}

CASE(chmod_marks_ctime_only)
{
	int fd;

	put("f", "text");
	ok(mkdir("d", 0700));
	changes(C, "f", chmod("f", 0640));
	changes(C, "f", chmod("f", 0640));
	changes(C, "d", chmod("d", 0750));
	fd = fd_of("f", O_RDONLY, 0);
	changes(C, "f", fchmod(fd, 0600));
	eq(mode_of("f"), 0600);
	ok(close(fd));
}

CASE(chmod_is_the_owners)
{
	struct stat before;

	need_root();
	touch("f", 0666);
	ok(chown("f", 1000, 1000));
	before = stat_of("f");
	tick();
	as(1001, 1000);
	err(EPERM, chmod("f", 0777));
	as(1001, 1001);
	err(EPERM, chmod("f", 0777));
	root();
	eq(moved(&before, "f"), 0);
	as(1000, 1000);
	ok(chmod("f", 0));
	ok(chmod("f", 0777));
	eq(mode_of("f"), 0777);
}

CASE(setgid_is_for_ones_own_groups)
{
	need_root();
	touch("f", 0644);
	ok(chown("f", 1000, 2000));
	ok(mkdir("d", 0755));
	ok(chown("d", 1000, 2000));
	as(1000, 1000);
	ok(chmod("f", 02755));
	eq(mode_of("f"), 0755);
	ok(chmod("d", 02755));
	eq(mode_of("d"), 0755);
	as_groups(1000, 1000, 2, (gid_t[]){ 5, 2000 });
	ok(chmod("f", 06755));
	eq(mode_of("f"), 06755);
	ok(chmod("d", 02755));
	eq(mode_of("d"), 02755);
	root();
	ok(chmod("f", 0));
	ok(chmod("f", 06777));
	eq(mode_of("f"), 06777);
}

CASE(chown_by_root)
{
	static const uid_t ids[] = { 0, 1, 65533, 65534, 65535, 65536, 70000, 0x7fffffff, 0x80000000, 0xfffffffe };

	need_root();
	touch("f", 0644);
	ok(mkdir("d", 0755));
	for (size_t i = 0; i < N(ids); i++) {
		gid_t gid = ids[N(ids) - 1 - i];

		ok(chown("f", ids[i], gid));
		eq(stat_of("f").st_uid, ids[i]);
		eq(stat_of("f").st_gid, gid);
		ok(chown("d", ids[i], gid));
		eq(stat_of("d").st_uid, ids[i]);
		eq(stat_of("d").st_gid, gid);
	}
	ok(chown("f", 10, 20));
	ok(chown("f", (uid_t)-1, 21));
	eq(stat_of("f").st_uid, 10);
	eq(stat_of("f").st_gid, 21);
	ok(chown("f", 11, (gid_t)-1));
	eq(stat_of("f").st_uid, 11);
	eq(stat_of("f").st_gid, 21);
	changes(C, "f", chown("f", 12, 22));
	changes(C, "f", chown("f", 12, 22));
	changes(C, "d", chown("d", 12, 22));
}

CASE(chown_of_nothing_marks_ctime)
{
	need_root();
	touch("f", 0644);
	changes(C, "f", chown("f", (uid_t)-1, (gid_t)-1));
}

CASE(chown_by_others)
{
	need_root();
	touch("f", 0644);
	ok(chown("f", 1000, 1000));
	as_groups(1000, 1000, 2, (gid_t[]){ 2000, 3000 });
	ok(chown("f", (uid_t)-1, 2000));
	eq(stat_of("f").st_gid, 2000);
	ok(chown("f", 1000, 3000));
	ok(chown("f", 1000, 1000));
	err(EPERM, chown("f", 1000, 4000));
	err(EPERM, chown("f", 1001, (gid_t)-1));
	err(EPERM, chown("f", 0, 1000));
	as_groups(1001, 1001, 1, (gid_t[]){ 2000 });
	err(EPERM, chown("f", (uid_t)-1, 2000));
	err(EPERM, chown("f", 1001, 1001));
	root();
	eq(stat_of("f").st_uid, 1000);
	eq(stat_of("f").st_gid, 1000);
}

CASE(chown_takes_setuid_away)
{
	need_root();
	touch("f", 0644);
	ok(mkdir("d", 0755));
	for (int by_root = 0; by_root < 2; by_root++) {
		root();
		ok(chown("f", 1000, 1000));
		ok(chmod("f", 06755));
		ok(chown("d", 1000, 1000));
		ok(chmod("d", 07755));
		if (!by_root)
			as_groups(1000, 1000, 1, (gid_t[]){ 2000 });
		ok(chown("f", (uid_t)-1, 2000));
		eq(mode_of("f"), 0755);
		ok(chown("d", (uid_t)-1, 2000));
		eq(mode_of("d"), 07755);
	}
}

static void write_one(const char *path)
{
	int fd = fd_of(path, O_WRONLY, 0);

	eq(write(fd, "x", 1), 1);
	ok(fsync(fd));
	ok(close(fd));
}

CASE(writing_takes_setuid_away)
{
	static const struct {
		uid_t uid;
		mode_t before, after;
	} rows[] = {
		{ 1000, 06777, 0777 }, { 1001, 06777, 0777 }, { 1001, 04777, 0777 }, { 1001, 02777, 0777 },
		{ 1001, 04666, 0666 }, { 1001, 01777, 01777 }, { 1001, 0777, 0777 },
		{ 0, 06777, 06777 }, /* who may set it anyway */
	};

	need_root();
	touch("f", 0);
	ok(chown("f", 1000, 1000));
	for (size_t i = 0; i < N(rows); i++) {
		root();
		ok(chmod("f", rows[i].before));
		as(rows[i].uid, rows[i].uid);
		write_one("f");
		eq(mode_of("f"), rows[i].after);
	}
}

CASE(truncating_takes_setuid_away)
{
	need_root();
	put("f", "0123456789");
	ok(chown("f", 1000, 1000));
	ok(chmod("f", 06777));
	ok(truncate("f", 9)); /* by root */
	eq(mode_of("f"), 06777);
	as(1001, 1001);
	ok(truncate("f", 5));
	eq(mode_of("f"), 0777);
	root();
	ok(chmod("f", 06777));
	as(1001, 1001);
	ok(close(fd_of("f", O_WRONLY | O_TRUNC, 0)));
	eq(mode_of("f"), 0777);
}

CASE(supplementary_groups_count)
{
	gid_t groups[16];

	need_root();
	put("f", "text");
	ok(chown("f", 0, 2015));
	ok(chmod("f", 0640));
	for (unsigned i = 0; i < N(groups); i++)
		groups[i] = 2000 + i;
	as(1000, 1000);
	err(EACCES, open("f", O_RDONLY));
	as_groups(1000, 1000, 16, groups);
	text_is("f", "text");
	err(EACCES, open("f", O_WRONLY));
	as_groups(1000, 1000, 15, groups);
	err(EACCES, open("f", O_RDONLY));
	root();
	ok(mkdir("d", 0770));
	ok(chown("d", 0, 2003));
	as_groups(1000, 1000, 16, groups);
	touch("d/f", 0644);
	eq(stat_of("d/f").st_gid, 1000);
}

CASE(root_may_all)
{
	need_root();
	ok(chmod(".", 0777));
	as(1000, 1000);
	put("f", "text");
	ok(chmod("f", 0));
	ok(mkdir("d", 0));
	root();
	text_is("f", "text");
	put("f", "by root");
	touch("d/f", 0);
	ok(rename("d/f", "d/g"));
	ok(unlink("d/g"));
	ok(rmdir("d"));
	ok(truncate("f", 0));
}

/* ---- sticky directories ---- */

static const struct {
	uid_t dir, file, caller;
	bool may;
} sticky_rows[] = {
	{ 0, 1000, 1000, true }, { 0, 1000, 1001, false }, { 1001, 1000, 1001, true }, { 1000, 1000, 1001, false },
	{ 1001, 1000, 1002, false }, { 1000, 1001, 0, true }, { 1001, 0, 1001, true },
};

static void sticky_check(long r, bool may, const char *what, int line)
{
	if (may)
		posix_eq(r, 0, what, line);
	else
		posix_err(r, EPERM, EACCES, what, line);
}

CASE(sticky_directories_protect_names)
{
	need_root();
	for (size_t i = 0; i < N(sticky_rows); i++) {
		bool may = sticky_rows[i].may;

		root();
		ok(mkdir("d", 0777));
		ok(mkdir("other", 0777));
		ok(chmod("d", 01777));
		ok(chown("d", sticky_rows[i].dir, 0));
		touch("d/f", 0666);
		touch("d/g", 0666);
		ok(mkdir("d/sub", 0777));
		ok(chown("d/f", sticky_rows[i].file, 0));
		ok(chown("d/g", sticky_rows[i].file, 0));
		ok(chown("d/sub", sticky_rows[i].file, 0));
		as(sticky_rows[i].caller, sticky_rows[i].caller);
		touch("other/mine", 0666);
		sticky_check(rename("other/mine", "d/g"), may, "rename over", __LINE__);
		sticky_check(rename("d/f", "d/h"), may, "rename within", __LINE__);
		sticky_check(rename(may ? "d/h" : "d/f", "other/f"), may, "rename out", __LINE__);
		sticky_check(unlink("d/g"), may || sticky_rows[i].caller == 0, "unlink", __LINE__);
		sticky_check(rmdir("d/sub"), may, "rmdir", __LINE__);
		root();
		ok(system("rm -rf d other") ? -1 : 0);
	}
}

/* ---- devices ---- */

CASE(nodes_keep_their_numbers)
{
	static const struct {
		mode_t type;
		unsigned major, minor;
	} rows[] = {
		{ S_IFCHR, 1, 3 }, { S_IFBLK, 8, 1 }, { S_IFCHR, 255, 255 }, { S_IFBLK, 259, 100000 }, { S_IFCHR, 4095, 1048575 },
		{ S_IFCHR, 0, 0 }, { S_IFBLK, 256, 0 }, { S_IFCHR, 0, 256 },
	};

	need_root();
	for (size_t i = 0; i < N(rows); i++) {
		dev_t dev = makedev(rows[i].major, rows[i].minor);
		struct stat st;

		ok(mknod("n", rows[i].type | 0640, dev));
		st = stat_of("n");
		eq(st.st_mode, rows[i].type | 0640);
		eq(major(st.st_rdev), rows[i].major);
		eq(minor(st.st_rdev), rows[i].minor);
		eq(st.st_nlink, 1);
		eq(st.st_size, 0);
		ok(unlink("n"));
	}
}

CASE(mknod_and_mkfifo)
{
	need_root();
	ok(chmod(".", 0777));
	as(1000, 1001);
	umask(022);
	changes(M | C, ".", mkfifo("fifo", 0666));
	eq(stat_of("fifo").st_mode, S_IFIFO | 0644);
	eq(stat_of("fifo").st_uid, 1000);
	eq(stat_of("fifo").st_gid, 1001);
	ok(mknod("file", S_IFREG | 0600, 0));
	eq(stat_of("file").st_mode, S_IFREG | 0600);
	ok(mknod("socket", S_IFSOCK | 0600, 0));
	eq(stat_of("socket").st_mode, S_IFSOCK | 0600);
	err(EPERM, mknod("char", S_IFCHR | 0600, makedev(1, 3)));
	err(EPERM, mknod("block", S_IFBLK | 0600, makedev(8, 1)));
	err(EEXIST, mkfifo("fifo", 0666));
	err(EEXIST, mkfifo("file", 0666));
	err(ENOENT, mkfifo("none/fifo", 0666));
	err(ENOTDIR, mkfifo("file/fifo", 0666));
	root();
	ok(mkdir("d", 0755));
	as(1000, 1000);
	err(EACCES, mkfifo("d/fifo", 0666));
}

CASE(devices_and_fifos_work)
{
	char buf[8] = "";
	int r, w;

	need_root();
	ok(mknod("zero", S_IFCHR | 0666, makedev(1, 5)));
	ok(mkfifo("fifo", 0600));
	r = open("zero", O_RDONLY);
	if (r < 0 && errno == EACCES)
		posix_skip("mounted nodev");
	memset(buf, 'x', sizeof(buf));
	eq(read(r, buf, 8), 8);
	eq(buf[7], 0);
	ok(close(r));
	r = fd_of("fifo", O_RDONLY | O_NONBLOCK, 0);
	w = fd_of("fifo", O_WRONLY, 0);
	eq(write(w, "through", 7), 7);
	eq(read(r, buf, 8), 7);
	is(memcmp(buf, "through", 7) == 0);
	ok(chmod("zero", 0600));
	ok(chown("zero", 5, 6));
	eq(stat_of("zero").st_mode, S_IFCHR | 0600);
	eq(stat_of("zero").st_rdev, makedev(1, 5));
}
