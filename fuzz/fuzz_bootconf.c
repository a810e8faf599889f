/* SPDX-License-Identifier: Apache-2.0 */
/* bootconf.txt out of bytes: every line is within the text, the checks end, and an edit does what it says. */
#include <stdlib.h>
#include <string.h>

#include "pi/bootconf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void lines(const char *text, size_t len)
{
	struct br_bootconf_reader reader;
	struct br_bootconf_line line;
	size_t sum = 0;

	br_bootconf_start(&reader, text, len);
	while (br_bootconf_next(&reader, &line)) {
		check(line.start == text + sum && line.full > 0 && line.len <= line.full);
		check(line.kind != BR_BOOTCONF_PROPERTY || (line.name_len && line.value + line.value_len <= line.start + line.len + 1));
		sum += line.full;
	}
	check(sum == len);
}

static void edit(const char *text, size_t len, const char *section, const char *value)
{
	char *out, *again;
	size_t n, m;
	const char *got;

	check(!br_bootconf_set(text, len, section, "BOOT_ORDER", value, &out, &n, NULL));
	got = br_bootconf_get(out, n, section, "BOOT_ORDER", &m);
	if (value) {
		check(got && m == strlen(value) && !memcmp(got, value, m));
		check(!br_bootconf_set(out, n, section, "BOOT_ORDER", value, &again, &m, NULL));
		check(n == m && !memcmp(out, again, n)); /* once is enough */
		free(again);
	} else {
		check(!got && n <= len);
	}
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_bootconf_board board = { .soc = size & 1 ? BR_SOC_BCM2711 : BR_SOC_BCM2712, .build_time = 1, .network = true };
	const char *text = (const char *)data;
	struct br_findings f = { 0 };

	if (size > 8192)
		return 0;
	lines(text, size);
	edit(text, size, NULL, "0xf21");
	edit(text, size, "cm4", "0xf21");
	edit(text, size, "all", NULL);
	br_bootconf_check_lines(text, size, &board, &f);
	br_bootconf_check_meaning(text, size, &board, &f);
	for (size_t i = 0; i < f.n; i++)
		check(f.list[i].text[0]);
	br_findings_done(&f);
	return 0;
}
