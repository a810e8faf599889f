/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/partition.h"
#include "tests/unit/shell.h"

#define MIB (1ull << 20)

static int memory_file(uint64_t size)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* One MBR entry at slot i. */
static void mbr_entry(uint8_t *sector, int i, uint8_t type, uint32_t start, uint32_t n)
{
	uint8_t *p = sector + 446 + 16 * i;

	p[4] = type;
	br_store_le32(p + 8, start);
	br_store_le32(p + 12, n);
	sector[510] = 0x55;
	sector[511] = 0xaa;
}

static void an_mbr_is_read(void **state)
{
	br_cleanup(br_closep) int fd = memory_file(64 * MIB);
	uint8_t sector[512] = { 0 }, magic[2] = { 0x53, 0xef };
	struct br_partitions t;

	br_store_le32(sector + 440, 0x5452574f);
	mbr_entry(sector, 0, 0x0c, 16384, 32768);
	mbr_entry(sector, 1, 0x83, 65536, 65536);
	br_pwrite_all(fd, sector, sizeof(sector), 0);
	br_pwrite_all(fd, magic, 2, 65536 * 512 + 1024 + 56);
	br_pwrite_all(fd, "\x40", 1, 65536 * 512 + 1024 + 96);
	br_pwrite_all(fd, "root\x1b", 5, 65536 * 512 + 1024 + 120);
	assert_int_equal(br_partitions_read(fd, 64 * MIB, &t, NULL), 0);
	assert_string_equal(t.table, "mbr");
	assert_int_equal(t.n, 2);
	assert_int_equal(t.p[0].number, 1);
	assert_int_equal(t.p[0].start, 8 * MIB);
	assert_int_equal(t.p[0].size, 16 * MIB);
	assert_int_equal(t.p[0].mbr_type, 0x0c);
	assert_string_equal(t.p[0].fs, "");
	assert_string_equal(t.p[0].partuuid, "5452574f-01");
	assert_string_equal(t.p[1].fs, "ext4");
	assert_string_equal(t.p[1].label, "root?");
	assert_string_equal(t.p[1].partuuid, "5452574f-02");
}

static void a_broken_table_is_refused(void **state)
{
	static const struct {
		const char *name;
		uint32_t start, n;
		uint8_t flag;
		uint64_t size;
		int r;
		const char *words;
	} cases[] = {
		{ "beyond the end", 2048, 131072, 0, 64 * MIB, -EBADMSG, "cut off" },
		{ "far beyond", 0xfffffff0, 0xfffffff0, 0, 64 * MIB, -EBADMSG, "cut off" },
		{ "empty", 0, 0, 0, 64 * MIB, -ENOMEDIUM, "empty" },
		{ "boot code, not a table", 2048, 2048, 0x33, 64 * MIB, -ENOMEDIUM, "no MBR" },
		{ "tiny", 0, 1, 0, 512, -ENOMEDIUM, "no MBR" },
		{ "nothing", 0, 1, 0, 0, -ENOMEDIUM, "no MBR" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_closep) int fd = memory_file(cases[i].size);
		uint8_t sector[512] = { 0 };
		struct br_error err = BR_ERROR_NULL;
		struct br_partitions t;

		mbr_entry(sector, 0, 0x83, cases[i].start, cases[i].n);
		sector[446] = cases[i].flag;
		if (cases[i].size)
			br_pwrite_all(fd, sector, sizeof(sector), 0);
		if (br_partitions_read(fd, cases[i].size, &t, &err) != cases[i].r || !strstr(err.text, cases[i].words))
			fail_msg("%s: %s", cases[i].name, err.text);
	}
}

static void logical_partitions_that_loop_end(void **state)
{
	br_cleanup(br_closep) int fd = memory_file(16 * MIB);
	uint8_t sector[512] = { 0 };
	struct br_partitions t;

	mbr_entry(sector, 0, 0x05, 2048, 16384);
	br_pwrite_all(fd, sector, sizeof(sector), 0);
	memset(sector, 0, sizeof(sector));
	mbr_entry(sector, 0, 0x83, 64, 128);
	mbr_entry(sector, 1, 0x05, 0, 16384); /* the next table is this one */
	br_pwrite_all(fd, sector, sizeof(sector), MIB);
	(void)br_partitions_read(fd, 16 * MIB, &t, NULL);
}

static void a_gpt_is_read(void **state)
{
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), "gpt");
	br_cleanup(br_closep) int fd = -1;
	struct br_partitions t;
	struct br_error err = BR_ERROR_NULL;

	test_needs("sfdisk mkfs.ext4 mkfs.fat");
	assert_int_equal(test_sh("truncate -s 64M '%s' && printf 'label: gpt\\n"
				 "start=2048,size=32768,type=U,name=boot,uuid=0ABCDEF0-1234-4321-ABCD-0123456789AB\\n"
				 "start=40960,size=65536\\n' | sfdisk -q '%s' >/dev/null 2>&1 && "
				 "mkfs.fat --offset 2048 '%s' 16384 >/dev/null 2>&1 && "
				 "mkfs.ext4 -q -L rootfs -E offset=20971520 '%s' 32M 2>/dev/null",
				 path, path, path, path), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (br_partitions_read(fd, 64 * MIB, &t, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(t.table, "gpt");
	assert_int_equal(t.n, 2);
	assert_string_equal(t.p[0].partuuid, "0abcdef0-1234-4321-abcd-0123456789ab");
	assert_string_equal(t.p[0].label, "boot");
	assert_string_equal(t.p[0].fs, "vfat");
	assert_string_equal(t.p[1].fs, "ext4");
	assert_string_equal(t.p[1].label, "rootfs");
	assert_int_equal(t.p[1].mbr_type, 0);
}

static void a_bare_file_system_is_named(void **state)
{
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), "bare");
	br_cleanup(br_closep) int fd = -1;
	struct br_partitions t;
	struct br_error err = BR_ERROR_NULL;

	test_needs("mkfs.fat");
	assert_int_equal(test_sh("mkfs.fat -C '%s' 16384 >/dev/null", path), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(br_partitions_read(fd, 16 * MIB, &t, &err), -ENOMEDIUM);
	assert_non_null(strstr(err.text, "bare vfat"));
}

static int remove_dir(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_mbr_is_read),
		cmocka_unit_test(a_broken_table_is_refused),
		cmocka_unit_test(logical_partitions_that_loop_end),
		cmocka_unit_test(a_gpt_is_read),
		cmocka_unit_test(a_bare_file_system_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, remove_dir);
}
