/* SPDX-License-Identifier: Apache-2.0 */
/* bramble image tag, diff, gc: what images share. tag and gc go through the daemon when there is one. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/filejson.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/diffrows.h"
#include "cli/table.h"
#include "store/diff.h"
#include "store/image.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);
BR_DEFINE_CLEANUP(struct br_store *, br_store_close);
BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

struct request {
	struct br_common common;
	bool replace, dry, no_times;
	char **words;
};

static const struct option tag_options[] = { { "replace", no_argument, NULL, 300 }, BR_COMMON_LONG };
static const struct option gc_options[] = { { "dry-run", no_argument, NULL, 301 }, BR_COMMON_LONG };
static const struct option diff_options[] = { { "no-times", no_argument, NULL, 302 }, BR_COMMON_LONG };

/* 0, or an exit code. */
static int read_options(int argc, char **argv, const struct option *options, int n, struct request *q)
{
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 300)
			q->replace = true;
		else if (c == 301)
			q->dry = true;
		else if (c == 302)
			q->no_times = true;
		else if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	q->words = argv + optind;
	if (argc - optind < n)
		return br_cli_usage("two images are needed");
	if (argc - optind > n)
		return br_cli_usage("too many words");
	return 0;
}

/* The daemon's answer; -ECONNREFUSED: there is none, and the store is ours. Takes body. */
static int ask_daemon(const struct request *q, const char *path, json_t *body, json_t **ret, struct br_error *err)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	int r = path ? br_client_new(q->common.state, &client, err) : -ENOMEM;

	if (r >= 0)
		r = br_client_call(client, "POST", path, body, ret, err);
	json_decref(body);
	return r;
}

/* ---- tag ---- */

static int tag(const struct request *q, struct br_error *err)
{
	br_cleanup(br_freep) char *name = br_client_escape(q->words[0]);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/images/%s/tag", name) : NULL;
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(json_decrefp) json_t *answer = NULL;
	int r = ask_daemon(q, path, json_pack("{s:s, s:b}", "as", q->words[1], "replace", q->replace), &answer, err);

	if (r != -ECONNREFUSED)
		return r;
	*err = BR_ERROR_NULL;
	r = br_common_store(&q->common, &store, err);
	return r < 0 ? r : br_store_tag(store, q->words[0], q->words[1], q->replace, err);
}

static int image_tag(int argc, char **argv)
{
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, tag_options, 2, &q);

	if (r)
		return r;
	r = tag(&q, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (!q.common.quiet)
		printf("%s is another name of %s\n", q.words[1], q.words[0]);
	return BR_EXIT_OK;
}

/* ---- gc ---- */

static int gc(const struct request *q, json_t **ret, struct br_error *err)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	int r = ask_daemon(q, q->dry ? "/v1/gc?dry_run=1" : "/v1/gc", NULL, ret, err);

	if (r != -ECONNREFUSED)
		return r;
	*err = BR_ERROR_NULL;
	r = br_common_store(&q->common, &store, err);
	if (r < 0)
		return r;
	*ret = json_array();
	return br_store_gc(store, q->dry, br_json_add_garbage, *ret, err);
}

static void cell_path(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "path", out);
}

static void cell_bytes(const json_t *row, char out[static BR_CELL_MAX])
{
	br_format_size(out, BR_CELL_MAX, (uint64_t)json_integer_value(json_object_get(row, "bytes")));
}

static const struct br_column gc_columns[] = { { "SIZE", cell_bytes }, { "PATH", cell_path }, { NULL, NULL } };

static int image_gc(int argc, char **argv)
{
	br_cleanup(json_decrefp) json_t *rows = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	uint64_t bytes = 0;
	char size[16];
	size_t i;
	json_t *row;
	int r = read_options(argc, argv, gc_options, 0, &q);

	if (r)
		return r;
	r = gc(&q, &rows, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (q.dry || q.common.form != BR_FORM_TABLE) {
		br_table_print(rows, gc_columns, "path", &q.common);
		return BR_EXIT_OK;
	}
	json_array_foreach(rows, i, row)
		bytes += (uint64_t)json_integer_value(json_object_get(row, "bytes"));
	if (!q.common.quiet)
		printf("%zu layer%s removed, %s freed\n", json_array_size(rows), json_array_size(rows) == 1 ? "" : "s",
			br_format_size(size, sizeof(size), bytes));
	return BR_EXIT_OK;
}

/* ---- diff ---- */

static int image_diff(int argc, char **argv)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_image_unrefp) struct br_image *a = NULL, *b = NULL;
	br_cleanup(json_decrefp) json_t *rows = json_array();
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, diff_options, 2, &q);

	if (r)
		return r;
	r = br_common_store(&q.common, &store, &err);
	if (!r)
		r = br_image_open(store, q.words[0], &a, &err);
	if (!r)
		r = br_image_open(store, q.words[1], &b, &err);
	if (!r)
		r = br_image_diff(a, b, br_json_add_diff, rows, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (q.no_times)
		br_diff_without_times(rows);
	br_table_print(rows, br_diff_columns, "path", &q.common);
	return BR_EXIT_OK;
}

const struct br_command br_cli_image_layers[] = {
	{ "image", "tag", "IMAGE NAME[:TAG] [--replace] [-q]", "Gives an image another name; nothing is copied", image_tag,
		"NAME alone is NAME:latest.\n"
		"  --replace          the name is moved when another image has it\n"
		"  -q, --quiet        say nothing\n" },
	{ "image", "diff", "A B [--no-times] [-o table|json|jsonl] [-q]", "Lists the files in which two images differ", image_diff,
		"Images that share layers are compared by their blocks: only files that may differ are read.\n"
		"What changed is said: type, content, target (of a link), device, mode, owner, xattr, time.\n"
		"  --no-times         leave out what differs in its time only\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the paths\n" },
	{ "image", "gc", "[--dry-run] [-o table|json|jsonl] [-q]", "Removes layers that no image and no disk needs", image_gc,
		"  --dry-run          only list them\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        say nothing\n" },
	{ 0 },
};
