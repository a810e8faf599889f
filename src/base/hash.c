/* SPDX-License-Identifier: Apache-2.0 */
/* Digests, checksums and random bytes. */
#include "base/hash.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/crc32c.h"
#include "base/text.h"

struct br_sha256 {
	EVP_MD_CTX *ctx;
};

struct br_sha256 *br_sha256_new(void)
{
	struct br_sha256 *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->ctx = EVP_MD_CTX_new();
	if (!h->ctx || !EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL)) {
		br_sha256_free(h);
		return NULL;
	}
	return h;
}

void br_sha256_add(struct br_sha256 *h, const void *data, size_t n)
{
	EVP_DigestUpdate(h->ctx, data, n);
}

void br_sha256_end(struct br_sha256 *h, uint8_t out[static 32])
{
	EVP_DigestFinal_ex(h->ctx, out, NULL);
	br_sha256_free(h);
}

void br_sha256_free(struct br_sha256 *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void br_sha256_once(const void *data, size_t n, uint8_t out[static 32])
{
	EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL);
}

void br_sha256_hex(const void *data, size_t n, char out[static BR_SHA256_HEX])
{
	uint8_t d[32];

	br_sha256_once(data, n, d);
	br_hex(out, d, sizeof(d));
}

/* Slicing by eight where the processor has no instruction: about 2 GB/s. */
static uint32_t crc_table[8][256];
static bool crc_hw;

static void crc_init(void)
{
	crc_hw = br_crc32c_hw_there();
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
		crc_table[0][i] = c;
	}
	for (int t = 1; t < 8; t++)
		for (int i = 0; i < 256; i++)
			crc_table[t][i] = crc_table[t - 1][i] >> 8 ^
					  crc_table[0][crc_table[t - 1][i] & 255];
}

uint32_t br_crc32c(uint32_t crc, const void *data, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const uint8_t *p = data;

	pthread_once(&once, crc_init);
	crc = ~crc;
	if (crc_hw)
		return ~br_crc32c_hw(crc, data, n);
	for (; n >= 8; p += 8, n -= 8) {
		crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
		       (uint32_t)p[3] << 24;
		crc = crc_table[7][crc & 255] ^ crc_table[6][crc >> 8 & 255] ^
		      crc_table[5][crc >> 16 & 255] ^ crc_table[4][crc >> 24] ^
		      crc_table[3][p[4]] ^ crc_table[2][p[5]] ^ crc_table[1][p[6]] ^
		      crc_table[0][p[7]];
	}
	for (; n; p++, n--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 255];
	return ~crc;
}

void br_random(void *out, size_t n)
{
	uint8_t *p = out;

	while (n) {
		ssize_t k = getrandom(p, n, 0);

		if (k > 0) {
			p += k;
			n -= (size_t)k;
		}
	}
}
