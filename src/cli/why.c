/* SPDX-License-Identifier: Apache-2.0 */
/* bramble why, bramble capture: what keeps a board from booting, and its last packets. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

static char *path_of(const char *board, const char *what)
{
	br_cleanup(br_freep) char *part = br_client_escape(board);

	return part ? br_asprintf("/v1/boards/%s/%s", part, what) : NULL;
}

static void print_text(const char *title, const json_t *text)
{
	struct br_text vis = BR_TEXT_NULL;
	const char *s = json_string_value(text);

	if (!s)
		return;
	br_text_add_vis(&vis, s, strlen(s));
	printf("%-10s%s\n", title, vis.buf ? vis.buf : "");
	br_text_done(&vis);
}

static void print_verdict(const json_t *v, bool first)
{
	bool board = json_is_string(json_object_get(v, "board"));
	const json_t *line;
	json_int_t row = json_integer_value(json_object_get(v, "row"));
	size_t i;

	if (!first)
		putchar('\n');
	print_text(board ? "board:" : "mac:", board ? json_object_get(v, "board") : json_object_get(v, "mac"));
	print_text("verdict:", json_object_get(v, "verdict"));
	json_array_foreach(json_object_get(v, "evidence"), i, line)
		print_text(i ? "" : "seen:", line);
	print_text("cure:", json_object_get(v, "cure"));
	if (row)
		printf("%-10srow %lld of the table in docs/why.md\n", "more:", (long long)row);
}

static bool is_wrong(const json_t *v)
{
	const char *level = json_string_value(json_object_get(v, "level"));

	return level && !strcmp(level, "wrong");
}

/* One word of the command line: a host list; a MAC or an address is a board as well. */
static int add_verdicts(struct br_client *client, const char *word, json_t *all, struct br_error *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = br_hostlist_expand(word, &names, &n, err);

	for (size_t i = 0; i < n && r >= 0; i++) {
		br_cleanup(br_freep) char *path = path_of(names[i], "why");
		json_t *v = NULL;

		r = path ? br_client_call(client, "GET", path, NULL, &v, err) : br_error_set(err, ENOMEM, "out of memory");
		if (r >= 0)
			json_array_append_new(all, v);
	}
	br_hostlist_free(names, n);
	return r;
}

static int why(int argc, char **argv)
{
	static const struct option options[] = { BR_COMMON_LONG };
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	json_t *all = json_array();
	const json_t *v;
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	size_t i;
	bool wrong = false;
	int c, r;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (br_common_take(&common, argc, argv, c) < 0) {
			json_decref(all);
			return BR_EXIT_USAGE;
		}
	}
	if (optind == argc) {
		json_decref(all);
		return br_cli_usage("a board is needed");
	}
	r = br_client_new(common.state, &client, &err);
	for (int a = optind; a < argc && r >= 0; a++)
		r = add_verdicts(client, argv[a], all, &err);
	json_array_foreach(all, i, v) {
		wrong |= is_wrong(v);
		if (common.form == BR_FORM_JSONL)
			br_print_json(v, false);
		else if (common.form == BR_FORM_TABLE && !common.quiet)
			print_verdict(v, !i);
	}
	if (common.form == BR_FORM_JSON)
		br_print_json(all, true);
	json_decref(all);
	if (r < 0)
		return br_cli_error(&err, r);
	return wrong ? BR_EXIT_FAILED : BR_EXIT_OK;
}

static int take(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	int r = br_write_all(*(int *)ctx, data, n);

	return r < 0 ? br_error_set(err, -r, "the capture cannot be written: %s", strerrordesc_np(-r)) : 0;
}

/* Into a file that is made or emptied; "-" or none is standard output. */
static int open_output(const char *file, struct br_error *err)
{
	int fd;

	if (!file || !strcmp(file, "-"))
		return dup(STDOUT_FILENO);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd < 0 ? br_error_set(err, errno, "file %s: %s", file, strerrordesc_np(errno)) : fd;
}

static int capture(int argc, char **argv)
{
	static const struct option options[] = {
		{ "state", required_argument, NULL, 256 }, { "output", required_argument, NULL, 'o' }, { 0 },
	};
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *path = NULL;
	br_cleanup(br_closep) int fd = -1;
	struct br_error err = BR_ERROR_NULL;
	const char *file = NULL, *state = NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, ":o:", options, NULL)) != -1) {
		if (c == 'o')
			file = optarg;
		else if (c == 256)
			state = optarg;
		else
			return br_cli_bad_option(argc, argv, c);
	}
	if (argc - optind != 1)
		return br_cli_usage("one board is needed");
	if ((!file || !strcmp(file, "-")) && isatty(STDOUT_FILENO))
		return br_cli_usage("a capture is no text: give -o FILE.pcap, or a pipe to 'tcpdump -r -'");
	path = path_of(argv[optind], "capture");
	r = path ? br_client_new(state, &client, &err) : -ENOMEM;
	if (r >= 0)
		fd = r = open_output(file, &err);
	if (r >= 0)
		r = br_client_stream(client, path, take, &fd, &err);
	if (r < 0 && file && strcmp(file, "-") && fd >= 0)
		unlink(file);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

const struct br_command br_cli_why[] = {
	{ NULL, "why", "BOARDS [-o table|json|jsonl] [-q]", "Says what keeps boards from booting, or how far they are", why,
		"  -o, --output FORM  table (words), json or jsonl\n"
		"  -q, --quiet        only the exit code\n\n"
		"A board is named, or given by its MAC, address or serial. Exit code 0: all are up or on their way; 1: something\n"
		"is wrong with one.\n" },
	{ NULL, "capture", "BOARD [-o FILE.pcap]", "Writes a board's last packets as a capture file", capture,
		"  -o, --output FILE  where to (else standard output, which may not be a terminal)\n" },
	{ 0 },
};
