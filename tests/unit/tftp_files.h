/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files for the TFTP tests: "f<size>" in one span, "p<size>" in pieces of odd lengths (some empty), as a fragmented
 * FAT gives them; every byte tells its offset. "secret" may not be read, "broken" cannot be, "madeN" is ready when
 * it was asked for N times, "short" lies about its size, "dust" is 4000 pieces of one byte, all else is missing.
 */
#include "base/cleanup.h"
#include "base/text.h"
#include "tftp/server.h"

#define TEST_FILE_MAX (8 << 20)

static unsigned test_files_open; /* opened and not released */
static unsigned test_files_calls; /* of "made" */

static inline uint8_t test_file_byte(uint64_t i)
{
	uint64_t x = i * 0x9e3779b97f4a7c15u;

	return (uint8_t)(x >> 56 ^ x >> 24);
}

static const uint8_t *test_file_bytes(void)
{
	static uint8_t *bytes;

	if (!bytes) {
		bytes = malloc(TEST_FILE_MAX);
		if (!bytes)
			abort();
		for (size_t i = 0; i < TEST_FILE_MAX; i++)
			bytes[i] = test_file_byte(i);
	}
	return bytes;
}

static struct br_span *test_pieces(uint64_t size, size_t mean, size_t *ret_n)
{
	struct br_span *spans = calloc(3 * size / mean + 16, sizeof(*spans));
	const uint8_t *p = test_file_bytes();
	size_t n = 0;

	if (!spans)
		abort();
	for (uint64_t at = 0; at < size; n++) {
		size_t len = mean == 1 ? 1 : mean == TEST_FILE_MAX ? mean : n % 7 == 3 ? 0 : mean / 2 + n * 37 % mean;

		if (len > size - at)
			len = size - at;
		spans[n] = (struct br_span){ p + at, len };
		at += len;
	}
	*ret_n = n;
	return spans;
}

static int test_open(void *ctx, uint32_t ip, const char *name, struct br_tftp_file *file)
{
	uint64_t size;

	br_strcpy(file->path, sizeof(file->path), strlen(name) < 64 ? name : "long");
	file->board_id = 7;
	if (strcmp(name, "secret") == 0)
		return -EACCES;
	if (strcmp(name, "broken") == 0)
		return -EIO;
	if (strncmp(name, "made", 4) == 0 && test_files_calls++ < strtoul(name + 4, NULL, 10))
		return -EINPROGRESS;
	if (strncmp(name, "made", 4) == 0)
		name = "f9";
	if (strcmp(name, "short") == 0) {
		file->size = 100;
		file->ref = test_pieces(99, 50, &file->n_spans);
	} else if (strcmp(name, "dust") == 0) {
		file->size = 4000;
		file->ref = test_pieces(4000, 1, &file->n_spans);
	} else if ((name[0] == 'f' || name[0] == 'p') && br_parse_u64(name + 1, 0, TEST_FILE_MAX, &size) == 0) {
		file->size = size;
		file->ref = test_pieces(size, name[0] == 'f' ? TEST_FILE_MAX : 300, &file->n_spans);
	} else {
		return -ENOENT;
	}
	file->spans = file->ref;
	test_files_open++;
	return 0;
}

static void test_release(void *ctx, struct br_tftp_file *file)
{
	test_files_open--;
	free(file->ref);
}
