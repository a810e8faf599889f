/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * CRC-32C by the processor's own instruction; one file per architecture, chosen by meson.
 * Callers use br_crc32c() of base/hash.h. 'crc' is the raw register, not inverted.
 */
bool br_crc32c_hw_there(void);
uint32_t br_crc32c_hw(uint32_t crc, const void *data, size_t n); /* only when there */
