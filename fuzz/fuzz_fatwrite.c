/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees out of the input, written as FAT and read back by the reader, which must find each file and no damage. Input:
 * flags, spare (2 bytes), then for each file the length of its name (1), its size (2), its name.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "store/fat.h"
#include "store/fatwrite.h"

#define FILES_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint8_t pattern[1 << 17];
static char names[FILES_MAX][256];
static struct br_span spans[FILES_MAX][3];
static struct br_fatimage_entry entries[FILES_MAX];

static size_t read_list(struct br_reader *r)
{
	size_t n = 0;

	while (n < FILES_MAX && br_reader_left(r)) {
		size_t name_len = br_get_u8(r), size = br_get_le16(r);
		const uint8_t *name = br_reader_take(r, name_len), *p = pattern + n * 101;

		if (!name)
			break;
		memcpy(names[n], name, name_len);
		names[n][name_len] = 0;
		spans[n][0] = (struct br_span){ p, size / 2 };
		spans[n][1] = (struct br_span){ p, 0 };
		spans[n][2] = (struct br_span){ p + size / 2, size - size / 2 };
		entries[n] = (struct br_fatimage_entry){ names[n], spans[n], 3, size };
		n++;
	}
	return n;
}

static unsigned depth(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static void find(const struct br_fat *fat, const struct br_fatimage_entry *want)
{
	const struct br_fat_entry *e = br_fat_lookup(fat, want->path);
	const uint8_t *p = want->spans[0].data;
	size_t at = 0;

	if (!e || e->is_dir || e->size != want->size || strcasecmp(e->path, want->path))
		abort();
	for (size_t i = 0; i < e->n_spans; i++) {
		if (memcmp(e->spans[i].data, p + at, e->spans[i].len))
			abort();
		at += e->spans[i].len;
	}
	if (at != want->size)
		abort();
}

static void read_back(const struct br_fatimage *img, size_t n)
{
	size_t size = br_fatimage_size(img);
	uint8_t *whole = malloc(size);
	struct br_fat *fat;

	for (size_t at = 0, got; at < size; at += got) {
		got = br_fatimage_read(img, at, whole + at, 3001);
		if (!got)
			abort();
		if (at + 3001 > size)
			break;
	}
	if (br_fat_open(whole, size, &fat, NULL) < 0)
		abort();
	if (br_fat_bits(fat) != br_fatimage_bits(img) || br_fat_damaged(fat, NULL))
		abort();
	for (size_t i = 0; i < n; i++)
		find(fat, &entries[i]);
	br_fat_close(fat);
	free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct br_reader r = br_reader_of(data, len);
	unsigned flags = br_get_u8(&r);
	struct br_fatimage_options opt = {
		.label = flags & 1 ? "BOOT" : NULL,
		.spare = (uint64_t)br_get_le16(&r) * (flags == 0xff ? 1000 : flags == 0xfe ? 100 : 4), /* large ones are slow */
		.volume_id = 7,
		.max_size = 80 << 20,
	};
	struct br_error err = BR_ERROR_NULL;
	struct br_fatimage *img;
	bool shallow = true;
	size_t n;

	if (!pattern[1])
		for (size_t i = 0; i < sizeof(pattern); i++)
			pattern[i] = (uint8_t)(i * 167 + (i >> 8) + 1);
	n = read_list(&r);
	for (size_t i = 0; i < n; i++)
		shallow = shallow && depth(names[i]) < BR_FAT_DEPTH_MAX - 1 && strlen(names[i]) < 200;
	if (br_fatimage_new(entries, n, &opt, &img, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	if (shallow) /* the reader leaves deeper trees out */
		read_back(img, n);
	br_fatimage_free(img);
	return 0;
}
