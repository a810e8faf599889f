/* SPDX-License-Identifier: Apache-2.0 */
/* The Range field: whatever it says, what comes out lies inside the file. Input: size of the file (4 bytes), text. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct br_reader r = br_reader_of(data, len);
	uint64_t size = br_get_le32(&r), first = 0, n = 0;
	size_t left = br_reader_left(&r);
	char *text = calloc(1, left + 1);
	int found;

	if (!text)
		return 0;
	if (left)
		memcpy(text, r.p, left);
	found = br_http_range(text, size, &first, &n);
	if (found == 1 ? !n || first >= size || n > size - first : first || n || (found && found != -ERANGE))
		abort();
	free(text);
	return 0;
}
