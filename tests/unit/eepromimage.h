/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small EEPROM images out of nothing, in the form of the stock ones. Includes test.h's headers. */
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "pi/countersign.h"
#include "pi/eeprom.h"
#include "pi/rsakey.h"

enum image_form {
	IMAGE_2711,
	IMAGE_2712, /* one copy */
	IMAGE_2712_AB,
	IMAGE_FORMS
};

struct image_writer {
	uint8_t *data;
	size_t len, at;
};

/* A section; name NULL: none. Content of n bytes 'fill', or 'content'. */
static inline void image_section(struct image_writer *w, uint32_t magic, const char *name, const void *content, size_t n)
{
	size_t head = name ? 24 : 8;

	br_store_be32(w->data + w->at, magic);
	br_store_be32(w->data + w->at + 4, (uint32_t)(n + head - 8));
	if (name) {
		memset(w->data + w->at + 8, 0, 16);
		memcpy(w->data + w->at + 8, name, strnlen(name, 12));
	}
	if (content && n)
		memcpy(w->data + w->at + head, content, n);
	w->at = (w->at + head + n + 7) & ~(size_t)7;
}

/* Padding up to an offset. */
static inline void image_pad_to(struct image_writer *w, size_t to)
{
	image_section(w, 0x55aafeef, NULL, NULL, to - w->at - 8);
}

/* Keys of this run: 0 signs as Raspberry Pi would with a key number that nobody has seen yet (number 0 is known by its hash), 1
 * and 2 are customers'. */
static inline struct br_rsakey *image_key(int i)
{
	static struct br_rsakey *keys[3];
	char dir[] = "/tmp/bramble-image-XXXXXX", path[64];
	struct br_error err = BR_ERROR_NULL;

	if (keys[i])
		return keys[i];
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/k.pem", dir);
	if (br_rsakey_new(path, NULL, &err) < 0 || br_rsakey_open(&(struct br_rsakey_options){ .key = path }, &keys[i], &err) < 0)
		fail_msg("%s", err.text);
	unlink(path);
	rmdir(dir);
	return keys[i];
}

/* The last BR_SIGNBLOCK_BYTES of code become a block over what is before them. */
static inline void image_sign(uint8_t *code, size_t n, int key, unsigned keynum)
{
	uint8_t sum[32], *block = code + n - BR_SIGNBLOCK_BYTES;
	struct iovec part = { code, n - BR_SIGNBLOCK_BYTES + 12 };

	br_store_le32(block, (uint32_t)(n - BR_SIGNBLOCK_BYTES));
	br_store_le32(block + 4, keynum);
	br_store_le32(block + 8, 1);
	assert_int_equal(br_rsakey_sign(image_key(key), &part, 1, sum, block + 12, NULL), 0);
	memcpy(block + 12 + BR_RSA_BYTES, br_rsakey_public(image_key(key))->bytes, BR_RSAPUB_BYTES);
}

/* Code that says when it was built, ended by a vendor's signature block; n bytes in all (free()). */
static inline uint8_t *image_code(enum image_form form, size_t n, uint32_t build_time)
{
	uint8_t *code = malloc(n);

	assert_non_null(code);
	for (size_t i = 0; i < n; i++)
		code[i] = (uint8_t)(i * 37 + (i >> 8));
	snprintf((char *)code + 64, 100, "VERSION:0123abcd%cDATE: 2026/08/12%cBUILD_TIMESTAMP=%u", 0, 0, build_time);
	if (form == IMAGE_2711) {
		br_store_le32(code + n - 284, (uint32_t)(n - 284));
		br_store_le32(code + n - 280, 1);
	} else {
		image_sign(code, n, 0, 1);
	}
	return code;
}

#define IMAGE_BUILD_TIME 1786493216u /* 2026-08-12 */

static inline void image_add_code(struct image_writer *w, enum image_form form, const char *name, size_t n, uint32_t build_time)
{
	uint8_t *code = image_code(form, n, build_time);

	image_section(w, name ? 0x55aaf11f : 0x55aaf00f, name, code, n);
	free(code);
}

static inline uint8_t *image_make_at(enum image_form form, const char *config, uint32_t build_time, size_t *ret_len)
{
	static const uint8_t none[2048], no_time[8] = { 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
	struct image_writer w = { .len = form == IMAGE_2711 ? BR_EEPROM_SIZE_2711 : BR_EEPROM_SIZE_2712 };
	bool ab = form == IMAGE_2712_AB;

	w.data = malloc(w.len);
	assert_non_null(w.data);
	memset(w.data, 0xff, w.len);
	image_add_code(&w, form, NULL, ab ? 25984 : form == IMAGE_2711 ? 9000 : 72660, build_time);
	image_pad_to(&w, ab ? 0x67a0 : form == IMAGE_2711 ? 0x11fc0 : 0x20000);
	if (ab) {
		image_section(&w, 0x55aaf11f, "updatetime", no_time, 8);
		image_pad_to(&w, 0x10000);
		image_add_code(&w, form, "bootsys", 78356, build_time);
		image_pad_to(&w, 0x23448);
	}
	image_section(&w, form == IMAGE_2712 ? 0x55aaf33f : 0x55aaf44f, "bootmain", none, 1001);
	image_section(&w, 0x55aaf44f, "memsys00.bin", none, 444);
	image_section(&w, 0x55aaf44f, "mcb.bin", none, 333);
	image_section(&w, 0x55aaf11f, "updatetime", no_time, 8);
	image_pad_to(&w, 0x30000);
	image_section(&w, 0x55aaf11f, "pubkey.bin", none, 512);
	image_pad_to(&w, 0x30300);
	image_section(&w, 0x55aaf11f, "cacert.der", none, 2048);
	image_pad_to(&w, 0x30c00);
	image_section(&w, 0x55aaf11f, "bootconf.sig", none, 1024);
	image_pad_to(&w, 0x32000);
	image_section(&w, 0x55aaf11f, "bootconf.txt", config, strlen(config));
	if (ab) {
		image_pad_to(&w, BR_EEPROM_B);
		image_pad_to(&w, BR_EEPROM_JOURNALS);
	}
	*ret_len = w.len;
	return w.data;
}

/* free() */
static inline uint8_t *image_make(enum image_form form, const char *config, size_t *ret_len)
{
	return image_make_at(form, config, IMAGE_BUILD_TIME, ret_len);
}
