/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/table.h"

/*
 * Columns of a listing of files. A row has "name", "type" (file, directory, link, char, block, fifo, socket),
 * "mode" (permission bits), "uid", "gid", "size", "mtime" (ISO 8601) and of a link "target".
 */
extern const struct br_column br_ls_columns[];
