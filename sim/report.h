/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "sim/board.h"

/* Events of virtual boards as lines for people or as JSON, one object per line. */

/* The word in JSON: "power-on", "file", "gave-up". */
const char *br_sim_what_name(enum br_sim_what what);
/* who: the board's name in the output. Flushed, so that a pipe sees it at once. */
void br_sim_report(FILE *out, bool json, const char *who, const struct br_sim_event *e);
