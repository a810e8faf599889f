/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: every operation with every allocation in it failing, one after the other: of blocks (by libext2fs's hooks) and
 * of memory (this program is linked with malloc and its like wrapped). An operation that fails has changed nothing.
 */
#include "tests/unit/test.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "store/extfs_priv.h"
#include "tests/unit/extimage.h"

/* ---- what fails ---- */

enum what { NOTHING, BLOCKS, MEMORY };

static enum what armed;
static unsigned fail_in;
static bool fired;

static bool fails(enum what what)
{
	if (armed != what || fired || --fail_in)
		return false;
	fired = true;
	return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	return fails(MEMORY) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails(MEMORY) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails(MEMORY) ? NULL : __real_realloc(p, n);
}

static errcode_t alloc_block(ext2_filsys e2, blk64_t goal, blk64_t *ret)
{
	return fails(BLOCKS) ? EXT2_ET_BLOCK_ALLOC_FAIL : ext2fs_new_block2(e2, goal, NULL, ret);
}

static errcode_t new_range(ext2_filsys e2, int flags, blk64_t goal, blk64_t len, blk64_t *pblk, blk64_t *plen)
{
	/* in small pieces, so that there are more of them */
	return fails(BLOCKS) ? EXT2_ET_BLOCK_ALLOC_FAIL : ext2fs_new_range(e2, flags, goal, len < 3 ? len : 3, NULL, pblk, plen);
}

static void hook(struct ext_test *t)
{
	struct br_extfs *fs = ext_of(t->fs);

	ext2fs_set_alloc_block_callback(fs->e2, alloc_block, NULL);
	ext2fs_set_new_range_callback(fs->e2, new_range, NULL);
}

/* ---- all that a client can see, as one number ---- */

static uint32_t digest(struct ext_test *t, uint64_t ino, uint32_t crc);

struct listing {
	struct ext_test *t;
	uint32_t crc;
};

static int on_entry(void *ctx, const struct br_fs_dirent *d)
{
	struct listing *l = ctx;

	l->crc = br_crc32c(l->crc, d->name, strlen(d->name));
	if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
		l->crc = digest(l->t, d->ino, l->crc);
	return 0;
}

static uint32_t digest(struct ext_test *t, uint64_t ino, uint32_t crc)
{
	struct br_fs_attr a = attr_of(t, ino);
	static uint8_t buf[1 << 16];
	char target[4096];
	size_t got = 0;
	bool eof = false;

	/* (the struct has gaps) */
	const uint64_t seen[] = { a.ino, a.generation, a.mode, a.nlink, a.uid, a.gid, a.size, a.used, a.rdev_major, a.rdev_minor,
		(uint64_t)a.atime.tv_sec, (uint64_t)a.atime.tv_nsec, (uint64_t)a.mtime.tv_sec, (uint64_t)a.mtime.tv_nsec,
		(uint64_t)a.ctime.tv_sec, (uint64_t)a.ctime.tv_nsec };

	crc = br_crc32c(crc, seen, sizeof(seen));
	if (S_ISDIR(a.mode)) {
		struct listing l = { t, crc };

		assert_int_equal(t->fs->ops->readdir(t->fs, ino, 0, on_entry, &l, &eof), 0);
		crc = l.crc;
	} else if (S_ISREG(a.mode)) {
		for (uint64_t at = 0; !eof; at += got) {
			assert_int_equal(t->fs->ops->read(t->fs, ino, at, buf, sizeof(buf), &got, &eof), 0);
			crc = br_crc32c(crc, buf, got);
		}
	} else if (S_ISLNK(a.mode)) {
		assert_int_equal(t->fs->ops->readlink(t->fs, ino, target, sizeof(target)), 0);
		crc = br_crc32c(crc, target, strlen(target));
	}
	return crc;
}

static uint32_t digest_all(struct ext_test *t)
{
	struct br_fs_statfs s = { 0 };
	uint32_t crc = digest(t, root_of(t), 0);

	assert_int_equal(t->fs->ops->statfs(t->fs, &s), 0);
	return br_crc32c(crc, &s, sizeof(s));
}

/* ---- the operations ---- */

static uint64_t walk(struct ext_test *t, const char *path)
{
	enum what was = armed; /* what is meant is in the operation itself */
	uint64_t ino = 0;

	armed = NOTHING;
	assert_int_equal(br_fs_walk(t->fs, path, &ino), 0);
	armed = was;
	return ino;
}

static int create(struct ext_test *t, const char *dir, const char *name, uint32_t mode, const char *target)
{
	struct br_fs_new new = { .mode = mode, .target = target };
	uint64_t ino;

	return t->fs->ops->create(t->fs, walk(t, dir), name, &new, &ino);
}

static int write_at(struct ext_test *t, const char *path, uint64_t offset, size_t len)
{
	static uint8_t buf[300000];

	memset(buf, 'n', len);
	return t->fs->ops->write(t->fs, walk(t, path), offset, buf, len);
}

static int cut(struct ext_test *t, const char *path, uint64_t size)
{
	struct br_fs_setattr a = { .set = BR_FS_SET_SIZE, .size = size };

	return t->fs->ops->setattr(t->fs, walk(t, path), &a);
}

static int chmod_acl(struct ext_test *t)
{
	struct br_fs_setattr a = { .set = BR_FS_SET_MODE, .mode = 0711 };

	return t->fs->ops->setattr(t->fs, walk(t, "acl/new"), &a);
}

static int new_file(struct ext_test *t) { return create(t, "d", "new", S_IFREG | 0644, NULL); }
static int new_dir(struct ext_test *t) { return create(t, "d", "newdir", S_IFDIR | 0755, NULL); }
static int new_device(struct ext_test *t) { return create(t, "d", "dev", S_IFCHR | 0600, NULL); }
static int new_link(struct ext_test *t)
{
	char target[900];

	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = 0;
	return create(t, "d", "symlink", S_IFLNK | 0777, target);
}
static int new_in_full(struct ext_test *t)
{
	char name[250];

	memset(name, 'w', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	return create(t, "full", name, S_IFREG | 0644, NULL);
}
static int new_in_indexed(struct ext_test *t) { return create(t, "indexed", "one more", S_IFREG | 0644, NULL); }
static int new_with_acl(struct ext_test *t) { return create(t, "acl", "new", S_IFREG | 0664, NULL); }
static int new_dir_with_acl(struct ext_test *t) { return create(t, "acl", "newdir", S_IFDIR | 0775, NULL); }
static int write_small(struct ext_test *t) { return write_at(t, "d/new", 10, 100); }
static int write_large(struct ext_test *t) { return write_at(t, "d/new", 5000, 120000); }
static int write_far(struct ext_test *t) { return write_at(t, "d/new", 9000000, 5000); }
static int write_holes(struct ext_test *t)
{
	return write_at(t, "holes", 3000, 60000);
}
static int write_unwritten(struct ext_test *t) { return write_at(t, "unwritten", 9000, 9000); }
static int grow_inline(struct ext_test *t) { return write_at(t, "small", 30, 3000); }
static int grow_inline_dir(struct ext_test *t) { return create(t, "sd", "a name that does not fit into an inode, long as it is", S_IFREG | 0600, NULL); }
static int cut_large(struct ext_test *t) { return cut(t, "holes", 20001); }
static int cut_to_nothing(struct ext_test *t) { return cut(t, "d/new", 0); }
static int make_longer(struct ext_test *t) { return cut(t, "small", 100000); }
static int link_it(struct ext_test *t) { return t->fs->ops->link(t->fs, walk(t, "holes"), walk(t, "full"), "a hard link"); }
static int move_dir(struct ext_test *t) { return t->fs->ops->rename(t->fs, walk(t, "d"), "newdir", walk(t, "full"), "moved"); }
static int move_over(struct ext_test *t) { return t->fs->ops->rename(t->fs, root_of(t), "holes", walk(t, "d"), "new"); }
static int remove_file(struct ext_test *t) { return t->fs->ops->unlink(t->fs, root_of(t), "fragments"); }
static int remove_acl(struct ext_test *t) { return t->fs->ops->unlink(t->fs, walk(t, "acl"), "new"); }
static int remove_dir(struct ext_test *t) { return t->fs->ops->rmdir(t->fs, walk(t, "full"), "moved"); }

static const struct op {
	const char *name;
	int (*run)(struct ext_test *t);
} ops[] = {
	{ "new file", new_file }, { "new directory", new_dir }, { "new device", new_device }, { "new link", new_link },
	{ "new file in a full directory", new_in_full }, { "new file in an indexed directory", new_in_indexed },
	{ "new file with an access list", new_with_acl }, { "new directory with an access list", new_dir_with_acl },
	{ "chmod with an access list", chmod_acl }, { "small write", write_small }, { "large write", write_large },
	{ "write far away", write_far }, { "write over holes", write_holes }, { "write into unwritten extents", write_unwritten },
	{ "grow a file in its inode", grow_inline }, { "grow a directory in its inode", grow_inline_dir },
	{ "cut", cut_large }, { "hard link", link_it }, { "move a directory", move_dir }, { "move over a file", move_over },
	{ "cut to nothing", cut_to_nothing }, { "make longer", make_longer }, { "remove a scattered file", remove_file },
	{ "remove a file with an access list", remove_acl }, { "remove a directory", remove_dir },
};

/* ---- the image ---- */

static void write_default_list(void)
{
	static const uint16_t entries[][3] = { { 1, 7, 0 }, { 2, 5, 1000 }, { 4, 5, 0 }, { 16, 7, 0 }, { 32, 5, 0 } };
	uint8_t buf[4 + 8 * BR_ARRAY_SIZE(entries)] = { 2 };
	char path[400];
	FILE *f;

	for (size_t i = 0; i < BR_ARRAY_SIZE(entries); i++)
		for (size_t k = 0; k < 3; k++)
			br_store_le16(buf + 4 + 8 * i + 2 * k, entries[i][k]);
	snprintf(path, sizeof(path), "%s/list", test_dir());
	f = fopen(path, "w");
	assert_true(f && fwrite(buf, 1, sizeof(buf), f) == sizeof(buf) && fclose(f) == 0);
}

static void prepare(struct ext_test *t, const char *options)
{
	char tree[400];

	snprintf(tree, sizeof(tree), "%s/tree", test_dir());
	write_default_list();
	assert_int_equal(run("rm -rf %s && mkdir -p %s/d %s/full %s/indexed %s/acl %s/sd && cd %s && echo small >small && touch sd/a && "
			     "for i in $(seq 300); do touch indexed/a-name-of-some-length-$i; done && seq 8000 | head -c 40000 >unwritten",
				 tree, tree, tree, tree, tree, tree, tree), 0);
	make_image("faults.img", 24 << 10, options, tree);
	assert_int_equal(run("cd %s && printf 'ea_set -f list acl system.posix_acl_default\\n%s' | debugfs -w -f - faults.img >/dev/null 2>&1; "
			     "e2fsck -fyD faults.img >/dev/null 2>&1; rm -rf tree; true",
				 test_dir(), strstr(options, "^extents") ? "" : "fallocate unwritten 0 50\\n"), 0);
	ext_test_new(t, "faults.img");
	assert_int_equal(create(t, "/", "holes", S_IFREG | 0644, NULL), 0);
	assert_int_equal(create(t, "/", "fragments", S_IFREG | 0644, NULL), 0);
	for (unsigned i = 0; i < 12; i++) {
		assert_int_equal(write_at(t, "holes", i * 12288, 100), 0);
		assert_int_equal(write_at(t, "fragments", i * 8192, 100), 0);
	}
	for (unsigned i = 0; i < 12; i++) {
		char name[100];

		snprintf(name, sizeof(name), "%090u", i);
		assert_int_equal(create(t, "full", name, S_IFREG | 0644, NULL), 0);
	}
	assert_int_equal(t->fs->ops->commit(t->fs), 0);
}

/* The operation with its first, second, ... allocation failing, until none does. Returns how many there were. */
static unsigned with_failures(struct ext_test *t, const struct op *op, enum what what)
{
	uint32_t before = digest_all(t);
	unsigned n;
	int r = -1;

	for (n = 1; r; n++) {
		fail_in = n;
		fired = false;
		armed = what;
		r = op->run(t);
		armed = NOTHING;
		assert_true(r <= 0);
		/* (libext2fs has other words for memory that is out) */
		if (r < 0 && (!fired || (what == BLOCKS && r != -ENOSPC)))
			fail_msg("%s, allocation %u: %s%s", op->name, n, strerrordesc_np(-r), fired ? "" : " (nothing failed)");
		if (r < 0 && digest_all(t) != before)
			fail_msg("%s, allocation %u of %s failed, and something is different", op->name, n, what == BLOCKS ? "blocks" : "memory");
		assert_true(n < 500);
	}
	return n - 2;
}

static void faults(void **state)
{
	const char *options = *state;
	struct ext_test t = { 0 };
	unsigned n[3] = { 0 };

	NEEDS_TOOLS();
	for (int what = BLOCKS; what <= MEMORY; what++) {
		prepare(&t, options);
		hook(&t);
		for (size_t i = 0; i < BR_ARRAY_SIZE(ops); i++) {
			n[what] += with_failures(&t, &ops[i], (enum what)what);
			if (i % 8 == 7)
				ext_test_fsck(&t);
		}
		ext_test_fsck(&t);
		ext_test_end(&t);
	}
	print_message("%u allocations of blocks, %u of memory failed\n", n[BLOCKS], n[MEMORY]);
	assert_true(n[BLOCKS] > 10 && n[MEMORY] > 10);
}

int main(void)
{
	static const char *const kinds[] = { "-b 1024 -O inline_data", "-b 4096 -O metadata_csum_seed,orphan_file",
		"-b 1024 -O ^extents,^metadata_csum,^64bit,^flex_bg -I 128" };
	struct CMUnitTest tests[BR_ARRAY_SIZE(kinds)] = { 0 };

	for (size_t i = 0; i < BR_ARRAY_SIZE(kinds); i++)
		tests[i] = (struct CMUnitTest){ .name = kinds[i], .test_func = faults, .initial_state = (void *)(uintptr_t)kinds[i] };
	return cmocka_run_group_tests_name("extfs faults", tests, NULL, NULL);
}
