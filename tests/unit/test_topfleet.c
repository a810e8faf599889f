/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet of 'bramble top', from what the API says. */
#include "cli/topfleet.h"

#include "test.h"

#define BOARD(name, stage, more) "{\"name\":\"" name "\",\"boot\":{\"number\":1,\"stage\":\"" stage "\",\"stage_at\":\"2026-11-21T10:00:00.0Z\"}" more "}"
#define AT 1795255200 /* 2026-11-21T10:00:00Z */

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);

	if (!json)
		print_message("%s\n", text);
	assert_non_null(json);
	return json;
}

static void message(struct br_top_fleet *f, const char *name, const char *text)
{
	json_t *json = parse(text);

	assert_int_equal(br_top_fleet_message(f, name, json), 0);
	json_decref(json);
}

static void load(struct br_top_fleet *f, const char *text, int want)
{
	json_t *json = parse(text);

	assert_int_equal(br_top_fleet_load(f, json), want);
	json_decref(json);
}

static void test_boards_come_and_go_in_order(void **state)
{
	struct br_top_fleet f = { 0 };

	load(&f, "[" BOARD("pi10", "up", "") "," BOARD("pi2", "mounted", "") "]", 0);
	assert_int_equal(f.n, 2);
	assert_string_equal(f.boards[0].name, "pi2");
	message(&f, "boards", "[" BOARD("pi3", "firmware-dhcp", "") "]");
	assert_string_equal(f.boards[1].name, "pi3");
	assert_int_equal(f.boards[1].state, BR_TOP_FIRMWARE_DHCP);
	message(&f, "removed", "[\"pi2\", \"never\", 5]");
	assert_int_equal(f.n, 2);
	load(&f, "[" BOARD("pi3", "up", "") "]", 0);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.boards[0].state, BR_TOP_UP);
	br_top_fleet_done(&f);
}

static void test_what_is_no_answer(void **state)
{
	static const char *const odd[] = { "[null, 1, \"x\", {}, {\"name\": 7}, {\"name\": \"\"}]", "[{\"name\":\"a\",\"boot\":[],\"transfer\":{\"bytes\":-5,\"size\":0}}]",
		"[{\"name\":\"a\",\"boot\":{\"stage\":\"\",\"stage_at\":\"soon\"}}]" };
	struct br_top_fleet f = { 0 };

	load(&f, "{}", -EINVAL);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		message(&f, "boards", odd[i]);
	assert_int_equal(f.n, 1);
	assert_int_equal(f.boards[0].state, BR_TOP_NONE);
	message(&f, "status", "[]");
	message(&f, "event", "7");
	message(&f, "what", "{}");
	br_top_fleet_done(&f);
}

static void test_states(void **state)
{
	struct br_top_fleet f = { 0 };
	size_t counts[BR_TOP_STATES];
	json_t *why = parse("[{\"board\":\"a\",\"level\":\"wrong\",\"verdict\":\"no init\"},{\"board\":\"b\",\"level\":\"note\",\"verdict\":\"slow\"},{\"board\":null}]");

	load(&f, "[" BOARD("a", "kernel-dhcp", "") "," BOARD("b", "mounted", "") ",{\"name\":\"c\",\"boot\":null,\"effective\":{\"road\":\"local\"}}]", 0);
	message(&f, "event", "{\"board\":\"b\",\"type\":\"boot.waiting\"}");
	assert_int_equal(f.boards[1].state, BR_TOP_WAITING);
	message(&f, "event", "{\"board\":\"b\",\"type\":\"boot.start\"}");
	assert_int_equal(f.boards[1].state, BR_TOP_MOUNTED);
	message(&f, "event", "{\"board\":\"b\",\"type\":\"flash.started\"}");
	assert_int_equal(f.boards[1].state, BR_TOP_FLASH);
	message(&f, "event", "{\"board\":\"b\",\"type\":\"flash.done\"}");
	assert_false(f.judged);
	br_top_fleet_why(&f, why);
	assert_true(f.judged);
	br_top_fleet_count(&f, counts);
	assert_int_equal(counts[BR_TOP_WRONG], 1);
	assert_int_equal(counts[BR_TOP_MOUNTED], 1);
	assert_int_equal(counts[BR_TOP_LOCAL], 1);
	assert_string_equal(f.boards[0].verdict, "no init");
	assert_int_equal(br_top_fleet_booting(&f, AT + 10), 1); /* b: its system starts; a is wrong */
	assert_int_equal(br_top_fleet_booting(&f, AT + 100), 0);
	message(&f, "boards", "[" BOARD("a", "mounted", "") "]"); /* it goes on: the verdict is old */
	assert_int_equal(f.boards[0].state, BR_TOP_MOUNTED);
	json_decref(why);
	br_top_fleet_done(&f);
}

static void test_texts_of_boards_are_safe(void **state)
{
	struct br_top_fleet f = { 0 };

	load(&f, "[" BOARD("\\u001b[31mred", "up", ",\"model\":\"4B\\u0007\",\"address\":\"1\\n2\"") "]", 0);
	assert_string_equal(f.boards[0].name, "\\x1b[31mred");
	assert_string_equal(f.boards[0].model, "4B\\x07");
	assert_string_equal(f.boards[0].address, "1\\x0a2");
	br_top_fleet_done(&f);
}

static void test_rates_and_filter(void **state)
{
	struct br_top_fleet f = { 0 };

	for (unsigned i = 0; i < BR_TOP_RATES + 5; i++)
		message(&f, "status", "{\"interface\":\"br0\",\"left_s\":12,\"rate\":{\"bytes_per_s\":77}}");
	assert_int_equal(f.n_rates, BR_TOP_RATES);
	assert_int_equal(f.rates[BR_TOP_RATES - 1], 77);
	assert_int_equal(f.left_s, 12);
	message(&f, "boards", "[" BOARD("lab1", "up", ",\"model\":\"4B\"") "]");
	assert_true(br_top_board_fits(&f.boards[0], ""));
	assert_true(br_top_board_fits(&f.boards[0], "LAB"));
	assert_true(br_top_board_fits(&f.boards[0], "4b"));
	assert_false(br_top_board_fits(&f.boards[0], "zero"));
	br_top_fleet_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boards_come_and_go_in_order),
		cmocka_unit_test(test_what_is_no_answer),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_texts_of_boards_are_safe),
		cmocka_unit_test(test_rates_and_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
