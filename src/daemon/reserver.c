/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of reservations. */
#include "daemon/reserver.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "store/image.h"

#define TICK_MS 500 /* what died is noticed so much later at most */

struct br_reserver {
	struct br_reservations *reservations;
	struct br_boots *boots;
	void *metrics;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool runs, stopping;
};

static void default_image(void *ctx, char *out, size_t size)
{
	struct br_reserver *reserver = ctx;
	char image[BR_IMAGE_NAME_MAX + 1];

	br_boots_default_image(reserver->boots, image);
	snprintf(out, size, "%s", image);
}

static void trouble(void *ctx, const char *words)
{
	br_log_warning("reservations: %s", words);
}

static void *run(void *ctx)
{
	struct br_reserver *reserver = ctx;
	struct timespec until;

	pthread_mutex_lock(&reserver->lock);
	while (!reserver->stopping) {
		pthread_mutex_unlock(&reserver->lock);
		br_reservations_tick(reserver->reservations, br_now_ns());
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += (long)(TICK_MS * BR_MS);
		until.tv_sec += until.tv_nsec / (long)BR_S;
		until.tv_nsec %= (long)BR_S;
		pthread_mutex_lock(&reserver->lock);
		if (!reserver->stopping)
			pthread_cond_timedwait(&reserver->wake, &reserver->lock, &until);
	}
	pthread_mutex_unlock(&reserver->lock);
	return NULL;
}

struct counts {
	unsigned waiting, held, boards;
};

static int count(void *ctx, const struct br_reservation *r)
{
	struct counts *c = ctx;

	c->waiting += r->state == BR_RESERVATION_WAITING;
	c->held += r->state == BR_RESERVATION_HELD;
	c->boards += (unsigned)r->n_boards;
	return 0;
}

static void write_metrics(void *ctx, struct br_metrics *m)
{
	struct br_reserver *reserver = ctx;
	struct counts c = { 0 };

	br_reservation_list(reserver->reservations, 0, count, &c);
	br_metric_family(m, "bramble_reservations", BR_METRIC_GAUGE, "Reservations that are held, and requests that wait.");
	br_metric_value(m, c.held, "state", "held", (char *)NULL);
	br_metric_value(m, c.waiting, "state", "waiting", (char *)NULL);
	br_metric_family(m, "bramble_reserved_boards", BR_METRIC_GAUGE, "Boards that are reserved.");
	br_metric_value(m, c.boards, (char *)NULL);
}

static void init_wake(struct br_reserver *reserver)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&reserver->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&reserver->wake, &attr);
	pthread_condattr_destroy(&attr);
}

int br_reserver_start(struct br_fleet *fleet, struct br_boots *boots, struct br_reserver **ret, struct br_error *err)
{
	struct br_reserver *reserver = calloc(1, sizeof(*reserver));
	struct br_reservation_ops ops = { .default_image = default_image, .trouble = trouble, .ctx = reserver };
	int r;

	if (!reserver)
		return br_error_set(err, ENOMEM, "out of memory");
	reserver->boots = boots;
	init_wake(reserver);
	r = br_reservations_open(fleet, &ops, br_now_ns(), &reserver->reservations, err);
	if (!r) {
		r = -br_thread_start(&reserver->thread, run, reserver);
		reserver->runs = !r;
		if (r < 0)
			br_error_set(err, -r, "reservations: no thread: %s", strerrordesc_np(-r));
	}
	if (r < 0) {
		br_reserver_stop(reserver);
		return r;
	}
	reserver->metrics = br_metrics_add(write_metrics, reserver);
	*ret = reserver;
	return 0;
}

struct br_reservations *br_reserver_reservations(struct br_reserver *reserver)
{
	return reserver->reservations;
}

void br_reserver_stop(struct br_reserver *reserver)
{
	if (!reserver)
		return;
	br_metrics_remove(reserver->metrics);
	pthread_mutex_lock(&reserver->lock);
	reserver->stopping = true;
	pthread_cond_signal(&reserver->wake);
	pthread_mutex_unlock(&reserver->lock);
	if (reserver->runs)
		pthread_join(reserver->thread, NULL);
	br_reservations_close(reserver->reservations);
	pthread_cond_destroy(&reserver->wake);
	pthread_mutex_destroy(&reserver->lock);
	free(reserver);
}
