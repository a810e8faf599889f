/* SPDX-License-Identifier: Apache-2.0 */
/* The writing half of NFSv3: what changes, what is stable when, what happens once. Without sockets.
 */
#include "tests/unit/test.h"

#include <sys/stat.h>

#include "base/cleanup.h"
#include "nfs/drc.h"
#include "tests/unit/nfs_client.h"

static struct nfs_rig rig;
static struct nfs_fh root, pub, sticky, file;

static int setup(void **state)
{
	struct br_fs *fs = memfs_new();

	memfs_put(fs, "/file", 0644, "0123456789");
	memfs_mkdir(fs, "/pub");
	memfs_mkdir(fs, "/sticky");
	memfs_put(fs, "/sticky/roots", 0666, "x");
	rig_init_fs(&rig, fs);
	root = rig_mount(&rig, "/");
	pub = rig_lookup(&rig, &root, "pub", BR_NFS3_OK);
	sticky = rig_lookup(&rig, &root, "sticky", BR_NFS3_OK);
	file = rig_lookup(&rig, &root, "file", BR_NFS3_OK);
	return 0;
}

static int teardown(void **state)
{
	rig_done(&rig);
	return 0;
}

static void as(uint32_t uid)
{
	rig.cred.uid = rig.cred.gid = uid;
	rig.cred.n_gids = 0;
}

static struct nfs_wcc setattr(
	const struct nfs_fh *fh, const struct br_nfs3_sattr *attr, enum br_nfs3_status status)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_SETATTR);
	struct br_reader r;
	struct nfs_wcc wcc;

	put_fh(w, fh);
	br_nfs3_put_sattr(w, attr);
	br_put_be32(w, false);
	r = rig_expect(&rig, status);
	wcc = get_wcc(&r);
	assert_ended(&r);
	return wcc;
}

static void mode(const struct nfs_fh *fh, uint32_t bits)
{
	setattr(fh, &(struct br_nfs3_sattr){ .set_mode = true, .mode = bits }, BR_NFS3_OK);
}

static struct nfs_fh created(struct br_reader *r)
{
	struct nfs_fh fh = get_post_fh(r);

	get_post_attr(r);
	get_wcc(r);
	assert_ended(r);
	return fh;
}

static struct nfs_fh finish_make(enum br_nfs3_status status)
{
	struct br_reader r = rig_expect(&rig, status);

	if (status == BR_NFS3_OK)
		return created(&r);
	get_wcc(&r);
	assert_ended(&r);
	return (struct nfs_fh){ 0 };
}

static void put_create(const struct nfs_fh *dir, const char *name, enum br_nfs3_create how,
	const struct br_nfs3_sattr *attr, uint64_t verf)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_CREATE);

	put_where(w, dir, name);
	br_put_be32(w, how);
	if (how == BR_NFS3_EXCLUSIVE)
		br_put_be64(w, verf);
	else
		br_nfs3_put_sattr(w, attr);
}

static struct nfs_fh create(const struct nfs_fh *dir, const char *name, enum br_nfs3_create how,
	const struct br_nfs3_sattr *attr, uint64_t verf, enum br_nfs3_status status)
{
	put_create(dir, name, how, attr, verf);
	return finish_make(status);
}

static const struct br_nfs3_sattr mode_644 = { .set_mode = true, .mode = 0644 };

static struct nfs_fh mkdir_(
	const struct nfs_fh *dir, const char *name, uint32_t bits, enum br_nfs3_status status)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_MKDIR);

	put_where(w, dir, name);
	br_nfs3_put_sattr(w, &(struct br_nfs3_sattr){ .set_mode = true, .mode = bits });
	return finish_make(status);
}

static void remove_(enum br_nfs3_proc proc, const struct nfs_fh *dir, const char *name,
	enum br_nfs3_status status)
{
	struct br_reader r;

	put_where(rig_nfs(&rig, proc), dir, name);
	r = rig_expect(&rig, status);
	get_wcc(&r);
	assert_ended(&r);
}

static void rename_(const struct nfs_fh *from_dir, const char *from, const struct nfs_fh *to_dir,
	const char *to, enum br_nfs3_status status)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_RENAME);
	struct br_reader r;

	put_where(w, from_dir, from);
	put_where(w, to_dir, to);
	r = rig_expect(&rig, status);
	get_wcc(&r);
	get_wcc(&r);
	assert_ended(&r);
}

static void writes_and_their_stability(void **state)
{
	unsigned commits = memfs_commits(rig.export.fs);
	struct nfs_fh fh = create(&root, "w", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3_OK);
	uint64_t verifier = rig_write(&rig, &fh, 0, "hello", BR_NFS3_UNSTABLE);
	struct br_writer *w;
	struct br_reader r;

	assert_int_equal(memfs_commits(rig.export.fs), commits + 1); /* for CREATE */
	assert_true(rig_write(&rig, &fh, 5, " world", BR_NFS3_FILE_SYNC) == verifier);
	assert_true(rig_write(&rig, &fh, 0, "H", BR_NFS3_DATA_SYNC) == verifier);
	assert_int_equal(memfs_commits(rig.export.fs), commits + 3);
	w = rig_nfs(&rig, BR_NFS3_COMMIT);
	put_fh(w, &fh);
	br_put_be64(w, 0);
	br_put_be32(w, 0);
	r = rig_expect(&rig, BR_NFS3_OK);
	get_wcc(&r);
	assert_true(br_get_be64(&r) == verifier);
	assert_ended(&r);
	assert_int_equal(memfs_commits(rig.export.fs), commits + 4);
	rig_read(&rig, &fh, 0, 100, "Hello world", true);
	assert_int_equal(rig.export.written_bytes > 0, 1);
}

static void wcc_has_before_and_after(void **state)
{
	struct br_nfs3_fattr before = rig_getattr(&rig, &file);
	struct nfs_wcc wcc;
	struct br_reader r;

	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, 10, "abc", BR_NFS3_FILE_SYNC);
	r = rig_expect(&rig, BR_NFS3_OK);
	wcc = get_wcc(&r);
	assert_int_equal(wcc.size_before, 10);
	assert_int_equal(wcc.mtime_before.tv_sec, before.mtime.tv_sec);
	assert_int_equal(wcc.ctime_before.tv_sec, before.ctime.tv_sec);
	assert_int_equal(wcc.after.size, 13);
	assert_true(wcc.after.mtime.tv_sec > before.mtime.tv_sec);
	wcc = setattr(&file, &(struct br_nfs3_sattr){ .set_size = true, .size = 10 }, BR_NFS3_OK);
	assert_int_equal(wcc.size_before, 13);
	assert_int_equal(wcc.after.size, 10);
}

static void write_refusals(void **state)
{
	struct br_writer *w;

	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &root, 0, "x", BR_NFS3_FILE_SYNC);
	rig_expect(&rig, BR_NFS3ERR_ISDIR);
	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, UINT64_MAX, "x", BR_NFS3_FILE_SYNC);
	rig_expect(&rig, BR_NFS3ERR_FBIG);
	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, INT64_MAX, "x", BR_NFS3_FILE_SYNC);
	rig_expect(&rig, BR_NFS3ERR_FBIG);
	/* count beyond the data, and an unknown stability */
	w = rig_nfs(&rig, BR_NFS3_WRITE);
	put_fh(w, &file);
	br_put_be64(w, 0);
	br_put_be32(w, 5);
	br_put_be32(w, 2);
	br_xdr_put_opaque(w, "abc", 3);
	rig_send(&rig, BR_RPC_GARBAGE_ARGS);
	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, 0, "x", 3);
	rig_send(&rig, BR_RPC_GARBAGE_ARGS);
	rig.export.read_only = true;
	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, 0, "x", BR_NFS3_FILE_SYNC);
	rig_expect(&rig, BR_NFS3ERR_ROFS);
	create(&root, "ro", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3ERR_ROFS);
	remove_(BR_NFS3_REMOVE, &root, "file", BR_NFS3ERR_ROFS);
	rename_(&root, "file", &root, "f", BR_NFS3ERR_ROFS);
	setattr(&file, &mode_644, BR_NFS3ERR_ROFS);
	rig.export.read_only = false;
	as(1000);
	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, 0, "x", BR_NFS3_FILE_SYNC);
	rig_expect(&rig, BR_NFS3ERR_ACCES);
	as(0);
}

/* More than a WRITE may hold is cut to what fits; the client sends the rest again. */
static void writes_are_bounded(void **state)
{
	static uint8_t data[BR_NFS_IO_MAX + 1024];
	struct nfs_fh fh = create(&root, "big", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3_OK);
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_WRITE);
	struct br_reader r;

	put_fh(w, &fh);
	br_put_be64(w, 0);
	br_put_be32(w, sizeof(data));
	br_put_be32(w, BR_NFS3_UNSTABLE);
	br_xdr_put_opaque(w, data, sizeof(data));
	r = rig_expect(&rig, BR_NFS3_OK);
	get_wcc(&r);
	assert_int_equal(br_get_be32(&r), BR_NFS_IO_MAX);
	remove_(BR_NFS3_REMOVE, &root, "big", BR_NFS3_OK);
}

static void owner_writes_what_its_mode_forbids(void **state)
{
	struct nfs_fh fh;

	mode(&pub, 0777);
	as(1000);
	fh = create(&pub, "mine", BR_NFS3_UNCHECKED,
		&(struct br_nfs3_sattr){ .set_mode = true, .mode = 0 }, 0, BR_NFS3_OK);
	rig_write(&rig, &fh, 0, "still open", BR_NFS3_FILE_SYNC);
	rig_read(&rig, &fh, 0, 100, "still open", true);
	as(1001);
	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &fh, 0, "x", BR_NFS3_FILE_SYNC);
	rig_expect(&rig, BR_NFS3ERR_ACCES);
	as(0);
	remove_(BR_NFS3_REMOVE, &pub, "mine", BR_NFS3_OK);
}

static void create_in_its_three_ways(void **state)
{
	struct br_nfs3_sattr empty = { .set_size = true, .size = 0 };
	struct nfs_fh fh = create(&root, "c", BR_NFS3_GUARDED, &mode_644, 0, BR_NFS3_OK), again;
	uint64_t verf = 0x8123456789abcdef;

	create(&root, "c", BR_NFS3_GUARDED, &mode_644, 0, BR_NFS3ERR_EXIST);
	rig_write(&rig, &fh, 0, "content", BR_NFS3_FILE_SYNC);
	create(&root, "c", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3_OK);
	rig_read(&rig, &fh, 0, 100, "content", true);
	create(&root, "c", BR_NFS3_UNCHECKED, &empty, 0, BR_NFS3_OK);
	rig_read(&rig, &fh, 0, 100, "", true);
	create(&root, "c", BR_NFS3_EXCLUSIVE, NULL, verf, BR_NFS3ERR_EXIST);
	create(&root, "pub", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3ERR_ISDIR);
	/* exclusive: the same client asks again under another xid and gets the same file */
	fh = create(&root, "x", BR_NFS3_EXCLUSIVE, NULL, verf, BR_NFS3_OK);
	again = create(&root, "x", BR_NFS3_EXCLUSIVE, NULL, verf, BR_NFS3_OK);
	assert_memory_equal(fh.b, again.b, fh.len);
	create(&root, "x", BR_NFS3_EXCLUSIVE, NULL, verf + 1, BR_NFS3ERR_EXIST);
	create(&root, "..", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3ERR_EXIST);
	create(&root, "", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3ERR_ACCES);
	create(&root, "a/b", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3ERR_ACCES);
	create(&file, "a", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3ERR_NOTDIR);
	remove_(BR_NFS3_REMOVE, &root, "c", BR_NFS3_OK);
	remove_(BR_NFS3_REMOVE, &root, "x", BR_NFS3_OK);
}

static void new_files_belong_to_their_maker(void **state)
{
	struct br_nfs3_sattr attr = { .set_mode = true,
		.mode = 06755,
		.set_uid = true,
		.uid = 5,
		.set_gid = true,
		.gid = 6 };
	struct br_nfs3_fattr got;
	struct nfs_fh fh;

	fh = create(&pub, "given", BR_NFS3_UNCHECKED, &attr, 0, BR_NFS3_OK);
	got = rig_getattr(&rig, &fh);
	assert_int_equal(got.uid, 5);
	assert_int_equal(got.gid, 6);
	assert_int_equal(got.mode, 06755);
	setattr(&pub,
		&(struct br_nfs3_sattr){
			.set_mode = true, .mode = 02777, .set_gid = true, .gid = 50 },
		BR_NFS3_OK);
	mode(&pub, 02777);
	as(1000);
	fh = create(&pub, "own", BR_NFS3_UNCHECKED, &attr, 0, BR_NFS3_OK);
	got = rig_getattr(&rig, &fh);
	assert_int_equal(got.uid, 1000);
	assert_int_equal(got.gid, 50); /* the directory's, by its set-gid bit */
	assert_int_equal(got.mode, 04755);
	fh = mkdir_(&pub, "dir", 0750, BR_NFS3_OK);
	got = rig_getattr(&rig, &fh);
	assert_int_equal(got.mode, 02750);
	assert_int_equal(got.gid, 50);
	remove_(BR_NFS3_RMDIR, &pub, "dir", BR_NFS3_OK);
	create(&root, "denied", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3ERR_ACCES);
	as(0);
	remove_(BR_NFS3_REMOVE, &pub, "own", BR_NFS3_OK);
	remove_(BR_NFS3_REMOVE, &pub, "given", BR_NFS3_OK);
	setattr(&pub, &(struct br_nfs3_sattr){ .set_mode = true, .mode = 0777, .set_gid = true },
		BR_NFS3_OK);
	mode(&pub, 0777);
}

static void setattr_by_owner_and_others(void **state)
{
	struct nfs_fh fh;
	static const struct {
		uint32_t uid;
		struct br_nfs3_sattr attr;
		enum br_nfs3_status status;
	} cases[] = {
		{ 1000, { .set_mode = true, .mode = 0606 }, BR_NFS3_OK },
		{ 1001, { .set_mode = true, .mode = 0600 }, BR_NFS3ERR_PERM },
		{ 1000, { .set_uid = true, .uid = 1001 }, BR_NFS3ERR_PERM },
		{ 1000, { .set_uid = true, .uid = 1000 }, BR_NFS3_OK },
		{ 1000, { .set_gid = true, .gid = 77 }, BR_NFS3ERR_PERM },
		{ 1000, { .set_gid = true, .gid = 1000 }, BR_NFS3_OK },
		{ 1000, { .set_mtime = BR_NFS3_CLIENT_TIME, .mtime = { 5, 6 } }, BR_NFS3_OK },
		{ 1000, { .set_mtime = BR_NFS3_CLIENT_TIME, .mtime = { 5, 1000000000 } },
			BR_NFS3ERR_INVAL },
		{ 1001, { .set_mtime = BR_NFS3_CLIENT_TIME }, BR_NFS3ERR_PERM },
		{ 1001, { .set_mtime = BR_NFS3_SERVER_TIME, .set_atime = BR_NFS3_SERVER_TIME },
			BR_NFS3_OK }, /* may write */
		{ 1001, { .set_size = true, .size = 3 }, BR_NFS3_OK },
		{ 1000, { .set_size = true, .size = 1ull << 63 }, BR_NFS3ERR_FBIG },
		{ 0, { .set_uid = true, .uid = 1001, .set_gid = true, .gid = 1001 }, BR_NFS3_OK },
		{ 1000, { .set_mode = true, .mode = 0600 }, BR_NFS3ERR_PERM },
		{ 1001, { .set_mode = true, .mode = 0400 }, BR_NFS3_OK },
		{ 1000, { .set_mtime = BR_NFS3_SERVER_TIME }, BR_NFS3ERR_ACCES },
		{ 1000, { .set_size = true }, BR_NFS3ERR_ACCES },
		{ 1001, { .set_size = true }, BR_NFS3_OK }, /* the owner's may be open */
	};

	mode(&pub, 0777);
	as(1000);
	fh = create(&pub, "f", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3_OK);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		as(cases[i].uid);
		setattr(&fh, &cases[i].attr, cases[i].status);
	}
	as(0);
	setattr(&pub, &(struct br_nfs3_sattr){ .set_size = true }, BR_NFS3ERR_ISDIR);
	remove_(BR_NFS3_REMOVE, &pub, "f", BR_NFS3_OK);
}

static void setattr_sets_times_and_guards(void **state)
{
	struct br_nfs3_sattr attr = { .set_atime = BR_NFS3_SERVER_TIME,
		.set_mtime = BR_NFS3_CLIENT_TIME,
		.mtime = { 7, 8 } };
	struct br_nfs3_fattr got = setattr(&file, &attr, BR_NFS3_OK).after;
	struct br_writer *w;

	assert_int_equal(got.atime.tv_sec, 1700000000);
	assert_int_equal(got.atime.tv_nsec, 5);
	assert_int_equal(got.mtime.tv_sec, 7);
	assert_int_equal(got.mtime.tv_nsec, 8);
	for (int right = 0; right < 2; right++) {
		w = rig_nfs(&rig, BR_NFS3_SETATTR);
		put_fh(w, &file);
		br_nfs3_put_sattr(w, &mode_644);
		br_put_be32(w, true);
		br_put_be32(w, (uint32_t)got.ctime.tv_sec + (right ? 0 : 1));
		br_put_be32(w, (uint32_t)got.ctime.tv_nsec);
		rig_expect(&rig, right ? BR_NFS3_OK : BR_NFS3ERR_NOT_SYNC);
	}
}

static void setid_bits_are_guarded(void **state)
{
	struct br_nfs3_sattr attr = { .set_mode = true,
		.mode = 06755,
		.set_uid = true,
		.uid = 1000,
		.set_gid = true,
		.gid = 1000 };
	struct nfs_fh fh = create(&pub, "s", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3_OK);

	/* a change of owner clears them, also when the mode comes with it */
	assert_int_equal(setattr(&fh, &attr, BR_NFS3_OK).after.mode, 0755);
	as(1000);
	attr = (struct br_nfs3_sattr){ .set_mode = true, .mode = 06755 };
	assert_int_equal(setattr(&fh, &attr, BR_NFS3_OK).after.mode, 06755);
	rig.cred.gid = 1; /* the owner, not in the file's group */
	assert_int_equal(setattr(&fh, &attr, BR_NFS3_OK).after.mode, 04755);
	rig.cred.n_gids = 1;
	rig.cred.gids[0] = 1000;
	assert_int_equal(setattr(&fh, &attr, BR_NFS3_OK).after.mode, 06755);
	as(0);
	remove_(BR_NFS3_REMOVE, &pub, "s", BR_NFS3_OK);
}

static void directories_links_and_nodes(void **state)
{
	static const struct {
		uint32_t type, uid;
		enum br_nfs3_status status;
	} nodes[] = {
		{ BR_NF3CHR, 0, BR_NFS3_OK },
		{ BR_NF3BLK, 0, BR_NFS3_OK },
		{ BR_NF3SOCK, 0, BR_NFS3_OK },
		{ BR_NF3FIFO, 1000, BR_NFS3_OK },
		{ BR_NF3CHR, 1000, BR_NFS3ERR_PERM },
		{ BR_NF3REG, 0, BR_NFS3ERR_BADTYPE },
		{ BR_NF3DIR, 0, BR_NFS3ERR_BADTYPE },
		{ 99, 0, BR_NFS3ERR_BADTYPE },
	};
	struct nfs_fh dir = mkdir_(&root, "d", 0777, BR_NFS3_OK), link;
	struct br_writer *w;

	mode(&dir, 0777);
	mkdir_(&root, "d", 0755, BR_NFS3ERR_EXIST);
	for (size_t i = 0; i < BR_ARRAY_SIZE(nodes); i++) {
		struct br_nfs3_fattr got;

		as(nodes[i].uid);
		w = rig_nfs(&rig, BR_NFS3_MKNOD);
		put_where(w, &dir, "node");
		br_put_be32(w, nodes[i].type);
		if (nodes[i].type != BR_NF3REG && nodes[i].type != BR_NF3DIR && nodes[i].type != 99)
			br_nfs3_put_sattr(w, &mode_644);
		if (nodes[i].type == BR_NF3CHR || nodes[i].type == BR_NF3BLK)
			br_put_be64(w, 4ull << 32 | 64);
		if (nodes[i].status) {
			rig_expect(&rig, nodes[i].status);
			continue;
		}
		link = finish_make(BR_NFS3_OK);
		got = rig_getattr(&rig, &link);
		assert_int_equal(got.type, nodes[i].type);
		if (nodes[i].type == BR_NF3CHR || nodes[i].type == BR_NF3BLK) {
			assert_int_equal(got.rdev_major, 4);
			assert_int_equal(got.rdev_minor, 64);
		}
		remove_(BR_NFS3_REMOVE, &dir, "node", BR_NFS3_OK);
	}
	as(0);
	w = rig_nfs(&rig, BR_NFS3_SYMLINK);
	put_where(w, &dir, "l");
	br_nfs3_put_sattr(w, &mode_644);
	br_xdr_put_string(w, "../target");
	link = finish_make(BR_NFS3_OK);
	assert_int_equal(rig_getattr(&rig, &link).mode, 0777);
	remove_(BR_NFS3_RMDIR, &root, "d", BR_NFS3ERR_NOTEMPTY);
	remove_(BR_NFS3_REMOVE, &root, "d", BR_NFS3ERR_ISDIR);
	remove_(BR_NFS3_RMDIR, &dir, "l", BR_NFS3ERR_NOTDIR);
	remove_(BR_NFS3_RMDIR, &dir, ".", BR_NFS3ERR_INVAL);
	remove_(BR_NFS3_RMDIR, &dir, "..", BR_NFS3ERR_EXIST);
	remove_(BR_NFS3_REMOVE, &dir, "l", BR_NFS3_OK);
	remove_(BR_NFS3_REMOVE, &dir, "l", BR_NFS3ERR_NOENT);
	remove_(BR_NFS3_RMDIR, &root, "d", BR_NFS3_OK);
	put_fh(rig_nfs(&rig, BR_NFS3_GETATTR), &dir);
	rig_expect(&rig, BR_NFS3ERR_STALE);
}

static void symlink_targets_are_checked(void **state)
{
	static char target[4097];
	static const struct {
		size_t len;
		bool nul;
		enum br_nfs3_status status;
	} cases[] = { { 0, false, BR_NFS3ERR_INVAL }, { 4096, false, BR_NFS3ERR_NAMETOOLONG },
		{ 5, true, BR_NFS3ERR_INVAL } };

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_writer *w = rig_nfs(&rig, BR_NFS3_SYMLINK);

		memset(target, 'a', sizeof(target));
		target[2] = cases[i].nul ? 0 : 'a';
		put_where(w, &root, "sl");
		br_nfs3_put_sattr(w, &mode_644);
		br_xdr_put_opaque(w, target, cases[i].len);
		rig_expect(&rig, cases[i].status);
	}
}

static void links_and_renames(void **state)
{
	struct nfs_fh dir = mkdir_(&root, "sub", 0755, BR_NFS3_OK), moved;
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_LINK);
	struct br_reader r;

	put_fh(w, &file);
	put_where(w, &dir, "hard");
	r = rig_expect(&rig, BR_NFS3_OK);
	assert_int_equal(get_post_attr(&r).nlink, 2);
	get_wcc(&r);
	assert_ended(&r);
	w = rig_nfs(&rig, BR_NFS3_LINK);
	put_fh(w, &dir);
	put_where(w, &root, "dirlink");
	rig_expect(&rig, BR_NFS3ERR_PERM);
	rename_(&dir, "hard", &root, "moved", BR_NFS3_OK);
	moved = rig_lookup(&rig, &root, "moved", BR_NFS3_OK);
	assert_memory_equal(moved.b, file.b, file.len);
	rename_(&root, "missing", &root, "x", BR_NFS3ERR_NOENT);
	rename_(&root, ".", &root, "x", BR_NFS3ERR_INVAL);
	rename_(&root, "moved", &dir, "..", BR_NFS3ERR_INVAL);
	as(1000);
	rename_(&root, "moved", &root, "x", BR_NFS3ERR_ACCES);
	as(0);
	remove_(BR_NFS3_REMOVE, &root, "moved", BR_NFS3_OK);
	remove_(BR_NFS3_RMDIR, &root, "sub", BR_NFS3_OK);
	assert_int_equal(rig_getattr(&rig, &file).nlink, 1);
}

static void sticky_directories(void **state)
{
	mode(&sticky, 01777);
	as(1000);
	remove_(BR_NFS3_REMOVE, &sticky, "roots", BR_NFS3ERR_PERM);
	rename_(&sticky, "roots", &sticky, "x", BR_NFS3ERR_PERM);
	create(&sticky, "mine", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3_OK);
	rename_(&sticky, "mine", &sticky, "roots", BR_NFS3ERR_PERM); /* would replace root's */
	rename_(&sticky, "mine", &sticky, "ours", BR_NFS3_OK);
	as(1001);
	remove_(BR_NFS3_REMOVE, &sticky, "ours", BR_NFS3ERR_PERM);
	as(1000);
	remove_(BR_NFS3_REMOVE, &sticky, "ours", BR_NFS3_OK);
	as(0);
}

static void space_runs_out(void **state)
{
	struct nfs_fh fh = create(&root, "full", BR_NFS3_UNCHECKED, &mode_644, 0, BR_NFS3_OK);
	struct br_nfs3_sattr sized = { .set_size = true, .size = 1 << 20 };
	struct nfs_wcc wcc;
	struct br_reader r;

	memfs_limit(rig.export.fs, 100);
	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &fh, 200, "x", BR_NFS3_FILE_SYNC);
	r = rig_expect(&rig, BR_NFS3ERR_NOSPC);
	wcc = get_wcc(&r);
	assert_int_equal(wcc.after.size, 0);
	assert_ended(&r);
	/* a file that could not get its size was never made */
	create(&root, "sized", BR_NFS3_GUARDED, &sized, 0, BR_NFS3ERR_NOSPC);
	rig_lookup(&rig, &root, "sized", BR_NFS3ERR_NOENT);
	memfs_limit(rig.export.fs, 1 << 30);
	memfs_fail(rig.export.fs, 1, -EIO);
	mkdir_(&root, "never", 0755, BR_NFS3ERR_IO);
	remove_(BR_NFS3_REMOVE, &root, "full", BR_NFS3_OK);
}

/* commit() that fails when told to, over the memory file system's other operations */
static int commit_result;

static int failing_commit(struct br_fs *fs)
{
	return commit_result;
}

static void failed_commits_are_told(void **state)
{
	const struct br_fs_ops *real = rig.export.fs->ops;
	struct br_fs_ops ops = *real;
	struct br_reader r;
	uint64_t verifier = rig_write(&rig, &file, 0, "0", BR_NFS3_UNSTABLE), after;

	ops.commit = failing_commit;
	rig.export.fs->ops = &ops;
	commit_result = -EIO;
	put_create(&root, "lost", BR_NFS3_GUARDED, &mode_644, 0);
	r = rig_expect(&rig, BR_NFS3ERR_IO);
	assert_int_equal(br_get_be64(&r), 0); /* no attributes on either side */
	assert_ended(&r);
	/* a duplicate gets the same answer */
	rig_expect(&rig, BR_NFS3ERR_IO);
	commit_result = -ENOSPC;
	put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, 0, "1", BR_NFS3_FILE_SYNC);
	rig_expect(&rig, BR_NFS3ERR_NOSPC);
	rig.export.fs->ops = real;
	/* unstable data may be gone too: clients see that by the verifier */
	after = rig_write(&rig, &file, 0, "0", BR_NFS3_UNSTABLE);
	assert_true(after != verifier);
	remove_(BR_NFS3_REMOVE, &root, "lost", BR_NFS3_OK);
}

static unsigned n_replies;

static void count_reply(void *ctx, struct br_nfs_reply *reply)
{
	n_replies++;
	rig_take_reply(ctx, reply);
}

static void one_commit_for_many_calls(void **state)
{
	unsigned commits = memfs_commits(rig.export.fs);

	n_replies = 0;
	for (unsigned i = 0; i < 10; i++) {
		put_write(rig_nfs(&rig, BR_NFS3_WRITE), &file, i, "z", BR_NFS3_FILE_SYNC);
		assert_int_equal(rig_submit(&rig, rig.call_buf, rig.call.len), BR_NFS_HELD);
	}
	assert_int_equal(rig.export.refs, 1); /* held once */
	assert_int_equal(memfs_commits(rig.export.fs), commits);
	br_nfs_core_commit(&rig.core, count_reply, &rig);
	assert_int_equal(memfs_commits(rig.export.fs), commits + 1);
	assert_int_equal(n_replies, 10);
	br_nfs_core_commit(&rig.core, count_reply, &rig);
	assert_int_equal(n_replies, 10);
}

static void duplicates_are_answered_once(void **state)
{
	uint16_t port = rig.port;
	struct br_reader r;

	create(&root, "once", BR_NFS3_GUARDED, &mode_644, 0, BR_NFS3_OK);
	/* the same call again, and once more: the first answer */
	for (unsigned i = 0; i < 2; i++)
		finish_make(BR_NFS3_OK);
	put_where(rig_nfs(&rig, BR_NFS3_REMOVE), &root, "once");
	for (unsigned i = 0; i < 2; i++) {
		r = rig_expect(&rig, BR_NFS3_OK);
		get_wcc(&r);
	}
	/* from another port it is another client's call */
	rig.port--;
	r = rig_expect(&rig, BR_NFS3ERR_NOENT);
	rig.port = port;
	/* the same xid for another call is another call */
	rig.xid--;
	put_where(rig_nfs(&rig, BR_NFS3_REMOVE), &root, "other");
	r = rig_expect(&rig, BR_NFS3ERR_NOENT);
	/* while the first is being worked on, a duplicate is passed over */
	put_create(&root, "busy", BR_NFS3_GUARDED, &mode_644, 0);
	assert_int_equal(rig_submit(&rig, rig.call_buf, rig.call.len), BR_NFS_HELD);
	assert_int_equal(rig_submit(&rig, rig.call_buf, rig.call.len), BR_NFS_SILENT);
	br_nfs_core_commit(&rig.core, rig_take_reply, &rig);
	finish_make(BR_NFS3_OK);
	/* after minutes it is no duplicate any more */
	rig.now_ns += 121000000000ull;
	finish_make(BR_NFS3ERR_EXIST);
	remove_(BR_NFS3_REMOVE, &root, "busy", BR_NFS3_OK);
}

static void the_cache_is_bounded(void **state)
{
	struct br_nfs_drc *drc = br_nfs_drc_new(4);
	struct br_nfs_drc_token tokens[6];
	static const uint8_t big[BR_NFS_DRC_REPLY_MAX + 1];
	const void *reply;
	size_t len;

	for (uint32_t i = 0; i < 6; i++) {
		struct br_nfs_drc_key key = { .xid = i };

		assert_int_equal(
			br_nfs_drc_begin(drc, &key, 1, &tokens[i], &reply, &len), BR_NFS_DRC_NEW);
	}
	for (uint32_t i = 0; i < 6; i++)
		br_nfs_drc_finish(drc, tokens[i], &i,
			sizeof(i)); /* of the first two nothing is known any more */
	for (uint32_t i = 2; i < 6; i++) {
		struct br_nfs_drc_key key = { .xid = i };
		struct br_nfs_drc_token token;

		assert_int_equal(
			br_nfs_drc_begin(drc, &key, 1, &token, &reply, &len), BR_NFS_DRC_DONE);
		assert_int_equal(len, sizeof(i));
		assert_memory_equal(reply, &i, len);
	}
	assert_int_equal(br_nfs_drc_begin(drc, &(struct br_nfs_drc_key){ .xid = 9 }, 1, tokens,
				 &reply, &len),
		BR_NFS_DRC_NEW);
	br_nfs_drc_finish(drc, tokens[0], big, sizeof(big));
	assert_int_equal(br_nfs_drc_begin(drc, &(struct br_nfs_drc_key){ .xid = 9 }, 1, tokens,
				 &reply, &len),
		BR_NFS_DRC_NEW);
	br_nfs_drc_drop(drc, tokens[0]);
	assert_int_equal(br_nfs_drc_begin(drc, &(struct br_nfs_drc_key){ .xid = 9 }, 1, tokens,
				 &reply, &len),
		BR_NFS_DRC_NEW);
	br_nfs_drc_free(drc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_and_their_stability),
		cmocka_unit_test(wcc_has_before_and_after),
		cmocka_unit_test(write_refusals),
		cmocka_unit_test(writes_are_bounded),
		cmocka_unit_test(owner_writes_what_its_mode_forbids),
		cmocka_unit_test(create_in_its_three_ways),
		cmocka_unit_test(new_files_belong_to_their_maker),
		cmocka_unit_test(setattr_by_owner_and_others),
		cmocka_unit_test(setattr_sets_times_and_guards),
		cmocka_unit_test(setid_bits_are_guarded),
		cmocka_unit_test(directories_links_and_nodes),
		cmocka_unit_test(symlink_targets_are_checked),
		cmocka_unit_test(links_and_renames),
		cmocka_unit_test(sticky_directories),
		cmocka_unit_test(space_runs_out),
		cmocka_unit_test(failed_commits_are_told),
		cmocka_unit_test(one_commit_for_many_calls),
		cmocka_unit_test(duplicates_are_answered_once),
		cmocka_unit_test(the_cache_is_bounded),
	};

	return cmocka_run_group_tests_name("nfs_change", tests, setup, teardown);
}
