/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Progress of something long: percent, rate, time left. On a terminal one line
 * that is redrawn ten times a second; elsewhere a plain line every 5 % or 10 s.
 * Nothing is shown in the first two seconds of a quick job. Goes to stderr.
 */
struct br_progress {
	const char *what;    /* not owned */
	uint64_t total;	     /* bytes; 0 when not known */
	uint64_t started_ns, shown_ns;
	unsigned shown_percent;
	bool quiet, tty, shown;
};

void br_progress_start(struct br_progress *p, const char *what, uint64_t total, bool quiet);
void br_progress_set(struct br_progress *p, uint64_t done);
/* Ends the line with the whole time and mean rate (when it was ever shown). */
void br_progress_end(struct br_progress *p, uint64_t done);
/* Ends the line (when it was ever shown) of what failed or was interrupted. */
void br_progress_stop(struct br_progress *p, uint64_t done);
