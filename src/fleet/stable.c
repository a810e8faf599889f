/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From committed to stable. A commit writes SQLite's log and does not wait for the disk (synchronous=NORMAL); one
 * fdatasync() of that log, outside of the database's lock, then makes all commits before it stable: for as many
 * callers as wait by then, and while others read and write on. This is what synchronous=FULL does at every single commit,
 * with everybody waiting. When the log is moved into the database, SQLite syncs it first by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "base/thread.h"
#include "fleet/db.h"

int br_stable_open(struct br_fleet *fleet, const char *db_path, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("%s-wal", db_path);

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	/* it exists from the first look at the database until the last connection is closed */
	fleet->stable.log_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fleet->stable.log_fd < 0)
		return br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
	return 0;
}

void br_stable_init(struct br_fleet *fleet)
{
	pthread_mutex_init(&fleet->stable.lock, NULL);
	pthread_cond_init(&fleet->stable.changed, NULL);
	fleet->stable.log_fd = -1;
	fleet->txn = 1;
}

/*
 * After a sync that failed the kernel may have thrown pages of the log away, and a later sync that succeeds says nothing
 * about these: what a crash leaves of the log is read up to the first one that is lost, however well the rest is stored.
 * So all of it goes into the database, which SQLite syncs, and the log begins anew. An old log that came back would undo
 * some of that: its end is made stable by the sync that follows. Whoever reads on in another process prevents it.
 */
static int begin_log_anew(struct br_fleet *fleet)
{
	int r;

	br_db_lock(fleet);
	r = br_db_commit(fleet);
	if (r >= 0 && sqlite3_wal_checkpoint_v2(fleet->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
		r = br_db_errno(fleet->db);
	br_db_unlock(fleet);
	return r;
}

/* st->lock is held, and let go of meanwhile. */
static void sync_log(struct br_fleet *fleet)
{
	struct br_stable *st = &fleet->stable;
	bool anew = st->damaged;
	uint64_t upto;
	int r;

	st->busy = true;
	pthread_mutex_unlock(&st->lock);
	r = anew ? begin_log_anew(fleet) : 0;
	upto = atomic_load(&fleet->committed); /* before: what is committed during the sync may miss it */
	if (!r && fdatasync(st->log_fd) < 0)
		r = -errno;
	pthread_mutex_lock(&st->lock);
	st->busy = false;
	st->damaged = r < 0;
	if (r < 0) {
		st->failed = upto;
		st->failed_r = anew && r == -EBUSY ? st->failed_r : r; /* busy: still for the first reason */
	} else {
		st->stable = upto;
	}
	pthread_cond_broadcast(&st->changed);
}

int br_stable_wait(struct br_fleet *fleet, uint64_t ticket)
{
	struct br_stable *st = &fleet->stable;
	int r;

	pthread_mutex_lock(&st->lock);
	while (st->stable < ticket && st->failed < ticket) {
		if (st->busy)
			pthread_cond_wait(&st->changed, &st->lock);
		else
			sync_log(fleet);
	}
	r = st->failed >= ticket ? st->failed_r : 0;
	pthread_mutex_unlock(&st->lock);
	return r;
}

/* Waits in the place of the thread that has a group. */
static void *follow(void *arg)
{
	struct br_fleet *fleet = arg;
	struct br_stable *st = &fleet->stable;
	uint64_t told = 0;

	pthread_mutex_lock(&st->lock);
	while (!st->stopping) {
		uint64_t ticket = st->wanted;
		int r;

		if (ticket <= told) {
			pthread_cond_wait(&st->changed, &st->lock);
			continue;
		}
		pthread_mutex_unlock(&st->lock);
		r = br_stable_wait(fleet, ticket);
		st->on_stable(st->ctx, ticket, r);
		told = ticket;
		pthread_mutex_lock(&st->lock);
	}
	pthread_mutex_unlock(&st->lock);
	return NULL;
}

int br_group_open(struct br_fleet *fleet, void (*on_stable)(void *ctx, uint64_t ticket, int r), void *ctx,
	struct br_error *err)
{
	struct br_stable *st = &fleet->stable;
	int r;

	st->on_stable = on_stable;
	st->ctx = ctx;
	st->stopping = false;
	r = br_thread_start(&st->follower, follow, fleet);
	if (r)
		return br_error_set(err, r, "cannot start a thread: %s", strerrordesc_np(r));
	st->follows = true;
	return 0;
}

void br_group_close(struct br_fleet *fleet)
{
	struct br_stable *st = &fleet->stable;

	if (!st->follows)
		return;
	pthread_mutex_lock(&st->lock);
	st->stopping = true;
	pthread_cond_broadcast(&st->changed);
	pthread_mutex_unlock(&st->lock);
	pthread_join(st->follower, NULL);
	st->follows = false;
}

void br_stable_done(struct br_fleet *fleet)
{
	br_group_close(fleet);
	br_closep(&fleet->stable.log_fd);
	pthread_cond_destroy(&fleet->stable.changed);
	pthread_mutex_destroy(&fleet->stable.lock);
}

void br_group_begin(struct br_fleet *fleet)
{
	br_db_lock(fleet);
	fleet->group.on = true;
	fleet->group.thread = pthread_self();
	/* now, so that reading needs no locks of the file's either; where that fails, the first change says why */
	if (!fleet->txn_open)
		fleet->txn_open = br_db_run(br_db_stmt(fleet, ST_BEGIN)) >= 0;
	br_db_unlock(fleet);
}

void br_group_pause(struct br_fleet *fleet)
{
	br_db_lock(fleet);
	fleet->group.on = false;
	br_db_unlock(fleet);
}

/* Whether the last that the group's thread was told is that something was lost. What stands in the database is not to be
 * promised then, before a sync succeeds. */
static bool was_lost(struct br_stable *st)
{
	bool lost;

	pthread_mutex_lock(&st->lock);
	lost = st->failed_r && st->failed >= st->wanted;
	pthread_mutex_unlock(&st->lock);
	return lost;
}

int br_group_end(struct br_fleet *fleet, uint64_t *ret_ticket, struct br_error *err)
{
	struct br_stable *st = &fleet->stable;
	bool lost = was_lost(st);
	struct br_group g;
	int r = 0;

	br_db_lock(fleet);
	g = fleet->group;
	fleet->group = (struct br_group){ 0 };
	r = br_db_commit(fleet);
	if (r < 0)
		br_db_error(fleet, err, r, "store leases");
	else if (g.first && fleet->undone >= g.first)
		r = br_error_set(err, EIO, "database %s/bramble.db: what was to be stored was undone", fleet->dir);
	else if (lost) /* a number for what is there already */
		atomic_store(&fleet->committed, g.last = fleet->txn++);
	br_db_unlock(fleet);
	*ret_ticket = g.last;
	if (r < 0 || !(g.writes || lost))
		return r;
	pthread_mutex_lock(&st->lock);
	st->wanted = g.last;
	pthread_cond_broadcast(&st->changed);
	pthread_mutex_unlock(&st->lock);
	return 1;
}
