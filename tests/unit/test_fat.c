/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/fat.h"
#include "tests/unit/shell.h"

BR_DEFINE_CLEANUP(struct br_fat *, br_fat_close);

/*
 * A FAT16 image built by hand, so that it can be broken by hand: 512-byte sectors and
 * clusters, 1 reserved sector, one table of 20 sectors, 64 root entries (4 sectors), clusters
 * from sector 25. Enough clusters (5000) are claimed to be FAT16; the first 64 are there.
 */
enum {
	TABLE = 512,
	ROOT = 21 * 512,
	CLUSTERS = 25 * 512,
	THERE = 64,
};

struct disk {
	uint8_t b[CLUSTERS + THERE * 512];
};

static void set_table(struct disk *d, unsigned cluster, uint16_t next)
{
	br_store_le16(d->b + TABLE + 2 * cluster, next);
}

static uint8_t *cluster(struct disk *d, unsigned n)
{
	return d->b + CLUSTERS + (n - 2) * 512;
}

static void entry(uint8_t *p, const char *name, uint8_t attr, unsigned first, uint32_t size)
{
	memcpy(p, name, 11);
	p[11] = attr;
	br_store_le16(p + 22, 12 << 11 | 30 << 5 | 5);	       /* 12:30:10 */
	br_store_le16(p + 24, (2024 - 1980) << 9 | 2 << 5 | 29); /* 29 February 2024 */
	br_store_le16(p + 26, (uint16_t)first);
	br_store_le32(p + 28, size);
}

/* A.TXT: clusters 2,3,5. DIR (cluster 4) with B.TXT: cluster 6. */
static struct disk *make(void)
{
	struct disk *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	br_store_le16(d->b + 11, 512);
	d->b[13] = 1;
	br_store_le16(d->b + 14, 1);
	d->b[16] = 1;
	br_store_le16(d->b + 17, 64);
	br_store_le16(d->b + 19, 25 + 5000);
	d->b[21] = 0xf8;
	br_store_le16(d->b + 22, 20);
	set_table(d, 2, 3);
	set_table(d, 3, 5);
	set_table(d, 5, 0xffff);
	set_table(d, 4, 0xffff);
	set_table(d, 6, 0xfff8);
	entry(d->b + ROOT, "BOOTFS     ", 0x08, 0, 0);
	entry(d->b + ROOT + 32, "A       TXT", 0x20, 2, 1300);
	entry(d->b + ROOT + 64, "DIR        ", 0x10, 4, 0);
	entry(cluster(d, 4), ".          ", 0x10, 4, 0);
	entry(cluster(d, 4) + 32, "..         ", 0x10, 0, 0);
	entry(cluster(d, 4) + 64, "B       TXT", 0x20, 6, 12);
	for (unsigned i = 0; i < 512; i++) {
		cluster(d, 2)[i] = 'a';
		cluster(d, 3)[i] = 'b';
		cluster(d, 5)[i] = 'c';
	}
	memcpy(cluster(d, 6), "twelve bytes", 12);
	return d;
}

static void a_tree_is_read(void **state)
{
	br_cleanup(br_freep) struct disk *d = make();
	br_cleanup(br_fat_closep) struct br_fat *fat = NULL;
	const struct br_fat_entry *e;

	assert_int_equal(br_fat_open(d, sizeof(*d), &fat, NULL), 0);
	assert_int_equal(br_fat_bits(fat), 16);
	assert_string_equal(br_fat_label(fat), "BOOTFS");
	assert_int_equal(br_fat_damaged(fat, NULL), 0);
	e = br_fat_lookup(fat, "a.txt");
	assert_non_null(e);
	assert_string_equal(e->path, "A.TXT");
	assert_int_equal(e->size, 1300);
	assert_int_equal(e->mtime, 1709209810);
	assert_int_equal(e->n_spans, 2); /* 2 and 3 are neighbours */
	assert_ptr_equal(e->spans[0].data, cluster(d, 2));
	assert_int_equal(e->spans[0].len, 1024);
	assert_ptr_equal(e->spans[1].data, cluster(d, 5));
	assert_int_equal(e->spans[1].len, 276);
	e = br_fat_lookup(fat, "dir/B.txt");
	assert_non_null(e);
	assert_memory_equal(e->spans[0].data, "twelve bytes", 12);
	assert_true(br_fat_lookup(fat, "")->is_dir);
	assert_null(br_fat_lookup(fat, "dir/.."));
	assert_null(br_fat_lookup(fat, "dir/"));
	assert_null(br_fat_lookup(fat, "bootfs"));
	assert_string_equal(br_fat_walk(fat, 0)->path, "A.TXT");
	assert_string_equal(br_fat_walk(fat, 1)->path, "DIR");
	assert_string_equal(br_fat_walk(fat, 2)->path, "DIR/B.TXT");
	assert_null(br_fat_walk(fat, 3));
	assert_string_equal(br_fat_list(fat, "", 1)->path, "DIR");
	assert_null(br_fat_list(fat, "", 2));
	assert_string_equal(br_fat_list(fat, "dir", 0)->path, "DIR/B.TXT");
	assert_null(br_fat_list(fat, "a.txt", 0));
	assert_null(br_fat_list(fat, "nowhere", 0));
}

/* One part of a long name before the short entry at p + 32. */
static void long_part(uint8_t *p, uint8_t seq, const uint16_t units[static 13])
{
	static const uint8_t at[] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
	uint8_t sum = 0;

	memset(p, 0, 32);
	p[0] = seq;
	p[11] = 0x0f;
	for (int i = 0; i < 11; i++)
		sum = (uint8_t)((sum >> 1 | sum << 7) + p[32 + i]);
	p[13] = sum;
	for (int i = 0; i < 13; i++)
		br_store_le16(p + at[i], units[i]);
}

static void long_names_are_checked(void **state)
{
	static const uint16_t units[13] = { 'x', 0xd83e, 0xdd55, 0xd800, 'y', 0, 0xffff, 0xffff, 0xffff, 0xffff,
		0xffff, 0xffff, 0xffff };
	static const struct {
		uint8_t seq;
		int sum; /* added to the checksum */
		const char *name;
	} cases[] = {
		{ 0x41, 0, "x\xf0\x9f\xa5\x95\xef\xbf\xbdy" }, /* a lone surrogate becomes U+FFFD */
		{ 0x41, 1, "C" }, { 0x42, 0, "C" }, { 0x01, 0, "C" }, { 0x55, 0, "C" }, { 0x40, 0, "C" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) struct disk *d = make();
		br_cleanup(br_fat_closep) struct br_fat *fat = NULL;

		entry(cluster(d, 4) + 128, "C          ", 0x20, 0, 0);
		long_part(cluster(d, 4) + 96, cases[i].seq, units);
		cluster(d, 4)[96 + 13] = (uint8_t)(cluster(d, 4)[96 + 13] + cases[i].sum);
		assert_int_equal(br_fat_open(d, sizeof(*d), &fat, NULL), 0);
		assert_string_equal(br_fat_list(fat, "dir", 1)->path + 4, cases[i].name);
	}
}

static void short_names_keep_their_case(void **state)
{
	br_cleanup(br_freep) struct disk *d = make();
	br_cleanup(br_fat_closep) struct br_fat *fat = NULL;

	entry(cluster(d, 4) + 96, "\x05RNE    TXT", 0x20, 0, 0);
	cluster(d, 4)[96 + 12] = 0x18;
	assert_int_equal(br_fat_open(d, sizeof(*d), &fat, NULL), 0);
	assert_string_equal(br_fat_list(fat, "dir", 1)->path, "DIR/\xc3\xa5rne.txt");
}

/* ---- damaged entries ---- */

static void loop_file(struct disk *d)
{
	set_table(d, 3, 2);
}
static void short_file(struct disk *d)
{
	set_table(d, 3, 0xffff);
}
static void free_cluster(struct disk *d)
{
	set_table(d, 3, 0);
}
static void outside(struct disk *d)
{
	set_table(d, 3, THERE + 2);
}
static void huge(struct disk *d)
{
	br_store_le32(d->b + ROOT + 32 + 28, UINT32_MAX);
}
static void shared(struct disk *d)
{
	entry(cluster(d, 4) + 96, "C       TXT", 0x20, 6, 1);
}
static void dir_of_root(struct disk *d)
{
	entry(cluster(d, 4) + 96, "LOOP       ", 0x10, 4, 0);
}
static void slash(struct disk *d)
{
	entry(cluster(d, 4) + 96, "A/B     TXT", 0x20, 0, 0);
}
static void control(struct disk *d)
{
	entry(cluster(d, 4) + 96, "A\x01" "B     TXT", 0x20, 0, 0);
}
static void twice(struct disk *d)
{
	entry(cluster(d, 4) + 96, "B       TXT", 0x20, 0, 0);
}

static void damaged_entries_are_left_out(void **state)
{
	static const struct {
		const char *name;
		void (*damage)(struct disk *d);
		const char *missing, *words;
	} cases[] = {
		{ "loop", loop_file, "a.txt", "A.TXT: its cluster chain loops" },
		{ "short", short_file, "a.txt", "shorter than its size" },
		{ "free", free_cluster, "a.txt", "leaves the partition" },
		{ "outside", outside, "a.txt", "leaves the partition" },
		{ "huge", huge, "a.txt", "shorter than its size" },
		{ "shared", shared, "dir/c.txt", "DIR/C.TXT: its cluster chain loops or is shared" },
		{ "directory in itself", dir_of_root, "dir/loop/b.txt", "DIR/LOOP: its cluster chain loops" },
		{ "slash", slash, "dir/a/b.txt", "not a possible file name" },
		{ "control character", control, "dir/a\x01" "b.txt", "A\\x01B.TXT: not a possible" },
		{ "twice", twice, "none", "twice" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) struct disk *d = make();
		br_cleanup(br_fat_closep) struct br_fat *fat = NULL;
		const char *words;

		cases[i].damage(d);
		assert_int_equal(br_fat_open(d, sizeof(*d), &fat, NULL), 0);
		if (br_fat_damaged(fat, &words) != 1 || !strstr(words, cases[i].words))
			fail_msg("%s: %zu damaged: %s", cases[i].name, br_fat_damaged(fat, NULL), words);
		assert_null(br_fat_lookup(fat, cases[i].missing));
		assert_non_null(br_fat_lookup(fat, "dir/b.txt"));
	}
}

/* ---- a boot sector that lies ---- */

static void senseless_boot_sectors_are_refused(void **state)
{
	static const struct {
		const char *name;
		size_t at;
		unsigned bytes;
		uint32_t value;
		int r;
	} cases[] = {
		{ "sector 0", 11, 2, 0, -EBADMSG },
		{ "sector 513", 11, 2, 513, -EBADMSG },
		{ "sector 8192", 11, 2, 8192, -EBADMSG },
		{ "no cluster", 13, 1, 0, -EBADMSG },
		{ "cluster of 3", 13, 1, 3, -EBADMSG },
		{ "no reserved", 14, 2, 0, -EBADMSG },
		{ "no table", 16, 1, 0, -EBADMSG },
		{ "many tables", 16, 1, 200, -EBADMSG },
		{ "media", 21, 1, 0x55, -EBADMSG },
		{ "table too large", 22, 2, 0xffff, -EBADMSG },
		{ "no sectors", 19, 2, 0, -EBADMSG },
		{ "few sectors", 19, 2, 25, -EBADMSG },
		{ "many reserved", 14, 2, 0xffff, -EBADMSG },
		{ "exfat", 3, 4, 0x41465845, -ENOTSUP },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) struct disk *d = make();
		br_cleanup(br_fat_closep) struct br_fat *fat = NULL;
		struct br_error err = BR_ERROR_NULL;

		memcpy(d->b + 7, "T   ", 4);
		for (unsigned k = 0; k < cases[i].bytes; k++)
			d->b[cases[i].at + k] = (uint8_t)(cases[i].value >> (8 * k));
		if (br_fat_open(d, sizeof(*d), &fat, &err) != cases[i].r || !err.text[0])
			fail_msg("%s: %s", cases[i].name, err.text);
	}
}

static void every_length_is_safe(void **state)
{
	br_cleanup(br_freep) struct disk *d = make();

	for (size_t n = 0; n <= sizeof(*d); n += n < 600 ? 1 : 97) {
		br_cleanup(br_freep) void *exact = malloc(n ? n : 1);
		br_cleanup(br_fat_closep) struct br_fat *fat = NULL;

		memcpy(exact, d, n);
		(void)br_fat_open(exact, n, &fat, NULL);
	}
}

/* ---- file systems made by dosfstools and mtools ---- */

static const struct made {
	const char *options;
	unsigned kib, bits;
} made[] = {
	{ "-F 12", 1024, 12 },
	{ "-F 16 -s 1", 8192, 16 },
	{ "-F 32 -s 1", 40000, 32 },
	{ "-F 32 -S 4096 -s 1", 280000, 32 },
	{ "-F 16 -s 8 -f 1", 65536, 16 },
	{ "-F 32 -s 1", 524288, 32 },
};

static void check_content(const struct br_fat *fat, const char *path, const char *text)
{
	const struct br_fat_entry *e = br_fat_lookup(fat, path);
	size_t at = 0;

	if (!e)
		fail_msg("%s is missing", path);
	assert_int_equal(e->size, strlen(text));
	for (size_t i = 0; i < e->n_spans; i++) {
		assert_memory_equal(e->spans[i].data, text + at, e->spans[i].len);
		at += e->spans[i].len;
	}
	assert_int_equal(at, e->size);
}

static void real_file_systems_are_read(void **state)
{
	static const char *const names[] = { "config.txt", "UPPER.TXT", "A long name with spaces.dtb",
		"bcm2710-rpi-3-b-plus.dtb", "M\xc3\xb6hre \xe7\x89\x9b.txt", "overlays/vc4-kms-v3d-pi5.dtbo" };
	const char *dir = test_dir();

	test_needs("mkfs.fat mcopy");
	assert_int_equal(test_sh("mkdir -p '%s/t/overlays'", dir), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++) {
		br_cleanup(br_freep) char *path = br_asprintf("%s/t/%s", dir, names[i]);

		assert_int_equal(br_file_write(path, names[i], strlen(names[i]), 0644, NULL), 0);
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(made); i++) {
		br_cleanup(br_freep) char *image = br_asprintf("%s/fs%zu", dir, i);
		br_cleanup(br_closep) int fd = -1;
		size_t len = (size_t)made[i].kib * 1024;
		void *data;
		br_cleanup(br_fat_closep) struct br_fat *fat = NULL;
		struct br_error err = BR_ERROR_NULL;

		assert_int_equal(test_sh("mkfs.fat -n TESTFS %s -C '%s' %u >/dev/null 2>&1",
					 made[i].options, image, made[i].kib), 0);
		assert_int_equal(test_sh("LC_ALL=C.UTF-8 MTOOLS_SKIP_CHECK=1 mcopy -s -i '%s' '%s'/t/* ::/", image, dir), 0);
		fd = open(image, O_RDONLY | O_CLOEXEC);
		data = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(data, MAP_FAILED);
		if (br_fat_open(data, len, &fat, &err) < 0)
			fail_msg("%s: %s", made[i].options, err.text);
		assert_int_equal(br_fat_bits(fat), made[i].bits);
		assert_int_equal(br_fat_damaged(fat, NULL), 0);
		assert_string_equal(br_fat_label(fat), "TESTFS");
		for (size_t k = 0; k < BR_ARRAY_SIZE(names); k++)
			check_content(fat, names[k], names[k]);
		assert_string_equal(br_fat_lookup(fat, "upper.txt")->path, "UPPER.TXT");
		unlink(image);
		munmap(data, len);
	}
}

static int remove_dir(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_is_read),
		cmocka_unit_test(long_names_are_checked),
		cmocka_unit_test(short_names_keep_their_case),
		cmocka_unit_test(damaged_entries_are_left_out),
		cmocka_unit_test(senseless_boot_sectors_are_refused),
		cmocka_unit_test(every_length_is_safe),
		cmocka_unit_test(real_file_systems_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, remove_dir);
}
