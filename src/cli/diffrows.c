/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/diffrows.h"

#include <stdio.h>
#include <string.h>

static void cell_change(const json_t *row, char out[static BR_CELL_MAX])
{
	const json_t *what = json_object_get(row, "what");
	size_t n;

	br_cell_text(row, "change", out);
	n = strlen(out);
	for (size_t i = 0; i < json_array_size(what) && n < BR_CELL_MAX; i++) {
		const char *s = json_string_value(json_array_get(what, i));

		n += (size_t)snprintf(out + n, BR_CELL_MAX - n, "%s%s", i ? "," : " ", s ? s : "?");
	}
}

static void cell_type(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "type", out);
}

static void cell_size(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, json_object_get(row, "size") ? "size" : "size_before", out);
}

static void cell_path(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "path", out);
}

const struct br_column br_diff_columns[] = {
	{ "CHANGE", cell_change }, { "TYPE", cell_type }, { "SIZE", cell_size }, { "PATH", cell_path }, { NULL, NULL },
};

void br_diff_without_times(json_t *rows)
{
	for (size_t i = json_array_size(rows); i--;) {
		const json_t *what = json_object_get(json_array_get(rows, i), "what");
		const char *only = json_array_size(what) == 1 ? json_string_value(json_array_get(what, 0)) : NULL;

		if (only && !strcmp(only, "time"))
			json_array_remove(rows, i);
	}
}
