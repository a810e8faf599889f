/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "base/json.h"
#include "store/diff.h"

/* Files as JSON, for the API and the command line. */

/* "file", "directory", "link", "char", "block", "fifo", "socket"; "unknown". */
const char *br_file_type_name(uint32_t mode);
/* br_diff_fn: appends {"path", "change": "added" | "removed" | "changed", "type", "what": ["content", "mode", ...], "size",
 * "size_before"} to an array. */
int br_json_add_diff(void *rows, const struct br_diff *d);
/* For br_store_gc(): appends {"path", "bytes"} to an array. */
void br_json_add_garbage(void *rows, const char *what, uint64_t bytes);
