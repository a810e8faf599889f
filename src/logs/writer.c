/* SPDX-License-Identifier: Apache-2.0 */
/* From memory to the disk: full blocks into segments, the rest into the journal, in rounds. */
#include "logs/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/thread.h"

#define EXPIRE_NS (60 * BR_S)
#define RETRY_NS BR_S	       /* after a failure */
#define SHUT_US (3600 * 1000000ull) /* a block is not filled for longer */

struct writer {
	struct br_logs *logs;
	uint64_t flushed_ns, synced_ns, expired_ns, failed_ns;
	uint64_t wanted; /* syncs asked for before this round */
	struct br_logs_loss told[64];
	const char *reasons[64];
	size_t n_told;
};

/* With the lock, in each of these; they let go of it while the disk works. */

static void note_trouble(struct writer *w, int r, const struct br_error *err)
{
	w->logs->stats.trouble = r < 0 ? *err : BR_ERROR_NULL;
	if (r < 0)
		w->failed_ns = br_now_ns();
}

static int write_block(struct writer *w, struct br_logs_block *b, struct br_error *err)
{
	struct br_logs *logs = w->logs;
	const uint8_t *bytes;
	size_t n;
	int r;

	pthread_mutex_unlock(&logs->lock);
	r = br_logs_pack(logs->packer, b, &bytes, &n);
	if (r < 0)
		r = br_error_set(err, -r, "logs: a block cannot be compressed: %s", strerrordesc_np(-r));
	else
		r = br_logs_shelf_append(logs->shelf, b, bytes, n, err);
	pthread_mutex_lock(&logs->lock);
	return r;
}

static int write_queue(struct writer *w, struct br_error *err)
{
	struct br_logs *logs = w->logs;
	int r = 0;

	while (logs->n_queue && r == 0) {
		struct br_logs_block *b = logs->queue[0];

		logs->queue_busy = true;
		r = write_block(w, b, err);
		logs->queue_busy = false;
		if (r < 0)
			break;
		logs->dirty = true;
		memmove(&logs->queue[0], &logs->queue[1], --logs->n_queue * sizeof(void *));
		br_logs_block_unref(b);
	}
	return r;
}

/* What of the block being filled the journal lacks, or all of it; NULL: nothing. */
static int slice(struct br_logs *logs, bool all, struct br_logs_block **ret)
{
	const struct br_logs_block *open = logs->open;
	struct br_logs_block part;

	*ret = NULL;
	if (!open || !open->head.n || (!all && logs->journaled.n == open->head.n))
		return 0;
	part = (struct br_logs_block){ .meta = open->meta, .text = open->text, .head = open->head };
	if (!all) {
		part.meta += logs->journaled.n_meta;
		part.text += logs->journaled.n_text;
		part.head.n -= logs->journaled.n;
		part.head.n_meta -= logs->journaled.n_meta;
		part.head.n_text -= logs->journaled.n_text;
		part.head.first_seq += logs->journaled.n;
		part.head.base_us = logs->journaled.us;
	}
	*ret = br_logs_block_copy(&part);
	return *ret ? 0 : -ENOMEM;
}

/* How far the journal is when all of the block being filled is in it. */
static struct br_logs_journaled whole(const struct br_logs_block *open)
{
	if (!open)
		return (struct br_logs_journaled){ 0 };
	return (struct br_logs_journaled){ open->head.first_seq, open->now_us, open->head.n, open->head.n_meta, open->head.n_text };
}

/* It was written; meanwhile another block may have been begun. */
static void note_journaled(struct br_logs *logs, const struct br_logs_journaled *now)
{
	if (logs->open && logs->open->head.first_seq == now->first_seq)
		logs->journaled = *now;
}

static int write_journal(struct writer *w, struct br_error *err)
{
	struct br_logs *logs = w->logs;
	struct br_logs_journaled now = whole(logs->open);
	struct br_logs_block *part;
	int r = slice(logs, false, &part);

	if (r < 0)
		return br_error_set(err, -r, "logs: out of memory");
	if (!part)
		return 0;
	pthread_mutex_unlock(&logs->lock);
	r = br_logs_journal_add(logs->journal, part, err);
	br_logs_block_unref(part);
	pthread_mutex_lock(&logs->lock);
	if (r >= 0)
		note_journaled(logs, &now);
	logs->dirty = true;
	return r;
}

static int sync_all(struct writer *w, struct br_error *err)
{
	struct br_logs *logs = w->logs;
	bool turn = logs->turn && !logs->n_queue;
	struct br_logs_journaled now = whole(logs->open);
	struct br_logs_block *part = NULL;
	int r = turn ? slice(logs, true, &part) : 0;

	if (r < 0)
		return br_error_set(err, -r, "logs: out of memory");
	logs->dirty = false;
	if (turn)
		logs->turn = false;
	pthread_mutex_unlock(&logs->lock);
	r = br_logs_shelf_sync(logs->shelf, err);
	if (r >= 0 && turn)
		r = br_logs_journal_turn(logs->journal, part, err);
	else if (r >= 0)
		r = br_logs_journal_sync(logs->journal, err);
	br_logs_block_unref(part);
	pthread_mutex_lock(&logs->lock);
	if (r < 0) {
		logs->dirty = true;
		logs->turn |= turn;
	} else {
		if (turn)
			note_journaled(logs, &now);
		logs->sync_done = w->wanted;
	}
	return r;
}

/* With nothing in the queue. A journal that grew too large begins anew with the block being filled. */
static int store_open(struct writer *w, struct br_error *err)
{
	struct br_logs *logs = w->logs;

	if (!br_logs_journal_full(logs->journal))
		return write_journal(w, err);
	logs->turn = true;
	return sync_all(w, err);
}

static void add_told(struct writer *w, int64_t board_id, uint32_t ip, uint64_t n, const char *reason)
{
	w->told[w->n_told] = (struct br_logs_loss){ board_id, ip, n };
	w->reasons[w->n_told++] = reason;
}

/* A line for each sender that lost some, and on_lost(). */
static void tell_losses(struct writer *w, uint64_t now_ns)
{
	struct br_logs *logs = w->logs;

	w->n_told = 0;
	while (w->n_told < sizeof(w->told) / sizeof(w->told[0]) / 2) {
		struct br_logs_loss loss;

		if (!br_logs_limits_loss(logs->limits, now_ns, &loss))
			break;
		add_told(w, loss.board_id, loss.ip, loss.n, "came faster than its limit allows");
	}
	for (size_t i = 0; i < logs->n_lost; i++)
		add_told(w, logs->lost[i].board_id, logs->lost[i].ip, logs->lost[i].n, logs->lost[i].reason);
	memset(logs->lost, 0, sizeof(logs->lost));
	logs->n_lost = 0;
	for (size_t i = 0; i < w->n_told; i++) {
		const struct br_logs_loss *loss = &w->told[i];
		char text[200];
		struct br_logs_line line = {
			.wall_ns = br_wall_ns(),
			.board_id = loss->board_id,
			.ip = loss->ip,
			.source = BR_LOGS_BRAMBLE,
			.severity = 4,
			.text = text,
		};

		line.n_text = (size_t)snprintf(text, sizeof(text), "%llu lines lost: they %s", (unsigned long long)loss->n,
			w->reasons[i]);
		br_logs_store_add(logs, &line);
	}
	if (!logs->opt.on_lost || !w->n_told)
		return;
	pthread_mutex_unlock(&logs->lock);
	for (size_t i = 0; i < w->n_told; i++)
		logs->opt.on_lost(logs->opt.ctx, w->told[i].board_id, w->told[i].ip, w->told[i].n, w->reasons[i]);
	pthread_mutex_lock(&logs->lock);
}

static void expire(struct writer *w, uint64_t now_ns)
{
	struct br_logs *logs = w->logs;
	uint64_t wall_us = br_wall_ns() / 1000, age_us = logs->opt.max_age_ns / 1000;

	w->expired_ns = now_ns;
	if (logs->open && wall_us > logs->open->head.base_us + SHUT_US)
		br_logs_store_shut(logs);
	if (!age_us || wall_us < age_us)
		return;
	pthread_mutex_unlock(&logs->lock);
	br_logs_shelf_expire(logs->shelf, wall_us - age_us);
	pthread_mutex_lock(&logs->lock);
}

static bool sync_due(const struct writer *w, uint64_t now_ns)
{
	const struct br_logs *logs = w->logs;

	return logs->sync_wanted > logs->sync_done || logs->stopping ||
	       (logs->dirty && now_ns - w->synced_ns >= logs->opt.sync_ms * BR_MS);
}

static void round_of(struct writer *w, uint64_t now_ns)
{
	struct br_logs *logs = w->logs;
	struct br_error err = BR_ERROR_NULL;
	bool flush = logs->stopping || now_ns - w->flushed_ns >= logs->opt.flush_ms * BR_MS || logs->sync_wanted > logs->sync_done;
	int r;

	br_logs_limits_due(logs->limits, now_ns, br_logs_store_add, logs);
	tell_losses(w, now_ns);
	if (now_ns - w->expired_ns >= EXPIRE_NS)
		expire(w, now_ns);
	w->wanted = logs->sync_wanted; /* what was put before is in the queue or the block being filled now */
	r = write_queue(w, &err);
	if (flush) {
		if (r >= 0)
			r = store_open(w, &err);
		else
			(void)write_journal(w, NULL); /* the first trouble is told */
		w->flushed_ns = now_ns;
	}
	if (r >= 0 && sync_due(w, now_ns)) {
		r = sync_all(w, &err);
		w->synced_ns = now_ns;
	}
	note_trouble(w, r, &err);
	pthread_cond_broadcast(&logs->synced);
	if (flush && logs->told_seq != logs->next_seq - 1) {
		logs->told_seq = logs->next_seq - 1;
		pthread_cond_broadcast(&logs->news);
	}
}

/* Until the next round is due: at once for full blocks, soon for lines, else when somebody calls. */
static void sleep_until_due(struct writer *w)
{
	struct br_logs *logs = w->logs;
	uint64_t now = br_now_ns(), due = w->flushed_ns + logs->opt.flush_ms * BR_MS;
	bool failing = logs->stats.trouble.code != 0;
	bool pending = logs->told_seq != logs->next_seq - 1 || logs->dirty || br_logs_limits_busy(logs->limits) || logs->n_lost;
	struct timespec until;

	if (logs->stopping || (logs->n_queue && !failing) || (logs->sync_wanted > logs->sync_done && !failing))
		return;
	if (failing)
		due = w->failed_ns + RETRY_NS;
	else if (!pending)
		due = now + EXPIRE_NS;
	logs->idle = !pending && !failing;
	if (due <= now)
		return;
	until = (struct timespec){ .tv_sec = (time_t)(due / BR_S), .tv_nsec = (long)(due % BR_S) };
	pthread_cond_timedwait(&logs->work, &logs->lock, &until);
	logs->idle = false;
}

static void *run(void *arg)
{
	struct br_logs *logs = arg;
	uint64_t now = br_now_ns();
	struct writer w = { .logs = logs, .flushed_ns = now, .synced_ns = now, .expired_ns = now - EXPIRE_NS };

	pthread_mutex_lock(&logs->lock);
	while (!logs->stopping) {
		round_of(&w, br_now_ns());
		sleep_until_due(&w);
	}
	br_logs_limits_flush(logs->limits, br_logs_store_add, logs);
	tell_losses(&w, UINT64_MAX);
	round_of(&w, br_now_ns());
	pthread_mutex_unlock(&logs->lock);
	return NULL;
}

int br_logs_writer_start(struct br_logs *logs, struct br_error *err)
{
	int r = br_thread_start(&logs->writer, run, logs);

	if (r)
		return br_error_set(err, r, "logs: a thread cannot be started: %s", strerrordesc_np(r));
	logs->writing = true;
	return 0;
}

void br_logs_writer_stop(struct br_logs *logs)
{
	if (!logs->writing)
		return;
	pthread_mutex_lock(&logs->lock);
	logs->stopping = true;
	pthread_cond_signal(&logs->work);
	pthread_mutex_unlock(&logs->lock);
	pthread_join(logs->writer, NULL);
}

int br_logs_sync(struct br_logs *logs, struct br_error *err)
{
	uint64_t mine;
	int r = 0;

	pthread_mutex_lock(&logs->lock);
	mine = ++logs->sync_wanted;
	logs->stats.trouble = BR_ERROR_NULL;
	logs->idle = false;
	pthread_cond_signal(&logs->work);
	while (logs->sync_done < mine && !logs->stats.trouble.code && !logs->no_waits)
		pthread_cond_wait(&logs->synced, &logs->lock);
	if (logs->sync_done < mine)
		r = logs->stats.trouble.code ? br_error_set(err, logs->stats.trouble.code, "%s", logs->stats.trouble.text) :
					       br_error_set(err, ESHUTDOWN, "logs: the daemon is stopping");
	pthread_mutex_unlock(&logs->lock);
	return r;
}
