/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors: any text is refused, or something that every board may be held against. */
#include <stdlib.h>
#include <string.h>

#include "fleet/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct br_board boards[] = { { 0 }, { .name = "pi01", .model = "4B", .tags = "camera lab-a", .image = "debian:12" } };
	struct br_selector *sel = NULL;
	struct br_error err = BR_ERROR_NULL;
	char *text = malloc(size + 1);
	size_t n;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (br_selector_parse(text, &sel, &err) < 0) {
		if (sel || !err.text[0])
			abort();
	} else {
		const char *const *names = br_selector_names(sel, &n);

		for (size_t i = 0; i < n; i++) {
			if (!names[i])
				abort();
		}
		if (!br_selector_count(sel))
			abort();
		for (unsigned i = 0; i < 8; i++) {
			struct br_selector_facts facts = { .image = i & 4 ? "raspios" : NULL, .reserved = i & 1, .mine = i & 2 };

			br_selector_matches(sel, &boards[i & 1], &facts);
		}
		br_selector_free(sel);
	}
	free(text);
	return 0;
}
