/* SPDX-License-Identifier: Apache-2.0 */
/* Reservations in the database. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "fleet/db.h"
#include "fleet/fairqueue.h"
#include "fleet/reservation_priv.h"

#define SECRET_BYTES 16

static const char *const states[] = { "waiting", "held", "ended" };

const char *br_reservation_state_name(enum br_reservation_state state)
{
	return states[state];
}

void br_res_free(struct br_res *e)
{
	if (!e)
		return;
	br_selector_free(e->sel);
	br_reservation_done(&e->r);
	free(e->boards);
	free(e);
}

static void row_to_reservation(sqlite3_stmt *s, struct br_res *e)
{
	struct br_reservation *r = &e->r;
	char secret[2 * SECRET_BYTES + 1], state[16];

	r->number = sqlite3_column_int64(s, 0);
	br_db_text(s, 1, secret, sizeof(secret));
	snprintf(r->id, sizeof(r->id), "r%lld-%s", (long long)r->number, secret);
	br_db_text(s, 2, state, sizeof(state));
	r->state = BR_RESERVATION_ENDED;
	for (size_t i = 0; i < BR_ARRAY_SIZE(states); i++) {
		if (!strcmp(state, states[i]))
			r->state = (enum br_reservation_state)i;
	}
	br_db_text(s, 3, r->user, sizeof(r->user));
	br_db_text(s, 4, r->who, sizeof(r->who));
	br_db_text(s, 5, r->note, sizeof(r->note));
	r->count = (uint32_t)sqlite3_column_int64(s, 7);
	r->ttl_s = (uint32_t)sqlite3_column_int64(s, 8);
	r->for_s = (uint64_t)sqlite3_column_int64(s, 9);
	e->start = (uint64_t)sqlite3_column_int64(s, 10);
	r->asked_at = sqlite3_column_int64(s, 11);
	r->held_at = sqlite3_column_int64(s, 12);
	r->until = sqlite3_column_int64(s, 13);
	r->ended_at = sqlite3_column_int64(s, 14);
	br_db_text(s, 15, r->why, sizeof(r->why));
	br_db_text(s, 16, r->reason, sizeof(r->reason));
}

/* A row in fresh memory, NULL when that is out. */
static struct br_res *from_row(sqlite3_stmt *s)
{
	struct br_res *e = calloc(1, sizeof(*e));
	const char *selector = (const char *)sqlite3_column_text(s, 6);

	if (!e)
		return NULL;
	row_to_reservation(s, e);
	e->r.selector = strdup(selector ? selector : "");
	if (!e->r.selector) {
		br_res_free(e);
		return NULL;
	}
	return e;
}

/* Its boards; the lock is held. */
static int load_boards(struct br_fleet *fleet, struct br_res *e)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_RES_BOARD_LIST);
	size_t cap = 0;
	int code, r = 0;

	sqlite3_bind_int64(s, 1, e->r.number);
	while (!r && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct br_res_board b = { .id = sqlite3_column_int64(s, 0) };

		b.image_kept = sqlite3_column_type(s, 1) != SQLITE_NULL;
		br_db_text(s, 1, b.was_image, sizeof(b.was_image));
		e->settings |= sqlite3_column_int(s, 2) != 0;
		r = br_array_reserve(&e->boards, &cap, e->n_boards + 1, sizeof(b));
		if (!r)
			e->boards[e->n_boards++] = b;
	}
	if (!r && code != SQLITE_DONE)
		r = br_db_errno(fleet->db);
	sqlite3_reset(s);
	return r;
}

static int read_live(struct br_reservations *m)
{
	sqlite3_stmt *s = br_db_stmt(m->fleet, ST_RES_LIVE);
	int code = SQLITE_DONE, r = 0;

	while (!r && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct br_res *e = NULL;

		r = br_array_reserve(&m->live, &m->cap, m->n + 1, sizeof(struct br_res *));
		if (!r)
			e = from_row(s);
		if (e)
			m->live[m->n++] = e;
		else
			r = -ENOMEM;
	}
	if (!r && code != SQLITE_DONE)
		r = br_db_errno(m->fleet->db);
	sqlite3_reset(s);
	return r;
}

int br_res_db_load(struct br_reservations *m, struct br_error *err)
{
	int r;

	br_db_lock(m->fleet);
	r = read_live(m);
	for (size_t i = 0; i < m->n && !r; i++)
		r = load_boards(m->fleet, m->live[i]);
	if (r < 0)
		br_db_error(m->fleet, err, r, "read the reservations");
	br_db_unlock(m->fleet);
	return r;
}

/* The latest end of a user's requests; NULL: of all. */
static int finish_of(struct br_fleet *fleet, const char *user, uint64_t *ret)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_RES_FINISH);
	int r = 0;

	if (user)
		sqlite3_bind_text(s, 1, user, -1, SQLITE_STATIC);
	if (sqlite3_step(s) == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
	else
		r = br_db_errno(fleet->db);
	sqlite3_reset(s);
	return r;
}

static int choose_start(struct br_reservations *m, struct br_res *e)
{
	br_cleanup(br_freep) struct br_fair_entry *v = calloc(m->n + 1, sizeof(*v));
	br_cleanup(br_freep) const struct br_fair_entry **waiting = calloc(m->n + 1, sizeof(struct br_fair_entry *));
	uint64_t own = 0, all = 0;
	size_t n = 0;
	int r = v && waiting ? finish_of(m->fleet, e->r.user, &own) : -ENOMEM;

	if (r >= 0)
		r = finish_of(m->fleet, NULL, &all);
	if (r < 0)
		return r;
	for (size_t i = 0; i < m->n; i++) {
		if (m->live[i]->r.state != BR_RESERVATION_WAITING)
			continue;
		v[n].start = m->live[i]->start;
		waiting[n] = &v[n];
		n++;
	}
	e->start = br_fair_start(waiting, n, own, all);
	return 0;
}

static int insert(struct br_fleet *fleet, const struct br_res *e, const char *secret)
{
	const struct br_reservation *r = &e->r;
	sqlite3_stmt *s = br_db_stmt(fleet, ST_RES_INSERT);

	sqlite3_bind_text(s, 1, secret, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, states[r->state], -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, r->user, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, r->who, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 5, r->note, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 6, r->selector, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 7, r->count);
	sqlite3_bind_int64(s, 8, r->ttl_s);
	sqlite3_bind_int64(s, 9, (int64_t)r->for_s);
	sqlite3_bind_int64(s, 10, (int64_t)e->start);
	sqlite3_bind_int64(s, 11, r->asked_at);
	return br_db_run(s);
}

int br_res_db_add(struct br_reservations *m, struct br_res *e, struct br_error *err)
{
	static const char doing[] = "store a reservation";
	uint8_t random[SECRET_BYTES];
	char secret[2 * SECRET_BYTES + 1];
	int64_t number = 0;
	int r;

	br_random(random, sizeof(random));
	br_hex(secret, random, sizeof(random));
	r = br_db_begin(m->fleet, false, err, doing);
	if (r < 0)
		return r;
	e->r.asked_at = br_db_now();
	r = choose_start(m, e);
	if (r >= 0)
		r = insert(m->fleet, e, secret);
	if (r >= 0)
		number = sqlite3_last_insert_rowid(m->fleet->db);
	r = br_db_end(m->fleet, r, err, doing);
	if (r < 0)
		return r;
	e->r.number = number;
	snprintf(e->r.id, sizeof(e->r.id), "r%lld-%s", (long long)number, secret);
	return 0;
}

static int put_state(struct br_fleet *fleet, const struct br_reservation *r, enum br_reservation_state state, uint64_t for_s, int64_t held_at,
	int64_t until, int64_t ended_at, const char *why, const char *reason)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_RES_STATE);

	sqlite3_bind_int64(s, 1, r->number);
	sqlite3_bind_text(s, 2, states[state], -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 3, held_at);
	sqlite3_bind_int64(s, 4, until);
	sqlite3_bind_int64(s, 5, ended_at);
	sqlite3_bind_text(s, 6, why, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 7, reason, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 8, (int64_t)for_s);
	return br_db_run(s);
}

int br_res_db_hold(struct br_reservations *m, struct br_res *e, const struct br_res_board *boards, size_t n, int64_t held_at,
	int64_t until, struct br_error *err)
{
	static const char doing[] = "reserve boards";
	int r = br_db_begin(m->fleet, false, err, doing);

	if (r < 0)
		return r;
	r = put_state(m->fleet, &e->r, BR_RESERVATION_HELD, e->r.for_s, held_at, until, 0, "", "");
	for (size_t i = 0; i < n && r >= 0; i++) {
		sqlite3_stmt *s = br_db_stmt(m->fleet, ST_RES_BOARD_ADD);

		sqlite3_bind_int64(s, 1, e->r.number);
		sqlite3_bind_int64(s, 2, boards[i].id);
		r = br_db_run(s);
	}
	return br_db_end(m->fleet, r, err, doing);
}

int br_res_db_until(struct br_reservations *m, const struct br_res *e, uint64_t for_s, int64_t until, struct br_error *err)
{
	static const char doing[] = "extend a reservation";
	int r = br_db_begin(m->fleet, false, err, doing);

	if (r < 0)
		return r;
	r = put_state(m->fleet, &e->r, e->r.state, for_s, e->r.held_at, until, 0, "", "");
	return br_db_end(m->fleet, r, err, doing);
}

/* A statement whose parameter 1 is the reservation. */
static int run_of(struct br_fleet *fleet, enum br_stmt which, int64_t number)
{
	sqlite3_stmt *s = br_db_stmt(fleet, which);

	sqlite3_bind_int64(s, 1, number);
	return br_db_run(s);
}

int br_res_db_end(struct br_reservations *m, const struct br_res *e, int64_t ended_at, const char *why, const char *reason,
	struct br_error *err)
{
	static const char doing[] = "end a reservation";
	int r = br_db_begin(m->fleet, false, err, doing);

	if (r < 0)
		return r;
	r = run_of(m->fleet, ST_RES_RESTORE_SETTINGS, e->r.number);
	if (r >= 0)
		r = run_of(m->fleet, ST_RES_BOARD_FREE, e->r.number);
	if (r >= 0)
		r = put_state(m->fleet, &e->r, BR_RESERVATION_ENDED, e->r.for_s, e->r.held_at, e->r.until, ended_at, why, reason);
	return br_db_end(m->fleet, r, err, doing);
}

int br_res_db_settings(struct br_reservations *m, const struct br_res *e, const char *image, const char *disk, const char *road,
	struct br_error *err)
{
	static const char doing[] = "set what reserved boards boot";
	static const enum br_stmt steps[] = { ST_RES_KEEP_SETTINGS, ST_RES_APPLY_SETTINGS };
	const char *const values[] = { image, disk, road };
	int r = br_db_begin(m->fleet, false, err, doing);

	if (r < 0)
		return r;
	for (size_t i = 0; i < BR_ARRAY_SIZE(steps) && r >= 0; i++) {
		sqlite3_stmt *s = br_db_stmt(m->fleet, steps[i]);

		sqlite3_bind_int64(s, 1, e->r.number);
		for (int k = 0; k < 3; k++) {
			if (values[k])
				sqlite3_bind_text(s, 2 + k, values[k], -1, SQLITE_STATIC);
		}
		r = br_db_run(s);
	}
	return br_db_end(m->fleet, r, err, doing);
}

int br_res_db_get(struct br_reservations *m, int64_t number, bool before, struct br_res **ret)
{
	struct br_res *e = NULL;
	sqlite3_stmt *s;
	int code, r;

	br_db_lock(m->fleet);
	s = br_db_stmt(m->fleet, before ? ST_RES_ENDED : ST_RES_BY_NUMBER);
	sqlite3_bind_int64(s, 1, number);
	code = sqlite3_step(s);
	r = code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : br_db_errno(m->fleet->db);
	if (!r) {
		e = from_row(s);
		r = e ? 0 : -ENOMEM;
	}
	sqlite3_reset(s);
	if (!r)
		r = load_boards(m->fleet, e);
	br_db_unlock(m->fleet);
	if (r < 0) {
		br_res_free(e);
		return r;
	}
	*ret = e;
	return 0;
}

int br_res_db_forget(struct br_reservations *m, int64_t up_to)
{
	int r = br_db_begin(m->fleet, true, NULL, NULL);

	if (r < 0)
		return r;
	r = run_of(m->fleet, ST_RES_FORGET, up_to);
	if (r >= 0)
		r = br_db_run(br_db_stmt(m->fleet, ST_RES_BOARD_FORGET));
	return br_db_end(m->fleet, r, NULL, NULL);
}
