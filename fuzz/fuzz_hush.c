/* SPDX-License-Identifier: Apache-2.0 */
/* A script out of bytes: told about, and, where it can be one, packed both ways and unpacked again. */
#include <stdlib.h>
#include <string.h>

#include "uboot/hush.h"
#include "uboot/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(void *ctx, const struct br_hush_problem *p)
{
	unsigned *line = ctx;

	if (!p->line || !p->text[0])
		abort();
	for (const char *s = p->text; *s; s++)
		if (*s < 0x20 || *s >= 0x7f)
			abort();
	*line = p->line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned line = 0, warnings = 0;
	unsigned errors = br_hush_check((const char *)data, size, look, &line, &warnings);

	if (errors + warnings > BR_HUSH_PROBLEMS_MAX)
		abort();
	for (int fit = 0; fit < 2; fit++) {
		struct br_uboot_script s = { .name = "fuzz", .fit = fit };
		const char *back;
		uint8_t *image;
		size_t len, n;

		if (br_uboot_script_pack(&s, (const char *)data, size, &image, &len, NULL) < 0)
			continue;
		if (br_uboot_script_unpack(image, len, &back, &n, NULL) < 0 || !n || n > size + 1)
			abort();
		free(image);
	}
	return 0;
}
