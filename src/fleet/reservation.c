/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations: who asks, who is served, who lives, who ended. The order of the queue is fairqueue.c's, the steps are reservationdb.c's. */
#include "fleet/reservation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/db.h"
#include "fleet/quarantine.h"
#include "fleet/reservation_priv.h"

#define LIVE_MAX   4096 /* reservations that wait or are held */
#define KEEP_ENDED 2000 /* so many are remembered ... */
#define FORGET_EACH 200 /* ... and looked at so seldom */
#define CLOCK_STEP_S 5  /* the two clocks differ so much: one was set */

void br_reservation_done(struct br_reservation *r)
{
	free(r->selector);
	free(r->boards);
	*r = (struct br_reservation){ 0 };
}

void br_reservation_edit_lock(struct br_fleet *fleet)
{
	pthread_mutex_lock(&fleet->edit_lock);
}

void br_reservation_edit_unlock(struct br_fleet *fleet)
{
	pthread_mutex_unlock(&fleet->edit_lock);
}

static void enter(struct br_reservations *m, uint64_t now_ns)
{
	br_reservation_edit_lock(m->fleet);
	pthread_mutex_lock(&m->lock);
	m->now_ns = now_ns > m->now_ns ? now_ns : m->now_ns;
}

static void leave(struct br_reservations *m)
{
	pthread_mutex_unlock(&m->lock);
	br_reservation_edit_unlock(m->fleet);
}

/* Said once, until it is another one. */
void br_res_trouble(struct br_reservations *m, const struct br_error *err, int r)
{
	const char *words = br_error_text(err, r);

	if (!strncmp(words, m->told, sizeof(m->told) - 1))
		return;
	snprintf(m->told, sizeof(m->told), "%s", words);
	if (m->ops.trouble)
		m->ops.trouble(m->ops.ctx, words);
}

static uint64_t deadline(const struct br_res *e, uint64_t now_ns)
{
	return now_ns + e->r.ttl_s * BR_S;
}

/* Lives by its client's signs, not by the clock. */
static bool beats(const struct br_res *e)
{
	return e->r.state == BR_RESERVATION_WAITING || !e->r.for_s || e->unconfirmed;
}

static int copy_out(const struct br_res *e, bool own, struct br_reservation *ret)
{
	struct br_reservation r = e->r;

	if (!own)
		r.id[0] = 0;
	r.selector = strdup(e->r.selector);
	r.boards = calloc(e->n_boards + 1, sizeof(*r.boards));
	r.n_boards = e->n_boards;
	if (!r.selector || !r.boards) {
		br_reservation_done(&r);
		return -ENOMEM;
	}
	for (size_t i = 0; i < e->n_boards; i++)
		r.boards[i] = e->boards[i].id;
	*ret = r;
	return 0;
}

/* The end of one. */

static void drop(struct br_reservations *m, struct br_res *e)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->live[i] != e)
			continue;
		memmove(&m->live[i], &m->live[i + 1], (m->n - i - 1) * sizeof(struct br_res *));
		m->n--;
		break;
	}
	br_res_free(e);
}

static void forget_old(struct br_reservations *m, int64_t newest)
{
	if (m->n_ended++ % FORGET_EACH == 0)
		(void)br_res_db_forget(m, newest - KEEP_ENDED); /* only room on the disk; again next time */
}

void br_reservations_follow(struct br_reservations *m, void (*turned)(void *ctx, int64_t board_id, int64_t number), void *ctx)
{
	pthread_mutex_lock(&m->lock);
	m->turned = turned;
	m->turned_ctx = ctx;
	pthread_mutex_unlock(&m->lock);
}

void br_res_turned(struct br_reservations *m, const struct br_res *e, bool gone)
{
	for (size_t i = 0; m->turned && i < e->n_boards; i++)
		m->turned(m->turned_ctx, e->boards[i].id, gone ? 0 : e->r.number);
}

/* e is freed. Under both locks. */
int br_res_end(struct br_reservations *m, struct br_res *e, const char *why, const char *reason, struct br_error *err)
{
	br_cleanup(br_freep) struct br_board *before = e->settings ? br_res_boards_before(m, e) : NULL;
	int64_t now = br_db_now();
	int r;

	/* what was ordered under it ends first: it would change boards whose settings are back already */
	br_res_turned(m, e, true);
	r = br_res_db_end(m, e, now, why, reason, err);
	if (r < 0)
		return r;
	br_res_tell_edits(m, e, before);
	br_res_tell_end(m, e, why, reason, now);
	forget_old(m, e->r.number);
	drop(m, e);
	return 0;
}

static bool any_waiting(const struct br_reservations *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->live[i]->r.state == BR_RESERVATION_WAITING)
			return true;
	}
	return false;
}

static bool is_overdue(const struct br_res *e, uint64_t now_ns)
{
	return now_ns >= (beats(e) ? e->deadline_ns : e->until_ns);
}

static int end_overdue(struct br_reservations *m, struct br_res *e, struct br_error *err)
{
	char reason[120];

	if (!beats(e))
		return br_res_end(m, e, "expired", "its time is up", err);
	snprintf(reason, sizeof(reason), "no sign of life of its client for %u s", e->r.ttl_s);
	return br_res_end(m, e, "died", reason, err);
}

/* The clock was set: what is told of an end is told by the new one. */
static int follow_clock(struct br_reservations *m, struct br_res *e, struct br_error *err)
{
	int64_t until = br_db_now() + (int64_t)((e->until_ns - m->now_ns) / BR_S);
	int r;

	if (e->r.state != BR_RESERVATION_HELD || !e->r.for_s || e->until_ns < m->now_ns || llabs(until - e->r.until) <= CLOCK_STEP_S)
		return 0;
	r = br_res_db_until(m, e, e->r.for_s, until, err);
	if (r >= 0)
		e->r.until = until;
	return r;
}

void br_reservations_tick(struct br_reservations *m, uint64_t now_ns)
{
	struct br_error err = BR_ERROR_NULL;
	int r, failed = 0, served = 0;
	size_t i = 0;

	enter(m, now_ns);
	while (i < m->n) { /* one that cannot be ended keeps nobody else */
		struct br_res *e = m->live[i];
		bool ends = is_overdue(e, now_ns);

		r = ends ? end_overdue(m, e, &err) : follow_clock(m, e, &err);
		failed = failed < 0 ? failed : r;
		i += !ends || r < 0;
	}
	if (any_waiting(m))
		served = br_res_serve(m);
	if (failed < 0 && served >= 0)
		br_res_trouble(m, &err, failed);
	else if (served >= 0)
		m->told[0] = 0;
	leave(m);
}

/* Opening. */

/* Of one made by hand, in s: by the clock, which is all that a restart leaves; never more than it was given. */
static uint64_t left(const struct br_res *e)
{
	int64_t s = e->r.until - br_db_now();

	return s < 0 ? 0 : (uint64_t)s > e->r.for_s ? e->r.for_s : (uint64_t)s;
}

/* What was accepted once is accepted now; if not (an older bramble reads it), it matches nothing and ends. */
static int parse_selectors(struct br_reservations *m, uint64_t now_ns, struct br_error *err)
{
	for (size_t i = 0; i < m->n; i++) {
		struct br_res *e = m->live[i];
		int r = br_selector_parse(e->r.selector, &e->sel, err);

		if (r < 0) {
			br_error_prefix(err, "reservation r%" PRId64, e->r.number);
			return r;
		}
		e->deadline_ns = deadline(e, now_ns);
		e->until_ns = now_ns + left(e) * BR_S;
	}
	return 0;
}

int br_reservations_open(struct br_fleet *fleet, const struct br_reservation_ops *ops, uint64_t now_ns, struct br_reservations **ret,
	struct br_error *err)
{
	struct br_reservations *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return br_error_set(err, ENOMEM, "out of memory");
	m->fleet = fleet;
	m->ops = *ops;
	m->now_ns = now_ns;
	pthread_mutex_init(&m->lock, NULL);
	r = br_res_db_load(m, err);
	if (r >= 0)
		r = parse_selectors(m, now_ns, err);
	if (r < 0) {
		br_reservations_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

void br_reservations_close(struct br_reservations *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		br_res_free(m->live[i]);
	free(m->live);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* Asking. */

static int check_request(const struct br_reservation *req, struct br_error *err)
{
	if (!req->user[0])
		return br_error_set(err, EINVAL, "a reservation needs a user");
	if (req->ttl_s && (req->ttl_s < BR_RESERVATION_TTL_MIN_S || req->ttl_s > BR_RESERVATION_TTL_MAX_S))
		return br_error_set(err, EINVAL, "a reservation's heartbeat (ttl): %d to %d seconds, not %u", BR_RESERVATION_TTL_MIN_S,
			BR_RESERVATION_TTL_MAX_S, req->ttl_s);
	if (req->for_s > BR_RESERVATION_FOR_MAX_S)
		return br_error_set(err, EINVAL, "a reservation lasts a year at most");
	return 0;
}

static int check_names(struct br_reservations *m, const struct br_selector *sel, struct br_error *err)
{
	size_t n;
	const char *const *names = br_selector_names(sel, &n);
	struct br_board b;
	char vis[80];

	for (size_t i = 0; i < n; i++) {
		int r = br_board_by_name(m->fleet, names[i], &b);

		if (r < 0)
			return br_error_set(err, -r, r == -ENOENT ? "no board is named '%s'; 'bramble board list' shows them" : "board %s cannot be read",
				br_vis(vis, sizeof(vis), names[i], strlen(names[i])));
	}
	return 0;
}

struct matches {
	struct br_reservations *m;
	const struct br_selector *sel;
	char image[98];
	size_t n, aside; /* aside: those in quarantine */
};

static int count_match(void *ctx, const struct br_board *b)
{
	struct matches *c = ctx;
	const struct br_res_board *held = NULL;
	struct br_selector_facts facts;

	br_res_holder(c->m, b->id, &held);
	facts = br_res_facts(b, held, c->image);
	if (br_selector_matches(c->sel, b, &facts)) {
		struct br_quarantine q;

		c->n++;
		c->aside += br_quarantine_get(c->m->fleet, b->id, &q) >= 0 && q.since;
	}
	return 0;
}

/* How many boards it is about. */
static int choose_count(struct br_reservations *m, struct br_res *e, uint32_t wanted, struct br_error *err)
{
	struct matches c = { .m = m, .sel = e->sel };
	uint32_t n = wanted ? wanted : br_selector_count(e->sel);
	char vis[200];
	int r;

	br_vis(vis, sizeof(vis), e->r.selector, strlen(e->r.selector));
	if (m->ops.default_image)
		m->ops.default_image(m->ops.ctx, c.image, sizeof(c.image));
	r = br_board_list(m->fleet, count_match, &c);
	if (r < 0)
		return br_error_set(err, -r, "the boards cannot be read: %s", strerrordesc_np(-r));
	if (n == UINT32_MAX)
		n = c.n > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)c.n;
	if (!c.n)
		return br_error_set(err, ENOENT, "no board matches '%s'; 'bramble board list' shows them", vis);
	if (n > c.n)
		return br_error_set(err, ENOENT, "%u boards are wanted, and %zu match '%s'", n, c.n, vis);
	if (!e->r.for_s && n > c.n - c.aside)
		return br_error_set(err, ENOENT, "of the %zu boards that match '%s', %zu are in quarantine, and %u are wanted; 'bramble power status' tells "
						 "why", c.n, vis, c.aside, n);
	if (n > BR_RESERVATION_BOARDS_MAX)
		return br_error_set(err, E2BIG, "a reservation is for %d boards at most, and '%s' are %u", BR_RESERVATION_BOARDS_MAX, vis, n);
	e->r.count = n;
	return 0;
}

static int make(struct br_reservations *m, const struct br_reservation *req, struct br_res *e, struct br_error *err)
{
	int r;

	e->r.state = BR_RESERVATION_WAITING;
	e->r.ttl_s = req->ttl_s ? req->ttl_s : BR_RESERVATION_TTL_S;
	e->r.for_s = req->for_s;
	snprintf(e->r.user, sizeof(e->r.user), "%s", req->user);
	snprintf(e->r.who, sizeof(e->r.who), "%s", req->who);
	snprintf(e->r.note, sizeof(e->r.note), "%s", req->note);
	e->r.selector = strdup(req->selector);
	if (!e->r.selector)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_selector_parse(req->selector, &e->sel, err);
	if (r >= 0)
		r = check_names(m, e->sel, err);
	if (r >= 0)
		r = choose_count(m, e, req->count, err);
	return r;
}

/* Under both locks. */
static int add(struct br_reservations *m, struct br_res *e, uint64_t now_ns, struct br_error *err)
{
	int r;

	if (m->n >= LIVE_MAX)
		return br_error_set(err, ENOSPC, "%d reservations wait or are held already; try later", LIVE_MAX);
	if (br_array_reserve(&m->live, &m->cap, m->n + 1, sizeof(struct br_res *)) < 0)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_res_db_add(m, e, err);
	if (r < 0)
		return r;
	e->deadline_ns = deadline(e, now_ns);
	m->live[m->n++] = e;
	return 0;
}

int br_reservation_ask(struct br_reservations *m, const struct br_reservation *req, uint64_t now_ns, struct br_reservation *ret,
	struct br_error *err)
{
	struct br_res *e = NULL;
	int r = check_request(req, err);

	if (r < 0)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e)
		return br_error_set(err, ENOMEM, "out of memory");
	enter(m, now_ns);
	r = make(m, req, e, err);
	if (r >= 0)
		r = add(m, e, now_ns, err);
	if (r < 0) {
		br_res_free(e);
	} else {
		(void)br_res_serve(m); /* told, and tried again */
		e->unconfirmed = false; /* its client gets this answer */
		if (e->r.state == BR_RESERVATION_WAITING)
			br_res_tell_queued(m, e);
		r = copy_out(e, true, ret);
	}
	leave(m);
	return r == -ENOMEM ? br_error_set(err, ENOMEM, "out of memory") : r;
}

/* Finding. */

static bool same_secret(const char *a, const char *b)
{
	size_t n = strlen(a);
	unsigned differs = n != strlen(b);

	for (size_t i = 0; !differs && i < n; i++)
		differs |= (unsigned)(a[i] ^ b[i]);
	return !differs;
}

/* "r12" or "r12-SECRET": its number; *ret_secret: whether there was one. */
static int parse_id(const char *id, int64_t *ret, bool *ret_secret)
{
	char digits[24];
	size_t n = strcspn(id, "-");
	uint64_t v;

	if (id[0] != 'r' || n < 2 || n > sizeof(digits) - 1)
		return -EINVAL;
	memcpy(digits, id + 1, n - 1);
	digits[n - 1] = 0;
	if (br_parse_u64(digits, 1, INT64_MAX, &v) < 0)
		return -EINVAL;
	*ret = (int64_t)v;
	*ret_secret = id[n] == '-';
	return 0;
}

static bool is_own(const struct br_res *e, const char *id, bool with_secret, const char *who)
{
	if (with_secret)
		return same_secret(id, e->r.id);
	/* what is root's is everybody's who may be root */
	return e->r.for_s && who && who[0] && strcmp(who, "local:0") != 0 && !strcmp(who, e->r.who);
}

/* A live one; -ESTALE: it ended, *ret_ended (to be freed) says how; -ENOENT, -EACCES. */
static int find(struct br_reservations *m, const char *id, const char *who, struct br_res **ret, bool *ret_own, struct br_res **ret_ended,
	struct br_error *err)
{
	struct br_res *e = NULL;
	bool secret = false;
	int64_t number = 0;
	char vis[100];
	int r = parse_id(id, &number, &secret);

	br_vis(vis, sizeof(vis), id, strcspn(id, "-"));
	if (r < 0)
		return br_error_set(err, ENOENT, "no reservation is named '%s': they are r1, r2 ...; 'bramble reserve list' shows them", vis);
	for (size_t i = 0; i < m->n && !e; i++)
		e = m->live[i]->r.number == number ? m->live[i] : NULL;
	if (!e) {
		r = br_res_db_get(m, number, false, ret_ended);
		if (r < 0)
			return br_error_set(err, -r, r == -ENOENT ? "there is no reservation %s (any more)" : "reservation %s cannot be read", vis);
		e = *ret_ended;
	}
	*ret_own = is_own(e, id, secret, who);
	if (secret && !*ret_own)
		return br_error_set(err, EACCES, "reservation %s: that is not its secret", vis);
	if (*ret_ended)
		return br_error_set(err, ESTALE, "reservation %s has ended: %s", vis, e->r.reason);
	*ret = e;
	return 0;
}

/* A live one of the caller's own. */
static int find_own(struct br_reservations *m, const char *id, const char *who, struct br_res **ret, struct br_error *err)
{
	struct br_res *ended = NULL;
	bool own = false;
	int r = find(m, id, who, ret, &own, &ended, err);

	br_res_free(ended);
	if (!r && !own)
		return br_error_set(err, EACCES, "reservation r%" PRId64 " is of %s: its whole ID is needed, as 'bramble reserve get' told it",
			(*ret)->r.number, (*ret)->r.user);
	return r;
}

int br_reservation_get(struct br_reservations *m, const char *id, const char *who, struct br_reservation *ret, bool *ret_own,
	struct br_error *err)
{
	struct br_res *e = NULL, *ended = NULL;
	bool own = false;
	int r;

	pthread_mutex_lock(&m->lock);
	r = find(m, id, who, &e, &own, &ended, err);
	if (r == -ESTALE && ended)
		e = ended;
	if (e) {
		if (err)
			*err = BR_ERROR_NULL;
		r = copy_out(e, own, ret);
	}
	pthread_mutex_unlock(&m->lock);
	br_res_free(ended);
	if (r < 0)
		return r == -ENOMEM ? br_error_set(err, ENOMEM, "out of memory") : r;
	if (ret_own)
		*ret_own = own;
	return 0;
}

static int order_of_list(const void *pa, const void *pb)
{
	const struct br_reservation *a = pa, *b = pb;

	if (a->state != b->state)
		return a->state == BR_RESERVATION_HELD ? -1 : 1;
	if (a->before != b->before)
		return a->before < b->before ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

static int copy_live(struct br_reservations *m, struct br_reservation **ret, size_t *ret_n)
{
	struct br_reservation *v;
	size_t n = 0;
	int r = 0;

	pthread_mutex_lock(&m->lock);
	v = calloc(m->n + 1, sizeof(*v));
	for (size_t i = 0; v && i < m->n && !r; i++) {
		r = copy_out(m->live[i], false, &v[n]);
		n += !r;
	}
	pthread_mutex_unlock(&m->lock);
	if (!v)
		return -ENOMEM;
	qsort(v, n, sizeof(*v), order_of_list);
	*ret = v;
	*ret_n = n;
	return r;
}

static int list_ended(struct br_reservations *m, size_t ended, int (*fn)(void *ctx, const struct br_reservation *r), void *ctx)
{
	int64_t before = INT64_MAX;
	int r = 0;

	for (size_t i = 0; i < ended && !r; i++) {
		struct br_reservation copy;
		struct br_res *e = NULL;

		r = br_res_db_get(m, before, true, &e);
		if (r < 0)
			return r == -ENOENT ? 0 : r;
		before = e->r.number;
		r = copy_out(e, false, &copy);
		br_res_free(e);
		if (!r) {
			r = fn(ctx, &copy);
			br_reservation_done(&copy);
		}
	}
	return r;
}

int br_reservation_list(struct br_reservations *m, size_t ended, int (*fn)(void *ctx, const struct br_reservation *r), void *ctx)
{
	struct br_reservation *v = NULL;
	size_t n = 0;
	int r = list_ended(m, ended, fn, ctx);

	if (!r)
		r = copy_live(m, &v, &n);
	for (size_t i = 0; i < n; i++) {
		if (!r)
			r = fn(ctx, &v[i]);
		br_reservation_done(&v[i]);
	}
	free(v);
	return r;
}

/* Living on, ending. */

int br_reservation_beat(struct br_reservations *m, const char *id, uint64_t now_ns, struct br_error *err)
{
	struct br_res *e = NULL;
	int r;

	pthread_mutex_lock(&m->lock);
	r = find_own(m, id, NULL, &e, err);
	if (!r) {
		e->deadline_ns = deadline(e, now_ns);
		e->unconfirmed = false; /* the answer says that it is held, if it is */
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

int br_reservation_extend(struct br_reservations *m, const char *id, const char *who, uint64_t for_s, struct br_error *err)
{
	struct br_res *e = NULL;
	int64_t until;
	int r;

	if (!for_s || for_s > BR_RESERVATION_FOR_MAX_S)
		return br_error_set(err, EINVAL, "a reservation lasts a second at least and a year at most");
	pthread_mutex_lock(&m->lock);
	until = br_db_now() + (int64_t)for_s;
	r = find_own(m, id, who, &e, err);
	if (!r && e->r.state != BR_RESERVATION_HELD)
		r = br_error_set(err, EINVAL, "reservation r%" PRId64 " waits still: its time begins when it is held", e->r.number);
	if (!r)
		r = br_res_db_until(m, e, for_s, until, err);
	if (r >= 0) {
		e->r.for_s = for_s;
		e->r.until = until;
		e->until_ns = m->now_ns + for_s * BR_S;
		e->unconfirmed = false;
	}
	pthread_mutex_unlock(&m->lock);
	return r;
}

int br_reservation_end(struct br_reservations *m, const char *id, const char *who, bool by_force, const char *reason, uint64_t now_ns,
	struct br_error *err)
{
	struct br_res *e = NULL, *ended = NULL;
	struct br_error why = BR_ERROR_NULL;
	bool own = false;
	int r;

	enter(m, now_ns);
	r = by_force ? find(m, id, NULL, &e, &own, &ended, &why) : find_own(m, id, who, &e, &why);
	if (r >= 0) {
		r = br_res_end(m, e, by_force ? "broken" : "released", reason, &why);
		if (r >= 0 && any_waiting(m))
			(void)br_res_serve(m);
	}
	leave(m);
	br_res_free(ended);
	if (r == -ESTALE)
		return 0;
	if (r < 0 && err)
		*err = why;
	return r;
}

/* Settings. */

int br_reservation_settings(struct br_reservations *m, const char *id, const char *image, const char *disk, const char *road,
	struct br_error *err)
{
	br_cleanup(br_freep) struct br_board *before = NULL;
	struct br_res *e = NULL;
	int r;

	enter(m, 0);
	r = find_own(m, id, NULL, &e, err);
	if (!r && e->r.state != BR_RESERVATION_HELD)
		r = br_error_set(err, EINVAL, "reservation r%" PRId64 " waits still: it has no boards", e->r.number);
	if (!r) {
		before = br_res_boards_before(m, e);
		r = br_res_db_settings(m, e, image, disk, road, err);
	}
	if (r >= 0) {
		e->settings = true;
		for (size_t i = 0; image && before && i < e->n_boards; i++) {
			struct br_res_board *b = &e->boards[i];

			if (!b->image_kept)
				memcpy(b->was_image, before[i].image, sizeof(b->was_image));
			b->image_kept = true;
		}
		br_res_tell_edits(m, e, before);
	}
	leave(m);
	return r;
}

/* Who may change a board. */

/* Whether one of the IDs (with commas between) is its; *ret_force: one is "force". */
static bool shown(const struct br_res *e, const char *ids, bool *ret_force)
{
	char one[BR_RESERVATION_ID_MAX];

	while (ids && *ids) {
		size_t n = strcspn(ids, ", ");

		if (n && n < sizeof(one)) {
			memcpy(one, ids, n);
			one[n] = 0;
			if (same_secret(one, e->r.id))
				return true;
			*ret_force |= !strcmp(one, BR_RESERVATION_FORCE);
		}
		ids += n + (ids[n] != 0);
	}
	return false;
}

static void format_time(char *out, size_t size, int64_t s)
{
	time_t t = (time_t)s;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, size, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(out, size, "?");
}

static void describe(struct br_reservations *m, const struct br_res *e, int64_t board_id, struct br_error *err, int code, const char *cure)
{
	char since[40], until[40], when[60], vis[100];
	struct br_board b = { 0 };

	if (br_board_by_id(m->fleet, board_id, &b) < 0)
		snprintf(b.name, sizeof(b.name), "%lld", (long long)board_id);
	format_time(since, sizeof(since), e->r.held_at);
	format_time(until, sizeof(until), e->r.until);
	snprintf(when, sizeof(when), e->r.for_s ? "until %s" : "as long as that job lives", until);
	(void)br_error_set(err, code, "board %s is reserved for %s (r%" PRId64 ") since %s, %s%s", b.name,
		br_vis(vis, sizeof(vis), e->r.user, strlen(e->r.user)), e->r.number, since, when, cure);
}

int br_reservation_acts(struct br_reservations *m, int64_t board_id, const char *ids, const char *who, int64_t *ret_number, struct br_error *err)
{
	const struct br_res *e;
	bool force = false;
	char cure[240];
	int r = 0;

	pthread_mutex_lock(&m->lock);
	e = br_res_holder(m, board_id, NULL);
	if (e && !shown(e, ids, &force) && !is_own(e, "", false, who)) {
		snprintf(cure, sizeof(cure), "; show its ID (--reservation, BRAMBLE_RESERVATION), reserve it yourself ('bramble reserve get'), or "
					     "'bramble reserve break r%" PRId64 "'", e->r.number);
		describe(m, e, board_id, err, ENOLCK, force ? "" : cure);
		r = force ? 1 : -ENOLCK;
	}
	*ret_number = r > 0 ? BR_RESERVATION_FORCED : e ? e->r.number : 0;
	pthread_mutex_unlock(&m->lock);
	return r;
}

int br_reservation_holds(struct br_reservations *m, int64_t board_id, const char *ids, const char *who, struct br_error *err)
{
	int64_t number;

	return br_reservation_acts(m, board_id, ids, who, &number, err);
}

int64_t br_reservation_of(struct br_reservations *m, int64_t board_id, char *user, size_t size)
{
	const struct br_res *e;
	int64_t number = 0;

	pthread_mutex_lock(&m->lock);
	e = br_res_holder(m, board_id, NULL);
	if (e) {
		number = e->r.number;
		if (user)
			snprintf(user, size, "%s", e->r.user);
	}
	pthread_mutex_unlock(&m->lock);
	return number;
}

int64_t br_reservation_keeps_image(struct br_reservations *m, const char *image, int64_t *ret_board_id)
{
	int64_t number = 0;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->n && !number; i++) {
		const struct br_res *e = m->live[i];

		for (size_t k = 0; k < e->n_boards && !number; k++) {
			if (!e->boards[k].image_kept || strcmp(e->boards[k].was_image, image) != 0)
				continue;
			number = e->r.number;
			*ret_board_id = e->boards[k].id;
		}
	}
	pthread_mutex_unlock(&m->lock);
	return number;
}
