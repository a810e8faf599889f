/* SPDX-License-Identifier: Apache-2.0 */
/* bramble board: the boards, what they get, changing them. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"

#define COMMON_DETAILS \
	"  -o, --output FORM  table, json or jsonl\n" \
	"  -q, --quiet        only the names\n"

BR_CELL(cell_name, "name");
BR_CELL(cell_model, "model");
BR_CELL(cell_serial, "serial");
BR_CELL(cell_mac, "mac");
BR_CELL(cell_address, "address");
BR_CELL(cell_image, "effective.image");
BR_CELL(cell_disk, "effective.disk");

static void cell_stage(const json_t *row, char out[static BR_CELL_MAX])
{
	const char *road = json_string_value(br_json_at(row, "effective.road"));

	br_cell_text(row, "boot.stage", out);
	if (!strcmp(out, "-") && road && !strcmp(road, "local"))
		strcpy(out, "(local)");
}

static void cell_seen(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, "seen_at", out);
}

static const struct br_column board_columns[] = {
	{ "NAME", cell_name }, { "MODEL", cell_model }, { "SERIAL", cell_serial }, { "MAC", cell_mac },
	{ "ADDRESS", cell_address }, { "IMAGE", cell_image }, { "DISK", cell_disk }, { "STAGE", cell_stage },
	{ "SEEN", cell_seen }, { NULL, NULL },
};

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

/* Every board named in the words, or all when there are none. */
static int fetch(struct br_client *client, int n, char **words, json_t **ret, struct br_error *err)
{
	struct br_text path = BR_TEXT_NULL;
	br_cleanup(br_freep) char *text = NULL;
	int r;

	br_text_add(&path, "/v1/boards");
	for (int i = 0; i < n; i++) {
		br_cleanup(br_freep) char *part = br_client_escape(words[i]);

		br_text_addf(&path, "%s%s", i ? "," : "?names=", part ? part : "");
	}
	text = br_text_take(&path);
	if (!text)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_client_call(client, "GET", text, NULL, ret, err);
	if (r >= 0 && !json_is_array(*ret))
		r = br_error_set(err, EIO, "the daemon's answer is no list");
	return r;
}

static int board_list(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *boards = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r;

	r = br_common_start(&common, argc, argv, 0, INT_MAX, "a board", &client);
	if (r)
		return r;
	r = fetch(client, argc - optind, argv + optind, &boards, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(boards, board_columns, "name", &common);
	if (!json_array_size(boards) && common.form == BR_FORM_TABLE && !common.quiet && optind == argc)
		fputs("No boards yet: power one on in the network that bramble serves.\n", stderr);
	return BR_EXIT_OK;
}

/* "name:" and its value, when it has one. */
static void print_field(const json_t *row, const char *title, const char *path)
{
	char cell[BR_CELL_MAX];

	br_cell_text(row, path, cell);
	printf("%-12s%s\n", title, cell);
}

/* A longer text than a cell holds. */
static void print_long(const char *title, const json_t *text)
{
	struct br_text vis = BR_TEXT_NULL;
	const char *s = json_string_value(text);

	if (!s)
		return;
	br_text_add_vis(&vis, s, strlen(s));
	printf("%-12s%s\n", title, vis.buf ? vis.buf : "");
	br_text_done(&vis);
}

/* Those of one origin; NULL: all. */
static void print_files(const json_t *files, const char *title, const char *origin)
{
	const json_t *f;
	char cell[BR_CELL_MAX], layer[BR_CELL_MAX];
	size_t i;
	bool first = true;

	json_array_foreach((json_t *)(uintptr_t)files, i, f) {
		const char *from = json_string_value(json_object_get(f, "origin"));

		if (origin && (!from || strcmp(from, origin)))
			continue;
		br_cell_text(f, "path", cell);
		printf("%-12s%s%s", first ? title : "", cell, json_is_true(json_object_get(f, "hidden")) ? " (hidden)" : "");
		if (json_object_get(f, "layer"))
			printf(" (%s)", (br_cell_text(f, "layer", layer), layer));
		if (json_object_get(f, "why"))
			printf(" - %s", (br_cell_text(f, "why", layer), layer));
		putchar('\n');
		first = false;
	}
}

/* What it told of itself over USB. */
static void print_facts(const json_t *facts)
{
	char name[BR_CELL_MAX], value[BR_CELL_MAX];
	const char *key;
	json_t *text;
	bool first = true;

	json_object_foreach((json_t *)(uintptr_t)facts, key, text) {
		br_vis(name, sizeof(name), key, strlen(key));
		br_vis(value, sizeof(value), json_string_value(text) ?: "", json_string_length(text));
		printf("%-12s%s %s\n", first ? "told:" : "", name, value);
		first = false;
	}
}

static void print_board(const json_t *b, const json_t *plan)
{
	static const struct {
		const char *title, *path;
	} fields[] = {
		{ "name:", "name" }, { "model:", "model" }, { "revision:", "revision" }, { "serial:", "serial" },
		{ "mac:", "mac" }, { "address:", "address" }, { "fixed:", "fixed_address" }, { "image:", "effective.image" },
		{ "disk:", "effective.disk" }, { "size:", "disk_size" },
		{ "persist:", "effective.persist" },
		{ "road:", "effective.road" }, { "signed:", "signed" }, { "tags:", "tags" }, { "power:", "power" },
		{ "console:", "console" }, { "notes:", "notes" },
		{ "adopted:", "adopted_at" }, { "seen:", "seen_at" }, { "boot:", "boot.number" },
		{ "stage:", "boot.stage" }, { "since:", "boot.stage_at" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++)
		print_field(b, fields[i].title, fields[i].path);
	print_facts(json_object_get(b, "facts"));
	if (!plan)
		return;
	print_long("cmdline:", json_object_get(plan, "cmdline"));
	print_files(json_object_get(plan, "boot_files"), "overrides:", "override");
	print_long("left out:", json_object_get(plan, "problem"));
	print_files(json_object_get(plan, "boot_files"), "made boot:", "projected");
	print_files(json_object_get(plan, "root_files"), "made root:", NULL);
	print_long("layout:", json_object_get(plan, "layout"));
	print_long("not known:", json_object_get(plan, "unknown"));
}

/* The plan of one board, NULL when it has none (no image). */
static json_t *fetch_plan(struct br_client *client, const json_t *board)
{
	const char *name = json_string_value(json_object_get(board, "name"));
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/plan", name ? name : "");
	json_t *plan = NULL;

	if (path && br_client_call(client, "GET", path, NULL, &plan, NULL) < 0)
		return NULL;
	return plan;
}

static int board_show(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *boards = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	json_t *b;
	size_t i;
	int r;

	r = br_common_start(&common, argc, argv, 1, INT_MAX, "a board", &client);
	if (r)
		return r;
	r = fetch(client, argc - optind, argv + optind, &boards, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	json_array_foreach(boards, i, b) {
		json_t *plan = fetch_plan(client, b);

		if (plan)
			json_object_set_new(b, "plan", plan);
		if (common.form == BR_FORM_TABLE && !common.quiet) {
			if (i)
				putchar('\n');
			print_board(b, plan);
		}
	}
	if (common.form != BR_FORM_TABLE || common.quiet)
		br_table_print(boards, board_columns, "name", &common);
	return BR_EXIT_OK;
}

/* Options that set a field of the same name; "default" and "" go back to the default. */
static const struct option field_options[] = {
	{ "name", required_argument, NULL, 300 },
	{ "model", required_argument, NULL, 301 },
	{ "serial", required_argument, NULL, 302 },
	{ "mac", required_argument, NULL, 303 },
	{ "image", required_argument, NULL, 304 },
	{ "disk", required_argument, NULL, 305 },
	{ "road", required_argument, NULL, 306 },
	{ "notes", required_argument, NULL, 307 },
	{ "address", required_argument, NULL, 308 },
	{ "size", required_argument, NULL, 309 },
	{ "persist", required_argument, NULL, 310 },
	{ "signed", required_argument, NULL, 311 },
	{ "tags", required_argument, NULL, 312 },
	{ "power", required_argument, NULL, 313 },
	{ "console", required_argument, NULL, 314 },
	BR_COMMON_LONG,
};

/* Reads the options into an object of fields: 0, or an exit code. */
static int read_fields(int argc, char **argv, struct br_common *common, json_t *fields)
{
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, field_options, NULL)) != -1) {
		const char *key = c >= 300 ? field_options[c - 300].name : NULL;

		if (key && !strcmp(key, "address"))
			key = "fixed_address";
		if (key && !strcmp(key, "size"))
			key = "disk_size";
		if (!key) {
			if (br_common_take(common, argc, argv, c) < 0)
				return BR_EXIT_USAGE;
			continue;
		}
		if (!optarg[0] || (!strcmp(optarg, "default") && strcmp(key, "notes")))
			json_object_set_new(fields, key, json_null());
		else if (json_object_set_new(fields, key, json_string(optarg)) < 0)
			return br_cli_usage("option '--%s': the value is no UTF-8 text", key);
	}
	return 0;
}

/* After --quiet nothing, otherwise the boards as they are now. */
static void print_changed(const json_t *boards, const struct br_common *common)
{
	if (!common->quiet)
		br_table_print(boards, board_columns, "name", common);
}

static int board_edit(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *boards = NULL, *fields = json_object(), *after = json_array();
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	const json_t *b;
	size_t i;
	int r = read_fields(argc, argv, &common, fields);

	if (r)
		return r;
	if (optind == argc)
		return br_cli_usage("a board is needed");
	if (!json_object_size(fields))
		return br_cli_usage("nothing to change");
	r = br_client_new(common.state, &client, &err);
	if (r >= 0)
		r = fetch(client, argc - optind, argv + optind, &boards, &err);
	if (r >= 0 && json_array_size(boards) > 1 &&
		(json_object_get(fields, "name") || json_object_get(fields, "mac") ||
			json_object_get(fields, "serial")))
		return br_cli_usage("a name, a MAC or a serial is one board's");
	json_array_foreach(boards, i, b) {
		const char *name = json_string_value(json_object_get(b, "name"));
		br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s", name ? name : "");
		json_t *now = NULL;

		if (r >= 0 && path)
			r = br_client_call(client, "PATCH", path, fields, &now, &err);
		if (r >= 0)
			json_array_append_new(after, now);
	}
	if (json_array_size(after))
		print_changed(after, &common);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

static int board_add(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *fields = json_object(), *boards = json_array();
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	json_t *board = NULL;
	int r = read_fields(argc, argv, &common, fields);

	if (r)
		return r;
	if (argc - optind != 1)
		return br_cli_usage("one name is needed");
	if (!json_object_get(fields, "mac") && !json_object_get(fields, "serial"))
		return br_cli_usage("--mac or --serial is needed to know the board by");
	if (json_object_set_new(fields, "name", json_string(argv[optind])) < 0)
		return br_cli_usage("the name is no host name");
	r = br_client_new(common.state, &client, &err);
	if (r >= 0)
		r = br_client_call(client, "POST", "/v1/boards", fields, &board, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	json_array_append_new(boards, board);
	print_changed(boards, &common);
	return BR_EXIT_OK;
}

static int board_rm(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *boards = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	const json_t *b;
	size_t i;
	int r;

	r = br_common_start(&common, argc, argv, 1, INT_MAX, "a board", &client);
	if (r)
		return r;
	r = fetch(client, argc - optind, argv + optind, &boards, &err);
	json_array_foreach(boards, i, b) {
		const char *name = json_string_value(json_object_get(b, "name"));
		br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s", name ? name : "");

		if (r >= 0 && path)
			r = br_client_call(client, "DELETE", path, NULL, NULL, &err);
		if (r >= 0 && !common.quiet)
			printf("removed %s\n", name);
	}
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

#define FIELD_DETAILS \
	"  --image IMAGE      image it boots; 'default': the daemon's\n" \
	"  --disk KIND        volatile (dropped at each boot), persistent, ram (changes stay in the board's memory), or\n" \
	"                     default\n" \
	"  --persist SIZE     its area /persist, which outlives volatile disks: a size, on (1G), off, or default\n" \
	"  --signed KEY       its boot.img is signed with this key ('bramble sign key list'), for boards with signed boot;\n" \
	"                     default: not signed\n" \
	"  --size SIZE        what its disk has at least, as 16G: its file system is made larger when the disk\n" \
	"                     is opened for its next boot; 'default': the image's size\n" \
	"  --road ROAD        net (network root), local (leave its boot alone), or default\n" \
	"  --notes TEXT       a line for people\n" \
	"  --tags WORDS       words to pick it by, as \"rack1 camera\"; 'default': none\n" \
	"  --power URI        what switches its power, as tasmota://10.0.0.9/1 (docs/power.md); 'default': the power command\n" \
	"  --console URI      its serial line, as rfc2217://10.0.0.9:4001 (docs/console.md); 'default': none\n" \
	"  --address ADDR     IPv4 address it gets, and nobody else; 'default': any of the range\n" \
	"  --model MODEL      3B+, 4B, 5 ... when the board does not say\n" \
	"  --serial SERIAL    8 or 16 hexadecimal digits\n" \
	"  --mac MAC          of its Ethernet\n"

const struct br_command br_cli_board[] = {
	{ "board", "list", "[BOARDS] [-o table|json|jsonl] [-q]", "Lists the boards and how far their boot is",
		board_list, COMMON_DETAILS },
	{ "board", "show", "BOARDS [-o table|json|jsonl]", "Shows all of a board, and what it gets when it boots",
		board_show, COMMON_DETAILS },
	{ "board", "edit",
		"BOARDS [--image IMAGE] [--disk volatile|persistent|ram] [--size SIZE] [--road net|local] [--name NAME] "
		"[--address ADDR]",
		"Changes boards; what they boot changes with their next boot", board_edit,
		"  --name NAME        another name, which is also its host name\n" FIELD_DETAILS COMMON_DETAILS },
	{ "board", "add", "NAME --mac MAC|--serial SERIAL [--image IMAGE] [--disk volatile|persistent|ram]",
		"Makes a board known before it first asks", board_add, FIELD_DETAILS COMMON_DETAILS },
	{ "board", "rm", "BOARDS", "Forgets boards, their addresses and their disks", board_rm,
		"  -q, --quiet        says nothing\n" },
	{ 0 },
};
