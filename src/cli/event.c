/* SPDX-License-Identifier: Apache-2.0 */
/* bramble event: what happened, and what happens. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"

#define LINE_MAX_BYTES (4 << 20) /* of one event; a daemon sends no such */

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

/* Local time for people; the day only in lists. */
static void format_time(const json_t *row, const char *form, char out[static BR_CELL_MAX])
{
	const char *s = json_string_value(json_object_get(row, "time"));
	const char *dot = s ? strchr(s, '.') : NULL;
	struct tm tm = { 0 }, local;
	time_t t;
	size_t n;

	strcpy(out, "-");
	if (!s || !strptime(s, "%Y-%m-%dT%H:%M:%S", &tm))
		return;
	t = timegm(&tm);
	if (!localtime_r(&t, &local))
		return;
	n = form[0] == 'd' ? strftime(out, BR_CELL_MAX, "%Y-%m-%d %H:%M:%S", &local)
			   : strftime(out, BR_CELL_MAX, "%H:%M:%S", &local);
	if (dot && strspn(dot + 1, "0123456789") >= 3)
		snprintf(out + n, BR_CELL_MAX - n, "%.4s", dot);
}

static void cell_time(const json_t *row, char out[static BR_CELL_MAX])
{
	format_time(row, "day", out);
}

static void cell_board(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "board", out);
}

static void cell_seq(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "seq", out);
}

static void cell_boot(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "boot", out);
}

static void cell_type(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "type", out);
}

/* "ip=10.77.0.21 mac=b8:27:eb:..." */
static void cell_fields(const json_t *row, char out[static BR_CELL_MAX])
{
	const json_t *fields = json_object_get(row, "fields"), *v;
	struct br_text t = BR_TEXT_NULL;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)fields, key, v) {
		br_cleanup(br_freep) char *other = NULL;
		const char *s = json_string_value(v);

		if (!s) {
			other = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
			s = other;
		}
		br_text_addf(&t, "%s", t.len ? " " : "");
		br_text_add_vis(&t, key, strlen(key));
		br_text_add(&t, "=");
		if (s)
			br_text_add_vis(&t, s, strlen(s));
	}
	snprintf(out, BR_CELL_MAX, "%s", t.buf ? t.buf : "");
	br_text_done(&t);
}

static const struct br_column columns[] = {
	{ "SEQ", cell_seq }, { "TIME", cell_time }, { "BOARD", cell_board }, { "BOOT", cell_boot },
	{ "EVENT", cell_type }, { "DETAILS", cell_fields }, { NULL, NULL },
};

struct request {
	struct br_common common;
	const char *type, *after, *boot, *limit;
};

static int read_options(int argc, char **argv, struct request *q)
{
	static const struct option options[] = {
		{ "type", required_argument, NULL, 't' },
		{ "after", required_argument, NULL, 300 },
		{ "boot", required_argument, NULL, 301 },
		{ "number", required_argument, NULL, 'n' },
		BR_COMMON_LONG,
	};
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, ":t:n:" BR_COMMON_SHORT, options, NULL)) != -1) {
		if ((c == 300 || c == 301 || c == 'n') && br_parse_u64(optarg, 0, INT64_MAX, &n) < 0)
			return br_cli_usage("a number is needed, not '%s'", optarg);
		if (c == 't')
			q->type = optarg;
		else if (c == 'n')
			q->limit = optarg;
		else if (c == 300)
			q->after = optarg;
		else if (c == 301)
			q->boot = optarg;
		else if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	return argc - optind > 1 ? br_cli_usage("one board at most") : 0;
}

static void add_param(struct br_text *path, const char *key, const char *value)
{
	br_cleanup(br_freep) char *text = value ? br_client_escape(value) : NULL;

	if (text)
		br_text_addf(path, "%s%s=%s", strchr(path->buf, '?') ? "&" : "?", key, text);
}

/* NULL when memory is out. */
static char *make_path(const struct request *q, const char *board, const char *limit, bool follow)
{
	struct br_text path = BR_TEXT_NULL;

	br_text_add(&path, "/v1/events");
	if (path.failed)
		return NULL;
	add_param(&path, "board", board);
	add_param(&path, "type", q->type);
	add_param(&path, "after", q->after);
	add_param(&path, "boot", q->boot);
	add_param(&path, "limit", limit);
	if (follow)
		add_param(&path, "follow", "1");
	return br_text_take(&path);
}

static int event_list(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *events = NULL;
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, &q);

	if (r)
		return r;
	path = make_path(&q, optind < argc ? argv[optind] : NULL, q.limit ? q.limit : "100", false);
	r = path ? br_client_new(q.common.state, &client, &err) : -ENOMEM;
	if (r >= 0)
		r = br_client_call(client, "GET", path, NULL, &events, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(events, columns, "seq", &q.common);
	return BR_EXIT_OK;
}

struct tail {
	const struct br_common *common;
	struct br_text line;
};

static void print_event(const struct tail *t, const json_t *ev)
{
	char time_text[BR_CELL_MAX], board[BR_CELL_MAX], type[BR_CELL_MAX], fields[BR_CELL_MAX];

	if (t->common->form != BR_FORM_TABLE) {
		br_print_json(ev, false);
		return;
	}
	format_time(ev, "clock", time_text);
	cell_board(ev, board);
	cell_type(ev, type);
	cell_fields(ev, fields);
	printf("%s  %-16s %-15s %s\n", time_text, board, type, fields);
}

/* Who reads our output is gone: so are we, though there may be nothing to write for long. */
static bool reader_gone(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP);
}

static int take_lines(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct tail *t = ctx;
	const char *p = data, *end = p + n;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		br_cleanup(json_decrefp) json_t *ev = NULL;

		br_text_add_bytes(&t->line, p, (size_t)((nl ? nl : end) - p));
		if (t->line.failed || t->line.len > LINE_MAX_BYTES)
			return br_error_set(err, EFBIG, "the daemon's answer is too large");
		if (!nl)
			break;
		p = nl + 1;
		if (t->line.len) /* an empty one is a sign of life */
			ev = json_loadb(t->line.buf, t->line.len, 0, NULL);
		if (ev)
			print_event(t, ev);
		t->line.len = 0;
	}
	return fflush(stdout) == EOF || reader_gone() ? 1 : 0;
}

static int event_tail(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	struct tail t = { .common = &q.common };
	int r = read_options(argc, argv, &q);

	if (r)
		return r;
	path = make_path(&q, optind < argc ? argv[optind] : NULL, q.limit ? q.limit : q.after ? NULL : "10", true);
	r = path ? br_client_new(q.common.state, &client, &err) : -ENOMEM;
	if (r >= 0)
		r = br_client_stream(client, path, take_lines, &t, &err);
	br_text_done(&t.line);
	if (r < 0)
		return br_cli_error(&err, r);
	if (!r)
		fputs("bramble: the daemon has stopped\n", stderr);
	return BR_EXIT_OK;
}

#define DETAILS \
	"  -t, --type TYPE    only these: dhcp.offer, or dhcp for all that begin so\n" \
	"  --boot N           only those of a board's boot N\n" \
	"  --after SEQ        only those behind this number\n" \
	"  -n, --number N     the newest N (list: 100, tail: 10)\n" \
	"  -o, --output FORM  table, json or jsonl\n"

const struct br_command br_cli_event[] = {
	{ "event", "list", "[BOARD] [-t TYPE] [--boot N] [--after SEQ] [-n N] [-o table|json|jsonl]",
		"Lists what happened", event_list, DETAILS },
	{ "event", "tail", "[BOARD] [-t TYPE] [--after SEQ] [-n N] [-o table|jsonl]", "Follows what happens",
		event_tail, DETAILS },
	{ 0 },
};
