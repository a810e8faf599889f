/* SPDX-License-Identifier: Apache-2.0 */
/* bramble reserve: boards held for a person, and looking after who holds what. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/hold.h"
#include "cli/table.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);
BR_DEFINE_CLEANUP(struct br_hold *, br_hold_free);

#define FOR_DEFAULT "2h"
#define QUEUE_DEFAULT_NS (24 * 3600 * BR_S)
#define TOLD_NS (10 * BR_S)

/* Options of all verbs; each knows some. */
struct options {
	struct br_common common;
	uint64_t for_s, queue_ns, ended;
	const char *note, *user, *reason;
	bool shell, no_wait, follow;
};

static const struct option long_options[] = {
	{ "for", required_argument, NULL, 300 },
	{ "note", required_argument, NULL, 301 },
	{ "user", required_argument, NULL, 302 },
	{ "queue-timeout", required_argument, NULL, 303 },
	{ "no-wait", no_argument, NULL, 304 },
	{ "shell", no_argument, NULL, 305 },
	{ "ended", required_argument, NULL, 306 },
	{ "reason", required_argument, NULL, 307 },
	{ "follow", no_argument, NULL, 'f' },
	BR_COMMON_LONG,
};

static int bad_duration(const char *option)
{
	return br_cli_usage("%s '%s': a duration is needed, as 90s, 30m, 2h or 7d", option, optarg);
}

static int take_option(struct options *o, int argc, char **argv, int c)
{
	uint64_t ns = 0;

	switch (c) {
	case 300:
		if (br_parse_duration(optarg, &ns) < 0 || ns < BR_S)
			return bad_duration("--for");
		o->for_s = ns / BR_S;
		return 0;
	case 301:
		o->note = optarg;
		return 0;
	case 302:
		o->user = optarg;
		return 0;
	case 303:
		return br_parse_duration(optarg, &o->queue_ns) < 0 || !o->queue_ns ? bad_duration("--queue-timeout") : 0;
	case 304:
		o->no_wait = true;
		return 0;
	case 305:
		o->shell = true;
		return 0;
	case 306:
		return br_parse_u64(optarg, 0, 2000, &o->ended) < 0 ? br_cli_usage("--ended '%s': a number up to 2000 is needed", optarg) : 0;
	case 307:
		o->reason = optarg;
		return 0;
	case 'f':
		o->follow = true;
		return 0;
	default:
		return br_common_take(&o->common, argc, argv, c) < 0 ? BR_EXIT_USAGE : 0;
	}
}

/* known: the values of the verb's own options, ended by 0. */
static int read_options(struct options *o, int argc, char **argv, const int *known)
{
	int c, r = 0;

	while (!r && (c = getopt_long(argc, argv, ":f" BR_COMMON_SHORT, long_options, NULL)) != -1) {
		const int *k = known;

		while (*k && *k != c)
			k++;
		if (!*k && (c == 'f' || c >= 300))
			return br_cli_usage("option '%s' is of another verb", argv[optind - 1]);
		r = take_option(o, argc, argv, c);
	}
	return r;
}

/* ---- list ---- */

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "reservation", out);
}

static void cell_state(const json_t *row, char out[static BR_CELL_MAX])
{
	json_int_t before = json_integer_value(json_object_get(row, "before"));

	br_cell_text(row, "state", out);
	if (!strcmp(out, "waiting"))
		snprintf(out, BR_CELL_MAX, "waiting, %lld before", before);
	else if (!strcmp(out, "ended"))
		br_cell_text(row, "why", out);
}

static void cell_user(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "user", out);
}

/* The boards it has, else what it waits for. */
static void cell_boards(const json_t *row, char out[static BR_CELL_MAX])
{
	const json_t *boards = json_object_get(row, "boards"), *b;
	char selector[120];
	size_t i, n = 0;

	out[0] = 0;
	json_array_foreach((json_t *)(uintptr_t)boards, i, b) {
		int k = snprintf(out + n, BR_CELL_MAX - n, "%s%s", i ? "," : "", json_string_value(b) ?: "");

		if (k < 0 || n + (size_t)k > 60) {
			snprintf(out + n, BR_CELL_MAX - n, ",... (%zu)", json_array_size(boards));
			return;
		}
		n += (size_t)k;
	}
	if (n)
		return;
	br_cell_text(row, "selector", out);
	snprintf(selector, sizeof(selector), "%.100s", out);
	snprintf(out, BR_CELL_MAX, "%lld of %s", (long long)json_integer_value(json_object_get(row, "count")), selector);
}

static void cell_since(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, json_is_null(json_object_get(row, "held_at")) ? "asked_at" : "held_at", out);
}

static void cell_until(const json_t *row, char out[static BR_CELL_MAX])
{
	if (!strcmp(json_string_value(json_object_get(row, "kind")) ?: "", "job"))
		strcpy(out, "the job ends");
	else
		br_cell_text(row, "until", out);
	if (strlen(out) > 19 && out[10] == 'T') { /* "2026-11-21T10:00:38.000000Z" */
		out[10] = ' ';
		strcpy(out + 19, " UTC");
	}
}

static void cell_note(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, json_is_null(json_object_get(row, "reason")) ? "note" : "reason", out);
}

static const struct br_column columns[] = {
	{ "RESERVATION", cell_name }, { "STATE", cell_state }, { "USER", cell_user }, { "BOARDS", cell_boards }, { "SINCE", cell_since },
	{ "UNTIL", cell_until }, { "NOTE", cell_note }, { 0 },
};

static int list(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *rows = NULL;
	struct options o = { 0 };
	struct br_error err = BR_ERROR_NULL;
	char path[64];
	int r = read_options(&o, argc, argv, (const int[]){ 306, 0 });

	if (r)
		return r;
	if (optind < argc)
		return br_cli_usage("too many words");
	snprintf(path, sizeof(path), "/v1/reservations?ended=%u", (unsigned)o.ended);
	r = br_client_new(o.common.state, &client, &err);
	if (r >= 0)
		r = br_client_call(client, "GET", path, NULL, &rows, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(rows, columns, "reservation", &o.common);
	return BR_EXIT_OK;
}

/* ---- get ---- */

static volatile sig_atomic_t stopped;

static void on_stop(int sig)
{
	stopped = sig;
}

static void catch_stop(void)
{
	struct sigaction act = { .sa_handler = on_stop };

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
}

/* The place in the queue, when it is another one or after a while. */
static void tell_place(const struct options *o, struct br_hold *hold, json_int_t *told, uint64_t *told_ns, uint64_t began_ns)
{
	br_cleanup(json_decrefp) json_t *status = br_hold_status(hold);
	json_int_t before = json_integer_value(json_object_get(status, "before"));
	char spent[24];
	uint64_t now = br_now_ns();

	if (o->common.quiet || now - began_ns < 2 * BR_S || (before == *told && now - *told_ns < TOLD_NS))
		return;
	fprintf(stderr, "%s waits, %lld before it: %s\n", br_hold_name(hold), (long long)before,
		br_format_duration(spent, sizeof(spent), (now - began_ns) / BR_S * BR_S));
	*told = before;
	*told_ns = now;
}

/* Until it is held: 0, or an exit code after a message. */
static int wait_for_it(const struct options *o, struct br_hold *hold)
{
	static const struct timespec pause = { .tv_nsec = 100 * (long)BR_MS };
	uint64_t began = br_now_ns(), told_ns = 0;
	json_int_t told = -1;
	struct br_error err = BR_ERROR_NULL;

	for (;;) {
		switch (br_hold_state(hold, &err)) {
		case BR_HOLD_HELD:
			return 0;
		case BR_HOLD_LOST:
			return br_cli_fail(BR_EXIT_FAILED, "%s", err.text);
		case BR_HOLD_AWAY:
			return br_cli_fail(BR_EXIT_NO_DAEMON, "%s", err.text);
		case BR_HOLD_WAITING:
			break;
		}
		if (stopped) {
			if (br_hold_release(hold, "interrupted", &err) < 0)
				return br_cli_fail(BR_EXIT_INTERRUPTED, "interrupted; the place in the queue could not be given back (%s): it ends by itself, "
					"within a minute", err.text);
			return br_cli_fail(BR_EXIT_INTERRUPTED, "interrupted: the place in the queue was given back");
		}
		if (o->no_wait || br_now_ns() - began > o->queue_ns) {
			br_hold_release(hold, "did not wait any longer", NULL);
			return br_cli_fail(BR_EXIT_TIMEOUT, "the boards are not free%s; 'bramble reserve list' shows who has them",
				o->no_wait ? "" : ", and time is up");
		}
		tell_place(o, hold, &told, &told_ns, began);
		nanosleep(&pause, NULL);
	}
}

static void print_held(const struct options *o, const struct br_hold *hold, json_t *status)
{
	char boards[BR_CELL_MAX], until[BR_CELL_MAX];

	if (o->shell)
		printf("export BRAMBLE_RESERVATION=%s\n", br_hold_id(hold));
	else if (o->common.form != BR_FORM_TABLE)
		br_print_json(status, o->common.form == BR_FORM_JSON);
	else if (o->common.quiet)
		puts(br_hold_id(hold));
	if (o->shell || o->common.form != BR_FORM_TABLE || o->common.quiet)
		return;
	cell_boards(status, boards);
	cell_until(status, until);
	printf("%s: %s, until %s\nID: %s (commands on these boards want it: --reservation, or BRAMBLE_RESERVATION)\n", br_hold_name(hold), boards,
		until, br_hold_id(hold));
}

static int get(int argc, char **argv)
{
	br_cleanup(br_hold_freep) struct br_hold *hold = NULL;
	br_cleanup(json_decrefp) json_t *request = NULL, *status = NULL;
	br_cleanup(br_freep) char *user = NULL;
	struct options o = { .queue_ns = QUEUE_DEFAULT_NS };
	struct br_text selector = BR_TEXT_NULL;
	struct br_error err = BR_ERROR_NULL;
	int r = read_options(&o, argc, argv, (const int[]){ 300, 301, 302, 303, 304, 305, 0 });

	if (r)
		return r;
	if (optind == argc)
		return br_cli_usage("boards are needed: names, or a selector as model=4B,tag=camera:2");
	if (!o.for_s) {
		uint64_t ns = 0;

		(void)br_parse_duration(FOR_DEFAULT, &ns);
		o.for_s = ns / BR_S;
	}
	for (int i = optind; i < argc; i++)
		br_text_addf(&selector, "%s%s", i > optind ? "," : "", argv[i]);
	user = o.user ? strdup(o.user) : br_hold_user();
	request = json_pack("{s:s, s:s, s:s*, s:I}", "boards", selector.buf ?: "", "user", user ?: "", "note", o.note, "for", (json_int_t)o.for_s);
	br_text_done(&selector);
	if (!request)
		return br_cli_usage("selector and note must be UTF-8 text");
	catch_stop();
	r = br_hold_ask(o.common.state, request, &hold, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	r = wait_for_it(&o, hold);
	if (r)
		return r;
	status = br_hold_status(hold);
	print_held(&o, hold, status);
	return BR_EXIT_OK;
}

/* ---- show, extend, release, break ---- */

/* The IDs of the command line, else that of the environment. */
static int for_each(const struct options *o, int argc, char **argv,
	int (*fn)(const struct options *o, struct br_client *client, const char *id, struct br_error *err))
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_error err = BR_ERROR_NULL;
	const char *mine = getenv("BRAMBLE_RESERVATION");
	int r;

	if (optind == argc && (!mine || !mine[0]))
		return br_cli_usage("a reservation is needed: r12, or the ID that 'reserve get' told");
	r = br_client_new(o->common.state, &client, &err);
	if (r >= 0 && optind == argc)
		r = fn(o, client, mine, &err);
	for (int i = optind; i < argc && r >= 0; i++)
		r = fn(o, client, argv[i], &err);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

/* "r12" of "r12-SECRET", for a path (NULL: memory is out): the secret goes where no log has it. */
static char *name_of(const char *id)
{
	br_cleanup(br_freep) char *name = strndup(id, strcspn(id, "-"));

	if (strchr(id, '-'))
		setenv("BRAMBLE_RESERVATION", id, 1);
	return name ? br_client_escape(name) : NULL;
}

static int call(struct br_client *client, const char *method, const char *id, const char *query, const json_t *body, json_t **ret,
	struct br_error *err)
{
	br_cleanup(br_freep) char *name = name_of(id);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/reservations/%s%s", name, query) : NULL;

	return path ? br_client_call(client, method, path, body, ret, err) : br_error_set(err, ENOMEM, "out of memory");
}

static void print_one(const struct options *o, const json_t *status)
{
	static const struct {
		const char *title, *path;
	} fields[] = {
		{ "reservation:", "reservation" }, { "state:", "state" }, { "kind:", "kind" }, { "user:", "user" }, { "who:", "who" },
		{ "note:", "note" }, { "selector:", "selector" }, { "count:", "count" }, { "before:", "before" }, { "asked:", "asked_at" },
		{ "held:", "held_at" }, { "until:", "until" }, { "ended:", "ended_at" }, { "why:", "why" }, { "reason:", "reason" },
	};
	char cell[BR_CELL_MAX];

	if (o->common.form != BR_FORM_TABLE) {
		br_print_json(status, o->common.form == BR_FORM_JSON);
		return;
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(fields) && !o->common.quiet; i++) {
		br_cell_text(status, fields[i].path, cell);
		printf("%-13s%s\n", fields[i].title, cell);
	}
	cell_boards(status, cell);
	if (!o->common.quiet)
		printf("%-13s%s\n", "boards:", cell);
}

/* Lines of the stream as they come. */
static int print_bytes(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	const char *s = data;

	for (size_t i = 0; i < n; i++) { /* empty lines are signs of life */
		if (s[i] != '\n' || *(bool *)ctx)
			putchar(s[i]);
		*(bool *)ctx = s[i] != '\n';
	}
	fflush(stdout);
	return ferror(stdout) ? 1 : 0;
}

static int show_one(const struct options *o, struct br_client *client, const char *id, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *status = NULL;
	br_cleanup(br_freep) char *name = name_of(id);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/reservations/%s?follow=1", name) : NULL;
	bool in_line = false;
	int r;

	if (o->follow)
		return path ? br_client_stream(client, path, print_bytes, &in_line, err) : br_error_set(err, ENOMEM, "out of memory");
	r = call(client, "GET", id, "", NULL, &status, err);
	if (r >= 0)
		print_one(o, status);
	return r;
}

static int show(int argc, char **argv)
{
	struct options o = { 0 };
	int r = read_options(&o, argc, argv, (const int[]){ 'f', 0 });

	return r ? r : for_each(&o, argc, argv, show_one);
}

static int extend_one(const struct options *o, struct br_client *client, const char *id, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *status = NULL, *body = json_pack("{s:I}", "for", (json_int_t)o->for_s);
	char until[BR_CELL_MAX];
	int r = call(client, "PATCH", id, "", body, &status, err);

	if (r < 0)
		return r;
	cell_until(status, until);
	if (o->common.form != BR_FORM_TABLE)
		br_print_json(status, o->common.form == BR_FORM_JSON);
	else if (!o->common.quiet)
		printf("%s: until %s\n", json_string_value(json_object_get(status, "reservation")), until);
	return 0;
}

static int extend(int argc, char **argv)
{
	struct options o = { 0 };
	int r = read_options(&o, argc, argv, (const int[]){ 300, 0 });

	if (!r && !o.for_s)
		return br_cli_usage("--for is needed: how long from now");
	return r ? r : for_each(&o, argc, argv, extend_one);
}

static int end_one(const struct options *o, struct br_client *client, const char *id, bool by_force, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *status = NULL;
	br_cleanup(br_freep) char *reason = br_client_escape(o->reason ?: "");
	br_cleanup(br_freep) char *query = NULL;
	int r;

	query = reason ? br_asprintf("?break=%d%s%s", by_force, o->reason ? "&reason=" : "", reason) : NULL;
	r = query ? call(client, "DELETE", id, query, NULL, &status, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r < 0)
		return r;
	if (o->common.form != BR_FORM_TABLE)
		br_print_json(status, o->common.form == BR_FORM_JSON);
	else if (!o->common.quiet)
		printf("%s: %s\n", by_force ? "broke" : "released", json_string_value(json_object_get(status, "reservation")));
	return 0;
}

static int release_one(const struct options *o, struct br_client *client, const char *id, struct br_error *err)
{
	return end_one(o, client, id, false, err);
}

static int break_one(const struct options *o, struct br_client *client, const char *id, struct br_error *err)
{
	return end_one(o, client, id, true, err);
}

static int release(int argc, char **argv)
{
	struct options o = { 0 };
	int r = read_options(&o, argc, argv, (const int[]){ 307, 0 });

	return r ? r : for_each(&o, argc, argv, release_one);
}

static int break_it(int argc, char **argv)
{
	struct options o = { 0 };
	int r = read_options(&o, argc, argv, (const int[]){ 307, 0 });

	if (!r && optind == argc)
		return br_cli_usage("a reservation is needed, as r12");
	return r ? r : for_each(&o, argc, argv, break_one);
}

#define FORMS \
	"  -o, --output FORM  table, json or jsonl\n" \
	"  -q, --quiet        only names, or nothing\n"

const struct br_command br_cli_reserve[] = {
	{ "reserve", "get", "BOARDS [--for DURATION] [--note TEXT] [--queue-timeout DURATION|--no-wait] [--user NAME] [--shell] "
		"[-o table|json|jsonl] [-q]",
		"Reserves boards for a while, waiting for them in the queue", get,
		"BOARDS: names (all of them: pi07, pi[01-24]) or a selector: model=4B, tag=camera, image=raspios, free; :N at the end is how\n"
		"many (else one). Commas join: names are a set, all conditions must hold. docs/reserve.md tells more.\n\n"
		"  --for DURATION     how long from when they are held (default: " FOR_DEFAULT "); at most a year\n"
		"  --note TEXT        what for; others are shown it\n"
		"  --queue-timeout DURATION  how long to wait for them (default: 24h)\n"
		"  --no-wait          exit code 5 when they are not free now\n"
		"  --user NAME        for whom (else $BRAMBLE_USER, the CI's user, or you)\n"
		"  --shell            prints 'export BRAMBLE_RESERVATION=...', for eval\n" FORMS },
	{ "reserve", "list", "[--ended N] [-o table|json|jsonl] [-q]", "Lists who has boards, and who waits, in the order of the queue", list,
		"  --ended N          the newest N that have ended, too\n" FORMS },
	{ "reserve", "show", "RESERVATION [--follow] [-o table|json|jsonl]", "Shows one reservation", show,
		"  -f, --follow       a JSON line whenever its state or its place in the queue changes, until it has ended\n" FORMS },
	{ "reserve", "extend", "[RESERVATION] --for DURATION [-o table|json|jsonl] [-q]", "Makes a reservation last so long from now", extend,
		"  --for DURATION     90s, 30m, 2h, 7d\nWithout RESERVATION: that of $BRAMBLE_RESERVATION.\n" FORMS },
	{ "reserve", "release", "[RESERVATION] [--reason TEXT] [-o table|json|jsonl] [-q]", "Gives boards back", release,
		"  --reason TEXT      for the record\nWithout RESERVATION: that of $BRAMBLE_RESERVATION. Yours by its whole ID, or when you made it as this user (not root).\n" FORMS },
	{ "reserve", "break", "RESERVATION [--reason TEXT] [-o table|json|jsonl] [-q]", "Takes boards away from who has them; the record says who did", break_it,
		"  --reason TEXT      for the record, and for who had them\n" FORMS },
	{ 0 },
};
