/* SPDX-License-Identifier: Apache-2.0 */
/* USB boot messages out of any bytes, and the descriptors of a device: what decodes is within its bounds and printable. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "usb/sysfs.h"
#include "wire/usbboot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool b)
{
	if (!b)
		abort();
}

static void printable(const char *s, size_t size)
{
	must(strnlen(s, size) < size);
	for (; *s; s++)
		must(*s >= 0x20 && *s < 0x7f);
}

static void request(const uint8_t *data, size_t size)
{
	struct br_usbboot_request req, again;
	struct br_error err = BR_ERROR_NULL;
	uint8_t raw[BR_USBBOOT_REQUEST];
	int r = br_usbboot_decode_request(data, size, &req, &err);

	must(r == 0 || (err.text[0] && (r == -EBADMSG || r == -EACCES)));
	printable(err.text, sizeof(err.text));
	if (r == -EBADMSG)
		return;
	printable(req.name, sizeof(req.name));
	printable(req.value, sizeof(req.value));
	if (!r && (req.command == BR_USBBOOT_GET_SIZE || req.command == BR_USBBOOT_READ))
		must(req.name[0] && req.name[0] != '/' && !strstr(req.name, ".."));
	if (req.command == BR_USBBOOT_DONE_ACK)
		return;
	must(br_usbboot_encode_request(raw, req.command, req.name, req.value) == 0);
	must(br_usbboot_decode_request(raw, sizeof(raw), &again, NULL) == r);
	must(again.command == req.command && !strcmp(again.name, req.name) && !strcmp(again.value, req.value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_usb_device dev = { 0 };
	const uint8_t *sig;
	uint8_t *exact = malloc(size ? size : 1);
	char out[64], *text = malloc(size + 1);
	uint32_t len;

	must(exact && text);
	memcpy(exact, data, size);
	memcpy(text, data, size);
	text[size] = 0;
	request(exact, size);
	if (!br_usbboot_decode_first(exact, size, &len, &sig))
		must(len > 0 && len <= BR_USBBOOT_FIRST_MAX && sig + BR_USBBOOT_SIG == exact + size);
	br_usb_decode_descriptors(exact, size, &dev);
	if (!br_usbboot_factory_uuid(text, out, sizeof(out)))
		printable(out, sizeof(out));
	free(exact);
	free(text);
	return 0;
}
