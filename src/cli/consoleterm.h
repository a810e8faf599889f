/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "console/termfilter.h"

/*
 * Our own terminal while a board has it: raw, and as it was before at every end there is, a signal among them. One at a
 * time in a process; nothing is done when stdin is no terminal.
 */
int br_raw_begin(struct br_error *err);
/* filter: what the board's output went through; NULL: none reached the terminal. */
void br_raw_end(const struct br_term_filter *filter);
/* Stops this process as ^Z does elsewhere, and goes on when it is continued. */
void br_raw_suspend(const struct br_term_filter *filter);
/* For who has no raw terminal: signals are only noted, for br_raw_signal(). br_raw_begin() does it, too. */
void br_raw_watch_signals(void);
/* The signal that asks us to end, 0: none did. */
int br_raw_signal(void);
/* Columns and rows of stdout's terminal, or 80 and 24. */
void br_raw_size(unsigned *ret_columns, unsigned *ret_rows);
