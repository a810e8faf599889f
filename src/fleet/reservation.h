/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fleet/fleet.h"

/*
 * Reservations: boards held for one client. They stand on SQLite, each step is one transaction, and no two ever hold the same board.
 * One of a job lives as long as its client's heartbeat (ttl); one made by hand has an end by the clock. Who dies loses his place
 * in the queue and his boards at the latest one ttl later; a restart of the daemon lets the ttl begin anew.
 *
 * The queue: each request gets a start tag when it comes (start-time fair queueing: the later of the queue's virtual time and the end of
 * the same user's last request, which lasts as many units as it wants boards); they are served in order of tags, then of
 * arrival. So one user's requests are first come first served, users take turns, and nobody waits for ever. One that cannot be
 * served yet keeps the free boards it may use; a younger one may pass with boards that no older one can use.
 *
 * Any thread may call. Time comes in: now_ns is monotonic. Long-lived ends are s since 1970.
 */
struct br_reservations;

enum br_reservation_state {
	BR_RESERVATION_WAITING,
	BR_RESERVATION_HELD,
	BR_RESERVATION_ENDED,
};
const char *br_reservation_state_name(enum br_reservation_state state); /* "waiting", "held", "ended" */

#define BR_RESERVATION_ID_MAX	 64 /* "r12-" and its secret, with NUL */
#define BR_RESERVATION_TTL_S	 30
#define BR_RESERVATION_TTL_MIN_S 2
#define BR_RESERVATION_TTL_MAX_S 60
#define BR_RESERVATION_FOR_MAX_S (366ull * 24 * 3600)
#define BR_RESERVATION_BOARDS_MAX 1024
#define BR_RESERVATION_FORCE "force" /* in place of an ID: the reservation is passed over, and that is noted */
#define BR_RESERVATION_FORCED (-1)    /* the number of what was done so: it ends with nobody's reservation */

struct br_reservation {
	int64_t number;			  /* "r12" is known to all ... */
	char id[BR_RESERVATION_ID_MAX]; /* ... "r12-SECRET" to its client only; "" where it is not to be seen */
	enum br_reservation_state state;
	char user[64];	  /* who, for people and for fairness: "anna@ci" */
	char who[80];	  /* who it is to the daemon: "local:1000", a token's name */
	char note[256];
	char *selector;	  /* as it was given */
	uint32_t count;	  /* boards wanted */
	uint32_t ttl_s;	  /* heartbeat; of one made by hand only while it waits */
	uint64_t for_s;	  /* made by hand: how long from when it is held; 0: a job's, as long as it beats */
	int64_t asked_at, held_at, until, ended_at; /* s since 1970; 0: not yet, no end */
	uint32_t before;  /* WAITING: requests that are served first */
	char why[16];	  /* ENDED: "released", "died", "expired", "broken", "gone" (too few boards match by now) */
	char reason[200]; /* ... in words */
	int64_t *boards;  /* ids, n_boards of them, once HELD and after */
	size_t n_boards;
};
void br_reservation_done(struct br_reservation *r);

struct br_reservation_ops {
	/* which image a board boots when its record names none, for selectors; fills out, "" : none */
	void (*default_image)(void *ctx, char *out, size_t size);
	/* a step that nobody waits for failed, and is tried again: for the log */
	void (*trouble)(void *ctx, const char *words);
	void *ctx;
};
int br_reservations_open(struct br_fleet *fleet, const struct br_reservation_ops *ops, uint64_t now_ns, struct br_reservations **ret,
	struct br_error *err);
void br_reservations_close(struct br_reservations *m);
/*
 * turned: a board is reservation number's from now on; number 0: just before it is nobody's, while its settings stand. Called under
 * our locks: it must not call us. NULL: nobody follows any more.
 */
void br_reservations_follow(struct br_reservations *m, void (*turned)(void *ctx, int64_t board_id, int64_t number), void *ctx);
/* To be called every second or so: ends what died or expired, serves who waits. */
void br_reservations_tick(struct br_reservations *m, uint64_t now_ns);

/*
 * Asks for boards: of req are read user, who, note, selector, count (0: what the selector says), ttl_s (0: the default), for_s. *ret is
 * HELD or WAITING, with its id. -EINVAL; -ENOENT: no board matches, or fewer than are wanted; -E2BIG.
 */
int br_reservation_ask(struct br_reservations *m, const struct br_reservation *req, uint64_t now_ns, struct br_reservation *ret,
	struct br_error *err);
/*
 * Whose it is: an id is "r12" or "r12-SECRET"; it is the caller's own with the right secret, or, one made by hand, when who (may be
 * NULL) is who made it, and not root. A wrong secret is -EACCES everywhere, an unknown one -ENOENT.
 */
int br_reservation_get(struct br_reservations *m, const char *id, const char *who, struct br_reservation *ret, bool *ret_own,
	struct br_error *err);
/* Held ones, then waiting ones in the order they are served; before them the newest so many that ended. */
int br_reservation_list(struct br_reservations *m, size_t ended, int (*fn)(void *ctx, const struct br_reservation *r), void *ctx);
/* The client lives. -EACCES: not its own; -ESTALE with words: it has ended. */
int br_reservation_beat(struct br_reservations *m, const char *id, uint64_t now_ns, struct br_error *err);
/* So long from now. A job's becomes one made by hand: its client may go. */
int br_reservation_extend(struct br_reservations *m, const char *id, const char *who, uint64_t for_s, struct br_error *err);
/* by_force: it need not be the caller's own, and was broken (by: who did). One that has ended already is success. */
int br_reservation_end(struct br_reservations *m, const char *id, const char *who, bool by_force, const char *reason, uint64_t now_ns,
	struct br_error *err);

/*
 * Settings of its boards for as long as it is held; NULL: as the board has it. What they were is stored with it and put back when it
 * ends, however it ends (but not where somebody changed it meanwhile).
 */
int br_reservation_settings(struct br_reservations *m, const char *id, const char *image, const char *disk, const char *road,
	struct br_error *err);
/* Who changes a board's record takes this first, before it is read: the settings of a reservation come and go under it. */
void br_reservation_edit_lock(struct br_fleet *fleet);
void br_reservation_edit_unlock(struct br_fleet *fleet);

/*
 * Whether a caller that shows these IDs (separated by commas, NULL: none; who: as above, may be NULL) may change a board: 0; or
 * -ENOLCK (API: 409 "reserved") with words: who has it, since when, until when, and the cure. 1: somebody's reservation
 * is passed over by BR_RESERVATION_FORCE, and err has the words for the record.
 */
int br_reservation_holds(struct br_reservations *m, int64_t board_id, const char *ids, const char *who, struct br_error *err);
/* The same, and under which reservation he does so: its number, 0: nobody has the board, BR_RESERVATION_FORCED. */
int br_reservation_acts(struct br_reservations *m, int64_t board_id, const char *ids, const char *who, int64_t *ret_number, struct br_error *err);
/* Whether a board's own image, which it gets back when its reservation ends: that one's number (and the board), 0: of none. */
int64_t br_reservation_keeps_image(struct br_reservations *m, const char *image, int64_t *ret_board_id);
/* The reservation that holds a board: its number, 0: none; user (may be NULL) of at least 64 bytes. */
int64_t br_reservation_of(struct br_reservations *m, int64_t board_id, char *user, size_t size);
