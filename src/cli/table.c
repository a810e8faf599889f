/* SPDX-License-Identifier: Apache-2.0 */
/* Common options, exit codes, and lists in their forms. */
#include "cli/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/state.h"
#include "base/text.h"
#include "cli/cli.h"

int br_common_take(struct br_common *common, int argc, char **argv, int c)
{
	static const char *const forms[] = { "table", "json", "jsonl" };

	switch (c) {
	case 256:
		common->state = optarg;
		return 0;
	case 'q':
		common->quiet = true;
		return 0;
	case 'o':
		for (size_t i = 0; i < BR_ARRAY_SIZE(forms); i++) {
			if (!strcmp(optarg, forms[i])) {
				common->form = (enum br_form)i;
				return 0;
			}
		}
		br_cli_usage("the output is one of table, json and jsonl");
		return -1;
	default:
		br_cli_bad_option(argc, argv, c);
		return -1;
	}
}

static const struct {
	int r;
	enum br_exit code;
} exits[] = {
	{ -ENOENT, BR_EXIT_NOT_FOUND },
	{ -EINVAL, BR_EXIT_USAGE },
	{ -ECONNREFUSED, BR_EXIT_NO_DAEMON },
	{ -ETIMEDOUT, BR_EXIT_TIMEOUT },
};

int br_common_start(struct br_common *common, int argc, char **argv, int min, int max, const char *what,
	struct br_client **ret)
{
	static const struct option options[] = { BR_COMMON_LONG };
	struct br_error err = BR_ERROR_NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1)
		if (br_common_take(common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	if (argc - optind < min)
		return br_cli_usage("%s is needed", what);
	if (argc - optind > max)
		return br_cli_usage("too many words");
	r = br_client_new(common->state, ret, &err);
	return r < 0 ? br_cli_error(&err, r) : 0;
}

int br_common_store(const struct br_common *common, struct br_store **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *state = NULL;
	int r = br_state_dir(common->state, &state, err);

	return r < 0 ? r : br_store_open(state, ret, err);
}

int br_cli_error(const struct br_error *err, int r)
{
	const char *words = br_error_text(err, r);
	char vis[2000];

	br_cli_fail(BR_EXIT_FAILED, "%s", br_vis(vis, sizeof(vis), words, strlen(words)));
	for (size_t i = 0; i < BR_ARRAY_SIZE(exits); i++) {
		if (exits[i].r == r)
			return exits[i].code;
	}
	return BR_EXIT_FAILED;
}

const json_t *br_json_at(const json_t *row, const char *path)
{
	while (row && *path) {
		size_t n = strcspn(path, ".");

		row = json_object_getn(row, path, n);
		path += n + (path[n] == '.');
	}
	return row;
}

/* A name of bytes that are no UTF-8 comes as "<key>_hex" beside its escaped form. */
static bool cell_bytes(const json_t *row, const char *path, char out[static BR_CELL_MAX])
{
	char key[64], bytes[256];
	const char *hex;
	size_t n;

	snprintf(key, sizeof(key), "%s_hex", path);
	hex = json_string_value(br_json_at(row, key));
	n = hex ? strlen(hex) / 2 : 0;
	if (!n || n > sizeof(bytes) || br_unhex(bytes, n, hex) < 0)
		return false;
	br_vis(out, BR_CELL_MAX, bytes, n);
	return true;
}

void br_cell_text(const json_t *row, const char *path, char out[static BR_CELL_MAX])
{
	const json_t *v = br_json_at(row, path);
	const char *s = json_string_value(v);

	if (json_is_integer(v))
		snprintf(out, BR_CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (s && s[0] && !cell_bytes(row, path, out))
		br_vis(out, BR_CELL_MAX, s, strlen(s));
	else if (!s || !s[0])
		strcpy(out, "-");
}

void br_cell_ago(const json_t *row, const char *path, char out[static BR_CELL_MAX])
{
	const char *s = json_string_value(br_json_at(row, path));
	struct tm tm = { 0 };
	int64_t ago;

	if (!s || !strptime(s, "%Y-%m-%dT%H:%M:%S", &tm)) {
		strcpy(out, "-");
		return;
	}
	ago = (int64_t)time(NULL) - (int64_t)timegm(&tm);
	if (ago < 2)
		strcpy(out, "now");
	else if (ago < 100)
		snprintf(out, BR_CELL_MAX, "%" PRId64 " s ago", ago);
	else if (ago < 100 * 60)
		snprintf(out, BR_CELL_MAX, "%" PRId64 " min ago", ago / 60);
	else if (ago < 48 * 3600)
		snprintf(out, BR_CELL_MAX, "%" PRId64 " h ago", ago / 3600);
	else
		snprintf(out, BR_CELL_MAX, "%.10s", s);
}

void br_print_json(const json_t *json, bool pretty)
{
	json_dumpf(json, stdout, JSON_ENCODE_ANY | (pretty ? JSON_INDENT(2) : JSON_COMPACT));
	putchar('\n');
}

static void print_names(const json_t *rows, const char *key)
{
	const json_t *row;
	char cell[BR_CELL_MAX];
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
		br_cell_text(row, key, cell);
		puts(cell);
	}
}

static void print_aligned(const json_t *rows, const struct br_column *columns)
{
	size_t width[32] = { 0 }, n = 0, i;
	const json_t *row;
	char cell[BR_CELL_MAX];

	for (; columns[n].title && n < BR_ARRAY_SIZE(width); n++)
		width[n] = strlen(columns[n].title);
	json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
		for (size_t c = 0; c < n; c++) {
			columns[c].cell(row, cell);
			width[c] = strlen(cell) > width[c] ? strlen(cell) : width[c];
		}
	}
	for (size_t c = 0; c < n; c++)
		printf("%-*s%s", c + 1 < n ? (int)width[c] : 0, columns[c].title, c + 1 < n ? "  " : "\n");
	json_array_foreach((json_t *)(uintptr_t)rows, i, row) {
		for (size_t c = 0; c < n; c++) {
			columns[c].cell(row, cell);
			printf("%-*s%s", c + 1 < n ? (int)width[c] : 0, cell, c + 1 < n ? "  " : "\n");
		}
	}
}

void br_table_print(const json_t *rows, const struct br_column *columns, const char *key,
	const struct br_common *common)
{
	const json_t *row;
	size_t i;

	if (common->quiet) {
		print_names(rows, key);
	} else if (common->form == BR_FORM_JSON) {
		br_print_json(rows, true);
	} else if (common->form == BR_FORM_JSONL) {
		json_array_foreach((json_t *)(uintptr_t)rows, i, row)
			br_print_json(row, false);
	} else {
		print_aligned(rows, columns);
	}
}
