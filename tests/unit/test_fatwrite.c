/* SPDX-License-Identifier: Apache-2.0 */
/* FAT images made in memory: what our own reader, fsck.fat and mtools find in them. */
#include "tests/unit/test.h"

#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/fat.h"
#include "store/fatname.h"
#include "store/fatwrite.h"

BR_DEFINE_CLEANUP(struct br_fatimage *, br_fatimage_free);
BR_DEFINE_CLEANUP(struct br_fat *, br_fat_close);

static uint8_t bytes[8 << 20];

struct list {
	struct br_fatimage_entry e[2000];
	struct br_span s[2000][2];
	char names[2000][64];
	size_t n;
};

/* Content in two pieces, taken from somewhere in 'bytes'. */
static void add(struct list *l, const char *path, size_t size)
{
	size_t i = l->n++, half = size / 3;
	const uint8_t *p = bytes + (i * 977) % 4096;

	assert_true(i < BR_ARRAY_SIZE(l->e) && size + 4096 <= sizeof(bytes));
	l->s[i][0] = (struct br_span){ p, half };
	l->s[i][1] = (struct br_span){ p + half, size - half };
	l->e[i] = (struct br_fatimage_entry){ path, l->s[i], 2, size };
}

static int fill_bytes(void **state)
{
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
	return 0;
}

static uint8_t *whole(const struct br_fatimage *img)
{
	uint8_t *data = malloc(br_fatimage_size(img));

	assert_non_null(data);
	assert_int_equal(br_fatimage_read(img, 0, data, br_fatimage_size(img)), br_fatimage_size(img));
	return data;
}

static void assert_same(const struct br_fat_entry *e, const struct br_fatimage_entry *want)
{
	uint64_t at = 0;
	const uint8_t *p = want->spans[0].data; /* its pieces lie together */

	assert_non_null(e);
	assert_string_equal(e->path, want->path);
	assert_int_equal(e->size, want->size);
	for (size_t i = 0; i < e->n_spans; i++) {
		assert_memory_equal(e->spans[i].data, p + at, e->spans[i].len);
		at += e->spans[i].len;
	}
	assert_int_equal(at, want->size);
}

static void check_with_tools(const uint8_t *data, uint64_t size, const struct list *l)
{
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), "boot.img");
	br_cleanup(br_freep) char *command = br_asprintf("fsck.fat -n %s >%s.log 2>&1 || { cat %s.log; false; }", path,
		path, path);

	if (system("command -v fsck.fat >/dev/null && command -v mcopy >/dev/null")) {
		print_message("not checked with fsck.fat and mtools: they are not installed\n");
		return;
	}
	assert_int_equal(br_mkdir_all(test_dir(), 0755, NULL), 0);
	assert_int_equal(br_file_write(path, data, size, 0644, NULL), 0);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < l->n && i < 20; i++) {
		br_cleanup(br_freep) char *copy = br_asprintf("mcopy -n -o -i %s '::%s' %s.out", path, l->e[i].path, path);
		br_cleanup(br_freep) char *out = br_asprintf("%s.out", path);
		br_cleanup(br_freep) char *got = NULL;
		size_t len;

		if (strchr(l->e[i].path, 0xf0)) /* mtools knows no characters beyond 16 bits */
			continue;
		assert_int_equal(system(copy), 0);
		assert_int_equal(br_file_read(out, sizeof(bytes), &got, &len, NULL), 0);
		assert_int_equal(len, l->e[i].size);
		assert_memory_equal(got, l->s[i][0].data, len);
	}
	assert_int_equal(br_remove_tree(test_dir(), NULL), 0);
}

static void check(const struct list *l, const struct br_fatimage_options *opt, unsigned bits)
{
	br_cleanup(br_fatimage_freep) struct br_fatimage *img = NULL;
	br_cleanup(br_fat_closep) struct br_fat *fat = NULL;
	br_cleanup(br_freep) uint8_t *data = NULL;
	struct br_error err = BR_ERROR_NULL;
	const char *damage = NULL;

	if (br_fatimage_new(l->e, l->n, opt, &img, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(br_fatimage_bits(img), bits);
	data = whole(img);
	if (br_fat_open(data, br_fatimage_size(img), &fat, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(br_fat_bits(fat), bits);
	assert_string_equal(br_fat_label(fat), opt->label ?: "");
	if (br_fat_damaged(fat, &damage))
		fail_msg("%s", damage);
	for (size_t i = 0; i < l->n; i++)
		assert_same(br_fat_lookup(fat, l->e[i].path), &l->e[i]);
	check_with_tools(data, br_fatimage_size(img), l);
}

static const struct br_fatimage_options plain = { .label = "BOOT", .volume_id = 0x1234abcd, .spare = 16384 };

static void small_trees_are_fat12(void **state)
{
	br_cleanup(br_freep) struct list *l = calloc(1, sizeof(*l));
	static const char *const names[] = {
		"config.txt", "CMDLINE.TXT", "start4.elf", "bcm2711-rpi-4-b.dtb", "overlays/vc4-kms-v3d.dtbo",
		"overlays/vc4-kms-v3d-pi4.dtbo", "overlays/vc4-kms-v3d-pi5.dtbo", "overlays/README", "a/b/c/d/e",
		"\xc3\xa4\xc3\xb6.txt", "\xf0\x9f\x8d\x93.dtb", "a name with blanks.and.dots", "123456789012345678901234567890.x",
		"exactly13ch.t", "KERNEL~1.IMG", "kernel_2712.img", "kernel~2.img", "no-extension-at-all", "a/B.TXT",
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++)
		add(l, names[i], i * 517);
	check(l, &plain, 12);
	check(l, &(struct br_fatimage_options){ .volume_id = 1 }, 12);
}

static void an_empty_list_is_a_file_system(void **state)
{
	br_cleanup(br_freep) struct list *l = calloc(1, sizeof(*l));

	check(l, &plain, 12);
	check(l, &(struct br_fatimage_options){ 0 }, 12);
}

static void middle_trees_are_fat16(void **state)
{
	br_cleanup(br_freep) struct list *l = calloc(1, sizeof(*l));

	add(l, "kernel8.img", 5 << 20);
	add(l, "initramfs8", (4 << 20) + 1);
	for (size_t i = 0; i < 600; i++) {
		snprintf(l->names[i], sizeof(l->names[i]), "overlays/a-long-overlay-name-%zu.dtbo", i);
		add(l, l->names[i], i);
	}
	check(l, &plain, 16);
}

static void large_trees_are_fat32(void **state)
{
	br_cleanup(br_freep) struct list *l = calloc(1, sizeof(*l));

	for (size_t i = 0; i < 5; i++) {
		snprintf(l->names[i], sizeof(l->names[i]), "dir%zu/kernel8.img", i);
		add(l, l->names[i], (8 << 20) - 4096);
	}
	check(l, &plain, 32);
	check(l, &(struct br_fatimage_options){ .spare = 40 << 20 }, 32);
}

static void the_borders_between_the_kinds_are_kept_clear_of(void **state)
{
	static const uint64_t around[] = { 4085, 65525 };

	for (size_t k = 0; k < BR_ARRAY_SIZE(around); k++)
		for (uint64_t n = around[k] - 40; n < around[k] + 40; n += 3) {
			br_cleanup(br_fatimage_freep) struct br_fatimage *img = NULL;
			br_cleanup(br_fat_closep) struct br_fat *fat = NULL;
			br_cleanup(br_freep) uint8_t *data = NULL;
			struct br_fatimage_options opt = { .spare = n * 512 };

			assert_int_equal(br_fatimage_new(NULL, 0, &opt, &img, NULL), 0);
			data = whole(img);
			assert_int_equal(br_fat_open(data, br_fatimage_size(img), &fat, NULL), 0);
			assert_int_equal(br_fat_bits(fat), br_fatimage_bits(img));
		}
}

static void many_alike_get_short_names(void **state)
{
	br_cleanup(br_freep) struct list *l = calloc(1, sizeof(*l));

	for (size_t i = 0; i < 2000; i++) {
		snprintf(l->names[i], sizeof(l->names[i]), "overlays/a-long-overlay-name-%zu.dtbo", i);
		add(l, l->names[i], i % 3);
	}
	check(l, &plain, 12);
}

static void the_same_list_gives_the_same_bytes(void **state)
{
	br_cleanup(br_freep) struct list *l = calloc(1, sizeof(*l));
	br_cleanup(br_fatimage_freep) struct br_fatimage *a = NULL;
	br_cleanup(br_fatimage_freep) struct br_fatimage *b = NULL;
	struct br_fatimage_entry turned[3];

	add(l, "config.txt", 100);
	add(l, "overlays/x", 3000);
	add(l, "overlays/a", 700);
	for (size_t i = 0; i < 3; i++)
		turned[i] = l->e[2 - i];
	assert_int_equal(br_fatimage_new(l->e, 3, &plain, &a, NULL), 0);
	assert_int_equal(br_fatimage_new(turned, 3, &plain, &b, NULL), 0);
	br_cleanup(br_freep) uint8_t *x = whole(a);
	br_cleanup(br_freep) uint8_t *y = whole(b);
	assert_int_equal(br_fatimage_size(a), br_fatimage_size(b));
	assert_memory_equal(x, y, br_fatimage_size(a));
}

static void any_piece_can_be_read(void **state)
{
	br_cleanup(br_freep) struct list *l = calloc(1, sizeof(*l));
	br_cleanup(br_fatimage_freep) struct br_fatimage *img = NULL;
	size_t n, sum = 0;

	add(l, "a", 1000);
	add(l, "b/c", 70000);
	assert_int_equal(br_fatimage_new(l->e, l->n, &plain, &img, NULL), 0);
	br_cleanup(br_freep) uint8_t *all = whole(img);
	for (uint64_t at = 0; at < br_fatimage_size(img) + 1000; at += 333) {
		uint8_t buf[1500];
		size_t want = at >= br_fatimage_size(img) ? 0 : br_fatimage_size(img) - at;

		if (want > sizeof(buf))
			want = sizeof(buf);
		assert_int_equal(br_fatimage_read(img, at, buf, sizeof(buf)), want);
		assert_memory_equal(buf, all + at, want);
	}
	for (const struct br_span *s = br_fatimage_spans(img, &n); n--; s++)
		sum += s->len;
	assert_int_equal(sum, br_fatimage_size(img));
}

static void what_fat_cannot_hold_is_refused(void **state)
{
	static const struct {
		const char *a, *b;
		int error;
	} cases[] = {
		{ "config.txt", "CONFIG.TXT", EEXIST },
		{ "overlays", "overlays/x", ENOTDIR },
		{ "Overlays/y/z", "overlays/Y", ENOTDIR },
		{ "a//b", NULL, EINVAL },
		{ "/a", NULL, EINVAL },
		{ "a/..", NULL, EINVAL },
		{ "./a", NULL, EINVAL },
		{ "what?", NULL, EINVAL },
		{ "a:b", NULL, EINVAL },
		{ "end.", NULL, EINVAL },
		{ "end ", NULL, EINVAL },
		{ "\xff\xfe", NULL, EILSEQ },
		{ "\xc0\x80", NULL, EILSEQ },
		{ "\xed\xa0\x80", NULL, EILSEQ },
	};
	char long_name[300];
	struct br_fatimage_entry e = { .path = long_name };
	struct br_fatimage_options small = { .spare = 1 << 20, .max_size = 1 << 20 };
	struct br_error err = BR_ERROR_NULL;
	struct br_fatimage *img;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_fatimage_entry two[] = { { .path = cases[i].a }, { .path = cases[i].b } };

		assert_int_equal(br_fatimage_new(two, cases[i].b ? 2 : 1, &plain, &img, &err), -cases[i].error);
		assert_non_null(strstr(err.text, "boot.img"));
	}
	memset(long_name, 'x', sizeof(long_name));
	long_name[256] = 0;
	assert_int_equal(br_fatimage_new(&e, 1, &plain, &img, &err), -ENAMETOOLONG);
	long_name[255] = 0;
	assert_int_equal(br_fatimage_new(&e, 1, &plain, &img, &err), 0);
	br_fatimage_free(img);
	e = (struct br_fatimage_entry){ .path = "x", .size = 1ull << 32 };
	assert_int_equal(br_fatimage_new(&e, 1, &plain, &img, &err), -EFBIG);
	assert_int_equal(br_fatimage_new(NULL, 0, &small, &img, &err), -EFBIG);
	assert_non_null(strstr(err.text, "MB"));
	br_fatimage_free(NULL);
}

static void short_names(void **state)
{
	static const struct {
		const char *name, *is; /* 11 characters */
		bool fits, exact;
	} cases[] = {
		{ "KERNEL8.IMG", "KERNEL8 IMG", true, true },
		{ "kernel8.img", "KERNEL8 IMG", true, false },
		{ "README", "README     ", true, true },
		{ "a.b.c", "AB~1    C  ", false, false },
		{ "kernel_2712.img", "KERNEL~1IMG", false, false },
		{ "x.dtbo", "X~1     DTB", false, false },
		{ ".hidden", "HIDDEN~1   ", false, false },
		{ "a b", "AB~1       ", false, false },
		{ "a+b", "A_B~1      ", false, false },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		uint8_t name[11];
		bool exact;

		assert_int_equal(br_fatname_fits(cases[i].name, strlen(cases[i].name), name, &exact), cases[i].fits);
		assert_int_equal(exact, cases[i].exact);
		if (!cases[i].fits)
			br_fatname_alias(cases[i].name, strlen(cases[i].name), 0, name);
		assert_memory_equal(name, cases[i].is, 11);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_names),
		cmocka_unit_test(small_trees_are_fat12),
		cmocka_unit_test(an_empty_list_is_a_file_system),
		cmocka_unit_test(middle_trees_are_fat16),
		cmocka_unit_test(large_trees_are_fat32),
		cmocka_unit_test(the_borders_between_the_kinds_are_kept_clear_of),
		cmocka_unit_test(many_alike_get_short_names),
		cmocka_unit_test(the_same_list_gives_the_same_bytes),
		cmocka_unit_test(any_piece_can_be_read),
		cmocka_unit_test(what_fat_cannot_hold_is_refused),
	};

	return cmocka_run_group_tests_name("fatwrite", tests, fill_bytes, NULL);
}
