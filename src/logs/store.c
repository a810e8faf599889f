/* SPDX-License-Identifier: Apache-2.0 */
/* The store: lines come in, blocks are filled. writer.c brings them to the disk. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "logs/internal.h"
#include "logs/writer.h"

#define MIN_BYTES (1u << 20)
#define JOURNAL_ROOM (512u << 10) /* of the limit, kept for what is no segment */

/* ---- taking lines; with the lock ---- */

void br_logs_note_loss(struct br_logs *logs, int64_t board_id, uint32_t ip, uint64_t n, const char *reason)
{
	size_t i;

	for (i = 0; i < logs->n_lost; i++)
		if (logs->lost[i].board_id == board_id && logs->lost[i].ip == ip && !strcmp(logs->lost[i].reason, reason))
			break;
	if (i == BR_ARRAY_SIZE(logs->lost))
		return; /* counted it is all the same */
	logs->n_lost = i == logs->n_lost ? i + 1 : logs->n_lost;
	logs->lost[i].board_id = board_id;
	logs->lost[i].ip = ip;
	logs->lost[i].reason = reason;
	logs->lost[i].n += n;
}

void br_logs_store_shut(struct br_logs *logs)
{
	struct br_logs_stats *st = &logs->stats;

	if (!logs->open || !logs->open->head.n)
		return;
	if (logs->n_queue == BR_LOGS_QUEUE) { /* the disk does not follow: the oldest goes, but for what is being written */
		size_t at = logs->queue_busy;

		st->lost_disk += logs->queue[at]->head.n;
		br_logs_note_loss(logs, 0, 0, logs->queue[at]->head.n, "could not be brought to the disk in time");
		br_logs_block_unref(logs->queue[at]);
		logs->n_queue--;
		memmove(&logs->queue[at], &logs->queue[at + 1], (logs->n_queue - at) * sizeof(void *));
	}
	logs->queue[logs->n_queue++] = logs->open;
	logs->open = NULL;
	logs->turn = true;
	pthread_cond_signal(&logs->work);
}

void br_logs_store_add(void *ctx, const struct br_logs_line *line)
{
	struct br_logs *logs = ctx;

	if (!logs->open) {
		logs->open = br_logs_block_new(logs->next_seq, line->wall_ns / 1000);
		logs->journaled = (struct br_logs_journaled){ .first_seq = logs->next_seq, .us = line->wall_ns / 1000 };
	}
	if (!logs->open || br_logs_block_add(logs->open, line) < 0) {
		logs->stats.lost_disk++;
		return;
	}
	logs->next_seq++;
	logs->stats.lines++;
	logs->stats.bytes += line->n_text;
	logs->stats.by_source[line->source]++;
	if (br_logs_block_full(logs->open))
		br_logs_store_shut(logs);
}

void br_logs_put(struct br_logs *logs, const struct br_logs_line *line)
{
	struct br_logs_line l = *line;
	bool cut = l.n_text > BR_LOGS_TEXT_MAX;

	while (l.n_text && (l.text[l.n_text - 1] == '\n' || l.text[l.n_text - 1] == '\r'))
		l.n_text--;
	if (!l.n_text || (unsigned)l.source >= BR_LOGS_SOURCES || l.board_id < 0)
		return;
	if (l.n_text > BR_LOGS_TEXT_MAX)
		l.n_text = BR_LOGS_TEXT_MAX;
	if (l.n_stream > BR_LOGS_STREAM_MAX)
		l.n_stream = BR_LOGS_STREAM_MAX;
	if (!l.wall_ns)
		l.wall_ns = br_wall_ns();
	if (l.severity > BR_LOGS_NO_SEVERITY)
		l.severity = BR_LOGS_NO_SEVERITY;
	pthread_mutex_lock(&logs->lock);
	logs->stats.cut += cut;
	if (l.source == BR_LOGS_BRAMBLE || br_logs_limits_pass(logs->limits, &l, br_now_ns()))
		br_logs_store_add(logs, &l);
	if (logs->idle) {
		logs->idle = false;
		pthread_cond_signal(&logs->work);
	}
	pthread_mutex_unlock(&logs->lock);
}

void br_logs_lost(struct br_logs *logs, int64_t board_id, uint32_t ip, uint64_t n, const char *reason)
{
	pthread_mutex_lock(&logs->lock);
	logs->stats.lost_socket += n;
	br_logs_note_loss(logs, board_id, ip, n, reason);
	logs->idle = false;
	pthread_cond_signal(&logs->work);
	pthread_mutex_unlock(&logs->lock);
}

/* ---- opening ---- */

/* A line of the journal: with the number that it has. */
static int recover(void *ctx, const struct br_logs_line *line)
{
	struct br_logs *logs = ctx;

	if (line->seq != logs->next_seq)
		br_logs_store_shut(logs);
	logs->next_seq = line->seq;
	br_logs_store_add(logs, line);
	return 0;
}

static int init_conds(struct br_logs *logs)
{
	pthread_condattr_t attr;
	int r = pthread_condattr_init(&attr);

	if (r)
		return -r;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&logs->lock, NULL);
	pthread_cond_init(&logs->work, &attr);
	pthread_cond_init(&logs->news, &attr);
	pthread_cond_init(&logs->synced, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

static void set_defaults(struct br_logs_options *opt)
{
	opt->max_bytes = opt->max_bytes ? opt->max_bytes : 1ull << 30;
	opt->max_bytes = opt->max_bytes < MIN_BYTES ? MIN_BYTES : opt->max_bytes;
	opt->rate = opt->rate ? opt->rate : 2000;
	opt->burst = opt->burst ? opt->burst : opt->rate < UINT32_MAX / 10 ? 10 * opt->rate : UINT32_MAX;
	opt->flush_ms = opt->flush_ms ? opt->flush_ms : 100;
	opt->sync_ms = opt->sync_ms ? opt->sync_ms : 1000;
}

static int open_parts(struct br_logs *logs, struct br_error *err)
{
	uint64_t last, floor;
	int r = br_logs_shelf_open(logs->dir, logs->opt.max_bytes - JOURNAL_ROOM, logs->opt.max_age_ns / 1000, &logs->shelf, err);

	if (r >= 0)
		r = br_logs_journal_open(logs->dir, &logs->journal, err);
	if (r >= 0)
		r = br_logs_marks_open(logs->dir, &logs->marks, err);
	if (r < 0)
		return r;
	logs->limits = br_logs_limits_new(logs->opt.rate, logs->opt.burst);
	logs->packer = br_logs_packer_new();
	if (!logs->limits || !logs->packer)
		return br_error_set(err, ENOMEM, "out of memory");
	last = br_logs_shelf_last(logs->shelf);
	logs->next_seq = last + 1;
	r = br_logs_journal_read(logs->journal, last, recover, logs, err);
	if (r < 0)
		return r;
	br_logs_store_shut(logs); /* so that the journal can begin anew */
	/* no number twice, though the lines that had them are gone */
	floor = br_logs_shelf_floor(logs->shelf);
	logs->next_seq = logs->next_seq < floor ? floor : logs->next_seq;
	floor = br_logs_marks_last(logs->marks) + 1;
	logs->next_seq = logs->next_seq < floor ? floor : logs->next_seq;
	logs->told_seq = logs->next_seq - 1;
	logs->stats = (struct br_logs_stats){ 0 };
	return br_logs_writer_start(logs, err);
}

int br_logs_open(const struct br_logs_options *opt, struct br_logs **ret, struct br_error *err)
{
	struct br_logs *logs = calloc(1, sizeof(*logs));
	int r;

	if (!logs)
		return br_error_set(err, ENOMEM, "out of memory");
	logs->opt = *opt;
	logs->dir = strdup(opt->dir);
	set_defaults(&logs->opt);
	r = logs->dir ? init_conds(logs) : -ENOMEM;
	if (r < 0) {
		free(logs->dir);
		free(logs);
		return br_error_set(err, -r, "logs: %s", strerrordesc_np(-r));
	}
	r = open_parts(logs, err);
	if (r < 0) {
		br_logs_close(logs);
		return r;
	}
	*ret = logs;
	return 0;
}

void br_logs_close(struct br_logs *logs)
{
	if (!logs)
		return;
	br_logs_stop_waits(logs);
	br_logs_writer_stop(logs);
	br_logs_block_unref(logs->open);
	for (size_t i = 0; i < logs->n_queue; i++)
		br_logs_block_unref(logs->queue[i]);
	br_logs_limits_free(logs->limits);
	br_logs_packer_free(logs->packer);
	br_logs_marks_close(logs->marks);
	br_logs_journal_close(logs->journal);
	br_logs_shelf_close(logs->shelf);
	pthread_cond_destroy(&logs->work);
	pthread_cond_destroy(&logs->news);
	pthread_cond_destroy(&logs->synced);
	pthread_mutex_destroy(&logs->lock);
	free(logs->dir);
	free(logs);
}

/* ---- for readers ---- */

static int take_recent(struct br_logs_block *b, const struct br_logs_filter *f, bool copy, struct br_logs_block **ret,
	size_t *n)
{
	if (!br_logs_head_may_have(&b->head, f))
		return 0;
	ret[*n] = copy ? br_logs_block_copy(b) : br_logs_block_ref(b);
	if (!ret[*n])
		return -ENOMEM;
	++*n;
	return 0;
}

int br_logs_recent(struct br_logs *logs, const struct br_logs_filter *f,
	struct br_logs_block *ret[static BR_LOGS_QUEUE + 1], size_t *ret_n, uint64_t *ret_before)
{
	size_t n = 0;
	int r = 0;

	pthread_mutex_lock(&logs->lock);
	*ret_before = logs->n_queue ? logs->queue[0]->head.first_seq : logs->open ? logs->open->head.first_seq : logs->next_seq;
	for (size_t i = 0; i < logs->n_queue && r == 0; i++)
		r = take_recent(logs->queue[i], f, false, ret, &n);
	if (r == 0 && logs->open && logs->open->head.n)
		r = take_recent(logs->open, f, true, ret, &n);
	pthread_mutex_unlock(&logs->lock);
	for (; r < 0 && n; n--)
		br_logs_block_unref(ret[n - 1]);
	*ret_n = n;
	return r;
}

uint64_t br_logs_last(struct br_logs *logs)
{
	uint64_t seq;

	pthread_mutex_lock(&logs->lock);
	seq = logs->next_seq - 1;
	pthread_mutex_unlock(&logs->lock);
	return seq;
}

int br_logs_wait(struct br_logs *logs, uint64_t seq, unsigned timeout_ms)
{
	uint64_t until_ns = br_now_ns() + timeout_ms * BR_MS;
	struct timespec until = { .tv_sec = (time_t)(until_ns / BR_S), .tv_nsec = (long)(until_ns % BR_S) };
	int r = 0;

	pthread_mutex_lock(&logs->lock);
	while (!logs->no_waits && logs->told_seq <= seq && r == 0)
		r = pthread_cond_timedwait(&logs->news, &logs->lock, &until);
	r = logs->no_waits ? -ESHUTDOWN : logs->told_seq > seq;
	pthread_mutex_unlock(&logs->lock);
	return r;
}

void br_logs_stop_waits(struct br_logs *logs)
{
	pthread_mutex_lock(&logs->lock);
	logs->no_waits = true;
	pthread_cond_broadcast(&logs->news);
	pthread_cond_broadcast(&logs->synced);
	pthread_mutex_unlock(&logs->lock);
}

void br_logs_stats(struct br_logs *logs, struct br_logs_stats *ret)
{
	struct br_logs_shelf_stats shelf;

	pthread_mutex_lock(&logs->lock);
	br_logs_shelf_stats(logs->shelf, &shelf); /* within: a block on its way to the disk is in memory, or there */
	*ret = logs->stats;
	ret->lost_rate = br_logs_limits_lost(logs->limits);
	ret->held = br_logs_limits_held(logs->limits);
	ret->last_seq = logs->next_seq - 1;
	if (!shelf.first_seq && (logs->n_queue || logs->open)) {
		const struct br_logs_head *h = logs->n_queue ? &logs->queue[0]->head : &logs->open->head;

		shelf.first_seq = h->first_seq;
		shelf.first_us = h->first_us;
	}
	pthread_mutex_unlock(&logs->lock);
	ret->disk_bytes = shelf.bytes + br_logs_journal_bytes(logs->journal);
	ret->raw_bytes = shelf.raw_bytes;
	ret->segments = shelf.segments;
	ret->blocks = shelf.blocks;
	ret->removed = shelf.removed;
	ret->damaged = shelf.damaged;
	ret->first_seq = shelf.first_seq;
	ret->first_ns = shelf.first_us * 1000;
}
