/* SPDX-License-Identifier: Apache-2.0 */
/* The running boots when the database undoes what they were begun with. */
#include "tests/unit/apiserver.h"

#include "fleet/db.h"

static struct br_board save(const char *name, uint8_t mac)
{
	struct br_board b = { .mac = { { 2, 0, 0, 0, 0, mac } } };

	snprintf(b.name, sizeof(b.name), "%s", name);
	assert_int_equal(br_board_save(sv.fleet, &b, NULL), 0);
	return b;
}

/* The number of the boot a board is in now; its plan must be its own. */
static uint64_t reach(const struct br_board *board, enum br_stage stage, bool is_new)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_plan *plan;
	bool began;
	uint64_t boot;

	if (br_boots_reach(sv.boots, board, stage, &plan, &began, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(began, is_new);
	assert_string_equal(br_plan_input(plan)->board.name, board->name);
	boot = br_plan_input(plan)->boot;
	br_plan_unref(plan);
	return boot;
}

/* As a full disk does it. */
static void lose_group(void)
{
	uint64_t ticket;

	assert_int_equal(sqlite3_exec(sv.fleet->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_true(br_group_end(sv.fleet, &ticket, NULL) < 0);
}

static void boots_of_an_undone_group_are_forgotten(void **state)
{
	struct br_boot_status st;
	struct br_board old, a, b;
	uint64_t ticket, boot;

	NEED_IMAGE();
	old = save("old", 1);
	assert_int_equal(reach(&old, BR_STAGE_FIRMWARE_DHCP, true), 1);
	br_boots_settle(sv.boots, true);
	reach(&old, BR_STAGE_FIRMWARE_FILES, false);
	br_group_begin(sv.fleet);
	assert_int_equal(reach(&old, BR_STAGE_FIRMWARE_DHCP, true), 2);
	reach(&old, BR_STAGE_FIRMWARE_FILES, false);
	a = save("a", 2);
	reach(&a, BR_STAGE_FIRMWARE_DHCP, true);
	lose_group();
	br_boots_settle(sv.boots, false);
	assert_int_equal(br_boots_status(sv.boots, old.id, &st), -ENOENT);
	assert_int_equal(br_boots_status(sv.boots, a.id, &st), -ENOENT);
	b = save("b", 3);
	assert_int_equal(b.id, a.id);
	/* the next group stands, and what began in it */
	br_group_begin(sv.fleet);
	boot = reach(&old, BR_STAGE_FIRMWARE_DHCP, true);
	assert_int_equal(br_group_end(sv.fleet, &ticket, NULL), 1);
	br_boots_settle(sv.boots, true);
	br_boots_settle(sv.boots, false);
	assert_int_equal(reach(&old, BR_STAGE_FIRMWARE_DHCP, false), boot);
}

/* An id that is given anew: its plan is not that of the board that had it. */
static void a_plan_is_of_one_board(void **state)
{
	struct br_board c, other;

	NEED_IMAGE();
	c = save("c", 4);
	reach(&c, BR_STAGE_FIRMWARE_DHCP, true);
	other = c;
	other.mac.b[5] = 5;
	snprintf(other.name, sizeof(other.name), "other");
	reach(&other, BR_STAGE_FIRMWARE_DHCP, true);
	reach(&c, BR_STAGE_NONE, false);
	/* it comes to be known better, and then has another MAC */
	c.serial_known = true;
	c.serial = 0x10000000abcd1234;
	reach(&c, BR_STAGE_FIRMWARE_FILES, false);
	reach(&c, BR_STAGE_FIRMWARE_DHCP, true);
	c.mac.b[5] = 6;
	c.serial = 0xabcd1234;
	reach(&c, BR_STAGE_FIRMWARE_FILES, false);
	c.serial = 0xabcd1235;
	reach(&c, BR_STAGE_FIRMWARE_FILES, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boots_of_an_undone_group_are_forgotten),
		cmocka_unit_test(a_plan_is_of_one_board),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
