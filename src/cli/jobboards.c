/* SPDX-License-Identifier: Apache-2.0 */
/* A job's boards: what they boot, switched, until they are up. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/flashwait.h"
#include "cli/job.h"
#include "cli/table.h"

#define POWER_MS  180000 /* one request about power: devices queue */
#define LOOK_NS	  (500 * BR_MS)
#define TOLD_NS	  (15 * BR_S)
#define SSH_PORT  22
#define CONNECT_MS 2000

static const char *text_of(const json_t *json, const char *path)
{
	return json_string_value(br_json_at(json, path)) ?: "";
}

static void read_board(struct br_job_board *b, const json_t *row)
{
	snprintf(b->address, sizeof(b->address), "%s", text_of(row, "address"));
	snprintf(b->model, sizeof(b->model), "%s", text_of(row, "model"));
	snprintf(b->serial, sizeof(b->serial), "%s", text_of(row, "serial"));
}

static uint64_t boot_of(const json_t *row)
{
	return (uint64_t)json_integer_value(br_json_at(row, "boot.number"));
}

/* The number of the newest event. */
static int last_event(struct br_job *job, uint64_t *ret, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *events = NULL;
	int r = br_job_request(job, "GET", "/v1/events?limit=1", NULL, &events, err);

	if (r >= 0)
		*ret = (uint64_t)json_integer_value(json_object_get(json_array_get(events, 0), "seq"));
	return r;
}

int br_job_take_boards(struct br_job *job)
{
	br_cleanup(json_decrefp) json_t *status = br_hold_status(job->hold);
	const json_t *names = json_object_get(status, "boards");
	struct br_error err = BR_ERROR_NULL;
	struct br_text list = BR_TEXT_NULL;
	size_t n = json_array_size(names);
	int r = last_event(job, &job->first_event, &err);

	job->boards = calloc(n + 1, sizeof(*job->boards));
	if (!job->boards || !n) {
		return br_job_fail(job, BR_JOB_OTHER, "the daemon gave no boards");
	}
	for (size_t i = 0; i < n && r >= 0; i++) {
		struct br_job_board *b = &job->boards[job->n_boards];
		json_t *row = NULL;

		if (br_strcpy(b->name, sizeof(b->name), json_string_value(json_array_get(names, i)) ?: "") < 0 || !b->name[0])
			continue;
		r = br_job_call(job, b, "GET", "", NULL, &row, &err);
		if (r < 0)
			break;
		read_board(b, row);
		b->boot = boot_of(row);
		json_decref(row);
		br_text_addf(&list, "%s%s", job->n_boards ? ", " : "", b->name);
		job->n_boards++;
	}
	if (r >= 0)
		br_job_say(job, "%s: %s", br_hold_name(job->hold), list.buf ?: "");
	br_text_done(&list);
	return r < 0 ? br_job_fail_call(job, BR_JOB_OTHER, "", r, &err) : 0;
}

int br_job_settings(struct br_job *job)
{
	const struct br_job_options *o = job->opt;
	br_cleanup(json_decrefp) json_t *body = json_object();
	br_cleanup(br_freep) char *path = br_asprintf("/v1/reservations/%s/settings", br_hold_name(job->hold));
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (o->flash) {
		json_object_set_new(body, "road", json_string("flash"));
	} else {
		if (o->image)
			json_object_set_new(body, "image", json_string(o->image));
		if (o->image)
			json_object_set_new(body, "road", json_string("net"));
		if (strcmp(o->disk, "keep") != 0)
			json_object_set_new(body, "disk", json_string(o->disk));
	}
	if (!json_object_size(body))
		return 0;
	r = br_job_request(job, "POST", path, body, NULL, &err);
	return r < 0 ? br_job_fail_call(job, r == -ENOENT ? BR_JOB_IMAGE : r == -ESTALE ? BR_JOB_LOST : BR_JOB_OTHER, "", r, &err) : 0;
}

/* ---- power ---- */

static int switch_board(struct br_job *job, const struct br_job_board *b)
{
	br_cleanup(json_decrefp) json_t *body = json_pack("{s:s, s:b}", "action", job->opt->power, "wait", 1);
	br_cleanup(json_decrefp) json_t *answer = NULL;
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (!body)
		return br_job_fail(job, BR_JOB_OTHER, "out of memory");
	br_client_patience(job->client, POWER_MS);
	r = br_job_call(job, b, "POST", "/power", body, &answer, &err);
	br_client_patience(job->client, 60000);
	if (r < 0)
		return br_job_fail_call(job, BR_JOB_POWER, "power", r, &err);
	return 0;
}

int br_job_power(struct br_job *job)
{
	int code = 0;

	for (size_t i = 0; i < job->n_boards && !code; i++) {
		code = br_job_check(job);
		if (!code)
			code = switch_board(job, &job->boards[i]);
		if (!code)
			br_job_say(job, "%s: power %s", job->boards[i].name, !strcmp(job->opt->power, "cycle") ? "cycled" : "reset");
	}
	return code;
}

/* ---- flash ---- */

/* The daemon does not know when to stop: we do. */
static int order_flash(struct br_job *job, struct br_flash_wait *w, const struct br_job_board *b)
{
	const char *up = !strcmp(job->opt->up, "up") ? "dhcp" : job->opt->up;
	br_cleanup(json_decrefp) json_t *body = json_pack("{s:s, s:s}", "image", job->opt->image, "up", up);
	struct br_error err = BR_ERROR_NULL;
	int r;

	w->board = b->name;
	r = body ? br_job_call(job, b, "POST", "/flash", body, &w->status, &err) : -ENOMEM;
	return r < 0 ? br_job_fail_call(job, r == -ENOENT ? BR_JOB_IMAGE : BR_JOB_FLASH, "flash", r, &err) : 0;
}

struct flashing {
	struct br_job *job;
	struct br_flash_wait *w;
	struct br_client *client;
	bool ended;
	pthread_mutex_t lock;
};

static void *wait_flashed(void *ctx)
{
	struct flashing *f = ctx;

	br_flash_wait(f->client, f->w, f->job->n_boards, f->job->opt->boot_ns, f->job->opt->quiet);
	pthread_mutex_lock(&f->lock);
	f->ended = true;
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static bool flashing_ended(struct flashing *f)
{
	bool ended;

	pthread_mutex_lock(&f->lock);
	ended = f->ended;
	pthread_mutex_unlock(&f->lock);
	return ended;
}

/* Meanwhile the reservation may be lost, or somebody stops us: then the orders that nobody has begun are withdrawn. */
static int follow_flash(struct br_job *job, struct br_flash_wait *w)
{
	struct flashing f = { .job = job, .w = w, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct br_error err = BR_ERROR_NULL;
	pthread_t thread;
	int code = 0, r = br_client_new(job->opt->state, &f.client, &err);

	if (r < 0)
		return br_job_fail_call(job, BR_JOB_OTHER, "", r, &err);
	r = pthread_create(&thread, NULL, wait_flashed, &f);
	if (r) {
		br_client_free(f.client);
		return br_job_fail(job, BR_JOB_OTHER, "no thread: %s", strerrordesc_np(r));
	}
	while (!flashing_ended(&f) && !code) {
		code = br_job_check(job);
		br_job_pause();
	}
	for (size_t i = 0; code && i < job->n_boards; i++) {
		struct br_flash_wait one = { .board = w[i].board, .status = json_incref(w[i].status) };

		(void)br_flash_withdraw_order(job->client, &one, "", "the job that wanted it ended"); /* one that is written goes on */
		json_decref(one.status);
	}
	pthread_join(thread, NULL);
	br_client_free(f.client);
	return code;
}

/* The orders under way to their end, however that is. */
static int flash_all(struct br_job *job, struct br_flash_wait *w)
{
	int code = 0;

	for (size_t i = 0; i < job->n_boards && !code; i++)
		code = order_flash(job, &w[i], &job->boards[i]);
	if (!code && strcmp(job->opt->power, "none") != 0)
		code = br_job_power(job);
	if (!code)
		return follow_flash(job, w);
	for (size_t i = 0; i < job->n_boards && w[i].status; i++)
		(void)br_flash_withdraw_order(job->client, &w[i], "", "the job that wanted it ended");
	return code;
}

int br_job_flash(struct br_job *job)
{
	struct br_flash_wait *w = calloc(job->n_boards + 1, sizeof(*w));
	int code;

	if (!w)
		return br_job_fail(job, BR_JOB_OTHER, "out of memory");
	code = flash_all(job, w);
	for (size_t i = 0; i < job->n_boards; i++) {
		if (!code && w[i].code)
			code = br_job_fail(job, BR_JOB_FLASH, "%s: flashing failed: %s", w[i].board, w[i].words);
		json_decref(w[i].status);
	}
	free(w);
	for (size_t i = 0; i < job->n_boards && !code; i++) {
		br_cleanup(json_decrefp) json_t *row = NULL;

		if (br_job_call(job, &job->boards[i], "GET", "", NULL, &row, NULL) >= 0)
			read_board(&job->boards[i], row);
	}
	return code;
}

/* ---- up ---- */

static int rank(const char *stage)
{
	static const char *const stages[] = { "none", "firmware-dhcp", "bootcode-dhcp", "firmware-files", "kernel-sent", "kernel-dhcp", "mounted",
		"up" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(stages); i++) {
		if (!strcmp(stages[i], stage))
			return (int)i;
	}
	return 0;
}

static bool port_answers(const char *address)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(SSH_PORT) };
	br_cleanup(br_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int code = 0;
	socklen_t n = sizeof(code);

	if (fd < 0 || inet_pton(AF_INET, address, &sa.sin_addr) != 1)
		return false;
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return true;
	return errno == EINPROGRESS && poll(&p, 1, CONNECT_MS) == 1 && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) && !code;
}

/* An event outlives a restart of the daemon. */
static bool was_up(struct br_job *job, const struct br_job_board *b)
{
	char path[160];
	br_cleanup(json_decrefp) json_t *events = NULL;
	const json_t *ev;
	size_t i;

	snprintf(path, sizeof(path), "/v1/events?board=%s&type=board.up&after=%llu", b->name, (unsigned long long)job->first_event);
	if (br_client_call(job->client, "GET", path, NULL, &events, NULL) < 0)
		return false;
	json_array_foreach(events, i, ev) {
		if ((uint64_t)json_integer_value(json_object_get(ev, "boot")) > b->boot)
			return true;
	}
	return false;
}

static int look(struct br_job *job, struct br_job_board *b, struct br_error *err)
{
	const char *want = !strcmp(job->opt->up, "ssh") ? "up" : job->opt->up, *stage;
	br_cleanup(json_decrefp) json_t *row = NULL;
	int r = br_job_call(job, b, "GET", "", NULL, &row, err);

	if (r < 0)
		return r;
	stage = boot_of(row) > b->boot ? text_of(row, "boot.stage") : "";
	if (stage[0] && strcmp(stage, b->stage) != 0) {
		snprintf(b->stage, sizeof(b->stage), "%s", stage);
		br_job_say(job, "%s: %s", b->name, stage);
	}
	b->up = (stage[0] && rank(stage) >= rank(want)) || (!strcmp(want, "up") && was_up(job, b));
	read_board(b, row);
	if (b->up && !strcmp(job->opt->up, "ssh"))
		b->up = port_answers(b->address);
	return 0;
}

/* The daemon's verdict, in words. */
static void why(struct br_job *job, const struct br_job_board *b, char *out, size_t size)
{
	br_cleanup(json_decrefp) json_t *verdict = NULL;
	char rest[40];

	snprintf(out, size, "nothing is known of why");
	snprintf(rest, sizeof(rest), "/why");
	if (br_job_call(job, b, "GET", rest, NULL, &verdict, NULL) < 0)
		return;
	snprintf(out, size, "%s%s%s", text_of(verdict, "verdict"), text_of(verdict, "cure")[0] ? ". " : "", text_of(verdict, "cure"));
}

static int not_up(struct br_job *job)
{
	int code = 0;
	char words[700], spent[24];

	br_format_duration(spent, sizeof(spent), job->opt->boot_ns);
	for (size_t i = 0; i < job->n_boards; i++) {
		const struct br_job_board *b = &job->boards[i];

		if (b->up)
			continue;
		why(job, b, words, sizeof(words));
		code = br_job_fail(job, BR_JOB_BOOT, "%s did not boot within %s (it came to: %s): %s", b->name, spent, b->stage[0] ? b->stage : "nothing",
			words);
	}
	return code;
}

int br_job_wait_up(struct br_job *job)
{
	uint64_t began = br_now_ns(), next = 0, told = began;
	struct br_error err = BR_ERROR_NULL;

	for (;;) {
		uint64_t now = br_now_ns();
		size_t up = 0;
		int code = br_job_check(job);

		if (code)
			return code;
		for (size_t i = 0; i < job->n_boards && now >= next; i++) {
			struct br_job_board *b = &job->boards[i];
			int r = b->up ? 0 : look(job, b, &err);

			if (r < 0 && r != -ETIMEDOUT)
				return br_job_fail_call(job, BR_JOB_OTHER, b->name, r, &err);
			up += b->up;
		}
		if (up == job->n_boards)
			return 0;
		if (now - began > job->opt->boot_ns)
			return not_up(job);
		if (now - told > TOLD_NS) {
			br_job_say(job, "%zu of %zu boards are up", up, job->n_boards);
			told = now;
		}
		next = now >= next ? now + LOOK_NS : next;
		br_job_pause();
	}
}
