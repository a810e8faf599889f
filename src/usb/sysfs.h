/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "usb/transport.h"

/*
 * The USB devices of this machine as the kernel lists them: no device is opened, no permission is needed, nothing is sent.
 */
#define BR_USB_SYSFS "/sys/bus/usb/devices"

struct br_usb_listed {
	struct br_usb_device device;
	uint8_t address; /* with the bus it names this device until it leaves */
};

/* A device descriptor and the beginning of the first configuration after it, as 'descriptors' has them. -EBADMSG. */
int br_usb_decode_descriptors(const void *data, size_t len, struct br_usb_device *ret);

/*
 * All devices but root hubs, sorted by path; free(). dir: BR_USB_SYSFS or a test's. One that is just coming or going is left
 * out. A directory that is not there is an empty list (-ENOENT is no error: no USB at all, or none yet).
 */
int br_usb_sysfs_list(const char *dir, struct br_usb_listed **ret, size_t *ret_n, struct br_error *err);

/*
 * Why the device cannot be opened, with what to do about it: "no permission for /dev/bus/usb/001/007 (...)". Returns -r.
 * r: positive errno of open(2).
 */
int br_usb_explain_open(const struct br_usb_device *dev, int r, struct br_error *err);
/* Whether it may be opened at all; 0 or as above. */
int br_usb_may_open(const struct br_usb_device *dev, struct br_error *err);
