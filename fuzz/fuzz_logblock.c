/* SPDX-License-Identifier: Apache-2.0 */
/* A segment's block and a slice of the journal from hostile bytes: their checksums are made right first, or nothing would get
 * behind them. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "logs/block.h"
#include "logs/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void walk(const struct br_logs_block *b)
{
	struct br_logs_cursor c = br_logs_cursor_of(b);
	struct br_logs_line line;
	volatile char sum = 0;

	while (br_logs_cursor_next(&c, &line)) {
		for (size_t i = 0; i < line.n_text; i++)
			sum = (char)(sum + line.text[i]);
		for (size_t i = 0; i < line.n_stream; i++)
			sum = (char)(sum + line.stream[i]);
	}
}

static void try_block(struct br_logs_packer *packer, uint8_t *bytes, size_t n)
{
	struct br_logs_block *b = NULL;
	struct br_logs_head h;

	if (n < BR_LOGS_HEADER)
		return;
	br_store_le32(bytes + 92, br_crc32c(0, bytes + BR_LOGS_HEADER, n - BR_LOGS_HEADER));
	br_store_le32(bytes + 4, br_crc32c(0, bytes + 8, BR_LOGS_HEADER - 8));
	if (br_logs_head_read(bytes, &h) < 0 || br_logs_unpack(packer, &h, bytes + BR_LOGS_HEADER, n - BR_LOGS_HEADER, &b) < 0)
		return;
	walk(b);
	br_logs_block_unref(b);
}

static void try_slice(uint8_t *bytes, size_t n)
{
	struct br_logs_block *b = NULL;
	size_t size;

	if (n < BR_LOGS_SLICE_HEADER)
		return;
	size = BR_LOGS_SLICE_HEADER + (size_t)br_load_le32(bytes + 28) + br_load_le32(bytes + 32);
	if (size <= n)
		br_store_le32(bytes + 4, br_crc32c(0, bytes + 8, size - 8));
	if (br_logs_slice_read(bytes, n, &b) < 0)
		return;
	walk(b);
	br_logs_block_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct br_logs_packer *packer;
	uint8_t *copy = malloc(n + 1);

	if (!packer)
		packer = br_logs_packer_new();
	if (!copy || !packer)
		abort();
	memcpy(copy, data, n);
	try_block(packer, copy, n);
	memcpy(copy, data, n);
	try_slice(copy, n);
	free(copy);
	return 0;
}
