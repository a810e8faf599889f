/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C by SSE 4.2. */
#include "base/crc32c.h"

#include <nmmintrin.h>
#include <string.h>

bool br_crc32c_hw_there(void)
{
	return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) uint32_t br_crc32c_hw(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t c = crc, word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		c = _mm_crc32_u64(c, word);
	}
	for (; n; p++, n--)
		c = _mm_crc32_u8((uint32_t)c, *p);
	return (uint32_t)c;
}
