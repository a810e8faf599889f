/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>

#include "api/client.h"
#include "base/error.h"
#include "store/image.h"

/*
 * What all commands that talk to the daemon share: common options, errors to exit codes, and lists as an aligned
 * table, JSON, JSON lines or bare names.
 */
enum br_form {
	BR_FORM_TABLE,
	BR_FORM_JSON,
	BR_FORM_JSONL,
};

struct br_common {
	const char *state; /* NULL: not given */
	enum br_form form;
	bool quiet;
};

/* For the end of a command's table of long options; the values stay clear of letters a command uses. */
#define BR_COMMON_SHORT "o:q"
#define BR_COMMON_LONG                                                                       \
	{ "state", required_argument, NULL, 256 }, { "output", required_argument, NULL, 'o' }, \
		{ "quiet", no_argument, NULL, 'q' }, { 0 }

/* Takes a common option that getopt_long() found: 0, or -1 after a message (BR_EXIT_USAGE is then the answer). */
int br_common_take(struct br_common *common, int argc, char **argv, int c);

/*
 * For commands that have no options of their own: takes the common ones (words are then argv[optind] ...), wants at least
 * min and at most max words (what: "a board", for the message), and connects. 0 with a client, or the exit code after a message.
 */
int br_common_start(struct br_common *common, int argc, char **argv, int min, int max, const char *what,
	struct br_client **ret);

/* The store of the state directory that the options name, for commands that need no daemon. */
int br_common_store(const struct br_common *common, struct br_store **ret, struct br_error *err);

/* "bramble: WORDS" on stderr, and the exit code of the error. */
int br_cli_error(const struct br_error *err, int r);

/* A column: its title, and the text of it for one object, made with br_vis() when it came from outside. */
#define BR_CELL_MAX 200
struct br_column {
	const char *title;
	void (*cell)(const json_t *row, char out[static BR_CELL_MAX]);
};

/* Prints an array of objects; columns end with title == NULL. quiet: only the column 'key' of each. */
void br_table_print(const json_t *rows, const struct br_column *columns, const char *key,
	const struct br_common *common);

/* A string at a dotted path ("boot.stage") made safe, "-" when it is missing. */
void br_cell_text(const json_t *row, const char *path, char out[static BR_CELL_MAX]);
/* A function of this name that does so, for a column: BR_CELL(cell_name, "name"); */
#define BR_CELL(fn, path)                                                     \
	static void fn(const json_t *row, char out[static BR_CELL_MAX])       \
	{                                                                     \
		br_cell_text(row, path, out);                                 \
	}                                                                     \
	struct br_cell_needs_a_semicolon
/* A time as "12 s ago", "3 h ago", "2026-11-21". */
void br_cell_ago(const json_t *row, const char *path, char out[static BR_CELL_MAX]);
/* The value at a dotted path, NULL when it is not there. */
const json_t *br_json_at(const json_t *row, const char *path);
/* One JSON value on a line. */
void br_print_json(const json_t *json, bool pretty);
