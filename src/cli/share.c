/* SPDX-License-Identifier: Apache-2.0 */
/* bramble share: directories of the host that boards may mount. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
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

static void cell_mode(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "mode", out);
}

static void cell_boards(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "boards", out);
	if (!strcmp(out, "-"))
		strcpy(out, "all");
}

static void cell_owner(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "owner", out);
}

static void cell_dir(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "dir", out);
}

static void cell_state(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "problem", out);
	if (!strcmp(out, "-"))
		strcpy(out, "ok");
}

static const struct br_column columns[] = {
	{ "NAME", cell_name }, { "MODE", cell_mode }, { "BOARDS", cell_boards }, { "OWNER", cell_owner }, { "DIRECTORY", cell_dir },
	{ "STATE", cell_state }, { NULL, NULL },
};

static int share_list(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *shares = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 0, 0, "nothing", &client);

	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/shares", NULL, &shares, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(shares, columns, "name", &common);
	return BR_EXIT_OK;
}

enum { OPT_RO = 300, OPT_RW, OPT_BOARDS, OPT_OWNER };

static const struct option add_options[] = {
	{ "ro", no_argument, NULL, OPT_RO },
	{ "rw", no_argument, NULL, OPT_RW },
	{ "boards", required_argument, NULL, OPT_BOARDS },
	{ "owner", required_argument, NULL, OPT_OWNER },
	BR_COMMON_LONG,
};

static int read_add(int argc, char **argv, struct br_common *common, json_t *body)
{
	const char *mode = NULL;
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, add_options, NULL)) != -1) {
		if (c == OPT_RO || c == OPT_RW) {
			const char *now = c == OPT_RO ? "ro" : "rw";

			if (mode && strcmp(mode, now) != 0)
				return br_cli_usage("--ro and --rw: one of them");
			mode = now;
		} else if (c == OPT_BOARDS || c == OPT_OWNER) {
			const char *key = c == OPT_BOARDS ? "boards" : "owner";

			if (json_object_set_new(body, key, json_string(optarg)) < 0)
				return br_cli_usage("option '--%s': the value is no UTF-8 text", key);
		} else if (br_common_take(common, argc, argv, c) < 0) {
			return BR_EXIT_USAGE;
		}
	}
	if (mode)
		json_object_set_new(body, "mode", json_string(mode));
	if (argc - optind != 2)
		return br_cli_usage("a name and a directory are needed");
	return 0;
}

static int share_add(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *body = json_object(), *share = NULL;
	br_cleanup(br_freep) char *dir = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	const char *name;
	int r = read_add(argc, argv, &common, body);

	if (r)
		return r;
	name = argv[optind];
	dir = realpath(argv[optind + 1], NULL); /* the daemon works elsewhere */
	if (!dir)
		return br_cli_fail(errno == ENOENT ? BR_EXIT_NOT_FOUND : BR_EXIT_FAILED, "directory %s: %s", argv[optind + 1],
			strerrordesc_np(errno));
	if (json_object_set_new(body, "name", json_string(name)) < 0 || json_object_set_new(body, "dir", json_string(dir)) < 0)
		return br_cli_usage("name and directory must be UTF-8 text");
	r = br_client_new(common.state, &client, &err);
	if (r >= 0)
		r = br_client_call(client, "POST", "/v1/shares", body, &share, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (common.form != BR_FORM_TABLE)
		br_print_json(share, common.form == BR_FORM_JSON);
	else if (!common.quiet)
		printf("%s is /share/%s to boards, %s\n", dir, name,
			strcmp(json_string_value(json_object_get(share, "mode")) ?: "", "rw") ? "read-only" : "to read and write");
	return BR_EXIT_OK;
}

static int share_rm(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 1, INT_MAX, "a share", &client);

	if (r)
		return r;
	for (int i = optind; i < argc && r >= 0; i++) {
		br_cleanup(br_freep) char *name = br_client_escape(argv[i]);
		br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/shares/%s", name) : NULL;

		r = path ? br_client_call(client, "DELETE", path, NULL, NULL, &err) : -ENOMEM;
		if (r >= 0 && !common.quiet)
			printf("removed %s; its directory stays as it is\n", argv[i]);
	}
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

const struct br_command br_cli_share[] = {
	{ "share", "add", "NAME DIR [--ro|--rw] [--boards BOARDS] [--owner UID:GID]", "Lets boards mount a directory as /share/NAME",
		share_add,
		"The directory is used as the user that bramble runs as. On a board: mount -t nfs -o nolock,vers=3 SERVER:/share/NAME DIR\n"
		"  --ro               boards read only (default)\n"
		"  --rw               boards write, too: what they make belongs to bramble's user on this machine\n"
		"  --boards BOARDS    those that may, as pi[01-24],lab-x (default: all)\n"
		"  --owner UID:GID    whom boards see as the owner of what is that user's (default: 1000:1000); root on a\n"
		"                     board may do what bramble's user may\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        says nothing\n" },
	{ "share", "list", "[-o table|json|jsonl] [-q]", "Lists the directories that boards may mount", share_list,
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the names\n" },
	{ "share", "rm", "NAME...", "Takes directories away from boards; nothing in them is touched", share_rm,
		"  -q, --quiet        says nothing\n" },
	{ 0 },
};
