/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen layers: the flat map, freezing a disk (also with a death at every step), images of layers, names, snapshots. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/blocks.h"
#include "store/cow.h"
#include "store/diff.h"
#include "tests/unit/storelab.h"

/* ---- the world stops at the Nth step: the calls that make something last go through here ---- */

static int crash_at; /* 0: never */

static void step(void)
{
	if (crash_at && !--crash_at)
		_exit(99);
}

int link(const char *a, const char *b)
{
	step();
	return (int)syscall(SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0);
}

int rename(const char *a, const char *b)
{
	step();
	return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 0);
}

int unlink(const char *path)
{
	step();
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
	step();
	return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int fsync(int fd)
{
	step();
	return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	step();
	return (int)syscall(SYS_fdatasync, fd);
}

/* ---- the flat map ---- */

#define N_BLOCKS 3000u
#define N_LAYERS 6

static void random_layer(struct br_blocks *below, const char *where, uint8_t *model, unsigned n, uint8_t id[16])
{
	struct br_error err = BR_ERROR_NULL;
	struct br_cow *cow;

	memset(id, 'a' + (int)n, 16);
	assert_int_equal(br_mkdir_all(where, 0700, NULL), 0);
	if (br_cow_open_on(below, (uint64_t)N_BLOCKS * BR_COW_BLOCK, where, id, NULL, &cow, &err) < 0)
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < 200; i++) {
		uint32_t block = (uint32_t)rand() % N_BLOCKS, len = 1 + (uint32_t)rand() % 8;
		uint8_t buf[8 * BR_COW_BLOCK];

		len = len < N_BLOCKS - block ? len : N_BLOCKS - block;
		memset(buf, rand(), sizeof(buf));
		assert_int_equal(br_cow_write_data(cow, (uint64_t)block * BR_COW_BLOCK, buf, len * BR_COW_BLOCK), 0);
		memcpy(model + (size_t)block * BR_COW_BLOCK, buf, len * BR_COW_BLOCK);
	}
	assert_int_equal(br_cow_commit(cow), 0);
	br_cow_close(cow);
}

/* What locate() says leads to the same bytes. */
static void assert_located(const struct br_blocks *b, const uint8_t *model)
{
	uint64_t at, size = (uint64_t)N_BLOCKS * BR_COW_BLOCK;
	static uint8_t buf[1 << 20];

	for (uint64_t o = 0; o < size;) {
		int fd;
		size_t n = br_blocks_locate(b, o, sizeof(buf), &fd, &at);

		assert_true(n > 0 && n <= size - o);
		if (fd >= 0)
			assert_int_equal(br_pread_all(fd, buf, n, at), 0);
		else
			memset(buf, 0, n);
		assert_memory_equal(buf, model + o, n);
		o += n;
	}
}

static void layers_merge_into_one_map(void **state)
{
	const size_t size = (size_t)N_BLOCKS * BR_COW_BLOCK, half = size / 2 - 1000;
	br_cleanup(br_freep) uint8_t *model = calloc(1, size), *got = malloc(size);
	br_cleanup(br_freep) char *base = br_path_join(dir, "base");
	struct br_error err = BR_ERROR_NULL;
	struct br_blocks *b[N_LAYERS + 1];
	uint64_t start, end;
	int fd, at;

	srand(7);
	for (size_t i = 0; i < half; i++)
		model[i] = (uint8_t)rand();
	assert_int_equal(br_file_write(base, model, half, 0600, NULL), 0);
	fd = open(base, O_RDONLY);
	assert_true(fd >= 0);
	/* the base is smaller than its layers, and its end is not that of a block */
	assert_int_equal(br_blocks_new(fd, 0, half, &b[0], &err), 0);
	for (unsigned i = 0; i < N_LAYERS; i++) {
		br_cleanup(br_freep) char *where = br_asprintf("%s/l%u", dir, i);
		uint8_t id[16];

		random_layer(b[i], where, model, i, id);
		if (br_blocks_over(b[i], where, id, size, &b[i + 1], &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(br_blocks_depth(b[i + 1]), i + 1);
		assert_int_equal(br_blocks_read(b[i + 1], 0, got, size), 0);
		assert_memory_equal(got, model, size);
		assert_located(b[i + 1], model);
		id[0]++;
		assert_int_equal(br_blocks_over(b[i], where, id, size, &b[i], &err), -ESTALE);
	}
	for (uint64_t k = 0; k < N_BLOCKS; k++) {
		assert_true(br_blocks_same(b[3], b[3], k));
		if (br_blocks_same(b[2], b[N_LAYERS], k)) {
			uint8_t x[BR_COW_BLOCK];

			assert_int_equal(br_blocks_read(b[2], k * BR_COW_BLOCK, x, sizeof(x)), 0);
			assert_memory_equal(x, model + k * BR_COW_BLOCK, sizeof(x));
		}
	}
	assert_int_equal(br_blocks_read(b[N_LAYERS], size - 1, got, 2), -EIO);
	assert_int_equal(br_blocks_locate(b[N_LAYERS], size, 1, &at, &start), 0);
	assert_true(br_blocks_next_data(b[N_LAYERS], 0, &start, &end));
	/* what is below stays as long as something lies on it */
	for (unsigned i = 0; i < N_LAYERS; i++)
		br_blocks_unref(b[i]);
	assert_int_equal(br_blocks_read(b[N_LAYERS], 0, got, size), 0);
	assert_memory_equal(got, model, size);
	br_blocks_unref(b[N_LAYERS]);
	close(fd);
}

/* ---- freezing ---- */

static void a_frozen_disk_goes_on(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct br_disk_usage usage;
	struct br_disk *disk;
	struct br_fs *fs;
	char id[33], again[33];
	uint8_t uuid[16];

	test_needs(TOOLS);
	image = image_open("card");
	disk = disk_open(image, disk_dir);
	freeze(disk, id);
	assert_string_equal(id, ""); /* nothing was written */
	memcpy(uuid, br_disk_uuid(disk), 16);
	fs = br_disk_fs(disk);
	write_file(fs, "one", "first");
	freeze(disk, id);
	assert_int_equal(strlen(id), 32);
	freeze(disk, again);
	assert_string_equal(id, again);
	assert_ptr_equal(fs, br_disk_fs(disk));
	assert_string_equal(read_file(fs, "/one"), "first");
	write_file(fs, "two", "second");
	write_file(fs, "one", "FIRST");
	assert_clean(disk);
	freeze(disk, again);
	assert_string_not_equal(id, again);
	write_file(fs, "three", "third");
	br_disk_usage(disk, &usage);
	assert_int_equal(usage.layers, 2);
	assert_clean(disk);
	br_disk_close(disk);

	disk = disk_open(image, disk_dir);
	fs = br_disk_fs(disk);
	assert_memory_equal(br_disk_uuid(disk), uuid, 16); /* handles stay good */
	assert_string_equal(read_file(fs, "/one"), "FIRST");
	assert_string_equal(read_file(fs, "/two"), "second");
	assert_string_equal(read_file(fs, "/three"), "third");
	assert_clean(disk);
	br_disk_close(disk);
	assert_int_equal(count("layers/*"), 2);
	assert_int_equal(gc(false), 0);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	assert_int_equal(gc(true), 2);
	assert_int_equal(count("layers/*"), 2);
	assert_int_equal(gc(false), 2);
	assert_int_equal(count("layers/*"), 0);
}

/* In a child: dies at a step, or gets through (status 0). */
static int freeze_until(struct br_image *image, int at, bool snapshot)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct br_disk *disk = disk_open(image, disk_dir);
		char id[33];

		write_file(br_disk_fs(disk), "new", "not acknowledged");
		crash_at = at;
		if (snapshot ? br_disk_snapshot(disk, NULL, NULL, NULL) : br_disk_freeze(disk, id, NULL))
			_exit(1);
		write_file(br_disk_fs(disk), "after", "gone with the process");
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_death_at_any_step_loses_nothing(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	int status = 99, n;

	test_needs(TOOLS);
	image = image_open("card");
	for (n = 1; status == 99; n++) {
		struct br_disk *disk = disk_open(image, disk_dir);
		const char *text;

		write_file(br_disk_fs(disk), "old", "acknowledged");
		assert_int_equal(br_disk_fs(disk)->ops->commit(br_disk_fs(disk)), 0);
		br_disk_close(disk);
		status = freeze_until(image, n, n & 1);
		if (status != 99 && status != 0)
			fail_msg("step %d: status %d", n, status);
		if (n % 3 == 0)
			gc(false); /* must never take what the disk needs */
		disk = disk_open(image, disk_dir);
		assert_string_equal(read_file(br_disk_fs(disk), "/old"), "acknowledged");
		text = read_file(br_disk_fs(disk), "/new");
		assert_true(!strcmp(text, "not acknowledged") || !strcmp(text, "(missing)"));
		assert_string_equal(read_file(br_disk_fs(disk), "/after"), "(missing)");
		write_file(br_disk_fs(disk), "more", "and on it goes");
		assert_clean(disk);
		br_disk_close(disk);
		disk = disk_open(image, disk_dir);
		assert_string_equal(read_file(br_disk_fs(disk), "/more"), "and on it goes");
		assert_string_equal(read_file(br_disk_fs(disk), "/old"), "acknowledged");
		br_disk_close(disk);
		if (n % 4 == 0)
			assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	}
	assert_true(n > 12);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	gc(false);
	assert_int_equal(count("layers/*"), 0);
}

/* ---- freezing beside commits ---- */

struct busy {
	struct br_fs *fs;
	pthread_mutex_t lock;
	atomic_bool stop;
	int r;
};

/* As the server does: the commit's waiting is done without the lock. */
static void *write_and_commit(void *ctx)
{
	struct busy *b = ctx;

	for (unsigned i = 0; !b->stop && !b->r; i++) {
		char name[20];

		snprintf(name, sizeof(name), "w%u", i % 50);
		pthread_mutex_lock(&b->lock);
		write_file(b->fs, name, "some text");
		pthread_mutex_unlock(&b->lock);
		b->r = br_fs_commit(b->fs, &b->lock);
	}
	return NULL;
}

static void commits_under_way_are_waited_for(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct busy b = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct br_disk *disk;
	pthread_t t[3];
	char id[33];

	test_needs(TOOLS);
	image = image_open("card");
	disk = disk_open(image, disk_dir);
	b.fs = br_disk_fs(disk);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, write_and_commit, &b), 0);
	for (int i = 0; i < 40; i++) {
		pthread_mutex_lock(&b.lock);
		freeze(disk, id);
		pthread_mutex_unlock(&b.lock);
		usleep(1000 * (useconds_t)(i % 7));
	}
	b.stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(b.r, 0);
	assert_clean(disk);
	br_disk_close(disk);
	disk = disk_open(image, disk_dir);
	assert_string_equal(read_file(br_disk_fs(disk), "/w1"), "some text");
	assert_clean(disk);
	br_disk_close(disk);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	gc(false);
}

/* ---- images ---- */

static void derive(struct br_disk *disk, const char *name, struct br_image_info *ret)
{
	struct br_error err = BR_ERROR_NULL;
	char id[33];

	freeze(disk, id);
	if (br_store_derive(store, br_disk_image(disk), id, name, "disk of board pi", false, ret, &err) < 0)
		fail_msg("%s", err.text);
}

static void a_disk_becomes_an_image(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *card = NULL, *saved = NULL, *second = NULL;
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info)), *info2 = malloc(sizeof(*info2));
	struct br_error err = BR_ERROR_NULL;
	struct br_disk *disk, *other;
	struct br_fs *fs;

	test_needs(TOOLS);
	card = image_open("card");
	disk = disk_open(card, disk_dir);
	write_file(br_disk_fs(disk), "a", "of the first");
	derive(disk, "card:v1", info);
	assert_string_equal(info->name, "card:v1");
	assert_string_equal(info->parent, "card");
	assert_string_equal(info->parent_sha256, br_image_info(card)->sha256);
	assert_int_equal(info->depth, 1);
	assert_true(info->layer_bytes >= 4096);
	assert_string_not_equal(info->sha256, info->parent_sha256);
	write_file(br_disk_fs(disk), "a", "changed later");

	saved = image_open("card:v1");
	assert_int_equal(br_image_fs(saved, &fs, &err), 0);
	assert_string_equal(read_file(fs, "/a"), "of the first");
	assert_string_equal(read_file(fs, "/etc/motd"), "hello\n");
	fs->ops->close(fs);
	other = disk_open(saved, other_dir);
	assert_string_equal(read_file(br_disk_fs(other), "/a"), "of the first");
	write_file(br_disk_fs(other), "b", "of the second");
	assert_clean(other);
	derive(other, "third", info2);
	assert_string_equal(info2->parent, "card:v1");
	assert_string_equal(info2->base, br_image_info(card)->sha256);
	assert_int_equal(info2->depth, 2);
	br_disk_close(other);
	other = disk_open(saved, other_dir);
	assert_string_equal(read_file(br_disk_fs(other), "/b"), "of the second");
	br_disk_close(other);
	assert_string_equal(read_file(br_disk_fs(disk), "/a"), "changed later");
	br_disk_close(disk);

	second = image_open("third");
	assert_int_equal(br_image_fs(second, &fs, &err), 0);
	assert_string_equal(read_file(fs, "/b"), "of the second");
	fs->ops->close(fs);
	br_image_unref(br_take(second));

	/* what is needed stays */
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	assert_int_equal(br_remove_tree(other_dir, NULL), 0);
	gc(false);
	br_image_unref(br_take(saved));
	br_image_unref(br_take(card));
	assert_int_equal(br_store_remove(store, "card", &err), -EBUSY);
	assert_non_null(strstr(err.text, "parent of card:v1"));
	assert_int_equal(br_store_remove(store, "card:v1", &err), -EBUSY);
	assert_non_null(strstr(err.text, "third"));
	assert_int_equal(br_store_remove(store, "third", &err), 0);
	assert_int_equal(gc(false), 1);
	assert_int_equal(br_store_remove(store, "card:v1", &err), 0);
	assert_int_equal(gc(false), 1);
	assert_int_equal(count("layers/*"), 0);
}

static void names_have_tags(void **state)
{
	static const struct {
		const char *name, *canon;
	} cases[] = { { "a", "a" }, { "a:latest", "a" }, { "a:b", "a:b" }, { "a:", NULL }, { ":a", NULL }, { "a:b:c", NULL },
		{ "a/b", NULL }, { "a:.b", NULL }, { "A", NULL }, { "", NULL }, { "latest:latest", "latest" },
		{ "a:12345678901234567890123456789012", "a:12345678901234567890123456789012" },
		{ "a:123456789012345678901234567890123", NULL } };
	br_cleanup(br_image_unrefp) struct br_image *a = NULL, *b = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct stat x, y;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		char canon[BR_IMAGE_NAME_MAX + 1] = "";

		assert_int_equal(br_image_name_canon(cases[i].name, canon, NULL), cases[i].canon ? 0 : -EINVAL);
		if (cases[i].canon)
			assert_string_equal(canon, cases[i].canon);
	}
	test_needs(TOOLS);
	assert_int_equal(br_store_tag(store, "card", "lab:2026.1", false, &err), 0);
	assert_int_equal(br_store_tag(store, "card:latest", "lab:2026.1", false, &err), 1);
	assert_int_equal(br_store_tag(store, "card", "card:latest", false, &err), 1);
	a = image_open("card:latest");
	b = image_open("lab:2026.1");
	assert_string_equal(br_image_info(a)->sha256, br_image_info(b)->sha256);
	assert_true(!fstat(br_image_fd(a), &x) && !fstat(br_image_fd(b), &y));
	assert_int_equal(x.st_ino, y.st_ino); /* shared */
	br_image_unref(br_take(b));
	/* the other one being open does not keep this name */
	assert_int_equal(br_store_remove(store, "lab:2026.1", &err), 0);
	assert_int_equal(br_store_remove(store, "card", &err), -EBUSY);
	assert_int_equal(br_store_tag(store, "nope", "x", false, &err), -ENOENT);
	assert_int_equal(br_store_tag(store, "card", "X", false, &err), -EINVAL);
}

/* ---- snapshots ---- */

static void snapshots_lead_back(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	const struct br_disk_snapshot *list;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk_snapshot s;
	struct br_disk *disk;
	uint8_t uuid[16];
	size_t n;

	test_needs(TOOLS);
	image = image_open("card");
	disk = disk_open(image, disk_dir);
	assert_int_equal(br_disk_snapshot(disk, "empty", &s, &err), 0);
	assert_string_equal(s.layer, "");
	write_file(br_disk_fs(disk), "f", "one");
	assert_int_equal(br_disk_snapshot(disk, NULL, &s, &err), 0);
	assert_string_equal(s.name, "1");
	write_file(br_disk_fs(disk), "f", "two");
	assert_int_equal(br_disk_snapshot(disk, "1", &s, &err), -EEXIST);
	assert_int_equal(br_disk_snapshot(disk, "a/b", &s, &err), -EINVAL);
	list = br_disk_snapshots(disk, &n);
	assert_int_equal(n, 2);
	assert_string_equal(list[1].name, "1");
	memcpy(uuid, br_disk_uuid(disk), 16);
	assert_int_equal(br_disk_rollback(image, disk_dir, "1", &err), -EBUSY); /* it is open */
	br_disk_close(disk);
	assert_int_equal(br_disk_count_snapshots(disk_dir), 2);

	assert_int_equal(br_disk_rollback(image, disk_dir, "none", &err), -ENOENT);
	assert_int_equal(br_disk_rollback(image, disk_dir, "1", &err), 0);
	disk = disk_open(image, disk_dir);
	assert_string_equal(read_file(br_disk_fs(disk), "/f"), "one");
	assert_memory_not_equal(br_disk_uuid(disk), uuid, 16); /* handles are stale */
	assert_clean(disk);
	write_file(br_disk_fs(disk), "f", "six");
	br_disk_close(disk);
	assert_int_equal(br_disk_rollback(image, disk_dir, "empty", &err), 0);
	disk = disk_open(image, disk_dir);
	assert_string_equal(read_file(br_disk_fs(disk), "/f"), "(missing)");
	assert_clean(disk);
	gc(false);
	assert_int_equal(br_disk_snapshot_remove(disk, "empty", &err), 0);
	assert_int_equal(br_disk_snapshot_remove(disk, "empty", &err), -ENOENT);
	br_disk_close(disk);
	assert_int_equal(br_disk_rollback(image, disk_dir, "1", &err), 0);
	disk = disk_open(image, disk_dir);
	assert_string_equal(read_file(br_disk_fs(disk), "/f"), "one");
	br_disk_close(disk);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	gc(false);
	assert_int_equal(count("layers/*"), 0);
}

/* ---- growing ---- */

static void fill(struct br_fs *fs, const char *name, uint64_t bytes)
{
	static uint8_t buf[1 << 20];
	struct br_fs_new new = { .mode = S_IFREG | 0644 };
	uint64_t ino;

	memset(buf, 0x5a, sizeof(buf));
	assert_int_equal(fs->ops->create(fs, fs->ops->root(fs), name, &new, &ino), 0);
	for (uint64_t at = 0; at < bytes; at += sizeof(buf)) {
		int r = fs->ops->write(fs, ino, at, buf, sizeof(buf));

		if (r < 0)
			fail_msg("%s: at %llu MiB: %d", name, (unsigned long long)(at >> 20), r);
	}
	assert_int_equal(fs->ops->commit(fs), 0);
}

/* An image whose ext4 was made with these options. */
static void import_made_with(const char *name, const char *options, unsigned mib)
{
	struct br_import_options opt = { .quiet = true, .name = name, .replace = true };
	br_cleanup(br_freep) char *path = br_path_join(dir, "made.img");
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(test_sh("cd '%s'; export PATH=$PATH:/usr/sbin:/sbin; rm -f made.img; truncate -s %uM made.img\n"
				 "printf 'label: dos\\nstart=2048,size=8192,type=c\\nstart=16384,type=83\\n' | sfdisk -q made.img 2>/dev/null\n"
				 "mkfs.fat -F 16 -s 1 --offset 2048 made.img 4096 >/dev/null 2>&1\n"
				 "mke2fs -q -F -t ext4 %s -d root -E offset=8388608 made.img %uM 2>/dev/null",
				 dir, mib + 8, options, mib), 0);
	if (br_store_import(store, path, &opt, NULL, &err) < 0)
		fail_msg("%s: %s", options, err.text);
}

/* The copy of the superblock in the second group is there and sound. */
static void assert_backup(struct br_disk *disk, const char *options)
{
	bool small_blocks = strstr(options, "-b 1024");
	br_cleanup(br_freep) char *path = br_path_join(dir, "backup.img");
	struct br_error err = BR_ERROR_NULL;

	if (strstr(options, "uninit_bg")) /* mke2fs chooses other sizes of groups then */
		return;
	unlink(path);
	if (br_disk_export(disk, path, true, &err) < 0)
		fail_msg("%s", err.text);
	if (test_sh("dumpe2fs -h -o superblock=%s -o blocksize=%s %s >%s.log 2>&1 || { cat %s.log; exit 1; }",
		    small_blocks ? "8193" : "32768", small_blocks ? "1024" : "4096", path, path, path))
		fail_msg("%s: no copy of the superblock", options);
	unlink(path);
}

static void grow_one(const char *options, unsigned mib, uint64_t to, bool fails)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk_usage usage;
	struct br_fs_statfs before, after;
	struct br_disk *disk;
	uint8_t uuid[16];
	int r, layers = count("layers/*");

	import_made_with("made", options, mib);
	image = image_open("made");
	disk = disk_open(image, disk_dir);
	memcpy(uuid, br_disk_uuid(disk), 16);
	write_file(br_disk_fs(disk), "old", "from before");
	assert_int_equal(br_disk_fs(disk)->ops->statfs(br_disk_fs(disk), &before), 0);
	br_disk_close(disk);
	r = br_disk_grow(image, disk_dir, to, &err);
	if (fails ? r != -ENOTSUP : r < 0)
		fail_msg("%s: %d %s", options, r, err.text);
	assert_int_equal(count("layers/*"), layers); /* else each boot would add one */
	disk = disk_open(image, disk_dir);
	assert_memory_equal(br_disk_uuid(disk), uuid, 16);
	assert_string_equal(read_file(br_disk_fs(disk), "/old"), "from before");
	if (!fails) {
		br_disk_usage(disk, &usage);
		assert_int_equal(usage.base_bytes, to);
		assert_true(usage.changed_bytes < 8 << 20); /* descriptors and their copies */
		assert_int_equal(br_disk_fs(disk)->ops->statfs(br_disk_fs(disk), &after), 0);
		assert_true(after.free_bytes > before.free_bytes + (to - ((uint64_t)mib << 20)) / 100 * 90);
		assert_true(after.free_files >= before.free_files);
		assert_backup(disk, options);
	}
	assert_clean(disk);
	/* more than there was, where that does not take long */
	fill(br_disk_fs(disk), "large", fails || mib > 20 ? 4 << 20 : ((uint64_t)mib << 20) + (10 << 20));
	write_file(br_disk_fs(disk), "another", "inode");
	assert_clean(disk);
	br_disk_close(disk);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
}

static void a_disk_grows(void **state)
{
	static const struct {
		const char *options;
		unsigned mib;
		uint64_t to;
		bool fails;
	} cases[] = {
		{ "-b 4096", 16, 300ull << 20, false },
		{ "-b 4096", 16, 16ull << 30, false },
		{ "-b 4096 -O 64bit,metadata_csum", 200, 40ull << 30, false }, /* descriptor blocks out of the reserve */
		{ "-b 4096 -O ^64bit,^metadata_csum,uninit_bg", 130, 20ull << 30, false },
		{ "-b 4096 -O ^metadata_csum,^uninit_bg,^flex_bg", 130, 1ull << 30, false },
		{ "-b 4096 -O ^resize_inode", 16, 1ull << 30, false },
		{ "-b 4096 -O ^resize_inode", 16, 40ull << 30, true },
		{ "-b 1024 -O ^64bit", 16, 500ull << 20, false },
		{ "-b 1024", 20, (500ull << 20) + 12288, false },
		{ "-b 4096 -O ^resize_inode,meta_bg", 16, 1ull << 30, true },
		{ "-b 4096 -G 4", 300, 2ull << 30, false },
	};

	test_needs(TOOLS);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		grow_one(cases[i].options, cases[i].mib, cases[i].to, cases[i].fails);
	gc(false);
}

static void a_grown_disk_is_saved_and_rolled_back(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *card = NULL, *saved = NULL;
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	struct br_error err = BR_ERROR_NULL;
	struct br_disk_usage usage;
	struct br_disk *disk;

	test_needs(TOOLS);
	card = image_open("card");
	disk = disk_open(card, disk_dir);
	write_file(br_disk_fs(disk), "small", "x");
	assert_int_equal(br_disk_snapshot(disk, "small", NULL, &err), 0);
	br_disk_close(disk);
	assert_int_equal(br_disk_grow(card, disk_dir, 1ull << 30, &err), 0);
	assert_int_equal(br_disk_grow(card, disk_dir, 1ull << 29, &err), 0); /* never smaller */
	disk = disk_open(card, disk_dir);
	fill(br_disk_fs(disk), "large", 30 << 20);
	derive(disk, "grown", info);
	write_file(br_disk_fs(disk), "more", "y");
	assert_clean(disk);
	br_disk_close(disk);
	saved = image_open("grown");
	disk = disk_open(saved, other_dir);
	br_disk_usage(disk, &usage);
	assert_int_equal(usage.base_bytes, 1ull << 30);
	fill(br_disk_fs(disk), "second", 30 << 20);
	assert_clean(disk);
	br_disk_close(disk);
	assert_int_equal(br_disk_rollback(card, disk_dir, "small", &err), 0);
	disk = disk_open(card, disk_dir);
	br_disk_usage(disk, &usage);
	assert_int_equal(usage.base_bytes, 16 << 20);
	assert_string_equal(read_file(br_disk_fs(disk), "/small"), "x");
	assert_string_equal(read_file(br_disk_fs(disk), "/more"), "(missing)");
	assert_clean(disk);
	br_disk_close(disk);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	assert_int_equal(br_remove_tree(other_dir, NULL), 0);
	br_image_unref(br_take(saved));
	assert_int_equal(br_store_remove(store, "grown", &err), 0);
	gc(false);
	assert_int_equal(count("layers/*"), 0);
}

static void damage_is_named(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	br_cleanup(br_freep) char *layer = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk *disk, *again;
	char id[33];

	test_needs(TOOLS);
	image = image_open("card");
	disk = disk_open(image, disk_dir);
	write_file(br_disk_fs(disk), "f", "one");
	freeze(disk, id);
	br_disk_close(disk);
	layer = br_asprintf("%s/state/layers/%s", dir, id);
	assert_int_equal(test_sh("mv %s/layer.json %s/x; echo '{' >%s/layer.json", layer, layer, layer), 0);
	assert_int_equal(br_disk_open(image, disk_dir, &again, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, id));
	assert_int_equal(test_sh("mv %s/x %s/layer.json; truncate -s 100 %s/map", layer, layer, layer), 0);
	assert_int_equal(br_disk_open(image, disk_dir, &again, &err), -EUCLEAN);
	/* cut where a record ends: the header alone is a whole map, too */
	assert_int_equal(test_sh("truncate -s 64 %s/map", layer), 0);
	assert_int_equal(br_disk_open(image, disk_dir, &again, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "the end is missing"));
	assert_int_equal(test_sh("rm -r %s", layer), 0);
	assert_int_equal(br_disk_open(image, disk_dir, &again, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "missing"));
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
}

static int no_difference(void *ctx, const struct br_diff *d)
{
	++*(unsigned *)ctx;
	return 0;
}

/* A directory that names itself twice: 2^512 paths within the greatest depth. */
static void a_tree_that_leads_into_itself_is_refused(void **state)
{
	struct br_import_options opt = { .quiet = true, .name = "loop" };
	br_cleanup(br_image_unrefp) struct br_image *card = NULL, *loop = NULL;
	br_cleanup(br_freep) char *path = br_path_join(dir, "loop.img");
	struct br_error err = BR_ERROR_NULL;
	unsigned n = 0;

	test_needs(TOOLS " debugfs");
	assert_int_equal(test_sh("cd '%s'; export PATH=$PATH:/usr/sbin:/sbin; cp card.img loop.img; dd if=card.img of=fs bs=1M skip=8 2>/dev/null\n"
				 "printf 'mkdir a\nlink a a/x\nlink a a/y\n' | debugfs -w fs >/dev/null 2>&1\n"
				 "dd if=fs of=loop.img bs=1M seek=8 conv=notrunc 2>/dev/null", dir), 0);
	if (br_store_import(store, path, &opt, NULL, &err) < 0)
		fail_msg("%s", err.text);
	card = image_open("card");
	loop = image_open("loop");
	assert_int_equal(br_image_diff(card, loop, no_difference, &n, &err), -ELOOP);
	assert_non_null(strstr(err.text, "/a/"));
	assert_true(n < 10);
	br_image_unref(br_take(loop));
	assert_int_equal(br_store_remove(store, "loop", &err), 0);
}

/* What lies below a layer is unknown while that cannot be read. */
static void a_layer_that_cannot_be_read_keeps_all(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	br_cleanup(br_freep) char *layer = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk *disk;
	char id[33];

	test_needs(TOOLS);
	image = image_open("card");
	disk = disk_open(image, disk_dir);
	for (int i = 0; i < 3; i++) {
		write_file(br_disk_fs(disk), "f", i & 1 ? "odd" : "even");
		freeze(disk, id);
		if (i == 1)
			layer = br_asprintf("%s/state/layers/%s", dir, id);
	}
	br_disk_close(disk);
	gc(false); /* of tests before */
	assert_int_equal(count("layers/*"), 3);
	assert_int_equal(test_sh("mv %s/layer.json %s/x; echo '{' >%s/layer.json", layer, layer, layer), 0);
	assert_int_equal(br_store_gc(store, false, NULL, NULL, &err), -EBADMSG);
	assert_non_null(strstr(err.text, strrchr(layer, '/') + 1));
	assert_int_equal(count("layers/*"), 3);
	assert_int_equal(test_sh("mv %s/x %s/layer.json", layer, layer), 0);
	assert_int_equal(gc(false), 0);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	assert_int_equal(gc(false), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layers_merge_into_one_map),
		cmocka_unit_test(a_frozen_disk_goes_on),
		cmocka_unit_test(a_death_at_any_step_loses_nothing),
		cmocka_unit_test(commits_under_way_are_waited_for),
		cmocka_unit_test(a_disk_becomes_an_image),
		cmocka_unit_test(names_have_tags),
		cmocka_unit_test(snapshots_lead_back),
		cmocka_unit_test(a_disk_grows),
		cmocka_unit_test(a_grown_disk_is_saved_and_rolled_back),
		cmocka_unit_test(damage_is_named),
		cmocka_unit_test(a_layer_that_cannot_be_read_keeps_all),
		cmocka_unit_test(a_tree_that_leads_into_itself_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
