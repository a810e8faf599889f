/* SPDX-License-Identifier: Apache-2.0 */
/* Signature blocks at the end of boot code. The lengths in them are made right, too: fuzzers find no such number by themselves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "pi/countersign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void read_blocks(const uint8_t *data, size_t size)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_signblocks b;
	struct br_signblock last;
	int r = br_signblock_parse(data, size, &last, &err);

	check(r != -EBADMSG || err.text[0]);
	if (!r)
		check(last.length + BR_SIGNBLOCK_BYTES == size && last.version <= BR_SIGNBLOCK_VERSION_MAX && !br_rsapub_check(&last.pub, NULL));
	if (br_signblocks_read(data, size, &b, NULL) < 0)
		return;
	check(b.code + BR_SIGNBLOCK_BYTES * ((size_t)b.has_vendor + b.has_customer) == size);
	check((b.has_vendor || !b.vendor_valid) && (b.has_customer || !b.customer_valid));
	/* nothing speaks against it only where a vendor's block fits, by a key that is not known to be another one */
	check(!br_signblocks_vendor_fault(&b) == (b.has_vendor && b.vendor_valid && b.vendor_by != BR_SIGNBLOCK_BY_OTHER));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	read_blocks(data, size);
	if (size < BR_SIGNBLOCK_BYTES || !(copy = malloc(size)))
		return 0;
	memcpy(copy, data, size);
	for (size_t end = size; end >= BR_SIGNBLOCK_BYTES && end + 2 * BR_SIGNBLOCK_BYTES > size; end -= BR_SIGNBLOCK_BYTES)
		br_store_le32(copy + end - BR_SIGNBLOCK_BYTES, (uint32_t)(end - BR_SIGNBLOCK_BYTES));
	read_blocks(copy, size);
	free(copy);
	return 0;
}
