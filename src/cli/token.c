/* SPDX-License-Identifier: Apache-2.0 */
/* bramble token: who may do what by TCP. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "name", out);
}

static void cell_scope(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "scope", out);
}

static void cell_boards(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "boards", out);
	if (!strcmp(out, "-"))
		strcpy(out, "all");
}

static void cell_used(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, "used_at", out);
}

static void cell_expires(const json_t *row, char out[static BR_CELL_MAX])
{
	char text[BR_CELL_MAX];

	br_cell_text(row, "expires_at", text);
	if (json_is_true(json_object_get(row, "expired")))
		strcpy(out, "expired");
	else
		snprintf(out, BR_CELL_MAX, "%.16s", strcmp(text, "-") ? text : "never");
}

static void cell_made_by(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "made_by", out);
}

static const struct br_column columns[] = {
	{ "NAME", cell_name }, { "SCOPE", cell_scope }, { "BOARDS", cell_boards }, { "USED", cell_used }, { "EXPIRES", cell_expires },
	{ "MADE BY", cell_made_by }, { NULL, NULL },
};

static int token_list(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *tokens = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 0, 0, "nothing", &client);

	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/tokens", NULL, &tokens, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(tokens, columns, "name", &common);
	return BR_EXIT_OK;
}

static int read_new(int argc, char **argv, struct br_common *common, json_t *body)
{
	static const struct option options[] = {
		{ "scope", required_argument, NULL, 's' },
		{ "expires", required_argument, NULL, 300 },
		{ "boards", required_argument, NULL, 301 },
		BR_COMMON_LONG,
	};
	int c;

	while ((c = getopt_long(argc, argv, ":s:" BR_COMMON_SHORT, options, NULL)) != -1) {
		const char *key = c == 's' ? "scope" : c == 300 ? "expires_in" : c == 301 ? "boards" : NULL;

		if (key && json_object_set_new(body, key, json_string(optarg)) < 0)
			return br_cli_usage("'%s': the value is no UTF-8 text", key);
		if (!key && br_common_take(common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (argc - optind != 1)
		return br_cli_usage("a name for the token is needed");
	if (json_object_set_new(body, "name", json_string(argv[optind])) < 0)
		return br_cli_usage("the name must be UTF-8 text");
	return 0;
}

static int token_new(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *body = json_object(), *token = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = read_new(argc, argv, &common, body);

	if (r)
		return r;
	r = br_client_new(common.state, &client, &err);
	if (r >= 0)
		r = br_client_call(client, "POST", "/v1/tokens", body, &token, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (common.form != BR_FORM_TABLE) {
		br_print_json(token, common.form == BR_FORM_JSON);
		return BR_EXIT_OK;
	}
	puts(json_string_value(json_object_get(token, "token")) ?: "");
	if (!common.quiet)
		fprintf(stderr, "This is its only copy: the daemon keeps a hash of it. Use it as BRAMBLE_TOKEN, or in a file with --token-file.\n");
	return BR_EXIT_OK;
}

static int token_revoke(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *name = NULL, *path = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 1, 1, "the name of a token", &client);

	if (r)
		return r;
	name = br_client_escape(argv[optind]);
	path = name ? br_asprintf("/v1/tokens/%s", name) : NULL;
	r = path ? br_client_call(client, "DELETE", path, NULL, NULL, &err) : -ENOMEM;
	if (r < 0)
		return br_cli_error(&err, r);
	if (!common.quiet)
		printf("token %s is revoked; what it was used for has ended\n", argv[optind]);
	return BR_EXIT_OK;
}

const struct br_command br_cli_token[] = {
	{ "token", "new", "NAME [-s read|operate|admin] [--expires DURATION] [--boards BOARDS] [-o table|json]", "Makes a token for the API by TCP",
		token_new,
		"  -s, --scope SCOPE    read (default), operate: boards, their disks, power, flashing; admin: all\n"
		"  --expires DURATION   from when on it is worth nothing, as 12h or 90d (default: never)\n"
		"  --boards BOARDS      the only boards it may change: names, tag=..., model=... (default: all)\n"
		"  -o, --output FORM    table (the token alone), json or jsonl\n" },
	{ "token", "list", "[-o table|json|jsonl] [-q]", "Lists the tokens, without what they are", token_list,
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the names\n" },
	{ "token", "revoke", "NAME", "Revokes a token: what it is used for ends at once", token_revoke,
		"  -q, --quiet        no output\n" },
	{ 0 },
};
