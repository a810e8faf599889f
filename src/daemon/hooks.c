/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks at work: a queue and a thread for each. */
#include "daemon/hooks.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "api/eventjson.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/thread.h"
#include "daemon/eventtext.h"
#include "power/run.h"

#define QUEUE_MAX 1000
#define TRIES 6
#define FIRST_PAUSE_NS BR_S /* doubles with each try: 31 s in all */
#define TIMEOUT_NS (10 * BR_S)
#define COMPLAIN_NS (60 * BR_S) /* a hook that fails is in the log so often */

struct item {
	char *body, type[64];
	uint64_t seq;
	struct item *prev, *next;
};

struct worker {
	const struct br_hook *hook;
	struct br_hooks *all;
	pthread_t thread;
	bool runs;
	struct item *queue;
	size_t n_queue;
	uint64_t done, failed, lost, complained_ns;
};

struct br_hooks {
	struct br_fleet *fleet;
	struct br_hook *hooks;
	struct worker workers[BR_HOOKS_MAX];
	size_t n;
	void *listener, *metrics;
	atomic_bool stopping;
	pthread_mutex_t lock; /* queues and counts */
	pthread_cond_t wake;
};

static void item_free(struct item *item)
{
	if (item)
		free(item->body);
	free(item);
}

static struct item *make_item(const struct br_event *ev)
{
	json_t *json = br_event_json_with_text(ev, br_event_text);
	struct item *item = json ? calloc(1, sizeof(*item)) : NULL;

	if (item) {
		item->body = json_dumps(json, JSON_COMPACT);
		item->seq = ev->seq;
		snprintf(item->type, sizeof(item->type), "%s", ev->type);
	}
	json_decref(json);
	if (item && item->body)
		return item;
	item_free(item);
	return NULL;
}

/* In the thread of who emits the event: into the queues, no more. */
static void on_event(void *ctx, const struct br_event *ev)
{
	struct br_hooks *h = ctx;

	for (size_t i = 0; i < h->n; i++) {
		struct worker *w = &h->workers[i];
		struct item *item;

		if (!br_hook_wants(w->hook, ev->type))
			continue;
		item = make_item(ev);
		pthread_mutex_lock(&h->lock);
		if (item && w->n_queue < QUEUE_MAX) {
			DL_APPEND(w->queue, item);
			w->n_queue++;
			item = NULL;
			pthread_cond_broadcast(&h->wake);
		} else {
			w->lost++;
		}
		pthread_mutex_unlock(&h->lock);
		item_free(item);
	}
}

/* ---- telling ---- */

static size_t drop_data(char *data, size_t size, size_t n, void *ctx)
{
	return size * n;
}

static int is_stopped(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
	struct br_hooks *h = ctx;

	return atomic_load(&h->stopping);
}

static struct curl_slist *headers_of(const struct worker *w, const struct item *item)
{
	int64_t now = (int64_t)(br_wall_ns() / BR_S);
	char line[200], signature[BR_HOOK_SIGNATURE];
	struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");

	snprintf(line, sizeof(line), "Bramble-Event: %s", item->type);
	list = curl_slist_append(list, line);
	snprintf(line, sizeof(line), "Bramble-Delivery: %llu", (unsigned long long)item->seq);
	list = curl_slist_append(list, line);
	snprintf(line, sizeof(line), "Bramble-Time: %lld", (long long)now);
	list = curl_slist_append(list, line);
	if (w->hook->secret[0]) {
		br_hook_sign(w->hook->secret, now, item->body, signature);
		snprintf(line, sizeof(line), "Bramble-Signature: %s", signature);
		list = curl_slist_append(list, line);
	}
	return curl_slist_append(list, "Expect:");
}

/* 0; -EAGAIN: may go well another time; -EPROTO: the other side will not have it. */
static int post(struct worker *w, const struct item *item, struct br_error *err)
{
	uint64_t timeout = w->hook->timeout_ns ?: TIMEOUT_NS;
	struct curl_slist *headers = headers_of(w, item);
	char why[CURL_ERROR_SIZE] = "";
	CURL *curl = curl_easy_init();
	long status = 0;
	CURLcode code = CURLE_OUT_OF_MEMORY;

	if (curl) {
		curl_easy_setopt(curl, CURLOPT_URL, w->hook->url);
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout / BR_MS));
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, item->body);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_data);
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
		curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L); /* a resolver that hangs does not hold up our end */
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, is_stopped);
		curl_easy_setopt(curl, CURLOPT_XFERINFODATA, w->all);
		code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_cleanup(curl);
	}
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return br_error_set(err, EAGAIN, "%s", why[0] ? why : curl_easy_strerror(code));
	if (status >= 200 && status < 300)
		return 0;
	/* 408, 429 and the server's own troubles pass; other answers stay what they are */
	return br_error_set(err, status >= 500 || status == 408 || status == 429 ? EAGAIN : EPROTO, "the answer was HTTP status %ld", status);
}

static int execute(struct worker *w, const struct item *item, struct br_error *err)
{
	char **words = br_hook_words(w->hook, item->body);
	char said[BR_RUN_SAID], vis[BR_RUN_SAID];
	int status = 0, r;

	if (!words)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_run((const char *const *)words, w->hook->timeout_ns ?: TIMEOUT_NS, &w->all->stopping, said, &status, err);
	br_hook_words_free(words);
	if (r >= 0 && status)
		r = br_error_set(err, EPROTO, "ended with status %d: %s", status, br_vis(vis, sizeof(vis), said, strcspn(said, "\n")));
	return r;
}

/* False: the daemon stops. */
static bool pause_for(struct br_hooks *h, uint64_t ns)
{
	uint64_t end = br_now_ns() + ns;
	struct timespec until = { .tv_sec = (time_t)(end / BR_S), .tv_nsec = (long)(end % BR_S) };

	pthread_mutex_lock(&h->lock);
	while (!atomic_load(&h->stopping) && br_now_ns() < end)
		pthread_cond_timedwait(&h->wake, &h->lock, &until);
	pthread_mutex_unlock(&h->lock);
	return !atomic_load(&h->stopping);
}

static void tell(struct worker *w, const struct item *item)
{
	struct br_error err = BR_ERROR_NULL;
	uint64_t pause = FIRST_PAUSE_NS, now;
	int r = -EAGAIN;

	for (unsigned i = 0; i < TRIES && r == -EAGAIN && !atomic_load(&w->all->stopping); i++, pause *= 2) {
		if (i && !pause_for(w->all, pause / 2))
			break;
		r = w->hook->url[0] ? post(w, item, &err) : execute(w, item, &err);
	}
	now = br_now_ns();
	pthread_mutex_lock(&w->all->lock);
	w->done += r >= 0;
	w->failed += r < 0;
	pthread_mutex_unlock(&w->all->lock);
	if (r < 0 && !atomic_load(&w->all->stopping) && (!w->complained_ns || now - w->complained_ns > COMPLAIN_NS)) {
		w->complained_ns = now;
		br_log_warning("hook %s: event %s was not told: %s", w->hook->name, item->type, br_error_text(&err, r));
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct br_hooks *h = w->all;
	struct item *item = NULL;

	do {
		pthread_mutex_lock(&h->lock);
		while (!w->queue && !atomic_load(&h->stopping))
			pthread_cond_wait(&h->wake, &h->lock);
		item = atomic_load(&h->stopping) ? NULL : w->queue;
		if (item) {
			DL_DELETE(w->queue, item);
			w->n_queue--;
		}
		pthread_mutex_unlock(&h->lock);
		if (item)
			tell(w, item);
		item_free(item);
	} while (item);
	return NULL;
}

static void write_metrics(void *ctx, struct br_metrics *m)
{
	struct br_hooks *h = ctx;

	pthread_mutex_lock(&h->lock);
	br_metric_family(m, "bramble_hook_events_total", BR_METRIC_COUNTER, "Events for hooks, by what came of them.");
	for (size_t i = 0; i < h->n; i++) {
		const struct worker *w = &h->workers[i];

		br_metric_value(m, (double)w->done, "hook", w->hook->name, "outcome", "told", NULL);
		br_metric_value(m, (double)w->failed, "hook", w->hook->name, "outcome", "failed", NULL);
		br_metric_value(m, (double)w->lost, "hook", w->hook->name, "outcome", "lost", NULL);
	}
	br_metric_family(m, "bramble_hook_waiting", BR_METRIC_GAUGE, "Events that wait for a hook.");
	for (size_t i = 0; i < h->n; i++)
		br_metric_value(m, (double)h->workers[i].n_queue, "hook", h->workers[i].hook->name, NULL);
	pthread_mutex_unlock(&h->lock);
}

int br_hooks_start(struct br_fleet *fleet, const struct br_hook *hooks, size_t n, struct br_hooks **ret, struct br_error *err)
{
	struct br_hooks *h;
	pthread_condattr_t attr;

	*ret = NULL;
	if (!n)
		return 0;
	h = calloc(1, sizeof(*h));
	if (h)
		h->hooks = calloc(n, sizeof(h->hooks[0]));
	if (!h || !h->hooks) {
		free(h);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	memcpy(h->hooks, hooks, n * sizeof(h->hooks[0]));
	h->fleet = fleet;
	h->n = n;
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->wake, &attr);
	pthread_condattr_destroy(&attr);
	for (size_t i = 0; i < n; i++) {
		h->workers[i] = (struct worker){ .hook = &h->hooks[i], .all = h };
		h->workers[i].runs = !br_thread_start(&h->workers[i].thread, work, &h->workers[i]);
		if (!h->workers[i].runs)
			br_log_error("hook %s: no thread is to be had; it is not called", h->hooks[i].name);
	}
	h->listener = br_event_listen(fleet, on_event, h);
	h->metrics = br_metrics_add(write_metrics, h);
	*ret = h;
	return 0;
}

void br_hooks_stop(struct br_hooks *h)
{
	if (!h)
		return;
	br_metrics_remove(h->metrics);
	if (h->listener)
		br_event_unlisten(h->fleet, h->listener);
	pthread_mutex_lock(&h->lock);
	atomic_store(&h->stopping, true);
	pthread_cond_broadcast(&h->wake);
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < h->n; i++) {
		struct worker *w = &h->workers[i];
		struct item *item, *next;

		if (w->runs)
			pthread_join(w->thread, NULL);
		DL_FOREACH_SAFE(w->queue, item, next) {
			DL_DELETE(w->queue, item);
			item_free(item);
		}
	}
	pthread_cond_destroy(&h->wake);
	pthread_mutex_destroy(&h->lock);
	explicit_bzero(h->hooks, h->n * sizeof(h->hooks[0]));
	free(h->hooks);
	free(h);
}
