/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * What a Raspberry Pi in USB boot mode and its host say to each other: the boot ROM takes a first stage, which comes back on
 * the bus and asks for files. Pure: both the host (src/usb) and the virtual boards (sim/usbrom) use it.
 */
#define BR_USBBOOT_VENDOR 0x0a5c

struct br_usbboot_model {
	uint16_t product;
	const char *chip;	 /* "BCM2711" */
	const char *dir;	 /* folder of its files in a payload: "2711" */
	const char *first_stage; /* "bootcode4.bin" */
	bool takes_signature;	 /* the message before the first stage may carry one, of bootcode.sig */
	bool leaves_early;	 /* the ROM may be gone before its status is read: no harm */
};

/* NULL: not a board in boot mode. ROM and second stage have the same numbers. */
const struct br_usbboot_model *br_usbboot_model(uint16_t vendor, uint16_t product);
/* By place, for lists; NULL at the end. */
const struct br_usbboot_model *br_usbboot_model_at(size_t i);
/* Which stage it is, from iSerialNumber of its device descriptor: 0 and 3 are the ROM, all else asks for files. */
bool br_usbboot_is_rom(uint8_t serial_index);

/* Which interface to claim and which endpoint takes bulk data, by bNumInterfaces. */
struct br_usbboot_ends {
	uint8_t interface, out;
};
struct br_usbboot_ends br_usbboot_ends(uint8_t n_interfaces);

/*
 * Control requests. Vendor, to the device, bRequest 0, no data stage but that of IN; wValue and wIndex carry a length:
 * of the bulk data that follow (OUT), of a file (the answer to GetFileSize), of what is to be read (IN).
 */
#define BR_USBBOOT_OUT 0x40 /* bmRequestType */
#define BR_USBBOOT_IN 0xc0
struct br_usbboot_setup {
	uint16_t value, index;
};
struct br_usbboot_setup br_usbboot_setup(uint32_t len);
uint32_t br_usbboot_setup_len(uint16_t value, uint16_t index);
#define BR_USBBOOT_PIECE 16384 /* most bytes of one bulk transfer: some hosts refuse giant ones */

/* The message before the first stage: its length, and a signature or zeros (sig may be NULL). */
#define BR_USBBOOT_FIRST 24
#define BR_USBBOOT_SIG 20
#define BR_USBBOOT_FIRST_MAX INT32_MAX
void br_usbboot_put_first(uint8_t out[static BR_USBBOOT_FIRST], uint32_t len, const uint8_t *sig);
/* -EBADMSG: not of this size, or a length that is negative or 0. ret_sig points into data. */
int br_usbboot_decode_first(const void *data, size_t len, uint32_t *ret_len, const uint8_t **ret_sig);
/* What the ROM says after it: 0 is good. */
#define BR_USBBOOT_STATUS 4

/* A request of the file server's client. */
#define BR_USBBOOT_REQUEST 260
#define BR_USBBOOT_NAME 256 /* with its end */
enum br_usbboot_command {
	BR_USBBOOT_GET_SIZE = 0,
	BR_USBBOOT_READ = 1,
	BR_USBBOOT_DONE = 2,
	/* not on the wire: what these forms of a name mean */
	BR_USBBOOT_METADATA = 100, /* "*KEY*VALUE": answered with a length of 0 */
	BR_USBBOOT_DONE_ACK,	   /* no name: done, and it waits for a length of 0 */
};

struct br_usbboot_request {
	enum br_usbboot_command command;
	char name[BR_USBBOOT_NAME];  /* printable ASCII; the file, or the key of metadata */
	char value[BR_USBBOOT_NAME]; /* of metadata, else "" */
};

/*
 * -EBADMSG with words: not to be understood (too short, a name that does not end or is not printable, an unknown command).
 * -EACCES with words: a name that would leave the payload ("..", absolute): ret holds all of it; "not there" is the answer.
 * A short message is taken when its name ends within it.
 */
int br_usbboot_decode_request(const void *data, size_t len, struct br_usbboot_request *ret, struct br_error *err);
/* For virtual boards; command is one of the wire, or METADATA. -EINVAL: does not fit. */
int br_usbboot_encode_request(
	uint8_t out[static BR_USBBOOT_REQUEST], uint32_t command, const char *name, const char *value);

/*
 * FACTORY_UUID as boards send it, hexadecimal words joined by '_', to the text people read: each half of a word (low first,
 * high when not zero) is three digits to base 40. -EINVAL: not of this form; -ENAMETOOLONG.
 */
int br_usbboot_factory_uuid(const char *words, char *out, size_t size);
