/* SPDX-License-Identifier: Apache-2.0 */
/* bramble log: what boards said, between what happened to them. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "base/waiting.h"
#include "cli/cli.h"
#include "cli/logprint.h"
#include "cli/table.h"

#define LINE_MAX_BYTES (4 << 20) /* of one line; a daemon sends no such */

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

/* ---- options ---- */

struct request {
	struct br_common common;
	const char *boards, *grep, *source, *stream, *severity, *since, *until, *after, *limit;
	bool ignore_case, no_events, follow, events;
	const char *timeout; /* wait */
	bool all, any;
};

enum {
	OPT_SINCE = 300,
	OPT_UNTIL,
	OPT_AFTER,
	OPT_SOURCE,
	OPT_STREAM,
	OPT_SEVERITY,
	OPT_NO_EVENTS,
	OPT_FOR,
	OPT_BOARDS,
	OPT_ALL,
	OPT_ANY,
	OPT_TIMEOUT,
};

static const struct option options[] = {
	{ "since", required_argument, NULL, OPT_SINCE },
	{ "until", required_argument, NULL, OPT_UNTIL },
	{ "after", required_argument, NULL, OPT_AFTER },
	{ "source", required_argument, NULL, OPT_SOURCE },
	{ "stream", required_argument, NULL, OPT_STREAM },
	{ "severity", required_argument, NULL, OPT_SEVERITY },
	{ "no-events", no_argument, NULL, OPT_NO_EVENTS },
	{ "number", required_argument, NULL, 'n' },
	{ "ignore-case", no_argument, NULL, 'i' },
	{ "for", required_argument, NULL, OPT_FOR },
	{ "boards", required_argument, NULL, OPT_BOARDS },
	{ "all", no_argument, NULL, OPT_ALL },
	{ "any", no_argument, NULL, OPT_ANY },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	BR_COMMON_LONG,
};

static const char **text_option(struct request *q, int c)
{
	switch (c) {
	case OPT_SINCE: return &q->since;
	case OPT_UNTIL: return &q->until;
	case OPT_AFTER: return &q->after;
	case OPT_SOURCE: return &q->source;
	case OPT_STREAM: return &q->stream;
	case OPT_SEVERITY: return &q->severity;
	case OPT_FOR: return &q->grep;
	case OPT_BOARDS: return &q->boards;
	case OPT_TIMEOUT: return &q->timeout;
	case 'n': return &q->limit;
	default: return NULL;
	}
}

static bool *flag_option(struct request *q, int c)
{
	switch (c) {
	case OPT_NO_EVENTS: return &q->no_events;
	case OPT_ALL: return &q->all;
	case OPT_ANY: return &q->any;
	case 'i': return &q->ignore_case;
	default: return NULL;
	}
}

static int read_options(int argc, char **argv, struct request *q)
{
	int c;

	while ((c = getopt_long(argc, argv, ":n:i" BR_COMMON_SHORT, options, NULL)) != -1) {
		const char **text = text_option(q, c);
		bool *flag = flag_option(q, c);
		uint64_t n;

		if ((c == 'n' || c == OPT_AFTER) && br_parse_u64(optarg, c == 'n', INT64_MAX, &n) < 0)
			return br_cli_usage("a number is needed, not '%s'", optarg);
		if (text)
			*text = optarg;
		else if (flag)
			*flag = true;
		else if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	return 0;
}

/* ---- the request ---- */

static void add_param(struct br_text *path, const char *key, const char *value)
{
	br_cleanup(br_freep) char *text = value ? br_client_escape(value) : NULL;

	if (value && !text)
		path->failed = true;
	if (text && !path->failed)
		br_text_addf(path, "%s%s=%s", strchr(path->buf, '?') ? "&" : "?", key, text);
}

/* NULL when memory is out. */
static char *make_path(const struct request *q)
{
	struct br_text path = BR_TEXT_NULL;

	br_text_add(&path, "/v1/logs");
	add_param(&path, "boards", q->boards);
	add_param(&path, "grep", q->grep);
	add_param(&path, "ignore_case", q->ignore_case ? "1" : NULL);
	add_param(&path, "source", q->source);
	add_param(&path, "stream", q->stream);
	add_param(&path, "severity", q->severity);
	add_param(&path, "since", q->since);
	add_param(&path, "until", q->until);
	add_param(&path, "after", q->after);
	add_param(&path, "limit", q->limit);
	add_param(&path, "follow", q->follow ? "1" : NULL);
	add_param(&path, "events", q->events ? "1" : NULL);
	return br_text_take(&path);
}

/* ---- its answer, line by line ---- */

struct reading {
	const struct request *q;
	struct br_text line;
	struct br_log_printer printer;
	json_t *rows; /* of -o json */
	bool more;
	uint64_t n;
	/* wait: the boards still waited for, NULL: any will do */
	json_t *left;
	bool waiting, found;
};

/* Who reads our output is gone: so are we, though there may be nothing to write for long. */
static bool reader_gone(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP);
}

static void take_row(struct reading *rd, json_t *row)
{
	const char *board = json_string_value(json_object_get(row, "board"));

	if (json_is_true(json_object_get(row, "more"))) {
		rd->more = true;
		return;
	}
	rd->n++;
	if (rd->left && (!board || !json_object_get(rd->left, board)))
		return; /* one that has said it already */
	if (rd->left && board)
		json_object_del(rd->left, board);
	rd->found = rd->waiting && (!rd->left || !json_object_size(rd->left));
	if (rd->rows)
		json_array_append(rd->rows, row);
	else if (rd->q->common.form == BR_FORM_JSONL)
		br_print_json(row, false);
	else if (!rd->q->common.quiet)
		br_log_print(&rd->printer, row);
}

static int take_lines(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct reading *rd = ctx;
	const char *p = data, *end = p + n;

	while (p < end && !rd->found) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		br_cleanup(json_decrefp) json_t *row = NULL;

		br_text_add_bytes(&rd->line, p, (size_t)((nl ? nl : end) - p));
		if (rd->line.failed || rd->line.len > LINE_MAX_BYTES)
			return br_error_set(err, EFBIG, "the daemon's answer is too large");
		if (!nl)
			break;
		p = nl + 1;
		if (rd->line.len) /* an empty one is a sign of life */
			row = json_loadb(rd->line.buf, rd->line.len, 0, NULL);
		if (row)
			take_row(rd, row);
		rd->line.len = 0;
	}
	return rd->found || fflush(stdout) == EOF || reader_gone() ? 1 : 0;
}

static int stream(struct request *q, struct reading *rd, unsigned patience_ms, struct br_error *err)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *path = make_path(q);
	int r = path ? br_client_new(q->common.state, &client, err) : -ENOMEM;

	rd->q = q;
	br_log_printer_init(&rd->printer);
	if (r >= 0) {
		br_client_patience(client, patience_ms);
		r = br_client_stream(client, path, take_lines, rd, err);
	}
	br_text_done(&rd->line);
	return r;
}

static int list(struct request *q)
{
	struct reading rd = { .rows = q->common.form == BR_FORM_JSON && !q->follow ? json_array() : NULL };
	struct br_error err = BR_ERROR_NULL;
	int r = stream(q, &rd, 0, &err);

	if (r >= 0 && rd.rows)
		br_print_json(rd.rows, true);
	json_decref(rd.rows);
	if (r < 0)
		return br_cli_error(&err, r);
	if (rd.more && q->common.form == BR_FORM_TABLE && isatty(STDERR_FILENO))
		fprintf(stderr, "bramble: older lines were left out; -n N shows more\n");
	if (q->follow && r == 0)
		fputs("bramble: the daemon has stopped\n", stderr);
	return q->grep && !q->follow && !rd.n ? BR_EXIT_FAILED : BR_EXIT_OK;
}

/* ---- commands ---- */

/* Events are shown where no lines are picked by what only lines have. */
static void want_events(struct request *q)
{
	q->events = !q->no_events && !q->source && !q->stream && !q->severity && !q->grep;
}

static int take_boards(int argc, char **argv, struct request *q)
{
	if (argc - optind > 1)
		return br_cli_usage("one list of boards at most");
	if (optind < argc)
		q->boards = argv[optind];
	return 0;
}

static int log_show(int argc, char **argv)
{
	struct request q = { .limit = "1000" };
	int r = read_options(argc, argv, &q);

	r = r ? r : take_boards(argc, argv, &q);
	want_events(&q);
	return r ? r : list(&q);
}

static int log_follow(int argc, char **argv)
{
	struct request q = { .follow = true };
	int r = read_options(argc, argv, &q);

	r = r ? r : take_boards(argc, argv, &q);
	if (!q.limit && !q.since && !q.after)
		q.limit = "10";
	want_events(&q);
	return r ? r : list(&q);
}

static int log_grep(int argc, char **argv)
{
	struct request q = { .limit = "10000" };
	int r = read_options(argc, argv, &q);

	if (r)
		return r;
	if (optind == argc)
		return br_cli_usage("a regular expression is needed");
	q.grep = argv[optind++];
	r = take_boards(argc, argv, &q);
	return r ? r : list(&q);
}

/* The names that a selector means, as keys. */
static int names_of(const struct request *q, json_t **ret, struct br_error *err)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *text = br_client_escape(q->boards), *path = NULL;
	br_cleanup(json_decrefp) json_t *boards = NULL;
	json_t *names, *board;
	size_t i;
	int r;

	path = text ? br_asprintf("/v1/boards?names=%s", text) : NULL;
	r = path ? br_client_new(q->common.state, &client, err) : -ENOMEM;
	if (r >= 0)
		r = br_client_call(client, "GET", path, NULL, &boards, err);
	if (r < 0)
		return r;
	names = json_object();
	json_array_foreach(boards, i, board) {
		const char *name = json_string_value(json_object_get(board, "name"));

		if (name)
			json_object_set_new(names, name, json_true());
	}
	if (!json_object_size(names)) {
		json_decref(names);
		return br_error_set(err, ENOENT, "'%s' means no board that is there", q->boards);
	}
	*ret = names;
	return 0;
}

static void say_missing(const struct request *q, const struct reading *rd)
{
	struct br_text t = BR_TEXT_NULL;
	const char *name;
	json_t *v;

	json_object_foreach(rd->left, name, v)
		br_text_addf(&t, "%s%s", t.len ? ", " : "", name);
	fprintf(stderr, "bramble: '%s' did not come within %s%s%s\n", q->grep, q->timeout, t.len ? " from " : "", t.buf ? t.buf : "");
	br_text_done(&t);
}

static int log_wait(int argc, char **argv)
{
	struct request q = { .follow = true, .timeout = "60s" };
	struct reading rd = { .waiting = true };
	struct br_error err = BR_ERROR_NULL;
	struct br_waiting *sign;
	uint64_t ns = 0;
	int r = read_options(argc, argv, &q);

	if (r)
		return r;
	if (!q.grep || optind < argc || (q.all && q.any) || (q.all && !q.boards))
		return br_cli_usage(!q.grep ? "--for EXPRESSION is needed" : optind < argc ? "boards are given by --boards" :
				q.all && q.any ? "either --all or --any" : "--all needs --boards");
	if (br_parse_duration(q.timeout, &ns) < 0 || !ns || ns / 1000000 > UINT32_MAX)
		return br_cli_usage("--timeout wants a duration as 90s or 5m, not '%s'", q.timeout);
	if (q.all)
		r = names_of(&q, &rd.left, &err);
	sign = r < 0 ? NULL : br_waiting_start("the log", q.common.quiet);
	if (r >= 0)
		r = stream(&q, &rd, (unsigned)(ns / 1000000) + 1, &err);
	br_waiting_end(sign);
	if (r == -ETIMEDOUT && !rd.found) {
		say_missing(&q, &rd);
		json_decref(rd.left);
		return BR_EXIT_TIMEOUT;
	}
	json_decref(rd.left);
	if (r < 0 && !rd.found)
		return br_cli_error(&err, r);
	return rd.found ? BR_EXIT_OK : br_cli_fail(BR_EXIT_FAILED, "the daemon has stopped");
}

static int log_mark(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *body = NULL, *mark = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 1, 1, "a name", &client);

	if (r)
		return r;
	body = json_pack("{s:s}", "name", argv[optind]);
	if (!body)
		return br_cli_usage("the name is no text");
	r = br_client_call(client, "POST", "/v1/logs/mark", body, &mark, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (common.form != BR_FORM_TABLE)
		br_print_json(mark, common.form == BR_FORM_JSON);
	return BR_EXIT_OK;
}

static int log_unmark(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *name = NULL, *path = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 1, 1, "a name", &client);

	if (r)
		return r;
	name = br_client_escape(argv[optind]);
	path = name ? br_asprintf("/v1/logs/marks/%s", name) : NULL;
	r = path ? br_client_call(client, "DELETE", path, NULL, NULL, &err) : -ENOMEM;
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "name", out);
}

static void cell_time(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "time", out);
}

static void cell_seq(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "seq", out);
}

static int log_marks(int argc, char **argv)
{
	static const struct br_column columns[] = { { "MARK", cell_name }, { "TIME", cell_time }, { "AFTER", cell_seq }, { NULL, NULL } };
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *marks = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 0, 0, "nothing", &client);

	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/logs/marks", NULL, &marks, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(marks, columns, "name", &common);
	return BR_EXIT_OK;
}

static int log_status(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *status = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 0, 0, "nothing", &client);

	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/logs/status", NULL, &status, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (common.form != BR_FORM_TABLE)
		br_print_json(status, common.form == BR_FORM_JSON);
	else
		br_log_print_status(status);
	return BR_EXIT_OK;
}

#define PICK \
	"  --source S         only of these: syslog, kernel, uboot, bootloader, serial, stream, bramble; commas between\n" \
	"  --stream NAME      only of this program or stream\n" \
	"  --severity S       only as bad or worse: emerg, alert, crit, err, warning, notice, info, debug\n" \
	"  --since WHEN       from then on: a mark, a time as 2026-11-21T10:00:38Z (UTC), or how long ago as 5m\n" \
	"  --until WHEN       up to then\n" \
	"  --after SEQ        only behind this line\n"
#define FORM "  -o, --output FORM  table, json or jsonl\n"

const struct br_command br_cli_log[] = {
	{ "log", "show", "[BOARDS] [-n N] [--since WHEN] [--until WHEN] [--source S] [--stream NAME] [--severity S] [--no-events] [-o table|json|jsonl]",
		"Shows what boards said, and what happened to them, by time", log_show,
		PICK "  -n, --number N     the newest N (1000)\n"
		     "  --no-events        lines only\n" FORM },
	{ "log", "follow", "[BOARDS] [-n N] [--since WHEN] [--source S] [--stream NAME] [--severity S] [--no-events] [-o table|jsonl]",
		"Follows what boards say", log_follow,
		PICK "  -n, --number N     the newest N first (10)\n"
		     "  --no-events        lines only\n" FORM },
	{ "log", "grep", "EXPRESSION [BOARDS] [-i] [-n N] [--since WHEN] [--until WHEN] [--source S] [--stream NAME] [--severity S] [-o table|json|jsonl]",
		"Finds lines by a regular expression", log_grep,
		"  -i, --ignore-case  letters of either case\n" PICK "  -n, --number N     the newest N (10000)\n" FORM
		"\nExit code 1: no line was found.\n" },
	{ "log", "wait", "--for EXPRESSION [--boards BOARDS] [--all|--any] [--since WHEN] [--timeout DURATION] [-i] [-q] [-o table|jsonl]",
		"Waits until boards say something", log_wait,
		"  --for EXPRESSION   a regular expression\n"
		"  --boards BOARDS    only what these say\n"
		"  --all              each of them, else the first line ends it (--any)\n"
		"  --since WHEN       lines since then count, too: a mark made before the work began misses none (else: from now on)\n"
		"  --timeout DURATION how long at most (60s)\n"
		"  -i, --ignore-case  letters of either case\n"
		"  --source, --stream, --severity  as in 'log show'\n"
		"  -q, --quiet        only the exit code\n" FORM
		"\nExit code 0: it was said; 5: not in time.\n" },
	{ "log", "mark", "NAME [-o table|json]", "Names this moment of the log", log_mark, NULL },
	{ "log", "unmark", "NAME", "Forgets a mark", log_unmark, NULL },
	{ "log", "marks", "[-o table|json|jsonl] [-q]", "Lists the marks", log_marks, NULL },
	{ "log", "status", "[-o table|json]", "Shows what the log store holds, took and lost", log_status, NULL },
	{ 0 },
};
