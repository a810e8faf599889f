/* SPDX-License-Identifier: Apache-2.0 */
/* Progress lines. */
#include "base/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define FIRST_NS (2 * BR_S)
#define TTY_STEP_NS (100 * BR_MS)
#define PLAIN_STEP_NS (10 * BR_S)
#define PLAIN_STEP_PERCENT 5

void br_progress_start(struct br_progress *p, const char *what, uint64_t total, bool quiet)
{
	*p = (struct br_progress){
		.what = what,
		.total = total,
		.started_ns = br_now_ns(),
		.quiet = quiet,
		.tty = isatty(STDERR_FILENO),
	};
	p->shown_ns = p->started_ns;
}

static void show(struct br_progress *p, uint64_t done, uint64_t now, const char *end)
{
	uint64_t spent = now - p->started_ns;
	double rate = spent ? (double)done * 1e9 / (double)spent : 0;
	char d[24], t[24], r[24], left[24] = "?";

	br_format_size(d, sizeof(d), done);
	br_format_size(t, sizeof(t), p->total);
	br_format_size(r, sizeof(r), (uint64_t)rate);
	if (p->total && rate > 0 && done <= p->total)
		br_format_duration(left, sizeof(left), (uint64_t)((double)(p->total - done) / rate * 1e9));
	if (p->total)
		fprintf(stderr, "%s%s: %3u %%  %s of %s  %s/s  %s left%s", p->tty ? "\r\x1b[K" : "", p->what,
			(unsigned)(done * 100 / p->total), d, t, r, left, end);
	else
		fprintf(stderr, "%s%s: %s  %s/s%s", p->tty ? "\r\x1b[K" : "", p->what, d, r, end);
	fflush(stderr);
	p->shown = true;
	p->shown_ns = now;
	p->shown_percent = p->total ? (unsigned)(done * 100 / p->total) : 0;
}

void br_progress_set(struct br_progress *p, uint64_t done)
{
	uint64_t now;

	if (p->quiet)
		return;
	now = br_now_ns();
	if (now - p->started_ns < FIRST_NS)
		return;
	if (p->tty) {
		if (now - p->shown_ns >= TTY_STEP_NS)
			show(p, done, now, "");
		return;
	}
	if (!p->shown || now - p->shown_ns >= PLAIN_STEP_NS ||
		(p->total && done * 100 / p->total >= p->shown_percent + PLAIN_STEP_PERCENT))
		show(p, done, now, "\n");
}

void br_progress_end(struct br_progress *p, uint64_t done)
{
	uint64_t spent = br_now_ns() - p->started_ns;
	char d[24], t[24], r[24];

	if (!p->shown)
		return;
	fprintf(stderr, "%s%s: done, %s in %s (%s/s)\n", p->tty ? "\r\x1b[K" : "", p->what,
		br_format_size(d, sizeof(d), done), br_format_duration(t, sizeof(t), spent),
		br_format_size(r, sizeof(r), spent ? (uint64_t)((double)done * 1e9 / (double)spent) : 0));
}

void br_progress_stop(struct br_progress *p, uint64_t done)
{
	char d[24];

	if (p->shown)
		fprintf(stderr, "%s%s: stopped after %s\n", p->tty ? "\r\x1b[K" : "", p->what,
			br_format_size(d, sizeof(d), done));
}
