/* SPDX-License-Identifier: Apache-2.0 */
/* bramble run -b: a job on boards of the rack, from its place in the queue to the boards given back. */
#include "cli/runjob.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/job.h"
#include "cli/table.h"

#define ANSWER_MS 60000 /* of one request */
#define PAUSE_MS  100
#define PLACE_NS  (10 * BR_S) /* the place in the queue is told so often */

volatile sig_atomic_t br_job_signal;

static void on_signal(int sig)
{
	br_job_signal = sig;
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal };

	for (size_t i = 0; i < BR_ARRAY_SIZE(signals); i++) {
		struct sigaction old;

		if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN) /* nohup, a background job of a script: it goes on */
			sigaction(signals[i], &act, NULL);
	}
}

/* ---- what is told ---- */

static void say(const struct br_job *job, const char *words)
{
	char spent[24], vis[1200];

	br_format_duration(spent, sizeof(spent), (br_now_ns() - job->began_ns) / BR_S * BR_S);
	fprintf(stderr, "bramble: [%s] %s\n", spent, br_vis(vis, sizeof(vis), words, strlen(words)));
	fflush(stderr);
}

void br_job_say(const struct br_job *job, const char *fmt, ...)
{
	char words[1000];
	va_list ap;

	if (job->opt->quiet)
		return;
	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	say(job, words);
}

int br_job_fail(struct br_job *job, int code, const char *fmt, ...)
{
	struct br_job_phase *p = job->n_phases ? &job->phases[job->n_phases - 1] : NULL;
	char words[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	say(job, words);
	if (p && !p->words[0])
		snprintf(p->words, sizeof(p->words), "%s", words);
	return code;
}

int br_job_fail_call(struct br_job *job, int code, const char *what, int r, const struct br_error *err)
{
	if (r == -ECONNREFUSED || r == -ECONNRESET)
		code = BR_JOB_DAEMON;
	return br_job_fail(job, code, "%s%s%s", what, what[0] ? ": " : "", br_error_text(err, r));
}

void br_job_begin(struct br_job *job, const char *phase)
{
	if (job->n_phases == BR_JOB_PHASES_MAX)
		return;
	job->phases[job->n_phases++] = (struct br_job_phase){ .name = phase, .began_ns = br_now_ns() };
}

void br_job_end(struct br_job *job, int code)
{
	struct br_job_phase *p = job->n_phases ? &job->phases[job->n_phases - 1] : NULL;

	if (!p || p->ended_ns)
		return;
	p->ended_ns = br_now_ns();
	p->code = code;
}

/* ---- waiting ---- */

void br_job_pause(void)
{
	static const struct timespec pause = { .tv_nsec = PAUSE_MS * (long)BR_MS };

	nanosleep(&pause, NULL);
}

int br_job_check(struct br_job *job)
{
	struct br_error err = BR_ERROR_NULL;
	int sig = br_job_signal;

	if (sig)
		return br_job_fail(job, 128 + sig, "stopped by signal %d (%s): the boards are given back", sig, sigabbrev_np(sig) ?: "?");
	if (!job->hold)
		return 0;
	switch (br_hold_state(job->hold, &err)) {
	case BR_HOLD_LOST:
		return br_job_fail(job, BR_JOB_LOST, "the boards are ours no longer: %s", err.text);
	case BR_HOLD_AWAY:
		return br_job_fail(job, BR_JOB_DAEMON, "the daemon does not answer any more: %s", err.text);
	case BR_HOLD_WAITING:
	case BR_HOLD_HELD:
		break;
	}
	return 0;
}

/* The heartbeat says when one has waited long enough for a daemon. */
static bool may_come_back(struct br_job *job, int r)
{
	enum br_hold_state state = job->hold ? br_hold_state(job->hold, NULL) : BR_HOLD_AWAY;

	return (r == -ECONNREFUSED || r == -ECONNRESET) && !br_job_signal && (state == BR_HOLD_HELD || state == BR_HOLD_WAITING);
}

int br_job_request(struct br_job *job, const char *method, const char *path, const json_t *body, json_t **ret, struct br_error *err)
{
	int r = path ? br_client_call(job->client, method, path, body, ret, err) : br_error_set(err, ENOMEM, "out of memory");

	while (may_come_back(job, r)) {
		br_job_pause();
		r = br_client_call(job->client, method, path, body, ret, err);
	}
	return r;
}

int br_job_call(struct br_job *job, const struct br_job_board *b, const char *method, const char *rest, const json_t *body, json_t **ret,
	struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s%s", b->name, rest);

	return br_job_request(job, method, path, body, ret, err);
}

/* ---- the queue ---- */

/* Before one waits for hours: is there such an image? */
static int check_image(struct br_job *job)
{
	br_cleanup(json_decrefp) json_t *images = NULL;
	char name[BR_IMAGE_NAME_MAX + 1];
	struct br_error err = BR_ERROR_NULL;
	const json_t *image;
	size_t i;
	int r;

	if (!job->opt->image)
		return 0;
	r = br_image_name_canon(job->opt->image, name, &err);
	if (r < 0)
		return br_job_fail(job, BR_JOB_IMAGE, "%s", err.text);
	r = br_client_call(job->client, "GET", "/v1/images", NULL, &images, &err);
	if (r < 0)
		return br_job_fail_call(job, BR_JOB_OTHER, "images", r, &err);
	json_array_foreach(images, i, image) {
		if (!strcmp(json_string_value(json_object_get(image, "name")) ?: "", name))
			return 0;
	}
	return br_job_fail(job, BR_JOB_IMAGE, "no image is named '%s'; 'bramble image list' shows them", name);
}

/* Where a person finds this job: the CI's page. */
static const char *job_url(void)
{
	static const char *const names[] = { "CI_JOB_URL", "BUILD_URL", "GITHUB_RUN_ID" };
	const char *url = NULL;

	for (size_t i = 0; i < BR_ARRAY_SIZE(names) && (!url || !url[0]); i++)
		url = getenv(names[i]);
	return url && url[0] ? url : NULL;
}

static int ask(struct br_job *job)
{
	br_cleanup(br_freep) char *user = br_hold_user();
	br_cleanup(json_decrefp) json_t *request = NULL;
	const char *url = job_url();
	char note[256];
	struct br_error err = BR_ERROR_NULL;
	int r;

	snprintf(note, sizeof(note), "%s%s%s", job->opt->note ?: "", job->opt->note && url ? " " : "", url ?: "");
	request = json_pack("{s:s, s:s, s:I}", "boards", job->opt->boards, "user", user ?: "", "ttl", (json_int_t)(job->opt->ttl_ns / BR_S));
	if (request && note[0])
		json_object_set_new(request, "note", json_string(note));
	if (!request)
		return br_job_fail(job, BR_JOB_OTHER, "the selector or the user's name is no UTF-8 text");
	r = br_hold_ask(job->opt->state, request, &job->hold, &err);
	if (r >= 0)
		return 0;
	if (r == -EINVAL || r == -E2BIG)
		return br_job_fail(job, BR_EXIT_USAGE, "%s", err.text);
	return br_job_fail_call(job, r == -ENOENT ? BR_JOB_NO_BOARD : BR_JOB_OTHER, "", r, &err);
}

static void tell_place(struct br_job *job, json_int_t *told, uint64_t *told_ns)
{
	br_cleanup(json_decrefp) json_t *status = br_hold_status(job->hold);
	json_int_t before = json_integer_value(json_object_get(status, "before"));
	uint64_t now = br_now_ns();

	if (before == *told && now - *told_ns < PLACE_NS)
		return;
	br_job_say(job, "%s waits for %lld board%s of '%s', %lld before it", br_hold_name(job->hold),
		(long long)json_integer_value(json_object_get(status, "count")),
		json_integer_value(json_object_get(status, "count")) == 1 ? "" : "s", job->opt->boards, (long long)before);
	*told = before;
	*told_ns = now;
}

static int queue(struct br_job *job)
{
	uint64_t end = br_now_ns() + job->opt->queue_ns, told_ns = 0;
	json_int_t told = -1;
	char spent[24];
	int code = check_image(job);

	if (!code)
		code = ask(job);
	while (!code && br_hold_state(job->hold, NULL) != BR_HOLD_HELD) {
		code = br_job_check(job);
		if (!code && br_now_ns() > end)
			code = br_job_fail(job, BR_JOB_QUEUE, "no board came free within %s (--queue-timeout); 'bramble reserve list' shows who has them",
				br_format_duration(spent, sizeof(spent), job->opt->queue_ns));
		if (!code) {
			tell_place(job, &told, &told_ns);
			br_job_pause();
		}
	}
	return code ? code : br_job_take_boards(job);
}

/* ---- the whole ---- */

static int step(struct br_job *job, const char *phase, int (*fn)(struct br_job *job))
{
	int code = br_job_check(job);

	if (code)
		return code;
	br_job_begin(job, phase);
	code = fn(job);
	br_job_end(job, code);
	return code;
}

static int lab(struct br_job *job)
{
	const struct br_job_options *o = job->opt;
	int code = step(job, "queue", queue);

	if (!code)
		code = step(job, "settings", br_job_settings);
	if (!code && !o->no_log)
		job->log = br_job_log_start(job);
	if (!code && o->flash)
		code = step(job, "flash", br_job_flash);
	if (!code && !o->flash && strcmp(o->power, "none") != 0)
		code = step(job, "power", br_job_power);
	if (!code && !o->flash && strcmp(o->up, "none") != 0)
		code = step(job, "boot", br_job_wait_up);
	return code;
}

/* To look at the boards: the reservation goes on without us, as one made by hand. */
static bool keep(struct br_job *job)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/reservations/%s", br_hold_name(job->hold));
	br_cleanup(json_decrefp) json_t *body = json_pack("{s:I}", "for", (json_int_t)(job->opt->keep_ns / BR_S));
	struct br_error err = BR_ERROR_NULL;
	char spent[24];
	int r = body ? br_job_request(job, "PATCH", path, body, NULL, &err) : -ENOMEM;

	if (r < 0) {
		br_job_fail(job, 0, "the boards cannot be kept: %s", br_error_text(&err, r));
		return false;
	}
	say(job, "the boards stay reserved, to look at them; 'bramble reserve release' with this ID gives them back:");
	fprintf(stderr, "export BRAMBLE_RESERVATION=%s # for %s\n", br_hold_id(job->hold),
		br_format_duration(spent, sizeof(spent), job->opt->keep_ns));
	return true;
}

/* The exit code, which is another one when the boards were not ours until the end. */
static int give_back(struct br_job *job, int code, bool command_failed)
{
	struct br_error err = BR_ERROR_NULL;
	char reason[60];
	int r;

	if (!job->hold)
		return code;
	if (!command_failed || !job->opt->keep || !keep(job)) {
		snprintf(reason, sizeof(reason), "the job ended with code %d", code);
		br_client_patience(job->client, ANSWER_MS);
		r = br_hold_release(job->hold, reason, &err);
		if (r >= 0)
			br_job_say(job, "%s: the boards are free again, with their own settings", br_hold_name(job->hold));
		else if (!code && (r == -ESTALE || r == -ENOENT || r == -EACCES))
			code = br_job_fail(job, BR_JOB_LOST, "the boards were taken away before the job ended: %s", br_error_text(&err, r));
		else if (code != BR_JOB_LOST)
			br_job_fail(job, 0, "%s could not be given back (%s): the daemon does so itself, within a minute", br_hold_name(job->hold),
				br_error_text(&err, r));
	}
	br_hold_free(job->hold);
	job->hold = NULL;
	return code;
}

/* Whether the boards were ours until the command ended: the last beat is from before that. */
static int check_held(struct br_job *job)
{
	struct br_error err = BR_ERROR_NULL;

	br_client_patience(job->client, ANSWER_MS);
	if (br_hold_look(job->hold, job->client, &err) != BR_HOLD_LOST)
		return 0;
	return br_job_fail(job, BR_JOB_LOST, "the boards are ours no longer: %s", err.text);
}

static int run(struct br_job *job)
{
	bool command_failed = false;
	int code = lab(job), kept, lost;

	if (!code) {
		code = step(job, "command", br_job_command);
		lost = code == BR_JOB_LOST || br_job_signal ? 0 : check_held(job);
		code = lost ? lost : code;
		command_failed = code != 0 && code != BR_JOB_LOST && !br_job_signal;
	}
	br_job_log_stop(job->log);
	if (job->opt->artifacts && job->n_boards) {
		br_job_begin(job, "artifacts");
		kept = br_job_collect(job, code);
		br_job_end(job, kept);
		code = code ? code : kept;
	}
	code = give_back(job, code, command_failed);
	kept = br_job_report(job, code);
	return code ? code : kept;
}

/* ---- the command line ---- */

enum {
	OPT_DISK = 300,
	OPT_FLASH,
	OPT_ON_BOARD,
	OPT_USER,
	OPT_UP,
	OPT_POWER,
	OPT_TIMEOUT,
	OPT_BOOT,
	OPT_QUEUE,
	OPT_ARTIFACTS,
	OPT_COLLECT,
	OPT_JUNIT,
	OPT_KEEP,
	OPT_NO_LOG,
	OPT_NOTE,
	OPT_TTL,
};

static const struct option options[] = {
	{ "boards", required_argument, NULL, 'b' },
	{ "image", required_argument, NULL, 'i' },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "flash", no_argument, NULL, OPT_FLASH },
	{ "on-board", no_argument, NULL, OPT_ON_BOARD },
	{ "user", required_argument, NULL, OPT_USER },
	{ "up", required_argument, NULL, OPT_UP },
	{ "power", required_argument, NULL, OPT_POWER },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "boot-timeout", required_argument, NULL, OPT_BOOT },
	{ "queue-timeout", required_argument, NULL, OPT_QUEUE },
	{ "artifacts", required_argument, NULL, OPT_ARTIFACTS },
	{ "collect", required_argument, NULL, OPT_COLLECT },
	{ "junit", required_argument, NULL, OPT_JUNIT },
	{ "keep-on-failure", optional_argument, NULL, OPT_KEEP },
	{ "no-log", no_argument, NULL, OPT_NO_LOG },
	{ "note", required_argument, NULL, OPT_NOTE },
	{ "ttl", required_argument, NULL, OPT_TTL },
	BR_COMMON_LONG,
};

/* Words that are kept as they are. */
static const char **text_option(struct br_job_options *o, int c)
{
	switch (c) {
	case 'b':
		return &o->boards;
	case 'i':
		return &o->image;
	case OPT_DISK:
		return &o->disk;
	case OPT_USER:
		return &o->user;
	case OPT_UP:
		return &o->up;
	case OPT_POWER:
		return &o->power;
	case OPT_ARTIFACTS:
		return &o->artifacts;
	case OPT_JUNIT:
		return &o->junit;
	case OPT_NOTE:
		return &o->note;
	default:
		return NULL;
	}
}

static bool *flag_option(struct br_job_options *o, int c)
{
	switch (c) {
	case OPT_FLASH:
		return &o->flash;
	case OPT_ON_BOARD:
		return &o->on_board;
	case OPT_NO_LOG:
		return &o->no_log;
	default:
		return NULL;
	}
}

static uint64_t *duration_option(struct br_job_options *o, int c)
{
	switch (c) {
	case OPT_TIMEOUT:
		return &o->timeout_ns;
	case OPT_BOOT:
		return &o->boot_ns;
	case OPT_QUEUE:
		return &o->queue_ns;
	case OPT_TTL:
		return &o->ttl_ns;
	case OPT_KEEP:
		o->keep = true;
		return &o->keep_ns;
	default:
		return NULL;
	}
}

static int take_collect(struct br_job_options *o)
{
	if (optarg[0] != '/')
		return br_cli_usage("--collect %s: an absolute path on the board is needed", optarg);
	if (br_array_reserve(&o->collect, &o->collect_cap, o->n_collect + 1, sizeof(char *)) < 0)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	o->collect[o->n_collect++] = optarg;
	return 0;
}

static int take_option(struct br_job_options *o, struct br_common *common, int argc, char **argv, int c)
{
	const char **text = text_option(o, c);
	bool *flag = flag_option(o, c);
	uint64_t *ns = duration_option(o, c);

	if (text)
		*text = optarg;
	else if (flag)
		*flag = true;
	else if (ns && optarg && (br_parse_duration(optarg, ns) < 0 || *ns < BR_S))
		return br_cli_usage("'%s': a duration of a second at least is needed, as 90s, 30m or 2h", optarg);
	else if (c == OPT_COLLECT)
		return take_collect(o);
	else if (!ns && br_common_take(common, argc, argv, c) < 0)
		return BR_EXIT_USAGE;
	return 0;
}

static bool is_one_of(const char *word, const char *const *words)
{
	while (*words && strcmp(*words, word) != 0)
		words++;
	return *words != NULL;
}

static int check_options(struct br_job_options *o)
{
	static const char *const ups[] = { "up", "mounted", "kernel-sent", "ssh", "none", NULL };
	static const char *const powers[] = { "cycle", "reset", "none", NULL };
	static const char *const disks[] = { "volatile", "ram", "persistent", "keep", NULL };

	if (!o->boards || !o->boards[0])
		return br_cli_usage("-b is needed: names of boards, or a selector as model=4B:2");
	if (!o->argv[0])
		return br_cli_usage("a command is needed, behind '--'");
	if (o->flash && !o->image)
		return br_cli_usage("--flash wants -i: what to write");
	if (o->flash && strcmp(o->up, "up") != 0 && strcmp(o->up, "ssh") != 0 && strcmp(o->up, "none") != 0)
		return br_cli_usage("--up with --flash: up, ssh or none");
	if (!is_one_of(o->up, ups))
		return br_cli_usage("--up %s: up, mounted, kernel-sent, ssh or none", o->up);
	if (!is_one_of(o->power, powers))
		return br_cli_usage("--power %s: cycle, reset or none", o->power);
	if (!is_one_of(o->disk, disks))
		return br_cli_usage("--disk %s: volatile, ram, persistent or keep", o->disk);
	if (o->ttl_ns < 2 * BR_S || o->ttl_ns > 60 * BR_S)
		return br_cli_usage("--ttl: 2s to 60s");
	if (o->n_collect && !o->artifacts)
		return br_cli_usage("--collect wants --artifacts: where to");
	return 0;
}

int br_cli_run_job(int argc, char **argv)
{
	struct br_common common = { 0 };
	struct br_job_options o = { .up = "up", .power = "cycle", .disk = "volatile", .timeout_ns = 3600 * BR_S, .boot_ns = 600 * BR_S,
		.queue_ns = 6 * 3600 * BR_S, .keep_ns = 2 * 3600 * BR_S,
		.ttl_ns = 30 * BR_S };
	struct br_job job = { .opt = &o, .began_ns = br_now_ns(), .began_wall_ns = br_wall_ns() };
	struct br_error err = BR_ERROR_NULL;
	int c, r = 0;

	/* '+': what follows the first word is the command's */
	while (!r && (c = getopt_long(argc, argv, "+:b:i:" BR_COMMON_SHORT, options, NULL)) != -1)
		r = take_option(&o, &common, argc, argv, c);
	o.argv = argv + optind;
	o.state = common.state;
	o.quiet = common.quiet;
	if (!r)
		r = check_options(&o);
	if (!r && br_client_new(o.state, &job.client, &err) < 0)
		r = br_job_fail(&job, BR_JOB_DAEMON, "%s", err.text);
	if (!r) {
		br_client_patience(job.client, ANSWER_MS);
		catch_signals();
		r = run(&job);
	}
	br_client_free(job.client);
	free(job.boards);
	free(o.collect);
	return r;
}

bool br_cli_is_job(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strncmp(argv[i], "-b", 2) || !strcmp(argv[i], "--boards") || br_str_starts(argv[i], "--boards="))
			return true;
	}
	return false;
}
