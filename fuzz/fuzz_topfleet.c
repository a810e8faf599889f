/* SPDX-License-Identifier: Apache-2.0 */
/* What 'bramble top' makes of a daemon's answers: lines "NAME JSON". All it keeps is fit for a terminal. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/topfleet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			abort();
}

static void take(struct br_top_fleet *f, const char *line, size_t n)
{
	const char *blank = memchr(line, ' ', n);
	char name[16] = "";
	size_t len = blank ? (size_t)(blank - line) : n;
	json_t *json;

	if (!blank || len >= sizeof(name))
		return;
	memcpy(name, line, len);
	json = json_loadb(blank + 1, n - len - 1, JSON_DECODE_ANY, NULL);
	if (!strcmp(name, "load"))
		(void)br_top_fleet_load(f, json);
	else if (!strcmp(name, "why"))
		br_top_fleet_why(f, json);
	else if (json)
		(void)br_top_fleet_message(f, name, json);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_top_fleet f = { 0 };
	const char *p = (const char *)data, *end = p + size;
	size_t counts[BR_TOP_STATES], sum = 0;

	while (p && p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		take(&f, p, (size_t)((nl ? nl : end) - p));
		p = nl ? nl + 1 : NULL;
	}
	for (size_t i = 0; i < f.n; i++) {
		check(f.boards[i].name);
		check(f.boards[i].model);
		check(f.boards[i].image);
		check(f.boards[i].path);
		check(f.boards[i].verdict);
		if (f.boards[i].percent > 100 || (i && strverscmp(f.boards[i - 1].name, f.boards[i].name) >= 0))
			abort();
	}
	br_top_fleet_count(&f, counts);
	for (int i = 0; i < BR_TOP_STATES; i++)
		sum += counts[i];
	if (sum != f.n || br_top_fleet_booting(&f, 1795255200) > f.n)
		abort();
	br_top_fleet_done(&f);
	return 0;
}
