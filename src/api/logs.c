/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/logs: what is asked for. */
#include "api/logs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/addr.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "syslog/receiver.h"

#define LIMIT_DEFAULT 1000
#define SEARCH_NS (30 * BR_S)

static int have_logs(const struct br_call *call, struct br_error *err)
{
	return call->api->logs ? 0 : br_error_set(err, EOPNOTSUPP, "no logs are kept here: 'logs = off' in bramble.conf, or they cannot be opened");
}

void br_log_query_free(struct br_log_query *q)
{
	if (!q)
		return;
	br_logs_pattern_free(q->pattern);
	free(q->boards);
	free(q->stream);
	free(q->seqs);
	free(q);
}

BR_DEFINE_CLEANUP(struct br_log_query *, br_log_query_free);

static int add_board(void *ctx, const struct br_board *board)
{
	struct br_log_query *q = ctx;

	if (br_array_reserve(&q->boards, &q->cap_boards, q->n_boards + 1, sizeof(q->boards[0])) < 0)
		return -ENOMEM;
	q->boards[q->n_boards++] = board->id;
	return 0;
}

/* A selector, or an address: that of a stranger has no other name. */
static int take_boards(struct br_call *call, struct br_log_query *q, struct br_error *err)
{
	const char *text = br_call_param(call, "boards");
	int r;

	if (!text || !*text)
		return 0;
	if (!br_ip_parse(text, &q->filter.ip))
		return 0;
	r = br_call_select(call, text, add_board, q, err);
	if (r >= 0 && !q->n_boards) {
		q->some = true; /* a selector that matches nobody now */
		r = add_board(q, &(struct br_board){ .id = INT64_MAX });
	}
	q->filter.boards = q->boards;
	q->filter.n_boards = q->n_boards;
	return r < 0 && !err->code ? br_error_set(err, -r, "boards: %s", strerrordesc_np(-r)) : r;
}

static int take_sources(const char *text, struct br_log_query *q, struct br_error *err)
{
	char word[24], vis[100];

	while (text && *text) {
		size_t n = strcspn(text, ",");
		enum br_logs_source source;

		snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : sizeof(word) - 1), text);
		if (br_logs_source_parse(word, &source) < 0)
			return br_error_set(err, EINVAL, "source '%s': there are bramble, syslog, kernel, uboot, bootloader, serial and stream",
				br_vis(vis, sizeof(vis), word, strlen(word)));
		q->filter.sources |= 1u << source;
		text += n + (text[n] == ',');
	}
	return 0;
}

/* What is typed at a console is seen there, so these lines need what the console needs (docs/security.md). */
#define CONSOLE_SOURCES (1u << BR_LOGS_SERIAL | 1u << BR_LOGS_UBOOT | 1u << BR_LOGS_BOOTLOADER)

static int leave_consoles_out(const struct br_call *call, struct br_log_query *q, struct br_error *err)
{
	if (br_call_may_operate(call, NULL) >= 0)
		return 0;
	if (!q->filter.sources)
		q->filter.sources = (1u << BR_LOGS_SOURCES) - 1;
	q->filter.sources &= ~CONSOLE_SOURCES;
	return q->filter.sources ? 0 : br_call_may_operate(call, err);
}

static int take_severity(const char *text, struct br_log_query *q, struct br_error *err)
{
	char vis[60];

	if (!text || !*text)
		return 0;
	for (unsigned i = 0; br_logs_severity_word(i); i++) {
		if (!strcmp(text, br_logs_severity_word(i))) {
			q->filter.max_severity = i;
			q->filter.has_severity = true;
			return 0;
		}
	}
	return br_error_set(err, EINVAL, "severity '%s': there are emerg, alert, crit, err, warning, notice, info and debug",
		br_vis(vis, sizeof(vis), text, strlen(text)));
}

/* "2026-11-21T10:00:38[.5][Z]", or with a blank for the T: UTC. */
static int parse_time(const char *text, uint64_t *ret_ns)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, text[0] && strchr(text, 'T') ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
	uint64_t fraction = 0, unit = BR_S;
	time_t t;

	if (!rest)
		return -EINVAL;
	if (*rest == '.') {
		for (rest++; *rest >= '0' && *rest <= '9'; rest++) {
			unit /= 10;
			fraction += (uint64_t)(*rest - '0') * unit;
		}
	}
	if (*rest && strcmp(rest, "Z") != 0)
		return -EINVAL;
	t = timegm(&tm);
	if (t < 0)
		return -ERANGE;
	*ret_ns = (uint64_t)t * BR_S + fraction;
	return 0;
}

/* A mark, a time, or how long ago. after: where a mark is exact, the number of the line before it. */
static int take_when(struct br_call *call, const char *key, uint64_t *ret_ns, uint64_t *after, struct br_error *err)
{
	const char *text = br_call_param(call, key);
	struct br_logs_mark mark;
	uint64_t ns, wall = br_wall_ns();
	char vis[100];

	if (!text || !*text)
		return 0;
	if (br_logs_mark_ok(text)) {
		if (br_logs_mark_get(call->api->logs, text, &mark) < 0)
			return br_error_set(err, ENOENT, "%s: no mark is named '%s'; 'bramble log marks' shows them", key,
				br_vis(vis, sizeof(vis), text, strlen(text)));
		if (after)
			*after = mark.seq > *after ? mark.seq : *after;
		else
			*ret_ns = mark.wall_ns;
		return 0;
	}
	if (!br_parse_duration(text, &ns)) {
		*ret_ns = ns < wall ? wall - ns : 1;
		return 0;
	}
	if (!parse_time(text, ret_ns))
		return 0;
	return br_error_set(err, EINVAL, "%s '%s': a mark, a time as 2026-11-21T10:00:38Z, or how long ago as 5m is needed", key,
		br_vis(vis, sizeof(vis), text, strlen(text)));
}

static int take_pattern(struct br_call *call, struct br_log_query *q, struct br_error *err)
{
	const char *re = br_call_param(call, "grep");
	uint64_t fold = 0;
	int r = br_call_number(call, "ignore_case", 1, &fold, err);

	if (r < 0 || !re || !*re)
		return r;
	r = br_logs_pattern_new(re, fold, &q->pattern, err);
	q->filter.pattern = q->pattern;
	return r;
}

static int take_flags(struct br_call *call, struct br_log_query *q, struct br_error *err)
{
	uint64_t follow = 0, events = 0;
	int r = br_call_number(call, "follow", 1, &follow, err);

	if (r >= 0)
		r = br_call_number(call, "events", 1, &events, err);
	q->follow = follow;
	q->events = events;
	q->limit = follow ? 0 : LIMIT_DEFAULT;
	if (r >= 0)
		r = br_call_number(call, "limit", BR_LOGS_LIMIT_MAX, &q->limit, err);
	if (r >= 0)
		r = br_call_number(call, "after", INT64_MAX, &q->filter.after, err);
	return r;
}

static int read_query(struct br_call *call, struct br_log_query *q, struct br_error *err)
{
	const char *stream = br_call_param(call, "stream");
	int r = take_flags(call, q, err);

	if (r >= 0)
		r = take_boards(call, q, err);
	if (r >= 0)
		r = take_sources(br_call_param(call, "source"), q, err);
	if (r >= 0)
		r = leave_consoles_out(call, q, err);
	if (r >= 0)
		r = take_severity(br_call_param(call, "severity"), q, err);
	if (r >= 0)
		r = take_when(call, "since", &q->filter.since_ns, &q->filter.after, err);
	if (r >= 0)
		r = take_when(call, "until", &q->filter.until_ns, NULL, err);
	if (r >= 0)
		r = take_pattern(call, q, err);
	if (r < 0 || !stream || !*stream)
		return r;
	q->stream = strdup(stream);
	q->filter.stream = q->stream;
	return q->stream ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

/* What a follower sees first, and where it goes on: all since 'since' or 'after', the newest 'limit', or nothing that was. */
static int start_following(struct br_call *call, struct br_log_query *q, struct br_error *err)
{
	struct br_logs_stats st;
	bool from_then = q->filter.since_ns || q->filter.after || br_call_param(call, "since") || br_call_param(call, "after");
	int r = 0;

	br_logs_stats(call->api->logs, &st);
	if (q->limit) {
		q->filter.limit = q->limit;
		r = br_logs_find(call->api->logs, &q->filter, br_now_ns() + SEARCH_NS, &q->seqs, &q->n_seqs, &q->more, err);
		/* what came meanwhile is given by the following */
		while (r >= 0 && q->n_seqs && q->seqs[q->n_seqs - 1] > st.last_seq)
			q->n_seqs--;
	}
	if (q->limit || !from_then)
		q->filter.after = st.last_seq;
	return r;
}

static int logs(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_log_query_freep) struct br_log_query *q = calloc(1, sizeof(*q));
	int r = q ? have_logs(call, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r >= 0)
		r = read_query(call, q, err);
	if (r < 0)
		return r;
	if (q->follow) {
		r = start_following(call, q, err);
	} else {
		q->filter.limit = q->limit;
		r = br_logs_find(call->api->logs, &q->filter, br_now_ns() + SEARCH_NS, &q->seqs, &q->n_seqs, &q->more, err);
	}
	return r < 0 ? r : br_log_stream(call, br_take(q), err);
}

/* ---- marks ---- */

static json_t *mark_json(const struct br_logs_mark *m)
{
	return json_pack("{s:s, s:o, s:I}", "name", m->name, "time", br_api_time(m->wall_ns), "seq", (json_int_t)m->seq);
}

static int mark(struct br_call *call, struct br_error *err)
{
	const char *name = json_string_value(json_object_get(call->body, "name"));
	struct br_logs_mark m;
	int r = have_logs(call, err);

	if (r < 0)
		return r;
	if (!name || json_object_size(call->body) != 1)
		return br_error_set(err, EINVAL, "the body must be {\"name\": NAME}");
	r = br_logs_mark_set(call->api->logs, name, &m, err);
	if (r >= 0)
		call->json = mark_json(&m);
	return r;
}

static int marks(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_freep) struct br_logs_mark *all = NULL;
	size_t n = 0;
	int r = have_logs(call, err);

	if (r < 0)
		return r;
	if (br_logs_marks(call->api->logs, &all, &n) < 0)
		return br_error_set(err, ENOMEM, "out of memory");
	call->json = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(call->json, mark_json(&all[i]));
	return 0;
}

static int unmark(struct br_call *call, struct br_error *err)
{
	int r = have_logs(call, err);

	if (r >= 0)
		r = br_logs_mark_remove(call->api->logs, call->name, err);
	if (r >= 0)
		call->json = json_object();
	return r;
}

/* ---- status ---- */

static json_t *ports_json(struct br_receiver *rx)
{
	struct br_receiver_stats st;

	if (!rx)
		return json_null();
	br_receiver_stats(rx, &st);
	return json_pack("{s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I}", "syslog_port", (int)br_receiver_syslog_port(rx), "netconsole_port",
		(int)br_receiver_netconsole_port(rx), "stream_port", (int)br_receiver_stream_port(rx), "datagrams",
		(json_int_t)st.datagrams, "dropped", (json_int_t)st.dropped, "malformed", (json_int_t)st.malformed, "connections",
		(json_int_t)st.connections, "refused", (json_int_t)st.refused);
}

static int status(struct br_call *call, struct br_error *err)
{
	struct br_logs_stats st;
	json_t *sources = json_object();
	int r = have_logs(call, err);

	if (r < 0) {
		json_decref(sources);
		return r;
	}
	br_logs_stats(call->api->logs, &st);
	for (unsigned i = 0; i < BR_LOGS_SOURCES; i++)
		json_object_set_new(sources, br_logs_source_word(i), json_integer((json_int_t)st.by_source[i]));
	call->json = json_pack("{s:I, s:I, s:o, s:I, s:{s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:s?}",
		"lines", (json_int_t)st.lines, "bytes", (json_int_t)st.bytes, "by_source", sources, "cut", (json_int_t)st.cut, "lost",
		"rate", (json_int_t)st.lost_rate, "socket", (json_int_t)st.lost_socket, "disk", (json_int_t)st.lost_disk, "held",
		(json_int_t)st.held, "disk_bytes", (json_int_t)st.disk_bytes, "raw_bytes", (json_int_t)st.raw_bytes, "segments",
		(json_int_t)st.segments, "blocks", (json_int_t)st.blocks, "first_seq", (json_int_t)st.first_seq, "last_seq",
		(json_int_t)st.last_seq, "first_at", br_api_time(st.first_ns), "removed", (json_int_t)st.removed, "damaged",
		(json_int_t)st.damaged, "listening", ports_json(call->api->receiver), "problem",
		st.trouble.code ? st.trouble.text : NULL);
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

const struct br_route br_api_logs[] = {
	{ "GET", "/v1/logs", false, logs,
		{ "boards", "source", "stream", "severity", "grep", "ignore_case", "since", "until", "after", "limit", "follow", "events" },
		.waits = "", .summary = "Lines of boards' logs, as JSON lines" },
	{ "GET", "/v1/logs/status", false, status, .summary = "What the log store holds, took and lost" },
	{ "GET", "/v1/logs/marks", false, marks, .summary = "Marks: names for moments of the log" },
	{ "POST", "/v1/logs/mark", true, mark, .unaudited = true, .summary = "Makes a mark, or moves it to now" },
	{ "DELETE", "/v1/logs/marks/NAME", false, unmark, .unaudited = true, .summary = "Removes a mark" },
	{ 0 },
};
