/* SPDX-License-Identifier: Apache-2.0 */
/* What the live feed tells: boards that changed, events, the status. Made at most ten times a second, for all followers once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "api/eventjson.h"
#include "api/feed.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"

#define ROUND_NS (100 * BR_MS)
#define BOARDS_MAX 256	    /* of one message: the others come with the next */
#define EVENTS_MAX 500	    /* of one round */
#define EVENTS_BEHIND 20000 /* that are not told any more, but "resync" */
#define TRANSFER_NS (2 * BR_S) /* without news a transfer is over */

struct br_feed_board {
	int64_t id;
	bool changed;
	char path[128];
	uint64_t bytes, size, rate; /* of its transfer */
	uint64_t since_ns, at_ns;   /* when it began, its last news; 0: none */
	UT_hash_handle hh;
};

/* With the boards' lock. NULL when memory is out. */
static struct br_feed_board *board_of(struct br_feed *feed, int64_t id)
{
	struct br_feed_board *b;

	HASH_FIND(hh, feed->boards, &id, sizeof(id), b);
	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->id = id;
	HASH_ADD(hh, feed->boards, id, sizeof(b->id), b);
	return b;
}

static void mark_changed(struct br_feed *feed, int64_t id)
{
	struct br_feed_board *b = board_of(feed, id);

	if (b)
		b->changed = true;
}

void br_feed_board(struct br_feed *feed, int64_t board_id)
{
	if (!feed || !board_id)
		return;
	pthread_mutex_lock(&feed->boards_lock);
	mark_changed(feed, board_id);
	pthread_mutex_unlock(&feed->boards_lock);
}

void br_feed_progress(struct br_feed *feed, int64_t board_id, const char *path, uint64_t bytes, uint64_t size)
{
	uint64_t now = br_now_ns();
	struct br_feed_board *b;

	if (!feed || !board_id)
		return;
	pthread_mutex_lock(&feed->boards_lock);
	b = board_of(feed, board_id);
	if (b) {
		bool same = b->at_ns && bytes >= b->bytes && !strncmp(b->path, path, sizeof(b->path) - 1);

		feed->bytes += same ? bytes - b->bytes : bytes;
		if (!same) {
			snprintf(b->path, sizeof(b->path), "%s", path);
			b->since_ns = now;
		}
		b->rate = now > b->since_ns ? (uint64_t)((double)bytes * (double)BR_S / (double)(now - b->since_ns)) : 0;
		b->bytes = bytes;
		b->size = size;
		b->at_ns = now;
		b->changed = true;
	}
	pthread_mutex_unlock(&feed->boards_lock);
}

/* A file is through: what of it no progress told of is counted here. */
static void file_sent(struct br_feed *feed, const struct br_event *ev)
{
	uint64_t bytes = (uint64_t)json_integer_value(json_object_get(ev->fields, "bytes"));
	const char *path = json_string_value(json_object_get(ev->fields, "path"));
	struct br_feed_board *b = board_of(feed, ev->board_id);
	bool told = b && path && b->at_ns && !strncmp(b->path, path, sizeof(b->path) - 1);

	feed->bytes += told && b->bytes < bytes ? bytes - b->bytes : told ? 0 : bytes;
	if (b)
		b->at_ns = 0;
}

/* In the thread of who emits it, under its lock: notes only. */
static void on_event(void *ctx, const struct br_event *ev)
{
	struct br_feed *feed = ctx;
	uint64_t s = br_now_ns() / BR_S;

	pthread_mutex_lock(&feed->boards_lock);
	feed->last_seq = ev->seq;
	if (ev->board_id)
		mark_changed(feed, ev->board_id);
	if (!strcmp(ev->type, BR_EV_FILE_SENT))
		file_sent(feed, ev);
	if (!strcmp(ev->type, BR_EV_BOARD_UP)) {
		while (feed->ups_s < s && s - feed->ups_s <= BR_ARRAY_SIZE(feed->ups))
			feed->ups[++feed->ups_s % BR_ARRAY_SIZE(feed->ups)] = 0;
		if (feed->ups_s < s)
			memset(feed->ups, 0, sizeof(feed->ups));
		feed->ups_s = s;
		feed->ups[s % BR_ARRAY_SIZE(feed->ups)]++;
	}
	pthread_mutex_unlock(&feed->boards_lock);
}

void br_feed_sources_init(struct br_feed *feed)
{
	pthread_mutex_init(&feed->boards_lock, NULL);
	feed->last_seq = feed->told_seq = br_event_last(feed->fleet);
	feed->rate_ns = br_now_ns();
	feed->listener = br_event_listen(feed->fleet, on_event, feed);
}

void br_feed_sources_done(struct br_feed *feed)
{
	struct br_feed_board *b, *next;

	br_event_unlisten(feed->fleet, feed->listener);
	HASH_ITER(hh, feed->boards, b, next) {
		HASH_DEL(feed->boards, b);
		free(b);
	}
	pthread_mutex_destroy(&feed->boards_lock);
}

static void tell(struct br_feed *feed, enum br_topic topic, const char *name, json_t *data)
{
	br_feed_put(feed, topic, 0, name, data);
}

/* ---- boards ---- */

/* The next few that changed, and what they fetch; all: without a follower they are only forgotten. */
static unsigned take_changed(struct br_feed *feed, struct br_feed_board *out, unsigned max)
{
	struct br_feed_board *b, *next;
	unsigned n = 0;

	pthread_mutex_lock(&feed->boards_lock);
	HASH_ITER(hh, feed->boards, b, next) {
		if (!b->changed || n == max)
			continue;
		b->changed = false;
		out[n++] = *b;
	}
	pthread_mutex_unlock(&feed->boards_lock);
	return n;
}

static void forget_changes(struct br_feed *feed)
{
	struct br_feed_board *b, *next;

	pthread_mutex_lock(&feed->boards_lock);
	HASH_ITER(hh, feed->boards, b, next)
		b->changed = false;
	pthread_mutex_unlock(&feed->boards_lock);
}

static void forget_board(struct br_feed *feed, int64_t id)
{
	struct br_feed_board *b;

	pthread_mutex_lock(&feed->boards_lock);
	HASH_FIND(hh, feed->boards, &id, sizeof(id), b);
	if (b)
		HASH_DEL(feed->boards, b);
	pthread_mutex_unlock(&feed->boards_lock);
	free(b);
}

static void add_transfer(json_t *json, const struct br_feed_board *b, uint64_t now_ns)
{
	char vis[sizeof(b->path) * 4];
	json_t *name;

	if (!b->at_ns || now_ns - b->at_ns > TRANSFER_NS)
		return;
	name = json_string(b->path);
	if (!name) /* no UTF-8, or cut amid a character */
		name = json_string(br_vis(vis, sizeof(vis), b->path, strlen(b->path)));
	json_object_set_new(json, "transfer", json_pack("{s:o, s:I, s:I, s:I}", "path", name, "bytes", (json_int_t)b->bytes, "size",
						      (json_int_t)b->size, "bytes_per_s", (json_int_t)b->rate));
}

static void tell_boards(struct br_feed *feed, uint64_t now_ns)
{
	br_cleanup(br_freep) struct br_feed_board *changed = NULL;
	json_t *list;
	unsigned n;

	if (!br_feed_wanted(feed, BR_TOPIC_BOARDS, 0)) {
		forget_changes(feed);
		return;
	}
	changed = calloc(BOARDS_MAX, sizeof(*changed));
	n = changed ? take_changed(feed, changed, BOARDS_MAX) : 0;
	if (!n || !feed->sources.board)
		return;
	list = json_array();
	for (unsigned i = 0; i < n; i++) {
		json_t *json = feed->sources.board(feed->sources.ctx, changed[i].id);

		if (json) {
			add_transfer(json, &changed[i], now_ns);
			json_array_append_new(list, json);
		} else {
			forget_board(feed, changed[i].id);
		}
	}
	if (json_array_size(list))
		tell(feed, BR_TOPIC_BOARDS, "boards", json_incref(list));
	json_decref(list);
}

/* ---- events ---- */

struct telling {
	struct br_feed *feed;
	unsigned n;
	bool reservations;
};

/* A name that no board has any more: removed, or renamed. */
static void tell_gone(struct br_feed *feed, const struct br_event *ev)
{
	const json_t *fields = ev->fields;

	if (!strcmp(ev->type, BR_EV_BOARD_EDITED))
		fields = json_object_get(fields, "before");
	else if (strcmp(ev->type, BR_EV_BOARD_REMOVED) != 0)
		return;
	if (json_is_string(json_object_get(fields, "name")))
		tell(feed, BR_TOPIC_BOARDS, "removed", json_pack("[O]", json_object_get(fields, "name")));
}

static int tell_event(void *ctx, const struct br_event *ev)
{
	struct telling *t = ctx;
	struct br_feed *feed = t->feed;
	json_t *json = br_event_json_with_text(ev, feed->event_text);

	tell_gone(feed, ev);
	t->reservations |= br_str_starts(ev->type, "reservation.");
	if (json)
		tell(feed, BR_TOPIC_EVENTS, "event", json);
	feed->told_seq = ev->seq;
	return ++t->n >= EVENTS_MAX;
}

static void tell_events(struct br_feed *feed)
{
	struct br_event_filter filter = { 0 };
	struct telling t = { .feed = feed };
	uint64_t last;

	pthread_mutex_lock(&feed->boards_lock);
	last = feed->last_seq;
	pthread_mutex_unlock(&feed->boards_lock);
	if (last > feed->told_seq + EVENTS_BEHIND) {
		feed->told_seq = last;
		tell(feed, BR_TOPIC_EVENTS, "resync", json_object());
		return;
	}
	if (!br_feed_wanted(feed, BR_TOPIC_EVENTS | BR_TOPIC_BOARDS | BR_TOPIC_RESERVATIONS, 0))
		feed->told_seq = last;
	filter.after = feed->told_seq;
	/* a database that cannot be read says so elsewhere; the next round tries again */
	if (last > feed->told_seq)
		(void)br_event_query(feed->fleet, &filter, tell_event, &t, NULL);
	if (t.reservations && feed->sources.reservations && br_feed_wanted(feed, BR_TOPIC_RESERVATIONS, 0))
		tell(feed, BR_TOPIC_RESERVATIONS, "reservations", feed->sources.reservations(feed->sources.ctx));
}

/* ---- status ---- */

/* How long until those that boot now are up, by how many came up of late; 0: not known. */
static uint64_t time_left(struct br_feed *feed, const json_t *status, uint64_t now_ns)
{
	uint64_t booting = (uint64_t)json_integer_value(json_object_get(json_object_get(status, "counts"), "booting"));
	uint64_t waiting = (uint64_t)json_integer_value(json_object_get(json_object_get(status, "boots"), "waiting"));
	uint64_t ups = 0, s = now_ns / BR_S;

	pthread_mutex_lock(&feed->boards_lock);
	for (unsigned i = 0; i < BR_ARRAY_SIZE(feed->ups) && s - feed->ups_s < BR_ARRAY_SIZE(feed->ups); i++)
		ups += feed->ups[i];
	pthread_mutex_unlock(&feed->boards_lock);
	return ups ? (booting > waiting ? booting : waiting) * BR_ARRAY_SIZE(feed->ups) / ups : 0;
}

/* fresh: topics that somebody follows since the last round */
static void tell_status(struct br_feed *feed, unsigned fresh, uint64_t now_ns)
{
	uint64_t bytes, passed = now_ns - feed->rate_ns, rate, left;
	json_t *status;

	if (now_ns - feed->status_ns < BR_S && !(fresh & BR_TOPIC_STATUS))
		return;
	feed->status_ns = now_ns;
	pthread_mutex_lock(&feed->boards_lock);
	bytes = feed->bytes;
	pthread_mutex_unlock(&feed->boards_lock);
	if (passed >= BR_S / 2) {
		rate = (uint64_t)((double)(bytes - feed->rate_bytes) * (double)BR_S / (double)passed);
		feed->rate_bytes = bytes;
		feed->rate_ns = now_ns;
		pthread_mutex_lock(&feed->lock);
		feed->counts.bytes_per_s = rate;
		pthread_mutex_unlock(&feed->lock);
	}
	pthread_mutex_lock(&feed->lock);
	rate = feed->counts.bytes_per_s;
	pthread_mutex_unlock(&feed->lock);
	if (!br_feed_wanted(feed, BR_TOPIC_STATUS, 0) || !feed->sources.status)
		return;
	status = feed->sources.status(feed->sources.ctx);
	if (!status)
		return;
	left = time_left(feed, status, now_ns);
	json_object_set_new(status, "rate", json_pack("{s:I}", "bytes_per_s", (json_int_t)rate));
	json_object_set_new(status, "left_s", left ? json_integer((json_int_t)left) : json_null());
	tell(feed, BR_TOPIC_STATUS, "status", status);
}

void *br_feed_run(void *arg)
{
	struct br_feed *feed = arg;
	uint64_t next_ns = br_now_ns();
	bool stopping = false;
	unsigned fresh;

	while (!stopping) {
		struct timespec until;

		next_ns += ROUND_NS;
		if (next_ns < br_now_ns())
			next_ns = br_now_ns() + ROUND_NS / 2; /* a busy machine */
		until = (struct timespec){ .tv_sec = (time_t)(next_ns / BR_S), .tv_nsec = (long)(next_ns % BR_S) };
		pthread_mutex_lock(&feed->lock);
		while (!feed->stopping && pthread_cond_timedwait(&feed->wake, &feed->lock, &until) == 0)
			continue;
		br_feed_ping_locked(feed, br_now_ns());
		stopping = feed->stopping;
		fresh = feed->fresh;
		feed->fresh = 0;
		pthread_mutex_unlock(&feed->lock);
		if (stopping)
			break;
		tell_events(feed);
		tell_boards(feed, br_now_ns());
		tell_status(feed, fresh, br_now_ns());
	}
	return NULL;
}
