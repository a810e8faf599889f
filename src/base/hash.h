/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BR_SHA256_HEX 65 /* 64 digits and NUL */

/* Streaming SHA-256 (OpenSSL). new() returns NULL when memory is out. */
struct br_sha256;
struct br_sha256 *br_sha256_new(void);
void br_sha256_add(struct br_sha256 *h, const void *data, size_t n);
/* Ends the stream and frees h. */
void br_sha256_end(struct br_sha256 *h, uint8_t out[static 32]);
void br_sha256_free(struct br_sha256 *h);

void br_sha256_once(const void *data, size_t n, uint8_t out[static 32]);
void br_sha256_hex(const void *data, size_t n, char out[static BR_SHA256_HEX]);

/* CRC-32C (Castagnoli), as iSCSI and ext4 use it. Start with crc 0. */
uint32_t br_crc32c(uint32_t crc, const void *data, size_t n);

/* Bytes from the kernel's generator. Never fails after boot. */
void br_random(void *out, size_t n);
