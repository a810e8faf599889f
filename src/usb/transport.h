/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

/*
 * A USB host as sessions see it: devices come and go, transfers are handed in and complete later. Implemented over libusb
 * (usb/libusb.h) and by tests in process (sim/usbrom). No threads: everything happens in the caller's loop.
 *
 * The rules, for both sides:
 *   - callbacks come only from inside ops->handle(), never from inside submit, cancel, open or close;
 *   - each submitted transfer completes exactly once, also when it is cancelled or the device goes. The struct and its
 *     data are the caller's and stay as they are until then;
 *   - several transfers of one device may be in flight; they complete in the order of their submission;
 *   - 'left' comes when all transfers of the device have completed, and before 'arrived' of another device on the same path.
 *     The device is gone for good when 'left' returns;
 *   - devices that are there already arrive in the first handle().
 */
#define BR_USB_PATH_MAX 64    /* "1-2.3.4": bus, then ports from the root; USB allows 7 hubs */
#define BR_USB_SERIAL_MAX 128 /* with its end */

struct br_usb_device {
	char path[BR_USB_PATH_MAX];
	char node[64]; /* "/dev/bus/usb/001/007", for messages */
	uint8_t bus, port; /* port: the last of path, of the hub it hangs on */
	uint16_t vendor, product;
	uint8_t serial_index;	    /* iSerialNumber; 0: none */
	char serial[BR_USB_SERIAL_MAX]; /* the text of it, hostile bytes made visible; "" when there is none or it cannot be read */
	uint8_t n_interfaces;
	void *user; /* the owner's of the callbacks (the manager), NULL at arrival */
};

enum br_usb_kind {
	BR_USB_CONTROL_OUT, /* bmRequestType 0x40, bRequest 0, value, index; no data */
	BR_USB_CONTROL_IN,  /* 0xc0, 0, value, index; len bytes into data */
	BR_USB_BULK_OUT,    /* len bytes, at most BR_USBBOOT_PIECE, from data to endpoint */
	/*
	 * CLEAR_FEATURE(ENDPOINT_HALT) to the bulk OUT endpoint, and its data toggle of this side reset with it (USB 2.0, 9.4.5):
	 * after a stall it takes nothing before this. Nothing else of the device may be in flight. It cannot be cancelled; at
	 * most BR_USB_CLEAR_NS.
	 */
	BR_USB_CLEAR_HALT,
};

enum br_usb_status {
	BR_USB_OK,
	BR_USB_STALL,
	BR_USB_TIMEOUT,
	BR_USB_GONE,	  /* no such device any more */
	BR_USB_IO,	  /* anything else of the bus; also seen shortly before a device goes */
	BR_USB_CANCELLED, /* by cancel() */
	BR_USB_N_STATUSES,
};

struct br_usb_transfer {
	enum br_usb_kind kind;
	uint16_t value, index; /* of control */
	uint8_t endpoint;      /* of bulk: its number, without the direction */
	uint8_t *data;
	size_t len;
	uint64_t timeout_ns; /* from its submission; the transport's to keep */
	/* when it has completed */
	enum br_usb_status status;
	size_t done;  /* bytes */
	void *host;   /* the transport's while it is in flight */
	void *user;   /* the submitter's */
};

#define BR_USB_CLEAR_NS (6 * BR_S) /* the kernel gives the board 5 s */

struct br_usb_callbacks {
	void (*arrived)(void *ctx, struct br_usb_device *dev);
	void (*left)(void *ctx, struct br_usb_device *dev);
	void (*completed)(void *ctx, struct br_usb_device *dev, struct br_usb_transfer *t);
	void *ctx;
};

struct br_usb_host {
	const struct br_usb_host_ops *ops;
	struct br_usb_callbacks callbacks; /* set by who uses the host, before the first handle() */
};

struct br_usb_host_ops {
	/*
	 * Opens and claims the interface, a kernel driver of it put aside. -EACCES: no permission (words: the device node and
	 * the rule of udev), -EBUSY: somebody else has it, -ENODEV: gone meanwhile. It may ask the board for its
	 * configuration and wait for that: up to a second for a board that answers nothing.
	 */
	int (*open)(struct br_usb_host *host, struct br_usb_device *dev, uint8_t interface, struct br_error *err);
	/* Cancels what is in flight. Not an error when the device is gone or not open. */
	void (*close)(struct br_usb_host *host, struct br_usb_device *dev);
	/* -ENODEV: gone; other errors are the host's. A transfer that is refused does not complete. */
	int (*submit)(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t);
	void (*cancel)(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t);
	/* A descriptor that becomes readable when handle() has something to do; -1: only next_ns() says. Stays the same. */
	int (*fd)(struct br_usb_host *host);
	/* When handle() is to be called at the latest; UINT64_MAX: only when fd is readable. */
	uint64_t (*next_ns)(struct br_usb_host *host, uint64_t now_ns);
	/* Does what is due, without blocking. Negative: the host as a whole has failed, with words. */
	int (*handle)(struct br_usb_host *host, uint64_t now_ns, struct br_error *err);
	/* Every device must have been closed. */
	void (*free)(struct br_usb_host *host);
};

/* "stall", "timeout" ... */
const char *br_usb_status_name(enum br_usb_status status);
