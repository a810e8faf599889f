/* SPDX-License-Identifier: Apache-2.0 */
/* Everyday verbs without a noun. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

static void print_status(const json_t *st, const char *state)
{
	static const struct {
		const char *title, *path;
	} fields[] = {
		{ "version:", "version" }, { "pid:", "pid" }, { "interface:", "interface" }, { "address:", "address" },
		{ "dhcp:", "dhcp" }, { "dhcp now:", "dhcp_mode" }, { "first:", "first" }, { "last:", "last" }, { "image:", "default_image" },
		{ "disk:", "default_disk" }, { "boards:", "counts.boards" }, { "booting:", "counts.booting" },
		{ "up:", "counts.up" }, { "fetching:", "boots.running" }, { "waiting:", "boots.waiting" }, { "at once:", "boots.at_once" },
		{ "unseen:", "capture_dropped" }, { "images:", "counts.images" },
	};
	char cell[BR_CELL_MAX];
	uint64_t up = (uint64_t)json_integer_value(json_object_get(st, "uptime_s"));

	printf("%-12s%s\n", "state:", state);
	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++) {
		br_cell_text(st, fields[i].path, cell);
		printf("%-12s%s\n", fields[i].title, cell);
	}
	printf("%-12s%s\n", "running:", br_format_duration(cell, sizeof(cell), up * 1000000000ull));
	br_cell_text(st, "storage_error", cell);
	if (json_is_string(json_object_get(st, "storage_error")))
		printf("%-12s%s\n", "trouble:", cell);
}

static int status(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *st = NULL;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r;

	r = br_common_start(&common, argc, argv, 0, 0, "", &client);
	if (r)
		return r;
	r = br_client_call(client, "GET", "/v1/status", NULL, &st, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (common.form != BR_FORM_TABLE)
		br_print_json(st, common.form == BR_FORM_JSON);
	else if (!common.quiet)
		print_status(st, br_client_state(client));
	return BR_EXIT_OK;
}

const struct br_command br_cli_misc[] = {
	{ NULL, "status", "[-o table|json] [-q]", "Shows what the daemon serves; exit code 4 when none answers", status,
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the exit code\n" },
	{ 0 },
};
