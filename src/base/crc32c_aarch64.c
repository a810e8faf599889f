/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C by the ARMv8 extension that all but the first 64-bit processors have. */
#include "base/crc32c.h"

#include <string.h>
#include <sys/auxv.h>

#define HWCAP_CRC32_BIT (1ul << 7) /* <asm/hwcap.h>: HWCAP_CRC32 */

bool br_crc32c_hw_there(void)
{
	return getauxval(AT_HWCAP) & HWCAP_CRC32_BIT;
}

/* The instructions by name: the intrinsics of gcc and clang need different target names. */
uint32_t br_crc32c_hw(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		__asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
	}
	for (; n; p++, n--)
		__asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*p));
	return crc;
}
