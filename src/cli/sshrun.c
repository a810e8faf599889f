/* SPDX-License-Identifier: Apache-2.0 */
/* bramble run, shell, cp: commands and files on boards over ssh. 'run -b' is a job (runjob.c). */
#include "cli/sshrun.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "base/waiting.h"
#include "cli/cli.h"
#include "cli/runjob.h"
#include "console/termfilter.h"

#define KEEP (4u << 20) /* of a stream that is gathered */

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

struct run {
	struct br_common common;
	const char *user, *boards;
	char **argv;
	bool gather;
	struct br_ssh_fleet fleet;
};

/* ---- what boards print ---- */

/* A line of a board's, as this terminal may have it; the bytes as they are where there is none. */
static void print_line(struct run *run, const struct br_ssh_board *b, int stream, const char *line, size_t n)
{
	FILE *to = stream == 1 ? stdout : stderr;

	if (run->fleet.n > 1)
		fprintf(to, "%s: ", b->host.board);
	if (isatty(stream)) {
		struct br_term_filter f = { .mode = BR_TERM_PLAIN };
		struct br_text t = BR_TEXT_NULL;

		br_term_filter(&f, line, n, &t);
		fputs(t.buf ? t.buf : "", to);
		br_text_done(&t);
	} else if (fwrite(line, 1, n, to) != n) {
		return; /* it is told at the end, by the stream's error */
	}
	fputc('\n', to);
}

/* Whole lines at once; what is left waits for its end. */
static void print_lines(struct run *run, struct br_ssh_board *b, int stream)
{
	struct br_text *t = &b->streams[stream - 1];
	size_t from = 0;
	char *end;

	pthread_mutex_lock(&run->fleet.lock);
	while (t->buf && (end = memchr(t->buf + from, '\n', t->len - from))) {
		print_line(run, b, stream, t->buf + from, (size_t)(end - t->buf) - from);
		from = (size_t)(end - t->buf) + 1;
	}
	if (t->len - from > KEEP) { /* a line without end */
		print_line(run, b, stream, t->buf + from, t->len - from);
		from = t->len;
	}
	if (from && t->buf)
		memmove(t->buf, t->buf + from, t->len - from);
	t->len -= from;
	fflush(stream == 1 ? stdout : stderr);
	pthread_mutex_unlock(&run->fleet.lock);
}

struct output {
	struct run *run;
	struct br_ssh_board *board;
};

static bool keeps_all(const struct run *run)
{
	return run->gather || run->common.form != BR_FORM_TABLE;
}

static void on_output(void *ctx, int stream, const void *data, size_t n)
{
	struct output *o = ctx;
	struct br_text *t = &o->board->streams[stream - 1];

	if (keeps_all(o->run) && t->len + n > KEEP) {
		n = KEEP - t->len;
		o->board->cut = true;
	}
	br_text_add_bytes(t, data, n);
	if (!keeps_all(o->run))
		print_lines(o->run, o->board, stream);
}

static void run_one(void *ctx, struct br_ssh_board *b)
{
	struct run *run = ctx;
	struct output o = { run, b };
	const struct br_ssh_run how = {
		.argv = run->argv,
		.timeout_ns = run->fleet.timeout_ns,
		.output = on_output,
		.ctx = &o,
		.cancelled = br_ssh_fleet_cancelled(),
	};
	struct br_error err = BR_ERROR_NULL;
	int r = br_ssh_exec(&b->host, &how, &b->result, &err);

	if (r < 0) {
		b->result = (struct br_ssh_result){ .end = BR_SSH_UNREACHABLE };
		snprintf(b->result.words, sizeof(b->result.words), "%.299s", br_error_text(&err, r));
	}
	for (int stream = 1; stream <= 2 && !keeps_all(run); stream++) {
		if (b->streams[stream - 1].len) { /* its last words have no line end */
			br_text_add(&b->streams[stream - 1], "\n");
			print_lines(run, b, stream);
		}
	}
}

/* ---- all at once, at the end ---- */

static bool same_output(const struct br_ssh_board *a, const struct br_ssh_board *b)
{
	for (int i = 0; i < 2; i++) {
		if (a->streams[i].len != b->streams[i].len ||
			(a->streams[i].len && memcmp(a->streams[i].buf, b->streams[i].buf, a->streams[i].len) != 0))
			return false;
	}
	return a->result.end == b->result.end && a->result.status == b->result.status;
}

static void print_text(const struct br_text *t)
{
	struct br_term_filter f = { .mode = isatty(1) ? BR_TERM_PLAIN : BR_TERM_RAW };
	struct br_text out = BR_TEXT_NULL;

	br_term_filter(&f, t->buf ? t->buf : "", t->len, &out);
	if (out.len && fwrite(out.buf, 1, out.len, stdout) == out.len && out.buf[out.len - 1] != '\n')
		putchar('\n');
	br_text_done(&out);
}

/* As clush -b: boards that said the same share a head. */
static void print_gathered(struct run *run)
{
	struct br_ssh_fleet *f = &run->fleet;
	const char **names = calloc(f->n + 1, sizeof(names[0]));
	bool *done = calloc(f->n + 1, sizeof(done[0]));

	for (size_t i = 0; names && done && i < f->n; i++) {
		br_cleanup(br_freep) char *list = NULL;
		size_t n = 0;

		if (done[i] || f->v[i].result.end != BR_SSH_RAN)
			continue;
		for (size_t j = i; j < f->n; j++) {
			if (done[j] || !same_output(&f->v[i], &f->v[j]))
				continue;
			done[j] = true;
			names[n++] = f->v[j].host.board;
		}
		list = br_hostlist_fold(names, n);
		printf("---- %s%s\n", list ? list : "", f->v[i].cut ? " (cut)" : "");
		print_text(&f->v[i].streams[0]);
		print_text(&f->v[i].streams[1]);
	}
	free(names);
	free(done);
}

/* Text as JSON has it: bytes that are no UTF-8 are shown as \xNN. */
static json_t *text_json(const struct br_text *t)
{
	json_t *json = t->len ? json_stringn(t->buf, t->len) : json_string("");
	struct br_text vis = BR_TEXT_NULL;

	if (json)
		return json;
	br_text_add_vis(&vis, t->buf, t->len);
	json = json_string(vis.buf ? vis.buf : "");
	br_text_done(&vis);
	return json;
}

static void print_report(struct run *run)
{
	json_t *list = json_array();

	for (size_t i = 0; i < run->fleet.n; i++) {
		const struct br_ssh_board *b = &run->fleet.v[i];
		bool ran = b->result.end == BR_SSH_RAN;

		json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:s?, s:o, s:o, s:b, s:I}", "board", b->host.board, "end",
						  br_ssh_end_word(b->result.end), "exit", ran ? json_integer(b->result.status) : json_null(),
						  "reason", ran ? NULL : b->result.words, "stdout", text_json(&b->streams[0]), "stderr",
						  text_json(&b->streams[1]), "cut", b->cut, "ms", (json_int_t)(b->took_ns / BR_MS)));
	}
	if (run->common.form == BR_FORM_JSON) {
		br_print_json(list, true);
	} else {
		const json_t *row;
		size_t i;

		json_array_foreach(list, i, row)
			br_print_json(row, false);
	}
	json_decref(list);
}

/* ---- bramble run ---- */

static const struct option run_options[] = {
	{ "user", required_argument, NULL, 'l' },
	{ "timeout", required_argument, NULL, 't' },
	{ "fanout", required_argument, NULL, 'f' },
	{ "gather", no_argument, NULL, 'g' },
	BR_COMMON_LONG,
};

/* Options that run and cp have in common; 0, -ENOENT: none of them, or an exit code. */
static int take_shared(struct br_ssh_fleet *f, const char **user, int c, const char *value)
{
	uint64_t n;

	switch (c) {
	case 'l':
		*user = value;
		return 0;
	case 't':
		return br_parse_duration(value, &f->timeout_ns) < 0 || !f->timeout_ns ? br_cli_usage("--timeout: a duration as 30s is needed") : 0;
	case 'f':
		if (br_parse_u64(value, 1, 1024, &n) < 0)
			return br_cli_usage("--fanout: a number from 1 to 1024 is needed");
		f->fanout = (unsigned)n;
		return 0;
	default:
		return -ENOENT;
	}
}

/* Up to the first word that is none; then optind is there. */
static int take_run_options(int argc, char **argv, struct run *run)
{
	int c, r;

	optind = 0;
	while ((c = getopt_long(argc, argv, "+:l:t:f:g" BR_COMMON_SHORT, run_options, NULL)) != -1) {
		r = c == 'g' ? 0 : take_shared(&run->fleet, &run->user, c, optarg);
		run->gather = run->gather || c == 'g';
		if (r == -ENOENT)
			r = br_common_take(&run->common, argc, argv, c) < 0 ? BR_EXIT_USAGE : 0;
		if (r)
			return r;
	}
	return 0;
}

/* Options stand before the boards, or between them and the command; what is behind '--' is the command's. */
static int read_run_options(int argc, char **argv, struct run *run)
{
	int r = take_run_options(argc, argv, run);

	if (r)
		return r;
	if (optind == argc)
		return br_cli_usage("boards are needed");
	argc -= optind;
	argv += optind;
	run->boards = argv[0];
	r = take_run_options(argc, argv, run);
	if (r)
		return r;
	if (optind == argc)
		return br_cli_usage("a command is needed, behind '--'");
	run->argv = argv + optind;
	return 0;
}

static int run_fleet(struct run *run)
{
	struct br_waiting *waiting;
	int code;

	run->fleet.work = run_one;
	run->fleet.ctx = run;
	waiting = br_waiting_start("waiting for the boards", run->common.quiet || !keeps_all(run));
	br_ssh_fleet_run(&run->fleet);
	br_waiting_end(waiting);
	if (run->common.form != BR_FORM_TABLE)
		print_report(run);
	else if (run->gather)
		print_gathered(run);
	code = br_ssh_fleet_end(&run->fleet, run->common.quiet);
	return code ? code : BR_EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct run run = { 0 };
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (br_cli_is_job(argc, argv))
		return br_cli_run_job(argc, argv);
	r = read_run_options(argc, argv, &run);
	if (r)
		return r;
	r = br_client_new(run.common.state, &client, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	r = br_ssh_fleet_init(&run.fleet, client, run.boards, run.user);
	if (!r)
		r = run_fleet(&run);
	br_ssh_fleet_done(&run.fleet);
	return r;
}

/* ---- bramble shell ---- */

static const struct option shell_options[] = { { "user", required_argument, NULL, 'l' }, BR_COMMON_LONG };

static int spawn_shell(const struct br_ssh_host *host, char **argv)
{
	struct br_ssh_args args = { .n = 0 };
	br_cleanup(br_freep) char *command = argv[0] ? br_ssh_command(argv) : NULL;
	pid_t pid;
	int status = 0;

	br_ssh_args_add(&args, "ssh");
	br_ssh_args_host(&args, host, 0);
	if (isatty(0))
		br_ssh_args_add(&args, "-t");
	br_ssh_args_add(&args, "--");
	br_ssh_args_add(&args, "%s", host->board);
	if (command)
		br_ssh_args_add(&args, "%s", command);
	if (args.failed) {
		br_ssh_args_done(&args);
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	}
	signal(SIGINT, SIG_IGN); /* ssh's */
	signal(SIGQUIT, SIG_IGN);
	pid = fork();
	if (!pid) {
		signal(SIGINT, SIG_DFL);
		signal(SIGQUIT, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		execvp("ssh", args.v);
		_exit(br_cli_fail(127, "ssh cannot be started: %s; install openssh-client", strerrordesc_np(errno)));
	}
	br_ssh_args_done(&args);
	if (pid < 0)
		return br_cli_fail(BR_EXIT_FAILED, "ssh cannot be started: %s", strerrordesc_np(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int shell(int argc, char **argv)
{
	struct br_common common = { 0 };
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_ssh_host host = { .known_hosts = NULL };
	struct br_error err = BR_ERROR_NULL;
	const char *user = NULL, *board;
	int c, r;

	while ((c = getopt_long(argc, argv, "+:l:" BR_COMMON_SHORT, shell_options, NULL)) != -1) {
		if (c == 'l')
			user = optarg;
		else if (br_common_take(&common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (optind == argc)
		return br_cli_usage("a board is needed");
	board = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	r = br_client_new(common.state, &client, &err);
	if (r >= 0)
		r = br_ssh_host(client, board, user, &host, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	r = spawn_shell(&host, argv + optind);
	br_ssh_host_done(&host);
	return r;
}

/* ---- bramble cp ---- */

static const struct option cp_options[] = {
	{ "user", required_argument, NULL, 'l' },
	{ "timeout", required_argument, NULL, 't' },
	{ "fanout", required_argument, NULL, 'f' },
	{ "recursive", no_argument, NULL, 'r' },
	BR_COMMON_LONG,
};

struct copy {
	struct br_common common;
	const char *user;
	struct br_ssh_fleet fleet;
	bool upload, recursive;
	char **from;
	size_t n;
	char *to;
};

/* "BOARDS:path" is cut in two at its colon: 1; 0: it is a file here. */
static bool split(char *word, char **ret_path)
{
	char *colon = strchr(word, ':');

	if (!colon || colon == word || memchr(word, '/', (size_t)(colon - word)))
		return false;
	*colon = 0;
	*ret_path = colon[1] ? colon + 1 : (char *)".";
	return true;
}

static void copy_one(void *ctx, struct br_ssh_board *b)
{
	struct copy *copy = ctx;
	const struct br_ssh_run how = { .timeout_ns = copy->fleet.timeout_ns, .cancelled = br_ssh_fleet_cancelled() };
	br_cleanup(br_freep) char *own = NULL;
	struct br_error err = BR_ERROR_NULL;
	const char *to = copy->to;
	int r = 0;

	if (!copy->upload && copy->fleet.n > 1) { /* a directory for each, or they would overwrite one another */
		own = br_path_join(copy->to, b->host.board);
		to = own;
		r = own ? br_mkdir_all(own, 0777, &err) : -ENOMEM;
	}
	if (r >= 0)
		r = br_ssh_copy(&b->host, copy->upload, copy->from, copy->n, to, copy->recursive, &how, &b->result, &err);
	if (r < 0) {
		b->result = (struct br_ssh_result){ .end = BR_SSH_UNREACHABLE };
		snprintf(b->result.words, sizeof(b->result.words), "%.299s", br_error_text(&err, r));
	}
}

/* Which boards, and what is where. */
static int read_paths(struct copy *copy, char **words, size_t n, char **ret_boards)
{
	char *path;

	if (n < 2)
		return br_cli_usage("what to copy and where to are needed");
	copy->from = words;
	copy->n = n - 1;
	copy->to = words[n - 1];
	if (split(copy->to, &path)) {
		*ret_boards = copy->to;
		copy->to = path;
		copy->upload = true;
		for (size_t i = 0; i < copy->n; i++) {
			if (split(words[i], &path))
				return br_cli_usage("from board to board goes over a file here: two commands");
		}
		return 0;
	}
	if (copy->n > 1 || !split(words[0], &path))
		return br_cli_usage("one of the two is BOARD:path");
	*ret_boards = words[0];
	words[0] = path;
	return 0;
}

static int read_cp_options(int argc, char **argv, struct copy *copy, char **ret_boards)
{
	int c, r;

	while ((c = getopt_long(argc, argv, ":l:t:f:r" BR_COMMON_SHORT, cp_options, NULL)) != -1) {
		r = c == 'r' ? 0 : take_shared(&copy->fleet, &copy->user, c, optarg);
		copy->recursive = copy->recursive || c == 'r';
		if (r == -ENOENT)
			r = br_common_take(&copy->common, argc, argv, c) < 0 ? BR_EXIT_USAGE : 0;
		if (r)
			return r;
	}
	return read_paths(copy, argv + optind, (size_t)(argc - optind), ret_boards);
}

static int cp(int argc, char **argv)
{
	struct copy copy = { .fleet.work = copy_one };
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_error err = BR_ERROR_NULL;
	char *boards = NULL;
	int r = read_cp_options(argc, argv, &copy, &boards);

	if (r)
		return r;
	r = br_client_new(copy.common.state, &client, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	copy.fleet.ctx = &copy;
	r = br_ssh_fleet_init(&copy.fleet, client, boards, copy.user);
	if (!r) {
		struct br_waiting *waiting = br_waiting_start("copying", copy.common.quiet);

		br_ssh_fleet_run(&copy.fleet);
		br_waiting_end(waiting);
		r = br_ssh_fleet_end(&copy.fleet, copy.common.quiet);
	}
	br_ssh_fleet_done(&copy.fleet);
	return r;
}

const struct br_command br_cli_ssh[] = {
	{ NULL, "shell", "BOARD [--user NAME] [-- COMMAND...]", "A shell on a board, over ssh", shell,
		"  -l, --user NAME    who logs in (else $BRAMBLE_SSH_USER, else root)\n"
		"The board is known by the host key it was given: nothing is asked, another key is an error.\n" },
	{ NULL, "run", "BOARDS [--gather] [--timeout DUR] [-o table|json|jsonl] -- COMMAND... | " BR_RUN_JOB_ARGS, "A command on boards, over ssh; with -b a job", run,
		"  -l, --user NAME    who logs in (else $BRAMBLE_SSH_USER, else root)\n"
		"  -t, --timeout DUR  how long it may take on each board\n"
		"  -f, --fanout N     so many boards at a time (32)\n"
		"  -g, --gather       boards that say the same share it, at the end\n"
		"One word of command is given to the board's shell as it is, several are quoted. The exit code is the worst of the\n"
		"boards': the command's own, 255 for a board that was not reached, 124 for one whose time ran out.\n\n" BR_RUN_JOB_DETAILS },
	{ NULL, "cp", "[-r] FROM... TO", "Copies to and from boards, over ssh; BOARDS:path is a board's", cp,
		"  -r, --recursive    directories with what is in them\n"
		"  -l, --user NAME    who logs in (else $BRAMBLE_SSH_USER, else root)\n"
		"  -t, --timeout DUR  how long it may take for each board\n"
		"  -f, --fanout N     so many boards at a time (32)\n"
		"From several boards at once each gets a directory of its name below TO.\n" },
	{ 0 },
};
