/* SPDX-License-Identifier: Apache-2.0 */
#include "uboot/legacy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"

#define MAGIC 0x27051956u
#define HEADER_CRC 4 /* offset; the field counts as zero */

bool br_uimage_is(const void *data, size_t len)
{
	return len >= 4 && br_load_be32(data) == MAGIC;
}

static uint32_t crc_of(const void *data, size_t n)
{
	return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, n);
}

static bool has_parts(uint8_t type)
{
	return type == BR_UIMAGE_SCRIPT || type == BR_UIMAGE_MULTI;
}

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

static int check_header(const uint8_t *p, size_t len, struct br_error *err)
{
	uint8_t header[BR_UIMAGE_HEADER];

	if (!br_uimage_is(p, len))
		return br_error_set(err, EBADMSG, "is no U-Boot image: no such magic number at its start");
	if (len < BR_UIMAGE_HEADER)
		return br_error_set(err, EBADMSG, "U-Boot image: cut off within its header (%zu bytes)", len);
	memcpy(header, p, sizeof(header));
	br_store_be32(header + HEADER_CRC, 0);
	if (br_load_be32(p + HEADER_CRC) != crc_of(header, sizeof(header)))
		return br_error_set(err, EBADMSG, "U-Boot image: the CRC of its header is %08x, must be %08x: damaged",
			br_load_be32(p + HEADER_CRC), crc_of(header, sizeof(header)));
	return 0;
}

/* The list of sizes fits, and so does what it says. */
static int check_parts(const struct br_uimage *img, struct br_error *err)
{
	size_t n = 0, listed = 0;
	const uint8_t *last;
	uint64_t sum = 0;

	while (4 * n + 4 <= img->len && br_load_be32(img->data + 4 * n)) {
		last = img->data + 4 * n++;
		sum += padded(br_load_be32(last));
		listed = br_load_be32(last);
	}
	if (!n || n > BR_UIMAGE_PARTS_MAX || 4 * n + 4 > img->len)
		return br_error_set(err, EBADMSG, "U-Boot image: has no proper list of the sizes of its files");
	sum += 4 * n + 4;
	if (sum - padded(listed) + listed > img->len) /* the last one needs no padding */
		return br_error_set(err, EBADMSG, "U-Boot image: its files need %llu bytes, it has %zu",
			(unsigned long long)sum, img->len);
	return 0;
}

int br_uimage_parse(const void *data, size_t len, struct br_uimage *ret, struct br_error *err)
{
	const uint8_t *p = data;
	struct br_uimage img = { 0 };
	uint32_t size;
	int r = check_header(p, len, err);

	if (r < 0)
		return r;
	size = br_load_be32(p + 12);
	if (size > len - BR_UIMAGE_HEADER)
		return br_error_set(err, EBADMSG, "U-Boot image: cut off: %zu of its %u bytes of data are there",
			len - BR_UIMAGE_HEADER, size);
	img.head.time = br_load_be32(p + 8);
	img.head.load = br_load_be32(p + 16);
	img.head.entry = br_load_be32(p + 20);
	img.head.os = p[28];
	img.head.arch = p[29];
	img.head.type = p[30];
	img.head.comp = p[31];
	memcpy(img.head.name, p + 32, BR_UIMAGE_NAME);
	img.data = p + BR_UIMAGE_HEADER;
	img.len = size;
	if (br_load_be32(p + 24) != crc_of(img.data, img.len))
		return br_error_set(err, EBADMSG, "U-Boot image: the CRC of its data is %08x, must be %08x: damaged",
			br_load_be32(p + 24), crc_of(img.data, img.len));
	if (has_parts(img.head.type)) {
		r = check_parts(&img, err);
		if (r < 0)
			return r;
	}
	*ret = img;
	return 0;
}

int br_uimage_part(const struct br_uimage *img, size_t i, const uint8_t **ret, size_t *ret_len)
{
	size_t n = 0, at;

	if (!has_parts(img->head.type)) {
		if (i)
			return -ENOENT;
		*ret = img->data;
		*ret_len = img->len;
		return 0;
	}
	while (br_load_be32(img->data + 4 * n))
		n++;
	if (i >= n)
		return -ENOENT;
	at = 4 * n + 4;
	for (size_t k = 0; k < i; k++)
		at += padded(br_load_be32(img->data + 4 * k));
	*ret = img->data + at;
	*ret_len = br_load_be32(img->data + 4 * i);
	return 0;
}

static void put_header(uint8_t *p, const struct br_uimage_head *head, size_t len)
{
	size_t n = strnlen(head->name, BR_UIMAGE_NAME);

	memset(p, 0, BR_UIMAGE_HEADER);
	br_store_be32(p, MAGIC);
	br_store_be32(p + 8, head->time);
	br_store_be32(p + 12, (uint32_t)len);
	br_store_be32(p + 16, head->load);
	br_store_be32(p + 20, head->entry);
	br_store_be32(p + 24, crc_of(p + BR_UIMAGE_HEADER, len));
	p[28] = head->os;
	p[29] = head->arch;
	p[30] = head->type;
	p[31] = head->comp;
	memcpy(p + 32, head->name, n);
	br_store_be32(p + HEADER_CRC, crc_of(p, BR_UIMAGE_HEADER));
}

int br_uimage_pack(const struct br_uimage_head *head, const void *data, size_t len, uint8_t **ret, size_t *ret_len)
{
	uint8_t *p;

	if (len > UINT32_MAX)
		return -EFBIG;
	p = malloc(BR_UIMAGE_HEADER + len);
	if (!p)
		return -ENOMEM;
	if (len)
		memcpy(p + BR_UIMAGE_HEADER, data, len);
	put_header(p, head, len);
	*ret = p;
	*ret_len = BR_UIMAGE_HEADER + len;
	return 0;
}

int br_uimage_pack_files(const struct br_uimage_head *head, const struct br_uimage_file *files, size_t n, uint8_t **ret,
	size_t *ret_len)
{
	uint64_t len = 4 * n + 4;
	uint8_t *p, *at;

	if (!n || n > BR_UIMAGE_PARTS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!files[i].len)
			return -EINVAL; /* its size would end the list */
		if (files[i].len > UINT32_MAX)
			return -EFBIG;
		len += i + 1 < n ? padded(files[i].len) : files[i].len;
	}
	if (len > UINT32_MAX)
		return -EFBIG;
	p = calloc(1, BR_UIMAGE_HEADER + len);
	if (!p)
		return -ENOMEM;
	at = p + BR_UIMAGE_HEADER + 4 * n + 4;
	for (size_t i = 0; i < n; i++) {
		br_store_be32(p + BR_UIMAGE_HEADER + 4 * i, (uint32_t)files[i].len);
		memcpy(at, files[i].data, files[i].len);
		at += padded(files[i].len);
	}
	put_header(p, head, len);
	*ret = p;
	*ret_len = BR_UIMAGE_HEADER + len;
	return 0;
}

int br_uimage_pack_script(const char *name, uint32_t time, const char *text, size_t len, uint8_t **ret, size_t *ret_len)
{
	struct br_uimage_head head = {
		.os = BR_UIMAGE_OS_LINUX,
		.arch = BR_UIMAGE_ARCH_ARM64,
		.type = BR_UIMAGE_SCRIPT,
		.comp = BR_UIMAGE_COMP_NONE,
		.time = time,
	};

	memcpy(head.name, name, strnlen(name, BR_UIMAGE_NAME));
	return br_uimage_pack_files(&head, &(struct br_uimage_file){ text, len }, 1, ret, ret_len);
}
