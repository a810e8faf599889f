/* SPDX-License-Identifier: Apache-2.0 */
/* The live feed: messages in a ring that all followers read, and who reads. What is in them: feedsource.c. */
#include "api/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "api/guard.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/thread.h"

#define RING_BYTES (8u << 20)
#define PING_NS (15 * BR_S) /* proxies and routers forget a silent connection */

struct br_follower {
	struct br_feed *feed;
	struct br_follower_options opt;
	uint64_t next;		   /* message */
	struct br_feed_message *now; /* of which a part was read; held */
	struct br_text own;	   /* first of all: hello, resync, a sign of life */
	size_t at;		   /* in now or own */
	uint64_t read_ns;
	bool asleep;
	struct br_follower *prev, *next_follower;
};

static void message_unref(struct br_feed_message *m)
{
	if (m && !--m->refs)
		free(m);
}

static void drop_first(struct br_feed *feed)
{
	struct br_feed_message *m = feed->ring[feed->first % BR_FEED_RING];

	feed->ring_bytes -= m->len;
	feed->first++;
	message_unref(m);
}

static void wake(struct br_follower *f)
{
	if (!f->asleep)
		return;
	f->asleep = false;
	f->opt.wake(f->opt.ctx);
}

static bool concerns(const struct br_follower *f, const struct br_feed_message *m)
{
	return f->opt.topics & m->topic && (m->topic != BR_TOPIC_LOGS || m->board_id == f->opt.logs_of);
}

void br_feed_add_locked(struct br_feed *feed, enum br_topic topic, int64_t board_id, const char *name, const json_t *data)
{
	char *text = data ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	size_t room = (text ? strlen(text) : 0) + strlen(name) + 80;
	struct br_feed_message *m = text && !feed->stopping ? malloc(sizeof(*m) + room) : NULL;
	struct br_follower *f;

	if (m) {
		*m = (struct br_feed_message){ .topic = topic, .board_id = board_id, .refs = 1 };
		m->len = (size_t)snprintf(m->text, room, "id: %llu-%llu\nevent: %s\ndata: %s\n\n", (unsigned long long)feed->epoch,
			(unsigned long long)feed->next, name, text);
		while (feed->next - feed->first >= BR_FEED_RING || (feed->next > feed->first && feed->ring_bytes + m->len > RING_BYTES))
			drop_first(feed);
		feed->ring[feed->next++ % BR_FEED_RING] = m;
		feed->ring_bytes += m->len;
		feed->counts.messages++;
		DL_FOREACH2(feed->followers, f, next_follower)
			if (concerns(f, m))
				wake(f);
	}
	free(text);
}

void br_feed_put(struct br_feed *feed, enum br_topic topic, int64_t board_id, const char *name, json_t *data)
{
	if (feed && br_feed_wanted(feed, topic, board_id)) {
		pthread_mutex_lock(&feed->lock);
		br_feed_add_locked(feed, topic, board_id, name, data);
		pthread_mutex_unlock(&feed->lock);
	}
	json_decref(data);
}

bool br_feed_wanted(struct br_feed *feed, enum br_topic topic, int64_t board_id)
{
	struct br_follower *f;
	bool wanted = false;

	if (!feed || !(atomic_load(&feed->wanted) & topic))
		return false;
	if (topic != BR_TOPIC_LOGS || !board_id)
		return true;
	pthread_mutex_lock(&feed->lock);
	DL_FOREACH2(feed->followers, f, next_follower)
		wanted |= f->opt.topics & BR_TOPIC_LOGS && f->opt.logs_of == board_id;
	pthread_mutex_unlock(&feed->lock);
	return wanted;
}

/* The topics that anybody follows. What one lacked while nobody did cannot be resumed. */
static void count_wanted(struct br_feed *feed)
{
	unsigned before = atomic_load(&feed->wanted), now = 0;
	struct br_follower *f;

	DL_FOREACH2(feed->followers, f, next_follower)
		now |= f->opt.topics;
	if (now & ~before) {
		feed->gap = feed->next;
		feed->fresh |= now & ~before;
	}
	atomic_store(&feed->wanted, now);
}

static void say(struct br_follower *f, const char *name, const char *data)
{
	const struct br_feed *feed = f->feed;

	br_text_addf(&f->own, "id: %llu-%llu\nevent: %s\ndata: %s\n\n", (unsigned long long)feed->epoch, (unsigned long long)feed->next - 1, name,
		data);
}

/* From where it reads on. */
static void place(struct br_follower *f)
{
	const struct br_feed *feed = f->feed;
	unsigned long long epoch, n;

	f->next = feed->next;
	if (!f->opt.last_id)
		return;
	if (br_guard_event_id(f->opt.last_id, &epoch, &n) < 0 || epoch != feed->epoch || n >= feed->next || n + 1 < feed->first || n + 1 < feed->gap)
		say(f, "resync", "{}");
	else
		f->next = n + 1;
}

struct br_follower *br_follower_new(struct br_feed *feed, const struct br_follower_options *opt)
{
	struct br_follower *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->feed = feed;
	f->opt = *opt;
	f->read_ns = br_now_ns();
	pthread_mutex_lock(&feed->lock);
	DL_APPEND2(feed->followers, f, prev, next_follower);
	feed->counts.followers++;
	count_wanted(feed);
	br_text_add(&f->own, "retry: 2000\n");
	say(f, "hello", opt->hello);
	place(f);
	pthread_cond_signal(&feed->wake);
	pthread_mutex_unlock(&feed->lock);
	f->opt.last_id = f->opt.hello = NULL;
	return f;
}

void br_follower_free(struct br_follower *f)
{
	struct br_feed *feed;

	if (!f)
		return;
	feed = f->feed;
	pthread_mutex_lock(&feed->lock);
	DL_DELETE2(feed->followers, f, prev, next_follower);
	feed->counts.followers--;
	count_wanted(feed);
	message_unref(f->now);
	pthread_cond_broadcast(&feed->wake);
	pthread_mutex_unlock(&feed->lock);
	br_text_done(&f->own);
	free(f);
}

/* Its next message, NULL: none now. */
static struct br_feed_message *next_message(struct br_follower *f)
{
	const struct br_feed *feed = f->feed;

	if (f->next < feed->first) { /* it was too slow: what it lacks is gone */
		f->feed->counts.resyncs++;
		f->next = feed->next;
		say(f, "resync", "{}");
		return NULL;
	}
	while (f->next < feed->next) {
		struct br_feed_message *m = feed->ring[f->next++ % BR_FEED_RING];

		if (concerns(f, m)) {
			m->refs++;
			return m;
		}
	}
	return NULL;
}

/* A piece of what is begun. */
static size_t take(struct br_follower *f, const char *text, size_t len, char *buf, size_t max)
{
	size_t n = len - f->at < max ? len - f->at : max;

	memcpy(buf, text + f->at, n);
	f->at += n;
	return n;
}

static size_t read_some(struct br_follower *f, char *buf, size_t max)
{
	size_t n = 0;

	while (n < max) {
		if (f->now) {
			n += take(f, f->now->text, f->now->len, buf + n, max - n);
			if (f->at < f->now->len)
				break;
			message_unref(f->now);
			f->now = NULL;
			f->at = 0;
		} else if (f->own.len) {
			n += take(f, f->own.buf, f->own.len, buf + n, max - n);
			if (f->at < f->own.len)
				break;
			f->at = f->own.len = 0;
		} else {
			f->now = next_message(f);
			if (!f->now && !f->own.len)
				break;
		}
	}
	return n;
}

ssize_t br_follower_read(struct br_follower *f, char *buf, size_t max)
{
	struct br_feed *feed = f->feed;
	ssize_t n = -1;

	pthread_mutex_lock(&feed->lock);
	if (!feed->stopping && !f->own.failed) {
		n = (ssize_t)read_some(f, buf, max);
		if (n)
			f->read_ns = br_now_ns();
		else {
			f->asleep = true;
			f->opt.sleep(f->opt.ctx);
		}
	}
	pthread_mutex_unlock(&feed->lock);
	return n;
}

void br_feed_ping_locked(struct br_feed *feed, uint64_t now_ns)
{
	struct br_follower *f;

	DL_FOREACH2(feed->followers, f, next_follower) {
		if (!f->asleep || now_ns - f->read_ns < PING_NS)
			continue;
		br_text_add(&f->own, ":\n\n");
		wake(f);
	}
}

void br_feed_wake(struct br_feed *feed)
{
	struct br_follower *f;

	pthread_mutex_lock(&feed->lock);
	DL_FOREACH2(feed->followers, f, next_follower) {
		if (f->asleep)
			br_text_add(&f->own, ":\n\n");
		wake(f);
	}
	pthread_mutex_unlock(&feed->lock);
}

void br_feed_counts(struct br_feed *feed, struct br_feed_counts *ret)
{
	pthread_mutex_lock(&feed->lock);
	*ret = feed->counts;
	pthread_mutex_unlock(&feed->lock);
}

int br_feed_new(struct br_fleet *fleet, const char *(*event_text)(const struct br_event *ev, char *out, size_t size), struct br_feed **ret)
{
	struct br_feed *feed = calloc(1, sizeof(*feed));
	pthread_condattr_t attr;

	if (!feed)
		return -ENOMEM;
	feed->fleet = fleet;
	feed->event_text = event_text;
	br_random(&feed->epoch, sizeof(feed->epoch));
	feed->next = feed->first = feed->gap = 1;
	pthread_mutex_init(&feed->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&feed->wake, &attr);
	pthread_condattr_destroy(&attr);
	br_feed_sources_init(feed);
	*ret = feed;
	return 0;
}

int br_feed_start(struct br_feed *feed, const struct br_feed_sources *sources)
{
	int r;

	feed->sources = *sources;
	r = br_thread_start(&feed->thread, br_feed_run, feed);
	feed->runs = !r;
	return r;
}

void br_feed_stop(struct br_feed *feed)
{
	struct br_follower *f;

	if (!feed)
		return;
	pthread_mutex_lock(&feed->lock);
	feed->stopping = true;
	DL_FOREACH2(feed->followers, f, next_follower)
		wake(f);
	pthread_cond_broadcast(&feed->wake);
	pthread_mutex_unlock(&feed->lock);
	if (feed->runs)
		pthread_join(feed->thread, NULL);
	feed->runs = false;
}

void br_feed_free(struct br_feed *feed)
{
	if (!feed)
		return;
	br_feed_stop(feed);
	br_feed_sources_done(feed);
	while (feed->first < feed->next)
		drop_first(feed);
	pthread_cond_destroy(&feed->wake);
	pthread_mutex_destroy(&feed->lock);
	free(feed);
}
