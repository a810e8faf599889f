/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/live on the daemon's own socket, for 'bramble top'; by TCP it is webfollow.c that follows. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "api/call.h"
#include "api/live.h"
#include "base/cleanup.h"

#define WAIT_S 1 /* then it is seen whether the daemon ends */

struct following {
	struct br_api *api;
	struct br_follower *follower;
	pthread_mutex_t lock;
	pthread_cond_t awake;
	bool asleep;
};

static void fall_asleep(void *ctx)
{
	struct following *f = ctx;

	pthread_mutex_lock(&f->lock);
	f->asleep = true;
	pthread_mutex_unlock(&f->lock);
}

static void wake_up(void *ctx)
{
	struct following *f = ctx;

	pthread_mutex_lock(&f->lock);
	f->asleep = false;
	pthread_cond_signal(&f->awake);
	pthread_mutex_unlock(&f->lock);
}

static void wait_awake(struct following *f)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&f->lock);
	if (f->asleep)
		pthread_cond_timedwait(&f->awake, &f->lock, &until);
	pthread_mutex_unlock(&f->lock);
}

static bool is_asleep(struct following *f)
{
	bool asleep;

	pthread_mutex_lock(&f->lock);
	asleep = f->asleep;
	pthread_mutex_unlock(&f->lock);
	return asleep;
}

static ssize_t follow_read(void *ctx, uint64_t pos, char *buf, size_t max)
{
	struct following *f = ctx;
	ssize_t n = 0;

	while (!n && !br_api_ending(f->api)) {
		if (is_asleep(f)) /* it is asked again only when it was woken */
			wait_awake(f);
		else
			n = br_follower_read(f->follower, buf, max);
	}
	return n > 0 ? n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void follow_done(void *ctx)
{
	struct following *f = ctx;

	br_follower_free(f->follower);
	pthread_cond_destroy(&f->awake);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static int follow(struct br_call *call, struct br_error *err)
{
	struct br_follower_options opt = {
		.topics = BR_TOPIC_BOARDS | BR_TOPIC_EVENTS | BR_TOPIC_STATUS | BR_TOPIC_RESERVATIONS,
		.last_id = MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, "Last-Event-ID"),
		.hello = "{}",
		.sleep = fall_asleep,
		.wake = wake_up,
	};
	struct following *f = call->api->feed ? calloc(1, sizeof(*f)) : NULL;
	pthread_condattr_t monotonic;

	if (!f)
		return br_error_set(err, call->api->feed ? ENOMEM : EOPNOTSUPP, call->api->feed ? "out of memory" : "this daemon has no live feed");
	f->api = call->api;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&f->awake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	opt.ctx = f;
	f->follower = br_follower_new(call->api->feed, &opt);
	if (!f->follower) {
		follow_done(f);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	return br_call_stream(call, MHD_SIZE_UNKNOWN, "text/event-stream", follow_read, follow_done, f, err);
}

const struct br_route br_api_live_socket[] = {
	{ "GET", "/v1/live", .run = follow, .summary = "What happens to boards, as server-sent events" },
	{ 0 },
};
