/* SPDX-License-Identifier: Apache-2.0 */
/* bramble disk: what is on a board's disk. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/ls.h"
#include "cli/table.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

struct request {
	struct br_common common;
	const char *board, *path; /* path: what follows the board, may be NULL */
};

/* n_min and n_max: how many words may follow. 0, or an exit code. */
static int read_options(int argc, char **argv, int n_min, int n_max, struct request *q)
{
	static const struct option options[] = { BR_COMMON_LONG };
	int c, n;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	n = argc - optind;
	if (n < n_min)
		return br_cli_usage(n ? "a path is needed" : "a board is needed");
	if (n > n_max)
		return br_cli_usage("too many words");
	q->board = argv[optind];
	q->path = n > 1 ? argv[optind + 1] : NULL;
	return 0;
}

/* "/v1/boards/NAME/disk" and what, with the path as a parameter. NULL when memory is out. */
static char *make_path(const struct request *q, const char *what)
{
	br_cleanup(br_freep) char *board = br_client_escape(q->board);
	br_cleanup(br_freep) char *path = br_client_escape(q->path ? q->path : "/");
	bool with_path = !strcmp(what, "/ls") || !strcmp(what, "/cat");

	if (!board || !path)
		return NULL;
	return br_asprintf("/v1/boards/%s/disk%s%s%s", board, what, with_path ? "?path=" : "", with_path ? path : "");
}

/* The usual beginning: a client and the path. */
static int prepare(const struct request *q, const char *what, struct br_client **ret_client, char **ret_path,
	struct br_error *err)
{
	*ret_path = make_path(q, what);
	return *ret_path ? br_client_new(q->common.state, ret_client, err) : -ENOMEM;
}

static int disk_ls(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *answer = NULL;
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, 1, 2, &q);

	if (r)
		return r;
	r = prepare(&q, "/ls", &client, &path, &err);
	if (r >= 0)
		r = br_client_call(client, "GET", path, NULL, &answer, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(json_object_get(answer, "entries"), br_ls_columns, "name", &q.common);
	return BR_EXIT_OK;
}

static int take_to_stdout(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	int r = br_write_all(STDOUT_FILENO, data, n);

	return r < 0 ? br_error_set(err, -r, "standard output: %s", strerrordesc_np(-r)) : 0;
}

static int disk_cat(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, 2, 2, &q);

	if (r)
		return r;
	r = prepare(&q, "/cat", &client, &path, &err);
	if (r >= 0)
		r = br_client_stream(client, path, take_to_stdout, NULL, &err);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

static void print_size(const char *title, const json_t *u, const char *key)
{
	char size[16];

	printf("%-12s%s\n", title,
		br_format_size(size, sizeof(size), (uint64_t)json_integer_value(json_object_get(u, key))));
}

static int disk_show(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *u = NULL;
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	char cell[BR_CELL_MAX];
	int r = read_options(argc, argv, 1, 1, &q);

	if (r)
		return r;
	r = prepare(&q, "", &client, &path, &err);
	if (r >= 0)
		r = br_client_call(client, "GET", path, NULL, &u, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (q.common.form != BR_FORM_TABLE) {
		br_print_json(u, q.common.form == BR_FORM_JSON);
		return BR_EXIT_OK;
	}
	br_cell_text(u, "board", cell);
	printf("%-12s%s\n", "board:", cell);
	br_cell_text(u, "disk", cell);
	printf("%-12s%s\n", "disk:", cell);
	print_size("size:", u, "base_bytes");
	print_size("free:", u, "fs_free_bytes");
	print_size("changed:", u, "changed_bytes");
	print_size("stored:", u, "stored_bytes");
	if (json_object_get(u, "problem")) {
		br_cell_text(u, "problem", cell);
		printf("%-12s%s\n", "problem:", cell);
	}
	printf("%-12s%" JSON_INTEGER_FORMAT "\n", "layers:", json_integer_value(json_object_get(u, "layers")));
	return BR_EXIT_OK;
}

const struct br_command br_cli_disk[] = {
	{ "disk", "show", "BOARD [-o table|json]", "Shows how much a board's disk has changed", disk_show,
		"  -o, --output FORM  table, json or jsonl\n" },
	{ "disk", "ls", "BOARD [PATH] [-o table|json|jsonl] [-q]", "Lists a directory as the board sees it", disk_ls,
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the names\n" },
	{ "disk", "cat", "BOARD PATH", "Writes a file of the board's disk to standard output", disk_cat, NULL },
	{ 0 },
};
