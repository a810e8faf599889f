/* SPDX-License-Identifier: Apache-2.0 */
/* bramble power list, map, quarantine, release, key. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "cli/power.h"
#include "power/conf.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

/* ---- list ---- */

static void cell_board(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "board", out);
}

static void cell_power(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "power", out);
}

static void cell_uri(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "uri", out);
}

static void cell_read(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, "read_at", out);
}

static void cell_note(const json_t *row, char out[static BR_CELL_MAX])
{
	char reason[BR_CELL_MAX];

	if (json_is_object(json_object_get(row, "quarantine"))) {
		br_cell_text(row, "quarantine.reason", reason);
		snprintf(out, BR_CELL_MAX, "in quarantine: %.170s", reason);
	} else {
		br_cell_text(row, json_is_string(json_object_get(row, "error")) ? "error" : "detail", out);
	}
}

static const struct br_column columns[] = {
	{ "BOARD", cell_board }, { "POWER", cell_power }, { "READ", cell_read }, { "SWITCHED BY", cell_uri }, { "NOTE", cell_note }, { 0 },
};

static int list(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *all = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 0, 0, "", &client);

	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/power", NULL, &all, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (common.form == BR_FORM_JSON)
		br_print_json(all, true);
	else
		br_table_print(json_object_get(all, "boards"), columns, "board", &common);
	return BR_EXIT_OK;
}

/* ---- one request per board ---- */

struct each {
	struct br_common common;
	const char *method, *tail;
	json_t *(*body)(const struct each *e, const char *board, size_t i, struct br_error *err); /* NULL: none */
	const char *uri, *reason;
	char **ports;
	size_t n_ports;
};

static int do_one(struct br_client *client, const struct each *e, const char *board, size_t i, json_t *all, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_cli_power_path(board, e->tail);
	br_cleanup(json_decrefp) json_t *body = e->body ? e->body(e, board, i, err) : NULL;
	json_t *answer = NULL;
	int r;

	if (!path || (e->body && !body))
		return err->code ? -err->code : br_error_set(err, ENOMEM, "out of memory");
	r = br_client_call(client, e->method, path, body, &answer, err);
	if (r >= 0)
		json_array_append_new(all, answer);
	return r;
}

static enum br_exit do_each(const struct each *e, char **names, size_t n)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *all = json_array();
	struct br_error err = BR_ERROR_NULL;
	enum br_exit code = BR_EXIT_OK;
	int r = br_client_new(e->common.state, &client, &err);

	if (r < 0)
		return (enum br_exit)br_cli_error(&err, r);
	for (size_t i = 0; i < n && r != -ECONNREFUSED; i++) {
		err = BR_ERROR_NULL;
		r = do_one(client, e, names[i], i, all, &err);
		if (r < 0) {
			enum br_exit c = (enum br_exit)br_cli_error(&err, r);

			code = code ? code : c;
		}
	}
	if (e->common.form == BR_FORM_JSON)
		br_print_json(all, true);
	for (size_t i = 0; i < json_array_size(all) && e->common.form == BR_FORM_JSONL; i++)
		br_print_json(json_array_get(all, i), false);
	return code;
}

static int each_of(struct each *e, int argc, char **argv, int from)
{
	struct br_error err = BR_ERROR_NULL;
	char **names = NULL;
	size_t n = 0;
	int r = br_cli_power_names(e->common.state, argc, argv, from, &names, &n, &err);

	if (r < 0)
		return br_cli_error(&err, r);
	if (!n)
		r = br_cli_fail(BR_EXIT_NOT_FOUND, "no board matches");
	else if (e->n_ports && e->n_ports != n)
		r = br_cli_usage("%zu ports for %zu boards: as many of both are needed", e->n_ports, n);
	else
		r = do_each(e, names, n);
	br_hostlist_free(names, n);
	return r;
}

/* ---- map ---- */

static json_t *map_body(const struct each *e, const char *board, size_t i, struct br_error *err)
{
	char uri[BR_POWER_URI_MAX + 1], number[24];
	const char *port = e->n_ports ? e->ports[i] : number;
	const struct br_power_field fields[] = { { "port", port }, { "outlet", port }, { "board", board }, { 0 } };

	snprintf(number, sizeof(number), "%zu", i + 1);
	if (!br_power_fill(uri, sizeof(uri), e->uri, fields, true)) {
		br_error_set(err, EINVAL, "board %s: its URI would be too long", board);
		return NULL;
	}
	return br_power_uri_ok(uri, err) < 0 ? NULL : json_pack("{s:s}", "power", uri);
}

static const struct option options[] = {
	{ "ports", required_argument, NULL, 'p' },
	{ "reason", required_argument, NULL, 'r' },
	BR_COMMON_LONG,
};

static int map(int argc, char **argv)
{
	struct each e = { .method = "PATCH", .tail = "", .body = map_body };
	br_cleanup(br_freep) char *list = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 'p') {
			free(list);
			list = optarg[strspn(optarg, "0123456789,-")] ? strdup(optarg) : br_asprintf("[%s]", optarg);
		} else if (c == 'r') {
			return br_cli_usage("'power map' has no option --reason");
		} else if (br_common_take(&e.common, argc, argv, c) < 0) {
			return BR_EXIT_USAGE;
		}
	}
	if (optind + 2 > argc)
		return br_cli_usage("a URI with {port} in it and boards are needed");
	e.uri = argv[optind];
	if (list && br_hostlist_expand(list, &e.ports, &e.n_ports, NULL) < 0)
		return br_cli_usage("--ports %s: ports are needed, as 1-24 or 1,3,5-8", list);
	r = each_of(&e, argc, argv, optind + 1);
	br_hostlist_free(e.ports, e.n_ports);
	return r;
}

/* ---- quarantine, release ---- */

static json_t *reason_body(const struct each *e, const char *board, size_t i, struct br_error *err)
{
	return json_pack("{s:s}", "reason", e->reason);
}

static int quarantine(int argc, char **argv)
{
	struct each e = { .method = "POST", .tail = "/quarantine", .body = reason_body };
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 'r')
			e.reason = optarg;
		else if (c == 'p')
			return br_cli_usage("'power quarantine' has no option --ports");
		else if (br_common_take(&e.common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (!e.reason || optind == argc)
		return br_cli_usage("boards and --reason WORDS are needed");
	return each_of(&e, argc, argv, optind);
}

static int release(int argc, char **argv)
{
	struct each e = { .method = "DELETE", .tail = "/quarantine" };
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 'r' || c == 'p')
			return br_cli_usage("'power release' has no such option");
		if (br_common_take(&e.common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (optind == argc)
		return br_cli_usage("boards are needed");
	return each_of(&e, argc, argv, optind);
}

/* ---- key ---- */

static int key(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *answer = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 0, 0, "", &client);

	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/power-key", NULL, &answer, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (common.form != BR_FORM_TABLE)
		br_print_json(answer, common.form == BR_FORM_JSON);
	else
		printf("%s", json_string_value(json_object_get(answer, "public_key")) ?: "");
	return BR_EXIT_OK;
}

#define FORMS "  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the names of the boards\n"

const struct br_command br_cli_power_set[] = {
	{ "power", "list", "[-o table|json|jsonl] [-q]", "Lists how boards are switched, and whether they were on when last looked at", list, FORMS },
	{ "power", "map", "URI BOARDS [--ports PORTS] [-o json]", "Says of many boards at once what switches them", map,
		"  URI                with {port}: snmp://rack1/{port}, tasmota://10.0.0.9/{port}; also {board}\n"
		"  --ports PORTS      of the boards in their order, as 1-24 or 1,3,5-8; without it 1, 2, 3 ...\n" FORMS },
	{ "power", "quarantine", "BOARDS --reason WORDS", "Sets boards aside: not for jobs, and not switched on without --force", quarantine,
		"  --reason WORDS     why, for the others\n" FORMS },
	{ "power", "release", "BOARDS", "Takes boards back from quarantine", release, FORMS },
	{ "power", "key", "", "Prints the ssh key that boards must know for a soft reboot", key, "  -o, --output FORM  table, json or jsonl\n" },
	{ 0 },
};
