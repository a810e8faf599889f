/* SPDX-License-Identifier: Apache-2.0 */
/* bramble console: a board's serial line, by the daemon that holds it. */
#include "cli/console.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/consoleterm.h"

#define TAIL_DEFAULT (16u << 10) /* of the past, for who comes to look */
#define ANSWER_MS 15000

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

/* ---- what both kinds of session ask of the daemon ---- */

/* "alice@lab-pc, pid 1234" */
static json_t *our_name(void)
{
	const struct passwd *pw = getpwuid(getuid());
	char host[65] = "", text[128], vis[128];

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = 0;
	snprintf(text, sizeof(text), "%s@%s pid %d", pw ? pw->pw_name : "?", host, (int)getpid());
	return json_string(br_vis(vis, sizeof(vis), text, strlen(text)));
}

static int claim(struct br_console_session *s, json_t *body, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/console/claim", s->escaped);
	json_t *answer = NULL;
	int r = body && path ? br_client_call(s->writes, "POST", path, body, &answer, err) : br_error_set(err, ENOMEM, "out of memory");

	json_decref(body);
	if (r >= 0)
		atomic_store(&s->writer, (uint64_t)json_integer_value(json_object_get(answer, "writer")));
	json_decref(answer);
	return r;
}

int br_console_session_claim(struct br_console_session *s, bool steal, struct br_error *err)
{
	return claim(s, json_pack("{s:o, s:b}", "who", our_name(), "steal", steal), err);
}

int br_console_session_renew(struct br_console_session *s, struct br_error *err)
{
	return claim(s, json_pack("{s:I}", "writer", (json_int_t)atomic_load(&s->writer)), err);
}

void br_console_session_release(struct br_console_session *s)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/console/claim?writer=%" PRIu64, s->escaped, (uint64_t)atomic_load(&s->writer));

	if (atomic_load(&s->writer) && path) /* who does not answer forgets it in 15 s */
		(void)br_client_call(s->writes, "DELETE", path, NULL, NULL, NULL);
	atomic_store(&s->writer, 0);
}

int br_console_session_send(struct br_console_session *s, const void *data, size_t n, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/console?writer=%" PRIu64, s->escaped, (uint64_t)atomic_load(&s->writer));

	return path ? br_client_send(s->writes, "POST", path, data, n, NULL, err) : br_error_set(err, ENOMEM, "out of memory");
}

int br_console_session_break(struct br_console_session *s, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/console/break?writer=%" PRIu64, s->escaped, (uint64_t)atomic_load(&s->writer));

	return path ? br_client_call(s->writes, "POST", path, NULL, NULL, err) : br_error_set(err, ENOMEM, "out of memory");
}

int br_console_session_position(const struct br_console_session *s, struct br_client *client, uint64_t *ret, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/console/status", s->escaped);
	json_t *json = NULL;
	int r = path ? br_client_call(client, "GET", path, NULL, &json, err) : -ENOMEM;

	if (r < 0)
		return r;
	*ret = (uint64_t)json_integer_value(json_object_get(json, "position"));
	json_decref(json);
	return 0;
}

char *br_console_session_path(const struct br_console_session *s, bool follow, bool notes, uint64_t from)
{
	uint64_t writer = atomic_load(&s->writer);
	struct br_text t = BR_TEXT_NULL;

	br_text_addf(&t, "/v1/boards/%s/console?follow=%d&notes=%d", s->escaped, follow, notes);
	if (from != UINT64_MAX)
		br_text_addf(&t, "&from=%" PRIu64, from);
	else
		br_text_addf(&t, "&tail=%" PRIu64, s->tail);
	if (writer)
		br_text_addf(&t, "&writer=%" PRIu64, writer);
	return br_text_take(&t);
}

/* ---- the command line ---- */

enum {
	OPT_STEAL = 300,
	OPT_WATCH,
	OPT_PAST,
	OPT_STATUS,
	OPT_PLAIN,
	OPT_RAW,
	OPT_RECORD,
	OPT_TAIL,
	OPT_SEND,
	OPT_EXPECT,
	OPT_BREAK,
	OPT_UBOOT,
	OPT_TIMEOUT,
};

static const struct option options[] = {
	{ "steal", no_argument, NULL, OPT_STEAL },
	{ "watch", no_argument, NULL, OPT_WATCH },
	{ "past", no_argument, NULL, OPT_PAST },
	{ "status", no_argument, NULL, OPT_STATUS },
	{ "plain", no_argument, NULL, OPT_PLAIN },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "record", required_argument, NULL, OPT_RECORD },
	{ "tail", required_argument, NULL, OPT_TAIL },
	{ "send", required_argument, NULL, OPT_SEND },
	{ "expect", required_argument, NULL, OPT_EXPECT },
	{ "break", no_argument, NULL, OPT_BREAK },
	{ "uboot", no_argument, NULL, OPT_UBOOT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	BR_COMMON_LONG,
};

static int add_step(struct br_console_session *s, int kind, const char *text)
{
	if (s->n_steps == BR_CONSOLE_STEPS)
		return br_cli_usage("at most %d steps", BR_CONSOLE_STEPS);
	s->steps[s->n_steps++] = (struct br_console_step){ .kind = kind, .text = text };
	return 0;
}

/* Any key stops U-Boot's countdown; ^C is one that does nothing else at its prompt, and ends what runs there. */
static int add_uboot(struct br_console_session *s)
{
	int r = add_step(s, BR_STEP_EXPECT, "[Hh]it any key|autoboot|^=> $");

	r = r ? r : add_step(s, BR_STEP_SEND, "\\x03");
	return r ? r : add_step(s, BR_STEP_EXPECT, "^=> $");
}

static int take_flag(struct br_console_session *s, int c)
{
	switch (c) {
	case OPT_STEAL:
		s->steal = true;
		return 0;
	case OPT_WATCH:
		s->watch = true;
		return 0;
	case OPT_PAST:
		s->past = true;
		return 0;
	case OPT_STATUS:
		s->status = true;
		return 0;
	case OPT_PLAIN:
		s->plain = true;
		return 0;
	case OPT_RAW:
		s->raw = true;
		return 0;
	case OPT_BREAK:
		return add_step(s, BR_STEP_BREAK, "");
	case OPT_UBOOT:
		return add_uboot(s);
	default:
		return -ENOENT;
	}
}

static int take_value(struct br_console_session *s, int c, const char *value)
{
	switch (c) {
	case OPT_RECORD:
		s->record = value;
		return 0;
	case OPT_SEND:
		return add_step(s, BR_STEP_SEND, value);
	case OPT_EXPECT:
		return add_step(s, BR_STEP_EXPECT, value);
	case OPT_TAIL:
		s->has_tail = true;
		return br_parse_size(value, &s->tail) < 0 ? br_cli_usage("--tail: a size as 4K is needed") : 0;
	case OPT_TIMEOUT:
		return br_parse_duration(value, &s->timeout_ns) < 0 || !s->timeout_ns ? br_cli_usage("--timeout: a duration as 30s is needed") : 0;
	default:
		return -ENOENT;
	}
}

static int read_options(int argc, char **argv, struct br_console_session *s)
{
	int c, r;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		r = take_flag(s, c);
		r = r == -ENOENT ? take_value(s, c, optarg) : r;
		if (r == -ENOENT)
			r = br_common_take(&s->common, argc, argv, c) < 0 ? BR_EXIT_USAGE : 0;
		if (r)
			return r;
	}
	if (optind + 1 != argc)
		return br_cli_usage(optind == argc ? "a board is needed" : "one board only");
	s->board = argv[optind];
	if (s->watch && s->steal)
		return br_cli_usage("--watch and --steal exclude each other");
	if (s->raw && s->plain)
		return br_cli_usage("--raw and --plain exclude each other");
	for (size_t i = 0; i < s->n_steps; i++) {
		if (s->watch && s->steps[i].kind != BR_STEP_EXPECT)
			return br_cli_usage("--watch sends nothing");
	}
	if (s->raw && s->n_steps)
		return br_cli_usage("--expect and --send work on text: no --raw");
	if (s->past && s->n_steps)
		return br_cli_usage("--past shows what was, and waits for nothing");
	return 0;
}

/* What came up to now, and that is all. */
static int write_out(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct br_console_session *s = ctx;
	struct br_text t = BR_TEXT_NULL;

	br_term_filter(&s->filter, data, n, &t);
	if (t.len && fwrite(t.buf, 1, t.len, stdout) != t.len) {
		br_text_done(&t);
		return br_error_set(err, EPIPE, "standard output: cannot be written");
	}
	br_text_done(&t);
	return s->cast ? br_cast_put(s->cast, br_now_ns(), data, n) : 0;
}

static int show_past(struct br_console_session *s)
{
	br_cleanup(br_freep) char *path = br_console_session_path(s, false, false, UINT64_MAX);
	struct br_error err = BR_ERROR_NULL;
	int r = path ? br_client_stream(s->reads, path, write_out, s, &err) : -ENOMEM;

	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

static int show_status(struct br_console_session *s)
{
	static const char *const rows[] = { "console", "state", "reason", "since", "in", "out", "watchers", "writer" };
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/console/status", s->escaped);
	struct br_error err = BR_ERROR_NULL;
	json_t *json = NULL;
	int r = path ? br_client_call(s->writes, "GET", path, NULL, &json, &err) : -ENOMEM;

	if (r < 0)
		return br_cli_error(&err, r);
	if (s->common.form != BR_FORM_TABLE)
		br_print_json(json, s->common.form == BR_FORM_JSON);
	for (size_t i = 0; s->common.form == BR_FORM_TABLE && i < BR_ARRAY_SIZE(rows); i++) {
		char cell[BR_CELL_MAX];

		br_cell_text(json, rows[i], cell);
		printf("%-10s%s\n", rows[i], cell);
	}
	json_decref(json);
	return BR_EXIT_OK;
}

/* A terminal gets what draws; a file or a pipe all of it, as it came. */
static void choose_filter(struct br_console_session *s)
{
	if (s->plain || s->n_steps)
		s->filter.mode = BR_TERM_PLAIN;
	else if (isatty(1) && !s->raw)
		s->filter.mode = BR_TERM_SCREEN;
}

static int run_session(struct br_console_session *s)
{
	struct br_error err = BR_ERROR_NULL;
	unsigned columns, rows;
	int r, code;

	if (s->status)
		return show_status(s);
	if (!s->has_tail)
		s->tail = s->past ? INT64_MAX : s->n_steps ? 0 : TAIL_DEFAULT;
	s->tail = s->tail < INT64_MAX ? s->tail : INT64_MAX;
	choose_filter(s);
	br_raw_size(&columns, &rows);
	r = s->record ? br_cast_open(s->record, columns, rows, s->board, &s->cast, &err) : 0;
	if (r < 0)
		return br_cli_error(&err, r);
	code = s->past ? show_past(s) : s->n_steps ? br_console_script(s) : br_console_live(s);
	r = br_cast_close(s->cast, &err);
	return r < 0 ? br_cli_error(&err, r) : code;
}

static int console(int argc, char **argv)
{
	struct br_console_session s = { .filter.mode = BR_TERM_RAW };
	br_cleanup(br_client_freep) struct br_client *reads = NULL;
	br_cleanup(br_client_freep) struct br_client *writes = NULL;
	br_cleanup(br_freep) char *escaped = NULL;
	struct br_error err = BR_ERROR_NULL;
	int r = read_options(argc, argv, &s);

	if (r)
		return r;
	r = br_client_new(s.common.state, &reads, &err);
	if (r >= 0)
		r = br_client_new(s.common.state, &writes, &err);
	escaped = br_client_escape(s.board);
	if (r >= 0 && !escaped)
		r = -ENOMEM;
	if (r < 0)
		return br_cli_error(&err, r);
	br_client_patience(writes, ANSWER_MS);
	s.reads = reads;
	s.writes = writes;
	s.escaped = escaped;
	return run_session(&s);
}

const struct br_command br_cli_console[] = {
	{ NULL, "console", "BOARD [--watch | --steal | --past | --status] [--send TEXT | --expect RE]... [--timeout DUR] [--record FILE] [-o table|json|jsonl]",
		"A board's serial console: many watch, one writes", console,
		"  --watch            look on only\n"
		"  --steal            take writing over from who has it\n"
		"  --status           how it is connected, who watches and who writes\n"
		"  --past             print what came up to now, and end\n"
		"  --tail SIZE        so much of the past first (16K; at most 256K is kept)\n"
		"  --plain            text only: no colours or other sequences of the board\n"
		"  --raw              all bytes as they are, titles and clipboard sequences too\n"
		"  --record FILE      record what the board says, as asciicast v2 (asciinema play FILE)\n"
		"Without somebody at it (in this order):\n"
		"  --send TEXT        type; \\n \\r \\t \\e \\\\ \\xNN are understood\n"
		"  --expect RE        wait for an extended regular expression in what comes; ^ and $ are ends of lines\n"
		"  --break            send a BREAK\n"
		"  --uboot            stop U-Boot's countdown, and wait for its prompt\n"
		"  --timeout DUR      how long each --expect waits (30s); without one: when to end\n"
		"\n"
		"At the beginning of a line:  ~.  ends it   ~?  lists what else there is\n" },
	{ 0 },
};
