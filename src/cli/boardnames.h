/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * The boards that words of a command mean, br_hostlist_free(). Names as they are: one that is no board's fails alone, later. Of
 * a selector (fleet/selector.h) those that match now, as the daemon of 'state' says; none may match: 0 of them.
 */
int br_cli_board_names(const char *state, const char *text, char ***ret, size_t *ret_n, struct br_error *err);
