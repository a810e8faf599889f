/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bramble console --send, --expect: what people write pexpect scripts for. A thread gathers what the board says from the
 * moment the script begins, the steps look for their patterns in it, each behind where the last one was found.
 */
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/consoleterm.h"

#define KEEP (64u << 10) /* bytes a pattern may look back */
#define TIMEOUT_NS (30 * BR_S)
#define RENEW_MS 5000
#define LOOK_MS 200

struct script {
	struct br_console_session *s;
	pthread_mutex_t lock;
	pthread_cond_t news;
	/* under the lock */
	char seen[KEEP + 1]; /* text that no pattern has matched yet */
	size_t n;
	bool over;
	int r;
	struct br_error err;
	/* of the steps */
	uint64_t renew_ns, from;
	bool mid_line; /* what was seen last ended within a line: '^' is not there */
	json_t *report;
};

/* ---- what the board says ---- */

static void keep(struct script *p, const char *text, size_t n)
{
	if (n > KEEP) {
		text += n - KEEP;
		n = KEEP;
	}
	if (p->n + n > KEEP) {
		size_t gone = p->n + n - KEEP;

		p->mid_line = true; /* about so: a line is not as long */
		memmove(p->seen, p->seen + gone, p->n - gone);
		p->n -= gone;
	}
	memcpy(p->seen + p->n, text, n);
	p->n += n;
}

static int take(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct script *p = ctx;
	struct br_term_filter *f = &p->s->filter;
	struct br_text t = BR_TEXT_NULL;
	int r = 0;

	if (p->s->cast && br_cast_put(p->s->cast, br_now_ns(), data, n) < 0)
		return br_error_set(err, EIO, "%s: cannot be written", p->s->record);
	br_term_filter(f, data, n, &t);
	if (t.failed)
		return -ENOMEM;
	if (t.len && p->s->common.form == BR_FORM_TABLE && !p->s->common.quiet && br_write_all(1, t.buf, t.len) < 0)
		r = br_error_set(err, EPIPE, "standard output: cannot be written");
	pthread_mutex_lock(&p->lock);
	keep(p, t.buf ? t.buf : "", t.len);
	pthread_cond_signal(&p->news);
	pthread_mutex_unlock(&p->lock);
	br_text_done(&t);
	return r;
}

static void *read_all(void *arg)
{
	struct script *p = arg;
	br_cleanup(br_freep) char *path = br_console_session_path(p->s, true, false, p->from);
	struct br_error err = BR_ERROR_NULL;
	int r = path ? br_client_stream(p->s->reads, path, take, p, &err) : -ENOMEM;

	pthread_mutex_lock(&p->lock);
	p->over = true;
	p->r = r < 0 ? r : br_error_set(&err, ECONNRESET, "the console ended: it was changed, or the daemon stops");
	p->err = err;
	pthread_cond_signal(&p->news);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- the steps ---- */

/* \n \r \t \e \0 \\ \xNN; anything else behind '\' is wrong. */
static int unescape(const char *s, struct br_text *out)
{
	static const char from[] = "nrte0\\", to[] = "\n\r\t\x1b\0\\";

	while (*s) {
		const char *at;
		uint8_t byte;
		char hex[3] = "";

		if (*s != '\\') {
			br_text_add_bytes(out, s++, 1);
			continue;
		}
		s++;
		at = *s ? strchr(from, *s) : NULL;
		if (at) {
			br_text_add_bytes(out, &to[at - from], 1);
			s++;
			continue;
		}
		if (*s != 'x' || !s[1] || !s[2])
			return -EINVAL;
		hex[0] = s[1];
		hex[1] = s[2];
		if (br_unhex(&byte, 1, hex) < 0)
			return -EINVAL;
		br_text_add_bytes(out, &byte, 1);
		s += 3;
	}
	return out->failed ? -ENOMEM : 0;
}

static int keep_claim(struct script *p, struct br_error *err)
{
	if (!atomic_load(&p->s->writer) || br_now_ns() < p->renew_ns)
		return 0;
	p->renew_ns = br_now_ns() + RENEW_MS * BR_MS;
	return br_console_session_renew(p->s, err);
}

static int send_text(struct script *p, const char *text, struct br_error *err)
{
	struct br_text t = BR_TEXT_NULL;
	int r = unescape(text, &t);

	if (r >= 0)
		r = br_console_session_send(p->s, t.buf ? t.buf : "", t.len, err);
	br_text_done(&t);
	return r;
}

/* With the lock: whether the pattern is there; then what is up to its end is done with, *ret is what matched. */
static bool find(struct script *p, const regex_t *re, char **ret)
{
	regmatch_t m = { .rm_so = 0, .rm_eo = (regoff_t)p->n };

	p->seen[p->n] = 0;
	if (regexec(re, p->seen, 1, &m, REG_STARTEND | (p->mid_line ? REG_NOTBOL : 0)))
		return false;
	if (m.rm_eo)
		p->mid_line = p->seen[m.rm_eo - 1] != '\n';
	*ret = strndup(p->seen + m.rm_so, (size_t)(m.rm_eo - m.rm_so));
	p->n -= (size_t)m.rm_eo;
	memmove(p->seen, p->seen + m.rm_eo, p->n);
	return true;
}

static void wait_for_news(struct script *p)
{
	uint64_t until = br_now_ns() + LOOK_MS * BR_MS;
	const struct timespec t = { .tv_sec = (time_t)(until / BR_S), .tv_nsec = (long)(until % BR_S) };

	pthread_cond_timedwait(&p->news, &p->lock, &t);
}

/* What came last, for the words of a time-out. */
static const char *last_line(struct script *p, char *out, size_t size)
{
	size_t end = p->n, from;

	while (end && strchr(" \n", p->seen[end - 1]))
		end--;
	from = end;
	while (from && p->seen[from - 1] != '\n')
		from--;
	return br_vis(out, size, p->seen + from, end - from);
}

static int timed_out(struct script *p, const char *text, uint64_t limit, struct br_error *err)
{
	char took[32], last[160];

	br_format_duration(took, sizeof(took), limit);
	last_line(p, last, sizeof(last));
	if (!last[0])
		return br_error_set(err, ETIMEDOUT, "board %s: nothing came on its console within %s, so '%s' did not", p->s->board, took, text);
	return br_error_set(err, ETIMEDOUT, "board %s: '%s' did not come within %s; the last line was '%s'", p->s->board, text, took, last);
}

static int expect(struct script *p, const char *text, const regex_t *re, char **ret, struct br_error *err)
{
	uint64_t limit = p->s->timeout_ns ? p->s->timeout_ns : TIMEOUT_NS, until = br_now_ns() + limit;
	int r = 0;

	pthread_mutex_lock(&p->lock);
	while (!find(p, re, ret) && !r) {
		if (p->over) {
			*err = p->err;
			r = p->r;
		} else if (br_raw_signal()) {
			r = br_error_set(err, ECANCELED, "interrupted");
		} else if (br_now_ns() >= until) {
			r = timed_out(p, text, limit, err);
		} else {
			wait_for_news(p);
			pthread_mutex_unlock(&p->lock);
			r = keep_claim(p, err);
			pthread_mutex_lock(&p->lock);
		}
	}
	pthread_mutex_unlock(&p->lock);
	return r;
}

static int run_step(struct script *p, const struct br_console_step *step, const regex_t *re, struct br_error *err)
{
	static const char *const kinds[] = { "send", "expect", "break" };
	uint64_t start = br_now_ns();
	br_cleanup(br_freep) char *matched = NULL;
	char vis[1000];
	int r;

	if (step->kind == BR_STEP_EXPECT)
		r = expect(p, step->text, re, &matched, err);
	else if (step->kind == BR_STEP_SEND)
		r = send_text(p, step->text, err);
	else
		r = br_console_session_break(p->s, err);
	if (matched)
		br_vis(vis, sizeof(vis), matched, strlen(matched));
	json_array_append_new(p->report, json_pack("{s:s, s:b, s:s*, s:I}", kinds[step->kind], step->text, "ok", r >= 0, "matched",
						 matched ? vis : NULL, "ms", (json_int_t)((br_now_ns() - start) / BR_MS)));
	return r;
}

static int run_steps(struct script *p, const regex_t *res, struct br_error *err)
{
	int r = 0;

	for (size_t i = 0; i < p->s->n_steps && r >= 0; i++)
		r = run_step(p, &p->s->steps[i], &res[i], err);
	return r;
}

/* ---- around them ---- */

/* All of it before the first byte is sent. */
static int compile(const struct br_console_session *s, regex_t *res)
{
	for (size_t i = 0; i < s->n_steps; i++) {
		const struct br_console_step *step = &s->steps[i];
		struct br_text t = BR_TEXT_NULL;
		char why[200];
		int r = step->kind == BR_STEP_SEND ? unescape(step->text, &t) : 0;

		br_text_done(&t);
		if (r < 0)
			return br_cli_usage("--send '%s': behind '\\' one of n r t e 0 \\ xNN is needed", step->text);
		/* a step that expects nothing has a pattern, too: all of them are freed alike */
		r = regcomp(&res[i], step->kind == BR_STEP_EXPECT ? step->text : "x", REG_EXTENDED | REG_NEWLINE);
		if (r) {
			regerror(r, &res[i], why, sizeof(why));
			while (i--)
				regfree(&res[i]);
			return br_cli_usage("--expect '%s': %s", step->text, why);
		}
	}
	return 0;
}

/* From here on everything the board says counts. */
static int find_start(struct script *p, struct br_error *err)
{
	uint64_t position;
	int r = br_console_session_position(p->s, p->s->writes, &position, err);

	if (r >= 0)
		p->from = position > p->s->tail ? position - p->s->tail : 0;
	return r;
}

static bool writes(const struct br_console_session *s)
{
	for (size_t i = 0; i < s->n_steps; i++) {
		if (s->steps[i].kind != BR_STEP_EXPECT)
			return true;
	}
	return false;
}

static int play(struct script *p, const regex_t *res, struct br_error *err)
{
	pthread_t thread;
	int r = find_start(p, err);

	if (r >= 0 && writes(p->s))
		r = br_console_session_claim(p->s, p->s->steal, err);
	if (r < 0)
		return r;
	p->renew_ns = br_now_ns() + RENEW_MS * BR_MS;
	r = pthread_create(&thread, NULL, read_all, p);
	if (r)
		return br_error_set(err, r, "no thread: %s", strerrordesc_np(r));
	r = run_steps(p, res, err);
	br_console_session_release(p->s);
	br_client_cancel(p->s->reads);
	pthread_join(thread, NULL);
	return r;
}

static int finish(struct script *p, int r, const struct br_error *err)
{
	struct br_console_session *s = p->s;

	if (s->common.form != BR_FORM_TABLE) {
		json_t *json = json_pack("{s:s, s:b, s:O, s:s*}", "board", s->board, "ok", r >= 0, "steps", p->report, "error",
			r < 0 ? br_error_text(err, r) : NULL);

		br_print_json(json, s->common.form == BR_FORM_JSON);
		json_decref(json);
	}
	json_decref(p->report);
	if (r == -ECANCELED && br_raw_signal())
		return BR_EXIT_INTERRUPTED;
	return r < 0 ? br_cli_error(err, r) : BR_EXIT_OK;
}

int br_console_script(struct br_console_session *s)
{
	br_cleanup(br_freep) struct script *p = calloc(1, sizeof(*p));
	regex_t res[BR_CONSOLE_STEPS];
	struct br_error err = BR_ERROR_NULL;
	pthread_condattr_t attr;
	int r;

	if (!p)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	r = compile(s, res);
	if (r)
		return r;
	p->s = s;
	p->report = json_array();
	s->filter.mode = BR_TERM_PLAIN; /* patterns are of text */
	br_raw_watch_signals();
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->news, &attr);
	pthread_condattr_destroy(&attr);
	r = play(p, res, &err);
	for (size_t i = 0; i < s->n_steps; i++)
		regfree(&res[i]);
	pthread_cond_destroy(&p->news);
	pthread_mutex_destroy(&p->lock);
	return finish(p, r, &err);
}
