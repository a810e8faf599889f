/* SPDX-License-Identifier: Apache-2.0 */
/* What boards on USB are served out of directories and archives: every rule of the order, names, links, bad archives. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "tests/unit/tarfile.h"
#include "tests/unit/testdata.h"
#include "usb/payload.h"
#include "usb/payloadtar.h"

BR_DEFINE_CLEANUP(struct br_usb_payload *, br_usb_payload_unref);
BR_DEFINE_CLEANUP(struct br_usb_tar *, br_usb_tar_close);

static char *at(const char *path)
{
	char *p = br_path_join(test_dir(), path);

	assert_non_null(p);
	return p;
}

static void put_bytes(const char *path, const void *data, size_t n)
{
	br_cleanup(br_freep) char *p = at(path);
	char *slash = strrchr(p, '/');

	*slash = 0;
	assert_int_equal(br_mkdir_all(p, 0755, NULL), 0);
	*slash = '/';
	assert_int_equal(br_file_write(p, data, n, 0644, NULL), 0);
}

/* A file that says its own name. */
static void put(const char *path)
{
	put_bytes(path, path, strlen(path));
}

static void put_link(const char *to, const char *path)
{
	br_cleanup(br_freep) char *p = at(path);

	assert_int_equal(symlink(to, p), 0);
}

static void put_tar(const char *path, const char *const *members, size_t n)
{
	br_cleanup(br_text_done) struct br_text t = BR_TEXT_NULL;

	tar_add(&t, "2711/", '5', "");
	for (size_t i = 0; i < n; i++) {
		br_cleanup(br_freep) char *words = br_asprintf("tar:%s", members[i]);

		tar_add(&t, members[i], '0', words);
	}
	tar_end(&t);
	assert_false(t.failed);
	put_bytes(path, t.buf, t.len);
}

static struct br_usb_payload *payload(const char *dir, const char *firmware, bool overlay, bool links)
{
	br_cleanup(br_freep) char *d = at(dir), *f = firmware ? at(firmware) : NULL;
	const struct br_usb_directory opt = { .dir = d, .firmware = f, .overlay = overlay, .links = links };
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_payload *ret = NULL;
	int r = br_usb_payload_directory(&opt, &ret, &err);

	if (r < 0)
		fail_msg("%s", err.text);
	return ret;
}

static void read_all(const struct br_usb_payload_file *file, char *buf, size_t size)
{
	assert_true(file->size < size);
	assert_int_equal(br_usb_payload_read(file, 0, buf, file->size), 0);
	buf[file->size] = 0;
}

static void names_are_checked_at_the_door(void **state)
{
	static const struct {
		const char *name;
		int r;
	} cases[] = {
		{ "config.txt", 0 },
		{ "overlays/vc4-kms-v3d.dtbo", 0 },
		{ "a name with blanks", 0 },
		{ ".hidden", 0 },
		{ "a.b.c", 0 },
		{ "", -EACCES },
		{ "/etc/passwd", -EACCES },
		{ "..", -EACCES },
		{ "../x", -EACCES },
		{ "a/../b", -EACCES },
		{ "a..b", -EACCES }, /* c.5: any name with ".." */
		{ "a//b", -EACCES },
		{ "a/", -EACCES },
		{ ".", -EACCES },
		{ "./a", -EACCES },
		{ "a/./b", -EACCES },
		{ "a\nb", -EACCES },
		{ "a\x7f", -EACCES },
		{ "caf\xc3\xa9", -EACCES },
		{ "\xff", -EACCES },
		{ "\x1b[2J", -EACCES },
	};
	char longest[BR_USB_NAME_MAX + 2];

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		if (br_usb_name_check(cases[i].name) != cases[i].r)
			fail_msg("'%s' should give %d", cases[i].name, cases[i].r);
	memset(longest, 'a', sizeof(longest));
	longest[BR_USB_NAME_MAX + 1] = 0;
	assert_int_equal(br_usb_name_check(longest), -EACCES);
	longest[BR_USB_NAME_MAX] = 0;
	assert_int_equal(br_usb_name_check(longest), 0);
}

/* Files say their own path; members "tar:" and theirs. */
static void every_rule_of_the_order(void **state)
{
	static const char *const files[] = {
		"tar/2711/config.txt", "tar/2711/both.bin", "tar/config.txt", "tar/both.bin", "tar/plain.bin",
		"tar/1-2.3/over.bin", "tar/1-2.3/config.txt", "tar/1-2.3/mcb.bin", "tar/1-2.3/plain.bin",
		"tar/1-2.3/bootcode4.bin", "tar/1-2.3/BOOTCODE.bin", "tar/bootcode.bin",
		"dir/bootcode4.bin", "dir/2711/config.txt", "dir/config.txt", "dir/1-2.3/config.txt", "dir/plain.bin",
		"dir/1-2.3/bootcode4.bin", "dir/1-2.3/sub/x.bin", "dir/2710/old.bin", "dir/2836/old.bin",
		"dir/2836/imager.bin", "dir/2712/config.txt",
		"user/config.txt", "fw/config.txt", "fw/boot.img", "fw/bootcode5.bin", "fw/2711/start4.elf",
	};
	static const char *const members[] = { "2711/bootcode4.bin", "2711/mcb.bin", "2711/both.bin", "2711/Case.Bin",
		"2712/bootcode5.bin", "2710/bootcode.bin", "2836/imager.bin" };
	static const struct {
		const char *dir, *firmware, *path;
		bool overlay;
		uint16_t product;
		const char *name, *want; /* NULL: missing */
	} cases[] = {
		/* (1) an archive in use: DIR/<chip>/NAME over the member, whatever else there is */
		{ "tar", NULL, "1-2.3", true, 0x2711, "both.bin", "tar/2711/both.bin" },
		{ "tar", NULL, "1-2.3", true, 0x2711, "config.txt", "tar/2711/config.txt" },
		{ "tar", NULL, "1-2.3", true, 0x2711, "mcb.bin", "tar:2711/mcb.bin" },
		{ "tar", NULL, NULL, false, 0x2711, "MCB.BIN", "tar:2711/mcb.bin" },
		{ "tar", NULL, NULL, false, 0x2711, "case.bin", "tar:2711/Case.Bin" },
		{ "tar", NULL, NULL, false, 0x2711, "bootcode4.bin", "tar:2711/bootcode4.bin" },
		{ "tar", NULL, NULL, false, 0x2712, "bootcode5.bin", "tar:2712/bootcode5.bin" },
		{ "tar", NULL, NULL, false, 0x2712, "mcb.bin", NULL }, /* the other chip's */
		{ "tar", NULL, NULL, false, 0x2764, "bootcode.bin", "tar:2710/bootcode.bin" },
		{ "tar", NULL, NULL, false, 0x2763, "imager.bin", "tar:2836/imager.bin" },
		{ "tar", NULL, NULL, false, 0, "mcb.bin", NULL },
		/* (2) the overlay, never for a first stage */
		{ "tar", NULL, "1-2.3", true, 0x2711, "over.bin", "tar/1-2.3/over.bin" },
		{ "tar", NULL, "1-2.3", true, 0x2711, "plain.bin", "tar/1-2.3/plain.bin" },
		{ "tar", NULL, "1-2.3", true, 0x2711, "bootcode4.bin", "tar:2711/bootcode4.bin" },
		{ "tar", NULL, "1-2.3", true, 0x2712, "bootcode4.bin", NULL },
		{ "tar", NULL, "1-2.3", true, 0x2712, "BOOTCODE.bin", NULL },
		{ "tar", NULL, "1-2.4", true, 0x2711, "plain.bin", "tar/plain.bin" },
		{ "tar", NULL, "1-2.3", false, 0x2711, "over.bin", NULL },
		{ "dir", NULL, "1-2.3", true, 0x2711, "config.txt", "dir/1-2.3/config.txt" },
		{ "dir", NULL, "1-2.3", true, 0x2711, "sub/x.bin", "dir/1-2.3/sub/x.bin" },
		{ "dir", NULL, "1-2.3", true, 0x2711, "bootcode4.bin", "dir/bootcode4.bin" },
		{ "dir", NULL, "../dir", true, 0x2711, "plain.bin", "dir/plain.bin" }, /* no such path */
		{ "dir", NULL, "1-2.3/sub", true, 0x2711, "x.bin", NULL },
		/* (3) DIR/<chip>/NAME */
		{ "dir", NULL, "1-2.3", false, 0x2711, "config.txt", "dir/2711/config.txt" },
		{ "dir", NULL, "1-2.3", false, 0x2712, "config.txt", "dir/2712/config.txt" },
		{ "dir", NULL, NULL, false, 0x2764, "old.bin", "dir/2710/old.bin" },
		{ "dir", NULL, NULL, false, 0x2764, "imager.bin", "dir/2836/imager.bin" },
		/* (4) DIR/NAME, whose case counts */
		{ "dir", NULL, "1-2.3", false, 0x2764, "config.txt", "dir/config.txt" },
		{ "dir", NULL, NULL, true, 0x2711, "plain.bin", "dir/plain.bin" },
		{ "dir", NULL, NULL, true, 0x2711, "PLAIN.bin", NULL },
		{ "dir", NULL, NULL, false, 0x2711, "2711", NULL }, /* a directory is no file */
		{ "dir", NULL, NULL, false, 0x2711, "plain.bin/x", NULL },
		{ "dir", NULL, NULL, false, 0, "plain.bin", "dir/plain.bin" },
		/* the firmware's directory: what starts a board, nothing of a payload of its own */
		{ "user", "fw", NULL, false, 0x2712, "config.txt", "user/config.txt" },
		{ "user", "fw", NULL, false, 0x2712, "bootcode5.bin", "fw/bootcode5.bin" },
		{ "user", "fw", NULL, false, 0x2712, "boot.img", NULL },
		{ "user", "fw", NULL, false, 0x2711, "start4.elf", "fw/2711/start4.elf" },
		{ "user", "tar", "1-2.3", true, 0x2711, "mcb.bin", "tar:2711/mcb.bin" },
		{ "user", "tar", "1-2.3", true, 0x2711, "over.bin", NULL },
		{ "user", "tar", "1-2.3", true, 0x2711, "plain.bin", NULL },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(files); i++)
		put(files[i]);
	put_tar("tar/bootfiles.bin", members, BR_ARRAY_SIZE(members));
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_usb_payload_unrefp) struct br_usb_payload *p =
			payload(cases[i].dir, cases[i].firmware, cases[i].overlay, false);
		const struct br_usb_who who = { .model = br_usbboot_model(BR_USBBOOT_VENDOR, cases[i].product), .path = cases[i].path };
		struct br_error err = BR_ERROR_NULL;
		struct br_usb_payload_file file = { 0 };
		char got[200] = "";
		int r = br_usb_payload_lookup(p, &who, cases[i].name, &file, &err);

		if (!r)
			read_all(&file, got, sizeof(got));
		if (r != (cases[i].want ? 0 : -ENOENT) || strcmp(got, cases[i].want ?: "") != 0)
			fail_msg("case %zu, %s in %s: %d '%s' (%s)", i, cases[i].name, cases[i].dir, r, got, err.text);
		br_usb_payload_close(&file);
	}
}

static void pieces_of_a_file(void **state)
{
	const struct br_usb_who who = { .model = br_usbboot_model(BR_USBBOOT_VENDOR, 0x2711) };
	br_cleanup(br_usb_payload_unrefp) struct br_usb_payload *p = NULL;
	br_cleanup(br_freep) char *path = at("pieces/big.bin");
	struct br_usb_payload_file file = { 0 };
	char bytes[3000], got[3000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	put("pieces/bootcode4.bin");
	put_bytes("pieces/big.bin", bytes, sizeof(bytes));
	p = payload("pieces", NULL, false, false);
	assert_int_equal(br_usb_payload_lookup(p, &who, "big.bin", &file, NULL), 0);
	assert_int_equal(file.size, sizeof(bytes));
	assert_string_equal(file.origin, "directory");
	assert_string_equal(file.where, path);
	for (size_t i = 0; i < sizeof(bytes); i += 1000)
		assert_int_equal(br_usb_payload_read(&file, i, got + i, 1000), 0);
	assert_memory_equal(got, bytes, sizeof(bytes));
	assert_int_equal(br_usb_payload_read(&file, 2999, got, 2), -EINVAL);
	assert_int_equal(br_usb_payload_read(&file, UINT64_MAX, got, 2), -EINVAL);
	assert_int_equal(br_usb_payload_read(&file, 3000, got, 0), 0);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(br_usb_payload_read(&file, 50, got, 100), -EIO);
	br_usb_payload_close(&file);
	br_usb_payload_close(&file);

	assert_int_equal(truncate(path, (off_t)UINT32_MAX + 1), 0);
	assert_int_equal(br_usb_payload_lookup(p, &who, "big.bin", &file, NULL), -EFBIG);
}

static void links_stay_inside(void **state)
{
	static const struct {
		const char *name;
		int strict, follow;
	} cases[] = {
		{ "inside.bin", 0, 0 },
		{ "sub/up.bin", 0, 0 },	      /* ../real.bin */
		{ "folder/x.bin", 0, 0 },     /* a link to a folder inside */
		{ "outside.bin", -ELOOP, 0 },
		{ "absolute.bin", -ELOOP, 0 },
		{ "out/secret", -ELOOP, 0 },  /* a folder outside */
		{ "loop", -ELOOP, -ELOOP },
		{ "dangling", -ENOENT, -ENOENT },
		{ "pipe", -EINVAL, -EINVAL },
	};
	const struct br_usb_who who = { .model = br_usbboot_model(BR_USBBOOT_VENDOR, 0x2711) };
	br_cleanup(br_freep) char *secret = at("elsewhere/secret"), *fifo = at("links/pipe");

	put("elsewhere/secret");
	put("links/bootcode4.bin");
	put("links/real.bin");
	put("links/sub/x.bin");
	put_link("real.bin", "links/inside.bin");
	put_link("../real.bin", "links/sub/up.bin");
	put_link("sub", "links/folder");
	put_link("../elsewhere/secret", "links/outside.bin");
	put_link(secret, "links/absolute.bin");
	put_link("../elsewhere", "links/out");
	put_link("loop", "links/loop");
	put_link("nowhere", "links/dangling");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (int follow = 0; follow < 2; follow++) {
		br_cleanup(br_usb_payload_unrefp) struct br_usb_payload *p = payload("links", NULL, false, follow);

		for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
			struct br_error err = BR_ERROR_NULL;
			struct br_usb_payload_file file = { 0 };
			int r = br_usb_payload_lookup(p, &who, cases[i].name, &file, &err);

			if (r != (follow ? cases[i].follow : cases[i].strict))
				fail_msg("%s (%d): %d %s", cases[i].name, follow, r, err.text);
			if (r < 0 && r != -ENOENT)
				assert_true(br_str_starts(err.text, test_dir()));
			br_usb_payload_close(&file);
		}
	}
}

static void a_directory_must_start_a_board(void **state)
{
	static const char *const members[] = { "2711/bootcode4.bin" };
	br_cleanup(br_freep) char *bare = at("bare"), *cut = at("cut"), *none = at("none");
	struct br_usb_directory opt = { .dir = bare };
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_payload *p = NULL;
	struct br_usb_payload_file file = { 0 };

	put("bare/config.txt");
	assert_int_equal(br_usb_payload_directory(&opt, &p, &err), -ENOENT);
	assert_non_null(strstr(err.text, "neither bootfiles.bin nor bootcode4.bin"));
	put("bare/2712/bootcode5.bin");
	br_usb_payload_unref(payload("bare", NULL, false, false));

	/* usbboot's own directories have links to it */
	put_tar("stock/bootfiles.bin", members, 1);
	assert_int_equal(br_mkdir_all(none, 0755, NULL), 0);
	put_link("../stock/bootfiles.bin", "none/bootfiles.bin");
	p = payload("none", NULL, false, false);
	assert_int_equal(br_usb_payload_lookup(p, &(struct br_usb_who){ .model = br_usbboot_model(BR_USBBOOT_VENDOR, 0x2711) }, "bootcode4.bin", &file, NULL), 0);
	assert_true(br_str_ends(file.where, "none/bootfiles.bin/2711/bootcode4.bin"));
	br_usb_payload_close(&file);
	br_usb_payload_unref(br_take(p));

	put_bytes("cut/bootfiles.bin", "not an archive", 14);
	opt.dir = cut;
	assert_int_equal(br_usb_payload_directory(&opt, &p, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "cut/bootfiles.bin: "));
	opt.dir = "/nonexistent";
	assert_int_equal(br_usb_payload_directory(&opt, &p, &err), -ENOENT);
	assert_null(p);
}

static int open_bytes(const void *data, size_t n, struct br_usb_tar **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *path = at("tars/x.tar");
	br_cleanup(br_closep) int fd = -1;

	put_bytes("tars/x.tar", data, n);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return br_usb_tar_open(fd, ret, err);
}

static void bad_archives(void **state)
{
	static const struct {
		const char *name;
		char type;
		uint64_t size;
		size_t at; /* where 'bytes' are put before the header is summed */
		const char *bytes;
		int r;
		const char *words;
	} cases[] = {
		{ "2711/x", '0', 0, 0, NULL, 0, "" },
		{ "./2711/x", '0', 0, 0, NULL, 0, "" },
		{ "2711/x", '\0', 0, 0, NULL, 0, "" },
		{ "2711/x", '0', 0, 257, "ustar  ", 0, "" }, /* GNU's */
		{ "x", '0', 0, 345, "2711", 0, "" },	      /* the prefix field */
		{ "2711/x", '1', 0, 0, NULL, -ENOTSUP, "is a link" },
		{ "2711/x", '2', 0, 0, NULL, -ENOTSUP, "is a link" },
		{ "2711/x", '3', 0, 0, NULL, -ENOTSUP, "device" },
		{ "2711/x", 'x', 0, 0, NULL, -ENOTSUP, "extended" },
		{ "2711/x", 'L', 0, 0, NULL, -ENOTSUP, "extended" },
		{ "2711/x", 'S', 0, 0, NULL, -ENOTSUP, "extended" },
		{ "2711/x", '7', 0, 0, NULL, -EBADMSG, "kind" },
		{ "2711/x", '0', 1u << 20, 0, NULL, -EBADMSG, "was cut" },
		{ "2711/x", '0', 1ull << 32, 0, NULL, -EFBIG, "4 GiB" },
		{ "2711/x", '0', 0, 124, "777777777777", -EFBIG, "4 GiB" },
		{ "2711/x", '0', 0, 124, "\x80\0\0\0\0\0\0\0\0\0\0", -EBADMSG, "no number" },
		{ "2711/x", '0', 0, 124, "-0000000001", -EBADMSG, "no number" },
		{ "2711/x", '0', 0, 124, "0x000000000", -EBADMSG, "no number" },
		{ "2711/x", '0', 0, 124, "           ", -EBADMSG, "no number" },
		{ "2711/x", '5', 512, 0, NULL, -EBADMSG, "has bytes" },
		{ "../x", '0', 0, 0, NULL, -EBADMSG, "no board can ask" },
		{ "/x", '0', 0, 0, NULL, -EBADMSG, "no board can ask" },
		{ "2711/\x01", '0', 0, 0, NULL, -EBADMSG, "no board can ask" },
		{ "", '0', 0, 0, NULL, -EBADMSG, "no board can ask" },
		{ "2711/FIRST", '0', 0, 0, NULL, -EBADMSG, "twice" },
		{ "2711/x", '0', 0, 257, "muell", -EBADMSG, "damaged" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_usb_tar_closep) struct br_usb_tar *tar = NULL;
		br_cleanup(br_text_done) struct br_text t = BR_TEXT_NULL;
		struct br_error err = BR_ERROR_NULL;
		char h[TAR_BLOCK];
		int r;

		tar_add(&t, "2711/first", '0', "one");
		tar_header(h, cases[i].name, cases[i].type, cases[i].size);
		if (cases[i].bytes)
			memcpy(h + cases[i].at, cases[i].bytes, strlen(cases[i].bytes) + (cases[i].at == 257 ? 1 : 0));
		tar_sum(h);
		br_text_add_bytes(&t, h, sizeof(h));
		tar_end(&t);
		r = open_bytes(t.buf, t.len, &tar, &err);
		if (r != cases[i].r || !strstr(err.text, cases[i].words))
			fail_msg("case %zu, '%s' %c: %d (%s)", i, cases[i].name, cases[i].type, r, err.text);
		if (!r && (!br_usb_tar_find(tar, "2711", "X") || br_usb_tar_member(tar, 2)))
			fail_msg("case %zu", i);
	}
}

/* Cut anywhere, it is refused, but in the padding behind its first block of zeros. */
static void truncated_archives(void **state)
{
	br_cleanup(br_text_done) struct br_text t = BR_TEXT_NULL;
	size_t body;

	tar_add(&t, "2711/", '5', "");
	tar_add(&t, "2711/a", '0', "some bytes");
	tar_add(&t, "2711/b", '0', "more");
	body = t.len;
	tar_end(&t);
	for (size_t n = 0; n <= t.len; n += n % 64 == 63 ? 1 : 21) {
		br_cleanup(br_usb_tar_closep) struct br_usb_tar *tar = NULL;
		struct br_error err = BR_ERROR_NULL;
		int r = open_bytes(t.buf, n, &tar, &err);

		if (r != (n < body + TAR_BLOCK ? -EBADMSG : 0))
			fail_msg("%zu of %zu bytes: %d (%s)", n, t.len, r, err.text);
	}
	t.buf[TAR_BLOCK + 3]++; /* in a name: the sum no longer fits */
	assert_int_equal(open_bytes(t.buf, t.len, &(struct br_usb_tar *){ NULL }, NULL), -EBADMSG);
	memset(t.buf, 0, t.len);
	assert_int_equal(open_bytes(t.buf, t.len, &(struct br_usb_tar *){ NULL }, NULL), -EBADMSG);
}

static void too_many_members(void **state)
{
	br_cleanup(br_text_done) struct br_text t = BR_TEXT_NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_tar *tar = NULL;
	char name[32];

	for (int i = 0; i <= BR_USB_TAR_MEMBERS_MAX; i++) {
		snprintf(name, sizeof(name), "2711/%d", i);
		tar_add(&t, name, '0', "");
	}
	tar_end(&t);
	assert_int_equal(open_bytes(t.buf, t.len, &tar, &err), -EFBIG);
	t.len = 0;
	for (int i = 0; i < 3 * BR_USB_TAR_MEMBERS_MAX; i++)
		tar_add(&t, "d/", '5', "");
	tar_end(&t);
	assert_int_equal(open_bytes(t.buf, t.len, &tar, &err), -EFBIG);
}

static void what_is_missing_is_named(void **state)
{
	static const char *const members[] = { "2711/bootcode4.bin", "2711/mcb.bin", "2712/bootcode5.bin", "2712/bootmain" };
	static const struct {
		const char *dir;
		uint16_t product;
		const char *words; /* "" : nothing */
	} cases[] = {
		{ "lacks", 0x2711, "start4.elf (the firmware, which starts the kernel)" },
		{ "lacks", 0x2712, "bootcode5.bin (the first stage, which the ROM takes)" },
		{ "lacks", 0x2764, "bootcode.bin (the first stage, which the ROM takes), start.elf (" },
		{ "lackstar", 0x2711, "memsys00.bin (set-up of the memory, one of memsys00 to memsys08 by its kind), bootmain (" },
		{ "lackstar", 0x2712, "mcb.bin (settings of the memory controller), memsys00.bin (" },
		{ "recovery", 0x2711, "" },
		{ "gadget", 0x2711, "" },
		{ "unused", 0x2711, "start4.elf (" }, /* nobody tells the board to take boot.img */
		{ "signed", 0x2711, "" },
	};

	put("lacks/bootcode4.bin");
	put_tar("lackstar/bootfiles.bin", members, BR_ARRAY_SIZE(members));
	put("lackstar/start4.elf");
	put("recovery/bootcode4.bin");
	put("recovery/pieeprom.bin");
	put("gadget/bootcode4.bin");
	put_bytes("gadget/config.txt", "[all]\n boot_ramdisk=1\n", 23);
	put("gadget/boot.img");
	put("unused/bootcode4.bin");
	put("unused/boot.img");
	put_bytes("unused/config.txt", "#boot_ramdisk=1\n", 16);
	put("signed/bootcode4.bin");
	put("signed/boot.img");
	put("signed/boot.sig");
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_usb_payload_unrefp) struct br_usb_payload *p = payload(cases[i].dir, NULL, false, false);
		struct br_error err = BR_ERROR_NULL;
		int r = br_usb_payload_check(p, br_usbboot_model(BR_USBBOOT_VENDOR, cases[i].product), &err);

		if (r != (cases[i].words[0] ? -ENOENT : 0) || !strstr(err.text, cases[i].words))
			fail_msg("%s for %04x: %d %s", cases[i].dir, cases[i].product, r, err.text);
		if (r < 0)
			assert_non_null(strstr(err.text, "--firmware DIR"));
	}
}

/* The published one: what the facts say of it. */
static void stock_bootfiles(void **state)
{
	static const struct {
		uint16_t product;
		const char *name;
		uint64_t size;
	} files[] = {
		{ 0x2711, "bootcode4.bin", 73120 }, { 0x2711, "mcb.bin", 11696 },
		{ 0x2711, "memsys08.bin", 20492 },  { 0x2711, "bootmain", 265712 },
		{ 0x2712, "bootcode5.bin", 78332 }, { 0x2712, "rp1c0fw1.bin", 16384 },
		{ 0x2712, "bootmain", 556668 },	    { 0x2712, "BOOTSYS-AB.bin", 25984 },
	};
	br_cleanup(br_usb_payload_unrefp) struct br_usb_payload *p = NULL;
	const char *stock = test_data("bootfiles.bin");
	struct br_usb_payload_file file = { 0 };

	if (!stock)
		skip();
	put("real/config.txt");
	put_link(stock, "real/bootfiles.bin");
	p = payload("real", NULL, false, false);
	for (size_t i = 0; i < BR_ARRAY_SIZE(files); i++) {
		const struct br_usb_who who = { .model = br_usbboot_model(BR_USBBOOT_VENDOR, files[i].product) };

		assert_int_equal(br_usb_payload_lookup(p, &who, files[i].name, &file, NULL), 0);
		assert_int_equal(file.size, files[i].size);
		br_usb_payload_close(&file);
	}
	assert_int_equal(
		br_usb_payload_lookup(p, &(struct br_usb_who){ .model = br_usbboot_model(BR_USBBOOT_VENDOR, 0x2764) }, "bootcode.bin", &file, NULL), -ENOENT);
}

static int cleanup(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked_at_the_door),
		cmocka_unit_test(every_rule_of_the_order),
		cmocka_unit_test(pieces_of_a_file),
		cmocka_unit_test(links_stay_inside),
		cmocka_unit_test(a_directory_must_start_a_board),
		cmocka_unit_test(bad_archives),
		cmocka_unit_test(truncated_archives),
		cmocka_unit_test(too_many_members),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(stock_bootfiles),
	};

	return cmocka_run_group_tests(tests, NULL, cleanup);
}
