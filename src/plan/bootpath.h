/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "fleet/fleet.h"

/*
 * Cleans a boot-file name as a board sent it: '\' is '/', "//", "./" and a leading '/' collapse. Refused
 * with -EACCES: a ".." part, control characters, an empty name, one longer than out. out gets the cleaned
 * or, when refused, the escaped name.
 */
int br_boot_path_clean(const char *name, char *out, size_t size);

/* Whether the n bytes at s are shaped as a serial directory: 8 hexadecimal digits. */
bool br_boot_path_serial_dir(const char *s, size_t n);
/* Whether they name this board's own directory: serial (any, while its serial is not known: a 3B ROM tells none in
 * DHCP, and its bootcode.bin asks for a directory we cannot know), or MAC with dashes. Either case. */
bool br_boot_path_own_dir(const struct br_board *board, const char *s, size_t n);
