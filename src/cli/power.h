/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "cli/table.h"

/* What the files of 'bramble power' share. */

/* The boards in argv from 'from' on, as br_cli_board_names(). */
int br_cli_power_names(const char *state, int argc, char **argv, int from, char ***ret, size_t *ret_n, struct br_error *err);
/* "/v1/boards/NAME" and tail, fresh memory (free()); NULL: out of memory. */
char *br_cli_power_path(const char *board, const char *tail);
