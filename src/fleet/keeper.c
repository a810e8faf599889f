/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be done now and then, in a thread of its own: moving the log into the database, which costs syncs that nobody
 * else is to wait for, and forgetting old events.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "fleet/db.h"

#define LOG_PAGES 4000	   /* of 4 KiB; so long may the log become before it is moved */
#define FORGET_EVERY_S 600 /* looks for old events */
#define FORGET_FIRST_S 5   /* the first time after a start */
#define FORGET_STEP_MS 20  /* between two batches of them: others have the database meanwhile */

/* Called by SQLite after each commit, under the lock. */
static int on_commit(void *arg, sqlite3 *db, const char *name, int n_pages)
{
	struct br_fleet *fleet = arg;

	if (n_pages < LOG_PAGES)
		return SQLITE_OK;
	pthread_mutex_lock(&fleet->keeper.lock);
	fleet->keeper.log_is_long = true;
	pthread_cond_signal(&fleet->keeper.wake);
	pthread_mutex_unlock(&fleet->keeper.lock);
	return SQLITE_OK;
}

/*
 * Most of it while others write on, on a connection of its own; the small rest while they do not, so that the next of
 * them begins the log anew. A failure (a full disk) is no loss: the log keeps all of it, and grows.
 */
static void move_log(struct br_fleet *fleet, sqlite3 *db)
{
	sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	br_db_lock(fleet);
	if (br_db_commit(fleet) >= 0)
		sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	br_db_unlock(fleet);
}

/* keeper.lock is held. Until the time, or until there is something to do. */
static void sleep_until(struct br_keeper *k, uint64_t due_ns)
{
	struct timespec t = { .tv_sec = (time_t)(due_ns / BR_S), .tv_nsec = (long)(due_ns % BR_S) };

	while (!k->stopping && !k->log_is_long)
		if (pthread_cond_timedwait(&k->wake, &k->lock, &t))
			break;
}

static void *keep(void *arg)
{
	struct br_fleet *fleet = arg;
	struct br_keeper *k = &fleet->keeper;
	uint64_t forget_ns = br_now_ns() + FORGET_FIRST_S * BR_S;

	pthread_mutex_lock(&k->lock);
	while (!k->stopping) {
		bool move;

		sleep_until(k, forget_ns);
		move = k->log_is_long;
		k->log_is_long = false;
		pthread_mutex_unlock(&k->lock);
		if (move)
			move_log(fleet, k->db);
		if (br_now_ns() >= forget_ns)
			forget_ns = br_now_ns() +
				    (br_events_forget(fleet) > 0 ? FORGET_STEP_MS * BR_MS : FORGET_EVERY_S * BR_S);
		pthread_mutex_lock(&k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

int br_keeper_start(struct br_fleet *fleet, const char *db_path, struct br_error *err)
{
	struct br_keeper *k = &fleet->keeper;
	pthread_condattr_t attr;
	int r;

	if (sqlite3_open_v2(db_path, &k->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return br_error_set(err, -br_db_errno(k->db), "database %s: cannot open it: %s", db_path,
			sqlite3_errmsg(k->db));
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->wake, &attr);
	pthread_condattr_destroy(&attr);
	sqlite3_wal_hook(fleet->db, on_commit, fleet); /* instead of SQLite's own, which lets the writer wait */
	r = br_thread_start(&k->thread, keep, fleet);
	if (r)
		return br_error_set(err, r, "cannot start a thread: %s", strerrordesc_np(r));
	k->runs = true;
	return 0;
}

void br_keeper_stop(struct br_fleet *fleet)
{
	struct br_keeper *k = &fleet->keeper;

	if (k->runs) {
		pthread_mutex_lock(&k->lock);
		k->stopping = true;
		pthread_cond_signal(&k->wake);
		pthread_mutex_unlock(&k->lock);
		pthread_join(k->thread, NULL);
	}
	sqlite3_close(k->db);
}
