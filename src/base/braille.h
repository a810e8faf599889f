/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A character of braille has two columns of four dots. */
#define BR_BRAILLE_BYTES(width) ((width) * 3 + 1)

/*
 * One row of characters of a curve drawn in dots: 'rows' characters high, 'width' wide, the newest value at the right. values:
 * n of them, oldest first; a value of max (at least 1) fills all rows. row 0 is the top one. out gets UTF-8 of
 * BR_BRAILLE_BYTES(width). A value that is not 0 shows at least one dot.
 */
void br_braille_row(const uint64_t *values, size_t n, uint64_t max, unsigned width, unsigned row, unsigned rows, char *out);
/* The same for terminals without it: a character per two values, of " .:|"; out has width + 1 bytes. */
void br_ascii_row(const uint64_t *values, size_t n, uint64_t max, unsigned width, unsigned row, unsigned rows, char *out);
