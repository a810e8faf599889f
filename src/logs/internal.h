/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the store, for its own files. */
#include <pthread.h>

#include "logs/block.h"
#include "logs/journal.h"
#include "logs/limit.h"
#include "logs/logs.h"
#include "logs/shelf.h"

#define BR_LOGS_QUEUE 768 /* full blocks that wait for the disk: 96 MiB, eight seconds of 100,000 lines */

struct br_logs_marks; /* marks.c */

/* How much of a block is in the journal. */
struct br_logs_journaled {
	uint64_t first_seq, us;
	uint32_t n, n_meta, n_text;
};

struct br_logs {
	struct br_logs_options opt; /* dir owned */
	char *dir;
	struct br_logs_shelf *shelf;
	struct br_logs_journal *journal;
	struct br_logs_packer *packer; /* the writer's */
	struct br_logs_marks *marks;
	pthread_t writer;
	bool writing; /* the thread runs */

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t work, news, synced;
	struct br_logs_limits *limits;
	struct br_logs_block *open; /* being filled, NULL: none */
	struct br_logs_journaled journaled; /* of it */
	struct br_logs_block *queue[BR_LOGS_QUEUE];
	size_t n_queue;
	bool queue_busy; /* the first of it is being written */
	bool turn;	 /* blocks were closed since the journal's last turn */
	bool dirty;	 /* written, not synced */
	bool idle;	 /* the writer sleeps until it is woken */
	uint64_t next_seq, told_seq; /* told_seq: the last one that followers know of */
	uint64_t sync_wanted, sync_done;
	bool stopping, no_waits;
	struct br_logs_stats stats;
	struct {
		int64_t board_id;
		uint32_t ip;
		uint64_t n;
		const char *reason;
	} lost[16]; /* to be told */
	size_t n_lost;
};

/* With the lock: lines were lost, to be told. */
void br_logs_note_loss(struct br_logs *logs, int64_t board_id, uint32_t ip, uint64_t n, const char *reason);

/* The number of the last line that was taken. */
uint64_t br_logs_last(struct br_logs *logs);

/* What is in memory only: full blocks, oldest first, and a copy of the one being filled where it may have lines that pass.
 * *ret_before: the number below which all is in segments. Unref each. At most BR_LOGS_QUEUE + 1. */
int br_logs_recent(struct br_logs *logs, const struct br_logs_filter *f,
	struct br_logs_block *ret[static BR_LOGS_QUEUE + 1], size_t *ret_n, uint64_t *ret_before);

int br_logs_marks_open(const char *dir, struct br_logs_marks **ret, struct br_error *err);
void br_logs_marks_close(struct br_logs_marks *m);
/* The greatest number of a line that a mark stands behind. */
uint64_t br_logs_marks_last(const struct br_logs_marks *m);
