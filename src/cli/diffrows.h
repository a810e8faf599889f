/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/table.h"

/* A list of differences (api/filejson.h): a table, or one path a line with -q. */
extern const struct br_column br_diff_columns[];
/* Takes out the rows of what differs in its time only. */
void br_diff_without_times(json_t *rows);
