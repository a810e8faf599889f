/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

/* JSON is UTF-8, names and words from outside are bytes: what is none comes escaped, and exactly, as hexadecimal digits, under
 * "<key>_hex" (docs/api.md). Out of memory: neither is there. */
void br_json_set_bytes(json_t *obj, const char *key, const char *s);
