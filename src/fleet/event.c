/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: a queue in memory, numbered and told to listeners at once, stored in groups by a thread of its own, so
 * that who emits never waits for the disk.
 */
#include "fleet/event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "fleet/db.h"

#define GROUP_N 256	     /* so many wake the writer at once */
#define GROUP_MS 100	     /* the longest that one waits */
#define RETRY_MS 1000	     /* after a failure */
#define QUEUE_MAX 65536	     /* unstored events; about 16 MiB */

struct br_queued {
	struct br_queued *next;
	uint64_t seq, wall_ns, boot;
	int64_t board_id;
	char *fields; /* JSON text, points into the same memory */
	char type[];
};

struct br_listener {
	struct br_listener *next;
	void (*fn)(void *ctx, const struct br_event *ev);
	void *ctx;
};

void br_events_name(struct br_fleet *fleet, int64_t id, const char *name)
{
	size_t slot = (size_t)id % BR_FLEET_NAMES;

	pthread_mutex_lock(&fleet->ev_lock);
	fleet->names[slot].id = id;
	strncpy(fleet->names[slot].name, name, BR_BOARD_NAME_MAX);
	pthread_mutex_unlock(&fleet->ev_lock);
}

/* A reading call of the board refills the cache; who emits has just made one. */
static void want_name(struct br_fleet *fleet, int64_t id)
{
	struct br_board board;
	bool known;

	pthread_mutex_lock(&fleet->ev_lock);
	known = fleet->names[(size_t)id % BR_FLEET_NAMES].id == id;
	pthread_mutex_unlock(&fleet->ev_lock);
	if (!known)
		br_board_by_id(fleet, id, &board);
}

/* Under ev_lock. */
static void copy_name(struct br_fleet *fleet, int64_t id, char *out)
{
	size_t slot = (size_t)id % BR_FLEET_NAMES;

	out[0] = 0;
	if (id && fleet->names[slot].id == id)
		memcpy(out, fleet->names[slot].name, BR_BOARD_NAME_MAX + 1);
}

/* NULL when memory is out. */
static struct br_queued *new_queued(int64_t board_id, uint64_t boot, const char *type, const json_t *fields)
{
	br_cleanup(br_freep) char *text = fields ? json_dumps(fields, JSON_COMPACT) : strdup("{}");
	size_t n = strlen(type) + 1, m = text ? strlen(text) + 1 : 0;
	struct br_queued *q = text ? calloc(1, sizeof(*q) + n + m) : NULL;

	if (!q)
		return NULL;
	q->board_id = board_id;
	q->boot = boot;
	q->fields = q->type + n;
	memcpy(q->type, type, n);
	memcpy(q->fields, text, m);
	return q;
}

/* Under ev_lock: drops the oldest of the same type that is not being stored, or else the oldest. */
static void drop_one(struct br_fleet *fleet, const char *type)
{
	struct br_queued **at = &fleet->head, **oldest = NULL, **found = NULL, *q;
	struct br_queued *before = NULL, *before_oldest = NULL;
	size_t i = 0;

	for (struct br_queued *prev = NULL; *at && !found; prev = *at, at = &(*at)->next, i++) {
		if (i < fleet->n_in_flight)
			continue;
		if (!oldest) {
			oldest = at;
			before_oldest = prev;
		}
		if (!strcmp((*at)->type, type)) {
			found = at;
			before = prev;
			break;
		}
	}
	if (!found) {
		found = oldest;
		before = before_oldest;
	}
	if (!found)
		return;
	q = *found;
	*found = q->next;
	if (fleet->tail == q)
		fleet->tail = before;
	free(q);
	fleet->n_queued--;
	fleet->lost++;
}

/* Under ev_lock. */
static void append(struct br_fleet *fleet, struct br_queued *q)
{
	q->seq = fleet->next_seq++;
	q->wall_ns = br_wall_ns();
	if (fleet->tail)
		fleet->tail->next = q;
	else
		fleet->head = q;
	fleet->tail = q;
	fleet->n_queued++;
}

/* Under ev_lock. */
static void tell(struct br_fleet *fleet, const struct br_queued *q, json_t *fields)
{
	struct br_event ev = {
		.seq = q->seq,
		.wall_ns = q->wall_ns,
		.board_id = q->board_id,
		.boot = q->boot,
		.type = q->type,
		.fields = fields,
	};

	copy_name(fleet, q->board_id, ev.board_name);
	for (struct br_listener *l = fleet->listeners; l; l = l->next)
		l->fn(l->ctx, &ev);
}

/* Under ev_lock: once there is room again, the loss itself is told. */
static void report_loss(struct br_fleet *fleet)
{
	json_t *fields = json_pack("{s:I}", "count", (json_int_t)fleet->lost);
	struct br_queued *q = fields ? new_queued(0, 0, BR_EV_LOST, fields) : NULL;

	if (q) {
		fleet->lost = 0;
		append(fleet, q);
		tell(fleet, q, fields);
	}
	json_decref(fields);
}

void br_event_emit(struct br_fleet *fleet, int64_t board_id, uint64_t boot, const char *type, json_t *fields)
{
	struct br_queued *q = new_queued(board_id, boot, type, fields);

	if (board_id)
		want_name(fleet, board_id);
	pthread_mutex_lock(&fleet->ev_lock);
	if (fleet->lost && fleet->n_queued < QUEUE_MAX / 2)
		report_loss(fleet);
	if (fleet->n_queued >= QUEUE_MAX)
		drop_one(fleet, type);
	if (q) {
		append(fleet, q);
		tell(fleet, q, fields);
	} else {
		fleet->next_seq++;
		fleet->lost++;
	}
	if (fleet->n_queued >= GROUP_N || fleet->n_queued == 1)
		pthread_cond_signal(&fleet->ev_wake);
	pthread_mutex_unlock(&fleet->ev_lock);
	json_decref(fields);
}

static int insert_one(struct br_fleet *fleet, const struct br_queued *q)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_EVENT_INSERT);

	sqlite3_bind_int64(s, 1, (int64_t)q->seq);
	sqlite3_bind_int64(s, 2, (int64_t)q->wall_ns);
	sqlite3_bind_int64(s, 3, q->board_id);
	sqlite3_bind_int64(s, 4, (int64_t)q->boot);
	sqlite3_bind_text(s, 5, q->type, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 6, q->fields, -1, SQLITE_STATIC);
	return br_db_run(s);
}

/* Stores the first n of the queue, which nobody else touches while they are in flight. */
static int store_group(struct br_fleet *fleet, struct br_queued *q, size_t n, struct br_error *err)
{
	int r = br_db_begin(fleet, false, err, "store events");

	if (r < 0)
		return r;
	for (; n && r >= 0; n--, q = q->next)
		r = insert_one(fleet, q);
	return br_db_end(fleet, r, err, "store events");
}

int br_event_flush(struct br_fleet *fleet)
{
	int r = 0;

	pthread_mutex_lock(&fleet->flush_lock);
	for (;;) {
		struct br_error err = BR_ERROR_NULL;
		struct br_queued *first;
		size_t n;

		pthread_mutex_lock(&fleet->ev_lock);
		n = fleet->n_queued < 4 * GROUP_N ? fleet->n_queued : 4 * GROUP_N;
		first = fleet->head;
		fleet->n_in_flight = n;
		pthread_mutex_unlock(&fleet->ev_lock);
		if (n)
			r = store_group(fleet, first, n, &err);
		pthread_mutex_lock(&fleet->ev_lock);
		fleet->n_in_flight = 0;
		fleet->health = err;
		for (; n && r >= 0; n--) {
			struct br_queued *q = fleet->head;

			fleet->head = q->next;
			fleet->n_queued--;
			free(q);
		}
		if (!fleet->head)
			fleet->tail = NULL;
		n = fleet->n_queued;
		pthread_mutex_unlock(&fleet->ev_lock);
		if (r < 0 || !n)
			break;
	}
	pthread_mutex_unlock(&fleet->flush_lock);
	return r;
}

int br_event_health(struct br_fleet *fleet, struct br_error *err)
{
	int r;

	pthread_mutex_lock(&fleet->ev_lock);
	r = -fleet->health.code;
	if (r < 0 && err)
		*err = fleet->health;
	pthread_mutex_unlock(&fleet->ev_lock);
	return r;
}

/* Under ev_lock: until the time, woken earlier only when 'enough' are queued or it is the end. */
static void wait_until(struct br_fleet *fleet, uint64_t deadline_ns, size_t enough)
{
	struct timespec t = { .tv_sec = (time_t)(deadline_ns / BR_S), .tv_nsec = (long)(deadline_ns % BR_S) };

	while (!fleet->stopping && fleet->n_queued < enough) {
		if (pthread_cond_timedwait(&fleet->ev_wake, &fleet->ev_lock, &t))
			break;
	}
}

static void *writer(void *arg)
{
	struct br_fleet *fleet = arg;

	pthread_mutex_lock(&fleet->ev_lock);
	while (!fleet->stopping) {
		int r;

		while (!fleet->stopping && !fleet->n_queued)
			pthread_cond_wait(&fleet->ev_wake, &fleet->ev_lock);
		wait_until(fleet, br_now_ns() + GROUP_MS * BR_MS, GROUP_N);
		pthread_mutex_unlock(&fleet->ev_lock);
		r = br_event_flush(fleet);
		pthread_mutex_lock(&fleet->ev_lock);
		if (r < 0)
			wait_until(fleet, br_now_ns() + RETRY_MS * BR_MS, SIZE_MAX);
	}
	pthread_mutex_unlock(&fleet->ev_lock);
	return NULL;
}

int br_events_start(struct br_fleet *fleet, bool run_writer, struct br_error *err)
{
	pthread_condattr_t attr;
	sqlite3_stmt *s = br_db_stmt(fleet, ST_EVENT_LAST);
	int r = 0;

	if (sqlite3_step(s) == SQLITE_ROW)
		fleet->next_seq = (uint64_t)sqlite3_column_int64(s, 0) + 1;
	else
		r = br_db_error(fleet, err, br_db_errno(fleet->db), "read its events");
	sqlite3_reset(s);
	if (r < 0)
		return r;
	pthread_mutex_init(&fleet->flush_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&fleet->ev_wake, &attr);
	pthread_condattr_destroy(&attr);
	if (run_writer) {
		r = br_thread_start(&fleet->writer, writer, fleet);
		if (r)
			return br_error_set(err, r, "cannot start a thread: %s", strerrordesc_np(r));
	}
	fleet->writer_runs = run_writer;
	return 0;
}

void br_events_stop(struct br_fleet *fleet)
{
	if (!fleet->next_seq)
		return; /* never started */
	pthread_mutex_lock(&fleet->ev_lock);
	fleet->stopping = true;
	pthread_cond_broadcast(&fleet->ev_wake);
	pthread_mutex_unlock(&fleet->ev_lock);
	if (fleet->writer_runs)
		pthread_join(fleet->writer, NULL);
	pthread_mutex_lock(&fleet->ev_lock);
	if (fleet->lost)
		report_loss(fleet);
	pthread_mutex_unlock(&fleet->ev_lock);
	br_event_flush(fleet);
	while (fleet->head) {
		struct br_queued *q = fleet->head;

		fleet->head = q->next;
		free(q);
	}
	while (fleet->listeners)
		br_event_unlisten(fleet, fleet->listeners);
	pthread_cond_destroy(&fleet->ev_wake);
	pthread_mutex_destroy(&fleet->flush_lock);
}

void *br_event_listen(struct br_fleet *fleet, void (*fn)(void *ctx, const struct br_event *ev), void *ctx)
{
	struct br_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->fn = fn;
	l->ctx = ctx;
	pthread_mutex_lock(&fleet->ev_lock);
	l->next = fleet->listeners;
	fleet->listeners = l;
	pthread_mutex_unlock(&fleet->ev_lock);
	return l;
}

void br_event_unlisten(struct br_fleet *fleet, void *handle)
{
	pthread_mutex_lock(&fleet->ev_lock);
	for (struct br_listener **at = &fleet->listeners; *at; at = &(*at)->next) {
		if (*at == handle) {
			*at = (*at)->next;
			free(handle);
			break;
		}
	}
	pthread_mutex_unlock(&fleet->ev_lock);
}

bool br_event_matches(const struct br_event_filter *f, const struct br_event *ev)
{
	size_t n = f->type ? strlen(f->type) : 0;

	return (!f->board_id || f->board_id == ev->board_id) && (!f->boot || f->boot == ev->boot) &&
		(!f->type || (!strncmp(ev->type, f->type, n) && (!ev->type[n] || ev->type[n] == '.'))) &&
		ev->seq > f->after && ev->wall_ns >= f->since_wall_ns;
}

uint64_t br_event_last(struct br_fleet *fleet)
{
	uint64_t last;

	pthread_mutex_lock(&fleet->ev_lock);
	last = fleet->next_seq - 1;
	pthread_mutex_unlock(&fleet->ev_lock);
	return last;
}

/* Events read, owned: type and fields belong to each. */
struct batch {
	struct br_event *v;
	size_t n, cap;
};

static void batch_clear(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free((void *)(uintptr_t)b->v[i].type);
		json_decref(b->v[i].fields);
	}
	b->n = 0;
}

static void batch_done(struct batch *b)
{
	batch_clear(b);
	free(b->v);
}

static int batch_add(struct batch *b, const struct br_event *ev, const char *type, const char *fields)
{
	struct br_event *e;

	if (br_array_reserve(&b->v, &b->cap, b->n + 1, sizeof(*b->v)) < 0)
		return -ENOMEM;
	e = &b->v[b->n];
	*e = *ev;
	e->type = strdup(type);
	e->fields = json_loads(fields, 0, NULL);
	if (!e->type) {
		json_decref(e->fields);
		return -ENOMEM;
	}
	b->n++;
	return 0;
}

/* Copies what matches in the queue; *ret_before: everything stored has a smaller number. */
static int copy_queued(struct br_fleet *fleet, const struct br_event_filter *f, struct batch *ret,
	uint64_t *ret_before)
{
	int r = 0;

	pthread_mutex_lock(&fleet->ev_lock);
	*ret_before = fleet->head ? fleet->head->seq : fleet->next_seq;
	for (const struct br_queued *q = fleet->head; q && r >= 0; q = q->next) {
		struct br_event ev = {
			.seq = q->seq,
			.wall_ns = q->wall_ns,
			.board_id = q->board_id,
			.boot = q->boot,
			.type = q->type,
		};

		if (!br_event_matches(f, &ev))
			continue;
		copy_name(fleet, q->board_id, ev.board_name);
		r = batch_add(ret, &ev, q->type, q->fields);
	}
	pthread_mutex_unlock(&fleet->ev_lock);
	return r;
}

static void bind_filter(sqlite3_stmt *s, const struct br_event_filter *f, uint64_t after, uint64_t before)
{
	sqlite3_bind_int64(s, 1, f->board_id);
	sqlite3_bind_int64(s, 2, (int64_t)f->boot);
	if (f->type)
		sqlite3_bind_text(s, 3, f->type, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 4, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	sqlite3_bind_int64(s, 5, f->since_wall_ns > INT64_MAX ? INT64_MAX : (int64_t)f->since_wall_ns);
	sqlite3_bind_int64(s, 6, (int64_t)before);
}

/* Moves *after up, so that only the newest n of the stored ones match. */
static int skip_to_newest(struct br_fleet *fleet, const struct br_event_filter *f, size_t n, uint64_t before,
	uint64_t *after)
{
	sqlite3_stmt *s;
	int code, r = 0;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_EVENT_FROM);
	bind_filter(s, f, *after, before);
	sqlite3_bind_int64(s, 7, n > INT32_MAX ? INT32_MAX : (int64_t)n - 1);
	code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		*after = (uint64_t)sqlite3_column_int64(s, 0) - 1;
	else if (code != SQLITE_DONE)
		r = br_db_errno(fleet->db);
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}

static int read_page(struct br_fleet *fleet, const struct br_event_filter *f, uint64_t after, uint64_t before,
	struct batch *ret)
{
	sqlite3_stmt *s;
	int code, r = 0;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_EVENT_PAGE);
	bind_filter(s, f, after, before);
	while (r >= 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct br_event ev = {
			.seq = (uint64_t)sqlite3_column_int64(s, 0),
			.wall_ns = (uint64_t)sqlite3_column_int64(s, 1),
			.board_id = sqlite3_column_int64(s, 2),
			.boot = (uint64_t)sqlite3_column_int64(s, 3),
		};

		br_db_text(s, 6, ev.board_name, sizeof(ev.board_name));
		r = batch_add(ret, &ev, (const char *)sqlite3_column_text(s, 4),
			(const char *)sqlite3_column_text(s, 5));
	}
	if (r >= 0 && code != SQLITE_DONE)
		r = br_db_errno(fleet->db);
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}

static int deliver(const struct batch *b, size_t from, int (*fn)(void *ctx, const struct br_event *ev), void *ctx)
{
	for (size_t i = from; i < b->n; i++) {
		int r = fn(ctx, &b->v[i]);

		if (r)
			return r;
	}
	return 0;
}

/* Stored ones, a page at a time: fn runs without our locks. */
static int query_stored(struct br_fleet *fleet, const struct br_event_filter *f, uint64_t after, uint64_t before,
	int (*fn)(void *ctx, const struct br_event *ev), void *ctx)
{
	struct batch page = { 0 };
	int r;

	do {
		batch_clear(&page);
		r = read_page(fleet, f, after, before, &page);
		if (!r)
			r = deliver(&page, 0, fn, ctx);
		if (page.n)
			after = page.v[page.n - 1].seq;
	} while (!r && page.n);
	batch_done(&page);
	return r;
}

int br_event_query(struct br_fleet *fleet, const struct br_event_filter *f,
	int (*fn)(void *ctx, const struct br_event *ev), void *ctx, struct br_error *err)
{
	struct batch queued = { 0 };
	uint64_t before = 0, after = f->after;
	int r = copy_queued(fleet, f, &queued, &before);
	bool stored_too = (!f->limit || queued.n < f->limit) && after + 1 < before;

	if (r >= 0 && stored_too && f->limit)
		r = skip_to_newest(fleet, f, f->limit - queued.n, before, &after);
	if (r < 0)
		br_error_set(err, -r, "database %s/bramble.db: cannot read events: %s", fleet->dir,
			strerrordesc_np(-r));
	if (!r && stored_too)
		r = query_stored(fleet, f, after, before, fn, ctx);
	if (!r)
		r = deliver(&queued, f->limit && queued.n > f->limit ? queued.n - f->limit : 0, fn, ctx);
	batch_done(&queued);
	return r;
}
