/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "usb/transport.h"
#include "wire/usbboot.h"

/*
 * What a session asks a payload for: names to bytes. Implemented by usb/payload.h (directory, bootfiles.bin, an image's boot
 * partition, a board's boot-file name space) and by tests.
 */
struct br_usb_file {
	uint64_t size;
	void *handle; /* the payload's */
};

struct br_usb_files {
	const struct br_usb_files_ops *ops;
};

struct br_usb_files_ops {
	/*
	 * name: printable, without "..", not absolute (checked at the door); also the first stage by its name of c.1
	 * ("bootcode4.bin") and, for signed boot, "bootcode.sig". dev is of a board in boot mode: dev->path is for overlays,
	 * model->dir for folders by chip. -ENOENT: there is none; other errors, with words, end the session as "bad payload". -EINPROGRESS: it takes
	 * a while, and nobody shall wait for it: the session asks for the same again, soon.
	 */
	int (*open)(struct br_usb_files *files, const struct br_usb_device *dev, const struct br_usbboot_model *model,
		const char *name, struct br_usb_file *ret, struct br_error *err);
	/* n bytes from offset, all within size. */
	int (*read)(struct br_usb_files *files, const struct br_usb_file *file, uint64_t offset, void *buf, size_t n,
		struct br_error *err);
	void (*close)(struct br_usb_files *files, struct br_usb_file *file);
};
