/* SPDX-License-Identifier: Apache-2.0 */
/* bramble power: switching boards. */
#include "cli/power.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "base/waiting.h"
#include "cli/boardnames.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

#define ANSWER_MS 90000 /* of one request: an order's own answers are asked for at most 30 s at a time */

struct switching {
	struct br_common common;
	const char *action;
	bool up, soft, force;
	uint64_t up_ns;
};

/* A board of the command. */
struct row {
	const char *board;
	long long job;
	json_t *result;
	int r; /* of the order */
	char words[600];
};

int br_cli_power_names(const char *state, int argc, char **argv, int from, char ***ret, size_t *ret_n, struct br_error *err)
{
	struct br_text list = BR_TEXT_NULL;
	int r;

	for (int i = from; i < argc; i++)
		br_text_addf(&list, "%s%s", i > from ? "," : "", argv[i]);
	r = list.failed ? br_error_set(err, ENOMEM, "out of memory") : br_cli_board_names(state, list.buf ?: "", ret, ret_n, err);
	br_text_done(&list);
	return r;
}

char *br_cli_power_path(const char *board, const char *tail)
{
	br_cleanup(br_freep) char *name = br_client_escape(board);

	return name ? br_asprintf("/v1/boards/%s%s", name, tail) : NULL;
}

static void order(struct br_client *client, const struct switching *s, struct row *row)
{
	br_cleanup(br_freep) char *path = br_cli_power_path(row->board, "/power");
	br_cleanup(json_decrefp) json_t *body = json_pack("{s:s, s:b, s:b, s:b, s:b}", "action", s->action, "wait", false, "up", s->up, "soft",
		s->soft, "force", s->force);
	struct br_error err = BR_ERROR_NULL;

	if (s->up_ns)
		json_object_set_new(body, "timeout", json_real((double)s->up_ns / 1e9));
	row->r = path && body ? br_client_call(client, "POST", path, body, &row->result, &err) : br_error_set(&err, ENOMEM, "out of memory");
	if (row->r < 0)
		snprintf(row->words, sizeof(row->words), "%s", br_error_text(&err, row->r));
	else
		row->job = json_integer_value(json_object_get(row->result, "job"));
}

static bool ended(const struct row *row)
{
	const char *state = json_string_value(json_object_get(row->result, "state"));

	return row->r < 0 || !state || !strcmp(state, "done") || !strcmp(state, "failed");
}

/* Each order has an end of its own in the daemon; while it lasts, the answer says so every 30 s. */
static void follow(struct br_client *client, struct row *row)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/power/jobs/%lld?wait=30", row->job);

	while (!ended(row)) {
		struct br_error err = BR_ERROR_NULL;
		json_t *now = NULL;

		row->r = path ? br_client_call(client, "GET", path, NULL, &now, &err) : -ENOMEM;
		if (row->r < 0) {
			snprintf(row->words, sizeof(row->words), "%s", br_error_text(&err, row->r));
			return;
		}
		json_decref(row->result);
		row->result = now;
	}
}

static enum br_exit code_of(const struct row *row)
{
	const char *state = json_string_value(json_object_get(row->result, "state"));
	const char *error = json_string_value(json_object_get(row->result, "error"));

	if (row->r == -ENOENT)
		return BR_EXIT_NOT_FOUND;
	if (row->r == -ECONNREFUSED)
		return BR_EXIT_NO_DAEMON;
	if (row->r < 0)
		return row->r == -EINVAL ? BR_EXIT_USAGE : BR_EXIT_FAILED;
	if (state && !strcmp(state, "failed"))
		return error && !strcmp(error, "ETIMEDOUT") && !strcmp(json_string_value(json_object_get(row->result, "power")) ?: "", "on") ?
			       BR_EXIT_TIMEOUT :
			       BR_EXIT_FAILED;
	return BR_EXIT_OK;
}

static const char *text_of(const struct row *row, const char *key)
{
	return json_string_value(json_object_get(row->result, key)) ?: "";
}

static json_t *row_json(const struct row *row)
{
	json_t *json = row->result && row->r >= 0 ? json_copy(row->result) : json_pack("{s:s, s:s, s:s}", "board", row->board, "state", "failed",
										    "text", row->words);

	json_object_set_new(json, "exit_code", json_integer(code_of(row)));
	return json;
}

static void print_row(const struct switching *s, const struct row *row)
{
	enum br_exit code = code_of(row);
	char vis[900];
	const char *text = row->r < 0 ? row->words : text_of(row, "text");
	const char *word = !strcmp(s->action, "status") ? text_of(row, "power") : s->action;

	br_vis(vis, sizeof(vis), text, strlen(text));
	if (code)
		br_cli_fail(code, "%s: %s", row->board, *vis ? vis : "failed");
	else if (s->common.quiet)
		printf("%s\n", row->board);
	else
		printf("%s: %s%s%s%s\n", row->board, word, s->up ? ", up" : "", *vis ? ": " : "", vis);
}

static enum br_exit report(const struct switching *s, const struct row *rows, size_t n)
{
	br_cleanup(json_decrefp) json_t *all = json_array();
	enum br_exit code = BR_EXIT_OK;

	for (size_t i = 0; i < n; i++) {
		if (!code)
			code = code_of(&rows[i]);
		if (s->common.form == BR_FORM_TABLE)
			print_row(s, &rows[i]);
		else
			json_array_append_new(all, row_json(&rows[i]));
	}
	for (size_t i = 0; i < json_array_size(all) && s->common.form == BR_FORM_JSONL; i++)
		br_print_json(json_array_get(all, i), false);
	if (s->common.form == BR_FORM_JSON)
		br_print_json(all, true);
	return code;
}

static int switch_boards(const struct switching *s, char **names, size_t n)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct row *rows = calloc(n, sizeof(*rows));
	struct br_error err = BR_ERROR_NULL;
	struct br_waiting *waiting;
	enum br_exit code;
	int r = rows ? br_client_new(s->common.state, &client, &err) : br_error_set(&err, ENOMEM, "out of memory");

	if (r < 0) {
		free(rows);
		return br_cli_error(&err, r);
	}
	br_client_patience(client, ANSWER_MS);
	waiting = br_waiting_start(s->up ? "waiting for the boards to be up" : "waiting for what switches the boards",
		s->common.quiet || s->common.form != BR_FORM_TABLE);
	for (size_t i = 0; i < n; i++) {
		rows[i].board = names[i];
		order(client, s, &rows[i]);
	}
	for (size_t i = 0; i < n; i++)
		follow(client, &rows[i]);
	br_waiting_end(waiting);
	code = report(s, rows, n);
	for (size_t i = 0; i < n; i++)
		json_decref(rows[i].result);
	free(rows);
	return code;
}

static const struct option options[] = {
	{ "wait", optional_argument, NULL, 'w' },
	{ "soft", no_argument, NULL, 's' },
	{ "force", no_argument, NULL, 'f' },
	BR_COMMON_LONG,
};

static int take(struct switching *s, int argc, char **argv, int c)
{
	bool starts = strcmp(s->action, "off") != 0 && strcmp(s->action, "status") != 0;

	if (c == 'w' && starts) {
		s->up = true;
		if (optarg && (br_parse_duration(optarg, &s->up_ns) < 0 || !s->up_ns || s->up_ns > 3500 * BR_S))
			return br_cli_usage("--wait=%s: a duration up to 58m is needed, as 90s or 5m", optarg);
	} else if (c == 's' && !strcmp(s->action, "cycle")) {
		s->soft = true;
	} else if (c == 'f' && starts) {
		s->force = true;
	} else if (c == 'w' || c == 's' || c == 'f') {
		return br_cli_usage("'power %s' has no option --%s", s->action, c == 'w' ? "wait" : c == 's' ? "soft" : "force");
	} else if (br_common_take(&s->common, argc, argv, c) < 0) {
		return BR_EXIT_USAGE;
	}
	return 0;
}

static int power(int argc, char **argv)
{
	struct switching s = { .action = argv[0] };
	struct br_error err = BR_ERROR_NULL;
	char **names = NULL;
	size_t n = 0;
	int c, r = 0;

	while (!r && (c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1)
		r = take(&s, argc, argv, c);
	if (r)
		return r;
	if (optind == argc)
		return br_cli_usage("boards are needed, as pi07 or pi[01-24]");
	r = br_cli_power_names(s.common.state, argc, argv, optind, &names, &n, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	r = n ? switch_boards(&s, names, n) : br_cli_fail(BR_EXIT_NOT_FOUND, "no board matches");
	br_hostlist_free(names, n);
	return r;
}

#define FORMS \
	"  -o, --output FORM  table, json or jsonl\n" \
	"  -q, --quiet        only the names of the boards it was done for\n"
#define WAIT \
	"  --wait[=DURATION]  until the boards are up; boot-timeout of bramble.conf(5) when not said otherwise\n" \
	"  --force            also boards in quarantine\n"
#define CODES \
	"\nWhat the device can tell was read back: an exit code of 0 means that it says so, too. Exit codes: 0 done, 1 failed, 3 no such\n" \
	"board, 5 switched on but not up in time. Of several boards the first failure.\n"

const struct br_command br_cli_power[] = {
	{ "power", "on", "BOARDS [--wait[=DURATION]] [--force] [-o table|json|jsonl] [-q]", "Switches boards on, one after the other", power,
		WAIT FORMS CODES },
	{ "power", "off", "BOARDS [-o table|json|jsonl] [-q]", "Switches boards off", power, FORMS CODES },
	{ "power", "cycle", "BOARDS [--soft] [--wait[=DURATION]] [--force] [-o table|json|jsonl] [-q]", "Switches boards off and on", power,
		"  --soft             first ask the running system to reboot, over ssh; switch only if no boot comes of that\n" WAIT FORMS CODES },
	{ "power", "reset", "BOARDS [--wait[=DURATION]] [--force] [-o table|json|jsonl] [-q]",
		"Resets boards in their device's own way (RUN pin), else as cycle", power, WAIT FORMS CODES },
	{ "power", "soft", "BOARDS [--wait[=DURATION]] [--force] [-o table|json|jsonl] [-q]", "Asks the boards' systems to reboot, over ssh", power,
		WAIT FORMS CODES },
	{ "power", "status", "BOARDS [-o table|json|jsonl] [-q]", "Asks the devices whether boards are on", power, FORMS CODES },
	{ 0 },
};
