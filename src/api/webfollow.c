/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/live: a follower of the feed as server-sent events. All of them are served by the thread of the connections. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/live.h"
#include "api/rights.h"
#include "api/webserver.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define BLOCK 8192

struct following {
	struct MHD_Connection *connection;
	struct br_follower *follower;
	struct br_access_token *token;
};

static const struct {
	const char *name;
	enum br_topic topic;
} topics[] = {
	{ "boards", BR_TOPIC_BOARDS },
	{ "events", BR_TOPIC_EVENTS },
	{ "status", BR_TOPIC_STATUS },
	{ "reservations", BR_TOPIC_RESERVATIONS },
};

static int parse_topics(const char *text, unsigned *ret, struct br_error *err)
{
	char vis[60];

	*ret = 0;
	for (size_t i = 0; !text && i < BR_ARRAY_SIZE(topics); i++)
		*ret |= topics[i].topic;
	while (text && *text) {
		size_t n = strcspn(text, ","), i = 0;

		while (i < BR_ARRAY_SIZE(topics) && (strlen(topics[i].name) != n || strncmp(topics[i].name, text, n) != 0))
			i++;
		if (i == BR_ARRAY_SIZE(topics))
			return br_error_set(err, EINVAL, "topic '%s': there are boards, events, status and reservations",
				br_vis(vis, sizeof(vis), text, n));
		*ret |= topics[i].topic;
		text += n + (text[n] == ',');
	}
	return 0;
}

static ssize_t follow_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct following *f = cls;
	ssize_t n = -1;

	if (br_access_valid(f->token, (int64_t)(br_wall_ns() / BR_S)))
		n = br_follower_read(f->follower, buf, max);
	return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
}

static void follow_free(void *cls)
{
	struct following *f = cls;

	br_follower_free(f->follower);
	br_access_unref(f->token);
	free(f);
}

static void sleep_now(void *ctx)
{
	struct following *f = ctx;

	MHD_suspend_connection(f->connection);
}

static void wake_up(void *ctx)
{
	struct following *f = ctx;

	MHD_resume_connection(f->connection);
}

static char *hello_of(const struct br_call *call)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:o}", "version", BRAMBLE_VERSION, "who", call->who.name, "scope", br_scope_name(call->who.scope),
		"time", br_api_time(br_wall_ns()));
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	return text;
}

/* logs=BOARD: its id. */
static int logs_of(struct br_call *call, struct br_follower_options *opt, struct br_error *err)
{
	const char *name = br_call_param(call, "logs");
	struct br_board board;
	int r;

	if (!name)
		return 0;
	r = br_call_may_operate(call, err); /* lines of consoles are among them */
	if (r < 0)
		return r;
	r = br_board_by_name(call->api->fleet, name, &board);
	if (r < 0)
		return br_error_set(err, -r, "logs: there is no such board");
	opt->topics |= BR_TOPIC_LOGS;
	opt->logs_of = board.id;
	return 0;
}

int br_web_follow(struct br_web_request *q, struct MHD_Response **ret)
{
	br_cleanup(br_freep) char *hello = hello_of(&q->call);
	struct br_follower_options opt = {
		.last_id = MHD_lookup_connection_value(q->call.connection, MHD_HEADER_KIND, "Last-Event-ID"),
		.hello = hello,
		.sleep = sleep_now,
		.wake = wake_up,
	};
	struct following *f;
	int r = br_api_may_read(&q->call, &q->err);

	if (r >= 0)
		r = parse_topics(br_call_param(&q->call, "topics"), &opt.topics, &q->err);
	if (r >= 0)
		r = logs_of(&q->call, &opt, &q->err);
	if (r < 0)
		return r;
	f = hello && q->web->api->feed ? calloc(1, sizeof(*f)) : NULL;
	if (!f)
		return br_error_set(&q->err, ENOMEM, "out of memory");
	f->connection = q->call.connection;
	opt.ctx = f;
	f->follower = br_follower_new(q->web->api->feed, &opt);
	*ret = f->follower ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, follow_read, f, follow_free) : NULL;
	if (!*ret) {
		br_follower_free(f->follower);
		free(f);
		return br_error_set(&q->err, ENOMEM, "out of memory");
	}
	if (q->token)
		atomic_fetch_add(&q->token->refs, 1);
	f->token = q->token;
	MHD_add_response_header(*ret, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
	MHD_add_response_header(*ret, "X-Accel-Buffering", "no"); /* proxies before us pass it on at once */
	return 0;
}
