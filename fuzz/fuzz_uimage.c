/* SPDX-License-Identifier: Apache-2.0 */
/* A legacy image or a FIT out of bytes: reads every part. What is taken and packed again comes back the same. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uboot/fit.h"
#include "uboot/legacy.h"
#include "uboot/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static unsigned sum(const uint8_t *p, size_t n)
{
	unsigned s = 0;

	while (n--)
		s += *p++;
	return s;
}

static void legacy(const uint8_t *data, size_t size)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_uimage img;
	const uint8_t *part;
	unsigned s = 0;
	uint8_t *again;
	size_t len;

	if (br_uimage_parse(data, size, &img, &err) < 0) {
		check(err.text[0]);
		return;
	}
	for (size_t i = 0; !br_uimage_part(&img, i, &part, &len); i++)
		s += sum(part, len);
	__asm__ volatile("" : : "r"(s)); /* the reads must stay */
	check(!br_uimage_pack(&img.head, img.data, img.len, &again, &len));
	check(len == BR_UIMAGE_HEADER + img.len && !memcmp(again + BR_UIMAGE_HEADER, img.data, img.len));
	free(again);
}

static void fit(const uint8_t *data, size_t size)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_fit_part part;
	struct br_fdt fdt;
	unsigned s = 0;

	if (br_fit_open(data, size, &fdt, &err) < 0) {
		check(err.text[0]);
		return;
	}
	for (size_t i = 0; i < 64; i++) {
		int r = br_fit_part(&fdt, i, &part, &err);

		if (r == -ENOENT)
			break;
		if (!r)
			s += sum(part.data, part.len) + (unsigned)strlen(part.type) + (unsigned)strlen(part.description);
	}
	__asm__ volatile("" : : "r"(s));
}

/* Fuzzers know no CRC: the header's are made right, so that what comes behind it is read, too. */
static void with_right_crcs(const uint8_t *data, size_t size)
{
	struct br_uimage_head head = { .type = BR_UIMAGE_SCRIPT };
	uint8_t *image;
	size_t len;

	if (br_uimage_pack(&head, data, size, &image, &len) < 0)
		return;
	legacy(image, len);
	free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text;
	size_t len;

	legacy(data, size);
	fit(data, size);
	with_right_crcs(data, size);
	br_uboot_script_unpack(data, size, &text, &len, NULL);
	return 0;
}
