/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A USB device in this process, plugged into QEMU through the usbredir protocol
 * (libusbredirparser): "-chardev socket,id=u,fd=N -device usb-redir,chardev=u". What
 * the device does is in the ops; this part answers the standard requests.
 */
#define BR_SIM_USB_CONTROL_MAX 65536

struct br_sim_usb;

struct br_sim_usb_ops {
	/*
	 * Class and vendor requests; type: bmRequestType. IN: fill data (room for len), return the length; OUT: take len
	 * bytes, return 0. -EAGAIN: it waits, br_sim_usb_retry() asks again; -ENODEV: not on the bus; else negative: stall.
	 */
	int (*control)(void *ctx, uint8_t type, uint8_t request, uint16_t value, uint16_t index, uint8_t *data, size_t len);
	int (*bulk_out)(void *ctx, uint8_t ep, const uint8_t *data, size_t len); /* 0, or as control() */
	/* Wanted: at most max bytes. Answer now or later with br_sim_usb_bulk_in(id). */
	void (*bulk_in)(void *ctx, uint64_t id, uint8_t ep, size_t max);
	void (*bulk_cancel)(void *ctx, uint64_t id); /* answer it with BR_SIM_USB_CANCELLED */
	void (*interrupt_start)(void *ctx, uint8_t ep);
	void (*bus_reset)(void *ctx);
	/* may be NULL: */
	int (*clear_halt)(void *ctx, uint8_t ep); /* CLEAR_FEATURE(ENDPOINT_HALT), ep with its direction; as control() */
	int (*string)(void *ctx, uint8_t index, uint8_t out[static 255]); /* a descriptor; its length, negative: none */
	void (*control_cancel)(void *ctx); /* the host gave up a control transfer that waited */
	bool (*absent)(void *ctx);	   /* not on the bus yet when QEMU connects: plug() comes later */
};

enum br_sim_usb_status { BR_SIM_USB_OK, BR_SIM_USB_STALL, BR_SIM_USB_CANCELLED };

struct br_sim_usb_device {
	const uint8_t *device; /* device descriptor, 18 bytes */
	const uint8_t *config; /* configuration descriptor with all that follows */
	const struct br_sim_usb_ops *ops;
};

/* Takes the connected socket (closed by free(), and on failure). NULL when memory is out. */
struct br_sim_usb *br_sim_usb_new(int fd, const struct br_sim_usb_device *device, void *ctx);
void br_sim_usb_free(struct br_sim_usb *u);
/* 0, or -EPIPE when QEMU is gone. */
int br_sim_usb_ready(struct br_sim_usb *u, short revents);
short br_sim_usb_events(const struct br_sim_usb *u);
int br_sim_usb_fd(const struct br_sim_usb *u);
/* Before QEMU said hello it does nothing: the device is plugged in then, unless ops.absent says that it is not there. */
void br_sim_usb_plug(struct br_sim_usb *u);
void br_sim_usb_unplug(struct br_sim_usb *u);
/* Other descriptors from the next plug() on; ops and context stay. What they point to must stay while it is plugged in. */
void br_sim_usb_set_descriptors(struct br_sim_usb *u, const uint8_t *device, const uint8_t *config);
/* Asks again for transfers that had to wait. */
void br_sim_usb_retry(struct br_sim_usb *u);
void br_sim_usb_bulk_in(struct br_sim_usb *u, uint64_t id, uint8_t ep, enum br_sim_usb_status status,
	const uint8_t *data, size_t len);
void br_sim_usb_interrupt_in(struct br_sim_usb *u, uint8_t ep, const uint8_t *data, size_t len);
/* True when a request came since the last call: the system uses the device. */
bool br_sim_usb_take_activity(struct br_sim_usb *u);
