/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "sim/faults.h"
#include "sim/rogue.h"

#define N 10000

struct seen {
	size_t n, n_to_board;
	uint32_t numbers[4 * N]; /* first four bytes of each frame */
	uint64_t times[4 * N];
	size_t boards[4 * N];
};

static struct seen seen;

static void on_pass(void *ctx, size_t board, enum br_sim_direction to, uint64_t now_ns, const uint8_t *frame,
	size_t len, bool unsummed)
{
	assert_true(seen.n < 4 * N);
	memcpy(&seen.numbers[seen.n], frame, 4);
	seen.times[seen.n] = now_ns;
	seen.boards[seen.n++] = board;
	seen.n_to_board += to == BR_SIM_TO_BOARD;
}

static struct br_sim_faults *make(const char *const *options, size_t n_boards)
{
	struct br_sim_fault_config c = { 0 };
	struct br_error err = BR_ERROR_NULL;
	struct br_sim_faults *f;

	for (; *options; options += 2)
		assert_int_equal(br_sim_fault_option(&c, options[0], options[1], &err), 0);
	f = br_sim_faults_new(&c, n_boards, on_pass, NULL);
	assert_non_null(f);
	memset(&seen, 0, sizeof(seen));
	return f;
}

/* n frames of len bytes, one every step_ns, then time until nothing is held. */
static void play(struct br_sim_faults *f, size_t board, uint32_t n, size_t len, uint64_t step_ns)
{
	uint8_t frame[1600] = { 0 };
	uint64_t now = 0;

	for (uint32_t i = 0; i < n; i++, now += step_ns) {
		br_sim_faults_step(f, now);
		memcpy(frame, &i, 4);
		br_sim_faults_put(f, board, BR_SIM_FROM_BOARD, now, frame, len, false);
	}
	while (br_sim_faults_deadline(f) != UINT64_MAX)
		br_sim_faults_step(f, br_sim_faults_deadline(f));
}

static size_t disorder(void)
{
	size_t n = 0;

	for (size_t i = 1; i < seen.n; i++)
		n += seen.numbers[i] < seen.numbers[i - 1];
	return n;
}

static void chances_are_as_told(void **state)
{
	static const struct {
		const char *options[8];
		size_t low, high; /* frames of N that come out */
		bool ordered;
	} cases[] = {
		{ { "seed", "1", NULL }, N, N, true },
		{ { "loss", "1", "seed", "1", NULL }, N - 150, N - 50, true },
		{ { "loss", "100%", NULL }, 0, 0, true },
		{ { "loss", "0.5", "seed", "7", NULL }, N - 90, N - 20, true },
		{ { "dup", "10", NULL }, N + 850, N + 1150, true },
		{ { "reorder", "5", NULL }, N, N, false },
		{ { "delay", "20:5", NULL }, N, N, true },
		{ { "mtu", "400", NULL }, 0, 0, true },
		{ { "mtu", "500", NULL }, N, N, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct br_sim_faults *f = make(cases[i].options, 1);

		play(f, 0, N, 500, BR_MS / 10);
		if (seen.n < cases[i].low || seen.n > cases[i].high || (disorder() == 0) != cases[i].ordered)
			fail_msg("case %zu: %zu frames, %zu out of order", i, seen.n, disorder());
		assert_int_equal(br_sim_faults_counts(f)->frames, N);
		br_sim_faults_free(f);
	}
}

static void the_seed_decides(void **state)
{
	static const char *const seeds[] = { "1", "1", "2" };
	static uint32_t first[N];
	size_t n_first = 0;

	for (size_t i = 0; i < 3; i++) {
		struct br_sim_faults *f = make((const char *const[]){ "loss", "5", "reorder", "3", "seed", seeds[i], NULL }, 3);

		play(f, 2, 3000, 100, BR_MS);
		if (!i)
			memcpy(first, seen.numbers, (n_first = seen.n) * sizeof(first[0]));
		else
			assert_int_equal(seen.n == n_first && !memcmp(first, seen.numbers, n_first * sizeof(first[0])), i == 1);
		br_sim_faults_free(f);
	}
}

/* One fault more must not change which frames the others hit. */
static void dice_are_thrown_for_each_link_apart(void **state)
{
	static uint32_t alone[N];
	struct br_sim_faults *f = make((const char *const[]){ "loss", "5", NULL }, 2);
	size_t n;

	play(f, 1, 1000, 100, BR_MS);
	memcpy(alone, seen.numbers, (n = seen.n) * sizeof(alone[0]));
	br_sim_faults_free(f);
	f = make((const char *const[]){ "loss", "5", NULL }, 2);
	play(f, 0, 500, 100, BR_MS);
	seen.n = 0;
	play(f, 1, 1000, 100, BR_MS);
	assert_int_equal(seen.n, n);
	assert_memory_equal(alone, seen.numbers, n * sizeof(alone[0]));
	br_sim_faults_free(f);
}

static void delays_are_kept(void **state)
{
	struct br_sim_faults *f = make((const char *const[]){ "delay", "20:10", NULL }, 1);

	play(f, 0, 500, 100, 3 * BR_MS);
	assert_int_equal(seen.n, 500);
	for (size_t i = 0; i < 500; i++) {
		uint64_t late = seen.times[i] - i * 3 * BR_MS;

		assert_in_range(late, 20 * BR_MS, 30 * BR_MS);
	}
	br_sim_faults_free(f);
}

static void a_late_port_opens_once(void **state)
{
	struct br_sim_faults *f = make((const char *const[]){ "late-port", "30:10", NULL }, 1000);
	uint8_t frame[100] = { 0 };
	size_t n_late = 0, late = 0;

	for (size_t i = 0; i < 1000; i++) {
		n_late += br_sim_faults_is_late(f, i);
		late = br_sim_faults_is_late(f, i) ? i : late;
		br_sim_faults_power(f, i, 5 * BR_S);
	}
	assert_int_equal(n_late, 100);
	br_sim_faults_put(f, late, BR_SIM_TO_BOARD, 34 * BR_S, frame, sizeof(frame), false);
	br_sim_faults_put(f, late, BR_SIM_FROM_BOARD, 35 * BR_S - 1, frame, sizeof(frame), false);
	assert_int_equal(seen.n, 0);
	assert_int_equal(br_sim_faults_counts(f)->port_closed, 2);
	br_sim_faults_put(f, late, BR_SIM_TO_BOARD, 35 * BR_S, frame, sizeof(frame), false);
	br_sim_faults_power(f, late, 40 * BR_S); /* the board's power, not the switch's */
	br_sim_faults_put(f, late, BR_SIM_TO_BOARD, 41 * BR_S, frame, sizeof(frame), false);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.n_to_board, 2);
	br_sim_faults_free(f);
}

static void a_rate_spreads_and_then_loses(void **state)
{
	/* 100 bytes and 24 around them are 992 us at 1 Mbit/s */
	struct br_sim_faults *f = make((const char *const[]){ "rate", "1M", NULL }, 1);

	play(f, 0, 500, 100, 0);
	assert_in_range(seen.n, 50, 53); /* what fits into the 50 ms of queue */
	for (size_t i = 0; i < seen.n; i++)
		assert_int_equal(seen.times[i], (i + 1) * 992000);
	assert_int_equal(br_sim_faults_counts(f)->queue_full, 500 - seen.n);
	br_sim_faults_free(f);
}

/* Ethernet, IP, UDP, BOOTP, and the option 53 of a board; with 54 when server is not 0. */
static size_t dhcp_frame(uint8_t f[static 400], uint8_t type, uint32_t server)
{
	memset(f, 0, 400);
	memset(f, 0xff, 6);
	br_store_be16(f + 12, 0x0800);
	f[14] = 0x45;
	f[23] = 17;
	br_store_be16(f + 34, 68);
	br_store_be16(f + 36, 67);
	br_store_be32(f + 42, 0x01010600);
	br_store_be32(f + 46, 0x12345678);
	memcpy(f + 42 + 28, "\xb8\x27\xeb\0\0\1", 6);
	br_store_be32(f + 42 + 236, 0x63825363);
	memcpy(f + 282, "\x35\1", 2);
	f[284] = type;
	f[285] = server ? 54 : 255;
	f[286] = 4;
	br_store_be32(f + 287, server);
	f[291] = 255;
	return 342;
}

static void the_rogue_answers_what_is_meant_for_it(void **state)
{
	static const struct {
		uint8_t type;
		uint32_t server;
		uint8_t answer; /* 0: none */
	} cases[] = {
		{ 1, 0, 2 }, { 3, BR_SIM_ROGUE_IP, 5 }, { 3, 0x0a4d0001, 0 }, { 3, 0, 0 }, { 7, BR_SIM_ROGUE_IP, 0 },
	};
	uint8_t f[400];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct br_sim_faults *faults = make((const char *const[]){ "rogue-dhcp", "20", NULL }, 8);
		size_t n = dhcp_frame(f, cases[i].type, cases[i].server);
		uint8_t out[BR_SIM_ROGUE_MAX];

		assert_int_equal(br_sim_rogue_answer(f, n, 7, out) != 0, cases[i].answer != 0);
		for (size_t cut = 0; cut < 284; cut++)
			assert_int_equal(br_sim_rogue_answer(f, cut, 7, out), 0);
		br_sim_faults_put(faults, 7, BR_SIM_FROM_BOARD, BR_S, f, n, false);
		assert_int_equal(seen.n, 1);
		br_sim_faults_step(faults, BR_S + 20 * BR_MS - 1);
		assert_int_equal(seen.n, 1);
		br_sim_faults_step(faults, BR_S + 20 * BR_MS);
		assert_int_equal(seen.n_to_board, cases[i].answer != 0);
		assert_int_equal(br_sim_faults_counts(faults)->rogue_answers, cases[i].answer != 0);
		if (cases[i].answer) {
			br_sim_rogue_answer(f, n, 7, out);
			assert_memory_equal(out, "\xb8\x27\xeb\0\0\1", 6);
			assert_int_equal(br_load_be32(out + 46), 0x12345678);
			assert_int_equal(br_load_be32(out + 42 + 16) >> 16, BR_SIM_ROGUE_IP >> 16);
			assert_int_equal(out[284], cases[i].answer);
		}
		br_sim_faults_free(faults);
	}
}

static void options_are_checked(void **state)
{
	static const char *const bad[][2] = {
		{ "loss", "" }, { "loss", "101" }, { "loss", "-1" }, { "loss", "1x" }, { "loss", "nan" }, { "dup", "x" },
		{ "reorder", "1 %" }, { "delay", "" }, { "delay", "1:x" }, { "delay", ":" },
		{ "delay", "1234567890123456789012345678901234567890" }, { "late-port", "x:10" },
		{ "late-port", "30:200" }, { "mtu", "67" }, { "mtu", "9001" }, { "mtu", "" }, { "rate", "0" },
		{ "rate", "10" }, { "rate", "10T" }, { "rate", "G" }, { "rate", "" }, { "rate", "1000G" }, { "seed", "x" }, { "rogue-dhcp", "x" }, { "nothing", "1" },
	};
	struct br_sim_fault_config c = { 0 };
	struct br_error err = BR_ERROR_NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (br_sim_fault_option(&c, bad[i][0], bad[i][1], &err) != -EINVAL)
			fail_msg("--%s '%s' was taken", bad[i][0], bad[i][1]);
		assert_non_null(strstr(err.text, bad[i][0]));
	}
	c = (struct br_sim_fault_config){ 0 };
	assert_false(br_sim_fault_any(&c));
	assert_int_equal(br_sim_fault_option(&c, "seed", "9", &err), 0);
	assert_false(br_sim_fault_any(&c));
	assert_int_equal(br_sim_fault_option(&c, "rate", "100M", &err), 0);
	assert_int_equal(br_sim_fault_option(&c, "late-port", "30:10%", &err), 0);
	assert_int_equal(br_sim_fault_option(&c, "delay", "250ms:2s", &err), 0);
	assert_true(br_sim_fault_any(&c));
	assert_int_equal(c.rate, 100000000);
	assert_int_equal(c.late, 100000);
	assert_int_equal(c.late_ns, 30 * BR_S);
	assert_int_equal(c.delay_ns, 250 * BR_MS);
	assert_int_equal(c.jitter_ns, 2 * BR_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chances_are_as_told),
		cmocka_unit_test(the_seed_decides),
		cmocka_unit_test(dice_are_thrown_for_each_link_apart),
		cmocka_unit_test(delays_are_kept),
		cmocka_unit_test(a_late_port_opens_once),
		cmocka_unit_test(a_rate_spreads_and_then_loses),
		cmocka_unit_test(the_rogue_answers_what_is_meant_for_it),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
