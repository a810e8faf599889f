/* SPDX-License-Identifier: Apache-2.0 */
/* U-Boot's containers and its shell's language: beside U-Boot's own tools (mkimage, dumpimage), both ways. */
#include "test.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "shell.h"
#include "uboot/fit.h"
#include "uboot/hush.h"
#include "uboot/legacy.h"
#include "uboot/script.h"

BR_DEFINE_CLEANUP(struct br_fit *, br_fit_free);

static const char text[] = "echo one\nif test a = b; then echo two; fi\n";

static const char *file(const char *name)
{
	static char paths[4][512];
	static unsigned n;
	char *p = paths[n++ % 4];

	snprintf(p, 512, "%s/%s", test_dir(), name);
	return p;
}

static void write_file(const char *name, const void *data, size_t len)
{
	assert_int_equal(br_file_write(file(name), data, len, 0644, NULL), 0);
}

static char *read_file(const char *name, size_t *ret_len)
{
	char *data = NULL;

	assert_int_equal(br_file_read(file(name), 1 << 20, &data, ret_len, NULL), 0);
	return data;
}

static void pack(bool fit, uint8_t **ret, size_t *ret_len)
{
	struct br_uboot_script s = { .name = "a script", .time = 1700000000, .fit = fit };

	assert_int_equal(br_uboot_script_pack(&s, text, strlen(text), ret, ret_len, NULL), 0);
}

static void what_we_pack_we_unpack(void **state)
{
	for (int fit = 0; fit < 2; fit++) {
		br_cleanup(br_freep) uint8_t *image = NULL;
		const char *back;
		size_t len, n;

		pack(fit, &image, &len);
		assert_int_equal(br_uboot_script_unpack(image, len, &back, &n, NULL), 0);
		assert_int_equal(n, strlen(text));
		assert_memory_equal(back, text, n);
	}
}

static void every_byte_counts(void **state)
{
	for (int fit = 0; fit < 2; fit++) {
		br_cleanup(br_freep) uint8_t *image = NULL;
		const char *back;
		size_t len, n, wrong = 0;

		pack(fit, &image, &len);
		for (size_t cut = 0; cut < len; cut++)
			assert_int_equal(br_uboot_script_unpack(image, cut, &back, &n, NULL), -EBADMSG);
		for (size_t i = 0; i < len; i++) {
			image[i] ^= 0x40;
			if (br_uboot_script_unpack(image, len, &back, &n, NULL) < 0)
				wrong++;
			else /* what was changed says nothing about the script */
				assert_true(fit && n == strlen(text) && !memcmp(back, text, n));
			image[i] ^= 0x40;
		}
		assert_true(fit || wrong == len);
	}
}

static void mkimage_takes_ours(void **state)
{
	test_needs("mkimage dumpimage");
	for (int fit = 0; fit < 2; fit++) {
		br_cleanup(br_freep) uint8_t *image = NULL;
		size_t len;

		pack(fit, &image, &len);
		write_file("image", image, len);
		assert_int_equal(test_sh("mkimage -l %s >%s", file("image"), file("said")), 0);
		assert_int_equal(test_sh("grep -q 'a script' %s && grep -qi 'script' %s", file("said"), file("said")), 0);
		assert_int_equal(test_sh("dumpimage -l %s >%s", file("image"), file("said")), 0);
		if (fit) {
			assert_int_equal(test_sh("dumpimage -T flat_dt -p 0 -o %s %s >/dev/null", file("text"),
				file("image")), 0);
			write_file("want", text, strlen(text));
			assert_int_equal(test_sh("cmp %s %s", file("text"), file("want")), 0);
		}
	}
}

/* One script, and two files in a 'multi' image, as mkimage packs them. */
static void we_take_what_mkimage_made(void **state)
{
	br_cleanup(br_freep) char *image = NULL, *multi = NULL;
	struct br_uimage img;
	const uint8_t *part;
	const char *back;
	size_t len, n;

	test_needs("mkimage");
	write_file("text", text, strlen(text));
	write_file("more", "12345", 5);
	assert_int_equal(test_sh("mkimage -A arm64 -T script -C none -n made -d %s %s >/dev/null", file("text"),
		file("image")), 0);
	image = read_file("image", &len);
	assert_int_equal(br_uboot_script_unpack(image, len, &back, &n, NULL), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(back, text, n);
	assert_int_equal(br_uimage_parse(image, len, &img, NULL), 0);
	assert_string_equal(img.head.name, "made");
	assert_int_equal(test_sh("mkimage -A arm64 -T multi -C none -n made -d %s:%s %s >/dev/null", file("more"),
		file("text"), file("multi")), 0);
	multi = read_file("multi", &len);
	assert_int_equal(br_uimage_parse(multi, len, &img, NULL), 0);
	assert_int_equal(br_uimage_part(&img, 0, &part, &n), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(part, "12345", 5);
	assert_int_equal(br_uimage_part(&img, 1, &part, &n), 0);
	assert_memory_equal(part, text, strlen(text));
	assert_int_equal(br_uimage_part(&img, 2, &part, &n), -ENOENT);
}

/* The same bytes as mkimage's, but for the time. */
static void ours_is_as_mkimage_makes_it(void **state)
{
	br_cleanup(br_freep) char *theirs = NULL;
	br_cleanup(br_freep) uint8_t *ours = NULL;
	size_t len, n;

	test_needs("mkimage");
	write_file("text", text, strlen(text));
	assert_int_equal(test_sh("SOURCE_DATE_EPOCH=1700000000 mkimage -A arm64 -T script -C none -n 'a script' -d %s %s "
		">/dev/null", file("text"), file("image")), 0);
	theirs = read_file("image", &len);
	pack(false, &ours, &n);
	assert_int_equal(n, len);
	assert_memory_equal(ours, theirs, len);
}

/* A FIT out of a tree source, with dtc behind it. */
static void we_take_a_fit_that_mkimage_made(void **state)
{
	static const char its[] =
		"/dts-v1/;\n/ { description = \"x\"; #address-cells = <1>; images {\n"
		"kernel { data = /incbin/(\"more\"); type = \"kernel\"; arch = \"arm64\"; os = \"linux\"; compression = "
		"\"none\"; load = <0x80000>; entry = <0x80000>; hash-1 { algo = \"sha256\"; }; };\n"
		"boot { data = /incbin/(\"text\"); type = \"script\"; compression = \"none\"; hash-1 { algo = \"crc32\"; }; };\n"
		"}; configurations { default = \"c\"; c { kernel = \"kernel\"; script = \"boot\"; }; }; };\n";
	br_cleanup(br_freep) char *image = NULL;
	struct br_fit_part part;
	struct br_fdt fdt;
	const char *back;
	size_t len, n;

	test_needs("mkimage dtc");
	write_file("text", text, strlen(text));
	write_file("more", "12345", 5);
	write_file("x.its", its, strlen(its));
	assert_int_equal(test_sh("cd %s && mkimage -f x.its x.itb >/dev/null", test_dir()), 0);
	image = read_file("x.itb", &len);
	assert_int_equal(br_fit_open(image, len, &fdt, NULL), 0);
	assert_int_equal(br_fit_find(&fdt, "kernel", &part, NULL), 0);
	assert_int_equal(part.len, 5);
	assert_int_equal(part.hashes, BR_FIT_SHA256);
	assert_true(part.has_load && part.load == 0x80000);
	assert_string_equal(part.arch, "arm64");
	assert_int_equal(br_uboot_script_unpack(image, len, &back, &n, NULL), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(back, text, n);
}

/* Data of all lengths modulo four, in pieces, come back; mkimage agrees about their hashes. */
static void a_fit_of_many_images(void **state)
{
	uint8_t data[64];
	struct br_span spans[2] = { { data, 3 }, { data + 3, 30 } };
	const struct br_fit_image images[] = {
		{ .name = "chunk-1", .type = "firmware", .spans = spans, .n_spans = 2, .hashes = BR_FIT_SHA256 },
		{ .name = "chunk-2", .type = "firmware", .spans = spans, .n_spans = 1, .hashes = BR_FIT_CRC32 },
		{ .name = "empty", .type = "firmware" },
		{ .name = "k", .type = "kernel", .arch = "arm64", .os = "linux", .has_load = true, .load = 0x80000,
			.has_entry = true, .entry = 0x80000, .spans = spans + 1, .n_spans = 1, .hashes = BR_FIT_SHA256 },
	};
	const struct br_fit_config config = { .name = "conf-1", .kernel = "k" };
	const struct br_fit_options opt = { "many", 0, images, BR_ARRAY_SIZE(images), &config, 1 };
	br_cleanup(br_fit_freep) struct br_fit *fit = NULL;
	struct br_text t = BR_TEXT_NULL;
	br_cleanup(br_freep) char *flat = NULL;
	const struct br_span *pieces;
	struct br_fit_part part;
	struct br_fdt fdt;
	size_t n;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	assert_int_equal(br_fit_new(&opt, &fit, NULL), 0);
	pieces = br_fit_spans(fit, &n);
	for (size_t i = 0; i < n; i++)
		br_text_add_bytes(&t, pieces[i].data, pieces[i].len);
	assert_int_equal(t.len, br_fit_size(fit));
	n = t.len;
	flat = br_text_take(&t);
	assert_int_equal(br_fit_open(flat, n, &fdt, NULL), 0);
	assert_int_equal(br_fit_find(&fdt, "chunk-1", &part, NULL), 0);
	assert_int_equal(part.len, 33);
	assert_memory_equal(part.data, data, 33);
	assert_int_equal(br_fit_find(&fdt, "chunk-2", &part, NULL), 0);
	assert_memory_equal(part.data, data, 3);
	assert_int_equal(br_fit_find(&fdt, "empty", &part, NULL), 0);
	assert_int_equal(part.len, 0);
	assert_int_equal(br_fit_find(&fdt, "none", &part, NULL), -ENOENT);
	assert_int_equal(br_fit_part(&fdt, 3, &part, NULL), 0);
	assert_string_equal(part.name, "k");
	assert_int_equal(br_fit_part(&fdt, 4, &part, NULL), -ENOENT);
	assert_string_equal(br_fdt_prop_text(&fdt, "/configurations", "default"), "conf-1");
	test_needs("mkimage");
	write_file("many.itb", flat, n);
	assert_int_equal(test_sh("mkimage -l %s >%s && grep -q \"Image 3 (k)\" %s", file("many.itb"), file("said"),
		file("said")), 0);
}

static void a_fit_that_cannot_be(void **state)
{
	const struct br_fit_image twice[] = { { .name = "a", .type = "script" }, { .name = "a", .type = "script" } };
	const struct br_fit_image at = { .name = "a@1", .type = "script" };
	const struct br_fit_config stray = { .name = "c", .kernel = "b" };
	const struct br_fit_options cases[] = {
		{ .images = twice, .n_images = 2 },
		{ .images = &at, .n_images = 1 },
		{ .images = twice, .n_images = 0 },
		{ .images = twice, .n_images = 1, .configs = &stray, .n_configs = 1 },
	};
	struct br_error err;
	struct br_fit *fit;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		err = BR_ERROR_NULL;
		assert_int_equal(br_fit_new(&cases[i], &fit, &err), -EINVAL);
		assert_true(err.text[0]);
	}
}

/* Sizes in the list of a script that is whole by its CRCs. */
static void lists_of_sizes_that_lie(void **state)
{
	static const uint32_t lists[][3] = { { 0, 0, 0 }, { 5, 0, 0 }, { 0xffffffff, 0, 0 }, { 1, 1, 1 }, { 2, 3, 0 } };
	struct br_uimage_head head = { .type = BR_UIMAGE_SCRIPT };
	struct br_uimage img;

	for (size_t i = 0; i < BR_ARRAY_SIZE(lists); i++) {
		br_cleanup(br_freep) uint8_t *image = NULL;
		uint8_t data[12];
		size_t len;

		for (size_t k = 0; k < 3; k++)
			br_store_be32(data + 4 * k, lists[i][k]);
		assert_int_equal(br_uimage_pack(&head, data, sizeof(data), &image, &len), 0);
		assert_int_equal(br_uimage_parse(image, len, &img, NULL), -EBADMSG);
	}
}

static void names_of_scripts(void **state)
{
	static const struct {
		const char *path, *source;
		bool fit;
	} cases[] = {
		{ "boot.scr", "boot.cmd", false },
		{ "boot.scr.uimg", "boot.cmd", false },
		{ "bramble/x.uimg", "bramble/x.cmd", false },
		{ "a/b.ITB", "a/b.cmd", true },
		{ ".scr", NULL, false },
		{ "a/.scr", NULL, false },
		{ "kernel8.img", NULL, false },
	};
	char source[64];
	bool fit;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		bool is = br_uboot_script_source(cases[i].path, source, sizeof(source), &fit);

		assert_int_equal(is, cases[i].source != NULL);
		if (is) {
			assert_string_equal(source, cases[i].source);
			assert_int_equal(fit, cases[i].fit);
		}
	}
	assert_false(br_uboot_script_source("boot.scr", source, 8, &fit));
	assert_true(br_uboot_script_source("boot.scr", source, 9, &fit));
}

static void text_is_cleaned_and_looked_at(void **state)
{
	struct br_uboot_script s = { .name = "x" };
	br_cleanup(br_freep) uint8_t *image = NULL;
	const char *back;
	size_t len, n;

	assert_int_equal(br_uboot_script_pack(&s, "a\r\nb\rc", 6, &image, &len, NULL), 0);
	assert_int_equal(br_uboot_script_unpack(image, len, &back, &n, NULL), 0);
	assert_int_equal(n, 6);
	assert_memory_equal(back, "a\nb\rc\n", 6);
	assert_int_equal(br_uboot_script_pack(&s, "", 0, &image, &len, NULL), -EINVAL);
	assert_int_equal(br_uboot_script_pack(&s, "a\0b", 3, &image, &len, NULL), -EINVAL);
}

struct seen {
	unsigned first_line;
	char text[512];
};

static void see(void *ctx, const struct br_hush_problem *p)
{
	struct seen *s = ctx;

	if (!s->first_line)
		s->first_line = p->line;
	snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%u %s; ", p->line, p->text);
}

static void hush(void **state)
{
	static const struct {
		const char *text;
		unsigned errors, warnings, line;
	} cases[] = {
		{ "", 0, 0, 0 },
		{ "# if\necho a # then 'x\n", 0, 0, 0 },
		{ "if a; then b; elif c; then d; else e; fi\n", 0, 0, 0 },
		{ "if a && b || c\nthen\n b\nfi; d\n", 0, 0, 0 },
		{ "for i in a b ${c}; do echo $i; done", 0, 0, 0 },
		{ "for i in a b\ndo\n echo; done\n", 0, 0, 0 },
		{ "while true; do if x; then exit; fi; done\n", 0, 0, 0 },
		{ "echo 'if' \"a\nb\" if then fi\n", 0, 0, 0 },
		{ "setenv x 'a; b && c'; run x &&\necho y\n", 0, 0, 0 },
		{ "setexpr m sub 'a(b)' \"\\\\1\" x\necho \"\\\"\" \\$x ${x:-y}\n", 0, 0, 0 },
		{ "if true; then\n echo\n", 1, 0, 1 },
		{ "fi\n", 1, 0, 1 },
		{ "if a; then b; done", 2, 0, 1 },
		{ "a\nif b; c; fi", 2, 0, 2 },
		{ "for in a; do b; done", 2, 0, 1 },
		{ "for i a; do b; done", 1, 0, 1 },
		{ "for i in a; b; done", 1, 0, 1 },
		{ "for i\nin a; do b; done", 1, 0, 1 },
		{ "while a; then b; done", 3, 0, 1 },
		{ "if a; then fi", 1, 0, 1 },
		{ "a\nb 'c\nd", 1, 0, 2 },
		{ "echo \"x", 1, 0, 1 },
		{ "echo ${x\n", 1, 0, 1 },
		{ "a &&\n\n", 1, 0, 3 },
		{ "&& a", 1, 0, 1 },
		{ "a && ; b", 1, 0, 1 },
		{ "a | b", 1, 0, 1 },
		{ "a & b", 1, 0, 1 },
		{ "a\\", 1, 0, 1 },
		{ "\x01", 1, 0, 1 },
		{ "x=$(date)", 0, 1, 1 },
		{ "x=`date`", 0, 2, 1 },
		{ "case x in\n", 0, 1, 1 },
		{ "if [ a = b ]; then c; fi", 0, 1, 1 },
		{ "echo \"a\\nb\"\r\n", 0, 1, 1 },
		{ "f() x", 0, 1, 1 },
		{ "echo \"it's\"\necho x", 2, 1, 1 },
		{ "echo \"'it'\"", 0, 1, 1 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct seen seen = { 0 };
		unsigned warnings, errors = br_hush_check(cases[i].text, strlen(cases[i].text), see, &seen, &warnings);

		if (errors != cases[i].errors || warnings != cases[i].warnings || seen.first_line != cases[i].line)
			fail_msg("'%s': %u errors, %u warnings, first on line %u: %s", cases[i].text, errors, warnings,
				seen.first_line, seen.text);
	}
}

static int remove_files(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_we_pack_we_unpack),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(mkimage_takes_ours),
		cmocka_unit_test(we_take_what_mkimage_made),
		cmocka_unit_test(ours_is_as_mkimage_makes_it),
		cmocka_unit_test(we_take_a_fit_that_mkimage_made),
		cmocka_unit_test(a_fit_of_many_images),
		cmocka_unit_test(a_fit_that_cannot_be),
		cmocka_unit_test(lists_of_sizes_that_lie),
		cmocka_unit_test(names_of_scripts),
		cmocka_unit_test(text_is_cleaned_and_looked_at),
		cmocka_unit_test(hush),
	};

	return cmocka_run_group_tests(tests, NULL, remove_files);
}
