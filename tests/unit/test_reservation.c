/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations: the queue as a model, the steps in the database, settings that come back, who may change a board. */
#include "tests/unit/test.h"

#include <jansson.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fleet/event.h"
#include "fleet/fairqueue.h"
#include "fleet/quarantine.h"
#include "fleet/reservation.h"

#define N_BOARDS 6

static struct br_fleet *fleet;
static struct br_reservations *m;
static struct br_board boards[N_BOARDS];
static uint64_t now_ns;

static void default_image(void *ctx, char *out, size_t size)
{
	snprintf(out, size, "raspios");
}

static void open_all(void)
{
	struct br_reservation_ops ops = { .default_image = default_image };
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_fleet_open(test_dir(), true, &fleet, &err), 0);
	if (br_reservations_open(fleet, &ops, now_ns, &m, &err) < 0)
		fail_msg("%s", err.text);
}

static void close_all(void)
{
	br_reservations_close(m);
	br_fleet_close(fleet);
}

static int start(void **state)
{
	now_ns = 1000 * BR_S;
	open_all();
	for (int i = 0; i < N_BOARDS; i++) {
		boards[i] = (struct br_board){ .mac = { { 0xb8, 0x27, 0xeb, 0, 0, (uint8_t)(i + 1) } } };
		snprintf(boards[i].name, sizeof(boards[i].name), "pi%d", i + 1);
		snprintf(boards[i].model, sizeof(boards[i].model), "%s", i < 4 ? "4B" : "5");
		assert_int_equal(br_board_save(fleet, &boards[i], NULL), 0);
	}
	return 0;
}

static int stop(void **state)
{
	close_all();
	return br_remove_tree(test_dir(), NULL);
}

/* 0 with a reservation to be done with, or the errno. */
static int want(const char *user, const char *selector, uint64_t for_s, struct br_reservation *ret)
{
	struct br_reservation req = { .selector = (char *)(uintptr_t)selector, .for_s = for_s, .ttl_s = 10 };
	struct br_error err = BR_ERROR_NULL;

	snprintf(req.user, sizeof(req.user), "%s", user);
	snprintf(req.who, sizeof(req.who), "local:1000");
	return br_reservation_ask(m, &req, now_ns, ret, &err);
}

static void ask(const char *user, const char *selector, struct br_reservation *ret)
{
	assert_int_equal(want(user, selector, 0, ret), 0);
}

static enum br_reservation_state state_of(const struct br_reservation *r)
{
	struct br_reservation now;
	enum br_reservation_state state;

	assert_int_equal(br_reservation_get(m, r->id, NULL, &now, NULL, NULL), 0);
	state = now.state;
	br_reservation_done(&now);
	return state;
}

static void release(const struct br_reservation *r)
{
	struct br_error err = BR_ERROR_NULL;

	if (br_reservation_end(m, r->id, NULL, false, "done", now_ns, &err) < 0)
		fail_msg("%s", err.text);
}

static void one_after_the_other(void **state)
{
	struct br_reservation a, b, c;

	ask("anna", "pi1", &a);
	assert_int_equal(a.state, BR_RESERVATION_HELD);
	assert_int_equal(a.n_boards, 1);
	assert_int_equal(a.boards[0], boards[0].id);
	ask("anna", "pi1", &b);
	ask("anna", "pi1", &c);
	assert_int_equal(b.state, BR_RESERVATION_WAITING);
	assert_int_equal(b.before, 0);
	assert_int_equal(c.before, 1);
	release(&b);
	assert_int_equal(state_of(&b), BR_RESERVATION_ENDED);
	release(&b); /* again is no harm */
	release(&a);
	assert_int_equal(state_of(&c), BR_RESERVATION_HELD);
	release(&c);
	br_reservation_done(&a);
	br_reservation_done(&b);
	br_reservation_done(&c);
}

static void what_cannot_be_had_is_said(void **state)
{
	static const struct {
		const char *selector;
		int r;
	} cases[] = { { "model=3B+", -ENOENT }, { "model=5:3", -ENOENT }, { "pi9", -ENOENT }, { "pi1,pi9", -ENOENT }, { "pi[", -EINVAL },
		{ "!free", -ENOENT }, { "image=debian", -ENOENT } };
	struct br_reservation r;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		assert_int_equal(want("anna", cases[i].selector, 0, &r), cases[i].r);
	ask("anna", "image=raspios,model=5:all", &r);
	assert_int_equal(r.n_boards, 2);
	release(&r);
	br_reservation_done(&r);
}

static void who_passes_delays_nobody(void **state)
{
	struct br_reservation held, both, one, other;

	ask("anna", "pi1", &held);
	ask("anna", "pi[1-2]", &both); /* waits for pi1, and keeps pi2 */
	ask("bob", "pi2", &one);
	ask("bob", "pi3", &other);
	assert_int_equal(both.state, BR_RESERVATION_WAITING);
	assert_int_equal(one.state, BR_RESERVATION_WAITING);
	assert_int_equal(other.state, BR_RESERVATION_HELD);
	release(&held);
	assert_int_equal(state_of(&both), BR_RESERVATION_HELD);
	assert_int_equal(state_of(&one), BR_RESERVATION_WAITING);
	release(&both);
	assert_int_equal(state_of(&one), BR_RESERVATION_HELD);
	release(&one);
	release(&other);
	br_reservation_done(&held);
	br_reservation_done(&both);
	br_reservation_done(&one);
	br_reservation_done(&other);
}

static void who_waits_for_days_keeps_nothing(void **state)
{
	struct br_reservation days, both, one;

	assert_int_equal(want("anna", "pi1", 86400, &days), 0);
	ask("bob", "pi[1-2]", &both);
	ask("carl", "pi2", &one);
	assert_int_equal(one.state, BR_RESERVATION_HELD);
	release(&both);
	release(&one);
	release(&days);
	br_reservation_done(&days);
	br_reservation_done(&both);
	br_reservation_done(&one);
}

static void users_take_turns(void **state)
{
	struct br_reservation held, r[9];
	char order[10] = "";
	static const char *const users[] = { "a", "a", "a", "a", "a", "b", "b", "c", "a" };

	ask("x", "pi1", &held);
	for (size_t i = 0; i < BR_ARRAY_SIZE(r); i++)
		ask(users[i], "pi1", &r[i]);
	release(&held);
	for (size_t k = 0; k < BR_ARRAY_SIZE(r); k++) {
		for (size_t i = 0; i < BR_ARRAY_SIZE(r); i++) {
			if (state_of(&r[i]) != BR_RESERVATION_HELD)
				continue;
			order[k] = users[i][0];
			release(&r[i]);
			break;
		}
	}
	assert_string_equal(order, "abcabaaaa");
	br_reservation_done(&held);
	for (size_t i = 0; i < BR_ARRAY_SIZE(r); i++)
		br_reservation_done(&r[i]);
}

/* A stream of ever new users, each with one request: who waits for his second one is served all the same. */
static void nobody_starves(void **state)
{
	struct br_reservation r[64] = { 0 };
	size_t n = 0, served = 0;
	char user[24];

	ask("x", "pi1", &r[n++]);
	ask("anna", "pi1", &r[n++]);
	ask("anna", "pi1", &r[n++]);
	while (state_of(&r[2]) == BR_RESERVATION_WAITING) {
		assert_in_range(served, 0, BR_FAIR_OVERTAKEN_MAX + 2);
		snprintf(user, sizeof(user), "new-%zu", n);
		ask(user, "pi1", &r[n++]);
		for (size_t i = 0; i < n; i++) {
			if (state_of(&r[i]) == BR_RESERVATION_HELD) {
				release(&r[i]);
				break;
			}
		}
		served++;
	}
	assert_in_range(served, BR_FAIR_OVERTAKEN_MAX, BR_FAIR_OVERTAKEN_MAX + 2); /* the new ones were not passed over, either */
	for (size_t i = 0; i < n; i++)
		br_reservation_done(&r[i]);
}

static void who_dies_loses_all(void **state)
{
	struct br_reservation a, b, c;

	ask("anna", "pi1", &a);
	ask("bob", "pi1", &b);
	ask("carl", "pi1", &c);
	now_ns += 6 * BR_S;
	assert_int_equal(br_reservation_beat(m, a.id, now_ns, NULL), 0);
	assert_int_equal(br_reservation_beat(m, c.id, now_ns, NULL), 0);
	now_ns += 5 * BR_S;
	br_reservations_tick(m, now_ns); /* b died in the queue */
	assert_int_equal(state_of(&a), BR_RESERVATION_HELD);
	assert_int_equal(state_of(&b), BR_RESERVATION_ENDED);
	assert_int_equal(br_reservation_beat(m, b.id, now_ns, NULL), -ESTALE);
	assert_int_equal(br_reservation_beat(m, c.id, now_ns, NULL), 0);
	now_ns += 5 * BR_S;
	br_reservations_tick(m, now_ns); /* a died */
	assert_int_equal(state_of(&a), BR_RESERVATION_ENDED);
	assert_int_equal(state_of(&c), BR_RESERVATION_HELD);
	/* a restart: the time begins anew, and ends all the same */
	close_all();
	now_ns += 100 * BR_S;
	open_all();
	br_reservations_tick(m, now_ns + 9 * BR_S);
	assert_int_equal(state_of(&c), BR_RESERVATION_HELD);
	now_ns += 10 * BR_S;
	br_reservations_tick(m, now_ns);
	assert_int_equal(state_of(&c), BR_RESERVATION_ENDED);
	br_reservation_done(&a);
	br_reservation_done(&b);
	br_reservation_done(&c);
}

static void one_by_hand_needs_no_heartbeat(void **state)
{
	struct br_reservation a, now;

	assert_int_equal(want("anna", "pi1", 3600, &a), 0);
	now_ns += 1000 * BR_S;
	br_reservations_tick(m, now_ns);
	close_all();
	open_all();
	br_reservations_tick(m, now_ns + 1000 * BR_S);
	assert_int_equal(state_of(&a), BR_RESERVATION_HELD);
	assert_int_equal(br_reservation_extend(m, a.id, NULL, 7200, NULL), 0);
	assert_int_equal(br_reservation_get(m, a.id, NULL, &now, NULL, NULL), 0);
	assert_in_range(now.until - a.until, 3500, 3700);
	br_reservation_done(&now);
	/* who made it may do without its secret; others may not */
	char label[24];
	snprintf(label, sizeof(label), "r%lld", (long long)a.number);
	assert_int_equal(br_reservation_end(m, label, "local:1001", false, "x", now_ns, NULL), -EACCES);
	assert_int_equal(br_reservation_end(m, label, NULL, false, "x", now_ns, NULL), -EACCES);
	assert_int_equal(br_reservation_end(m, label, "local:1000", false, "x", now_ns, NULL), 0);
	br_reservation_done(&a);
}

static void its_time_runs_out(void **state)
{
	struct br_reservation a;

	assert_int_equal(want("anna", "pi1", 60, &a), 0);
	now_ns += 59 * BR_S;
	br_reservations_tick(m, now_ns);
	assert_int_equal(state_of(&a), BR_RESERVATION_HELD);
	now_ns += BR_S;
	br_reservations_tick(m, now_ns);
	assert_int_equal(state_of(&a), BR_RESERVATION_ENDED);
	br_reservation_done(&a);
}

/* It waited, and died before it was its turn, or before it could know. */
static void one_by_hand_is_given_to_who_lives(void **state)
{
	struct br_reservation a, b;

	for (int lives = 0; lives < 2; lives++) {
		ask("bert", "pi1", &a);
		assert_int_equal(want("anna", "pi1", 86400, &b), 0);
		assert_int_equal(b.state, BR_RESERVATION_WAITING);
		release(&a);
		assert_int_equal(state_of(&b), BR_RESERVATION_HELD);
		if (lives)
			assert_int_equal(br_reservation_beat(m, b.id, now_ns, NULL), 0);
		now_ns += 11 * BR_S;
		br_reservations_tick(m, now_ns);
		assert_int_equal(state_of(&b), lives ? BR_RESERVATION_HELD : BR_RESERVATION_ENDED);
		br_reservation_done(&a);
		br_reservation_done(&b);
	}
}

static int64_t told_board, told_number;
static char told_road[16];

static void note_turn(void *ctx, int64_t board_id, int64_t number)
{
	struct br_board b = { 0 };

	told_board = board_id;
	told_number = number;
	assert_int_equal(br_board_by_id(fleet, board_id, &b), 0);
	snprintf(told_road, sizeof(told_road), "%s", b.road);
}

/* What was ordered under a reservation is ended before its settings are put back. */
static void who_follows_is_told_of_turns(void **state)
{
	struct br_reservation a;
	int64_t number = -2;

	br_reservations_follow(m, note_turn, NULL);
	ask("anna", "pi2", &a);
	assert_true(told_board == boards[1].id && told_number == a.number);
	assert_int_equal(br_reservation_acts(m, boards[1].id, a.id, NULL, &number, NULL), 0);
	assert_int_equal(number, a.number);
	assert_int_equal(br_reservation_acts(m, boards[1].id, "force", NULL, &number, NULL), 1);
	assert_int_equal(number, BR_RESERVATION_FORCED);
	assert_int_equal(br_reservation_acts(m, boards[0].id, a.id, NULL, &number, NULL), 0);
	assert_int_equal(number, 0);
	assert_int_equal(br_reservation_settings(m, a.id, NULL, NULL, "flash", NULL), 0);
	now_ns += 11 * BR_S; /* it dies */
	br_reservations_tick(m, now_ns);
	assert_true(told_board == boards[1].id && told_number == 0);
	assert_string_equal(told_road, "flash");
	br_reservations_follow(m, NULL, NULL);
	br_reservation_done(&a);
}

static void the_own_image_of_a_board_is_kept(void **state)
{
	struct br_reservation a;
	int64_t board_id = 0;

	snprintf(boards[2].image, sizeof(boards[2].image), "mine");
	assert_int_equal(br_board_save(fleet, &boards[2], NULL), 0);
	ask("anna", "pi3", &a);
	assert_int_equal(br_reservation_keeps_image(m, "mine", &board_id), 0);
	assert_int_equal(br_reservation_settings(m, a.id, "theirs", NULL, NULL, NULL), 0);
	close_all();
	open_all();
	assert_int_equal(br_reservation_keeps_image(m, "mine", &board_id), a.number);
	assert_int_equal(board_id, boards[2].id);
	release(&a);
	assert_int_equal(br_reservation_keeps_image(m, "mine", &board_id), 0);
	br_reservation_done(&a);
}

static void others_are_refused(void **state)
{
	struct br_reservation a;
	struct br_error err = BR_ERROR_NULL;
	char both[200];
	struct {
		const char *ids, *who;
		int r;
	} cases[] = { { NULL, NULL, -ENOLCK }, { "", "local:1000", -ENOLCK }, { "r1-00", NULL, -ENOLCK }, { NULL, NULL, 0 }, { both, NULL, 0 },
		{ "force", NULL, 1 }, { "r7-abc, force", NULL, 1 } };

	ask("anna@lab", "pi1", &a);
	snprintf(both, sizeof(both), "r99-ff,%s", a.id);
	cases[3].ids = a.id;
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		assert_int_equal(br_reservation_holds(m, boards[0].id, cases[i].ids, cases[i].who, &err), cases[i].r);
	assert_int_equal(br_reservation_holds(m, boards[1].id, NULL, NULL, &err), 0);
	br_reservation_holds(m, boards[0].id, NULL, NULL, &err);
	assert_non_null(strstr(err.text, "anna@lab"));
	assert_non_null(strstr(err.text, "bramble reserve break r"));
	assert_int_equal(br_reservation_beat(m, "r1-0000", now_ns, &err), -EACCES);
	assert_int_equal(br_reservation_beat(m, "r999999-0000", now_ns, &err), -ENOENT);
	assert_int_equal(br_reservation_beat(m, "nonsense", now_ns, &err), -ENOENT);
	release(&a);
	br_reservation_done(&a);
	/* one by hand is known by who made it */
	assert_int_equal(want("anna", "pi1", 60, &a), 0);
	assert_int_equal(br_reservation_holds(m, boards[0].id, NULL, "local:1000", &err), 0);
	assert_int_equal(br_reservation_holds(m, boards[0].id, NULL, "local:0", &err), -ENOLCK);
	release(&a);
	br_reservation_done(&a);
}

static const char *image_of(int i)
{
	static struct br_board b;

	assert_int_equal(br_board_by_id(fleet, boards[i].id, &b), 0);
	return b.image;
}

static void settings_come_back(void **state)
{
	struct br_reservation a, w;
	struct br_board b;

	strcpy(boards[0].image, "debian:12");
	assert_int_equal(br_board_save(fleet, &boards[0], NULL), 0);
	ask("anna", "pi[1-3]", &a);
	ask("bob", "image=debian:12", &w);
	assert_int_equal(br_reservation_settings(m, a.id, "job", "volatile", NULL, NULL), 0);
	assert_int_equal(br_reservation_settings(m, a.id, "job2", NULL, NULL, NULL), 0);
	assert_string_equal(image_of(0), "job2");
	assert_string_equal(image_of(1), "job2");
	/* a selector sees through it */
	br_reservations_tick(m, now_ns);
	assert_int_equal(state_of(&w), BR_RESERVATION_WAITING);
	/* somebody changes one meanwhile: that stays */
	assert_int_equal(br_board_by_id(fleet, boards[2].id, &b), 0);
	strcpy(b.image, "other");
	assert_int_equal(br_board_save(fleet, &b, NULL), 0);
	/* the daemon dies, then the client */
	close_all();
	open_all();
	assert_string_equal(image_of(0), "job2");
	now_ns += 11 * BR_S;
	assert_int_equal(br_reservation_beat(m, w.id, now_ns, NULL), 0);
	br_reservations_tick(m, now_ns);
	assert_int_equal(state_of(&a), BR_RESERVATION_ENDED);
	assert_string_equal(image_of(0), "debian:12");
	assert_string_equal(image_of(1), "");
	assert_string_equal(image_of(2), "other");
	assert_int_equal(br_board_by_id(fleet, boards[0].id, &b), 0);
	assert_string_equal(b.disk, "");
	assert_int_equal(state_of(&w), BR_RESERVATION_HELD);
	assert_int_equal(br_reservation_settings(m, a.id, "x", NULL, NULL, NULL), -ESTALE);
	release(&w);
	br_reservation_done(&a);
	br_reservation_done(&w);
}

static void quarantined_boards_are_for_people(void **state)
{
	struct br_quarantine q = { .board_id = boards[0].id, .failures = 3, .since = 1, .reason = "does not boot" };
	struct br_reservation a, b;

	assert_int_equal(br_quarantine_put(fleet, &q, NULL), 0);
	assert_int_equal(want("anna", "pi1", 0, &a), -ENOENT);
	assert_int_equal(want("anna", "model=4B:4", 0, &a), -ENOENT);
	ask("anna", "model=4B:3", &a);
	for (size_t i = 0; i < a.n_boards; i++)
		assert_true(a.boards[i] != boards[0].id);
	assert_int_equal(want("anna", "pi1", 60, &b), 0);
	assert_int_equal(b.state, BR_RESERVATION_HELD);
	release(&a);
	release(&b);
	br_reservation_done(&a);
	br_reservation_done(&b);
}

static void too_few_boards_end_a_wait(void **state)
{
	struct br_reservation a, b;
	struct br_board gone;

	ask("anna", "model=5:2", &a);
	ask("bob", "model=5:2", &b);
	assert_int_equal(br_board_by_id(fleet, boards[5].id, &gone), 0);
	assert_int_equal(br_board_remove(fleet, gone.id, NULL), 0);
	br_reservations_tick(m, now_ns);
	assert_int_equal(state_of(&b), BR_RESERVATION_ENDED);
	release(&a);
	br_reservation_done(&a);
	br_reservation_done(&b);
}

/* The model: random users come, leave, live, die; the daemon restarts. */

#define STEPS 1500
#define LIVE  40

struct client {
	struct br_reservation r;
	char user[8];
	char selector[24];
	bool used, dead, held;
	uint64_t deadline;
	unsigned overtaken;
};
static struct client clients[LIVE];
static unsigned seed = 7;

static unsigned dice(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static bool may_use(const struct client *c, int64_t id)
{
	for (int i = 0; i < N_BOARDS; i++) {
		if (boards[i].id != id)
			continue;
		return strstr(c->selector, "model=4B") ? i < 4 : strstr(c->selector, "model=5") ? i >= 4 : strstr(c->selector, "pi1") ? i < 2 : true;
	}
	return false;
}

static bool first_of_user(const struct client *c)
{
	for (int i = 0; i < LIVE; i++) {
		if (clients[i].used && !clients[i].held && &clients[i] != c && !strcmp(clients[i].user, c->user) &&
			clients[i].r.number < c->r.number)
			return false;
	}
	return true;
}

static void note_overtaking(const struct client *by, const struct br_reservation *now)
{
	for (int i = 0; i < LIVE; i++) {
		struct client *c = &clients[i];
		bool mine = false;

		if (!c->used || c->held || c->r.number > now->number || state_of(&c->r) != BR_RESERVATION_WAITING)
			continue;
		for (size_t k = 0; k < now->n_boards; k++)
			mine |= may_use(c, now->boards[k]);
		/* one and the same wish of one user: in order */
		if (mine && !strcmp(c->user, by->user) && !strcmp(c->selector, by->selector))
			fail_msg("r%lld of %s was served before r%lld", (long long)now->number, c->user, (long long)c->r.number);
		c->overtaken += mine && first_of_user(c);
		assert_in_range(c->overtaken, 0, BR_FAIR_OVERTAKEN_MAX + N_BOARDS);
	}
}

static void check_boards(const struct client *c, const struct br_reservation *now, int64_t taken[N_BOARDS])
{
	assert_int_equal(now->n_boards, now->count);
	for (size_t k = 0; k < now->n_boards; k++) {
		int i = 0;

		while (i < N_BOARDS && boards[i].id != now->boards[k])
			i++;
		if (i == N_BOARDS)
			fail_msg("r%lld holds no board of ours", (long long)now->number);
		else if (taken[i])
			fail_msg("board %d is held by r%lld and r%lld", i, (long long)taken[i], (long long)now->number);
		else
			taken[i] = now->number;
		assert_true(may_use(c, now->boards[k]));
	}
}

/* Looks at all; frees the entries of those that ended. */
static void check_all(void)
{
	int64_t taken[N_BOARDS] = { 0 };
	int waiting = 0, last = -1;

	for (int i = 0; i < LIVE; i++) {
		struct client *c = &clients[i];
		struct br_reservation now;

		if (!c->used)
			continue;
		assert_int_equal(br_reservation_get(m, c->r.id, NULL, &now, NULL, NULL), 0);
		if (now.state == BR_RESERVATION_ENDED) {
			assert_true(c->dead);
			assert_true(now_ns >= c->deadline);
			br_reservation_done(&c->r);
			c->used = false;
		} else {
			assert_true(now_ns < c->deadline);
		}
		if (now.state == BR_RESERVATION_HELD) {
			check_boards(c, &now, taken);
			if (!c->held)
				note_overtaking(c, &now);
			c->held = true;
		} else if (now.state == BR_RESERVATION_WAITING) {
			waiting++;
			last = i;
		}
		br_reservation_done(&now);
	}
	/* nobody waits alone for boards that are free */
	for (int i = 0, n = 0; waiting == 1 && i < N_BOARDS; i++) {
		n += !taken[i] && may_use(&clients[last], boards[i].id);
		assert_true(n < (int)clients[last].r.count);
	}
}

static void come(struct client *c)
{
	static const char *const selectors[] = { "all", "all:2", "model=4B", "model=4B:3", "model=5", "model=5:2", "pi[1-2]", "all:4" };

	*c = (struct client){ .used = true, .dead = dice(6) == 0, .deadline = now_ns + 10 * BR_S };
	snprintf(c->user, sizeof(c->user), "u%u", dice(4) * dice(2));
	snprintf(c->selector, sizeof(c->selector), "%s", selectors[dice(BR_ARRAY_SIZE(selectors))]);
	ask(c->user, c->selector, &c->r);
}

static void leave(struct client *c)
{
	release(&c->r);
	br_reservation_done(&c->r);
	c->used = false;
}

static void time_passes(void)
{
	now_ns += (1 + dice(5)) * BR_S;
	for (int i = 0; i < LIVE; i++) {
		/* who lives has beaten in time */
		if (clients[i].used && !clients[i].dead) {
			assert_int_equal(br_reservation_beat(m, clients[i].r.id, now_ns, NULL), 0);
			clients[i].deadline = now_ns + 10 * BR_S;
		}
	}
	br_reservations_tick(m, now_ns);
}

static void restart(void)
{
	close_all();
	open_all();
	for (int i = 0; i < LIVE; i++) {
		clients[i].overtaken = 0;
		clients[i].deadline = now_ns + 10 * BR_S;
	}
}

static void random_lives_keep_the_rules(void **state)
{
	for (int step = 0; step < STEPS; step++) {
		struct client *c = &clients[dice(LIVE)];

		if (step % 300 == 299)
			restart();
		else if (!c->used)
			come(c);
		else if (dice(3) == 0 && !c->dead)
			leave(c);
		else
			time_passes();
		check_all();
	}
	/* the end: all are served, one after the other */
	for (int round = 0, left = 1; left; round++) {
		left = 0;
		assert_in_range(round, 0, 20 * LIVE);
		now_ns += BR_S;
		for (int i = 0; i < LIVE; i++) {
			clients[i].dead = clients[i].used && clients[i].dead;
			if (clients[i].used && clients[i].held && !clients[i].dead)
				leave(&clients[i]);
			left += clients[i].used;
		}
		time_passes();
		check_all();
	}
}

static void ended_ones_are_remembered_and_forgotten(void **state)
{
	struct br_reservation r;
	struct br_error err = BR_ERROR_NULL;

	ask("anna", "pi1", &r);
	release(&r);
	close_all();
	open_all();
	assert_int_equal(state_of(&r), BR_RESERVATION_ENDED);
	assert_int_equal(br_reservation_get(m, "r12345", NULL, &r, NULL, &err), -ENOENT);
	br_reservation_done(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_after_the_other), TEST(what_cannot_be_had_is_said), TEST(who_passes_delays_nobody), TEST(who_waits_for_days_keeps_nothing),
		TEST(users_take_turns), TEST(nobody_starves), TEST(who_dies_loses_all), TEST(one_by_hand_needs_no_heartbeat), TEST(its_time_runs_out), TEST(one_by_hand_is_given_to_who_lives),
		TEST(who_follows_is_told_of_turns), TEST(the_own_image_of_a_board_is_kept),
		TEST(others_are_refused), TEST(settings_come_back), TEST(quarantined_boards_are_for_people), TEST(too_few_boards_end_a_wait),
		TEST(random_lives_keep_the_rules), TEST(ended_ones_are_remembered_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
