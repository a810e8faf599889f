/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * The Range field of a request (RFC 9110 14.2) for a file of 'size' bytes. Returns
 *   1        one range: *ret_first, *ret_len (at least 1, inside the file)
 *   0        to be ignored: none, malformed, another unit, several ranges
 *   -ERANGE  it lies outside of the file: 416
 */
int br_http_range(const char *value, uint64_t size, uint64_t *ret_first, uint64_t *ret_len);
