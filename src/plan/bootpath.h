/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/*
 * Cleans a boot-file name as a board sent it: '\' is '/', "//", "./" and a leading '/' collapse. Refused
 * with -EACCES: a ".." part, control characters, an empty name, one longer than out. out gets the cleaned
 * or, when refused, the escaped name.
 */
int br_boot_path_clean(const char *name, char *out, size_t size);
