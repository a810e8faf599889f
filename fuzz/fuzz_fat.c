/* SPDX-License-Identifier: Apache-2.0 */
/* A boot partition out of bytes: opens it, reads every byte of every file, looks every name up. */
#include <stdint.h>
#include <stdlib.h>

#include "store/fat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct br_fat_entry *e;
	struct br_error err = BR_ERROR_NULL;
	struct br_fat *fat;
	unsigned sum = 0;

	if (br_fat_open(data, size, &fat, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	for (size_t i = 0; (e = br_fat_walk(fat, i)); i++) {
		uint64_t bytes = 0;

		for (size_t k = 0; k < e->n_spans; k++) {
			bytes += e->spans[k].len;
			for (size_t at = 0; at < e->spans[k].len; at++)
				sum += e->spans[k].data[at];
		}
		if (bytes != e->size || !br_fat_lookup(fat, e->path))
			abort();
		br_fat_list(fat, e->path, i & 3);
	}
	br_fat_close(fat);
	__asm__ volatile("" : : "r"(sum)); /* the reads must stay */
	return 0;
}
