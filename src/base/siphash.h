/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* SipHash-2-4 (Aumasson, Bernstein 2012): a keyed check of short messages that nobody without the
 * key can make. */
uint64_t br_siphash(const uint8_t key[static 16], const void *data, size_t n);
