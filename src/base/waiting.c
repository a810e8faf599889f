/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting that shows. */
#include "base/waiting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define FIRST_NS (2 * BR_S)
#define TTY_STEP_NS BR_S
#define PLAIN_STEP_NS (10 * BR_S)

struct br_waiting {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool end, tty, shown;
	char *what;
};

static void show(struct br_waiting *w, uint64_t spent_ns)
{
	char spent[24];

	br_format_duration(spent, sizeof(spent), spent_ns - spent_ns % BR_S);
	fprintf(stderr, "%s%s: %s%s", w->tty ? "\r\x1b[K" : "", w->what, spent, w->tty ? "" : "\n");
	fflush(stderr);
	w->shown = true;
}

static void *run(void *arg)
{
	struct br_waiting *w = arg;
	uint64_t began = br_now_ns(), next = began + FIRST_NS;

	pthread_mutex_lock(&w->lock);
	while (!w->end) {
		struct timespec until = { .tv_sec = (time_t)(next / BR_S), .tv_nsec = (long)(next % BR_S) };

		pthread_cond_timedwait(&w->changed, &w->lock, &until);
		if (w->end || br_now_ns() < next)
			continue;
		show(w, next - began);
		next += w->tty ? TTY_STEP_NS : PLAIN_STEP_NS;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void waiting_free(struct br_waiting *w)
{
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w->what);
	free(w);
}

struct br_waiting *br_waiting_start(const char *what, bool quiet)
{
	struct br_waiting *w = quiet ? NULL : calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return NULL;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &attr);
	pthread_condattr_destroy(&attr);
	w->tty = isatty(STDERR_FILENO);
	w->what = strdup(what);
	if (!w->what || pthread_create(&w->thread, NULL, run, w)) {
		waiting_free(w);
		return NULL;
	}
	return w;
}

void br_waiting_end(struct br_waiting *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->end = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	if (w->shown && w->tty)
		fputs("\r\x1b[K", stderr);
	waiting_free(w);
}
