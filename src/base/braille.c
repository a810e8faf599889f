/* SPDX-License-Identifier: Apache-2.0 */
/* Curves of dots: U+2800 and a bit per dot. */
#include "base/braille.h"


/* Bits of the dots from below, left and right column (Unicode, Braille Patterns). */
static const uint8_t dots[2][4] = { { 0x40, 0x04, 0x02, 0x01 }, { 0x80, 0x20, 0x10, 0x08 } };

/* How many of the row's four dots a value fills. column: counted from the right end, 0: the newest. */
static unsigned filled(const uint64_t *values, size_t n, uint64_t max, size_t column, unsigned row, unsigned rows)
{
	unsigned below = (rows - 1 - row) * 4, height;
	uint64_t v;

	if (column >= n)
		return 0;
	v = values[n - 1 - column];
	height = (unsigned)((double)(v < max ? v : max) / (double)(max ? max : 1) * rows * 4 + 0.5);
	if (v && !height)
		height = 1;
	return height <= below ? 0 : height - below < 4 ? height - below : 4;
}

void br_braille_row(const uint64_t *values, size_t n, uint64_t max, unsigned width, unsigned row, unsigned rows, char *out)
{
	for (unsigned i = 0; i < width; i++) {
		unsigned bits = 0;

		for (unsigned side = 0; side < 2; side++) {
			unsigned fill = filled(values, n, max, (size_t)(width - i) * 2 - 1 - side, row, rows);

			for (unsigned d = 0; d < fill; d++)
				bits |= dots[side][d];
		}
		*out++ = (char)0xe2; /* U+2800 + bits */
		*out++ = (char)(0xa0 | bits >> 6);
		*out++ = (char)(0x80 | (bits & 0x3f));
	}
	*out = 0;
}

void br_ascii_row(const uint64_t *values, size_t n, uint64_t max, unsigned width, unsigned row, unsigned rows, char *out)
{
	static const char shades[] = " ..:|";

	for (unsigned i = 0; i < width; i++) {
		size_t newest = (size_t)(width - i) * 2 - 2;
		unsigned a = filled(values, n, max, newest, row, rows), b = filled(values, n, max, newest + 1, row, rows);

		*out++ = shades[a > b ? a : b];
	}
	*out = 0;
}
