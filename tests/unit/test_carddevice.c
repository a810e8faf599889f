/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices a card may be written onto, by a made-up sysfs: names count for nothing. */
#include "tests/unit/test.h"

#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cli/carddevice.h"
#include "tests/unit/shell.h"

static const char *dir;

static int set_up(void **state)
{
	dir = test_dir();
	/* 8:0 the host's disk with two partitions, 8:16 a stick, 179:0 a card in a reader on the PCI bus, 179:32 the host's eMMC */
	return test_sh("set -e; cd '%s'; mkdir -p sys/dev/block d/sda/sda1 d/sdb/sdb1 d/mmcblk0/device d/mmcblk1/device d/mmcblk1/mmcblk1p2\n"
		       "for x in sda sdb mmcblk0 mmcblk1; do echo 0 >d/$x/removable; done; echo 1 >d/sdb/removable\n"
		       "for x in sda/sda1 sdb/sdb1 mmcblk1/mmcblk1p2; do echo 1 >d/$x/partition; done\n"
		       "echo SD >d/mmcblk0/device/type; echo MMC >d/mmcblk1/device/type\n"
		       "cd sys/dev/block; ln -s ../../../d/sda 8:0; ln -s ../../../d/sda/sda1 8:1; ln -s ../../../d/sdb 8:16\n"
		       "ln -s ../../../d/sdb/sdb1 8:17; ln -s ../../../d/mmcblk0 179:0; ln -s ../../../d/mmcblk1 179:32\n"
		       "ln -s ../../../d/mmcblk1/mmcblk1p2 179:34\n", dir);
}

static int tear_down(void **state)
{
	return br_remove_tree(dir, NULL);
}

static int check(const char *name, unsigned major, unsigned minor, const char *mounts, struct br_error *err)
{
	br_cleanup(br_freep) char *sys = br_path_join(dir, "sys"), *path = br_path_join(dir, "mountinfo");
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(mounts, f);
	fclose(f);
	*err = (struct br_error)BR_ERROR_NULL;
	return br_card_device_check(name, makedev(major, minor), sys, path, err);
}

static void devices_are_judged_by_what_they_are(void **state)
{
	static const struct {
		const char *name; /* tells nothing */
		unsigned major, minor;
		const char *mounts;
		int code;
		const char *words;
	} cases[] = {
		{ "/dev/sdb", 8, 16, "", 0, NULL },
		{ "/dev/disk/by-id/usb-stick", 8, 16, "", 0, NULL },
		{ "/dev/mmcblk0", 179, 0, "30 1 8:1 / / rw\n", 0, NULL },
		{ "/dev/mmcblk0", 8, 0, "", -EPERM, "not removable" }, /* a link with a card's name to the host's disk */
		{ "/dev/mmcblk1", 179, 32, "", -EPERM, "not removable" }, /* its eMMC */
		{ "/dev/mmcblk0", 8, 1, "", -EINVAL, "is a partition" },
		{ "/dev/x", 179, 34, "", -EINVAL, "is a partition" },
		{ "/dev/sdb", 8, 16, "30 1 8:1 / / rw\n31 30 8:17 / /mnt/a\\040b rw,x - ext4 /dev/other rw\n", -EBUSY, "is mounted at /mnt/a" },
		{ "/dev/sdb", 8, 16, "30 1 8:16 / /mnt rw\n", -EBUSY, "is mounted at /mnt" },
		{ "/dev/sdb", 8, 16, "nonsense\n30 1 x:y / /mnt rw\n", 0, NULL },
		{ "/dev/sdz", 65, 1, "", -ENODEV, "sysfs does not know" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct br_error err;
		int r = check(cases[i].name, cases[i].major, cases[i].minor, cases[i].mounts, &err);

		if (r != cases[i].code || (r < 0 && !strstr(err.text, cases[i].words)))
			fail_msg("%s %u:%u: %d %s", cases[i].name, cases[i].major, cases[i].minor, r, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices_are_judged_by_what_they_are),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
