/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Writes ustar archives for tests, wrong ones too. Users include test.h before. */
#include "base/text.h"

#define TAR_BLOCK 512

/* n digits without an end. */
static inline void tar_octal(char *out, size_t n, uint64_t v)
{
	for (; n; v >>= 3)
		out[--n] = (char)('0' + (v & 7));
}

/* Sums up a header again after a test changed it. */
static inline void tar_sum(char h[static TAR_BLOCK])
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	tar_octal(h + 148, 6, sum);
	h[154] = 0;
}

static inline void tar_header(char h[static TAR_BLOCK], const char *name, char type, uint64_t size)
{
	memset(h, 0, TAR_BLOCK);
	strncpy(h, name, 100); /* a longer one is cut, and has no end in the field */
	memcpy(h + 100, "0000644", 8);
	memcpy(h + 108, "0000000", 8);
	memcpy(h + 116, "0000000", 8);
	tar_octal(h + 124, 11, size);
	memcpy(h + 136, "00000000000", 12);
	h[156] = type;
	memcpy(h + 257, "ustar\00000", 8);
	tar_sum(h);
}

static inline void tar_add(struct br_text *t, const char *name, char type, const char *text)
{
	static const char zeros[TAR_BLOCK];
	char h[TAR_BLOCK];
	size_t n = strlen(text);

	tar_header(h, name, type, n);
	br_text_add_bytes(t, h, sizeof(h));
	br_text_add_bytes(t, text, n);
	br_text_add_bytes(t, zeros, (TAR_BLOCK - n % TAR_BLOCK) % TAR_BLOCK);
}

static inline void tar_end(struct br_text *t)
{
	static const char zeros[2 * TAR_BLOCK];

	br_text_add_bytes(t, zeros, sizeof(zeros));
}
