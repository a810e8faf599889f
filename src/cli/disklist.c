/* SPDX-License-Identifier: Apache-2.0 */
/* bramble disk list: the disks of all boards. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

static void cell_board(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "board", out);
}

static void cell_image(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "image", out);
}

static void cell_disk(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "disk", out);
}

static void cell_state(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "state", out);
}

static void cell_changes(const json_t *row, char out[static BR_CELL_MAX])
{
	const json_t *n = json_object_get(row, "changed_bytes");

	if (json_is_integer(n))
		br_format_size(out, BR_CELL_MAX, (uint64_t)json_integer_value(n));
	else
		snprintf(out, BR_CELL_MAX, "-");
}

static void cell_snapshots(const json_t *row, char out[static BR_CELL_MAX])
{
	snprintf(out, BR_CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(row, "snapshots")));
}

static void cell_opened(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, "opened_at", out);
}

static void cell_written(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, "written_at", out);
}

static const struct br_column columns[] = {
	{ "BOARD", cell_board }, { "DISK", cell_disk }, { "IMAGE", cell_image }, { "CHANGES", cell_changes },
	{ "SNAPSHOTS", cell_snapshots }, { "STATE", cell_state }, { "OPENED", cell_opened }, { "WRITTEN", cell_written },
	{ NULL, NULL },
};

static int disk_list(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *disks = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_common_start(&common, argc, argv, 0, 0, "nothing", &client);

	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/disks", NULL, &disks, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(disks, columns, "board", &common);
	if (!json_array_size(disks) && common.form == BR_FORM_TABLE && !common.quiet)
		fputs("No disks yet: a board gets its own when it mounts its root.\n", stderr);
	return BR_EXIT_OK;
}

const struct br_command br_cli_disk_list[] = {
	{ "disk", "list", "[-o table|json|jsonl] [-q]", "Lists the boards' disks and what they hold", disk_list,
		"CHANGES is what a disk takes on the host. STATE: mounted (by the board), open (by the daemon only), closed,\n"
		"unused (the board's disk is of the other kind now), damaged. A volatile disk goes at the board's next boot.\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the boards' names\n" },
	{ 0 },
};
