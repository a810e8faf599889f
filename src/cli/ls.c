/* SPDX-License-Identifier: Apache-2.0 */
/* A listing of files, as rows of JSON and as columns. */
#include "cli/ls.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static void cell_mode(const json_t *row, char out[static BR_CELL_MAX])
{
	static const char letters[] = "rwxrwxrwx";
	static const struct {
		const char *type;
		char letter;
	} types[] = {
		{ "file", '-' }, { "directory", 'd' }, { "link", 'l' }, { "char", 'c' }, { "block", 'b' },
		{ "fifo", 'p' }, { "socket", 's' },
	};
	const char *type = json_string_value(json_object_get(row, "type"));
	unsigned mode = (unsigned)json_integer_value(json_object_get(row, "mode"));

	out[0] = '?';
	for (size_t i = 0; type && i < BR_ARRAY_SIZE(types); i++) {
		if (!strcmp(types[i].type, type))
			out[0] = types[i].letter;
	}
	for (int i = 0; i < 9; i++)
		out[1 + i] = mode & 0400u >> i ? letters[i] : '-';
	if (mode & 04000)
		out[3] = mode & 0100 ? 's' : 'S';
	if (mode & 02000)
		out[6] = mode & 010 ? 's' : 'S';
	if (mode & 01000)
		out[9] = mode & 01 ? 't' : 'T';
	out[10] = 0;
}

static void cell_owner(const json_t *row, char out[static BR_CELL_MAX])
{
	snprintf(out, BR_CELL_MAX, "%" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT,
		json_integer_value(json_object_get(row, "uid")), json_integer_value(json_object_get(row, "gid")));
}

static void cell_size(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "size", out);
}

static void cell_mtime(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "mtime", out);
	if (strlen(out) > 19)
		out[19] = 0;
}

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	char target[BR_CELL_MAX];
	size_t n;

	br_cell_text(row, "name", out);
	br_cell_text(row, "target", target);
	n = strlen(out);
	if (json_object_get(row, "target"))
		snprintf(out + n, BR_CELL_MAX - n, " -> %s", target);
}

const struct br_column br_ls_columns[] = {
	{ "MODE", cell_mode }, { "OWNER", cell_owner }, { "SIZE", cell_size }, { "CHANGED", cell_mtime },
	{ "NAME", cell_name }, { NULL, NULL },
};
