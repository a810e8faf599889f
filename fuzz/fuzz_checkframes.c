/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as bramble check hears them. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "check/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_bpdu bpdu;
	uint32_t ip;

	if (br_bpdu_parse(data, size, &bpdu) && (bpdu.forward_delay > 255 || size < 52))
		abort();
	if (br_check_offer_parse(data, size, &ip) && !ip)
		abort();
	return 0;
}
