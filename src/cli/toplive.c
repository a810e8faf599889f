/* SPDX-License-Identifier: Apache-2.0 */
/* The stream of news for 'bramble top', and what to do when it breaks: try again each second. */
#include "cli/toplive.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/sse.h"
#include "base/text.h"
#include "cli/table.h"

#define PATIENCE_MS 10000 /* of a request beside the stream */
#define WHY_EVERY_NS (3 * BR_S)

struct stream {
	struct br_top_live *live;
	struct br_sse sse;
	uint64_t why_ns; /* when verdicts were asked last */
	bool again;	 /* news are lacking: load anew */
};

/* Verdicts are an extra: without them (a daemon that does not watch the network) the fleet is shown all the same. */
static json_t *fetch_why(struct br_client *client)
{
	json_t *json = NULL;

	return br_client_call(client, "GET", "/v1/why", NULL, &json, NULL) >= 0 ? json : NULL;
}

static int fetch(struct br_client *client, json_t **ret_boards, json_t **ret_status, struct br_error *err)
{
	int r = br_client_call(client, "GET", "/v1/boards", NULL, ret_boards, err);

	if (r >= 0)
		r = br_client_call(client, "GET", "/v1/status", NULL, ret_status, err);
	return r;
}

static int take_all(struct br_top_fleet *f, const json_t *boards, const json_t *status, const json_t *why, struct br_error *err)
{
	int r = br_top_fleet_load(f, boards);

	if (r >= 0)
		r = br_top_fleet_message(f, "status", status);
	if (r < 0)
		return br_error_set(err, -r, r == -ENOMEM ? "out of memory" : "the daemon's answer is no list of boards");
	if (why)
		br_top_fleet_why(f, why);
	return 0;
}

int br_top_load_once(struct br_client *client, struct br_top_fleet *f, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *boards = NULL, *status = NULL, *why = NULL;
	int r = fetch(client, &boards, &status, err);

	if (r < 0)
		return r;
	why = fetch_why(client);
	return take_all(f, boards, status, why, err);
}

static int load(struct br_top_live *live, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *boards = NULL, *status = NULL, *why = NULL;
	int r = fetch(live->why, &boards, &status, err);

	if (r < 0)
		return r;
	why = fetch_why(live->why);
	pthread_mutex_lock(&live->lock);
	r = take_all(&live->fleet, boards, status, why, err);
	live->connected = live->loaded = r >= 0;
	live->version++;
	pthread_mutex_unlock(&live->lock);
	return r;
}

static void ask_why(struct stream *s)
{
	uint64_t now = br_now_ns();
	br_cleanup(json_decrefp) json_t *why = NULL;

	if (now - s->why_ns < WHY_EVERY_NS)
		return;
	s->why_ns = now;
	why = fetch_why(s->live->why);
	if (!why)
		return;
	pthread_mutex_lock(&s->live->lock);
	br_top_fleet_why(&s->live->fleet, why);
	pthread_mutex_unlock(&s->live->lock);
}

static int on_message(void *ctx, const char *name, const char *data, size_t n)
{
	struct stream *s = ctx;
	br_cleanup(json_decrefp) json_t *json = json_loadb(data, n, JSON_DECODE_ANY, NULL);
	int r;

	if (!json)
		return 0; /* one message less; the next load has what it said */
	if (!strcmp(name, "resync")) {
		s->again = true;
		return 1;
	}
	pthread_mutex_lock(&s->live->lock);
	r = br_top_fleet_message(&s->live->fleet, name, json);
	s->live->version++;
	pthread_mutex_unlock(&s->live->lock);
	if (!strcmp(name, "status"))
		ask_why(s);
	return r;
}

static int on_bytes(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct stream *s = ctx;
	int r = br_sse_take(&s->sse, data, n, on_message, s);

	return r < 0 ? br_error_set(err, -r, "the daemon's news: %s", strerror(-r)) : r;
}

static void set_words(struct br_top_live *live, const struct br_error *err, int r)
{
	const char *words = r < 0 ? br_error_text(err, r) : "the daemon has stopped";

	pthread_mutex_lock(&live->lock);
	live->connected = false;
	live->version++;
	br_vis(live->words, sizeof(live->words), words, strlen(words));
	pthread_mutex_unlock(&live->lock);
}

/* A second, or until we are to stop. */
static bool pause_or_stop(struct br_top_live *live)
{
	struct timespec until;
	bool stop;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_mutex_lock(&live->lock);
	if (!live->stop)
		pthread_cond_timedwait(&live->stopping, &live->lock, &until);
	stop = live->stop;
	pthread_mutex_unlock(&live->lock);
	return stop;
}

static void *run(void *arg)
{
	struct br_top_live *live = arg;
	bool stop = false;

	while (!stop) {
		struct stream s = { .live = live };
		struct br_error err = BR_ERROR_NULL;
		int r = load(live, &err);

		s.why_ns = br_now_ns();
		if (r >= 0)
			r = br_client_stream(live->client, "/v1/live", on_bytes, &s, &err);
		br_sse_done(&s.sse);
		if (r < 0 || !s.again)
			set_words(live, &err, r);
		stop = pause_or_stop(live);
	}
	return NULL;
}

int br_top_live_start(struct br_top_live *live, const char *state, struct br_error *err)
{
	int r;

	*live = (struct br_top_live){ .fleet.left_s = -1 };
	r = br_client_new(state, &live->client, err);
	if (r >= 0)
		r = br_client_new(state, &live->why, err);
	if (r >= 0) {
		br_client_patience(live->why, PATIENCE_MS);
		pthread_mutex_init(&live->lock, NULL);
		pthread_cond_init(&live->stopping, NULL);
		r = pthread_create(&live->thread, NULL, run, live);
		if (!r)
			return 0;
		r = br_error_set(err, r, "no thread could be started: %s", strerror(r));
		pthread_cond_destroy(&live->stopping);
		pthread_mutex_destroy(&live->lock);
	}
	br_client_free(live->why);
	br_client_free(live->client);
	return r;
}

void br_top_live_stop(struct br_top_live *live)
{
	pthread_mutex_lock(&live->lock);
	live->stop = true;
	pthread_cond_signal(&live->stopping);
	pthread_mutex_unlock(&live->lock);
	br_client_cancel(live->client);
	br_client_cancel(live->why);
	pthread_join(live->thread, NULL);
	br_client_free(live->why);
	br_client_free(live->client);
	pthread_cond_destroy(&live->stopping);
	pthread_mutex_destroy(&live->lock);
	br_top_fleet_done(&live->fleet);
}
