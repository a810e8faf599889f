/* SPDX-License-Identifier: Apache-2.0 */
/* Images into the store and out of it. One small image is made with the usual tools and packed in every way. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/image.h"
#include "store/view.h"
#include "tests/unit/shell.h"

#define TOOLS "sfdisk mkfs.fat mkfs.ext4 mcopy xz gzip zstd bzip2 zip"

BR_DEFINE_CLEANUP(struct br_store *, br_store_close);
BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

static const char *dir, *state_dir, *image; /* image NULL: the tools are missing */

/* 16 MiB: FAT16 of 4 MiB at 1 MiB, ext4 of 8 MiB at 8 MiB; some of it random, most of it holes. */
static const char script[] =
	"set -e; cd '%s'; mkdir -p root/etc root/usr/lib root/usr/bin root/lib/modules/6.1.0-x boot/overlays root/boot/firmware\n"
	"ln -s boot/firmware/config.txt root/config; ln -s ../../etc root/boot/firmware/covered\n"
	"printf 'proc /proc proc defaults 0 0\\nPARTUUID=5452574f-01 /boot/firmware vfat defaults 0 2\\n' >root/etc/fstab\n"
	"printf 'ID=debian\\nPRETTY_NAME=\"Debian GNU/Linux 12\"\\nVERSION_ID=\"12\"\\n' >root/usr/lib/os-release\n"
	"ln -s ../usr/lib/os-release root/etc/os-release\n"
	"printf '\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\002\\0\\267\\0' >root/usr/bin/env\n"
	"for f in bootcode.bin start.elf start4.elf config.txt bcm2710-rpi-3-b-plus.dtb bcm2711-rpi-4-b.dtb; do\n"
	"echo $f >boot/$f; done; head -c 700000 /dev/urandom >boot/kernel8.img\n"
	"echo 'console=tty1 root=PARTUUID=5452574f-02 rootwait' >boot/cmdline.txt\n"
	"truncate -s 16M card.img\n"
	"printf 'label: dos\\nlabel-id: 0x5452574f\\nstart=2048,size=8192,type=c\\nstart=16384,size=16384,type=83\\n' |\n"
	"sfdisk -q card.img 2>/dev/null\n"
	"mkfs.fat -n bootfs -F 16 -s 1 --offset 2048 card.img 4096 >/dev/null 2>&1\n"
	"MTOOLS_SKIP_CHECK=1 mcopy -s -i card.img@@1M boot/* ::/\n"
	"mkfs.ext4 -q -F -L rootfs -d root -E offset=8388608 card.img 8M 2>/dev/null\n"
	"xz -k card.img; mv card.img.xz single.img.xz; xz -T2 --block-size=1MiB -k card.img\n"
	"gzip -k card.img; zstd -q -k card.img; bzip2 -k card.img; zip -q card.zip card.img";

static int make(void **state)
{
	static char path[300], st[300];

	dir = test_dir();
	snprintf(st, sizeof(st), "%s/state", dir);
	snprintf(path, sizeof(path), "%s/card.img", dir);
	state_dir = st;
	if (!test_sh(script, dir))
		image = path;
	return 0;
}

static int cleanup(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

static int fresh_store(void **state)
{
	return br_remove_tree(state_dir, NULL);
}

#define NEED_IMAGE()                                         \
	do {                                                 \
		test_needs(TOOLS);                           \
		assert_non_null(image);                      \
	} while (0)

static struct br_store *store_open(void)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_store *store;

	if (br_store_open(state_dir, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

static const struct br_import_options quiet = { .quiet = true };

static char *file(const char *name)
{
	return br_path_join(dir, name);
}

/* Nothing but these names is in the store (".lock" aside). */
static void assert_only(const char *names)
{
	br_cleanup(br_freep) char *out = file("ls"), *text = NULL;

	assert_int_equal(test_sh("ls -A '%s/images' | grep -vx .lock | tr '\\n' ' ' >'%s'", state_dir, out), 0);
	assert_int_equal(br_file_read(out, 4096, &text, NULL, NULL), 0);
	assert_string_equal(text, names);
}

static void hex_of_file(const char *path, char hex[static BR_SHA256_HEX])
{
	br_cleanup(br_freep) char *data = NULL;
	size_t len;

	assert_int_equal(br_file_read(path, 64 << 20, &data, &len, NULL), 0);
	br_sha256_hex(data, len, hex);
}

static void every_packing_gives_the_same_disk(void **state)
{
	static const char *const files[] = { "card.img", "card.img.xz", "single.img.xz", "card.img.gz", "card.img.zst",
		"card.img.bz2", "card.zip" };
	char want[BR_SHA256_HEX];

	NEED_IMAGE();
	hex_of_file(image, want);
	for (size_t i = 0; i < BR_ARRAY_SIZE(files); i++) {
		br_cleanup(br_freep) char *path = file(files[i]), *disk = br_asprintf("%s/images/card/disk.img", state_dir);
		br_cleanup(br_store_closep) struct br_store *store = NULL;
		struct br_import_options opt = { .quiet = true, .name = "card" };
		struct br_error err = BR_ERROR_NULL;
		struct br_image_info info;
		char got[BR_SHA256_HEX];
		struct stat st;

		fresh_store(NULL);
		store = store_open();
		if (br_store_import(store, path, &opt, &info, &err) != 0)
			fail_msg("%s: %s", files[i], err.text);
		assert_string_equal(info.sha256, want);
		hex_of_file(disk, got);
		assert_string_equal(got, want);
		assert_int_equal(stat(disk, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0444);
		assert_true((uint64_t)st.st_blocks * 512 < 4u << 20); /* of 16 MiB: holes stay holes */
		assert_true(info.allocated >= 700000 && info.allocated < 4u << 20);
		assert_only("card ");
	}
}

static void an_import_finds_out_what_it_is(void **state)
{
	br_cleanup(br_store_closep) struct br_store *store = store_open();
	struct br_error err = BR_ERROR_NULL;
	struct br_image_info info, again;

	NEED_IMAGE();
	if (br_store_import(store, image, &quiet, &info, &err) != 0)
		fail_msg("%s", err.text);
	assert_string_equal(info.name, "card");
	assert_string_equal(info.table, "mbr");
	assert_int_equal(info.n_partitions, 2);
	assert_int_equal(info.boot, 1);
	assert_int_equal(info.root, 2);
	assert_string_equal(info.partitions[0].fs, "vfat");
	assert_string_equal(info.partitions[1].fs, "ext4");
	assert_string_equal(info.partitions[1].label, "rootfs");
	assert_string_equal(info.models, "3B+ 3A+ 4B");
	assert_string_equal(info.partitions[0].label, "bootfs");
	assert_string_equal(info.os_id, "debian");
	assert_string_equal(info.os_name, "Debian GNU/Linux 12");
	assert_string_equal(info.os_version, "12");
	assert_string_equal(info.arch, "arm64");
	assert_string_equal(info.kernels, "6.1.0-x");
	assert_string_equal(info.notes, "");
	assert_string_equal(info.source, "card.img");
	assert_int_equal(br_store_info(store, "card", &again, NULL), 0);
	assert_memory_equal(&info, &again, sizeof(info));
}

static void the_same_again_is_there_already(void **state)
{
	br_cleanup(br_store_closep) struct br_store *store = store_open();
	br_cleanup(br_freep) char *xz = file("card.img.xz"), *other = file("other.img");
	struct br_import_options opt = { .quiet = true, .name = "card" };
	struct br_error err = BR_ERROR_NULL;
	struct br_image_info info, now;

	NEED_IMAGE();
	assert_int_equal(br_store_import(store, image, &opt, &info, NULL), 0);
	assert_int_equal(br_store_import(store, image, &opt, &now, NULL), 1); /* by name, size and time */
	assert_int_equal(now.imported_at, info.imported_at);
	assert_int_equal(br_store_import(store, xz, &opt, &now, NULL), 1); /* by content */
	assert_string_equal(now.source, "card.img");
	assert_int_equal(test_sh("cp '%s' '%s' && echo x | dd of='%s' bs=1 seek=4000000 conv=notrunc 2>/dev/null", image,
				 other, other), 0);
	assert_int_equal(br_store_import(store, other, &opt, &now, &err), -EEXIST);
	assert_non_null(strstr(err.text, "--replace"));
	opt.replace = true;
	assert_int_equal(br_store_import(store, other, &opt, &now, &err), 0);
	assert_string_not_equal(now.sha256, info.sha256);
	assert_only("card ");
}

static void what_is_no_image_is_refused_in_words(void **state)
{
	static const struct {
		const char *name, *make, *words;
		int r;
	} cases[] = {
		{ "nothing.img", ":", "cannot open", -ENOENT },
		{ "empty.img", ": >empty.img", "is empty", -ENODATA },
		{ "dir.img", "mkdir dir.img", "is a directory", -EISDIR },
		{ "fifo.img", "mkfifo fifo.img", "not a regular file", -ENOTSUP },
		{ "zero.img", "truncate -s 1M zero.img", "no MBR and no GPT", -ENOMEDIUM },
		{ "text.img", "yes hello | head -c 100000 >text.img", "no MBR and no GPT", -ENOMEDIUM },
		{ "small.img", "echo >small.img", "no MBR and no GPT", -ENOMEDIUM },
		{ "fat.img", "mkfs.fat -C fat.img 8192 >/dev/null", "one bare vfat", -ENOMEDIUM },
		{ "ext.img", "mkfs.ext4 -q ext.img 8M", "one bare ext4", -ENOMEDIUM },
		{ "table.img", "truncate -s 8M table.img; printf 'label: dos\\nstart=2048,type=83\\n' | sfdisk -q table.img",
			"neither a FAT", -ENOMEDIUM },
		{ "cut.img", "head -c 12M card.img >cut.img", "cut off", -EBADMSG },
		{ "cut.img.xz", "head -c 600000 card.img.xz >cut.img.xz", "cut off", -EBADMSG },
		{ "cut.img.gz", "head -c 600000 card.img.gz >cut.img.gz", "cut off", -EBADMSG },
		{ "cut.img.zst", "head -c 600000 card.img.zst >cut.img.zst", "cut off", -EBADMSG },
		{ "cut.img.bz2", "head -c 600000 card.img.bz2 >cut.img.bz2", "cut off", -EBADMSG },
		{ "cut.zip", "head -c 600000 card.zip >cut.zip", "", -EBADMSG },
		{ "bad.img.xz", "spoil card.img.xz bad.img.xz", "damaged", -EBADMSG },
		{ "bad.img.gz", "spoil card.img.gz bad.img.gz", "get it again", -EBADMSG },
		{ "bad.img.zst", "spoil card.img.zst bad.img.zst", "damaged", -EBADMSG },
		{ "bad.img.bz2", "spoil card.img.bz2 bad.img.bz2", "damaged", -EBADMSG },
		{ "bad.zip", "spoil card.zip bad.zip", "damaged", -EBADMSG },
		{ "two.zip", "cp card.img b.img; zip -q two.zip card.img b.img", "several images in this zip (card.img, b.img)",
			-ENOTSUP },
		{ "none.zip", "echo >x; echo >y; zip -q none.zip x y", "no .img in this zip", -ENOTSUP },
		{ "a.img.7z", "printf '7z\\274\\257\\047\\034xxxx' >a.img.7z", "a 7z archive", -ENOTSUP },
		{ "a.qcow2", "printf 'QFI\\373xxxx' >a.qcow2", "qemu-img convert", -ENOTSUP },
	};
	br_cleanup(br_store_closep) struct br_store *store = store_open();

	NEED_IMAGE();
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *path = file(cases[i].name);
		struct br_error err = BR_ERROR_NULL;
		int r;

		/* spoil: one byte in the middle of the random part is another */
		assert_int_equal(test_sh("cd '%s'; spoil() { cp $1 $2; printf '\\%%o' $((0$(od -An -to1 -j300000 -N1 $1 | tr -d ' ') ^ 1)) "
					 ">sp; printf \"$(cat sp)\" | dd of=$2 bs=1 seek=300000 conv=notrunc 2>/dev/null; }; %s",
					 dir, cases[i].make), 0);
		r = br_store_import(store, path, &quiet, NULL, &err);
		if (r != cases[i].r || !strstr(err.text, cases[i].words))
			fail_msg("%s: %d: %s", cases[i].name, r, err.text);
		assert_only("");
	}
}

static void odd_but_good_files_are_taken(void **state)
{
	static const struct {
		const char *name, *make, *note;
	} cases[] = {
		{ "tail.img.xz", "(cat card.img.xz; echo garbage) >tail.img.xz", "behind its end" },
		{ "tail.img.gz", "(cat card.img.gz; echo garbage) >tail.img.gz", "behind its end" },
		{ "pad.img.xz", "(cat card.img.xz; head -c 4096 /dev/zero) >pad.img.xz", "" },
		{ "two.img.xz", "(head -c 5000000 card.img | xz; tail -c +5000001 card.img | xz) >two.img.xz", "" },
		{ "two.img.gz", "(head -c 5000000 card.img | gzip; tail -c +5000001 card.img | gzip) >two.img.gz", "" },
		{ "wrongname.img", "cp card.img.xz wrongname.img", "" },
		{ "readme.zip", "echo >README; zip -q readme.zip README card.img", "" },
		{ "sole.zip", "cp card.img disk.raw; zip -q sole.zip disk.raw", "" },
		{ "tail.img", "(cat card.img; echo garbage) >tail.img", NULL },
	};
	char want[BR_SHA256_HEX];

	NEED_IMAGE();
	hex_of_file(image, want);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *path = file(cases[i].name);
		br_cleanup(br_store_closep) struct br_store *store = NULL;
		struct br_error err = BR_ERROR_NULL;
		struct br_image_info info;

		fresh_store(NULL);
		store = store_open();
		assert_int_equal(test_sh("cd '%s'; %s", dir, cases[i].make), 0);
		if (br_store_import(store, path, &quiet, &info, &err) != 0)
			fail_msg("%s: %s", cases[i].name, err.text);
		if (cases[i].note)
			assert_string_equal(info.sha256, want);
		if (cases[i].note && *cases[i].note && !strstr(info.notes, cases[i].note))
			fail_msg("%s: %s", cases[i].name, info.notes);
	}
}

static void an_interrupted_import_leaves_nothing(void **state)
{
	br_cleanup(br_store_closep) struct br_store *store = store_open();
	struct br_error err = BR_ERROR_NULL;
	bool cancelled = true;
	struct br_import_options opt = { .quiet = true, .cancelled = &cancelled };

	NEED_IMAGE();
	assert_int_equal(br_store_import(store, image, &opt, NULL, &err), -ECANCELED);
	assert_non_null(strstr(err.text, "interrupted"));
	assert_only("");
}

static void sweeping_spares_a_running_import(void **state)
{
	br_cleanup(br_freep) char *dead = br_asprintf("%s/images/.import-dead", state_dir),
				  *live = br_asprintf("%s/images/.import-live", state_dir);
	int status;
	pid_t child;

	br_store_close(store_open());
	assert_int_equal(test_sh("mkdir '%s' '%s' '%s/images/.remove-x' && echo >'%s/disk.img'", dead, live, state_dir,
				 dead), 0);
	assert_int_equal(test_sh("command -v flock >/dev/null"), 0);
	/* flock(1) holds the directory as a running import does */
	child = fork();
	if (!child)
		_exit(test_sh("exec flock -x '%s' sh -c 'echo >\"%s/held\"; sleep 3'", live, dir) != 0);
	assert_int_equal(test_sh("i=0; while [ ! -e '%s/held' ] && [ $i -lt 100 ]; do sleep 0.05; i=$((i+1)); done", dir), 0);
	br_store_close(store_open());
	assert_only(".import-live ");
	waitpid(child, &status, 0);
	br_store_close(store_open());
	assert_only("");
}

static void an_open_image_is_shared_and_kept(void **state)
{
	br_cleanup(br_store_closep) struct br_store *store = store_open(), *second = NULL;
	br_cleanup(br_image_unrefp) struct br_image *a = NULL, *b = NULL, *c = NULL;
	struct br_import_options opt = { .quiet = true, .name = "card", .replace = true };
	br_cleanup(br_freep) char *other = file("other2.img");
	const struct br_fat_entry *e;
	struct br_error err = BR_ERROR_NULL;
	uint64_t start, size;

	NEED_IMAGE();
	assert_int_equal(br_store_import(store, image, &quiet, NULL, NULL), 0);
	assert_int_equal(br_image_open(store, "card", &a, NULL), 0);
	assert_int_equal(br_image_open(store, "card", &b, NULL), 0);
	assert_ptr_equal(a, b);
	e = br_fat_lookup(br_image_boot(a), "KERNEL8.img");
	assert_non_null(e);
	assert_int_equal(e->size, 700000);
	assert_true(br_image_root(a, &start, &size));
	assert_int_equal(start, 8 << 20);
	assert_int_equal(size, 8 << 20);
	/* another process, as it were */
	second = store_open();
	assert_int_equal(br_store_remove(second, "card", &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	/* a replacement does not disturb who has it open */
	assert_int_equal(test_sh("cp '%s' '%s' && echo x | dd of='%s' bs=1 seek=4000000 conv=notrunc 2>/dev/null", image,
				 other, other), 0);
	assert_int_equal(br_store_import(second, other, &opt, NULL, &err), 0);
	assert_memory_equal(br_fat_lookup(br_image_boot(a), "start.elf")->spans[0].data, "start.elf\n", 10);
	assert_int_equal(br_image_open(store, "card", &c, NULL), 0);
	assert_ptr_not_equal(a, c);
	assert_string_not_equal(br_image_info(a)->sha256, br_image_info(c)->sha256);
	br_store_close(br_take(store)); /* images keep what they need */
	br_image_unref(br_take(c));
	assert_int_equal(br_store_remove(second, "card", &err), 0);
	assert_only("");
	assert_int_equal(br_store_remove(second, "card", &err), -ENOENT);
}

static int join_name(void *ctx, const struct br_fs_dirent *d)
{
	strcat(strcat(ctx, d->name), " ");
	return 0;
}

static void both_partitions_are_one_tree(void **state)
{
	static const struct {
		const char *path;
		int r;
		const char *text;
	} cases[] = {
		{ "/boot/firmware/START.elf", 0, "start.elf\n" },
		{ "/config", 0, "config.txt\n" }, /* a link from one partition into the other */
		{ "/boot/firmware/../firmware/./config.txt", 0, "config.txt\n" },
		{ "/boot/firmware/overlays/../../../usr/lib/os-release", 0, "ID=debian\nPRETTY_NAME" },
		{ "/boot/firmware/covered", -ENOENT, NULL },
		{ "/boot/firmware/config.txt/x", -ENOTDIR, NULL },
	};
	br_cleanup(br_store_closep) struct br_store *store = store_open();
	br_cleanup(br_image_unrefp) struct br_image *a = NULL;
	struct br_error err = BR_ERROR_NULL;
	char names[500] = "";
	struct br_fs *fs;
	uint64_t ino;
	bool eof;

	NEED_IMAGE();
	assert_int_equal(br_store_import(store, image, &quiet, NULL, NULL), 0);
	assert_int_equal(br_image_open(store, "card", &a, NULL), 0);
	if (br_view_open(a, &fs, &err) < 0)
		fail_msg("%s", err.text);
	br_image_unref(br_take(a)); /* the view holds its own */
	assert_string_equal(br_view_boot_path(fs), "/boot/firmware");
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		char buf[100];
		size_t n;

		assert_int_equal(br_fs_walk_follow(fs, cases[i].path, &ino), cases[i].r);
		if (cases[i].r)
			continue;
		assert_int_equal(fs->ops->read(fs, ino, 0, buf, strlen(cases[i].text), &n, &eof), 0);
		assert_int_equal(n, strlen(cases[i].text));
		assert_memory_equal(buf, cases[i].text, n);
	}
	assert_int_equal(br_fs_walk(fs, "/boot/firmware", &ino), 0);
	assert_int_equal(fs->ops->readdir(fs, ino, 0, join_name, names, &eof), 0);
	assert_string_equal(names, ". .. bcm2710-rpi-3-b-plus.dtb bcm2711-rpi-4-b.dtb bootcode.bin cmdline.txt config.txt "
				   "kernel8.img overlays start.elf start4.elf ");
	assert_int_equal(fs->ops->unlink(fs, ino, "config.txt"), -EROFS);
	fs->ops->close(fs);
}

/* Reads of every offset and length agree, over the pieces of a file that does not lie in one. */
static void pieces_of_a_boot_file_are_joined(void **state)
{
	br_cleanup(br_store_closep) struct br_store *store = store_open();
	br_cleanup(br_image_unrefp) struct br_image *a = NULL;
	br_cleanup(br_freep) char *whole = NULL, *path = file("boot/kernel8.img"), *part = malloc(5000);
	struct br_fs *fs;
	uint64_t ino;
	size_t len;

	NEED_IMAGE();
	assert_int_equal(br_file_read(path, 1 << 20, &whole, &len, NULL), 0);
	assert_int_equal(br_store_import(store, image, &quiet, NULL, NULL), 0);
	assert_int_equal(br_image_open(store, "card", &a, NULL), 0);
	assert_int_equal(br_view_open(a, &fs, NULL), 0);
	assert_int_equal(br_fs_walk(fs, "/boot/firmware/kernel8.img", &ino), 0);
	for (size_t at = 0; at <= len + 4001; at += 4001) {
		size_t want = at >= len ? 0 : len - at < 5000 ? len - at : 5000, n;
		bool eof;

		assert_int_equal(fs->ops->read(fs, ino, at, part, 5000, &n, &eof), 0);
		assert_int_equal(n, want);
		assert_int_equal(eof, at + 5000 >= len);
		assert_memory_equal(part, whole + (at < len ? at : 0), n);
	}
	fs->ops->close(fs);
}

struct listed {
	unsigned n, broken;
	char names[200];
};

static int take(void *ctx, const struct br_image_info *info, const char *err_text)
{
	struct listed *l = ctx;

	l->n++;
	l->broken += err_text != NULL;
	strcat(strcat(l->names, info->name), " ");
	return 0;
}

static void a_broken_entry_is_told_not_fatal(void **state)
{
	br_cleanup(br_store_closep) struct br_store *store = store_open();
	br_cleanup(br_image_unrefp) struct br_image *a = NULL;
	struct br_import_options opt = { .quiet = true };
	struct listed l = { 0 };
	struct br_error err = BR_ERROR_NULL;

	NEED_IMAGE();
	for (opt.name = "z"; opt.name; opt.name = !strcmp(opt.name, "z") ? "a" : NULL)
		assert_int_equal(br_store_import(store, image, &opt, NULL, NULL), 0);
	assert_int_equal(test_sh("cd '%s/images'; mkdir m n; echo '{' >m/image.json; cp -r z trunc; "
				 "sed -i 's/\"name\": \"z\"/\"name\": \"trunc\"/' trunc/image.json; chmod u+w trunc/disk.img; truncate -s 1M trunc/disk.img",
				 state_dir), 0);
	assert_int_equal(br_store_list(store, take, &l, NULL), 0);
	assert_string_equal(l.names, "a m n trunc z ");
	assert_int_equal(l.broken, 2);
	assert_int_equal(br_image_open(store, "m", &a, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "image m"));
	assert_int_equal(br_image_open(store, "trunc", &a, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "somebody changed it"));
	assert_int_equal(br_image_open(store, "../z", &a, &err), -EINVAL);
	assert_int_equal(br_image_open(store, "nope", &a, &err), -ENOENT);
	assert_int_equal(br_store_remove(store, "m", &err), 0);
}

static void names_come_from_files(void **state)
{
	static const struct {
		const char *file, *name;
	} cases[] = {
		{ "/x/2024-11-19-raspios-bookworm-arm64-lite.img.xz", "2024-11-19-raspios-bookworm-arm64-lite" },
		{ "Ubuntu Server (arm64).IMG.ZIP", "ubuntu-server--arm64-" },
		{ "card", "card" },
		{ ".img.xz", NULL },
		{ "---", NULL },
		{ "...x.img", "x" },
		{ "0123456789012345678901234567890123456789012345678901234567890123456789.img",
			"0123456789012345678901234567890123456789012345678901234567890123" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		char name[BR_IMAGE_NAME_MAX + 1] = "";
		struct br_error err = BR_ERROR_NULL;
		int r = br_image_name_from_file(cases[i].file, name, &err);

		assert_int_equal(r, cases[i].name ? 0 : -EINVAL);
		if (cases[i].name)
			assert_string_equal(name, cases[i].name);
	}
	assert_int_equal(br_image_name_check("a.b_c-9", NULL), 0);
	assert_int_equal(br_image_name_check("A", NULL), -EINVAL);
	assert_int_equal(br_image_name_check("", NULL), -EINVAL);
	assert_int_equal(br_image_name_check(".a", NULL), -EINVAL);
	assert_int_equal(br_image_name_check("a/b", NULL), -EINVAL);
}

/* A file system of its own that is too small: only root may mount one. */
static void a_full_disk_leaves_nothing(void **state)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_freep) char *mnt = file("small"), *big = file("big.img"), *packed = file("long.img.gz");
	struct br_error err = BR_ERROR_NULL;

	NEED_IMAGE();
	if (geteuid() != 0 || test_sh("mkdir -p '%s' && mount -t tmpfs -o size=30M none '%s' 2>/dev/null", mnt, mnt)) {
		print_message("skipped: needs to mount a tmpfs\n");
		skip();
	}
	assert_int_equal(test_sh("cd '%s'; cp card.img big.img; truncate -s 120M big.img; head -c 40M /dev/urandom | "
				 "dd of=big.img bs=1M seek=20 conv=notrunc 2>/dev/null; cp card.img long.img; "
				 "head -c 80M /dev/zero | tr '\\0' 'x' >>long.img; gzip -1 long.img", dir), 0);
	if (br_store_open(mnt, &store, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(br_store_import(store, big, &quiet, NULL, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "are needed"));
	/* the packed one fits, its contents do not */
	assert_int_equal(br_store_import(store, packed, &quiet, NULL, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "left after"));
	assert_int_equal(test_sh("test \"$(ls -A '%s/images')\" = .lock", mnt), 0);
	test_sh("umount '%s'", mnt);
}

static void what_root_imports_is_the_daemons(void **state)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_freep) char *out = file("owners"), *text = NULL;

	NEED_IMAGE();
	if (geteuid() != 0) {
		print_message("skipped: only root can give files away\n");
		skip();
	}
	assert_int_equal(mkdir(state_dir, 0755), 0);
	assert_int_equal(chown(state_dir, 12345, 12345), 0);
	store = store_open();
	assert_int_equal(br_store_import(store, image, &quiet, NULL, NULL), 0);
	assert_int_equal(test_sh("find '%s' -not -user 12345 >'%s'", state_dir, out), 0);
	assert_int_equal(br_file_read(out, 4096, &text, NULL, NULL), 0);
	assert_string_equal(text, "");
}

#define TEST(f) cmocka_unit_test_setup(f, fresh_store)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(names_come_from_files),
		TEST(every_packing_gives_the_same_disk),
		TEST(an_import_finds_out_what_it_is),
		TEST(the_same_again_is_there_already),
		TEST(what_is_no_image_is_refused_in_words),
		TEST(odd_but_good_files_are_taken),
		TEST(an_interrupted_import_leaves_nothing),
		TEST(sweeping_spares_a_running_import),
		TEST(an_open_image_is_shared_and_kept),
		TEST(both_partitions_are_one_tree),
		TEST(pieces_of_a_boot_file_are_joined),
		TEST(a_broken_entry_is_told_not_fatal),
		TEST(a_full_disk_leaves_nothing),
		TEST(what_root_imports_is_the_daemons),
	};

	return cmocka_run_group_tests(tests, make, cleanup);
}
