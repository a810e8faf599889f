/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a job: events, logs and files of its boards, a summary, test cases. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/job.h"
#include "cli/junit.h"

#define EVENTS_MAX 100000

/* A program of ours gets our own options. */
#define SELF "/proc/self/exe"

static int write_bytes(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	int r = br_write_all(*(const int *)ctx, data, n);

	return r < 0 ? br_error_set(err, -r, "%s", strerrordesc_np(-r)) : 0;
}

/* An answer of the daemon's into a file. A path that this daemon does not know leaves none. */
static int save_stream(struct br_job *job, const char *path, const char *dir, const char *name, struct br_error *err)
{
	br_cleanup(br_freep) char *file = br_path_join(dir, name);
	br_cleanup(br_closep) int fd = file ? open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
	int r;

	if (fd < 0)
		return br_error_set(err, file ? errno : ENOMEM, "%s: %s", file ? file : name, strerrordesc_np(errno));
	r = br_client_stream(job->client, path, write_bytes, &fd, err);
	if (r == -ENOENT || r == -EOPNOTSUPP) {
		unlink(file);
		return 0;
	}
	return r < 0 ? br_error_prefix(err, "%s", file) : 0;
}

static int save_events(struct br_job *job, const struct br_job_board *b, const char *dir, struct br_error *err)
{
	char path[200];

	snprintf(path, sizeof(path), "/v1/events?board=%s&after=%llu&limit=%d", b->name, (unsigned long long)job->first_event, EVENTS_MAX);
	return save_stream(job, path, dir, "events.json", err);
}

static int save_log(struct br_job *job, const struct br_job_board *b, const char *dir, struct br_error *err)
{
	time_t began = (time_t)(job->began_wall_ns / BR_S);
	char path[200], when[32] = "";
	struct tm tm;

	if (!gmtime_r(&began, &tm) || !strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return br_error_set(err, EOVERFLOW, "this machine's clock is out of range");
	snprintf(path, sizeof(path), "/v1/logs?boards=%s&since=%s&limit=1000000", b->name, when);
	return save_stream(job, path, dir, "log.jsonl", err);
}

/* Over NFS the daemon has the disk: a file, or else a directory, which is to be called as it is there. */
static int copy_from_disk(const char *source, const char *dir)
{
	br_cleanup(br_freep) char *whole = strdup(source);
	br_cleanup(br_freep) char *to = NULL;
	const char *file[] = { SELF, "disk", "cp", source, dir, NULL };
	char *last;

	if (!whole)
		return -ENOMEM;
	while ((last = strrchr(whole, '/')) && !last[1] && last > whole)
		*last = 0;
	to = br_path_join(dir, last && last[1] ? last + 1 : "root");
	if (!to)
		return -ENOMEM;
	if (!br_job_spawn(file, true))
		return 0;
	return br_job_spawn((const char *const[]){ SELF, "disk", "cp", "-rq", whole, to, NULL }, false);
}

static int copy_file(struct br_job *job, const struct br_job_board *b, const char *from, const char *dir)
{
	br_cleanup(br_freep) char *source = br_asprintf("%s:%s", b->name, from);
	int code;

	if (!source)
		return br_job_fail(job, BR_JOB_ARTIFACTS, "out of memory");
	if (job->opt->state)
		setenv("BRAMBLE_STATE", job->opt->state, 1);
	/* a flashed system is asked itself */
	code = job->opt->flash ? br_job_spawn((const char *const[]){ SELF, "cp", "-r", source, dir, NULL }, false) : copy_from_disk(source, dir);
	return code ? br_job_fail(job, BR_JOB_ARTIFACTS, "%s could not be copied (code %d)", source, code) : 0;
}

static int collect_board(struct br_job *job, const struct br_job_board *b)
{
	br_cleanup(br_freep) char *dir = br_path_join(job->opt->artifacts, b->name);
	struct br_error err = BR_ERROR_NULL;
	int r = dir ? br_mkdir_all(dir, 0755, &err) : -ENOMEM, code = 0;

	if (r >= 0)
		r = save_events(job, b, dir, &err);
	if (r >= 0)
		r = save_log(job, b, dir, &err);
	if (r < 0)
		return br_job_fail_call(job, BR_JOB_ARTIFACTS, "artifacts", r, &err);
	for (size_t i = 0; i < job->opt->n_collect; i++) {
		int one = copy_file(job, b, job->opt->collect[i], dir);

		code = code ? code : one;
	}
	return code;
}

int br_job_collect(struct br_job *job, int code)
{
	int first = 0;

	if (!job->hold)
		return 0;
	for (size_t i = 0; i < job->n_boards; i++) {
		int one = collect_board(job, &job->boards[i]);

		first = first ? first : one;
	}
	return first;
}

/* ---- the end ---- */

static json_t *summary(const struct br_job *job, int code)
{
	json_t *boards = json_array(), *phases = json_array();

	for (size_t i = 0; i < job->n_boards; i++) {
		const struct br_job_board *b = &job->boards[i];

		json_array_append_new(boards, json_pack("{s:s, s:s, s:s, s:s}", "name", b->name, "address", b->address, "model", b->model, "stage",
			b->stage));
	}
	for (size_t i = 0; i < job->n_phases; i++) {
		const struct br_job_phase *p = &job->phases[i];
		char vis[1100];

		json_array_append_new(phases, json_pack("{s:s, s:f, s:i, s:s*}", "name", p->name, "seconds",
			(double)(p->ended_ns - p->began_ns) / (double)BR_S, "code", p->code, "words",
			p->words[0] ? br_vis(vis, sizeof(vis), p->words, strlen(p->words)) : NULL));
	}
	return json_pack("{s:i, s:s, s:s*, s:o, s:o}", "exit_code", code, "selector", job->opt->boards, "image", job->opt->image, "boards",
		boards, "phases", phases);
}

static int write_summary(struct br_job *job, int code)
{
	br_cleanup(br_freep) char *file = br_path_join(job->opt->artifacts, "job.json");
	br_cleanup(json_decrefp) json_t *json = summary(job, code);
	br_cleanup(br_freep) char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	struct br_error err = BR_ERROR_NULL;
	int r = br_mkdir_all(job->opt->artifacts, 0755, &err);

	if (r >= 0)
		r = file && text ? br_file_write(file, text, strlen(text), 0644, &err) : -ENOMEM;
	return r < 0 ? br_job_fail(job, BR_JOB_ARTIFACTS, "artifacts: %s", br_error_text(&err, r)) : 0;
}

static int write_junit(struct br_job *job)
{
	struct br_junit_case cases[BR_JOB_PHASES_MAX] = { 0 };
	br_cleanup(br_freep) char *suite = br_asprintf("bramble run -b %s", job->opt->boards);
	struct br_text boards = BR_TEXT_NULL;
	struct br_error err = BR_ERROR_NULL;
	int r;

	for (size_t i = 0; i < job->n_boards; i++)
		br_text_addf(&boards, "%s%s", i ? "," : "", job->boards[i].name);
	for (size_t i = 0; i < job->n_phases; i++) {
		const struct br_job_phase *p = &job->phases[i];
		bool lab = p->code >= BR_JOB_FIRST && p->code <= BR_JOB_LAST;

		cases[i] = (struct br_junit_case){ .name = p->name, .class_name = boards.len ? boards.buf : "bramble", .took_ns = p->ended_ns - p->began_ns,
			.failure = p->code ? p->words[0] ? p->words : "it failed" : NULL, .failure_type = lab ? "lab" : "command" };
	}
	r = br_junit_write(job->opt->junit, suite ? suite : "bramble run", job->began_wall_ns, cases, job->n_phases, &err);
	br_text_done(&boards);
	return r < 0 ? br_job_fail(job, BR_JOB_ARTIFACTS, "JUnit: %s", br_error_text(&err, r)) : 0;
}

int br_job_report(struct br_job *job, int code)
{
	int first = 0, one;

	br_job_end(job, code);
	if (job->opt->artifacts)
		first = write_summary(job, code);
	if (job->opt->junit) {
		one = write_junit(job);
		first = first ? first : one;
	}
	return first;
}
