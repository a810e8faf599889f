/* SPDX-License-Identifier: Apache-2.0 */
/* Flashing: what boards say of their cards, names of partitions, masks, and whether U-Boot's shell takes the scripts. */
#include <stdio.h>
#include <string.h>

#include "flash/script.h"
#include "test.h"
#include "uboot/hush.h"

static void places(void **state)
{
	static const struct {
		const char *text;
		bool good;
		struct br_flash_place place;
	} cases[] = {
		{ "whole", true, { 0 } },
		{ "card/4000/8000/c0ffee42-01", true, { true, 0x4000 * 512, 0x8000 * 512, 0xc0ffee42 } },
		{ "card/2000/20000/0000002a-01", true, { true, 0x2000 * 512, 0x20000 * 512, 42 } },
		{ "card/ffffffff/1/1-01", true, { true, 0xffffffffull * 512, 512, 1 } },
		{ "", false, { 0 } }, { "card", false, { 0 } }, { "card/", false, { 0 } }, { "Whole", false, { 0 } },
		{ "card/4000/8000/c0ffee42-02", false, { 0 } }, { "card/4000/8000/c0ffee42", false, { 0 } },
		{ "card/0/8000/c0ffee42-01", false, { 0 } }, { "card/4000/0/c0ffee42-01", false, { 0 } },
		{ "card/100000000/1/1-01", false, { 0 } }, { "card/4000/8000/1c0ffee42-01", false, { 0 } },
		{ "card//8000/c0ffee42-01", false, { 0 } }, { "card/4000/8000/c0ffee42-01x", false, { 0 } },
		{ "card/40 0/8000/c0ffee42-01", false, { 0 } },
		{ "card/4000/8000/36c1a7d0-1111-2222-3333-444455556666", false, { 0 } }, /* a GPT */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct br_flash_place p, again;
		char text[64];
		int r = br_flash_place_parse(cases[i].text, &p);

		if (r != (cases[i].good ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].text, r);
		if (r < 0)
			continue;
		assert_int_equal(p.card, cases[i].place.card);
		assert_int_equal(p.first_start, cases[i].place.first_start);
		assert_int_equal(p.first_size, cases[i].place.first_size);
		assert_int_equal(p.disk_id, cases[i].place.disk_id);
		br_flash_place_format(&p, text, sizeof(text));
		assert_int_equal(br_flash_place_parse(text, &again), 0);
		assert_int_equal(again.disk_id, p.disk_id);
	}
}

static void names_of_partitions(void **state)
{
	static const struct {
		const char *was, *is;
		unsigned n;
	} cases[] = {
		{ "root=PARTUUID=5452574f-02 rootwait", "root=PARTUUID=0000c0de-03 rootwait", 1 },
		{ "PARTUUID=5452574F-01 /boot vfat\nPARTUUID=5452574f-02 / ext4\n",
			"PARTUUID=0000c0de-02 /boot vfat\nPARTUUID=0000c0de-03 / ext4\n", 2 },
		{ "PARTUUID=5452574f-03 /x", "PARTUUID=5452574f-03 /x", 0 }, /* the image has no third */
		{ "PARTUUID=5452574f-022", "PARTUUID=5452574f-022", 0 },
		{ "PARTUUID=5452574f-0", "PARTUUID=5452574f-0", 0 },
		{ "root=/dev/mmcblk0p2", "root=/dev/mmcblk0p3", 1 },
		{ "root=/dev/mmcblk0p2 rw", "root=/dev/mmcblk0p3 rw", 1 },
		{ "/dev/mmcblk0p21 /x", "/dev/mmcblk0p21 /x", 0 },
		{ "/dev/mmcblk0 /x", "/dev/mmcblk0 /x", 0 },
		{ "/dev/sda1 /boot", "/dev/sda1 /boot", 0 },
		{ "/dev/nvme0n1p2 /data", "/dev/nvme0n1p2 /data", 0 }, { "/dev/mmcblk1p1 /x", "/dev/mmcblk1p1 /x", 0 }, /* other disks */
		{ "/dev/mmcblk0p1,x", "/dev/mmcblk0p2,x", 1 },
		{ "/dev/disk/by-partuuid/5452574f-02 /", "/dev/disk/by-partuuid/0000c0de-03 /", 1 },
		{ "UUID=5452574f-02 LABEL=rootfs", "UUID=5452574f-02 LABEL=rootfs", 0 }, /* of file systems: they stay */
		{ "PARTUUID=", "PARTUUID=", 0 }, { "/dev/", "/dev/", 0 }, { "/dev/mmcblk0p", "/dev/mmcblk0p", 0 }, { "", "", 0 },
	};
	static struct br_image_info info = {
		.n_partitions = 2,
		.partitions = { { .number = 1, .partuuid = "5452574f-01" }, { .number = 2, .partuuid = "5452574f-02" } },
	};
	const unsigned to[] = { 2, 3 };
	const struct br_flash_names names = { &info, to, 0xc0de, "mmcblk0p", "mmcblk0p" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].was);
		char *text = malloc(len ? len : 1); /* to its last byte: a read beyond is seen */

		memcpy(text, cases[i].was, len);
		assert_int_equal(br_flash_rename(&names, text, len).changed, cases[i].n);
		if (memcmp(text, cases[i].is, len) != 0)
			fail_msg("%s became %.*s", cases[i].was, (int)len, text);
		free(text);
	}
}

/* A GPT's names are longer than an MBR's: the rest becomes blanks. */
static void names_of_a_gpt(void **state)
{
	static struct br_image_info info = {
		.n_partitions = 1,
		.partitions = { { .number = 2, .partuuid = "0fc63daf-8483-4772-8e79-3d69d8477de4" } },
	};
	const unsigned to[] = { 3 };
	char text[] = "root=PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4 rw";

	const struct br_flash_names names = { .info = &info, .to = to, .disk_id = 0xdeadbeef };

	assert_int_equal(br_flash_rename(&names, text, strlen(text)).changed, 1);
	assert_string_equal(text, "root=PARTUUID=deadbeef-03                          rw");
}

/* Of one disk to another: shorter names are filled up with blanks, longer ones have no room. */
static void names_of_disks(void **state)
{
	static const struct {
		const char *from, *to, *was, *is;
		unsigned changed, stuck;
	} cases[] = {
		{ "mmcblk0p", "nvme0n1p", "root=/dev/mmcblk0p2 rw", "root=/dev/nvme0n1p3 rw", 1, 0 },
		{ "mmcblk0p", "sda", "root=/dev/mmcblk0p2 rw", "root=/dev/sda3      rw", 1, 0 },
		{ "mmcblk0p", "sda", "/dev/mmcblk0p1\t/boot", "/dev/sda2     \t/boot", 1, 0 },
		{ "mmcblk0p", "sda", "root=/dev/mmcblk0p2", "root=/dev/sda3     ", 1, 0 },
		{ "mmcblk0p", "sda", "x=/dev/mmcblk0p2,y", "x=/dev/mmcblk0p2,y", 0, 1 },
		{ "sda", "mmcblk0p", "root=/dev/sda2 rw", "root=/dev/sda2 rw", 0, 1 },
		{ "sda", "mmcblk0p", "/dev/sda7 /x", "/dev/sda7 /x", 0, 0 }, /* the image has no 7 */
		{ "", "mmcblk0p", "/dev/sda2 /x", "/dev/sda2 /x", 0, 0 },
		{ "mmcblk0p", "mmcblk1p", "/dev/mmcblk0p12 /", "/dev/mmcblk1p7  /", 1, 0 },
	};
	static struct br_image_info info = {
		.n_partitions = 3,
		.partitions = { { .number = 1 }, { .number = 2 }, { .number = 12 } },
	};
	const unsigned to[] = { 2, 3, 7 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct br_flash_names names = { .info = &info, .to = to };
		struct br_flash_renamed n;
		char text[80];

		snprintf(names.was, sizeof(names.was), "%s", cases[i].from);
		snprintf(names.is, sizeof(names.is), "%s", cases[i].to);
		snprintf(text, sizeof(text), "%s", cases[i].was);
		n = br_flash_rename(&names, text, strlen(text));
		if (n.changed != cases[i].changed || n.stuck != cases[i].stuck || strcmp(text, cases[i].is) != 0)
			fail_msg("%s became %s", cases[i].was, text);
	}
}

/* Which disk an image means by its own. */
static void own_disks(void **state)
{
	static const struct {
		bool fstab;
		const char *text, *disk;
	} cases[] = {
		{ false, "console=tty1 root=/dev/mmcblk0p2 rootwait", "mmcblk0p" }, { false, "root=/dev/sda2", "sda" },
		{ false, "root=PARTUUID=1-02 /dev/sda1", "" }, { false, "nfsroot=/dev/sda2 x", "" }, { false, "root=", "" }, { false, "", "" },
		{ true, "/dev/sda1 /data ext4\n/dev/nvme0n1p2 / ext4\n", "nvme0n1p" }, { true, "#/dev/sda1 / ext4\n", "" },
		{ true, "/dev/mmcblk0p1\t/boot/firmware vfat", "mmcblk0p" }, { true, "/dev/sda1 /srv x\n/dev/sdb1 /mnt/boot x\n", "" },
		{ true, "\n\n /dev/sda1 /\n", "" }, { true, "/dev/sda /\n", "" }, { true, "/dev/sda1", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text);
		char disk[BR_FLASH_DISK_NAME] = "", *text = malloc(len ? len : 1); /* to its last byte */

		memcpy(text, cases[i].text, len);
		if (br_flash_own_disk(text, len, cases[i].fstab, disk) != (cases[i].disk[0] != 0) || strcmp(disk, cases[i].disk) != 0)
			fail_msg("%s: %s", cases[i].text, disk);
		free(text);
	}
	char disk[BR_FLASH_DISK_NAME];
	static const char *const linux_names[][2] = { { "mmc", "mmcblk1p" }, { "nvme", "nvme1n1p" }, { "usb", "sdb" }, { "scsi", "sdb" }, { "virtio", "vdb" } };

	for (size_t i = 0; i < sizeof(linux_names) / sizeof(linux_names[0]); i++) {
		br_flash_linux_disk(linux_names[i][0], 1, disk);
		assert_string_equal(disk, linux_names[i][1]);
	}
}

static void masks(void **state)
{
	struct br_flash_mask m;

	assert_int_equal(br_flash_mask_parse("all", 20, &m), 0);
	assert_int_equal(m.bits[0], 0xffff);
	assert_int_equal(m.bits[1], 0x000f);
	assert_int_equal(br_flash_mask_parse("8001.2.", 20, &m), 0);
	assert_int_equal(m.bits[0], 0x8001);
	assert_int_equal(m.bits[1], 2);
	static const char *const bad[] = { "", ".", "0.0.", "1.", "1.2.3.", "1.10.", "10000.0.", "g.0.", "1.2", "ALL", "-1.0.", "1..2." };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (br_flash_mask_parse(bad[i], 20, &m) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
}

static void targets(void **state)
{
	static const char *const bad[] = { "", "mmc", "mmc-1", "mmc0x", "sda", "mmc100", "virtio 0 1", "0" };
	char bif[8];
	unsigned dev;

	assert_int_equal(br_flash_target_parse("mmc0", bif, &dev), 0);
	assert_string_equal(bif, "mmc");
	assert_int_equal(br_flash_target_parse("nvme 12", bif, &dev), 0);
	assert_string_equal(bif, "nvme");
	assert_int_equal(dev, 12);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (br_flash_target_parse(bad[i], bif, &dev) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
}

static void tell(void *ctx, const struct br_hush_problem *p)
{
	print_message("# line %u: %s\n", p->line, p->text);
}

static void scripts_are_understood(void **state)
{
	static const char *const bifs[] = { "mmc", "virtio", "nvme", "usb", "scsi" };

	for (size_t i = 0; i < 2 * sizeof(bifs) / sizeof(bifs[0]); i++) {
		struct br_flash_job job = { .id = 4711, .fine = i & 1 };
		struct br_text t = BR_TEXT_NULL;
		unsigned warnings;

		snprintf(job.bif, sizeof(job.bif), "%s", bifs[i / 2]);
		br_flash_script_start(&job, &t);
		/* what keeps a recovery card, a disk of large sectors, and verification from a cache's lies (found by review) */
		assert_non_null(strstr(t.buf, "setenv bf_fail sectors"));
		assert_non_null(strstr(t.buf, "if test \"${bramble_card}\" = \""));
		assert_non_null(strstr(t.buf, "blkcache configure 0 0"));
		assert_non_null(strstr(t.buf, "wdt stop"));
		br_flash_script_wait(&t);
		br_flash_script_stop("plan", &t);
		assert_false(t.failed);
		assert_int_equal(br_hush_check(t.buf, t.len, tell, NULL, &warnings), 0);
		assert_int_equal(warnings, 0);
		br_text_done(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places), cmocka_unit_test(names_of_partitions), cmocka_unit_test(names_of_a_gpt),
		cmocka_unit_test(names_of_disks), cmocka_unit_test(own_disks),
		cmocka_unit_test(masks), cmocka_unit_test(targets), cmocka_unit_test(scripts_are_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
