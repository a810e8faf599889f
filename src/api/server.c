/* SPDX-License-Identifier: Apache-2.0 */
/* The control API's server: libmicrohttpd on the Unix socket, one thread per connection. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api/access.h"
#include "api/call.h"
#include "api/live.h"
#include "api/metrics.h"
#include "api/socket.h"
#include "api/tally.h"
#include "api/web.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/thread.h"

#define CONNECTIONS_MAX 256
#define TIMEOUT_S 60		 /* of a client that neither sends nor takes */
#define FAREWELL_S 2
#define CONNECTION_MEMORY 65536	 /* bounds line and headers: longer ones get 414 or 431 */

/* What has come of a request so far. */
struct upload {
	struct br_text body;
	bool too_large;
	struct br_sink *sink; /* takes the body instead */
	bool bytes;	      /* there was one to, */
	int r;		      /* and how it went */
	struct br_error err;
};

static void take_body(struct upload *up, const char *data, size_t n)
{
	if (up->bytes) {
		if (up->r >= 0)
			up->r = up->sink->take(up->sink, data, n, &up->err);
		return;
	}
	/* the rest of a body that is too large is read and dropped, so that the client reads our answer */
	up->too_large = up->too_large || up->body.len + n > BR_API_BODY_MAX;
	if (up->too_large)
		br_text_done(&up->body);
	else
		br_text_add_bytes(&up->body, data, n);
}

/* Who may open the socket may command the daemon. */
static struct br_who local_who(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct br_who who = { .name = "local", .scope = BR_SCOPE_ADMIN };
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (info && !getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		snprintf(who.name, sizeof(who.name), "local:%u", cred.uid);
	return who;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
	const char *version, const char *data, size_t *n, void **state)
{
	struct upload *up = *state;
	struct br_call call = { .api = cls, .connection = connection, .who = local_who(connection) };
	enum MHD_Result r;

	if (!up) {
		up = calloc(1, sizeof(*up));
		*state = up;
		if (!up)
			return MHD_NO;
		up->r = br_api_begin(&call, method, url, &up->sink, &up->err);
		up->bytes = up->sink || up->r < 0;
		return MHD_YES;
	}
	if (*n) {
		take_body(up, data, *n);
		*n = 0;
		return MHD_YES;
	}
	if (up->body.failed)
		return MHD_NO;
	if (up->bytes)
		br_api_finish(&call, url, up->sink, up->r, &up->err);
	else
		br_api_route(&call, method, url, up->body.buf ? up->body.buf : "", up->body.len, up->too_large);
	if (!call.response)
		return MHD_NO; /* memory is out: the connection is closed */
	r = MHD_queue_response(connection, call.status, call.response);
	MHD_destroy_response(call.response);
	return r;
}

static void completed(void *cls, struct MHD_Connection *connection, void **state,
	enum MHD_RequestTerminationCode toe)
{
	struct upload *up = *state;

	if (up) {
		br_text_done(&up->body);
		if (up->sink)
			up->sink->free(up->sink);
	}
	free(up);
	*state = NULL;
}

static void news(void *ctx, const struct br_event *ev)
{
	struct br_api *api = ctx;

	pthread_mutex_lock(&api->news_lock);
	api->last_seq = ev->seq;
	pthread_cond_broadcast(&api->news);
	pthread_mutex_unlock(&api->news_lock);
}

static struct br_api *new_api(const struct br_api_options *opt)
{
	struct br_api *api = calloc(1, sizeof(*api));
	pthread_condattr_t attr;

	if (!api)
		return NULL;
	api->fleet = opt->fleet;
	api->boots = opt->boots;
	api->disks = opt->disks;
	api->shares = opt->shares;
	api->persist = opt->persist;
	api->consoles = opt->consoles;
	api->flash = opt->flash;
	api->reservations = opt->reservations;
	api->power = opt->power;
	api->store = opt->store;
	api->usb = opt->usb;
	api->usb_ctx = opt->usb_ctx;
	api->watch = opt->watch;
	api->feed = opt->feed;
	api->logs = opt->logs;
	api->receiver = opt->receiver;
	api->event_text = opt->event_text;
	api->status = opt->status;
	api->status.interface = strdup(opt->status.interface ? opt->status.interface : "");
	api->status.dhcp = strdup(opt->status.dhcp ? opt->status.dhcp : "");
	api->socket_path = strdup(opt->socket_path);
	api->started_ns = br_now_ns();
	pthread_mutex_init(&api->news_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&api->news, &attr);
	pthread_condattr_destroy(&attr);
	return api;
}

static void free_api(struct br_api *api)
{
	pthread_cond_destroy(&api->news);
	pthread_mutex_destroy(&api->news_lock);
	free((char *)(uintptr_t)api->status.interface);
	free((char *)(uintptr_t)api->status.dhcp);
	free(api->socket_path);
	free(api);
}

struct start {
	struct br_api *api;
	int fd;
};

/* Its threads inherit the rights of the one that starts it. */
static void start_daemon(void *arg)
{
	struct start *s = arg;
	struct br_api *api = s->api;

	api->daemon = MHD_start_daemon(
		MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0,
		NULL, NULL, answer, api, MHD_OPTION_LISTEN_SOCKET, s->fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_COMPLETED,
		completed, NULL, MHD_OPTION_END);
}

static json_t *feed_board(void *ctx, int64_t board_id)
{
	struct br_api *api = ctx;
	struct br_board board;

	return br_board_by_id(api->fleet, board_id, &board) < 0 ? NULL : br_api_board_json(api, &board);
}

static json_t *feed_status(void *ctx)
{
	return br_api_status_json(ctx);
}

static json_t *feed_reservations(void *ctx)
{
	return br_api_reservations_json(ctx);
}

/* What there is besides the socket: tokens, the feed, the web server. Takes the door. */
static int start_web(struct br_api *api, struct br_web_door *door, struct br_error *err)
{
	const struct br_feed_sources sources = { .board = feed_board, .status = feed_status, .reservations = feed_reservations, .ctx = api };
	int r = br_access_new(api->fleet, &api->access, err);

	if (r >= 0) {
		api->tally = br_tally_new(api->fleet);
		api->metrics = br_metrics_add(br_api_metrics, api);
		if (!api->tally || !api->metrics)
			r = br_error_set(err, ENOMEM, "out of memory");
	}
	if (r >= 0 && api->feed && br_feed_start(api->feed, &sources))
		r = br_error_set(err, ENOMEM, "the live feed does not start: out of memory");
	if (r < 0)
		br_web_door_close(door);
	return r < 0 || !door ? r : br_web_start(api, door, &api->web, err);
}

int br_api_start(const struct br_api_options *opt, struct br_api **ret, struct br_error *err)
{
	struct br_api *api = new_api(opt);
	int fd, r;

	if (!api || !api->socket_path || !api->status.interface || !api->status.dhcp) {
		if (api)
			free_api(api);
		br_web_door_close(opt->door);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	fd = br_api_socket_listen(opt->socket_path, err);
	if (fd < 0) {
		br_web_door_close(opt->door);
		free_api(api);
		return fd;
	}
	api->listener = br_event_listen(opt->fleet, news, api);
	r = start_web(api, opt->door, err);
	if (r < 0) {
		close(fd);
		br_api_stop(api);
		return r;
	}
	r = br_thread_call(start_daemon, &(struct start){ api, fd });
	if (r || !api->daemon) {
		close(fd);
		br_api_stop(api);
		return br_error_set(err, EIO, "socket %s: the HTTP server did not start", opt->socket_path);
	}
	*ret = api;
	return 0;
}

bool br_api_ending(struct br_api *api)
{
	bool ending;

	pthread_mutex_lock(&api->news_lock);
	ending = api->stopping;
	pthread_mutex_unlock(&api->news_lock);
	return ending;
}

/* Followers get the end of their stream; those that do not take it are cut off. */
static void end_followers(struct br_api *api)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += FAREWELL_S;
	pthread_mutex_lock(&api->news_lock);
	api->stopping = true;
	pthread_cond_broadcast(&api->news);
	while (api->n_followers) {
		if (pthread_cond_timedwait(&api->news, &api->news_lock, &until))
			break;
	}
	pthread_mutex_unlock(&api->news_lock);
}

void br_api_stop(struct br_api *api)
{
	if (!api)
		return;
	unlink(api->socket_path);
	end_followers(api);
	br_feed_stop(api->feed);
	br_metrics_remove(api->metrics);
	br_tally_free(api->tally);
	br_web_stop(api->web);
	if (api->daemon)
		MHD_stop_daemon(api->daemon); /* closes the socket, waits for the threads */
	if (api->listener)
		br_event_unlisten(api->fleet, api->listener);
	br_access_free(api->access);
	free_api(api);
}
