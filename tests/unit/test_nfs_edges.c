/* SPDX-License-Identifier: Apache-2.0 */
/* NFSv3 at its edges, over a real ext4: names, cookies, offsets, set-id bits, times, verifiers. Without sockets. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "tests/unit/extimage.h"
#include "tests/unit/nfs_client.h"

static struct nfs_rig rig;
static struct ext_test ext;
static struct nfs_fh root, dir, file;
static bool ready;

static const struct br_nfs3_sattr mode_777 = { .set_mode = true, .mode = 0777 };

static void as(uint32_t uid)
{
	rig.cred.uid = rig.cred.gid = uid;
}

/* CREATE, MKDIR ... of a name; the handle when it is made. */
static struct nfs_fh make_named(enum br_nfs3_proc proc, const struct nfs_fh *in, const void *name, size_t len,
	enum br_nfs3_status status)
{
	struct br_writer *w = rig_nfs(&rig, proc);
	struct nfs_fh fh = { 0 };
	struct br_reader r;

	put_fh(w, in);
	br_xdr_put_opaque(w, name, len);
	if (proc == BR_NFS3_CREATE)
		br_put_be32(w, BR_NFS3_GUARDED);
	if (proc == BR_NFS3_MKNOD)
		br_put_be32(w, BR_NF3FIFO);
	br_nfs3_put_sattr(w, &mode_777);
	if (proc == BR_NFS3_SYMLINK)
		br_xdr_put_string(w, "target");
	r = rig_expect(&rig, status);
	if (status == BR_NFS3_OK) {
		fh = get_post_fh(&r);
		get_post_attr(&r);
	}
	get_wcc(&r); /* before and after, also when it failed */
	assert_ended(&r);
	return fh;
}

static struct nfs_fh made(enum br_nfs3_proc proc, const char *name)
{
	return make_named(proc, &dir, name, strlen(name), BR_NFS3_OK);
}

static int setup(void **state)
{
	if (!have_mke2fs())
		return 0;
	make_image("edges.ext4", 16384, "-b 1024", NULL);
	ext_test_new(&ext, "edges.ext4");
	rig_init_fs(&rig, ext.fs);
	root = rig_mount(&rig, "/");
	dir = make_named(BR_NFS3_MKDIR, &root, "dir", 3, BR_NFS3_OK);
	file = made(BR_NFS3_CREATE, "file");
	ready = true;
	return 0;
}

static int teardown(void **state)
{
	if (!ready)
		return 0;
	rig_done(&rig);
	br_cow_close(ext.cow);
	close(ext.fd);
	return run("rm -rf %s %s", ext.layer, ext.image);
}

static void remove_one(enum br_nfs3_proc proc, const void *name, size_t len, enum br_nfs3_status status)
{
	struct br_writer *w = rig_nfs(&rig, proc);
	struct br_reader r;

	put_fh(w, &dir);
	br_xdr_put_opaque(w, name, len);
	r = rig_expect(&rig, status);
	get_wcc(&r);
	assert_ended(&r);
}

static void removed(enum br_nfs3_proc proc, const char *name)
{
	remove_one(proc, name, strlen(name), BR_NFS3_OK);
}

static void move(const struct nfs_fh *from_dir, const void *from, size_t from_len, const struct nfs_fh *to_dir,
	const void *to, size_t to_len, enum br_nfs3_status status)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_RENAME);
	struct br_reader r;

	put_fh(w, from_dir);
	br_xdr_put_opaque(w, from, from_len);
	put_fh(w, to_dir);
	br_xdr_put_opaque(w, to, to_len);
	r = rig_expect(&rig, status);
	get_wcc(&r);
	get_wcc(&r);
	assert_ended(&r);
}

static void renamed(
	const struct nfs_fh *from_dir, const char *from, const struct nfs_fh *to_dir, const char *to, enum br_nfs3_status status)
{
	move(from_dir, from, strlen(from), to_dir, to, strlen(to), status);
}

static void link_to(const void *name, size_t len, enum br_nfs3_status status)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_LINK);
	struct br_reader r;

	put_fh(w, &file);
	put_fh(w, &dir);
	br_xdr_put_opaque(w, name, len);
	r = rig_expect(&rig, status);
	get_post_attr(&r);
	get_wcc(&r);
	assert_ended(&r);
}

/* Names nobody can have, to every procedure that takes one. */
static void names_nobody_has(void **state)
{
	static char nn[300];
	static const struct {
		const char *name;
		size_t len;
		enum br_nfs3_status lookup, make, unlink, rmdir, rename;
	} rows[] = {
#define ALL(s) s, s, s, s, s
		{ "", 0, ALL(BR_NFS3ERR_ACCES) },
		{ "a/b", 3, ALL(BR_NFS3ERR_ACCES) },
		{ "/", 1, ALL(BR_NFS3ERR_ACCES) },
		{ "a\0b", 3, ALL(BR_NFS3ERR_ACCES) },
		{ "\0", 1, ALL(BR_NFS3ERR_ACCES) },
		{ nn, 256, ALL(BR_NFS3ERR_NAMETOOLONG) },
		{ nn, 300, ALL(BR_NFS3ERR_NAMETOOLONG) },
		{ ".", 1, BR_NFS3_OK, BR_NFS3ERR_EXIST, BR_NFS3ERR_ACCES, BR_NFS3ERR_INVAL, BR_NFS3ERR_INVAL },
		{ "..", 2, BR_NFS3_OK, BR_NFS3ERR_EXIST, BR_NFS3ERR_ACCES, BR_NFS3ERR_EXIST, BR_NFS3ERR_INVAL },
	};
	static const enum br_nfs3_proc makers[] = { BR_NFS3_CREATE, BR_NFS3_MKDIR, BR_NFS3_SYMLINK, BR_NFS3_MKNOD };

	if (!ready)
		skip();
	memset(nn, 'n', sizeof(nn));
	for (size_t i = 0; i < BR_ARRAY_SIZE(rows); i++) {
		struct br_writer *w = rig_nfs(&rig, BR_NFS3_LOOKUP);

		put_fh(w, &dir);
		br_xdr_put_opaque(w, rows[i].name, rows[i].len);
		rig_expect(&rig, rows[i].lookup);
		for (size_t k = 0; k < BR_ARRAY_SIZE(makers); k++)
			make_named(makers[k], &dir, rows[i].name, rows[i].len, rows[i].make);
		link_to(rows[i].name, rows[i].len, rows[i].make);
		remove_one(BR_NFS3_REMOVE, rows[i].name, rows[i].len, rows[i].unlink);
		remove_one(BR_NFS3_RMDIR, rows[i].name, rows[i].len, rows[i].rmdir);
		move(&dir, rows[i].name, rows[i].len, &dir, "x", 1, rows[i].rename);
		move(&dir, "file", 4, &dir, rows[i].name, rows[i].len, rows[i].rename);
	}
	/* one byte less is a name */
	make_named(BR_NFS3_CREATE, &dir, nn, 255, BR_NFS3_OK);
	remove_one(BR_NFS3_REMOVE, nn, 255, BR_NFS3_OK);
}

static void renames_at_the_edge(void **state)
{
	struct nfs_fh a, b;

	if (!ready)
		skip();
	a = made(BR_NFS3_MKDIR, "a");
	b = make_named(BR_NFS3_MKDIR, &a, "b", 1, BR_NFS3_OK);
	renamed(&dir, "a", &a, "c", BR_NFS3ERR_INVAL);
	renamed(&dir, "a", &b, "c", BR_NFS3ERR_INVAL);
	renamed(&dir, "a", &b, "a", BR_NFS3ERR_INVAL);
	renamed(&a, "b", &dir, "a", BR_NFS3ERR_NOTEMPTY);
	renamed(&dir, "file", &dir, "a", BR_NFS3ERR_ISDIR);
	renamed(&dir, "a", &dir, "file", BR_NFS3ERR_NOTDIR);
	renamed(&dir, "a", &dir, "a", BR_NFS3_OK);
	link_to("twin", 4, BR_NFS3_OK);
	renamed(&dir, "twin", &dir, "file", BR_NFS3_OK); /* two names of one file: nothing is done */
	assert_int_equal(rig_getattr(&rig, &file).nlink, 2);
	removed(BR_NFS3_REMOVE, "twin");
	renamed(&a, "b", &dir, "b", BR_NFS3_OK);
	assert_int_equal(rig_getattr(&rig, &a).nlink, 2);
	renamed(&dir, "b", &dir, "a", BR_NFS3_OK); /* over an empty one */
	put_fh(rig_nfs(&rig, BR_NFS3_GETATTR), &a);
	rig_expect(&rig, BR_NFS3ERR_STALE);
	removed(BR_NFS3_RMDIR, "a");
	assert_int_equal(rig_getattr(&rig, &dir).nlink, 2);
}

static struct br_reader list(bool plus, uint64_t cookie, uint64_t verf, uint32_t dircount, uint32_t maxcount)
{
	struct br_writer *w = rig_nfs(&rig, plus ? BR_NFS3_READDIRPLUS : BR_NFS3_READDIR);
	struct br_reader r;

	put_fh(w, &dir);
	br_put_be64(w, cookie);
	br_put_be64(w, verf);
	if (plus)
		br_put_be32(w, dircount);
	br_put_be32(w, maxcount);
	r = rig_send(&rig, BR_RPC_SUCCESS);
	assert_true(br_reader_left(&r) <= maxcount + 4u || br_load_be32(rig.reply + 24) != BR_NFS3_OK);
	return r;
}

/* Entries in the listing; *ret_cookie is the last one's. */
static unsigned entries(struct br_reader *r, bool plus, uint64_t *ret_cookie, bool *ret_eof)
{
	unsigned n = 0;
	uint32_t len;

	get_post_attr(r);
	br_get_be64(r);
	while (br_xdr_get_bool(r)) {
		br_get_be64(r);
		br_xdr_get_opaque(r, 255, &len);
		*ret_cookie = br_get_be64(r);
		if (plus) {
			get_post_attr(r);
			get_post_fh(r);
		}
		n++;
	}
	*ret_eof = br_xdr_get_bool(r);
	assert_ended(r);
	return n;
}

/* With any limits a listing makes progress or says TOOSMALL; it never is longer than allowed. */
static void listings_with_any_limits(void **state)
{
	uint64_t cookie = 0;
	bool eof = false;

	if (!ready)
		skip();
	for (unsigned i = 0; i < 2; i++)
		for (uint32_t max = 0; max < 700; max += 7) {
			struct br_reader r = list(i, 0, 0, max % 3 ? 0 : max, max);
			uint32_t status = br_get_be32(&r);

			if (status == BR_NFS3_OK)
				assert_true(entries(&r, i, &cookie, &eof) > 0);
			else
				assert_int_equal(status, BR_NFS3ERR_TOOSMALL);
		}
}

static void cookies_at_the_edge(void **state)
{
	static const uint64_t beyond[] = { 1ull << 32, (1ull << 63) - 1, 1ull << 63, UINT64_MAX - 1, UINT64_MAX };
	uint64_t cookie = 0, last = 0;
	struct br_reader r;
	unsigned n = 0;
	bool eof = false;

	if (!ready)
		skip();
	for (unsigned i = 0; i < 2; i++) {
		for (size_t k = 0; k < BR_ARRAY_SIZE(beyond); k++) {
			r = list(i, beyond[k], 0, 4096, 4096);
			assert_int_equal(br_get_be32(&r), BR_NFS3_OK);
			assert_int_equal(entries(&r, i, &cookie, &eof), 0);
			assert_true(eof);
		}
		r = list(i, 1, 1, 4096, 4096);
		assert_int_equal(br_get_be32(&r), BR_NFS3ERR_BAD_COOKIE);
	}
	/* in the middle of an entry: the next one, and no damage seen where there is none */
	for (uint64_t c = 1; c < 1100; c++) {
		r = list(false, c, 0, 4096, 4096);
		assert_int_equal(br_get_be32(&r), BR_NFS3_OK);
		entries(&r, false, &last, &eof);
		assert_true(eof);
	}
	/* one by one it is the same listing */
	cookie = 0;
	for (eof = false; !eof && n < 100;) {
		r = list(true, cookie, 0, 1, 4096);
		assert_int_equal(br_get_be32(&r), BR_NFS3_OK);
		n += entries(&r, true, &cookie, &eof);
	}
	assert_int_equal(n, 3);
}

static void reads_of(uint64_t offset, uint32_t count, uint32_t want, bool eof)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_READ);
	struct br_reader r;

	put_fh(w, &file);
	br_put_be64(w, offset);
	br_put_be32(w, count);
	r = rig_expect(&rig, BR_NFS3_OK);
	get_post_attr(&r);
	assert_int_equal(br_get_be32(&r), want);
	assert_int_equal(br_get_be32(&r), eof);
}

static void offsets_at_the_edge(void **state)
{
	static const struct {
		uint64_t offset;
		enum br_nfs3_status status;
	} writes[] = {
		{ (1ull << 42) - 1, BR_NFS3ERR_FBIG }, /* blocks of 1 KiB: 2^32 - 1 of them */
		{ INT64_MAX - 1, BR_NFS3ERR_FBIG }, { INT64_MAX, BR_NFS3ERR_FBIG }, { 1ull << 63, BR_NFS3ERR_FBIG },
		{ UINT64_MAX, BR_NFS3ERR_FBIG }, { (1ull << 41) + 1, BR_NFS3_OK }, { 1ull << 32, BR_NFS3_OK },
	};
	struct br_writer *w;
	struct br_reader r;

	if (!ready)
		skip();
	rig_write(&rig, &file, 0, "0123456789", BR_NFS3_UNSTABLE);
	reads_of(0, 0, 0, false);
	reads_of(9, 100, 1, true);
	reads_of(10, 100, 0, true);
	reads_of(1ull << 63, 100, 0, true);
	reads_of(UINT64_MAX, UINT32_MAX, 0, true);
	reads_of(0, UINT32_MAX, 10, true);
	for (size_t i = 0; i < BR_ARRAY_SIZE(writes); i++) {
		put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, writes[i].offset, "xy", BR_NFS3_UNSTABLE);
		r = rig_expect(&rig, writes[i].status);
		get_wcc(&r);
	}
	/* a COMMIT covers the file, wherever it says */
	w = rig_nfs(&rig, BR_NFS3_COMMIT);
	put_fh(w, &file);
	br_put_be64(w, UINT64_MAX);
	br_put_be32(w, UINT32_MAX);
	r = rig_expect(&rig, BR_NFS3_OK);
	get_wcc(&r);
}

static struct br_nfs3_fattr set_attr(const struct br_nfs3_sattr *attr, enum br_nfs3_status status)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_SETATTR);
	struct nfs_wcc wcc;
	struct br_reader r;

	put_fh(w, &file);
	br_nfs3_put_sattr(w, attr);
	br_put_be32(w, false);
	r = rig_expect(&rig, status);
	wcc = get_wcc(&r);
	assert_ended(&r);
	return wcc.after;
}

static void root_keeps_setid_bits(void **state)
{
	static const struct br_nfs3_sattr setid = { .set_mode = true, .mode = 06777 }, cut = { .set_size = true, .size = 3 },
					  give = { .set_uid = true, .uid = 1000 };

	if (!ready)
		skip();
	set_attr(&give, BR_NFS3_OK);
	set_attr(&setid, BR_NFS3_OK);
	rig_write(&rig, &file, 0, "by root", BR_NFS3_UNSTABLE);
	assert_int_equal(rig_getattr(&rig, &file).mode, 06777);
	assert_int_equal(set_attr(&cut, BR_NFS3_OK).mode, 06777);
	assert_int_equal(set_attr(&give, BR_NFS3_OK).mode, 0777); /* chown takes it from all */
	set_attr(&setid, BR_NFS3_OK);
	as(1001);
	rig_write(&rig, &file, 0, "by another", BR_NFS3_UNSTABLE);
	assert_int_equal(rig_getattr(&rig, &file).mode, 0777);
	as(0);
	set_attr(&setid, BR_NFS3_OK);
	as(1001);
	assert_int_equal(set_attr(&cut, BR_NFS3_OK).mode, 0777);
	as(0);
}

static void times_of_others_files(void **state)
{
	static const struct br_nfs3_sattr own = { .set_mode = true, .mode = 0666, .set_uid = true, .uid = 1000 };
	static const struct {
		enum br_nfs3_time_how atime, mtime;
		enum br_nfs3_status status;
	} rows[] = {
		{ BR_NFS3_SERVER_TIME, BR_NFS3_SERVER_TIME, BR_NFS3_OK },
		{ BR_NFS3_SERVER_TIME, BR_NFS3_DONT_CHANGE, BR_NFS3ERR_PERM },
		{ BR_NFS3_DONT_CHANGE, BR_NFS3_SERVER_TIME, BR_NFS3_OK }, /* comes with truncation */
		{ BR_NFS3_CLIENT_TIME, BR_NFS3_DONT_CHANGE, BR_NFS3ERR_PERM },
		{ BR_NFS3_SERVER_TIME, BR_NFS3_CLIENT_TIME, BR_NFS3ERR_PERM },
	};

	if (!ready)
		skip();
	set_attr(&own, BR_NFS3_OK);
	as(1001);
	for (size_t i = 0; i < BR_ARRAY_SIZE(rows); i++)
		set_attr(&(struct br_nfs3_sattr){ .set_atime = rows[i].atime, .set_mtime = rows[i].mtime }, rows[i].status);
	as(0);
}

static void a_size_marks_mtime(void **state)
{
	struct br_nfs3_sattr old = { .set_mtime = BR_NFS3_CLIENT_TIME, .mtime = { 5, 6 } };
	struct br_nfs3_fattr got;

	if (!ready)
		skip();
	set_attr(&old, BR_NFS3_OK);
	got = rig_getattr(&rig, &file);
	got = set_attr(&(struct br_nfs3_sattr){ .set_size = true, .size = got.size }, BR_NFS3_OK);
	assert_true(got.mtime.tv_sec > 5);
	/* a time that comes with it counts */
	old.set_size = true;
	assert_int_equal(set_attr(&old, BR_NFS3_OK).mtime.tv_sec, 5);
	/* CREATE of a file that is there, as open(2) with O_TRUNC */
	for (int cut = 0; cut < 2; cut++) {
		struct br_writer *w = rig_nfs(&rig, BR_NFS3_CREATE);
		struct br_reader r;

		put_where(w, &dir, "file");
		br_put_be32(w, BR_NFS3_UNCHECKED);
		br_nfs3_put_sattr(w, &(struct br_nfs3_sattr){ .set_size = cut });
		r = rig_expect(&rig, BR_NFS3_OK);
		get_post_fh(&r);
		assert_int_equal(get_post_attr(&r).mtime.tv_sec > 5, cut);
	}
}

/* After a restart unstable data may be gone: a client sees that and sends it again. */
static void verifiers_change_with_a_restart(void **state)
{
	struct br_nfs_options opt = { .ops = &nfs_test_ops, .ctx = &rig.export };
	uint64_t first;

	if (!ready)
		skip();
	first = rig_write(&rig, &file, 0, "a", BR_NFS3_UNSTABLE);
	assert_true(rig_write(&rig, &file, 0, "b", BR_NFS3_FILE_SYNC) == first);
	memcpy(opt.handle_key, nfs_test_key, sizeof(opt.handle_key));
	br_nfs_core_done(&rig.core);
	assert_int_equal(br_nfs_core_init(&rig.core, &opt), 0);
	/* handles stay good */
	assert_true(rig_write(&rig, &file, 0, "c", BR_NFS3_UNSTABLE) != first);
}

/* A directory of this export, the other of none we have. */
static void two_exports_in_one_call(void **state)
{
	struct nfs_fh foreign;
	struct br_nfs_handle parts;
	struct br_writer *w;

	if (!ready)
		skip();
	assert_int_equal(br_nfs_handle_get(nfs_test_key, dir.b, dir.len, &parts), 0);
	parts.export_id[3] ^= 1;
	foreign.len = BR_NFS_HANDLE_SIZE;
	br_nfs_handle_put(nfs_test_key, &parts, foreign.b);
	w = rig_nfs(&rig, BR_NFS3_RENAME);
	put_where(w, &dir, "file");
	put_where(w, &foreign, "x");
	rig_expect(&rig, BR_NFS3ERR_XDEV);
	w = rig_nfs(&rig, BR_NFS3_RENAME);
	put_where(w, &foreign, "file");
	put_where(w, &dir, "x");
	rig_expect(&rig, BR_NFS3ERR_STALE);
	w = rig_nfs(&rig, BR_NFS3_LINK);
	put_fh(w, &file);
	put_where(w, &foreign, "x");
	rig_expect(&rig, BR_NFS3ERR_XDEV);
	foreign.b[20] ^= 1; /* and forged */
	w = rig_nfs(&rig, BR_NFS3_LINK);
	put_fh(w, &file);
	put_where(w, &foreign, "x");
	rig_expect(&rig, BR_NFS3ERR_BADHANDLE);
}

/* What the calls left is a clean file system. */
static void nothing_is_damaged(void **state)
{
	if (!ready)
		skip();
	ext_test_fsck(&ext);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_nobody_has),
		cmocka_unit_test(renames_at_the_edge),
		cmocka_unit_test(listings_with_any_limits),
		cmocka_unit_test(cookies_at_the_edge),
		cmocka_unit_test(offsets_at_the_edge),
		cmocka_unit_test(root_keeps_setid_bits),
		cmocka_unit_test(times_of_others_files),
		cmocka_unit_test(a_size_marks_mtime),
		cmocka_unit_test(verifiers_change_with_a_restart),
		cmocka_unit_test(two_exports_in_one_call),
		cmocka_unit_test(nothing_is_damaged),
	};

	if (!have_mke2fs())
		printf("# skipped: mke2fs and e2fsck are needed\n");
	return cmocka_run_group_tests_name("nfs_edges", tests, setup, teardown);
}
