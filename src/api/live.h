/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What GET /v1/live tells its followers (server-sent events): one feed, in which each message is made once and kept for all.
 * A follower has a place in it, no queue of its own; who falls behind the feed's memory gets "resync" and reads anew what
 * it shows. Names of messages:
 *
 *	hello	 {"version", "who", "scope", "time"}: at the beginning of each connection
 *	resync	 {}: messages are lacking (too slow, or too long away): fetch again what you show
 *	event	 an event as in GET /v1/events
 *	boards	 [board, ...] as in GET /v1/boards: those that changed, at most ten times a second, each as it is now; one that
 *		 fetches files has "transfer": {"path", "bytes", "size", "bytes_per_s"}
 *	removed	 ["name", ...]
 *	status	 GET /v1/status, and "rate": {"bytes_per_s"}, "left_s" (null: not known): each second while somebody follows
 *	reservations  [reservation, ...] as in GET /v1/reservations, when one changed
 *	logs ... of other parts
 *
 * Query: topics=boards,events,status,reservations (default: these). logs=BOARD: messages of BR_TOPIC_LOGS of this board, which no part puts
 * so far: lines are followed by GET /v1/logs?follow=1.
 */
struct br_feed;

enum br_topic {
	BR_TOPIC_BOARDS = 1,  /* "boards", "removed" */
	BR_TOPIC_EVENTS = 2,  /* "event" */
	BR_TOPIC_STATUS = 4,  /* "status" */
	BR_TOPIC_RESERVATIONS = 8, /* "reservations" */
	BR_TOPIC_LOGS = 16,   /* "log": only to those who follow this board's */
};

/* Whether somebody follows, and if board_id is not 0 this board's logs: cheap, before a message is made. From any thread. */
bool br_feed_wanted(struct br_feed *feed, enum br_topic topic, int64_t board_id);
/* A message for those who follow the topic: name as above, data is stolen. From any thread; does not wait. feed may be NULL. */
void br_feed_put(struct br_feed *feed, enum br_topic topic, int64_t board_id, const char *name, json_t *data);
/* Something of a board is not as it was (its state, disk, power, reservation): "boards" will have it. */
void br_feed_board(struct br_feed *feed, int64_t board_id);
/* A transfer's progress; as br_live_progress() of the daemon. */
void br_feed_progress(struct br_feed *feed, int64_t board_id, const char *path, uint64_t bytes, uint64_t size);

/* ---- for the daemon and the API ---- */

struct br_fleet;
struct br_event;

/* event_text: an event in words; may be NULL. */
int br_feed_new(struct br_fleet *fleet, const char *(*event_text)(const struct br_event *ev, char *out, size_t size), struct br_feed **ret);
void br_feed_free(struct br_feed *feed);

/* Where what is told comes from; called in the feed's thread. NULL: there is none such. */
struct br_feed_sources {
	json_t *(*board)(void *ctx, int64_t board_id); /* NULL: it is gone */
	json_t *(*status)(void *ctx);
	json_t *(*reservations)(void *ctx); /* when one changed */
	void *ctx;
};
/* Starts its thread. A positive errno, or 0. */
int br_feed_start(struct br_feed *feed, const struct br_feed_sources *sources);
/* Followers end, the thread too; messages are dropped from then on. */
void br_feed_stop(struct br_feed *feed);

struct br_follower;
struct br_follower_options {
	unsigned topics;	 /* enum br_topic */
	int64_t logs_of;	 /* a board's, with BR_TOPIC_LOGS */
	const char *last_id;	 /* Last-Event-ID, hostile; NULL: a new one */
	const char *hello;	 /* JSON for its first message */
	/* There is nothing to read: called with the feed's lock held, before wake(), which may come from any thread then, once.
	 * Neither calls us. */
	void (*sleep)(void *ctx);
	void (*wake)(void *ctx);
	void *ctx;
};
/* NULL when memory is out. */
struct br_follower *br_follower_new(struct br_feed *feed, const struct br_follower_options *opt);
/* Bytes for it: how many, 0: none now and sleep() was called, -1: the end. */
ssize_t br_follower_read(struct br_follower *f, char *buf, size_t max);
void br_follower_free(struct br_follower *f);
/* Wakes all, so that each looks whether it may go on: a token was revoked. */
void br_feed_wake(struct br_feed *feed);

struct br_feed_counts {
	uint64_t followers, messages, resyncs, bytes_per_s;
};
void br_feed_counts(struct br_feed *feed, struct br_feed_counts *ret);
