/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BR_UTF8_WRONG 0
#define BR_UTF8_MORE SIZE_MAX

/*
 * The character that n > 0 bytes begin with (RFC 3629: no overlong forms, no surrogates): how many bytes it has, with *ret;
 * BR_UTF8_WRONG: none begins there; BR_UTF8_MORE: these bytes are only its beginning.
 */
size_t br_utf8_next(const uint8_t *p, size_t n, uint32_t *ret);
