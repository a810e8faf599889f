/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of struct br_fleet, for the files of src/fleet and their tests only. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fleet/fleet.h"

/* Statements are prepared once; db.c has their texts in the same order. */
enum br_stmt {
	ST_BEGIN,
	ST_COMMIT,
	ST_SAVEPOINT,
	ST_RELEASE,
	ST_ROLLBACK_TO,
	ST_BOARD_BY_ID,
	ST_BOARD_BY_NAME,
	ST_BOARD_BY_MAC,
	ST_BOARD_BY_SERIAL,
	ST_BOARD_BY_IP,
	ST_BOARD_BY_TAIL,
	ST_BOARD_BY_ADDRESS,
	ST_BOARD_PAGE,
	ST_BOARD_INSERT,
	ST_BOARD_UPDATE,
	ST_BOARD_SEEN,
	ST_BOARD_FILL,
	ST_BOARD_DELETE,
	ST_BOARD_COUNT,
	ST_BOOT_NEXT,
	ST_BOOT_LAST,
	ST_SETTING_GET,
	ST_SETTING_PUT,
	ST_SHARE_PUT,
	ST_SHARE_DELETE,
	ST_SHARE_LIST,
	ST_SECRET_GET,
	ST_SECRET_PUT,
	ST_SECRET_DELETE,
	ST_LEASE_BY_MAC,
	ST_LEASE_BY_IP,
	ST_LEASE_BY_BOARD,
	ST_LEASE_GAP,
	ST_LEASE_EXPIRED,
	ST_LEASE_PUT,
	ST_LEASE_DELETE_BOARD,
	ST_LEASE_PAGE,
	ST_LEASE_STRANGERS,
	ST_LEASE_RELEASE,
	ST_EVENT_INSERT,
	ST_EVENT_OLD,
	ST_EVENT_FORGET,
	ST_EVENT_LAST,
	ST_EVENT_FROM,
	ST_EVENT_PAGE,
	ST_FACT_PUT,
	ST_FACT_LIST,
	ST_FACT_DELETE,
	ST_QUARANTINE_PUT,
	ST_QUARANTINE_GET,
	ST_QUARANTINE_LIST,
	ST_QUARANTINE_DELETE,
	ST_FLASH_INSERT,
	ST_FLASH_UPDATE,
	ST_FLASH_BY_ID,
	ST_FLASH_LAST,
	ST_FLASH_BEFORE,
	ST_FLASH_ROAD,
	ST_RES_INSERT,
	ST_RES_LIVE,
	ST_RES_BY_NUMBER,
	ST_RES_ENDED,
	ST_RES_STATE,
	ST_RES_FINISH,
	ST_RES_FORGET,
	ST_RES_BOARD_ADD,
	ST_RES_BOARD_LIST,
	ST_RES_BOARD_FREE,
	ST_RES_BOARD_FORGET,
	ST_RES_KEEP_SETTINGS,
	ST_RES_APPLY_SETTINGS,
	ST_RES_RESTORE_SETTINGS,
	ST_TOKEN_INSERT,
	ST_TOKEN_DELETE,
	ST_TOKEN_USED,
	ST_TOKEN_LIST,
	ST_N,
};

#define BR_FLEET_NAMES 4096 /* slots of the name cache */

/* What of the log is on stable storage (stable.c). */
struct br_stable {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int log_fd;
	bool busy;		 /* somebody syncs */
	bool damaged;		 /* a sync failed: the log must begin anew before the next one counts */
	uint64_t stable, failed; /* transactions up to these */
	int failed_r;
	/* who waits in the place of the group's thread */
	pthread_t follower;
	bool follows, stopping;
	uint64_t wanted;
	void (*on_stable)(void *ctx, uint64_t ticket, int r);
	void *ctx;
};

/* The housekeeper (keeper.c). */
struct br_keeper {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	sqlite3 *db; /* a connection of its own */
	bool runs, stopping, log_is_long;
};

/* One thread's group of changes; see fleet.h. */
struct br_group {
	bool on;
	pthread_t thread;
	uint64_t first, last, writes; /* transactions it is in, 0: none yet; changes that must be stable */
};

struct br_fleet {
	pthread_mutex_t edit_lock; /* a board's record between reading and storing it; before all others */
	pthread_mutex_t lock; /* the connection and all that follows up to the events */
	sqlite3 *db;
	sqlite3_stmt *stmt[ST_N];
	char *dir;
	int lock_fd; /* -1: not exclusive */
	/* Transactions are numbered. One stays open between calls while a thread has a group. */
	uint64_t txn;		   /* the open one, or the next */
	bool txn_open, nested;	   /* nested: the call that runs has a savepoint in it */
	int64_t changes;	   /* ... of rows before it, as SQLite counts */
	bool relaxed;		   /* ... and need not be stable at once */
	uint64_t undone;	   /* the last that failed as a whole */
	_Atomic uint64_t committed; /* the last */
	struct br_group group;
	struct br_stable stable;
	struct br_keeper keeper;

	/* Every address from 'first' to before 'hint' is known to be leased. */
	uint32_t gap_first, gap_last, gap_hint;

	/* Events. Order of locks: flush_lock, lock, ev_lock. */
	pthread_mutex_t flush_lock; /* one group is being stored */
	pthread_mutex_t ev_lock;    /* queue, listeners, names, seq */
	pthread_cond_t ev_wake;	    /* the writer */
	pthread_t writer;
	bool writer_runs, stopping;
	struct br_queued *head, *tail;
	size_t n_queued, n_in_flight; /* in flight: the first of the queue, being stored now */
	uint64_t next_seq, lost;
	_Atomic uint64_t keep_s, keep_n; /* how old and how many events may be, 0: any */
	uint64_t forget_after;		 /* the keeper's: all up to this one were looked at in this round */
	struct br_listener *listeners;
	struct br_error health; /* of the last group */
	struct {
		int64_t id;
		char name[BR_BOARD_NAME_MAX + 1];
	} names[BR_FLEET_NAMES];
};

/* The statement, reset and ready to bind; the lock is held. */
sqlite3_stmt *br_db_stmt(struct br_fleet *fleet, enum br_stmt which);
/* Steps a statement that returns no row and resets it: 0 or a negative errno. */
int br_db_run(sqlite3_stmt *stmt);
/* The negative errno of what just failed on a connection. */
int br_db_errno(sqlite3 *db);
/* Words for r, a failure of the database or of ours: "database DIR/bramble.db: cannot <doing>: ...; cure". Returns r. */
int br_db_error(struct br_fleet *fleet, struct br_error *err, int r, const char *doing);

/* One change under the lock, all of it or nothing. relaxed: a power cut may undo it. doing: for the words, "store a
 * board". */
int br_db_begin(struct br_fleet *fleet, bool relaxed, struct br_error *err, const char *doing);
/* Commits when r >= 0, rolls back otherwise; unlocks, and waits until it is stable. In a group of this thread it neither
 * commits nor waits. Returns r, or the failure of the commit; err gets words when it has none. */
int br_db_end(struct br_fleet *fleet, int r, struct br_error *err, const char *doing);
/* Commits what is open, if anything is; the lock is held. */
int br_db_commit(struct br_fleet *fleet);
/* The number in the only row of a statement without parameters. Takes the lock. */
int br_db_count(struct br_fleet *fleet, enum br_stmt which, uint64_t *ret);
/* Reading: just the lock. */
void br_db_lock(struct br_fleet *fleet);
void br_db_unlock(struct br_fleet *fleet);

/* Brings a database to version n, each step in its own transaction: steps[i] leads from i to i + 1. A database
 * beyond n is refused (-EPROTO). */
int br_db_migrate(sqlite3 *db, const char *const *steps, int n, struct br_error *err);
extern const char *const br_db_steps[];
extern const int br_db_n_steps;
/* Text of a statement, for tests of its query plan. */
const char *br_db_sql(enum br_stmt which);

/* Copies a text column, "" for NULL. */
void br_db_text(sqlite3_stmt *stmt, int col, char *out, size_t size);
int64_t br_db_now(void); /* s since 1970 */

/* stable.c */
void br_stable_init(struct br_fleet *fleet);
int br_stable_open(struct br_fleet *fleet, const char *db_path, struct br_error *err);
void br_stable_done(struct br_fleet *fleet);
/* Until a transaction that was committed is stable. */
int br_stable_wait(struct br_fleet *fleet, uint64_t ticket);

/* keeper.c */
int br_keeper_start(struct br_fleet *fleet, const char *db_path, struct br_error *err);
void br_keeper_stop(struct br_fleet *fleet);

/* retain.c: removes some events that are too old or too many. 1: there may be more; 0: none for now. */
int br_events_forget(struct br_fleet *fleet);

/* event.c: the queue and its writer. */
int br_events_start(struct br_fleet *fleet, bool writer, struct br_error *err);
void br_events_stop(struct br_fleet *fleet);
/* Remembers a board's name for events. */
void br_events_name(struct br_fleet *fleet, int64_t id, const char *name);
