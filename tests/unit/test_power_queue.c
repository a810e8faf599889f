/* SPDX-License-Identifier: Apache-2.0 */
/* Orders about power, step by step, with a device and a clock that are made up. */
#include "tests/unit/test.h"

#include <errno.h>

#include "base/clock.h"
#include "power/known.h"
#include "power/queue.h"

#define BOARDS 8

struct lab {
	struct br_power_queue *q;
	uint64_t now;
	bool on[BOARDS + 1];
	bool lies;	 /* the device takes orders and does nothing */
	int on_fails;	 /* so often */
	int soft;	 /* what a soft reboot comes to */
	bool mute;	 /* the device tells UNKNOWN */
	unsigned n_ended;
	struct br_power_job last;
	char log[600]; /* what was asked, as "on1 get1 " */
	uint64_t on_at[BOARDS + 1];
};

static void on_ended(void *ctx, const struct br_power_job *job)
{
	struct lab *l = ctx;

	l->n_ended++;
	l->last = *job;
}

static void set_up(struct lab *l)
{
	*l = (struct lab){ .now = 1000 * BR_S };
	l->q = br_power_queue_new(on_ended, l);
	assert_non_null(l->q);
}

static struct br_power_traits traits(const char *device)
{
	struct br_power_traits t = { .can_status = true, .at_once = 1, .delay_ns = BR_S, .off_time_ns = 2 * BR_S, .verify_ns = 5 * BR_S,
		.boot_ns = 60 * BR_S };

	snprintf(t.device, sizeof(t.device), "%s", device);
	return t;
}

static uint64_t add(struct lab *l, int board, enum br_power_action action, const struct br_power_traits *t, bool soft, bool up)
{
	const struct br_power_order o = { .board_id = board, .action = action, .soft_first = soft, .until_up = up };
	uint64_t id = 0;

	assert_true(br_power_queue_add(l->q, &o, t, l->now, l->now, &id) >= 0);
	return id;
}

static void answer(struct lab *l, const struct br_power_task *t)
{
	static const char *const names[] = { "on", "off", "reset", "get", "soft" };
	struct br_power_answer a = { .words = "" };
	size_t n = strlen(l->log);

	snprintf(l->log + n, sizeof(l->log) - n, "%s%d ", names[t->op], (int)t->board_id);
	if (t->op == BR_POWER_OP_ON && l->on_fails) {
		l->on_fails--;
		a = (struct br_power_answer){ .r = -ETIMEDOUT, .words = "it is dead" };
	} else if (t->op == BR_POWER_OP_ON || t->op == BR_POWER_OP_OFF) {
		l->on[t->board_id] = l->lies ? l->on[t->board_id] : t->op == BR_POWER_OP_ON;
		if (t->op == BR_POWER_OP_ON)
			l->on_at[t->board_id] = l->now;
	} else if (t->op == BR_POWER_OP_GET) {
		a.state = l->mute ? BR_POWER_IS_UNKNOWN : l->on[t->board_id] ? BR_POWER_IS_ON : BR_POWER_IS_OFF;
	} else if (t->op == BR_POWER_OP_SOFT && l->soft < 0) {
		a = (struct br_power_answer){ .r = l->soft, .words = "no ssh" };
	}
	br_power_queue_done(l->q, t->job, &a, l->now, l->now);
}

/* Until nothing is to be done before 'until'. */
static void run(struct lab *l, uint64_t until)
{
	struct br_power_task t;
	uint64_t next;

	for (int i = 0; i < 10000; i++) {
		if (br_power_queue_next(l->q, l->now, l->now, &t, &next)) {
			answer(l, &t);
			continue;
		}
		if (next > until)
			break;
		assert_true(next > l->now);
		l->now = next;
	}
	l->now = until;
}

static const struct br_power_job *job(const struct lab *l, uint64_t id)
{
	const struct br_power_job *j = br_power_queue_job(l->q, id);

	assert_non_null(j);
	return j;
}

static void what_is_switched_is_read_back(void **state)
{
	struct br_power_traits t = traits("a");
	struct lab l;
	uint64_t id;

	set_up(&l);
	id = add(&l, 1, BR_POWER_ON, &t, false, false);
	run(&l, l.now + BR_S);
	assert_string_equal(l.log, "get1 on1 get1 ");
	assert_true(job(&l, id)->ended && job(&l, id)->verified && !job(&l, id)->r && !job(&l, id)->was_on);
	id = add(&l, 1, BR_POWER_ON, &t, false, false);
	run(&l, l.now + BR_S);
	assert_true(job(&l, id)->was_on && job(&l, id)->verified);
	id = add(&l, 1, BR_POWER_CYCLE, &t, false, false);
	l.log[0] = 0;
	run(&l, l.now + 10 * BR_S);
	assert_string_equal(l.log, "off1 get1 on1 get1 ");
	assert_string_equal(job(&l, id)->rung, "hard");
	br_power_queue_free(l.q);
}

static void who_lies_is_told(void **state)
{
	struct br_power_traits t = traits("a");
	struct lab l;
	uint64_t id;

	set_up(&l);
	l.lies = true;
	id = add(&l, 1, BR_POWER_ON, &t, false, false);
	run(&l, l.now + 20 * BR_S);
	assert_int_equal(job(&l, id)->r, -EIO);
	assert_non_null(strstr(job(&l, id)->text, "a says it is still off"));
	l.lies = false;
	l.mute = true;
	id = add(&l, 1, BR_POWER_ON, &t, false, false);
	run(&l, l.now + 20 * BR_S);
	assert_true(!job(&l, id)->r && !job(&l, id)->verified);
	assert_non_null(strstr(job(&l, id)->text, "did not tell"));
	br_power_queue_free(l.q);
}

/* Eight boards of one device come a second after each other, those of another do not wait for them. */
static void boards_come_one_after_the_other(void **state)
{
	struct br_power_traits a = traits("a"), b = traits("b");
	struct lab l;
	uint64_t start;

	set_up(&l);
	start = l.now;
	for (int i = 1; i < BOARDS; i++)
		add(&l, i, BR_POWER_ON, &a, false, false);
	add(&l, BOARDS, BR_POWER_ON, &b, false, false);
	run(&l, l.now + 60 * BR_S);
	assert_int_equal(l.n_ended, BOARDS);
	for (int i = 1; i < BOARDS; i++)
		assert_int_equal(l.on_at[i], start + (uint64_t)(i - 1) * BR_S);
	assert_int_equal(l.on_at[BOARDS], start);
	br_power_queue_free(l.q);
}

/* One device with a limit of two, whose answers never come, keeps nobody else waiting. */
static void a_dead_device_holds_up_its_own_only(void **state)
{
	struct br_power_traits a = traits("a"), b = traits("b");
	struct br_power_task t;
	struct lab l;
	uint64_t next = 0;
	unsigned out = 0;

	set_up(&l);
	a.at_once = 2;
	for (int i = 1; i < BOARDS; i++)
		add(&l, i, BR_POWER_OFF, &a, false, false);
	add(&l, BOARDS, BR_POWER_OFF, &b, false, false);
	while (br_power_queue_next(l.q, l.now, l.now, &t, &next)) {
		out++;
		if (t.board_id == BOARDS)
			answer(&l, &t);
	}
	assert_int_equal(out, 2 + 1 + 1); /* two of the dead one; off and its check of the other */
	assert_int_equal(l.n_ended, 1);
	assert_int_equal(next, UINT64_MAX);
	assert_int_equal(br_power_queue_device(l.q, 0)->running, 2);
	assert_int_equal(br_power_queue_device(l.q, 0)->waiting, BOARDS - 3);
	br_power_queue_free(l.q);
}

static void orders_of_a_board_keep_their_order(void **state)
{
	struct br_power_traits t = traits("a");
	struct lab l;
	uint64_t on, off, same;

	set_up(&l);
	on = add(&l, 1, BR_POWER_ON, &t, false, false);
	same = add(&l, 1, BR_POWER_ON, &t, false, false);
	assert_int_equal(on, same);
	off = add(&l, 1, BR_POWER_OFF, &t, false, false);
	run(&l, l.now + 20 * BR_S);
	assert_true(job(&l, on)->ended && job(&l, off)->ended);
	assert_string_equal(l.log, "get1 on1 get1 off1 get1 ");
	assert_false(l.on[1]);
	br_power_queue_free(l.q);
}

static void a_lost_packet_does_not_leave_a_board_dark(void **state)
{
	struct br_power_traits t = traits("a");
	struct lab l;
	uint64_t id;

	set_up(&l);
	l.on[1] = true;
	l.on_fails = 2;
	id = add(&l, 1, BR_POWER_CYCLE, &t, false, false);
	run(&l, l.now + 30 * BR_S);
	assert_true(!job(&l, id)->r && l.on[1]);
	l.on_fails = 3;
	id = add(&l, 1, BR_POWER_CYCLE, &t, false, false);
	run(&l, l.now + 30 * BR_S);
	assert_int_equal(job(&l, id)->r, -ETIMEDOUT);
	assert_non_null(strstr(job(&l, id)->text, "THE BOARD IS OFF NOW"));
	br_power_queue_free(l.q);
}

static void the_ladder_is_climbed(void **state)
{
	struct br_power_traits t = traits("a");
	struct lab l;
	uint64_t id;

	/* a board that hears it and boots */
	set_up(&l);
	l.on[1] = true;
	id = add(&l, 1, BR_POWER_CYCLE, &t, true, false);
	run(&l, l.now + 5 * BR_S);
	assert_string_equal(l.log, "soft1 ");
	assert_false(job(&l, id)->ended);
	br_power_queue_saw(l.q, 1, false, l.now);
	assert_true(job(&l, id)->ended && !job(&l, id)->r);
	assert_string_equal(job(&l, id)->rung, "soft");
	/* one that hears it and hangs: its power, then its boot */
	l.log[0] = 0;
	id = add(&l, 1, BR_POWER_CYCLE, &t, true, true);
	run(&l, l.now + 70 * BR_S);
	assert_string_equal(l.log, "soft1 off1 get1 on1 get1 ");
	br_power_queue_saw(l.q, 1, false, l.now);
	assert_false(job(&l, id)->ended);
	br_power_queue_saw(l.q, 1, true, l.now);
	assert_string_equal(job(&l, id)->rung, "hard");
	assert_non_null(strstr(job(&l, id)->text, "no sign of a boot within 1 m 00 s"));
	/* one without ssh that never boots: a report of both */
	l.soft = -EREMOTEIO;
	id = add(&l, 1, BR_POWER_CYCLE, &t, true, false);
	run(&l, l.now + 120 * BR_S);
	assert_int_equal(job(&l, id)->r, -ETIMEDOUT);
	assert_non_null(strstr(job(&l, id)->text, "no ssh"));
	assert_non_null(strstr(job(&l, id)->text, "no sign of a boot"));
	br_power_queue_free(l.q);
}

/* A board so fast that it boots before its switch told that it is on. */
static void evidence_may_come_early(void **state)
{
	struct br_power_traits t = traits("a");
	struct br_power_task task;
	struct lab l;
	uint64_t next, id;

	set_up(&l);
	id = add(&l, 1, BR_POWER_ON, &t, false, true);
	assert_true(br_power_queue_next(l.q, l.now, l.now, &task, &next));
	br_power_queue_saw(l.q, 1, true, l.now); /* from before: counts for nothing */
	answer(&l, &task);
	assert_true(br_power_queue_next(l.q, l.now, l.now, &task, &next));
	assert_int_equal(task.op, BR_POWER_OP_ON);
	br_power_queue_saw(l.q, 1, true, l.now);
	answer(&l, &task);
	run(&l, l.now + BR_S);
	assert_true(job(&l, id)->ended && !job(&l, id)->r);
	br_power_queue_free(l.q);
}

static void failures_and_idle_boards(void **state)
{
	struct br_power_table t = { 0 };
	struct br_power_known *k = br_power_known(&t, 7);
	struct br_power_job on = { .board_id = 7, .action = BR_POWER_ON, .state = BR_POWER_IS_ON, .queued_wall_ns = 10, .ended_wall_ns = 20 };
	uint64_t now = 1000 * BR_S;

	assert_non_null(k);
	assert_int_equal(br_power_known_ended(k, &on, true, 60 * BR_S, now), 0);
	assert_false(br_power_known_late(k, now + 59 * BR_S));
	assert_true(br_power_known_late(k, now + 60 * BR_S));
	assert_false(br_power_known_late(k, now + 61 * BR_S));
	/* it boots in time */
	br_power_known_ended(k, &on, true, 60 * BR_S, now);
	br_power_known_saw(k, false, 30, now + BR_S);
	assert_false(br_power_known_late(k, now + 100 * BR_S));
	/* it booted before its order ended */
	br_power_known_ended(k, &on, true, 60 * BR_S, now);
	assert_false(br_power_known_late(k, now + 100 * BR_S));
	/* nobody wants it */
	assert_false(br_power_known_idle(k, 0, now + 10000 * BR_S));
	assert_false(br_power_known_idle(k, 600 * BR_S, now + 599 * BR_S));
	assert_true(br_power_known_idle(k, 600 * BR_S, now + 602 * BR_S));
	on.r = -EIO;
	assert_int_equal(br_power_known_ended(k, &on, true, 60 * BR_S, now), 1);
	on.action = BR_POWER_OFF;
	on.r = 0;
	on.state = BR_POWER_IS_OFF;
	br_power_known_ended(k, &on, true, 60 * BR_S, now);
	assert_false(br_power_known_idle(k, 600 * BR_S, now + 602 * BR_S));
	for (int64_t i = 20; i > 0; i--)
		assert_non_null(br_power_known(&t, i));
	assert_int_equal(t.n, 20);
	for (size_t i = 1; i < t.n; i++)
		assert_true(t.v[i - 1].board_id < t.v[i].board_id);
	br_power_table_done(&t);
}

static uint64_t add_under(struct lab *l, enum br_power_action action, int64_t reservation, bool up)
{
	const struct br_power_order o = { .board_id = 1, .action = action, .reservation = reservation, .until_up = up };
	struct br_power_traits t = traits("a");
	uint64_t id = 0;

	assert_true(br_power_queue_add(l->q, &o, &t, l->now, l->now, &id) >= 0);
	return id;
}

/* Nobody's boards are switched by a job that is over. */
static void an_order_ends_with_its_reservation(void **state)
{
	static const struct {
		int64_t reservation;
		bool ends;
	} cases[] = { { 7, true }, { 0, true }, { 8, false }, { -1 /* forced */, false } };
	struct lab l;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t id;

		set_up(&l);
		l.on[1] = true;
		id = add_under(&l, BR_POWER_CYCLE, cases[i].reservation, false);
		br_power_queue_reserved(l.q, 1, 8, l.now);
		assert_int_equal(job(&l, id)->ended, cases[i].ends);
		run(&l, l.now + 20 * BR_S);
		assert_int_equal(job(&l, id)->r, cases[i].ends ? -ENOLCK : 0);
		assert_string_equal(l.log, cases[i].ends ? "" : "off1 get1 on1 get1 ");
		br_power_queue_free(l.q);
	}
}

static void a_dark_board_is_switched_on_all_the_same(void **state)
{
	struct lab l;
	uint64_t id;

	set_up(&l);
	l.on[1] = true;
	id = add_under(&l, BR_POWER_CYCLE, 7, true);
	run(&l, l.now + BR_S); /* in its pause */
	assert_false(l.on[1]);
	br_power_queue_reserved(l.q, 1, 0, l.now);
	assert_false(job(&l, id)->ended);
	run(&l, l.now + 10 * BR_S);
	assert_true(l.on[1] && job(&l, id)->ended);
	assert_int_equal(job(&l, id)->r, -ENOLCK); /* nobody waits for its boot any more */
	br_power_queue_free(l.q);
}

static void who_orders_after_the_switching_gets_another(void **state)
{
	struct lab l;
	uint64_t first, joined, second;

	set_up(&l);
	first = add_under(&l, BR_POWER_CYCLE, 0, true);
	run(&l, l.now + BR_S); /* in its pause */
	joined = add_under(&l, BR_POWER_CYCLE, 0, true);
	assert_int_equal(joined, first);
	run(&l, l.now + 10 * BR_S); /* waits for the boot */
	second = add_under(&l, BR_POWER_CYCLE, 0, true);
	assert_true(second != first);
	assert_true(job(&l, first)->ended);
	assert_int_equal(job(&l, first)->r, -ECANCELED);
	l.log[0] = 0;
	run(&l, l.now + 10 * BR_S);
	assert_string_equal(l.log, "off1 get1 on1 get1 ");
	br_power_queue_saw(l.q, 1, true, l.now);
	assert_true(job(&l, second)->ended && !job(&l, second)->r);
	br_power_queue_free(l.q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_switched_is_read_back), cmocka_unit_test(who_lies_is_told),
		cmocka_unit_test(boards_come_one_after_the_other), cmocka_unit_test(a_dead_device_holds_up_its_own_only),
		cmocka_unit_test(orders_of_a_board_keep_their_order), cmocka_unit_test(a_lost_packet_does_not_leave_a_board_dark),
		cmocka_unit_test(the_ladder_is_climbed), cmocka_unit_test(evidence_may_come_early), cmocka_unit_test(failures_and_idle_boards),
		cmocka_unit_test(an_order_ends_with_its_reservation), cmocka_unit_test(a_dark_board_is_switched_on_all_the_same),
		cmocka_unit_test(who_orders_after_the_switching_gets_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
