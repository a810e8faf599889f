/* SPDX-License-Identifier: Apache-2.0 */
#include "http/range.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Decimal digits; -1: there are none. What does not fit is as good as the end. */
static int number(const char **s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!isdigit((unsigned char)**s))
		return -1;
	for (; isdigit((unsigned char)**s); (*s)++) {
		unsigned d = (unsigned)(**s - '0');

		v = v > (UINT64_MAX - d) / 10 ? UINT64_MAX : v * 10 + d;
	}
	*ret = v;
	return 0;
}

int br_http_range(const char *s, uint64_t size, uint64_t *ret_first, uint64_t *ret_len)
{
	uint64_t first = 0, last = UINT64_MAX;
	bool has_first, has_last;

	if (!s || strncasecmp(s, "bytes=", 6))
		return 0;
	s += 6;
	s += strspn(s, " \t");
	has_first = !number(&s, &first);
	if (*s++ != '-')
		return 0;
	has_last = !number(&s, &last);
	s += strspn(s, " \t");
	if (*s || (!has_first && !has_last) || (has_first && has_last && last < first))
		return 0;
	if (!has_first) { /* the last n bytes */
		if (!last || !size)
			return -ERANGE;
		first = last < size ? size - last : 0;
		last = size - 1;
	}
	if (first >= size)
		return -ERANGE;
	if (last >= size)
		last = size - 1;
	*ret_first = first;
	*ret_len = last - first + 1;
	return 1;
}
