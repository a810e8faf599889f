/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "usb/transport.h"

/*
 * This machine's USB as a host of usb/transport.h. Devices are found in sysfs, at once when the kernel says that something
 * changed (no udevd is needed for that), by looking again and again where it does not; transfers are libusb's, asynchronous.
 */
struct br_usb_libusb_options {
	const char *sysfs; /* NULL: BR_USB_SYSFS */
	uint64_t poll_ns;  /* how often to look although the kernel says nothing; 0: 2 s, or 250 ms where it cannot tell */
	bool no_uevents;   /* only look */
};

/* options may be NULL. */
int br_usb_libusb_new(const struct br_usb_libusb_options *options, struct br_usb_host **ret, struct br_error *err);
