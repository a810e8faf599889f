/* SPDX-License-Identifier: Apache-2.0 */
/* bramble power find. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "base/waiting.h"
#include "cli/power.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

#define ANSWER_MS 600000

static void cell_board(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "board", out);
}

static void cell_switch(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "switch", out);
}

static void cell_port(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "port", out);
}

static void cell_by(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "by", out);
}

static void cell_note(const json_t *row, char out[static BR_CELL_MAX])
{
	if (json_is_true(json_object_get(row, "applied")))
		snprintf(out, BR_CELL_MAX, "written down");
	else if (!json_object_get(row, "uri"))
		br_cell_text(row, "why", out);
	else
		snprintf(out, BR_CELL_MAX, "%s", json_is_true(json_object_get(row, "new")) ? "new" : "as it is now");
}

static const struct br_column columns[] = {
	{ "BOARD", cell_board }, { "SWITCH", cell_switch }, { "PORT", cell_port }, { "BY", cell_by }, { "NOTE", cell_note }, { 0 },
};

static json_t *body_of(char **names, size_t n)
{
	json_t *body = json_object(), *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	if (n)
		json_object_set(body, "boards", list);
	json_decref(list);
	return body;
}

/* What is new goes into the boards' records. */
static int apply(struct br_client *client, const json_t *rows, struct br_error *err)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		const char *uri = json_string_value(json_object_get(row, "uri"));
		br_cleanup(br_freep) char *path = br_cli_power_path(json_string_value(json_object_get(row, "board")) ?: "", "");
		br_cleanup(json_decrefp) json_t *body = uri ? json_pack("{s:s}", "power", uri) : NULL;
		int r;

		if (!uri || !json_is_true(json_object_get(row, "new")))
			continue;
		r = path && body ? br_client_call(client, "PATCH", path, body, NULL, err) : br_error_set(err, ENOMEM, "out of memory");
		if (r < 0)
			return r;
		json_object_set_new((json_t *)(uintptr_t)row, "applied", json_true());
	}
	return 0;
}

/* Boards that were asked for, and what of them was found; a switch that does not answer is told. */
static enum br_exit judge(const json_t *answer, size_t n_names)
{
	const json_t *row, *boards = json_object_get(answer, "boards");
	enum br_exit code = BR_EXIT_OK;
	char vis[600];
	size_t i;

	json_array_foreach(json_object_get(answer, "switches"), i, row) {
		const char *error = json_string_value(json_object_get(row, "error"));

		if (error)
			code = (enum br_exit)br_cli_fail(BR_EXIT_FAILED, "%s", br_vis(vis, sizeof(vis), error, strlen(error)));
	}
	if (json_array_size(boards) < n_names)
		return (enum br_exit)br_cli_fail(BR_EXIT_NOT_FOUND, "%zu of the %zu boards are not known; 'bramble board list' shows all",
			n_names - json_array_size(boards), n_names);
	json_array_foreach(boards, i, row)
		if (n_names && !json_object_get(row, "uri"))
			code = BR_EXIT_FAILED;
	return code;
}

static const struct option options[] = {
	{ "apply", no_argument, NULL, 'a' },
	BR_COMMON_LONG,
};

static int find_boards(const struct br_common *common, bool applies, char **names, size_t n)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *body = body_of(names, n), *answer = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_waiting *waiting;
	int r = br_client_new(common->state, &client, &err);

	if (r < 0)
		return br_cli_error(&err, r);
	br_client_patience(client, ANSWER_MS);
	waiting = br_waiting_start("asking the switches", common->quiet);
	r = br_client_call(client, "POST", "/v1/power-find", body, &answer, &err);
	br_waiting_end(waiting);
	if (r >= 0 && applies)
		r = apply(client, json_object_get(answer, "boards"), &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (common->form == BR_FORM_JSON)
		br_print_json(answer, true);
	else
		br_table_print(json_object_get(answer, "boards"), columns, "board", common);
	return (int)judge(answer, n);
}

static int find(int argc, char **argv)
{
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	bool applies = false;
	char **names = NULL;
	size_t n = 0;
	int c, r = 0;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 'a')
			applies = true;
		else if (br_common_take(&common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (optind < argc)
		r = br_cli_power_names(common.state, argc, argv, optind, &names, &n, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (optind < argc && !n)
		r = br_cli_fail(BR_EXIT_NOT_FOUND, "no board matches");
	else
		r = find_boards(&common, applies, names, n);
	br_hostlist_free(names, n);
	return r;
}

const struct br_command br_cli_power_find[] = {
	{ "power", "find", "[BOARDS] [--apply] [-o table|json|jsonl] [-q]", "Finds the PoE ports of boards by what the switches learned", find,
		"  --apply            write what is new down as the boards' power; without it, it is only shown\n"
		"  -o, --output FORM  table, json or jsonl\n"
		"  -q, --quiet        only the boards' names\n\n"
		"Asks the switches that bramble.conf(5) names in [switch NAME] sections for their bridge and LLDP tables. Boards should be on.\n" },
	{ 0 },
};
