/* SPDX-License-Identifier: Apache-2.0 */
/* USB boot messages. The layouts are those of the boot ROMs; see docs/usb.md. */
#include "wire/usbboot.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"

static const struct br_usbboot_model models[] = {
	{ 0x2763, "BCM2835", "2710", "bootcode.bin", true, false },
	{ 0x2764, "BCM2837", "2710", "bootcode.bin", true, false },
	{ 0x2711, "BCM2711", "2711", "bootcode4.bin", false, true },
	{ 0x2712, "BCM2712", "2712", "bootcode5.bin", false, true },
};

const struct br_usbboot_model *br_usbboot_model_at(size_t i)
{
	return i < BR_ARRAY_SIZE(models) ? &models[i] : NULL;
}

const struct br_usbboot_model *br_usbboot_model(uint16_t vendor, uint16_t product)
{
	for (size_t i = 0; vendor == BR_USBBOOT_VENDOR && i < BR_ARRAY_SIZE(models); i++) {
		if (models[i].product == product)
			return &models[i];
	}
	return NULL;
}

bool br_usbboot_is_rom(uint8_t serial_index)
{
	return serial_index == 0 || serial_index == 3;
}

struct br_usbboot_ends br_usbboot_ends(uint8_t n_interfaces)
{
	/* 2837 with mass storage beside it: the second interface is ours */
	return n_interfaces == 1 ? (struct br_usbboot_ends){ 0, 1 } : (struct br_usbboot_ends){ 1, 3 };
}

struct br_usbboot_setup br_usbboot_setup(uint32_t len)
{
	return (struct br_usbboot_setup){ .value = (uint16_t)len, .index = (uint16_t)(len >> 16) };
}

uint32_t br_usbboot_setup_len(uint16_t value, uint16_t index)
{
	return (uint32_t)index << 16 | value;
}

void br_usbboot_put_first(uint8_t out[static BR_USBBOOT_FIRST], uint32_t len, const uint8_t *sig)
{
	memset(out, 0, BR_USBBOOT_FIRST);
	br_store_le32(out, len);
	if (sig)
		memcpy(out + 4, sig, BR_USBBOOT_SIG);
}

int br_usbboot_decode_first(const void *data, size_t len, uint32_t *ret_len, const uint8_t **ret_sig)
{
	uint32_t n;

	if (len != BR_USBBOOT_FIRST)
		return -EBADMSG;
	n = br_load_le32(data);
	if (n == 0 || n > BR_USBBOOT_FIRST_MAX)
		return -EBADMSG;
	*ret_len = n;
	*ret_sig = (const uint8_t *)data + 4;
	return 0;
}

/* "*KEY*VALUE"; what lacks the second star is the name of a file. */
static bool split_metadata(struct br_usbboot_request *req)
{
	char *star = req->name[0] == '*' ? strchr(req->name + 1, '*') : NULL;

	if (!star || star == req->name + 1)
		return false;
	*star = 0;
	memcpy(req->value, star + 1, strlen(star + 1) + 1);
	memmove(req->name, req->name + 1, strlen(req->name + 1) + 1);
	return true;
}

static bool is_printable(const char *s)
{
	for (; *s; s++) {
		if (*s < 0x20 || *s > 0x7e)
			return false;
	}
	return true;
}

int br_usbboot_decode_request(const void *data, size_t len, struct br_usbboot_request *ret, struct br_error *err)
{
	struct br_reader r = br_reader_of(data, len);
	struct br_usbboot_request req = { 0 };
	uint32_t command = br_get_le32(&r);
	size_t room = br_reader_left(&r), n;
	const char *name = (const char *)r.p;
	char vis[80];

	if (r.failed)
		return br_error_set(err, EBADMSG, "a request of %zu bytes, where %d are due", len, BR_USBBOOT_REQUEST);
	room = room < BR_USBBOOT_NAME ? room : BR_USBBOOT_NAME;
	n = room ? strnlen(name, room) : 0;
	if (n == room)
		return br_error_set(err, EBADMSG, "a file name without an end in a request of %zu bytes", len);
	memcpy(req.name, name, n + 1);
	if (!is_printable(req.name))
		return br_error_set(err, EBADMSG, "a file name that is not text: \"%s\"", br_vis(vis, sizeof(vis), req.name, n));
	if (command > BR_USBBOOT_DONE)
		return br_error_set(err, EBADMSG, "command %u, which no file server knows", command);
	req.command = (enum br_usbboot_command)command;
	if (!n)
		req.command = BR_USBBOOT_DONE_ACK;
	else if (command != BR_USBBOOT_DONE && split_metadata(&req))
		req.command = BR_USBBOOT_METADATA;
	*ret = req;
	if (command != BR_USBBOOT_DONE && req.command == (enum br_usbboot_command)command &&
		(strstr(req.name, "..") || req.name[0] == '/'))
		return br_error_set(err, EACCES, "a file name that leads out of the payload: \"%s\"",
			br_vis(vis, sizeof(vis), req.name, n));
	return 0;
}

int br_usbboot_encode_request(
	uint8_t out[static BR_USBBOOT_REQUEST], uint32_t command, const char *name, const char *value)
{
	struct br_text t = BR_TEXT_NULL;
	int r = 0;

	if (command == BR_USBBOOT_METADATA)
		br_text_addf(&t, "*%s*%s", name, value);
	else
		br_text_add(&t, name);
	if (t.failed)
		r = -ENOMEM;
	else if (t.len >= BR_USBBOOT_NAME)
		r = -EINVAL;
	if (!r) {
		memset(out, 0, BR_USBBOOT_REQUEST);
		br_store_le32(out, command == BR_USBBOOT_METADATA ? BR_USBBOOT_GET_SIZE : command);
		if (t.len)
			memcpy(out + 4, t.buf, t.len);
	}
	br_text_done(&t);
	return r;
}

/* Three digits to base 40 of v - 1, the first the highest; 0 fills up a last word. */
static int add_triple(struct br_text *t, uint16_t v)
{
	unsigned rest = v ? v - 1u : 0;
	unsigned digits[3] = { rest / 1600, rest / 40 % 40, rest % 40 };

	if (rest >= 40 * 1600)
		return -EINVAL;
	for (size_t i = 0; i < 3; i++) {
		char c;

		if (!digits[i])
			continue;
		if (digits[i] < 4)
			return -EINVAL;
		c = (char)(digits[i] < 14 ? '0' + (digits[i] - 4) : 'A' + (digits[i] - 14));
		br_text_add_bytes(t, &c, 1);
	}
	return 0;
}

static int parse_word(const char **p, uint32_t *ret)
{
	uint32_t word = 0;
	unsigned n = 0;

	for (; **p && **p != '_'; (*p)++, n++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, **p | (**p >= 'A' ? 0x20 : 0));

		if (!d || n >= 8)
			return -EINVAL;
		word = word << 4 | (uint32_t)(d - digits);
	}
	*ret = word;
	return n ? 0 : -EINVAL;
}

int br_usbboot_factory_uuid(const char *words, char *out, size_t size)
{
	struct br_text t = BR_TEXT_NULL;
	int r = 0;

	if (br_str_starts(words, "0x"))
		words += 2;
	for (bool more = true; more && !r;) {
		uint32_t word;

		r = parse_word(&words, &word);
		if (!r)
			r = add_triple(&t, (uint16_t)word);
		if (!r && word >> 16)
			r = add_triple(&t, (uint16_t)(word >> 16));
		more = *words == '_';
		words += more;
	}
	if (!r && t.failed)
		r = -ENOMEM;
	if (!r)
		r = br_strcpy(out, size, t.buf ? t.buf : "");
	br_text_done(&t);
	return r;
}
