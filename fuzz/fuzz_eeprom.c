/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An EEPROM image out of bytes: the input is laid over an empty image of 512 KiB (or, at an even length, 2 MiB), in pieces: u24
 * offset, u8 length (of four bytes each), bytes. What can be read can be changed, and stays readable.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "pi/eeprom.h"
#include "pi/eepromcheck.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static size_t lay(const uint8_t *data, size_t size, uint8_t *image)
{
	size_t len = size & 1 ? BR_EEPROM_SIZE_2711 : BR_EEPROM_SIZE_2712;

	memset(image, 0xff, len);
	while (size > 4) {
		size_t at = (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2], n = (size_t)data[3] * 4;

		data += 4;
		size -= 4;
		n = n < size ? n : size;
		if (at < len)
			memcpy(image + at, data, n < len - at ? n : len - at);
		data += n;
		size -= n;
	}
	return len;
}

static void sections(const struct br_eeprom *e)
{
	uint32_t end = 0;

	for (size_t i = 0; i < e->n_sections; i++) {
		const struct br_eeprom_section *s = &e->sections[i];

		check(s->offset >= end && s->content > s->offset && s->content + (uint64_t)s->size <= e->len);
		check(!s->name[BR_EEPROM_NAME] && (!s->room || s->content + (uint64_t)s->room <= e->len));
		end = s->content + s->size;
	}
}

static void change(struct br_eeprom *e, const char *name, size_t n)
{
	static const uint8_t content[4096];
	size_t len, sections_before = e->n_sections;
	int r = br_eeprom_replace(e, name, content, n, NULL);

	if (r < 0) {
		check(e->n_sections == sections_before);
		return;
	}
	check(br_eeprom_get(e, name, &len) && len == n);
	sections(e);
}

/* Each costs a copy of the image: one of them an input. */
static const struct {
	const char *name;
	size_t n;
} changes[] = { { "bootconf.txt", 0 }, { "bootconf.txt", 4076 }, { "pubkey.bin", 264 }, { "bootcode", 100 }, { "bootsys", 1000 } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t image[BR_EEPROM_SIZE_2712];
	struct br_eeprom_signature signatures[BR_EEPROM_SIGNATURES];
	struct br_error err = BR_ERROR_NULL;
	struct br_findings f = { 0 };
	struct br_eeprom e;
	struct br_eeprom_build build;

	if (size > 65536)
		return 0;
	if (br_eeprom_open(image, lay(data, size, image), &e, &err) < 0) {
		check(err.text[0]);
		return 0;
	}
	sections(&e);
	br_eeprom_build(&e, &build);
	br_eeprom_signatures(&e, signatures);
	br_eeprom_check(&e, true, &f);
	br_findings_done(&f);
	change(&e, changes[size / 2 % BR_ARRAY_SIZE(changes)].name, changes[size / 2 % BR_ARRAY_SIZE(changes)].n);
	br_eeprom_set_update_time(&e, 1);
	br_eeprom_done(&e);
	return 0;
}
