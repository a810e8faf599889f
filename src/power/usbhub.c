/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of USB hubs that switch power per port (USB 2.0 11.11, 11.24.2). The kernel's own switch for a port
 * ("disable" in sysfs) comes first where it may be written: the hub driver would switch a port on again that was switched off
 * behind its back. What the port then says of itself is read from the hub either way.
 */
#include <errno.h>
#include <fcntl.h>
#include <libusb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "power/driver.h"

#define FEATURE_PORT_POWER 8
#define REQUEST_TO_PORT	   0x23 /* class, other, host to device */
#define REQUEST_OF_PORT	   0xa3
#define REQUEST_OF_HUB	   0xa0
#define PORT_POWER_USB2	   0x0100 /* of wPortStatus */
#define PORT_POWER_USB3	   0x0200
#define LOCATION_MAX	   64

/* "1-1.4", "1-0" for a root hub: as sysfs has it. */
static void location_of(libusb_device *dev, char out[static LOCATION_MAX])
{
	uint8_t ports[8];
	int n = libusb_get_port_numbers(dev, ports, sizeof(ports));
	size_t len = (size_t)snprintf(out, LOCATION_MAX, "%u-", libusb_get_bus_number(dev));

	for (int i = 0; i < n; i++)
		len += (size_t)snprintf(out + len, LOCATION_MAX - len, "%s%u", i ? "." : "", ports[i]);
	if (n <= 0)
		snprintf(out + len, LOCATION_MAX - len, "0");
}

struct hub {
	libusb_context *usb;
	libusb_device_handle *handle;
	bool usb3;
	unsigned port, timeout_ms;
	char shown[160];
};

static void close_hub(struct hub *h)
{
	if (h->handle)
		libusb_close(h->handle);
	libusb_exit(h->usb);
}

static int find_hub(struct hub *h, const char *location, struct br_error *err)
{
	libusb_device **list;
	ssize_t n = libusb_get_device_list(h->usb, &list);
	struct libusb_device_descriptor d;
	int r = -ENODEV;

	for (ssize_t i = 0; i < n && r == -ENODEV; i++) {
		char at[LOCATION_MAX];

		location_of(list[i], at);
		if (strcmp(at, location) != 0 || libusb_get_device_descriptor(list[i], &d) < 0)
			continue;
		if (d.bDeviceClass != LIBUSB_CLASS_HUB)
			r = br_error_set(err, ENOTTY, "%s: that is a device and no hub", h->shown);
		else if (libusb_open(list[i], &h->handle) < 0)
			r = br_error_set(err, EACCES, "%s: may not be opened; give the user of bramble the right to (docs/power.md)", h->shown);
		else
			r = 0;
		h->usb3 = d.bcdUSB >= 0x0300;
	}
	if (n >= 0)
		libusb_free_device_list(list, 1);
	return r == -ENODEV ? br_error_set(err, ENODEV, "%s: there is no such hub (any more); 'lsusb -t' shows them",
				      h->shown) :
			      r;
}

/* What the hub says of its switching (11.23.2.1): a port of its own for each? */
static int check_hub(struct hub *h, struct br_error *err)
{
	uint8_t d[72];
	int n = libusb_control_transfer(h->handle, REQUEST_OF_HUB, LIBUSB_REQUEST_GET_DESCRIPTOR, h->usb3 ? 0x2a00 : 0x2900, 0, d,
		sizeof(d), h->timeout_ms);

	if (n < 7)
		return br_error_set(err, EREMOTEIO, "%s: does not describe itself: %s", h->shown, n < 0 ? libusb_error_name(n) : "too short");
	if (h->port > d[2])
		return br_error_set(err, ENOENT, "%s: it has %u ports", h->shown, d[2]);
	if ((d[3] & 3) == 0)
		return br_error_set(err, EOPNOTSUPP, "%s: it switches all its ports together, not one by one", h->shown);
	if ((d[3] & 3) != 1)
		return br_error_set(err, EOPNOTSUPP, "%s: it does not switch power", h->shown);
	return 0;
}

static int open_hub(const struct br_power_target *t, struct hub *h, struct br_error *err)
{
	uint64_t port = 0;
	int r;

	(void)br_parse_u64(t->uri.outlet, 1, 255, &port); /* it was checked with the URI */
	*h = (struct hub){ .port = (unsigned)port, .timeout_ms = (unsigned)(t->timeout_ns / BR_MS) };
	snprintf(h->shown, sizeof(h->shown), "USB hub %.60s, port %u", t->uri.host, h->port);
	if (libusb_init(&h->usb) < 0)
		return br_error_set(err, EIO, "%s: USB cannot be used on this host", h->shown);
	r = find_hub(h, t->uri.host, err);
	if (!r)
		r = check_hub(h, err);
	if (r < 0)
		close_hub(h);
	return r;
}

/* True: the kernel did it. */
static bool by_kernel(const struct br_power_target *t, const struct hub *h, bool on)
{
	char path[256], hub[LOCATION_MAX];
	unsigned bus;
	ssize_t n;
	int fd;

	if (sscanf(t->uri.host, "%u-", &bus) != 1)
		return false;
	/* a root hub's interface is "1-0:1.0", its ports "usb1-port2" */
	if (br_str_ends(t->uri.host, "-0"))
		snprintf(hub, sizeof(hub), "usb%u", bus);
	else
		snprintf(hub, sizeof(hub), "%.63s", t->uri.host);
	snprintf(path, sizeof(path), "/sys/bus/usb/devices/%.63s:1.0/%s-port%u/disable", t->uri.host, hub, h->port);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = write(fd, on ? "0" : "1", 1);
	close(fd);
	return n == 1;
}

static int set(const struct br_power_target *t, enum br_power_op op, struct br_error *err)
{
	bool on = op == BR_POWER_OP_ON;
	struct hub h;
	int r = open_hub(t, &h, err), code;

	if (r < 0)
		return r;
	if (!by_kernel(t, &h, on)) {
		code = libusb_control_transfer(h.handle, REQUEST_TO_PORT, on ? LIBUSB_REQUEST_SET_FEATURE : LIBUSB_REQUEST_CLEAR_FEATURE,
			FEATURE_PORT_POWER, (uint16_t)h.port, NULL, 0, h.timeout_ms);
		if (code < 0)
			r = br_error_set(err, EREMOTEIO, "%s: cannot be switched: %s", h.shown, libusb_error_name(code));
	}
	close_hub(&h);
	return r;
}

static int get(const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err)
{
	struct hub h;
	uint8_t status[4];
	int r = open_hub(t, &h, err), n;

	if (r < 0)
		return r;
	n = libusb_control_transfer(h.handle, REQUEST_OF_PORT, LIBUSB_REQUEST_GET_STATUS, 0, (uint16_t)h.port, status, sizeof(status),
		h.timeout_ms);
	if (n != 4) {
		r = br_error_set(err, EREMOTEIO, "%s: does not tell its status: %s", h.shown, n < 0 ? libusb_error_name(n) : "too short");
	} else {
		unsigned bits = status[0] | (unsigned)status[1] << 8;

		ret->state = bits & (h.usb3 ? PORT_POWER_USB3 : PORT_POWER_USB2) ? BR_POWER_IS_ON : BR_POWER_IS_OFF;
		snprintf(ret->detail, sizeof(ret->detail), "%s", bits & 1 ? "a device is connected" : "");
	}
	close_hub(&h);
	return r;
}

const struct br_power_driver br_power_usbhub = { .set = set, .get = get };
