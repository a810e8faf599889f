/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fleet/fleet.h"

/*
 * The power command of bramble.conf: a program and its arguments, blanks between, never a shell. In each word {board},
 * {mac}, {serial}, {notes} and {action} stand for the board's own. "{board}" of a name with a blank is still one argument.
 */

/* Words when the template is no good, NULL when it is. */
const char *br_power_check(const char *command);
/* Runs it and waits, 30 s at most. -EIO with its last words when its status was not 0, -ETIMEDOUT. Any thread. */
int br_power_run(const char *command, const struct br_board *board, const char *action, struct br_error *err);
