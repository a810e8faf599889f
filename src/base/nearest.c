/* SPDX-License-Identifier: Apache-2.0 */
/* Which word was meant. */
#include "base/nearest.h"

#include <string.h>

/* Levenshtein's distance, of words up to 31 letters. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32], n = strlen(b);

	if (strlen(a) > 31 || n > 31)
		return 99;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = up;
		}
	}
	return row[n];
}

const char *br_nearest(const char *typed, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t least = strlen(typed) <= 3 ? 2 : 3; /* one or two slips of the finger */

	for (size_t i = 0; i < n; i++) {
		size_t d = names[i] ? distance(typed, names[i]) : 99;

		if (d < least) {
			least = d;
			best = names[i];
		}
	}
	return best;
}
