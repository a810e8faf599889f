/* SPDX-License-Identifier: Apache-2.0 */
/* The answer to GET /v1/logs: what was found, then what comes, with the boards' events between by their time. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/eventjson.h"
#include "api/logs.h"
#include "base/addr.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define PIECE 65536	/* bytes made at a time */
#define LINES_AT_ONCE 4096
#define HEARTBEAT_NS (10 * BR_S)
#define NAMES 1024	/* of boards, remembered */
#define WAIT_MS 500
#define LOOK_NS (200 * BR_MS) /* without a line found */
#define EVENTS_MAX 10000 /* before and among what was found */

struct name {
	int64_t id;
	uint64_t until_ns;
	char name[BR_BOARD_NAME_MAX + 1];
};

struct event_line {
	uint64_t wall_ns;
	char *json;
};

struct log_stream {
	struct br_api *api;
	struct br_log_query *q;
	struct br_logs_reader *reader;
	size_t at; /* of q->seqs */
	uint64_t found_seq; /* of the last line given of them */
	struct event_line *events; /* in order of their time; those given are NULL */
	size_t n_events, cap_events, next_event;
	uint64_t event_seq; /* followers: the last one given */
	struct br_text out;
	size_t sent;
	uint64_t beat_ns;
	bool header; /* to be given first: older ones were left out */
	struct name names[NAMES];
};

static void done(void *ctx)
{
	struct log_stream *s = ctx;

	for (size_t i = 0; i < s->n_events; i++)
		free(s->events[i].json);
	free(s->events);
	br_logs_reader_free(s->reader);
	br_log_query_free(s->q);
	br_text_done(&s->out);
	free(s);
}

/* ---- a line as JSON ---- */

/* The board's name, "" for one that is no more. */
static const char *name_of(struct log_stream *s, int64_t id)
{
	struct name *n = &s->names[(uint64_t)id % NAMES];
	uint64_t now = br_now_ns();
	struct br_board b;

	if (n->id == id && now < n->until_ns)
		return n->name;
	n->id = id;
	n->until_ns = now + 10 * BR_S;
	n->name[0] = 0;
	if (br_board_by_id(s->api->fleet, id, &b) >= 0)
		br_strcpy(n->name, sizeof(n->name), b.name);
	return n->name;
}

static void add_time(struct br_text *t, uint64_t wall_ns)
{
	time_t sec = (time_t)(wall_ns / BR_S);
	struct tm tm;
	char text[40] = "";

	if (gmtime_r(&sec, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		br_text_addf(t, "%s.%06uZ", text, (unsigned)(wall_ns % BR_S / 1000));
}

/* Quoted; clean text has no controls but the tab. */
static void add_quoted(struct br_text *t, const char *data, size_t n)
{
	size_t start = t->len;
	struct br_text raw = BR_TEXT_NULL;

	br_text_add(t, "\"");
	br_text_add_clean(&raw, data, n);
	t->failed |= raw.failed;
	for (size_t i = 0; i < raw.len;) {
		size_t plain = strcspn(raw.buf + i, "\"\\\t");

		br_text_add_bytes(t, raw.buf + i, plain);
		i += plain;
		if (i < raw.len)
			br_text_add(t, raw.buf[i] == '\t' ? "\\t" : raw.buf[i] == '"' ? "\\\"" : "\\\\");
		i += i < raw.len;
	}
	br_text_add(t, "\"");
	/* the bytes themselves, where the text is not all of them */
	if (raw.len != n && t->len > start) {
		br_text_add(t, ",\"text_hex\":\"");
		for (size_t i = 0; i < n; i++)
			br_text_addf(t, "%02x", (unsigned char)data[i]);
		br_text_add(t, "\"");
	}
	br_text_done(&raw);
}

static void add_word(struct br_text *t, const char *key, const char *data, size_t n)
{
	struct br_text clean = BR_TEXT_NULL;

	br_text_addf(t, ",\"%s\":", key);
	if (!n) {
		br_text_add(t, "null");
		return;
	}
	br_text_add_vis(&clean, data, n);
	br_text_add(t, "\"");
	for (size_t i = 0; i < clean.len; i++) {
		if (clean.buf[i] == '"' || clean.buf[i] == '\\')
			br_text_add(t, "\\");
		br_text_add_bytes(t, clean.buf + i, 1);
	}
	br_text_add(t, "\"");
	t->failed |= clean.failed;
	br_text_done(&clean);
}

static void add_line(struct log_stream *s, const struct br_logs_line *l)
{
	const char *board = l->board_id ? name_of(s, l->board_id) : "", *severity = br_logs_severity_word(l->severity);
	struct br_text *t = &s->out;
	char ip[BR_IP_TEXT] = "";

	br_text_addf(t, "{\"seq\":%" PRIu64 ",\"time\":\"", l->seq);
	add_time(t, l->wall_ns);
	br_text_add(t, "\"");
	add_word(t, "board", board, strlen(board));
	if (l->ip)
		br_ip_format(ip, l->ip);
	add_word(t, "ip", ip, strlen(ip));
	br_text_addf(t, ",\"source\":\"%s\"", br_logs_source_word(l->source));
	add_word(t, "severity", severity, severity ? strlen(severity) : 0);
	add_word(t, "stream", l->stream, l->n_stream);
	br_text_add(t, ",\"text\":");
	add_quoted(t, l->text, l->n_text);
	br_text_add(t, "}\n");
}

/* ---- events ---- */

static char *event_json(const struct log_stream *s, const struct br_event *ev)
{
	br_cleanup(json_decrefp) json_t *json = br_event_to_json(ev), *line = NULL;
	char words[600];

	if (json && s->api->event_text)
		json_object_set_new(json, "text", json_string(s->api->event_text(ev, words, sizeof(words))));
	line = json_pack("{s:O}", "event", json);
	return line ? json_dumps(line, JSON_COMPACT) : NULL;
}

static bool wanted_board(const struct log_stream *s, const struct br_event *ev)
{
	const struct br_logs_filter *f = &s->q->filter;
	bool any = !f->n_boards;

	for (size_t i = 0; i < f->n_boards && !any; i++)
		any = f->boards[i] == ev->board_id;
	return any && !f->ip && (!f->until_ns || ev->wall_ns < f->until_ns);
}

/* Of what is asked for before anything is streamed. */
static int keep_event(void *ctx, const struct br_event *ev)
{
	struct log_stream *s = ctx;
	struct event_line *e;

	s->event_seq = ev->seq;
	if (!wanted_board(s, ev))
		return 0;
	if (br_array_reserve(&s->events, &s->cap_events, s->n_events + 1, sizeof(s->events[0])) < 0)
		return -ENOMEM;
	e = &s->events[s->n_events];
	*e = (struct event_line){ ev->wall_ns, event_json(s, ev) };
	if (!e->json)
		return -ENOMEM;
	s->n_events++;
	return 0;
}

/* Events since the first line that is given; none of before it, or a list of a week would begin with a week of events. */
static int load_events(struct log_stream *s, struct br_error *err)
{
	struct br_event_filter f = { .since_wall_ns = s->q->filter.since_ns, .limit = EVENTS_MAX };
	struct br_logs_line line;

	if (s->q->limit && s->q->limit < EVENTS_MAX)
		f.limit = s->q->limit;
	s->event_seq = br_event_last(s->api->fleet);
	if (s->q->filter.n_boards == 1)
		f.board_id = s->q->filter.boards[0];
	if (s->q->more && s->q->n_seqs && !br_logs_reader_get(s->reader, s->q->seqs[0], &line))
		f.since_wall_ns = line.wall_ns;
	if (!s->q->n_seqs && !f.since_wall_ns && s->q->follow)
		return 0;
	return br_event_query(s->api->fleet, &f, keep_event, s, err);
}

static void give_events(struct log_stream *s, uint64_t until_ns)
{
	while (s->next_event < s->n_events && s->events[s->next_event].wall_ns <= until_ns) {
		struct event_line *e = &s->events[s->next_event++];

		br_text_add(&s->out, e->json);
		br_text_add(&s->out, "\n");
		free(e->json);
		e->json = NULL;
	}
}

static int give_event(void *ctx, const struct br_event *ev)
{
	struct log_stream *s = ctx;
	br_cleanup(br_freep) char *json = NULL;

	s->event_seq = ev->seq;
	if (!wanted_board(s, ev))
		return 0;
	json = event_json(s, ev);
	if (!json)
		return -ENOMEM;
	br_text_add(&s->out, json);
	br_text_add(&s->out, "\n");
	return s->out.len >= PIECE; /* the rest comes with the next piece */
}

static int new_events(struct log_stream *s)
{
	struct br_event_filter f = { .after = s->event_seq };

	if (!s->q->events || br_event_last(s->api->fleet) == s->event_seq)
		return 0;
	return br_event_query(s->api->fleet, &f, give_event, s, NULL);
}

/* ---- the stream ---- */

static void give_found(struct log_stream *s)
{
	struct br_logs_line line;

	while (s->at < s->q->n_seqs && s->out.len < PIECE) {
		if (br_logs_reader_get(s->reader, s->q->seqs[s->at++], &line) < 0)
			continue; /* it went by size or age since it was found */
		give_events(s, line.wall_ns);
		add_line(s, &line);
	}
	if (s->at == s->q->n_seqs)
		give_events(s, UINT64_MAX);
}

/* 1: something is there; 0: nothing came for a while; negative: the end. */
static int give_new(struct log_stream *s)
{
	struct br_logs_line line;
	uint64_t gone = 0, until_ns = br_now_ns() + LOOK_NS;
	int r = new_events(s);
	bool none = false;

	for (unsigned i = 0; i < LINES_AT_ONCE && s->out.len < PIECE && r >= 0 && !none; i++) {
		r = br_logs_reader_next(s->reader, &s->q->filter, &line, &gone);
		if (gone)
			br_text_addf(&s->out, "{\"gone\":%" PRIu64 "}\n", gone);
		if (r == 1)
			add_line(s, &line);
		none = r == 0;
		if (r == -EAGAIN) {
			r = 0;
			if (br_now_ns() > until_ns)
				break; /* an expression may be slow on many lines: heartbeats, and the daemon's end, do not wait for it */
		}
	}
	if (r < 0 || s->out.len || !none)
		return r < 0 ? r : s->out.len != 0;
	r = br_logs_wait(s->api->logs, s->q->filter.after, WAIT_MS);
	return r < 0 ? r : 0;
}

static bool fill(struct log_stream *s)
{
	s->out.len = s->sent = 0;
	if (s->header)
		br_text_add(&s->out, "{\"more\":true}\n");
	s->header = false;
	give_found(s);
	while (!s->out.len && s->q->follow) {
		uint64_t now = br_now_ns();
		int r;

		if (br_api_ending(s->api))
			return false;
		r = give_new(s);
		if (r < 0)
			return false;
		if (!s->out.len && now - s->beat_ns >= HEARTBEAT_NS)
			br_text_add(&s->out, "\n");
		if (s->out.len)
			s->beat_ns = now;
	}
	return s->out.len && !s->out.failed;
}

static ssize_t read_stream(void *ctx, uint64_t pos, char *buf, size_t max)
{
	struct log_stream *s = ctx;
	size_t n;

	if (s->sent == s->out.len && !fill(s))
		return s->out.failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
	n = s->out.len - s->sent < max ? s->out.len - s->sent : max;
	memcpy(buf, s->out.buf + s->sent, n);
	s->sent += n;
	return (ssize_t)n;
}

int br_log_stream(struct br_call *call, struct br_log_query *q, struct br_error *err)
{
	struct log_stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		br_log_query_free(q);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	s->api = call->api;
	s->q = q;
	s->header = q->more;
	s->beat_ns = br_now_ns();
	r = br_logs_reader_new(call->api->logs, &s->reader);
	if (r < 0)
		br_error_set(err, -r, "logs: %s", strerrordesc_np(-r));
	if (r >= 0 && q->events)
		r = load_events(s, err);
	if (r < 0) {
		done(s);
		return r;
	}
	return br_call_stream(call, MHD_SIZE_UNKNOWN, "application/jsonl", read_stream, done, s, err);
}
