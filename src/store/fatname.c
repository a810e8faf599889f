/* SPDX-License-Identifier: Apache-2.0 */
#include "store/fatname.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One character; its length, or 0: no UTF-8 (overlong forms and surrogates among it). */
static size_t utf8(const uint8_t *s, size_t n, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
	uint32_t u;

	if (!len || len > n)
		return 0;
	u = len == 1 ? s[0] : s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		u = u << 6 | (s[i] & 0x3f);
	}
	if (u < least[len] || u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
		return 0;
	*ret = u;
	return len;
}

int br_fatname_units(const char *name, size_t n, uint16_t *ret)
{
	const uint8_t *s = (const uint8_t *)name;
	size_t units = 0;

	if (!n || s[n - 1] == '.' || s[n - 1] == ' ')
		return -EINVAL;
	while (n) {
		uint32_t u;
		size_t len = utf8(s, n, &u);

		if (!len)
			return -EILSEQ;
		if (u < 0x20 || u == 0x7f || (u < 0x80 && strchr("\"*/:<>?\\|", (int)u)))
			return -EINVAL;
		if (units + 1 + (u >= 0x10000) > BR_FATNAME_UNITS_MAX)
			return -ENAMETOOLONG;
		if (u >= 0x10000) {
			ret[units++] = (uint16_t)(0xd800 + ((u - 0x10000) >> 10));
			ret[units++] = (uint16_t)(0xdc00 + ((u - 0x10000) & 0x3ff));
		} else {
			ret[units++] = (uint16_t)u;
		}
		s += len;
		n -= len;
	}
	return (int)units;
}

static bool short_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'()-@^_`{}~", c));
}

static uint8_t upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

/* Copies what a short name can hold of n bytes, at most max; false when something was lost. */
static bool squeeze(const char *s, size_t n, uint8_t *out, size_t max, size_t *ret_len)
{
	bool whole = true;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = upper((uint8_t)s[i]);

		if (c == ' ' || c == '.') {
			whole = false;
			continue;
		}
		if (!short_char(c)) {
			whole = false;
			c = '_';
		}
		if (len == max)
			whole = false;
		else
			out[len++] = c;
	}
	*ret_len = len;
	return whole;
}

/* Where the extension's dot is, n when there is none. */
static size_t split(const char *name, size_t n)
{
	for (size_t i = n; i > 1; i--)
		if (name[i - 1] == '.')
			return i - 1;
	return n;
}

bool br_fatname_fits(const char *name, size_t n, uint8_t ret[static 11], bool *ret_exact)
{
	size_t dot = split(name, n), len;
	bool whole;

	memset(ret, ' ', 11);
	whole = squeeze(name, dot, ret, 8, &len) && len;
	if (dot < n && !squeeze(name + dot + 1, n - dot - 1, ret + 8, 3, &len))
		whole = false;
	*ret_exact = whole;
	for (size_t i = 0; i < n; i++)
		if (name[i] >= 'a' && name[i] <= 'z')
			*ret_exact = false;
	return whole;
}

static uint32_t hash(const char *name, size_t n)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)name[i]) * 16777619u;
	return h ^ h >> 16;
}

void br_fatname_alias(const char *name, size_t n, unsigned i, uint8_t ret[static 11])
{
	size_t dot = split(name, n), len;
	char tail[9];
	size_t t;

	memset(ret, ' ', 11);
	if (dot < n)
		squeeze(name + dot + 1, n - dot - 1, ret + 8, 3, &len);
	squeeze(name, dot, ret, 8, &len);
	if (i < 4) {
		t = (size_t)snprintf(tail, sizeof(tail), "~%u", i + 1);
		if (len > 6)
			len = 6;
	} else { /* as Windows: many that begin alike need no long search */
		t = (size_t)snprintf(tail, sizeof(tail), "%04X~1", (hash(name, n) + i) & 0xffff);
		if (len > 2)
			len = 2;
	}
	memset(ret + len, ' ', 8 - len);
	memcpy(ret + len, tail, t);
}

uint8_t br_fatname_checksum(const uint8_t name[static 11])
{
	uint8_t sum = 0;

	for (int i = 0; i < 11; i++)
		sum = (uint8_t)((sum >> 1 | sum << 7) + name[i]);
	return sum;
}
