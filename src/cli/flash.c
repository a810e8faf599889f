/* SPDX-License-Identifier: Apache-2.0 */
/* bramble flash: writing images to boards' own cards. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "cli/boardnames.h"
#include "cli/flashwait.h"

#define ANSWER_MS	120000 /* of an order or a reset, whose command has 30 s */
#define WAIT_DEFAULT_NS (1800 * BR_S)

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

/* ---- flash IMAGE BOARDS ---- */

struct flash {
	struct br_common common;
	const char *image, *target, *verify, *up;
	bool wait, reset, keep;
	uint64_t wait_ns;
};

static const struct option options[] = {
	{ "wait", optional_argument, NULL, 'w' },
	{ "verify", required_argument, NULL, 'v' },
	{ "up", required_argument, NULL, 'u' },
	{ "reset", no_argument, NULL, 'r' },
	{ "target", required_argument, NULL, 't' },
	{ "keep", no_argument, NULL, 'k' },
	BR_COMMON_LONG,
};

static int take_wait(struct flash *f)
{
	f->wait = true;
	if (!optarg)
		return 0;
	if (br_parse_duration(optarg, &f->wait_ns) < 0 || !f->wait_ns)
		return br_cli_usage("--wait=%s: a duration is needed, as 90s, 30m or 2h", optarg);
	return 0;
}

static int read_options(int argc, char **argv, struct flash *f)
{
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 'w') {
			int code = take_wait(f);

			if (code)
				return code;
		} else if (c == 'v')
			f->verify = optarg;
		else if (c == 'u')
			f->up = optarg;
		else if (c == 't')
			f->target = optarg;
		else if (c == 'r')
			f->reset = true;
		else if (c == 'k')
			f->keep = true;
		else if (br_common_take(&f->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	return 0;
}

static enum br_exit exit_of(int r)
{
	return r == -ENOENT ? BR_EXIT_NOT_FOUND : r == -EINVAL ? BR_EXIT_USAGE : BR_EXIT_FAILED;
}

static int order(struct br_client *client, const struct flash *f, struct br_flash_wait *w, struct br_error *err)
{
	br_cleanup(br_freep) char *name = br_client_escape(w->board);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/boards/%s/flash", name) : NULL;
	br_cleanup(json_decrefp) json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:b}", "image", f->image, "target", f->target,
		"verify", f->verify, "up", f->up, "keep", f->keep);
	int r = path && body ? br_client_call(client, "POST", path, body, &w->status, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r < 0) {
		w->ended = true;
		w->code = exit_of(r);
		snprintf(w->words, sizeof(w->words), "%s", br_error_text(err, r));
	}
	return r;
}

/* A board that cannot be reset will not come: its order is withdrawn, unless it came by itself meanwhile. */
static void reset(struct br_client *client, const struct flash *f, struct br_flash_wait *w)
{
	br_cleanup(br_freep) char *name = br_client_escape(w->board);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/boards/%s/power", name) : NULL;
	br_cleanup(json_decrefp) json_t *body = json_pack("{s:s}", "action", "reset");
	struct br_error err = BR_ERROR_NULL;
	int r = path && body ? br_client_call(client, "POST", path, body, NULL, &err) : -ENOMEM;

	if (r >= 0)
		return;
	if (br_flash_withdraw_order(client, w, "reset", br_error_text(&err, r)) == -EBUSY && f->wait)
		return;
	w->ended = true;
	w->code = BR_EXIT_NOT_RESET;
	snprintf(w->words, sizeof(w->words), "%s%s", br_error_text(&err, r), w->withdrawn ? "" : "; its order stays");
}

static json_t *result(const struct br_flash_wait *w)
{
	json_t *row = w->status ? json_copy(w->status) : json_pack("{s:s}", "board", w->board);

	json_object_set_new(row, "exit_code", json_integer(w->code));
	if (w->code) {
		json_object_set_new(row, "error", json_string(w->words));
		json_object_set_new(row, "withdrawn", json_boolean(w->withdrawn));
	}
	return row;
}

static enum br_exit report(const struct flash *f, const struct br_flash_wait *w, size_t n)
{
	br_cleanup(json_decrefp) json_t *all = json_array();
	enum br_exit code = BR_EXIT_OK;

	for (size_t i = 0; i < n; i++) {
		char vis[600];
		long long id = json_integer_value(json_object_get(w[i].status, "order"));

		if (!code)
			code = w[i].code;
		json_array_append_new(all, result(&w[i]));
		if (w[i].code)
			br_cli_fail(w[i].code, "%s: %s", w[i].board, br_vis(vis, sizeof(vis), w[i].words, strlen(w[i].words)));
		else if (f->common.form == BR_FORM_TABLE && f->common.quiet)
			printf("%lld\n", id);
		else if (f->common.form == BR_FORM_TABLE)
			printf("%s: order %lld: %s\n", w[i].board, id, f->wait ? "flashed and up" : "is flashed when it boots next");
	}
	for (size_t i = 0; i < n && f->common.form == BR_FORM_JSONL; i++)
		br_print_json(json_array_get(all, i), false);
	if (f->common.form == BR_FORM_JSON)
		br_print_json(all, true);
	return code;
}

static int run_boards(const struct flash *f, char **names, size_t n)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_flash_wait *w = calloc(n, sizeof(*w));
	struct br_error err = BR_ERROR_NULL;
	int r = w ? br_client_new(f->common.state, &client, &err) : -ENOMEM;
	enum br_exit code;

	if (r >= 0)
		br_client_patience(client, ANSWER_MS);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		w[i].board = names[i];
		err = BR_ERROR_NULL;
		r = order(client, f, &w[i], &err);
		if (r >= 0 && f->reset)
			reset(client, f, &w[i]);
		if (r < 0 && r != -ECONNREFUSED)
			r = 0; /* the others may go well */
	}
	if (r >= 0 && f->wait)
		br_flash_wait(client, w, n, f->wait_ns, f->common.quiet);
	code = r < 0 ? (enum br_exit)br_cli_error(&err, r) : report(f, w, n);
	for (size_t i = 0; w && i < n; i++)
		json_decref(w[i].status);
	free(w);
	return code;
}

static int flash(int argc, char **argv)
{
	struct flash f = { .target = "mmc0", .verify = "hash", .up = "dhcp", .wait_ns = WAIT_DEFAULT_NS };
	struct br_error err = BR_ERROR_NULL;
	struct br_text list = BR_TEXT_NULL;
	char **names = NULL;
	size_t n = 0;
	int r = read_options(argc, argv, &f);

	if (r)
		return r;
	if (optind + 2 > argc)
		return br_cli_usage("an image and boards are needed");
	f.image = argv[optind++];
	for (int i = optind; i < argc; i++)
		br_text_addf(&list, "%s%s", i > optind ? "," : "", argv[i]);
	r = list.failed ? -ENOMEM : br_cli_board_names(f.common.state, list.buf, &names, &n, &err);
	br_text_done(&list);
	if (r < 0)
		return br_cli_error(&err, r);
	if (!n)
		return br_cli_fail(BR_EXIT_NOT_FOUND, "no board matches");
	r = run_boards(&f, names, n);
	br_hostlist_free(names, n);
	return r;
}

/* ---- list, show, cancel ---- */

static void cell_order(const json_t *row, char out[static BR_CELL_MAX])
{
	snprintf(out, BR_CELL_MAX, "%lld", json_integer_value(json_object_get(row, "order")));
}

static void cell_board(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "board", out);
}

static void cell_image(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "image", out);
}

static void cell_target(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "target", out);
}

static void cell_state(const json_t *row, char out[static BR_CELL_MAX])
{
	json_int_t pieces = json_integer_value(br_json_at(row, "progress.pieces"));

	br_cell_text(row, "state", out);
	if (!strcmp(out, "writing") && pieces)
		snprintf(out, BR_CELL_MAX, "writing, %lld %%", json_integer_value(br_json_at(row, "progress.done")) * 100 / pieces);
}

static void cell_ordered(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, "ordered_at", out);
}

static void cell_reason(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "reason", out);
}

static const struct br_column columns[] = {
	{ "ORDER", cell_order }, { "BOARD", cell_board }, { "IMAGE", cell_image }, { "TARGET", cell_target },
	{ "STATE", cell_state }, { "ORDERED", cell_ordered }, { "REASON", cell_reason }, { 0 },
};

static int list(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *rows = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 0, 0, "", &client);

	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/flash", NULL, &rows, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(rows, columns, "order", &common);
	return BR_EXIT_OK;
}

/* What of the image is changed on this board, and what will not fit: a line each. */
static void print_notes(const char *notes)
{
	while (notes && *notes) {
		size_t n = strcspn(notes, "\n");
		char vis[500];

		printf("%-10s%s\n", "note:", br_vis(vis, sizeof(vis), notes, n));
		notes += n + (notes[n] == '\n');
	}
}

static void print_order(const json_t *st)
{
	static const struct {
		const char *title, *path;
	} fields[] = {
		{ "order:", "order" }, { "board:", "board" }, { "image:", "image" }, { "target:", "target" }, { "verify:", "verify" },
		{ "up by:", "up" }, { "state:", "state" }, { "what:", "what" }, { "reason:", "reason" }, { "card:", "place" },
		{ "pieces:", "progress.pieces" }, { "right:", "progress.done" }, { "written:", "progress.written" },
		{ "fetched:", "progress.fetched" }, { "ordered:", "ordered_at" }, { "started:", "started_at" },
		{ "verified:", "verified_at" }, { "ended:", "ended_at" },
	};
	char cell[BR_CELL_MAX];

	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++) {
		br_cell_text(st, fields[i].path, cell);
		printf("%-10s%s\n", fields[i].title, cell);
	}
	print_notes(json_string_value(json_object_get(st, "notes")));
}

/* The order of the command line, and the path of it. */
static int order_call(int argc, char **argv, const char *method, const char *query, struct br_common *common, json_t **ret)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(common, argc, argv, 1, 1, "an order", &client);
	br_cleanup(br_freep) char *name = NULL;

	if (r)
		return r;
	name = br_client_escape(argv[optind]);
	path = name ? br_asprintf("/v1/flash/%s%s", name, query) : NULL;
	r = path ? br_client_call(client, method, path, NULL, ret, &err) : -ENOMEM;
	return r < 0 ? br_cli_error(&err, r) : 0;
}

static int show(int argc, char **argv)
{
	br_cleanup(json_decrefp) json_t *st = NULL;
	struct br_common common = { 0 };
	int r = order_call(argc, argv, "GET", "", &common, &st);

	if (r)
		return r;
	if (common.form != BR_FORM_TABLE)
		br_print_json(st, common.form == BR_FORM_JSON);
	else if (!common.quiet)
		print_order(st);
	return BR_EXIT_OK;
}

static int cancel(int argc, char **argv)
{
	br_cleanup(json_decrefp) json_t *st = NULL;
	struct br_common common = { 0 };
	bool force = false;
	int n = 0, r;

	for (int i = 0; i < argc; i++) { /* its only option of its own */
		if (!strcmp(argv[i], "--force"))
			force = true;
		else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	r = order_call(n, argv, "DELETE", force ? "?force=1" : "", &common, &st);
	if (!r && common.form != BR_FORM_TABLE)
		br_print_json(st, common.form == BR_FORM_JSON);
	return r;
}

#define DETAILS \
	"  --wait[=DURATION]  until the flashed systems are up; 30m at most when not said otherwise\n" \
	"  --verify HOW       hash: read back what is written and compare it (default); full: and read all of the card once more at the\n" \
	"                     end; none\n" \
	"  --up HOW           what shows that the system came up: dhcp (default), ssh, url (it fetches http://SERVER/bramble/up), none\n" \
	"  --reset            reset the boards now, by the power command of bramble.conf(5)\n" \
	"  --target DEVICE    what to write, by U-Boot's name: mmc0 (default), usb0, nvme0, scsi0, virtio0\n" \
	"  --keep             leave the board's road as it is; else it boots from its card from then on\n" \
	"  -o, --output FORM  table, json or jsonl\n" \
	"  -q, --quiet        no progress, only the numbers of the orders\n\n" \
	"Exit codes: 0 done, 3 no such image or board, 5 time is up while it is written, 10 not reset, 11 no DHCP, 12 the boot loader\n" \
	"failed, 13 writing or verifying failed, 14 written and verified but the system is silent. Of several boards the first failure.\n"

const struct br_command br_cli_flash[] = {
	{ NULL, "flash", "IMAGE BOARDS [--wait[=DURATION]] [--verify hash|full|none] [--up dhcp|ssh|url|none] [--reset] [--target DEVICE] "
		"[--keep] [-o table|json|jsonl] [-q]", "Writes an image to the cards of boards", flash, DETAILS },
	{ "flash", "list", "[-o table|json|jsonl] [-q]", "Lists the flash orders, the newest first", list,
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only their numbers\n" },
	{ "flash", "show", "ORDER [-o table|json]", "Shows one flash order", show, "  -o, --output FORM  table, json or jsonl\n" },
	{ "flash", "cancel", "ORDER [--force]", "Withdraws a flash order", cancel,
		"  --force            also one that is being written: its card then holds no system\n" },
	{ 0 },
};
