/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to flash, from the order to the system that shows itself, by what a board's U-Boot asks for. */
#include "tests/unit/test.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sign_of_life_from_before_counts_for_nothing),
		cmocka_unit_test(contact_is_what_boots),
		cmocka_unit_test(chunks_are_packed_elsewhere),
	};

	return cmocka_run_group_tests(tests, lab_start, lab_stop);
}
