/* SPDX-License-Identifier: Apache-2.0 */
/* A cmdline.txt or fstab of an image on its way to another disk; and what a board says of its card and its leaves. */
#include <stdlib.h>
#include <string.h>

#include "flash/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void words(const uint8_t *data, size_t size)
{
	struct br_flash_place place;
	struct br_flash_mask mask;
	char *text = malloc(size + 1), again[64];

	if (!text)
		return;
	memcpy(text, data, size);
	text[size] = 0;
	(void)br_flash_mask_parse(text, 256, &mask);
	if (!br_flash_place_parse(text, &place)) {
		br_flash_place_format(&place, again, sizeof(again));
		if (br_flash_place_parse(again, &place) < 0)
			abort();
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct br_image_info info = { .n_partitions = 3, .partitions = { { .number = 1, .partuuid = "0000c0de-01" },
		{ .number = 2, .partuuid = "0fc63daf-8483-4772-8e79-3d69d8477de4" }, { .number = 12 } } };
	static const unsigned to[] = { 2, 3, 5 };
	struct br_flash_names names = { .info = &info, .to = to, .disk_id = 0x1234 };
	char *text = malloc(size ? size : 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	br_flash_linux_disk(size & 1 ? "mmc" : "usb", (unsigned)size, names.is);
	if (!br_flash_own_disk(text, size, size & 2, names.was))
		names.was[0] = 0;
	(void)br_flash_rename(&names, text, size);
	free(text);
	words(data, size);
	return 0;
}
