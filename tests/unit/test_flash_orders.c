/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to flash, from the order to the system that shows itself, by what a board's U-Boot asks for. */
#include "tests/unit/test.h"

#include <unistd.h>

#include "flash/map.h"
#include "tests/unit/flashlab.h"

#define DOS "label: dos\\nlabel-id: 0x1\\nstart=2048,size=8192,type=c\\nstart=16384,size=32768,type=83\\n"
#define FSTAB "PARTUUID=00000001-01 /boot vfat\\nPARTUUID=00000001-02 / ext4\\n"

static void make_small(void)
{
	static bool made;

	if (!made)
		lab_image("small", DOS, "root=PARTUUID=00000001-02 rootwait", FSTAB);
	made = true;
}

/* From the start script to 'done'. */
static int64_t flash(const struct br_board *board, const char *target, const char *up)
{
	int64_t order = lab_order(board, "small", target, up);

	assert_int_equal(lab_ask(board, "bramble/flash.scr"), 0);
	assert_int_equal(lab_get(board, order, LAB_CARD), 0);
	assert_int_equal(lab_get(board, order, "w/0/all"), 0);
	assert_int_equal(lab_get(board, order, "t/w"), 0);
	assert_int_equal(lab_get(board, order, "done"), 0);
	return order;
}

/* The old system asks for an address until the reset, and what it asked is looked at later. */
static void a_sign_of_life_from_before_counts_for_nothing(void **state)
{
	test_needs(FLASH_TOOLS);
	make_small();
	uint64_t before_ns = br_now_ns();
	int64_t order = flash(&lab.board, "mmc0", "dhcp");

	assert_int_equal(lab_status(order).order.state, BR_FLASH_VERIFIED);
	br_flash_seen(lab.flash, lab.board.id, "dhcp", before_ns);
	br_flash_seen(lab.flash, lab.other.id, "dhcp", br_now_ns());
	br_flash_seen(lab.flash, lab.board.id, "url", br_now_ns());
	assert_false(lab_becomes(order, BR_FLASH_DONE, 2500));
	br_flash_seen(lab.flash, lab.board.id, "dhcp", br_now_ns());
	assert_true(lab_becomes(order, BR_FLASH_DONE, 5000));
}

/* A lease that a running system renews does not say that the board was reset. */
static void contact_is_what_boots(void **state)
{
	test_needs(FLASH_TOOLS);
	make_small();
	uint64_t before_ns = br_now_ns();
	int64_t order = lab_order(&lab.board, "small", "mmc0", "dhcp");

	br_flash_seen(lab.flash, lab.board.id, "dhcp", br_now_ns());
	br_flash_seen(lab.flash, lab.board.id, "boot", before_ns - 1);
	for (unsigned i = 0; i < 250 && !lab_status(order).contact; i++)
		(void)poll(NULL, 0, 10);
	assert_false(lab_status(order).contact);
	br_flash_seen(lab.flash, lab.board.id, "boot", br_now_ns());
	for (unsigned i = 0; i < 500 && !lab_status(order).contact; i++)
		(void)poll(NULL, 0, 10);
	assert_true(lab_status(order).contact);
	assert_int_equal(br_flash_withdraw(lab.flash, order, "", "", false, NULL), 0);
}

/* Nobody who answers boards waits for a chunk to be packed; it is asked for until it is there, and boards share it. */
static void chunks_are_packed_elsewhere(void **state)
{
	test_needs(FLASH_TOOLS);
	make_small();
	br_cleanup(br_freep) char *first = NULL;
	int64_t order = lab_order(&lab.board, "small", "mmc1", "none");
	char path[80];
	size_t len;

	assert_int_equal(lab_ask(&lab.board, "bramble/flash.scr"), 0);
	assert_int_equal(lab_get(&lab.board, order, LAB_CARD), 0);
	snprintf(path, sizeof(path), "bramble/flash/%lld/w/1/all", (long long)order);
	assert_int_equal(lab_ask(&lab.board, path), -EINPROGRESS);
	assert_int_equal(lab_status(order).written, 0);
	assert_int_equal(lab_get(&lab.board, order, "w/1/all"), 0);
	assert_int_equal(lab_status(order).written, 1);
	assert_int_equal(lab_status(order).retries, 0);
	assert_int_equal(lab_get(&lab.board, order, "w/1/all"), 0);
	assert_int_equal(lab_status(order).retries, 1);
	len = lab.len;
	first = malloc(len);
	memcpy(first, lab.text, len);
	/* a card with another number: /etc/fstab is in this window, so it is packed anew; in the next order it is there */
	order = lab_order(&lab.other, "small", "mmc1", "none");
	assert_int_equal(lab_ask(&lab.other, "bramble/flash.scr"), 0);
	assert_int_equal(lab_get(&lab.other, order, "plan/n/card/4000/8000/00c0ffee-01"), 0);
	snprintf(path, sizeof(path), "bramble/flash/%lld/w/1/all", (long long)order);
	assert_int_equal(lab_ask(&lab.other, path), -EINPROGRESS);
	assert_int_equal(lab_get(&lab.other, order, LAB_CARD), 0);
	assert_int_equal(lab_ask(&lab.other, path), 0);
	assert_int_equal(lab.len, len);
	assert_memory_equal(lab.text, first, len);
	/* little is packed at once: it costs less than asking again */
	snprintf(path, sizeof(path), "bramble/flash/%lld/w/0/all", (long long)order);
	assert_int_equal(lab_ask(&lab.other, path), 0);
}

/* A card with a recovery partition of 64 MiB from 4 MiB on, and behind it what the board was told to write there. */
static void lay(const struct br_flash_plan *plan, const char *file)
{
	uint8_t sector[BR_FLASH_SECTOR], mbr[BR_FLASH_SECTOR] = { 0 };
	uint64_t at;
	br_cleanup(br_freep) char *path = br_path_join(lab.dir, file);
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	memcpy(mbr + 440, "\x42\xee\xff\xc0", 4);
	mbr[446 + 4] = 0x0c;
	mbr[446 + 9] = 0x20; /* 8192 */
	mbr[446 + 14] = 2;   /* 131072 */
	br_flash_plan_table(plan, mbr + 462);
	memcpy(mbr + 510, "\x55\xaa", 2);
	assert_int_equal(fwrite(mbr, sizeof(mbr), 1, f), 1);
	for (unsigned i = 0; br_flash_plan_logical(plan, i, sector, &at); i++) {
		assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
		assert_int_equal(fwrite(sector, sizeof(sector), 1, f), 1);
	}
	assert_int_equal(fclose(f), 0);
	assert_int_equal(truncate(path, (off_t)br_flash_plan_end(plan)), 0);
}

/* Images for A/B updates have more partitions than an MBR has entries: the others are logical ones, as sfdisk reads them. */
static void five_partitions_lie_behind_a_recovery_partition(void **state)
{
	test_needs(FLASH_TOOLS);
	static const struct {
		const char *name, *parts;
	} cases[] = {
		{ "gpt5", "label: gpt\\nstart=2048,size=8192,type=U\\nstart=16384,size=16384,type=L\\nstart=34816,size=2048,type=L\\n"
			  "start=38912,size=2048,type=L\\nstart=43008,size=2048,type=L\\n" },
		{ "mbr5", "label: dos\\nlabel-id: 0x1\\nstart=2048,size=8192,type=c\\nstart=16384,size=16384,type=83\\nstart=34816,size=2048,type=83\\n"
			  "start=36864,size=20000,type=5\\nstart=38912,size=2048,type=83\\nstart=43008,size=2048,type=83\\n" },
	};
	const struct br_flash_place place = { true, 4ull << 20, 64ull << 20, 0xc0ffee42 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct br_error err = BR_ERROR_NULL;
		struct br_image *image;
		struct br_flash_map *map;
		struct br_flash_plan *plan;

		lab_image(cases[i].name, cases[i].parts, "root=/dev/mmcblk0p2 rootwait", "/dev/mmcblk0p5 /data ext4\\n/dev/sda1 /usb ext4\\n");
		assert_int_equal(br_image_open(lab.store, cases[i].name, &image, &err), 0);
		assert_int_equal(br_image_info(image)->n_partitions, 5);
		assert_int_equal(br_flash_map_new(image, NULL, NULL, &map, &err), 0);
		if (br_flash_plan_new(map, &place, "mmcblk0p", &plan, &err) < 0)
			fail_msg("%s", err.text);
		for (unsigned k = 0; k < 5; k++)
			assert_int_equal(br_flash_plan_number(plan, br_image_info(image)->partitions[k].number), k < 2 ? k + 2 : k + 3);
		/* root's fstab: its own /data is now 6 (GPT: 7), the stick stays */
		assert_non_null(strstr(br_flash_plan_notes(plan), "cmdline.txt: 1 name of partitions changed"));
		assert_non_null(strstr(br_flash_plan_notes(plan), "/etc/fstab: 1 name of partitions changed"));
		lay(plan, "card5.img");
		assert_int_equal(test_sh("cd '%s'; sfdisk -l -o device,start,sectors,type card5.img >list 2>err || exit 1; ! test -s err || exit 2; "
					 "grep -q 'card5.img1 *8192 *131072 ' list && grep -q 'card5.img4 .*Ext' list && "
					 "grep -q 'card5.img5 *[0-9]* *2048 Linux' list && grep -q 'card5.img7 *[0-9]* *2048 Linux' list && "
					 "! grep -q card5.img8 list && sfdisk --verify card5.img >/dev/null || { cat list err; exit 3; }", lab.dir), 0);
		br_flash_plan_unref(plan);
		br_flash_map_unref(map);
		br_image_unref(image);
	}
}

/* Names for which there is no room are told before anything is written. */
static void a_root_that_cannot_be_renamed_is_refused(void **state)
{
	test_needs(FLASH_TOOLS);
	const struct br_flash_place card = { true, 4ull << 20, 64ull << 20, 0xc0ffee42 }, whole = { 0 };
	struct br_error err = BR_ERROR_NULL;
	struct br_image *image;
	struct br_flash_map *map;
	struct br_flash_plan *plan;

	lab_image("usbroot", DOS, "root=/dev/sda2 rootwait", "/dev/sda1 /boot vfat\\n");
	assert_int_equal(br_image_open(lab.store, "usbroot", &image, &err), 0);
	assert_int_equal(br_flash_map_new(image, NULL, NULL, &map, &err), 0);
	assert_int_equal(br_flash_plan_new(map, &card, "mmcblk0p", &plan, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "names its partitions as sda..., which is mmcblk0p... on this target"));
	err = BR_ERROR_NULL;
	assert_int_equal(br_flash_plan_new(map, &card, "sda", &plan, &err), 0);
	br_flash_plan_unref(plan);
	assert_int_equal(br_flash_plan_new(map, &whole, "mmcblk0p", &plan, &err), 0);
	assert_non_null(strstr(br_flash_plan_notes(plan), "then it does not boot"));
	br_flash_plan_unref(plan);
	br_flash_map_unref(map);
	br_image_unref(image);
}

static int64_t nobody(void *ctx, int64_t board_id)
{
	return 0;
}

/* Neither one that waits nor one that is written outlives the job that ordered it; the board's road stays. */
static void an_order_ends_with_its_reservation(void **state)
{
	test_needs(FLASH_TOOLS);
	make_small();
	struct br_board mine = { .name = "mine", .mac = { { 2, 0, 0, 0, 0, 9 } } };

	assert_int_equal(br_board_save(lab.fleet, &mine, NULL), 0);
	for (int i = 0; i < 3; i++) {
		struct br_flash_order o = { .board_id = mine.id, .image = "small", .target = "mmc0", .verify = "hash", .up = "none",
			.reservation = 7 };
		struct br_board board;

		assert_int_equal(br_flash_order(lab.flash, &o, NULL), 0);
		br_flash_reserved(lab.flash, mine.id, 7);
		assert_int_equal(lab_status(o.id).order.state, BR_FLASH_WAITING);
		assert_int_equal(lab_status(o.id).order.reservation, 7);
		if (i == 1) {
			assert_int_equal(lab_ask(&mine, "bramble/flash.scr"), 0);
			assert_int_equal(lab_get(&mine, o.id, LAB_CARD), 0);
		}
		if (i == 2)
			br_flash_check_reserved(lab.flash, nobody, NULL);
		else
			br_flash_reserved(lab.flash, mine.id, 0);
		assert_int_equal(lab_status(o.id).order.state, BR_FLASH_CANCELLED);
		assert_non_null(strstr(lab_status(o.id).order.reason, "r7"));
		assert_int_equal(lab_get(&mine, o.id, "done"), -ENOENT);
		assert_int_equal(br_board_by_id(lab.fleet, mine.id, &board), 0);
		assert_string_equal(board.road, mine.road);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sign_of_life_from_before_counts_for_nothing),
		cmocka_unit_test(contact_is_what_boots),
		cmocka_unit_test(chunks_are_packed_elsewhere),
		cmocka_unit_test(five_partitions_lie_behind_a_recovery_partition),
		cmocka_unit_test(a_root_that_cannot_be_renamed_is_refused),
		cmocka_unit_test(an_order_ends_with_its_reservation),
	};

	return cmocka_run_group_tests(tests, lab_start, lab_stop);
}
