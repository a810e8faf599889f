/* SPDX-License-Identifier: Apache-2.0 */
/* ext4: every feature that docs/disks.md calls supported, and the rules that come with some of them. */
#include "tests/unit/test.h"

#include <ext2fs/ext2fs.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "tests/unit/extimage.h"

static uint64_t walk(struct ext_test *t, const char *path)
{
	uint64_t ino = 0;

	assert_int_equal(br_fs_walk(t->fs, path, &ino), 0);
	return ino;
}

/* ---- all of them: a little of everything, and e2fsck ---- */

static const struct {
	const char *title, *options;
} supported[] = {
	{ "Debian 11, 12", "-O 64bit,metadata_csum" },
	{ "e2fsprogs 1.47.2, trixie", "-O 64bit,metadata_csum,metadata_csum_seed,orphan_file" },
	{ "Raspberry Pi OS", "-O ^64bit,^huge_file" },
	{ "Raspberry Pi OS, older", "-O ^64bit,^huge_file,^metadata_csum" },
	{ "ext2", "-O ^has_journal,^extents,^flex_bg,^64bit,^metadata_csum,^huge_file,^dir_nlink,^extra_isize,^uninit_bg -I 128" },
	{ "ext3", "-O ^extents,^flex_bg,^64bit,^metadata_csum,^huge_file,^dir_nlink,^extra_isize,^uninit_bg -I 128" },
	{ "uninit_bg", "-O ^metadata_csum,uninit_bg" },
	{ "meta_bg", "-O meta_bg,^resize_inode" },
	{ "sparse_super2", "-O sparse_super2" },
	{ "without sparse_super, flex_bg", "-b 1024 -O ^sparse_super,^flex_bg,^resize_inode" },
	{ "large_dir", "-O large_dir" },
	{ "fast_commit", "-O fast_commit" },
	{ "ea_inode", "-O ea_inode" },
	{ "verity", "-O verity" },
	{ "stable_inodes", "-O stable_inodes" },
	{ "project", "-O project" },
	{ "quota", "-O quota" },
	{ "quota for projects too", "-O quota,project -E quotatype=usrquota:grpquota:prjquota" },
	{ "quota in blocks of 1 KiB", "-b 1024 -O quota" },
	{ "no dir_index", "-O ^dir_index" },
	{ "no filetype", "-O ^filetype" },
	{ "inodes of 512 bytes", "-I 512" },
	{ "inodes of 1 KiB", "-I 1024 -O inline_data" },
	{ "blocks of 1 KiB", "-b 1024" },
	{ "blocks of 2 KiB", "-b 2048" },
};

static void a_little_of_everything(struct ext_test *t)
{
	struct br_fs_new dev = { .mode = S_IFBLK | 0600, .rdev_major = 259, .rdev_minor = 70000 };
	struct br_fs_new link = { .mode = S_IFLNK | 0777 };
	struct br_fs_setattr cut = { .set = BR_FS_SET_SIZE, .size = 70000 };
	static uint8_t buf[200000];
	char target[301];
	uint64_t d, f, ino;

	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = 0;
	d = make(t, root_of(t), "d", S_IFDIR | 0755);
	f = make(t, d, "f", S_IFREG | 0644);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(t->fs->ops->write(t->fs, f, i * 300000, buf, sizeof(buf)), 0);
	assert_int_equal(t->fs->ops->setattr(t->fs, f, &cut), 0);
	link.target = target;
	assert_int_equal(t->fs->ops->create(t->fs, d, "long", &link, &ino), 0);
	link.target = "short";
	assert_int_equal(t->fs->ops->create(t->fs, d, "short", &link, &ino), 0);
	assert_int_equal(t->fs->ops->create(t->fs, d, "dev", &dev, &ino), 0);
	assert_int_equal(attr_of(t, ino).rdev_minor, 70000);
	make(t, d, "e", S_IFDIR | 0755);
	assert_int_equal(t->fs->ops->rename(t->fs, d, "e", root_of(t), "e"), 0);
	assert_int_equal(t->fs->ops->link(t->fs, f, root_of(t), "g"), 0);
	assert_int_equal(t->fs->ops->unlink(t->fs, d, "f"), 0);
	for (unsigned i = 0; i < 200; i++) {
		char name[40];

		snprintf(name, sizeof(name), "%030u", i);
		make(t, d, name, S_IFREG | 0600);
		if (i % 3 == 0)
			assert_int_equal(t->fs->ops->unlink(t->fs, d, name), 0);
	}
}

static void every_feature(void **state)
{
	NEEDS_TOOLS();
	for (size_t i = 0; i < BR_ARRAY_SIZE(supported); i++) {
		struct ext_test t = { 0 };

		print_message("%s\n", supported[i].title);
		make_image("feature.img", 16 << 10, supported[i].options, NULL);
		ext_test_new(&t, "feature.img");
		a_little_of_everything(&t);
		ext_test_fsck(&t);
		ext_test_kill(&t);
		ext_test_open(&t, NULL); /* and once more */
		assert_int_equal(t.fs->ops->unlink(t.fs, root_of(&t), "g"), 0);
		ext_test_fsck(&t);
		ext_test_end(&t);
	}
}

/* ---- orphans in a file of their own ---- */

/* What Linux leaves when it dies: a file without a name and one being cut, both in the second block of the orphan file. */
static void make_orphans(const char *name)
{
	static const char *const files[] = { "/unlinked", "/cut" };
	uint8_t buf[4096];
	char path[512];
	ext2_filsys e2;
	blk64_t blk;

	assert_int_equal(run("cd %s && head -c 300000 /dev/urandom >data && printf 'write data unlinked\\nwrite data cut\\n"
			     "set_inode_field cut size 5000\\nset_inode_field unlinked links_count 0\\n' | "
			     "debugfs -w -f - %s >/dev/null 2>&1", test_dir(), name), 0);
	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	assert_int_equal(ext2fs_open(path, EXT2_FLAG_RW, 0, 0, unix_io_manager, &e2), 0);
	assert_int_equal(ext2fs_bmap2(e2, e2->super->s_orphan_file_inum, NULL, NULL, 0, 1, NULL, &blk), 0);
	assert_int_equal(io_channel_read_blk64(e2->io, blk, 1, buf), 0);
	for (int i = 0; i < 2; i++) {
		ext2_ino_t ino;

		assert_int_equal(ext2fs_namei(e2, EXT2_ROOT_INO, EXT2_ROOT_INO, files[i], &ino), 0);
		br_store_le32(buf + (i ? 40 : 0), ino);
	}
	assert_int_equal(ext2fs_orphan_file_block_csum_set(e2, e2->super->s_orphan_file_inum, blk, (char *)buf), 0);
	assert_int_equal(io_channel_write_blk64(e2->io, blk, 1, buf), 0);
	assert_int_equal(ext2fs_unlink(e2, EXT2_ROOT_INO, "unlinked", 0, 0), 0);
	ext2fs_set_feature_orphan_present(e2->super);
	ext2fs_mark_super_dirty(e2);
	assert_int_equal(ext2fs_close(e2), 0);
}

static void orphans_in_a_file(void **state)
{
	static const char *const options[] = { "-b 4096 -O orphan_file", "-b 4096 -O orphan_file,^metadata_csum" };
	struct br_fs_statfs full, now;

	NEEDS_TOOLS();
	for (size_t i = 0; i < BR_ARRAY_SIZE(options); i++) {
		struct ext_test t = { 0 };

		make_image("orphan.img", 16 << 10, options[i], NULL);
		make_orphans("orphan.img");
		assert_int_not_equal(run("e2fsck -fn %s/orphan.img >/dev/null 2>&1", test_dir()), 0);
		ext_test_new(&t, "orphan.img");
		assert_int_equal(t.fs->ops->statfs(t.fs, &now), 0);
		assert_int_equal(attr_of(&t, walk(&t, "cut")).size, 5000);
		assert_int_equal(attr_of(&t, walk(&t, "cut")).used, 8192);
		assert_int_equal(t.fs->ops->unlink(t.fs, root_of(&t), "cut"), 0);
		assert_int_equal(t.fs->ops->statfs(t.fs, &full), 0);
		assert_int_equal(full.free_bytes, now.free_bytes + 8192);
		ext_test_fsck(&t);
		ext_test_kill(&t);
		ext_test_open(&t, NULL);
		ext_test_fsck(&t);
		ext_test_end(&t);
	}
}

/* ---- access lists ---- */

/* tag, permissions, id; ends with a tag of 0. */
struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

static void write_list(const char *name, const struct entry *e)
{
	uint8_t buf[200] = { 2 };
	char path[512];
	size_t n = 4;
	FILE *f;

	for (; e->tag; e++, n += 8) {
		br_store_le16(buf + n, e->tag);
		br_store_le16(buf + n + 2, e->perm);
		br_store_le32(buf + n + 4, e->id);
	}
	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	f = fopen(path, "w");
	assert_true(f && fwrite(buf, 1, n, f) == n && fclose(f) == 0);
}

/* The list as debugfs shows it, in the exported image: octets in hexadecimal. */
static void expect_list(struct ext_test *t, const char *path, const char *key, const struct entry *e)
{
	char out[600];

	write_list("want", e);
	snprintf(out, sizeof(out), "%s.export", t->image);
	unlink(out);
	assert_int_equal(t->fs->ops->commit(t->fs), 0);
	assert_int_equal(br_cow_export(t->cow, out, true, NULL), 0);
	assert_int_equal(run("debugfs -R 'ea_get -f %s/got %s %s' %s >/dev/null 2>&1 && cmp %s/got %s/want", test_dir(), path,
				 key, out, test_dir(), test_dir()), 0);
	unlink(out);
}

static void access_lists_are_inherited(void **state)
{
	static const struct entry dflt[] = { { 1, 7, 0 }, { 2, 5, 1000 }, { 4, 5, 0 }, { 8, 7, 4 },
		{ 16, 7, 0 }, { 32, 5, 0 }, { 0 } };
	static const struct entry file[] = { { 1, 6, 0 }, { 2, 5, 1000 }, { 4, 5, 0 }, { 8, 7, 4 },
		{ 16, 4, 0 }, { 32, 4, 0 }, { 0 } };
	static const struct entry plain[] = { { 1, 7, 0 }, { 4, 5, 0 }, { 32, 0, 0 }, { 0 } };
	static const struct entry changed[] = { { 1, 7, 0 }, { 2, 5, 1000 }, { 4, 5, 0 }, { 8, 7, 4 },
		{ 16, 1, 0 }, { 32, 2, 0 }, { 0 } };
	static const char *const options[] = { "", "-I 128 -b 4096", "-O inline_data" };
	struct br_fs_setattr mode = { .set = BR_FS_SET_MODE, .mode = 04712 };

	NEEDS_TOOLS();
	for (size_t i = 0; i < BR_ARRAY_SIZE(options); i++) {
		struct ext_test t = { 0 };
		uint64_t dir, ino;

		make_image("acl.img", 8192, options[i], NULL);
		write_list("list", dflt);
		write_list("list2", plain);
		assert_int_equal(run("cd %s && printf 'mkdir d\\nea_set -f list d system.posix_acl_default\\nmkdir p\\n"
				     "ea_set -f list2 p system.posix_acl_default\\n' | debugfs -w -f - acl.img >/dev/null 2>&1",
					 test_dir()), 0);
		ext_test_new(&t, "acl.img");
		dir = walk(&t, "d");
		ino = make(&t, dir, "file", S_IFREG | 0644);
		assert_int_equal(attr_of(&t, ino).mode, S_IFREG | 0644);
		expect_list(&t, "d/file", "system.posix_acl_access", file);
		ino = make(&t, dir, "sub", S_IFDIR | 02777);
		assert_int_equal(attr_of(&t, ino).mode, S_IFDIR | 02775);
		expect_list(&t, "d/sub", "system.posix_acl_default", dflt);
		make(&t, ino, "deeper", S_IFREG | 0644);
		expect_list(&t, "d/sub/deeper", "system.posix_acl_access", file);
		assert_int_equal(t.fs->ops->setattr(t.fs, walk(&t, "d/file"), &mode), 0);
		assert_int_equal(attr_of(&t, walk(&t, "d/file")).mode, S_IFREG | 04712);
		expect_list(&t, "d/file", "system.posix_acl_access", changed);
		/* a list that says no more than a mode becomes one */
		ino = make(&t, walk(&t, "p"), "file", S_IFREG | 0666);
		assert_int_equal(attr_of(&t, ino).mode, S_IFREG | 0640);
		assert_int_equal(t.fs->ops->rename(t.fs, dir, "file", root_of(&t), "moved"), 0);
		expect_list(&t, "moved", "system.posix_acl_access", changed);
		ext_test_fsck(&t);
		assert_int_equal(t.fs->ops->unlink(t.fs, root_of(&t), "moved"), 0);
		ext_test_fsck(&t);
		ext_test_end(&t);
	}
}

/* ---- chattr ---- */

static void flags_bind_root_too(void **state)
{
	struct br_fs_new new = { .mode = S_IFREG | 0600 };
	struct ext_test t = { 0 };
	uint64_t root, ino, dir, out;

	NEEDS_TOOLS();
	make_image("flags.img", 8192, "-b 4096 -O verity,project", NULL);
	assert_int_equal(run("cd %s && seq 10 >f && printf 'write f fixed\\nsif fixed flags 0x80010\\nwrite f log\\nsif log flags "
			     "0x80020\\nwrite f signed\\nsif signed flags 0x180000\\nmkdir still\\nsif still flags 0x80010\\n"
			     "mkdir more\\nsif more flags 0x80020\\nmkdir plain\\nsif plain flags 0x200800c0\\n"
			     "sif plain projid 77\\n' | debugfs -w -f - flags.img >/dev/null 2>&1", test_dir()), 0);
	ext_test_new(&t, "flags.img");
	root = root_of(&t);
	static const struct {
		const char *name;
		unsigned set;
		int r;
	} sets[] = {
		{ "fixed", BR_FS_SET_MODE, -EPERM }, { "fixed", BR_FS_SET_SIZE, -EPERM }, { "fixed", BR_FS_SET_MTIME, -EPERM },
		{ "log", BR_FS_SET_UID, -EPERM }, { "log", BR_FS_SET_SIZE, -EPERM }, { "log", BR_FS_SET_MTIME, 0 },
		{ "signed", BR_FS_SET_SIZE, -EPERM }, { "signed", BR_FS_SET_MODE, 0 },
	};
	for (size_t i = 0; i < BR_ARRAY_SIZE(sets); i++) {
		struct br_fs_setattr a = { .set = sets[i].set, .mode = 0644 };

		assert_int_equal(t.fs->ops->setattr(t.fs, walk(&t, sets[i].name), &a), sets[i].r);
	}
	assert_int_equal(t.fs->ops->write(t.fs, walk(&t, "fixed"), 100, "x", 1), -EPERM);
	assert_int_equal(t.fs->ops->write(t.fs, walk(&t, "signed"), 0, "x", 1), -EPERM);
	assert_int_equal(t.fs->ops->write(t.fs, walk(&t, "log"), 0, "x", 1), -EPERM);
	assert_int_equal(t.fs->ops->write(t.fs, walk(&t, "log"), attr_of(&t, walk(&t, "log")).size, "x", 1), 0);
	assert_int_equal(t.fs->ops->unlink(t.fs, root, "fixed"), -EPERM);
	assert_int_equal(t.fs->ops->unlink(t.fs, root, "log"), -EPERM);
	assert_int_equal(t.fs->ops->link(t.fs, walk(&t, "fixed"), root, "other"), -EPERM);
	assert_int_equal(t.fs->ops->rename(t.fs, root, "fixed", root, "other"), -EPERM);
	assert_int_equal(t.fs->ops->rename(t.fs, root, "signed", root, "fixed"), -EPERM);
	assert_int_equal(t.fs->ops->rename(t.fs, root, "signed", walk(&t, "still"), "x"), -EPERM);
	assert_int_equal(t.fs->ops->create(t.fs, walk(&t, "still"), "x", &new, &out), -EPERM);
	assert_int_equal(t.fs->ops->create(t.fs, walk(&t, "more"), "x", &new, &out), 0);
	assert_int_equal(t.fs->ops->unlink(t.fs, walk(&t, "more"), "x"), -EPERM);
	/* a directory of a project, with flags that go down */
	dir = make(&t, walk(&t, "plain"), "sub", S_IFDIR | 0755);
	ino = make(&t, dir, "f", S_IFREG | 0644);
	assert_int_equal(t.fs->ops->link(t.fs, ino, root, "out"), 0);
	assert_int_equal(t.fs->ops->link(t.fs, walk(&t, "signed"), dir, "in"), -EXDEV);
	assert_int_equal(t.fs->ops->rename(t.fs, root, "signed", dir, "in"), -EXDEV);
	assert_int_equal(t.fs->ops->commit(t.fs), 0);
	assert_int_equal(run("rm -f %s/x.img", test_dir()), 0);
	char path[512];
	snprintf(path, sizeof(path), "%s/x.img", test_dir());
	assert_int_equal(br_cow_export(t.cow, path, true, NULL), 0);
	assert_int_equal(run("debugfs -R 'stat plain/sub' %s 2>/dev/null | tr '\\n' ' ' | grep -q 'Flags: 0x200800c0.*Project: *77' && "
			     "debugfs -R 'stat plain/sub/f' %s 2>/dev/null | tr '\\n' ' ' | grep -q 'Flags: 0x800c0.*Project: *77'",
				 path, path), 0);
	ext_test_fsck(&t);
	ext_test_end(&t);
}

/* ---- link counts of directories ---- */

static int new_dir(struct ext_test *t, uint64_t dir, unsigned n)
{
	struct br_fs_new new = { .mode = S_IFDIR | 0755 };
	char name[20];
	uint64_t ino;

	snprintf(name, sizeof(name), "%u", n);
	return t->fs->ops->create(t->fs, dir, name, &new, &ino);
}

/* The count is set by hand: e2fsck would not agree. */
static void too_many_subdirectories(void **state)
{
	static const char *const options[] = { "", "-O ^dir_nlink" };

	NEEDS_TOOLS();
	for (unsigned i = 0; i < 2; i++) {
		struct ext_test t = { 0 };
		struct br_fs_statfs before, after;
		uint64_t d;

		make_image("links.img", 8192, options[i], NULL);
		assert_int_equal(run("cd %s && printf 'mkdir d\nsif d links_count 64999\n' | debugfs -w -f - links.img >/dev/null 2>&1",
					 test_dir()), 0);
		ext_test_new(&t, "links.img");
		d = walk(&t, "d");
		assert_int_equal(new_dir(&t, d, 1), 0);
		assert_int_equal(attr_of(&t, d).nlink, 65000);
		assert_int_equal(t.fs->ops->statfs(t.fs, &before), 0);
		assert_int_equal(new_dir(&t, d, 2), i ? -EMLINK : 0);
		assert_int_equal(t.fs->ops->statfs(t.fs, &after), 0);
		assert_int_equal(before.free_files - after.free_files, i ? 0 : 1);
		assert_int_equal(attr_of(&t, d).nlink, i ? 65000 : 1);
		if (!i)
			assert_int_equal(t.fs->ops->rmdir(t.fs, d, "2"), 0);
		assert_int_equal(t.fs->ops->rmdir(t.fs, d, "1"), 0);
		assert_int_equal(attr_of(&t, d).nlink, i ? 64999 : 1);
		ext_test_end(&t);
	}
}

/* The same for real: BR_TEST_DIRS=65100. */
static void very_many_subdirectories(void **state)
{
	const char *many = getenv("BR_TEST_DIRS");
	struct ext_test t = { 0 };
	unsigned n = many ? (unsigned)atoi(many) : 0;
	char options[60];
	uint64_t d;

	if (!n) {
		print_message("skipped: takes a minute; BR_TEST_DIRS=65100 runs it\n");
		skip();
	}
	NEEDS_TOOLS();
	snprintf(options, sizeof(options), "-b 1024 -N %u", n + 1000);
	make_image("dirs.img", n + (96 << 10), options, NULL);
	ext_test_new(&t, "dirs.img");
	d = make(&t, root_of(&t), "d", S_IFDIR | 0755);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(new_dir(&t, d, i), 0);
		if (i == 64997 || i == 64998)
			ext_test_fsck(&t);
	}
	assert_int_equal(attr_of(&t, d).nlink, n < 64999 ? n + 2 : 1);
	ext_test_fsck(&t);
	ext_test_end(&t);
}

/* ---- a block of attributes that two files share ---- */

static void shared_attributes(void **state)
{
	struct ext_test t = { 0 };
	uint8_t buf[1024];
	char path[512];
	ext2_filsys e2;
	struct ext2_inode a, b;
	ext2_ino_t ino[2];
	struct br_fs_setattr mode = { .set = BR_FS_SET_MODE, .mode = 0640 };

	NEEDS_TOOLS();
	make_image("shared.img", 8192, "-b 1024 -I 128 -O ^metadata_csum", NULL);
	write_list("list", (const struct entry[]){ { 1, 6, 0 }, { 2, 5, 1000 }, { 4, 4, 0 }, { 16, 6, 0 }, { 32, 4, 0 }, { 0 } });
	assert_int_equal(run("cd %s && echo x >f && printf 'write f a\nwrite f b\nea_set a user.x 0123456789\n"
			     "ea_set -f list a system.posix_acl_access\n' | debugfs -w -f - shared.img >/dev/null 2>&1", test_dir()), 0);
	snprintf(path, sizeof(path), "%s/shared.img", test_dir());
	assert_int_equal(ext2fs_open(path, EXT2_FLAG_RW, 0, 0, unix_io_manager, &e2), 0);
	assert_int_equal(ext2fs_namei(e2, EXT2_ROOT_INO, EXT2_ROOT_INO, "a", &ino[0]), 0);
	assert_int_equal(ext2fs_namei(e2, EXT2_ROOT_INO, EXT2_ROOT_INO, "b", &ino[1]), 0);
	assert_int_equal(ext2fs_read_inode(e2, ino[0], &a), 0);
	assert_int_equal(ext2fs_read_inode(e2, ino[1], &b), 0);
	assert_int_not_equal(a.i_file_acl, 0);
	assert_int_equal(ext2fs_read_ext_attr3(e2, a.i_file_acl, buf, ino[0]), 0);
	((struct ext2_ext_attr_header *)(void *)buf)->h_refcount = 2;
	assert_int_equal(ext2fs_write_ext_attr3(e2, a.i_file_acl, buf, ino[0]), 0);
	b.i_file_acl = a.i_file_acl;
	b.i_blocks += 2;
	assert_int_equal(ext2fs_write_inode(e2, ino[1], &b), 0);
	assert_int_equal(ext2fs_close(e2), 0);
	assert_int_equal(run("e2fsck -fn %s >/dev/null 2>&1", path), 0);
	for (int k = 0; k < 2; k++) { /* with a change of the one, and without */
		ext_test_new(&t, "shared.img");
		if (k)
			assert_int_equal(t.fs->ops->setattr(t.fs, ino[0], &mode), 0);
		ext_test_fsck(&t);
		assert_int_equal(t.fs->ops->unlink(t.fs, root_of(&t), "a"), 0);
		ext_test_fsck(&t);
		assert_int_equal(t.fs->ops->rename(t.fs, root_of(&t), "b", root_of(&t), "c"), 0);
		expect_list(&t, "c", "system.posix_acl_access",
			(const struct entry[]){ { 1, 6, 0 }, { 2, 5, 1000 }, { 4, 4, 0 }, { 16, 6, 0 }, { 32, 4, 0 }, { 0 } });
		assert_int_equal(t.fs->ops->unlink(t.fs, root_of(&t), "c"), 0);
		ext_test_fsck(&t);
		ext_test_kill(&t);
		close(t.fd);
	}
	assert_int_equal(run("rm -rf %s %s", t.layer, t.image), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_feature),
		cmocka_unit_test(orphans_in_a_file),
		cmocka_unit_test(access_lists_are_inherited),
		cmocka_unit_test(flags_bind_root_too),
		cmocka_unit_test(too_many_subdirectories),
		cmocka_unit_test(very_many_subdirectories),
		cmocka_unit_test(shared_attributes),
	};

	return cmocka_run_group_tests_name("extfs features", tests, NULL, NULL);
}
