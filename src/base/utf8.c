/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

size_t br_utf8_next(const uint8_t *p, size_t n, uint32_t *ret)
{
	/* by the length: the least character that needs it */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	uint32_t c;

	if (!len)
		return BR_UTF8_WRONG;
	c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len && i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return BR_UTF8_WRONG;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (n < len)
		return BR_UTF8_MORE;
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return BR_UTF8_WRONG;
	*ret = c;
	return len;
}
