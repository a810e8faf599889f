/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of hosts: from people, and from the query of the API. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), **names;
	size_t n;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = 0;
	if (br_hostlist_expand(text, &names, &n, NULL) >= 0) {
		if (!n || n > BR_HOSTLIST_MAX)
			abort();
		for (size_t i = 0; i < n; i++) {
			if (strchr(names[i], '['))
				abort();
		}
		br_hostlist_free(names, n);
	}
	free(text);
	return 0;
}
