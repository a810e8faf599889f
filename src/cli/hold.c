/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a reservation: its heartbeat. */
#include "cli/hold.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/client.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define ANSWER_MS  8000
#define WAITING_MS 500 /* between two looks of who waits */
#define AGAIN_MS   1000 /* after a failure */
#define PATIENCE_TTLS 4
#define RELEASE_NS (5 * BR_S)

struct br_hold {
	struct br_client *client;
	char id[64], name[32], *beat_path;
	unsigned ttl_s;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool runs, ending;
	enum br_hold_state state;
	struct br_error words;
	json_t *status;
	uint64_t heard_ns; /* of the daemon */
};

static const char *text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key)) ?: "";
}

static enum br_hold_state state_of(const json_t *status)
{
	const char *state = text_of(status, "state");

	return !strcmp(state, "held") ? BR_HOLD_HELD : !strcmp(state, "waiting") ? BR_HOLD_WAITING : BR_HOLD_LOST;
}

/* Under the lock. */
static void take_status(struct br_hold *hold, json_t *status)
{
	json_decref(hold->status);
	hold->status = status;
	hold->state = state_of(status);
	if (hold->state == BR_HOLD_LOST)
		br_error_set(&hold->words, ESTALE, "reservation %s has ended: %s", hold->name, text_of(status, "reason"));
	hold->heard_ns = br_now_ns();
}

static bool is_lost(int r)
{
	return r == -ESTALE || r == -ENOENT || r == -EACCES;
}

/* Under the lock. */
static void take_failure(struct br_hold *hold, int r, const struct br_error *err)
{
	if (is_lost(r)) {
		hold->state = BR_HOLD_LOST;
		hold->words = *err;
	} else if (br_now_ns() - hold->heard_ns > PATIENCE_TTLS * hold->ttl_s * BR_S) {
		hold->state = BR_HOLD_AWAY;
		hold->words = *err;
	}
}

static uint64_t pause_ns(const struct br_hold *hold, int r)
{
	if (r < 0)
		return AGAIN_MS * BR_MS;
	if (hold->state == BR_HOLD_WAITING)
		return WAITING_MS * BR_MS;
	return hold->ttl_s * BR_S / 3;
}

static void *beat(void *ctx)
{
	struct br_hold *hold = ctx;

	pthread_mutex_lock(&hold->lock);
	while (!hold->ending && hold->state != BR_HOLD_LOST) {
		struct br_error err = BR_ERROR_NULL;
		json_t *status = NULL;
		struct timespec until;
		uint64_t at;
		int r;

		pthread_mutex_unlock(&hold->lock);
		r = br_client_call(hold->client, "POST", hold->beat_path, NULL, &status, &err);
		pthread_mutex_lock(&hold->lock);
		if (r >= 0)
			take_status(hold, status);
		else
			take_failure(hold, r, &err);
		at = br_now_ns() + pause_ns(hold, r);
		until = (struct timespec){ .tv_sec = (time_t)(at / BR_S), .tv_nsec = (long)(at % BR_S) };
		while (!hold->ending && br_now_ns() < at)
			pthread_cond_timedwait(&hold->wake, &hold->lock, &until);
	}
	pthread_mutex_unlock(&hold->lock);
	return NULL;
}

/* From now on each request of this process shows it, as those of its children do. Before there are threads. */
static void show_it(const char *id)
{
	const char *others = getenv("BRAMBLE_RESERVATION");
	br_cleanup(br_freep) char *both = others && others[0] ? br_asprintf("%s,%s", others, id) : NULL;

	setenv("BRAMBLE_RESERVATION", both ? both : id, 1);
}

static int start(struct br_hold *hold, json_t *status, struct br_error *err)
{
	json_int_t ttl = json_integer_value(json_object_get(status, "ttl"));
	pthread_condattr_t attr;
	int r;

	if (br_strcpy(hold->id, sizeof(hold->id), text_of(status, "id")) < 0 || !hold->id[0] ||
		br_strcpy(hold->name, sizeof(hold->name), text_of(status, "reservation")) < 0 || ttl < 1) {
		json_decref(status);
		return br_error_set(err, EIO, "the daemon's answer is no reservation; is it another version?");
	}
	hold->ttl_s = (unsigned)ttl;
	hold->beat_path = br_asprintf("/v1/reservations/%s/beat", hold->name);
	pthread_mutex_init(&hold->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&hold->wake, &attr);
	pthread_condattr_destroy(&attr);
	take_status(hold, status);
	show_it(hold->id);
	r = hold->beat_path ? pthread_create(&hold->thread, NULL, beat, hold) : ENOMEM;
	hold->runs = !r;
	return r ? br_error_set(err, r, "no thread for the heartbeat: %s", strerrordesc_np(r)) : 0;
}

int br_hold_ask(const char *state, const json_t *request, struct br_hold **ret, struct br_error *err)
{
	struct br_hold *hold = calloc(1, sizeof(*hold));
	json_t *status = NULL;
	int r;

	if (!hold)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_client_new(state, &hold->client, err);
	if (r >= 0) {
		br_client_patience(hold->client, ANSWER_MS);
		r = br_client_call(hold->client, "POST", "/v1/reservations", request, &status, err);
	}
	if (r >= 0)
		r = start(hold, status, err);
	if (r < 0) {
		br_hold_free(hold);
		return r;
	}
	*ret = hold;
	return 0;
}

const char *br_hold_id(const struct br_hold *hold)
{
	return hold->id;
}

const char *br_hold_name(const struct br_hold *hold)
{
	return hold->name;
}

enum br_hold_state br_hold_state(struct br_hold *hold, struct br_error *words)
{
	enum br_hold_state state;

	pthread_mutex_lock(&hold->lock);
	state = hold->state;
	if (words)
		*words = hold->words;
	pthread_mutex_unlock(&hold->lock);
	return state;
}

json_t *br_hold_status(struct br_hold *hold)
{
	json_t *status;

	pthread_mutex_lock(&hold->lock);
	status = json_deep_copy(hold->status);
	pthread_mutex_unlock(&hold->lock);
	return status;
}

static void end_thread(struct br_hold *hold)
{
	if (!hold->runs)
		return;
	pthread_mutex_lock(&hold->lock);
	hold->ending = true;
	pthread_cond_signal(&hold->wake);
	pthread_mutex_unlock(&hold->lock);
	pthread_join(hold->thread, NULL);
	hold->runs = false;
}

/* A daemon that is just restarted is asked again, for a while: else the boards are free one ttl later. */
static int release(struct br_hold *hold, const char *path, json_t **ret, struct br_error *err)
{
	static const struct timespec pause = { .tv_nsec = 200 * (long)BR_MS };
	uint64_t end = br_now_ns() + RELEASE_NS;
	int r = br_client_call(hold->client, "DELETE", path, NULL, ret, err);

	while ((r == -ECONNREFUSED || r == -ECONNRESET) && br_now_ns() < end) {
		nanosleep(&pause, NULL);
		r = br_client_call(hold->client, "DELETE", path, NULL, ret, err);
	}
	return r;
}

int br_hold_release(struct br_hold *hold, const char *reason, struct br_error *err)
{
	br_cleanup(br_freep) char *words = br_client_escape(reason);
	br_cleanup(br_freep) char *path = words ? br_asprintf("/v1/reservations/%s?reason=%s", hold->name, words) : NULL;
	br_cleanup(json_decrefp) json_t *status = NULL;
	int r;

	end_thread(hold);
	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	r = release(hold, path, &status, err);
	if (r < 0)
		return r;
	if (strcmp(text_of(status, "why"), "released") != 0) /* it had ended before: not by us */
		return br_error_set(err, ESTALE, "reservation %s has ended: %s", hold->name, text_of(status, "reason"));
	return 0;
}

enum br_hold_state br_hold_look(struct br_hold *hold, struct br_client *client, struct br_error *words)
{
	struct br_error err = BR_ERROR_NULL;
	json_t *status = NULL;
	int r = br_client_call(client, "POST", hold->beat_path, NULL, &status, &err);

	pthread_mutex_lock(&hold->lock);
	if (r >= 0)
		take_status(hold, status);
	else
		take_failure(hold, r, &err);
	pthread_mutex_unlock(&hold->lock);
	return br_hold_state(hold, words);
}

void br_hold_free(struct br_hold *hold)
{
	if (!hold)
		return;
	end_thread(hold);
	if (hold->status) {
		pthread_cond_destroy(&hold->wake);
		pthread_mutex_destroy(&hold->lock);
	}
	json_decref(hold->status);
	br_client_free(hold->client);
	free(hold->beat_path);
	free(hold);
}

char *br_hold_user(void)
{
	static const char *const names[] = { "BRAMBLE_USER", "GITLAB_USER_LOGIN", "GITHUB_ACTOR", "BUILD_USER_ID", "SUDO_USER" };
	char host[65] = "", buf[1024];
	struct passwd pw, *found = NULL;
	const char *user = NULL;

	for (size_t i = 0; i < BR_ARRAY_SIZE(names) && (!user || !user[0]); i++)
		user = getenv(names[i]);
	if (user && user[0] && getenv("BRAMBLE_USER"))
		return strdup(user);
	if ((!user || !user[0]) && !getpwuid_r(getuid(), &pw, buf, sizeof(buf), &found) && found)
		user = pw.pw_name;
	gethostname(host, sizeof(host) - 1);
	if (user && user[0])
		return br_asprintf("%.40s@%.20s", user, host);
	return br_asprintf("uid-%u@%.20s", (unsigned)getuid(), host);
}
