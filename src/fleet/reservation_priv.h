/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of reservations, for reservation*.c. */
#include <pthread.h>

#include "fleet/reservation.h"
#include "fleet/selector.h"

/* A board that is held. */
struct br_res_board {
	int64_t id;
	bool image_kept;     /* a setting took the place of ... */
	char was_image[98]; /* ... this image */
};

/* One that waits or is held. */
struct br_res {
	struct br_reservation r; /* without boards */
	struct br_res_board *boards;
	size_t n_boards;
	struct br_selector *sel;
	bool settings;	      /* some are in force */
	uint64_t start;	      /* its tag: fairqueue.h */
	uint32_t overtaken;
	uint64_t deadline_ns; /* of its client's next sign of life; not when held and made by hand ... */
	bool unconfirmed;     /* ... but until its client, who waited, has seen that it is held */
	uint64_t until_ns;    /* its end, of one made by hand and held: the clock may be set meanwhile */
};

struct br_reservations {
	struct br_fleet *fleet;
	struct br_reservation_ops ops;
	pthread_mutex_t lock; /* before the fleet's, after its edit_lock */
	struct br_res **live; /* in order of arrival */
	size_t n, cap;
	uint64_t now_ns;  /* the latest that came in */
	unsigned n_ended; /* since the old ones were forgotten */
	char told[300];	  /* the last trouble */
	/* br_reservations_follow() */
	void (*turned)(void *ctx, int64_t board_id, int64_t number);
	void *turned_ctx;
};

void br_res_free(struct br_res *e);

/* reservation.c. Ends one, and frees it; under both locks. */
int br_res_end(struct br_reservations *m, struct br_res *e, const char *why, const char *reason, struct br_error *err);
/* The boards of one are its now (or, gone, nobody's): for the follower. */
void br_res_turned(struct br_reservations *m, const struct br_res *e, bool gone);
/* Tells of a failure once, until it is another one. */
void br_res_trouble(struct br_reservations *m, const struct br_error *err, int r);

/* reservationqueue.c. Gives boards to who waits, as far as there are some; under both locks. A failure is told. */
int br_res_serve(struct br_reservations *m);
/* Who holds a board; ret (may be NULL): its entry there. */
const struct br_res *br_res_holder(const struct br_reservations *m, int64_t board_id, const struct br_res_board **ret);
/* What a selector knows of a board: free as it will be once it is, its image that which it has when no job has it. */
struct br_selector_facts br_res_facts(const struct br_board *b, const struct br_res_board *held, const char *default_image);

/* reservationtell.c: events. */
void br_res_tell_held(struct br_reservations *m, const struct br_res *e);
void br_res_tell_end(struct br_reservations *m, const struct br_res *e, const char *why, const char *reason, int64_t now);
void br_res_tell_queued(struct br_reservations *m, const struct br_res *e);
/* The boards of one before its settings come or go (free()); NULL: no memory, then without events. */
struct br_board *br_res_boards_before(struct br_reservations *m, const struct br_res *e);
void br_res_tell_edits(struct br_reservations *m, const struct br_res *e, const struct br_board *before);

/* reservationdb.c: each of those that change is one transaction. */
int br_res_db_load(struct br_reservations *m, struct br_error *err);
/* Sets number, secret, start and asked_at. */
int br_res_db_add(struct br_reservations *m, struct br_res *e, struct br_error *err);
int br_res_db_hold(struct br_reservations *m, struct br_res *e, const struct br_res_board *boards, size_t n, int64_t held_at,
	int64_t until, struct br_error *err);
int br_res_db_until(struct br_reservations *m, const struct br_res *e, uint64_t for_s, int64_t until, struct br_error *err);
/* Ends it, gives its boards free and their settings back. */
int br_res_db_end(struct br_reservations *m, const struct br_res *e, int64_t ended_at, const char *why, const char *reason,
	struct br_error *err);
int br_res_db_settings(struct br_reservations *m, const struct br_res *e, const char *image, const char *disk, const char *road,
	struct br_error *err);
/* One that has ended: by its number, or the newest before it. -ENOENT. Without its selector parsed. */
int br_res_db_get(struct br_reservations *m, int64_t number, bool before, struct br_res **ret);
/* Forgets those that ended long ago. */
int br_res_db_forget(struct br_reservations *m, int64_t up_to);
