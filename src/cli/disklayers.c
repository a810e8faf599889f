/* SPDX-License-Identifier: Apache-2.0 */
/* bramble disk save, snapshot, rollback, reset, diff: a board's disk as a whole. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "base/waiting.h"
#include "cli/cli.h"
#include "cli/diffrows.h"
#include "cli/table.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

struct request {
	struct br_common common;
	const char *board, *word; /* word: what follows the board, may be NULL */
	bool force, replace, remove, no_times, persist;
	struct br_client *client;
	char *path;
};

static void request_done(struct request *q)
{
	br_client_free(q->client);
	free(q->path);
}

/* options: those of the command; n_max: words it takes. 0, or an exit code. */
static int read_options(int argc, char **argv, const struct option *options, int n_min, int n_max, const char *need,
	struct request *q)
{
	int c, n;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 300)
			q->force = true;
		else if (c == 301)
			q->replace = true;
		else if (c == 302)
			q->remove = true;
		else if (c == 303)
			q->no_times = true;
		else if (c == 304)
			q->persist = true;
		else if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	n = argc - optind;
	if (n < n_min)
		return br_cli_usage("%s", n ? need : "a board is needed");
	if (n > n_max)
		return br_cli_usage("too many words");
	q->board = argv[optind];
	q->word = n > 1 ? argv[optind + 1] : NULL;
	return 0;
}

static const struct option with_no_times[] = { { "no-times", no_argument, NULL, 303 }, BR_COMMON_LONG };
static const struct option plain[] = { BR_COMMON_LONG };
static const struct option with_force[] = { { "force", no_argument, NULL, 300 }, BR_COMMON_LONG };
static const struct option of_reset[] = {
	{ "force", no_argument, NULL, 300 }, { "persist", no_argument, NULL, 304 }, BR_COMMON_LONG
};
static const struct option with_replace[] = { { "replace", no_argument, NULL, 301 }, BR_COMMON_LONG };
static const struct option with_remove[] = { { "remove", no_argument, NULL, 302 }, BR_COMMON_LONG };

/* Takes body. key: a parameter with the word, or NULL. */
static int call(struct request *q, const char *method, const char *what, const char *key, json_t *body, json_t **ret,
	struct br_error *err)
{
	br_cleanup(br_freep) char *board = br_client_escape(q->board);
	br_cleanup(br_freep) char *word = br_client_escape(q->word ? q->word : "");
	br_cleanup(br_freep) char *doing = br_asprintf("board %s: disk %s", q->board, what);
	struct br_waiting *waiting;
	int r = -ENOMEM;

	if (board && word)
		q->path = br_asprintf("/v1/boards/%s/disk/%s%s%s%s%s", board, what, key ? "?" : "", key ? key : "", key ? "=" : "",
			key ? word : "");
	if (q->path)
		r = br_client_new(q->common.state, &q->client, err);
	if (r >= 0) {
		waiting = br_waiting_start(doing ? doing : what, q->common.quiet);
		r = br_client_call(q->client, method, q->path, body, ret, err);
		br_waiting_end(waiting);
	}
	json_decref(body);
	return r;
}

/* What of the board's own would be in an image for others. */
static void warn_of_own_files(const struct request *q, const json_t *answer)
{
	const json_t *own = json_object_get(answer, "own_files");
	struct br_text t = BR_TEXT_NULL;

	for (size_t i = 0; i < json_array_size(own); i++)
		br_text_addf(&t, "%s%s", i ? ", " : "", json_string_value(json_array_get(own, i)) ?: "?");
	if (t.buf)
		fprintf(stderr, "bramble: warning: board %s wrote %s itself: boards on the new image get %s instead of their own\n",
			q->board, t.buf, json_array_size(own) > 1 ? "these" : "this");
	br_text_done(&t);
}

static int disk_save(int argc, char **argv)
{
	br_cleanup(request_done) struct request q = { 0 };
	br_cleanup(json_decrefp) json_t *answer = NULL;
	struct br_error err = BR_ERROR_NULL;
	char image[BR_CELL_MAX], size[16], shared[16];
	int r = read_options(argc, argv, with_replace, 2, 2, "a name for the image is needed", &q);

	if (r)
		return r;
	r = call(&q, "POST", "save", NULL, json_pack("{s:s, s:b}", "image", q.word, "replace", q.replace), &answer, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	warn_of_own_files(&q, answer);
	br_cell_text(answer, "image", image);
	if (q.common.form != BR_FORM_TABLE)
		br_print_json(answer, q.common.form == BR_FORM_JSON);
	else if (q.common.quiet)
		puts(image);
	else
		printf("image %s: the disk of board %s, %s more than %s, %s shared with it\n", image, q.board,
			br_format_size(size, sizeof(size), (uint64_t)json_integer_value(json_object_get(answer, "layer_bytes"))),
			json_string_value(json_object_get(answer, "parent")),
			br_format_size(shared, sizeof(shared), (uint64_t)json_integer_value(json_object_get(answer, "shared_bytes"))));
	return BR_EXIT_OK;
}

static int disk_snapshot(int argc, char **argv)
{
	br_cleanup(request_done) struct request q = { 0 };
	br_cleanup(json_decrefp) json_t *answer = NULL;
	struct br_error err = BR_ERROR_NULL;
	char name[BR_CELL_MAX];
	int r = read_options(argc, argv, with_remove, 1, 2, "", &q);

	if (r)
		return r;
	if (q.remove && !q.word)
		return br_cli_usage("the name of a snapshot is needed");
	if (q.remove)
		r = call(&q, "DELETE", "snapshots", "name", NULL, &answer, &err);
	else
		r = call(&q, "POST", "snapshots", NULL, json_pack("{s:s*}", "name", q.word), &answer, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_cell_text(answer, q.remove ? "removed" : "name", name);
	if (q.common.form != BR_FORM_TABLE)
		br_print_json(answer, q.common.form == BR_FORM_JSON);
	else if (q.common.quiet)
		puts(name);
	else
		printf("snapshot %s of board %s%s\n", name, q.board, q.remove ? " removed" : "");
	return BR_EXIT_OK;
}

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "name", out);
}

static void cell_taken(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, "taken_at", out);
}

static const struct br_column snapshot_columns[] = {
	{ "NAME", cell_name }, { "TAKEN", cell_taken }, { NULL, NULL },
};

static int print_list(int argc, char **argv, const struct option *options, const char *what, const struct br_column *columns,
	const char *key)
{
	br_cleanup(request_done) struct request q = { 0 };
	br_cleanup(json_decrefp) json_t *answer = NULL;
	struct br_error err = BR_ERROR_NULL;
	int r = read_options(argc, argv, options, 1, 1, "", &q);

	if (r)
		return r;
	r = call(&q, "GET", what, NULL, NULL, &answer, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (q.no_times)
		br_diff_without_times(answer);
	br_table_print(answer, columns, key, &q.common);
	return BR_EXIT_OK;
}

static int disk_snapshots(int argc, char **argv)
{
	return print_list(argc, argv, plain, "snapshots", snapshot_columns, "name");
}

static int disk_diff(int argc, char **argv)
{
	return print_list(argc, argv, with_no_times, "diff", br_diff_columns, "path");
}

static void print_stale(const struct request *q, const json_t *answer)
{
	if (json_is_true(json_object_get(answer, "stale_handles")))
		fprintf(stderr, "bramble: warning: board %s had mounted the disk: what it has open there is stale, restart it\n",
			q->board);
}

static int disk_rollback(int argc, char **argv)
{
	br_cleanup(request_done) struct request q = { 0 };
	br_cleanup(json_decrefp) json_t *answer = NULL;
	struct br_error err = BR_ERROR_NULL;
	int r = read_options(argc, argv, with_force, 2, 2, "the name of a snapshot is needed", &q);

	if (r)
		return r;
	r = call(&q, "POST", "rollback", NULL, json_pack("{s:s, s:b}", "name", q.word, "force", q.force), &answer, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	print_stale(&q, answer);
	if (!q.common.quiet)
		printf("board %s is at its snapshot %s again\n", q.board, q.word);
	return BR_EXIT_OK;
}

static int disk_reset(int argc, char **argv)
{
	br_cleanup(request_done) struct request q = { 0 };
	br_cleanup(json_decrefp) json_t *answer = NULL;
	struct br_error err = BR_ERROR_NULL;
	int r = read_options(argc, argv, of_reset, 1, 1, "", &q);
	char what[40];

	if (r)
		return r;
	snprintf(what, sizeof(what), "reset?force=%d&persist=%d", q.force, q.persist);
	r = call(&q, "POST", what, NULL, NULL, &answer, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	print_stale(&q, answer);
	if (!q.common.quiet)
		printf("board %s starts from its image again\n", q.board);
	return BR_EXIT_OK;
}

#define QUIET "  -q, --quiet        no closing line\n"

const struct br_command br_cli_layers[] = {
	{ "disk", "save", "BOARD IMAGE[:TAG] [--replace] [-o table|json] [-q]", "Makes an image of a board's disk as it is now",
		disk_save,
		"The board goes on meanwhile. The image shares what it has in common with the board's own; the boot\n"
		"partition is that one's. What bramble gives each board (host name, keys, machine-id) is not in it,\n"
		"unless the board wrote these files itself: then a warning names them.\n"
		"  --replace          take the place of another image of this name\n"
		"  -o, --output FORM  table, json or jsonl\n"
		"  -q, --quiet        print only the name\n" },
	{ "disk", "snapshot", "BOARD [NAME] [--remove] [-q]", "Remembers what a board's persistent disk is now", disk_snapshot,
		"Without NAME it is a number.\n"
		"  --remove           forget snapshot NAME; 'bramble image gc' then frees what only it needed\n"
		"  -q, --quiet        print only the name\n" },
	{ "disk", "snapshots", "BOARD [-o table|json|jsonl] [-q]", "Lists the snapshots of a board's disk", disk_snapshots,
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the names\n" },
	{ "disk", "rollback", "BOARD NAME [--force] [-q]", "Makes a board's disk what it was at a snapshot", disk_rollback,
		"What was written since is lost; later snapshots stay.\n"
		"  --force            even when the board has mounted it: restart the board then\n" QUIET },
	{ "disk", "reset", "BOARD [--force] [--persist] [-q]", "Drops all that a board wrote: it starts from its image again", disk_reset,
		"  --force            even when the board has mounted it (restart it then), and with its snapshots\n"
		"  --persist          what is in its area /persist, too\n" QUIET },
	{ "disk", "diff", "BOARD [--no-times] [-o table|json|jsonl] [-q]", "Lists the files that a board changed", disk_diff,
		"Compares the disk with the image it was made on. What changed is said: type, content, target (of a link),\n"
		"device, mode, owner, xattr, time.\n"
		"  --no-times         leave out what differs in its time only\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the paths\n" },
	{ 0 },
};
