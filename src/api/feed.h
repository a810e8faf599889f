/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the live feed. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/live.h"
#include "base/text.h"
#include "fleet/fleet.h"

#define BR_FEED_RING 4096 /* messages kept for followers that are behind */

struct br_feed_message {
	enum br_topic topic;
	int64_t board_id;
	unsigned refs; /* under the lock */
	size_t len;
	char text[];
};

struct br_feed_board;

struct br_feed {
	struct br_fleet *fleet;
	const char *(*event_text)(const struct br_event *ev, char *out, size_t size);
	struct br_feed_sources sources;
	pthread_t thread;
	bool runs, stopping;
	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t wake;
	uint64_t epoch; /* of this run: its numbers mean nothing to the next one */
	struct br_feed_message *ring[BR_FEED_RING];
	uint64_t first, next, gap; /* numbers; nobody may resume from before gap */
	size_t ring_bytes;
	struct br_follower *followers;
	atomic_uint wanted; /* topics */
	unsigned fresh;	    /* topics that somebody follows since the last round */
	struct br_feed_counts counts;

	/* feedsource.c's */
	void *listener;
	pthread_mutex_t boards_lock; /* taken in threads that emit events: nothing else is done with it held */
	struct br_feed_board *boards; /* by id */
	uint64_t bytes, last_seq;    /* sent in all; newest event */
	uint64_t told_seq, status_ns, rate_bytes, rate_ns; /* the thread's own */
	unsigned ups[30];	     /* boards that came up, by second */
	uint64_t ups_s;
};

/* With the lock. */
void br_feed_add_locked(struct br_feed *feed, enum br_topic topic, int64_t board_id, const char *name, const json_t *data);
void br_feed_ping_locked(struct br_feed *feed, uint64_t now_ns);

/* feedsource.c */
void br_feed_sources_init(struct br_feed *feed);
void br_feed_sources_done(struct br_feed *feed);
void *br_feed_run(void *feed);
