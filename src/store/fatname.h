/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names as FAT writes them; a part of store/fatwrite. */

#define BR_FATNAME_UNITS_MAX 255 /* of a long name */

/* UTF-8 of n bytes to UTF-16 units (room for BR_FATNAME_UNITS_MAX); their number, or -EILSEQ, -ENAMETOOLONG, -EINVAL: a
 * character or a form ("", ".", "..", a dot or blank at the end) that FAT forbids. */
int br_fatname_units(const char *name, size_t n, uint16_t *ret);
/* Whether the name is, but for the case of its letters, a short name. *ret_exact: letters are upper case, so that no
 * long name is needed. ret: 11 bytes, upper case, padded with blanks. */
bool br_fatname_fits(const char *name, size_t n, uint8_t ret[static 11], bool *ret_exact);
/* The i-th (0, 1, ...) choice of a short name for one that does not fit: NAME~1.EXT to ~4, then with a hash in it. */
void br_fatname_alias(const char *name, size_t n, unsigned i, uint8_t ret[static 11]);
uint8_t br_fatname_checksum(const uint8_t name[static 11]);
