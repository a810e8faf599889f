/* SPDX-License-Identifier: Apache-2.0 */
/* ext4: single cases that the random test does not meet. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "tests/unit/extimage.h"

static void large_and_sparse(void **state)
{
	static const uint64_t places[] = { 0, 4096 * 3 + 5, 1ull << 31, (1ull << 32) - 3, 5ull << 32, 17000000000000ull };
	struct ext_test t = { 0 };
	struct br_fs_setattr cut = { .set = BR_FS_SET_SIZE, .size = (1ull << 31) + 2 };
	char buf[16];
	uint64_t ino;
	size_t got;
	bool eof;

	NEEDS_TOOLS();
	make_image("sparse.img", 8192, "-b 4096", NULL);
	ext_test_new(&t, "sparse.img");
	ino = make(&t, root_of(&t), "f", S_IFREG | 0600);
	for (size_t i = 0; i < BR_ARRAY_SIZE(places); i++)
		assert_int_equal(t.fs->ops->write(t.fs, ino, places[i], "content", 7), 0);
	assert_int_equal(t.fs->ops->write(t.fs, ino, 1ull << 44, "x", 1), -EFBIG);
	assert_int_equal(t.fs->ops->write(t.fs, ino, UINT64_MAX - 3, "xxxxxx", 6), -EFBIG);
	assert_int_equal(t.fs->ops->commit(t.fs), 0);
	ext_test_kill(&t);
	ext_test_open(&t, NULL);
	for (size_t i = 0; i < BR_ARRAY_SIZE(places); i++) {
		assert_int_equal(t.fs->ops->read(t.fs, ino, places[i], buf, 7, &got, &eof), 0);
		assert_int_equal(got, 7);
		assert_memory_equal(buf, "content", 7);
	}
	assert_true(eof);
	assert_int_equal(t.fs->ops->read(t.fs, ino, 1ull << 40, buf, 4, &got, &eof), 0);
	assert_memory_equal(buf, "\0\0\0\0", 4);
	assert_true(attr_of(&t, ino).used <= 8 * 4096);
	ext_test_fsck(&t);
	assert_int_equal(t.fs->ops->setattr(t.fs, ino, &cut), 0);
	cut.size = (1ull << 31) + 100;
	assert_int_equal(t.fs->ops->setattr(t.fs, ino, &cut), 0);
	assert_int_equal(t.fs->ops->read(t.fs, ino, 1ull << 31, buf, 7, &got, &eof), 0);
	assert_memory_equal(buf, "co\0\0\0\0\0", 7); /* what was cut off does not come back */
	ext_test_fsck(&t);
	ext_test_end(&t);
}

static void times_have_nanoseconds(void **state)
{
	static const struct timespec times[] = { { 0, 0 }, { 1, 999999999 }, { -5, 7 }, { 4102444800, 123456789 },
		{ 15032385535, 1 } };
	struct ext_test t = { 0 };
	uint64_t ino, dir;
	struct br_fs_attr before, after;

	NEEDS_TOOLS();
	make_image("times.img", 4096, "", NULL);
	ext_test_new(&t, "times.img");
	dir = make(&t, root_of(&t), "d", S_IFDIR | 0755);
	ino = make(&t, dir, "f", S_IFREG | 0600);
	for (size_t i = 0; i < BR_ARRAY_SIZE(times); i++) {
		struct br_fs_setattr a = { .set = BR_FS_SET_ATIME | BR_FS_SET_MTIME, .atime = times[i], .mtime = times[i] };

		assert_int_equal(t.fs->ops->setattr(t.fs, ino, &a), 0);
		assert_int_equal(t.fs->ops->commit(t.fs), 0);
		ext_test_kill(&t);
		ext_test_open(&t, NULL);
		after = attr_of(&t, ino);
		assert_int_equal(after.mtime.tv_sec, times[i].tv_sec);
		assert_int_equal(after.mtime.tv_nsec, times[i].tv_nsec);
		assert_int_equal(after.atime.tv_sec, times[i].tv_sec);
		assert_int_equal(after.atime.tv_nsec, times[i].tv_nsec);
	}
	/* a directory's times change with its entries, a file's ctime with its links */
	before = attr_of(&t, dir);
	assert_int_equal(t.fs->ops->link(t.fs, ino, dir, "g"), 0);
	after = attr_of(&t, dir);
	assert_true(after.mtime.tv_sec > before.mtime.tv_sec || after.mtime.tv_nsec != before.mtime.tv_nsec);
	assert_int_equal(after.mtime.tv_nsec, after.ctime.tv_nsec);
	before = attr_of(&t, ino);
	assert_int_equal(t.fs->ops->unlink(t.fs, dir, "g"), 0);
	after = attr_of(&t, ino);
	assert_true(after.ctime.tv_sec > before.ctime.tv_sec || after.ctime.tv_nsec != before.ctime.tv_nsec);
	assert_int_equal(after.mtime.tv_sec, before.mtime.tv_sec);
	ext_test_fsck(&t);
	ext_test_end(&t);
}

static void numbers_are_used_again(void **state)
{
	struct ext_test t = { 0 };
	uint64_t a, b;
	uint32_t generation;
	struct br_fs_attr attr;

	NEEDS_TOOLS();
	make_image("again.img", 4096, "", NULL);
	ext_test_new(&t, "again.img");
	a = make(&t, root_of(&t), "a", S_IFREG | 0600);
	generation = attr_of(&t, a).generation;
	assert_int_equal(t.fs->ops->unlink(t.fs, root_of(&t), "a"), 0);
	assert_int_equal(t.fs->ops->getattr(t.fs, a, &attr), -ESTALE);
	b = make(&t, root_of(&t), "b", S_IFREG | 0600);
	assert_int_equal(b, a);
	assert_int_not_equal(attr_of(&t, b).generation, generation);
	assert_int_equal(t.fs->ops->getattr(t.fs, 0, &attr), -ESTALE);
	assert_int_equal(t.fs->ops->getattr(t.fs, 1ull << 32 | a, &attr), -ESTALE);
	assert_int_equal(t.fs->ops->getattr(t.fs, 8, &attr), -ESTALE); /* the journal */
	ext_test_end(&t);
}

/* ---- directories ---- */

static int count(void *ctx, const struct br_fs_dirent *e)
{
	++*(unsigned *)ctx;
	return 0;
}

static unsigned entries_of(struct ext_test *t, uint64_t dir)
{
	unsigned n = 0;
	bool eof;

	assert_int_equal(t->fs->ops->readdir(t->fs, dir, 0, count, &n, &eof), 0);
	assert_true(eof);
	return n;
}

static void a_large_directory(void **state)
{
	enum { N = 6000 };
	struct ext_test t = { 0 };
	uint64_t dir, ino;
	char name[40];

	NEEDS_TOOLS();
	make_image("large.img", 32 << 10, "-N 16000", NULL);
	ext_test_new(&t, "large.img");
	dir = make(&t, root_of(&t), "d", S_IFDIR | 0755);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "file number %d", i);
		make(&t, dir, name, S_IFREG | 0644);
	}
	assert_int_equal(entries_of(&t, dir), N + 2);
	for (int i = 0; i < N; i += 3) {
		snprintf(name, sizeof(name), "file number %d", i);
		assert_int_equal(t.fs->ops->unlink(t.fs, dir, name), 0);
	}
	ext_test_fsck(&t);
	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "file number %d", i);
		assert_int_equal(t.fs->ops->lookup(t.fs, dir, name, &ino), i % 3 ? 0 : -ENOENT);
	}
	for (int i = 0; i < N; i += 3) { /* into the gaps */
		uint64_t size = attr_of(&t, dir).size;

		snprintf(name, sizeof(name), "file %d again", i);
		make(&t, dir, name, S_IFREG | 0644);
		assert_int_equal(attr_of(&t, dir).size, size);
	}
	ext_test_fsck(&t);
	ext_test_end(&t);
}

/* Directories that mke2fs and e2fsck -D made with a hash index become lists when changed. */
static void hash_indexed_directories(void **state)
{
	static const char *const kinds[] = { "-O metadata_csum,64bit -b 1024", "-O ^metadata_csum,^64bit -b 1024",
		"-O metadata_csum -b 4096" };

	NEEDS_TOOLS();
	for (size_t k = 0; k < BR_ARRAY_SIZE(kinds); k++) {
		struct ext_test t = { 0 };
		uint64_t dir, ino;

		assert_int_equal(run("mkdir -p %s/tree/d && cd %s/tree/d && seq -f 'an entry with a long name %%g' 3000 | "
				     "xargs -d '\\n' touch", test_dir(), test_dir()), 0);
		assert_int_equal(run("cd %s && mke2fs -q -F -t ext4 %s -N 4000 -d tree htree.img 16m && e2fsck -fyD htree.img "
				     ">/dev/null; e2fsck -fn htree.img >/dev/null && debugfs -R 'stat d' htree.img 2>/dev/null | "
				     "grep -q 'Flags: 0x8*1000'", test_dir(), kinds[k]), 0);
		ext_test_new(&t, "htree.img");
		assert_int_equal(t.fs->ops->lookup(t.fs, root_of(&t), "d", &dir), 0);
		assert_int_equal(t.fs->ops->lookup(t.fs, dir, "an entry with a long name 2999", &ino), 0);
		assert_int_equal(entries_of(&t, dir), 3002);
		/* removing leaves the index good, adding makes it a list */
		assert_int_equal(t.fs->ops->unlink(t.fs, dir, "an entry with a long name 17"), 0);
		ext_test_fsck(&t);
		make(&t, dir, "a new one", S_IFREG | 0644);
		for (int i = 0; i < 200; i++) {
			char name[40];

			snprintf(name, sizeof(name), "more %d", i);
			make(&t, dir, name, S_IFREG | 0644);
		}
		assert_int_equal(t.fs->ops->lookup(t.fs, dir, "an entry with a long name 2998", &ino), 0);
		assert_int_equal(entries_of(&t, dir), 3202);
		ext_test_fsck(&t);
		ext_test_end(&t);
	}
	assert_int_equal(run("rm -rf %s/tree", test_dir()), 0);
}

/* Two directories with very many names: made, listed, found, moved from one to the other, removed. BR_TEST_NAMES: so many. */
static void very_many_names(void **state)
{
	const char *many = getenv("BR_TEST_NAMES");
	unsigned n = many ? (unsigned)atoi(many) : 3000, found = 0;
	struct ext_test t = { 0 };
	struct timespec at[6];
	uint64_t a, b, ino;
	char name[64];

	NEEDS_TOOLS();
	snprintf(name, sizeof(name), "-b 1024 -N %u", n + 1000);
	make_image("names.img", n + (64 << 10), name, NULL);
	ext_test_new(&t, "names.img");
	a = make(&t, root_of(&t), "a", S_IFDIR | 0755);
	b = make(&t, root_of(&t), "b", S_IFDIR | 0755);
	for (int step = 0; step < 6; step++) {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at[step]);
		for (unsigned i = 0; i < n && step < 5; i++) {
			snprintf(name, sizeof(name), "a-name-of-%u.%0*u", i * 7919 % n, (int)(i % 20), i);
			if (step == 0)
				make(&t, a, name, S_IFREG | 0644);
			else if (step == 1)
				found += t.fs->ops->lookup(t.fs, a, name, &ino) == 0;
			else if (step == 2)
				assert_int_equal(t.fs->ops->rename(t.fs, a, name, b, name), 0);
			else if (step == 4)
				assert_int_equal(t.fs->ops->unlink(t.fs, b, name), 0);
		}
		if (step == 3)
			assert_int_equal(entries_of(&t, b), n + 2);
		if (step == 2)
			ext_test_fsck(&t);
	}
	assert_int_equal(found, n);
	assert_int_equal(entries_of(&t, b), 2);
	ext_test_fsck(&t);
	ext_test_end(&t);
	for (int step = 0; many && step < 5; step++)
		print_message("step %d: %.3f s\n", step, (double)(at[step + 1].tv_sec - at[step].tv_sec) +
								  (double)(at[step + 1].tv_nsec - at[step].tv_nsec) / 1e9);
}

static void rename_rules(void **state)
{
	struct ext_test t = { 0 };
	uint64_t a, b, c, f, found;
	const struct br_fs_ops *ops;

	NEEDS_TOOLS();
	make_image("rename.img", 4096, "", NULL);
	ext_test_new(&t, "rename.img");
	ops = t.fs->ops;
	a = make(&t, root_of(&t), "a", S_IFDIR | 0755);
	b = make(&t, a, "b", S_IFDIR | 0755);
	c = make(&t, b, "c", S_IFDIR | 0755);
	f = make(&t, root_of(&t), "f", S_IFREG | 0644);
	assert_int_equal(ops->rename(t.fs, root_of(&t), "a", c, "x"), -EINVAL);
	assert_int_equal(ops->rename(t.fs, root_of(&t), "a", a, "x"), -EINVAL);
	assert_int_equal(ops->rename(t.fs, root_of(&t), "f", root_of(&t), "a"), -EISDIR);
	assert_int_equal(ops->rename(t.fs, a, "b", root_of(&t), "f"), -ENOTDIR);
	assert_int_equal(ops->rename(t.fs, b, "c", root_of(&t), "a"), -ENOTEMPTY);
	assert_int_equal(ops->rename(t.fs, b, "missing", root_of(&t), "a"), -ENOENT);
	assert_int_equal(ops->rename(t.fs, f, "x", root_of(&t), "a"), -ENOTDIR);
	assert_int_equal(attr_of(&t, root_of(&t)).nlink, 4);
	assert_int_equal(ops->rename(t.fs, a, "b", root_of(&t), "b"), 0); /* up: ".." and the counts follow */
	assert_int_equal(ops->lookup(t.fs, b, "..", &found), 0);
	assert_int_equal(found, root_of(&t));
	assert_int_equal(attr_of(&t, root_of(&t)).nlink, 5);
	assert_int_equal(attr_of(&t, a).nlink, 2);
	assert_int_equal(ops->rename(t.fs, b, "c", root_of(&t), "a"), 0); /* over an empty one */
	assert_int_equal(attr_of(&t, root_of(&t)).nlink, 5);
	assert_int_equal(attr_of(&t, b).nlink, 2);
	assert_int_equal(ops->link(t.fs, f, b, "same"), 0);
	assert_int_equal(ops->rename(t.fs, b, "same", root_of(&t), "f"), 0); /* one file: nothing happens */
	assert_int_equal(attr_of(&t, f).nlink, 2);
	ext_test_fsck(&t);
	ext_test_end(&t);
}

static void setgid_directories(void **state)
{
	struct ext_test t = { 0 };
	struct br_fs_setattr a = { .set = BR_FS_SET_MODE | BR_FS_SET_GID, .mode = 02775, .gid = 123456 };
	uint64_t dir, sub, file;

	NEEDS_TOOLS();
	make_image("setgid.img", 4096, "", NULL);
	ext_test_new(&t, "setgid.img");
	dir = make(&t, root_of(&t), "d", S_IFDIR | 0755);
	assert_int_equal(t.fs->ops->setattr(t.fs, dir, &a), 0);
	sub = make(&t, dir, "sub", S_IFDIR | 0755);
	file = make(&t, sub, "file", S_IFREG | 06755);
	assert_int_equal(attr_of(&t, sub).mode, S_IFDIR | 02755);
	assert_int_equal(attr_of(&t, file).gid, 123456);
	assert_int_equal(attr_of(&t, file).mode, S_IFREG | 06755);
	assert_int_equal(t.fs->ops->write(t.fs, file, 0, "x", 1), 0);
	assert_int_equal(attr_of(&t, file).mode, S_IFREG | 0755);
	ext_test_end(&t);
}

/* ---- no space ---- */

static void fill(struct ext_test *t, uint64_t ino, uint64_t *at)
{
	static uint8_t buf[1 << 16];

	for (size_t n = sizeof(buf); n >= 512;) {
		int r = t->fs->ops->write(t->fs, ino, *at, buf, n);

		if (r == 0)
			*at += n;
		else
			n /= 2;
		assert_true(r == 0 || r == -ENOSPC);
	}
}

static void the_file_system_is_full(void **state)
{
	static const char *const kinds[] = { "", "-b 1024 -O ^extents,^64bit", "-N 32" };

	NEEDS_TOOLS();
	for (size_t k = 0; k < BR_ARRAY_SIZE(kinds); k++) {
		struct ext_test t = { 0 };
		struct br_fs_statfs s;
		uint64_t ino, at = 0, made;
		int r, n = 0;

		make_image("full.img", 4096, kinds[k], NULL);
		ext_test_new(&t, "full.img");
		ino = make(&t, root_of(&t), "f", S_IFREG | 0600);
		fill(&t, ino, &at);
		assert_int_equal(attr_of(&t, ino).size, at);
		assert_int_equal(t.fs->ops->write(t.fs, ino, 0, "over what is there", 18), 0);
		ext_test_fsck(&t);
		assert_int_equal(t.fs->ops->statfs(t.fs, &s), 0);
		assert_true(s.free_bytes < 200 << 10);
		assert_int_equal(t.fs->ops->unlink(t.fs, root_of(&t), "f"), 0);
		do { /* inodes, or blocks of directories */
			struct br_fs_new new = { .mode = S_IFDIR | 0755 };
			char name[32];

			snprintf(name, sizeof(name), "d%d", n++);
			r = t.fs->ops->create(t.fs, root_of(&t), name, &new, &made);
		} while (r == 0);
		assert_int_equal(r, -ENOSPC);
		ext_test_fsck(&t);
		assert_int_equal(entries_of(&t, root_of(&t)), n + 2);
		ext_test_end(&t);
	}
}

/* The host's disk is full: every write of the layer may fail, and nothing is half done. */
struct host {
	unsigned fail_in;
	bool full;
};

static ssize_t host_pwrite(void *ctx, int fd, const void *buf, size_t n, off_t offset)
{
	struct host *h = ctx;

	if (h->full || (h->fail_in && --h->fail_in == 0)) {
		errno = ENOSPC;
		return -1;
	}
	return pwrite(fd, buf, n, offset);
}

static int host_fdatasync(void *ctx, int fd)
{
	return 0;
}

static void the_host_is_full(void **state)
{
	struct host host = { 0 };
	struct br_cow_io io = { .ctx = &host, .pwrite = host_pwrite, .fdatasync = host_fdatasync };
	static uint8_t buf[50000];
	struct ext_test t = { 0 };
	uint64_t dir, ino;
	unsigned failed = 0;

	NEEDS_TOOLS();
	make_image("host.img", 16 << 10, "", NULL);
	ext_test_new(&t, "host.img");
	ext_test_kill(&t);
	ext_test_open(&t, &io);
	dir = make(&t, root_of(&t), "d", S_IFDIR | 0755);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t size;
		char name[20];
		int r;

		snprintf(name, sizeof(name), "f%u", i % 7);
		if (t.fs->ops->lookup(t.fs, dir, name, &ino) < 0)
			ino = make(&t, dir, name, S_IFREG | 0600);
		size = attr_of(&t, ino).size;
		host.fail_in = i % 3 == 0 ? 1 + i % 5 : 0;
		r = t.fs->ops->write(t.fs, ino, i * 7919 % 300000, buf, 1 + i * 4001 % sizeof(buf));
		if (r < 0) {
			failed++;
			assert_int_equal(r, -ENOSPC);
			assert_int_equal(attr_of(&t, ino).size, size);
		}
		if (i % 11 == 0 && t.fs->ops->commit(t.fs) < 0)
			failed++;
		host.fail_in = 0;
		if (i % 13 == 0)
			assert_int_equal(t.fs->ops->unlink(t.fs, dir, name), 0);
	}
	assert_true(failed > 10);
	host.full = true; /* reading goes on */
	assert_int_equal(t.fs->ops->lookup(t.fs, root_of(&t), "d", &ino), 0);
	host.full = false;
	ext_test_fsck(&t);
	ext_test_end(&t);
}

/* ---- killed at each write of a commit ---- */

struct killer {
	char layer[560], copies[320];
	unsigned n;
};

static void copy_layer(struct killer *k)
{
	if (k->n)
		assert_int_equal(run("cp -r --sparse=always %s %s/%u", k->layer, k->copies, k->n++), 0);
}

static ssize_t killer_pwrite(void *ctx, int fd, const void *buf, size_t n, off_t offset)
{
	size_t half = n / 2;

	/* torn in the middle, too */
	copy_layer(ctx);
	if (half && pwrite(fd, buf, half, offset) != (ssize_t)half)
		return -1;
	copy_layer(ctx);
	return pwrite(fd, buf, n, offset);
}

static int killer_fdatasync(void *ctx, int fd)
{
	copy_layer(ctx);
	return 0;
}

/* Returns 1 when the second state is there, 0 for the first. */
static int which_state(struct ext_test *t)
{
	uint64_t ino;
	int r = br_fs_walk(t->fs, "dir/file 2", &ino);

	if (r == 0) {
		assert_int_equal(attr_of(t, ino).size, 30000);
		assert_int_equal(br_fs_walk(t->fs, "first", &ino), -ENOENT);
		return 1;
	}
	assert_int_equal(r, -ENOENT);
	assert_int_equal(br_fs_walk(t->fs, "first", &ino), 0);
	assert_int_equal(attr_of(t, ino).size, 50000);
	return 0;
}

static void second_state(struct ext_test *t)
{
	static const uint8_t buf[30000] = { 2 };
	uint64_t dir = make(t, root_of(t), "dir", S_IFDIR | 0755), ino;
	char name[20];

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "file %d", i);
		ino = make(t, dir, name, S_IFREG | 0644);
		assert_int_equal(t->fs->ops->write(t->fs, ino, 0, buf, sizeof(buf)), 0);
	}
	assert_int_equal(t->fs->ops->unlink(t->fs, root_of(t), "first"), 0);
}

static void killed_while_committing(void **state)
{
	struct killer k = { 0 };
	struct br_cow_io io = { .ctx = &k, .pwrite = killer_pwrite, .fdatasync = killer_fdatasync };
	static const uint8_t buf[50000] = { 1 };
	struct ext_test t = { 0 };
	uint64_t ino;
	int last = 0;

	NEEDS_TOOLS();
	make_image("kill.img", 8192, "", NULL);
	ext_test_new(&t, "kill.img");
	snprintf(k.layer, sizeof(k.layer), "%s", t.layer);
	snprintf(k.copies, sizeof(k.copies), "%s.copies", t.image);
	assert_int_equal(mkdir(k.copies, 0700), 0);
	ext_test_kill(&t);
	ext_test_open(&t, &io);
	ino = make(&t, root_of(&t), "first", S_IFREG | 0644);
	assert_int_equal(t.fs->ops->write(t.fs, ino, 0, buf, sizeof(buf)), 0);
	assert_int_equal(t.fs->ops->commit(t.fs), 0);
	k.n = 1; /* from here on every instant is kept */
	second_state(&t);
	assert_int_equal(t.fs->ops->commit(t.fs), 0);
	copy_layer(&k);
	ext_test_kill(&t);
	assert_true(k.n > 8);
	for (unsigned i = 1; i < k.n; i++) {
		int which;

		snprintf(t.layer, sizeof(t.layer), "%s/%u", k.copies, i);
		ext_test_open(&t, NULL);
		which = which_state(&t);
		assert_true(which >= last);
		last = which;
		ext_test_fsck(&t);
		ext_test_kill(&t);
	}
	assert_int_equal(last, 1);
	snprintf(t.layer, sizeof(t.layer), "%s", k.layer);
	ext_test_open(&t, NULL);
	ext_test_end(&t);
	assert_int_equal(run("rm -rf %s", k.copies), 0);
}

/* ---- images as they come ---- */

static void content_made_elsewhere(void **state)
{
	struct ext_test t = { 0 };
	uint64_t ino;
	char buf[300];
	size_t got;
	bool eof;

	NEEDS_TOOLS();
	assert_int_equal(run("rm -rf %s/tree; mkdir -p %s/tree/etc && cd %s/tree && echo hello >etc/file && ln -s etc/file short && "
			     "ln -s %0100d long && mkfifo fifo && truncate -s 1M hole && echo end >>hole && truncate -s 9000 zeros", test_dir(), test_dir(),
			     test_dir(), 7), 0);
	assert_int_equal(run("cd %s && rm -f c.img && mke2fs -q -t ext4 -O inline_data -d tree c.img 16m && debugfs -w -R "
			     "'mknod disk b 300 60000' c.img 2>/dev/null", test_dir()), 0);
	ext_test_new(&t, "c.img");
	assert_int_equal(br_fs_walk(t.fs, "/short", &ino), 0);
	assert_int_equal(t.fs->ops->readlink(t.fs, ino, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "etc/file");
	assert_int_equal(t.fs->ops->readlink(t.fs, ino, buf, 8), -ENAMETOOLONG);
	assert_int_equal(br_fs_walk(t.fs, "/long", &ino), 0);
	assert_int_equal(t.fs->ops->readlink(t.fs, ino, buf, sizeof(buf)), 0);
	assert_int_equal(strlen(buf), 100);
	assert_int_equal(br_fs_walk(t.fs, "/etc/file", &ino), 0);
	assert_int_equal(t.fs->ops->read(t.fs, ino, 0, buf, sizeof(buf), &got, &eof), 0);
	assert_int_equal(got, 6);
	assert_memory_equal(buf, "hello\n", 6);
	assert_int_equal(br_fs_walk(t.fs, "/hole", &ino), 0);
	assert_int_equal(attr_of(&t, ino).size, (1 << 20) + 4);
	assert_int_equal(t.fs->ops->read(t.fs, ino, (1 << 20) - 2, buf, sizeof(buf), &got, &eof), 0);
	assert_memory_equal(buf, "\0\0end\n", 6);
	assert_true(eof);
	assert_int_equal(br_fs_walk(t.fs, "/disk", &ino), 0);
	assert_int_equal(attr_of(&t, ino).rdev_major, 300);
	assert_int_equal(attr_of(&t, ino).rdev_minor, 60000);
	/* mke2fs leaves it in its inode, which holds far less than the size says */
	assert_int_equal(br_fs_walk(t.fs, "/zeros", &ino), 0);
	assert_int_equal(t.fs->ops->write(t.fs, ino, 2, "few", 3), 0);
	assert_int_equal(attr_of(&t, ino).size, 9000);
	assert_int_equal(t.fs->ops->read(t.fs, ino, 0, buf, sizeof(buf), &got, &eof), 0);
	assert_memory_equal(buf, "\0\0few\0\0", 7);
	ext_test_fsck(&t);
	ext_test_end(&t);
	assert_int_equal(run("rm -rf %s/tree", test_dir()), 0);
}

static void unwritten_extents(void **state)
{
	struct ext_test t = { 0 };
	uint64_t ino;
	uint8_t buf[40000], zero[40000] = { 0 };
	size_t got;
	bool eof;

	NEEDS_TOOLS();
	make_image("unwritten.img", 4096, "", NULL);
	assert_int_equal(run("cd %s && truncate -s 40000 f && debugfs -w -R 'write f f' unwritten.img >/dev/null 2>&1 && debugfs -w -R "
			     "'fallocate f 0 9' unwritten.img 2>/dev/null && rm f && debugfs -R 'ex f' unwritten.img 2>/dev/null | "
			     "grep -q Uninit", test_dir()), 0);
	ext_test_new(&t, "unwritten.img");
	assert_int_equal(br_fs_walk(t.fs, "f", &ino), 0);
	assert_int_equal(t.fs->ops->read(t.fs, ino, 0, buf, sizeof(buf), &got, &eof), 0);
	assert_memory_equal(buf, zero, sizeof(buf));
	assert_int_equal(t.fs->ops->write(t.fs, ino, 10000, "in the middle", 13), 0);
	assert_int_equal(t.fs->ops->read(t.fs, ino, 0, buf, sizeof(buf), &got, &eof), 0);
	memcpy(zero + 10000, "in the middle", 13);
	assert_memory_equal(buf, zero, sizeof(buf));
	ext_test_fsck(&t);
	ext_test_end(&t);
}

static void xattrs_are_kept_and_freed(void **state)
{
	struct ext_test t = { 0 };
	uint64_t ino;
	char cmd[1200];

	NEEDS_TOOLS();
	make_image("xattr.img", 4096, "-b 4096", NULL);
	assert_int_equal(run("cd %s && echo x >f && debugfs -w -R 'write f f' xattr.img >/dev/null 2>&1 && "
			     "printf '%%01500d' 7 >v && debugfs -w -R 'ea_set f user.small abc' xattr.img 2>/dev/null && "
			     "debugfs -w -R 'ea_set -f v f user.large' xattr.img 2>/dev/null && rm f v", test_dir()), 0);
	ext_test_new(&t, "xattr.img");
	assert_int_equal(t.fs->ops->rename(t.fs, root_of(&t), "f", root_of(&t), "g"), 0);
	assert_int_equal(br_fs_walk(t.fs, "g", &ino), 0);
	assert_int_equal(t.fs->ops->write(t.fs, ino, 9000, "more", 4), 0);
	assert_int_equal(t.fs->ops->commit(t.fs), 0);
	snprintf(cmd, sizeof(cmd), "%s/out.img", test_dir());
	assert_int_equal(br_cow_export(t.cow, cmd, true, NULL), 0);
	assert_int_equal(br_cow_export(t.cow, cmd, true, NULL), -EEXIST);
	assert_int_equal(run("debugfs -R 'ea_get g user.small' %s 2>/dev/null | grep -q abc && debugfs -R 'ea_get g user.large' %s "
			     "2>/dev/null | grep -q 0000007 && rm %s", cmd, cmd, cmd), 0);
	assert_int_equal(t.fs->ops->unlink(t.fs, root_of(&t), "g"), 0);
	ext_test_fsck(&t);
	ext_test_end(&t);
}

static int open_image(const char *name, bool writable, struct br_error *err)
{
	struct br_cow *cow;
	struct br_fs *fs;
	struct stat st;
	char path[512];
	int fd, r;

	*err = BR_ERROR_NULL;
	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(br_cow_open(fd, 0, (uint64_t)st.st_size, NULL, NULL, NULL, &cow, err), 0);
	r = br_extfs_open(cow, writable, &fs, err);
	if (r == 0)
		fs->ops->close(fs);
	br_cow_close(cow);
	close(fd);
	return r;
}

static void unsupported_is_refused_by_name(void **state)
{
	static const struct {
		const char *options;
		int r;
		const char *words;
	} cases[] = {
		{ "-O bigalloc -C 16384", -ENOTSUP, "bigalloc" },
		{ "-O encrypt", -ENOTSUP, "encrypt" },
		{ "-O casefold", -ENOTSUP, "casefold" },
		{ "-O mmp", -ENOTSUP, "mmp" },
		{ "-b 65536 -F 2>/dev/null", -ENOTSUP, "4096" },
		{ "", 0, "" },
	};
	struct br_error err;

	NEEDS_TOOLS();
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		make_image("refused.img", 16 << 10, cases[i].options, NULL);
		assert_int_equal(open_image("refused.img", true, &err), cases[i].r);
		assert_non_null(strstr(err.text, cases[i].words));
	}
	assert_int_equal(run("cd %s && head -c 300000 /dev/zero >refused.img", test_dir()), 0);
	assert_int_equal(open_image("refused.img", false, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "no ext4"));
	make_image("refused.img", 4096, "", NULL);
	assert_int_equal(run("cd %s && truncate -s 2M refused.img", test_dir()), 0);
	assert_int_equal(open_image("refused.img", false, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "cut short"));
	assert_int_equal(run("rm %s/refused.img", test_dir()), 0);
}

static void read_only(void **state)
{
	struct br_fs_new new = { .mode = S_IFREG | 0600 };
	struct br_cow *cow;
	struct br_fs *fs;
	struct stat st;
	char path[512];
	uint64_t ino;
	int fd;

	NEEDS_TOOLS();
	make_image("ro.img", 4096, "", NULL);
	snprintf(path, sizeof(path), "%s/ro.img", test_dir());
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(br_cow_open(fd, 0, (uint64_t)st.st_size, NULL, NULL, NULL, &cow, NULL), 0);
	assert_int_equal(br_extfs_open(cow, false, &fs, NULL), 0);
	assert_int_equal(fs->ops->create(fs, 2, "x", &new, &ino), -EROFS);
	assert_int_equal(fs->ops->unlink(fs, 2, "lost+found"), -EROFS);
	assert_int_equal(fs->ops->commit(fs), 0);
	fs->ops->close(fs);
	br_cow_close(cow);
	close(fd);
	unlink(path);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_and_sparse),
		cmocka_unit_test(times_have_nanoseconds),
		cmocka_unit_test(numbers_are_used_again),
		cmocka_unit_test(a_large_directory),
		cmocka_unit_test(hash_indexed_directories),
		cmocka_unit_test(very_many_names),
		cmocka_unit_test(rename_rules),
		cmocka_unit_test(setgid_directories),
		cmocka_unit_test(the_file_system_is_full),
		cmocka_unit_test(the_host_is_full),
		cmocka_unit_test(killed_while_committing),
		cmocka_unit_test(content_made_elsewhere),
		cmocka_unit_test(unwritten_extents),
		cmocka_unit_test(xattrs_are_kept_and_freed),
		cmocka_unit_test(unsupported_is_refused_by_name),
		cmocka_unit_test(read_only),
	};

	return cmocka_run_group_tests_name("extfs", tests, NULL, NULL);
}
