/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/events: the past as an array, and what comes as a stream of JSON lines. A follower keeps only a cursor
 * and reads on from the fleet whenever there is news: no queue of its own that could overflow, nothing lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/call.h"
#include "api/eventjson.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 100000
#define AT_ONCE_MAX 2000 /* events of an answer that is made whole; a longer one is made as it is taken */
#define BATCH 256	 /* events read at a time */
#define HEARTBEAT_S 10	 /* an empty line so often, to notice a client that left */

json_t *br_event_to_json(const struct br_event *ev)
{
	return json_pack("{s:I, s:o, s:s?, s:o, s:s, s:O?}", "seq", (json_int_t)ev->seq, "time",
		br_api_time(ev->wall_ns), "board", ev->board_name[0] ? ev->board_name : NULL, "boot",
		ev->boot ? json_integer((json_int_t)ev->boot) : json_null(), "type", ev->type, "fields", ev->fields);
}

json_t *br_event_json_with_text(const struct br_event *ev, const char *(*event_text)(const struct br_event *ev, char *out, size_t size))
{
	json_t *json = br_event_to_json(ev);
	char buf[1000], vis[sizeof(buf) * 4];
	const char *text;
	json_t *words;

	if (!json || !event_text)
		return json;
	text = event_text(ev, buf, sizeof(buf));
	words = json_string(text);
	if (!words) /* cut amid a character */
		words = json_string(br_vis(vis, sizeof(vis), text, strlen(text)));
	json_object_set_new(json, "text", words);
	return json;
}

struct listing {
	struct br_api *api;
	json_t *out;
};

static int add_event(void *ctx, const struct br_event *ev)
{
	struct listing *l = ctx;
	json_t *json = br_event_json_with_text(ev, l->api->event_text);

	return json && json_array_append_new(l->out, json) >= 0 ? 0 : -ENOMEM;
}

struct follower {
	struct br_api *api;
	struct br_event_filter filter; /* after: the cursor */
	char *type;
	struct br_text out; /* lines to send, from 'sent' on */
	size_t sent, n_batch;
	bool more; /* the last batch was full */
	/* of a list that ends, an array */
	uint64_t last, n_given, n_max;
	bool opened, closed;
};

static int add_line(void *ctx, const struct br_event *ev)
{
	struct follower *f = ctx;
	json_t *json = br_event_json_with_text(ev, f->api->event_text);
	br_cleanup(br_freep) char *line = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (!line)
		return -ENOMEM;
	br_text_add(&f->out, line);
	br_text_add(&f->out, "\n");
	f->filter.after = ev->seq;
	f->more = ++f->n_batch >= BATCH;
	return f->out.failed ? -ENOMEM : f->more;
}

/* Reads the next lines, waiting for some. False: the end. */
static bool fill(struct follower *f)
{
	struct br_api *api = f->api;
	struct timespec until;
	uint64_t seen;
	bool timed_out = false, stopping;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += HEARTBEAT_S;
	f->sent = f->out.len = 0;
	while (!f->out.len) {
		pthread_mutex_lock(&api->news_lock);
		while (!f->more && !api->stopping && api->last_seq <= f->filter.after && !timed_out)
			timed_out = pthread_cond_timedwait(&api->news, &api->news_lock, &until) != 0;
		stopping = api->stopping;
		seen = api->last_seq;
		pthread_mutex_unlock(&api->news_lock);
		if (stopping)
			return false;
		f->n_batch = 0;
		f->more = false;
		if (br_event_query(api->fleet, &f->filter, add_line, f, NULL) < 0)
			return false;
		/* what did not match is behind us, too */
		if (!f->more && f->filter.after < seen)
			f->filter.after = seen;
		if (timed_out && !f->out.len)
			br_text_add(&f->out, "\n");
	}
	return !f->out.failed;
}

static ssize_t give(struct follower *f, char *buf, size_t max)
{
	size_t n = f->out.len - f->sent < max ? f->out.len - f->sent : max;

	memcpy(buf, f->out.buf + f->sent, n);
	f->sent += n;
	return (ssize_t)n;
}

static ssize_t follow_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct follower *f = cls;

	if (f->sent == f->out.len && !fill(f))
		return MHD_CONTENT_READER_END_OF_STREAM;
	return give(f, buf, max);
}

/* The next of a list, with a comma before it. */
static int add_item(void *ctx, const struct br_event *ev)
{
	struct follower *f = ctx;

	if (ev->seq > f->last || f->n_given >= f->n_max)
		return 1;
	if (f->n_given++)
		br_text_add(&f->out, ",");
	return add_line(f, ev);
}

static int fill_list(struct follower *f)
{
	int r;

	f->sent = f->out.len = 0;
	if (!f->opened)
		br_text_add(&f->out, "[");
	f->opened = true;
	f->n_batch = 0;
	f->more = false;
	r = br_event_query(f->api->fleet, &f->filter, add_item, f, NULL);
	f->closed = !f->more;
	if (f->closed)
		br_text_add(&f->out, "]\n");
	return r < 0 || f->out.failed || br_api_ending(f->api) ? -EIO : 0;
}

static ssize_t list_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct follower *f = cls;

	if (f->sent == f->out.len && f->closed)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (f->sent == f->out.len && fill_list(f) < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	return give(f, buf, max);
}

static void follow_free(void *cls)
{
	struct follower *f = cls;

	pthread_mutex_lock(&f->api->news_lock);
	f->api->n_followers--;
	pthread_cond_broadcast(&f->api->news); /* a stop waits for this */
	pthread_mutex_unlock(&f->api->news_lock);
	br_text_done(&f->out);
	free(f->type);
	free(f);
}

static int first_seq(void *ctx, const struct br_event *ev)
{
	*(uint64_t *)ctx = ev->seq;
	return 1;
}

/* From where a follower begins: behind 'after', at the newest 'limit', or only what comes. */
static int start_cursor(struct br_call *call, const struct br_event_filter *filter, bool has_after, uint64_t *ret,
	struct br_error *err)
{
	uint64_t first = 0, last = br_event_last(call->api->fleet);
	int r;

	*ret = has_after ? filter->after : last;
	if (!filter->limit)
		return 0;
	r = br_event_query(call->api->fleet, filter, first_seq, &first, err);
	if (r < 0)
		return r;
	if (first)
		*ret = first - 1;
	return 0;
}

/* Those that go on, or an array of those that are there now. */
static int stream(struct br_call *call, const struct br_event_filter *filter, bool live, struct br_error *err)
{
	struct follower *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_lock(&call->api->news_lock);
	call->api->n_followers++;
	pthread_mutex_unlock(&call->api->news_lock);
	f->api = call->api;
	f->filter = *filter;
	f->type = filter->type ? strdup(filter->type) : NULL;
	f->filter.type = f->type;
	f->more = true; /* look before waiting */
	f->last = br_event_last(call->api->fleet);
	f->n_max = filter->limit;
	r = start_cursor(call, filter, br_call_param(call, "after") != NULL, &f->filter.after, err);
	f->filter.limit = 0;
	if (r < 0 || (filter->type && !f->type)) {
		follow_free(f);
		return r < 0 ? r : br_error_set(err, ENOMEM, "out of memory");
	}
	return br_call_stream(call, MHD_SIZE_UNKNOWN, live ? "application/jsonl" : "application/json", live ? follow_read : list_read, follow_free, f,
		err);
}

static int read_filter(struct br_call *call, struct br_event_filter *f, bool *ret_follow, struct br_error *err)
{
	const char *board = br_call_param(call, "board");
	struct br_board b;
	uint64_t limit, yes = 0;
	int r = br_call_number(call, "follow", 1, &yes, err);

	limit = yes ? 0 : LIMIT_DEFAULT;
	if (r >= 0 && board && br_strcpy(call->name, sizeof(call->name), board) < 0)
		r = br_error_set(err, ENOENT, "no board has a name that long");
	if (r >= 0 && board)
		r = br_call_board(call, &b, err);
	if (r < 0)
		return r;
	f->board_id = board ? b.id : 0;
	f->type = br_call_param(call, "type");
	r = br_call_number(call, "after", INT64_MAX, &f->after, err);
	if (r >= 0)
		r = br_call_number(call, "boot", INT64_MAX, &f->boot, err);
	if (r >= 0)
		r = br_call_number(call, "limit", LIMIT_MAX, &limit, err);
	if (r >= 0 && !limit && !yes)
		r = br_error_set(err, EINVAL, "parameter 'limit': a number from 1 to %d is needed", LIMIT_MAX);
	f->limit = limit;
	*ret_follow = yes;
	return r;
}

static int events(struct br_call *call, struct br_error *err)
{
	struct br_event_filter filter = { 0 };
	bool live = false;
	int r = read_filter(call, &filter, &live, err);

	if (r < 0)
		return r;
	if (live || filter.limit > AT_ONCE_MAX)
		return stream(call, &filter, live, err);
	call->json = json_array();
	return br_event_query(call->api->fleet, &filter, add_event, &(struct listing){ call->api, call->json }, err);
}

const struct br_route br_api_events[] = {
	{ "GET", "/v1/events", .run = events, .params = { "board", "type", "after", "limit", "boot", "follow" }, .gives = "events",
		.summary = "What happened; with follow=1 as JSON lines that go on" },
	{ 0 },
};
