/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Watches the serial console of a booting system: cuts it into lines, drops terminal
 * sequences, looks for a pattern in the line that is being written.
 */
#define BR_SIM_CONSOLE_LINE 512
#define BR_SIM_CONSOLE_KEEP 20 /* lines kept for a report */

struct br_sim_console {
	const regex_t *until; /* not owned; NULL: nothing is looked for */
	char line[BR_SIM_CONSOLE_LINE];
	size_t len;
	char kept[BR_SIM_CONSOLE_KEEP][BR_SIM_CONSOLE_LINE];
	size_t n_kept; /* in all; the last KEEP are there */
	int escape;    /* within a terminal sequence: 1 after ESC, 2 in CSI, 3 in OSC */
	bool any, seen;
	char match[BR_SIM_CONSOLE_LINE]; /* the line that matched */
};

void br_sim_console_add(struct br_sim_console *c, const char *data, size_t n);
/* The newest line with something on it; "". */
const char *br_sim_console_last(const struct br_sim_console *c);
/* Kept line i from the oldest, NULL at the end; the unfinished line is the last. */
const char *br_sim_console_line(const struct br_sim_console *c, size_t i);
