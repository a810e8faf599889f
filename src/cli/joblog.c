/* SPDX-License-Identifier: Apache-2.0 */
/* What a job's boards write to console, syslog and streams, into the job's own log while it runs: "pi07| TEXT" on stderr. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/job.h"

#define LINE_MAX_BYTES (1 << 20)
#define AGAIN_PAUSES   10 /* of br_job_pause(), when the daemon was away */

struct br_job_log {
	struct br_client *client;
	char *path;
	struct br_text line;
	pthread_t thread;
	bool runs, quiet;
	_Atomic bool ending;
};

static void show(const struct br_job_log *log, const char *text, size_t n)
{
	json_t *json = json_loadb(text, n, 0, NULL);
	const json_t *words = json_object_get(json, "text");
	const char *board = json_string_value(json_object_get(json, "board"));
	struct br_text vis = BR_TEXT_NULL;

	/* the daemon's words are safe for a terminal; its own log may be elsewhere than on one, and is kept so, too */
	if (board && json_is_string(words) && !log->quiet) {
		br_text_add_vis(&vis, json_string_value(words), json_string_length(words));
		fprintf(stderr, "%s| %s\n", board, vis.buf ?: "");
	}
	br_text_done(&vis);
	json_decref(json);
}

static int take(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct br_job_log *log = ctx;
	const char *s = data;

	for (size_t i = 0; i < n; i++) {
		if (s[i] != '\n') {
			if (log->line.len < LINE_MAX_BYTES)
				br_text_add_bytes(&log->line, s + i, 1);
			continue;
		}
		if (log->line.len)
			show(log, log->line.buf, log->line.len);
		br_text_done(&log->line);
	}
	fflush(stderr);
	return atomic_load(&log->ending) ? 1 : 0;
}

static void *follow(void *ctx)
{
	struct br_job_log *log = ctx;

	while (!atomic_load(&log->ending)) {
		int r = br_client_stream(log->client, log->path, take, log, NULL);

		if (r < 0 && r != -ECONNREFUSED && r != -ECONNRESET)
			break; /* no logs here */
		for (int i = 0; i < AGAIN_PAUSES && !atomic_load(&log->ending); i++)
			br_job_pause();
	}
	return NULL;
}

struct br_job_log *br_job_log_start(struct br_job *job)
{
	struct br_job_log *log = calloc(1, sizeof(*log));
	struct br_text path = BR_TEXT_NULL;

	if (!log || br_client_new(job->opt->state, &log->client, NULL) < 0) {
		free(log);
		return NULL;
	}
	br_text_add(&path, "/v1/logs?follow=1&boards=");
	for (size_t i = 0; i < job->n_boards; i++)
		br_text_addf(&path, "%s%s", i ? "," : "", job->boards[i].name);
	log->quiet = job->opt->quiet;
	log->path = br_text_take(&path);
	log->runs = log->path && !pthread_create(&log->thread, NULL, follow, log);
	if (!log->runs) {
		br_job_log_stop(log);
		return NULL;
	}
	return log;
}

void br_job_log_stop(struct br_job_log *log)
{
	if (!log)
		return;
	atomic_store(&log->ending, true);
	br_client_cancel(log->client);
	if (log->runs)
		pthread_join(log->thread, NULL);
	br_client_free(log->client);
	br_text_done(&log->line);
	free(log->path);
	free(log);
}
