/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the manager, for its own files and its tests. */
#include <pthread.h>
#include <stdatomic.h>

#include "power/driver.h"
#include "power/known.h"
#include "power/power.h"
#include "power/queue.h"

#define BR_POWER_THREADS_MAX 64
#define BR_POWER_NEWS_MAX 4096

struct br_power_news { /* what a board did, from the fleet's events */
	int64_t board_id;
	bool up;
};

struct br_power {
	struct br_power_options opt;
	char *command, *state;
	void *listener, *metrics;
	atomic_bool stopping;

	pthread_mutex_t quarantine_lock; /* a row of it is read and written under this, before any other */

	pthread_mutex_t lock; /* all below; never held while a device is asked or an event emitted */
	pthread_cond_t work, ended_cond;
	struct br_power_queue *queue;
	struct br_power_table table;
	struct br_power_job *ended; /* orders that ended, to be told of once the lock is free */
	size_t n_ended, cap_ended;
	pthread_t threads[BR_POWER_THREADS_MAX];
	size_t n_threads, n_idle;
	uint64_t done[BR_POWER_N_ACTIONS], failed[BR_POWER_N_ACTIONS]; /* orders */
	uint64_t tick_ns; /* when the boards are looked at next */

	pthread_mutex_t news_lock; /* the listener's: events come under a lock of the fleet's */
	struct br_power_news news[BR_POWER_NEWS_MAX];
	size_t n_news;
};

/* A board with what is needed to switch it. */
struct br_power_way {
	struct br_board board;
	char uri[BR_POWER_URI_MAX + 1], mac[24], serial[24];
	struct br_power_target target; /* points into this */
	struct br_power_limits limits;
};

/* -EOPNOTSUPP, -EINVAL with words. way must not move. */
int br_power_way(const struct br_power *power, const struct br_board *board, struct br_power_way *way, struct br_error *err);

struct br_metrics;
/* metrics.c: what is counted; ctx: struct br_power */
void br_power_metrics(void *ctx, struct br_metrics *m);

/* soft.c: "reboot" over ssh at a board's address. */
int br_power_soft(struct br_power *power, const struct br_board *board, uint64_t timeout_ns, struct br_error *err);
