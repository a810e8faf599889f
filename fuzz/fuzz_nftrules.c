/* SPDX-License-Identifier: Apache-2.0 */
/* What nft says of its rules. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "check/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *rules = json_loadb((const char *)data, size, 0, NULL);
	char chain[200] = "";

	if (rules) {
		br_firewall_judge(rules, false, 67, "eth0", chain, sizeof(chain));
		br_firewall_judge(rules, true, 2049, "", chain, sizeof(chain));
	}
	json_decref(rules);
	return 0;
}
