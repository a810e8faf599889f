/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual boards behind the interface of a USB host; the rules are those of usb/transport.h. */
#include "sim/usbinside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define QUEUE_MAX 16 /* in flight, of one board */
#define BURST	  32 /* transfers of one board before it is the next one's turn */

struct flight {
	struct br_usb_transfer *t;
	uint64_t until_ns;
	bool cancelled, tried; /* tried: the board had to think about it */
};

struct port {
	struct br_sim_rom *board;
	struct br_usb_device dev;
	unsigned known; /* the attachment that was announced; 0: none */
	bool open;
	int refuse;
	struct flight queue[QUEUE_MAX];
	size_t n_queue;
};

struct br_sim_usb_inside {
	struct br_usb_host host;
	struct port ports[BR_SIM_USB_INSIDE_MAX];
	size_t n_ports;
	uint64_t now_ns;
	bool begun;
};

static struct br_sim_usb_inside *inside_of(struct br_usb_host *host)
{
	return (struct br_sim_usb_inside *)(void *)((char *)host - offsetof(struct br_sim_usb_inside, host));
}

static struct port *port_of(struct br_usb_host *host, const struct br_usb_device *dev)
{
	struct br_sim_usb_inside *h = inside_of(host);

	return &h->ports[dev->port - 1];
}

/* ---- what the host's user does ---- */

/* Is this number an interface (of descriptor type 4), or an OUT endpoint (5)? */
static bool has_descriptor(const uint8_t *config, uint8_t type, uint8_t number)
{
	for (size_t at = 0; at < br_load_le16(config + 2) && config[at]; at += config[at])
		if (config[at + 1] == type && config[at + 2] == number)
			return true;
	return false;
}

static int inside_open(struct br_usb_host *host, struct br_usb_device *dev, uint8_t interface, struct br_error *err)
{
	struct port *p = port_of(host, dev);

	if (p->refuse)
		return br_error_set(err, -p->refuse, "%s: a test says no", dev->node);
	if (br_sim_rom_attached(p->board) != p->known)
		return br_error_set(err, ENODEV, "%s: gone", dev->node);
	if (!has_descriptor(br_sim_rom_configuration(p->board), 4, interface))
		return br_error_set(err, EIO, "%s: no interface %u", dev->node, interface);
	p->open = true;
	return 0;
}

static void inside_cancel(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	struct port *p = port_of(host, dev);

	for (size_t i = 0; i < p->n_queue; i++)
		if (p->queue[i].t == t)
			p->queue[i].cancelled = true;
}

static void inside_close(struct br_usb_host *host, struct br_usb_device *dev)
{
	struct port *p = port_of(host, dev);

	for (size_t i = 0; i < p->n_queue; i++)
		p->queue[i].cancelled = true;
	p->open = false;
}

static int inside_submit(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	struct port *p = port_of(host, dev);

	if (!p->open || p->n_queue == QUEUE_MAX)
		return p->open ? -ENOSPC : -EINVAL;
	if (br_sim_rom_attached(p->board) != p->known)
		return -ENODEV;
	p->queue[p->n_queue++] = (struct flight){ .t = t,
		.until_ns = t->timeout_ns ? inside_of(host)->now_ns + t->timeout_ns : UINT64_MAX };
	return 0;
}

static int inside_fd(struct br_usb_host *host)
{
	return -1;
}

/* ---- transfers ---- */

/* Of the first one in the queue. -EAGAIN: not yet. */
static int carry(struct br_sim_usb_inside *h, struct port *p, const struct br_usb_transfer *t)
{
	switch (t->kind) {
	case BR_USB_CONTROL_OUT:
		return br_sim_rom_control(p->board, h->now_ns, BR_USBBOOT_OUT, 0, t->value, t->index, NULL, 0);
	case BR_USB_CONTROL_IN:
		return br_sim_rom_control(p->board, h->now_ns, BR_USBBOOT_IN, 0, t->value, t->index, t->data, t->len);
	case BR_USB_BULK_OUT:
		if (!has_descriptor(br_sim_rom_configuration(p->board), 5, t->endpoint))
			return -ENOENT;
		return br_sim_rom_bulk_out(p->board, h->now_ns, t->endpoint, t->data, t->len);
	case BR_USB_CLEAR_HALT:
		return br_sim_rom_clear_halt(p->board, h->now_ns, t->endpoint);
	}
	return -EINVAL;
}

static enum br_usb_status status_of(int r)
{
	return r >= 0 ? BR_USB_OK : r == -EPIPE ? BR_USB_STALL : r == -ENODEV ? BR_USB_GONE : BR_USB_IO;
}

static void complete(struct br_sim_usb_inside *h, struct port *p, enum br_usb_status status, size_t done)
{
	struct br_usb_transfer *t = p->queue[0].t;

	p->n_queue--;
	memmove(p->queue, p->queue + 1, p->n_queue * sizeof(p->queue[0]));
	t->status = status;
	t->done = done;
	h->host.callbacks.completed(h->host.callbacks.ctx, &p->dev, t);
}

/* One transfer is over, or false. */
static bool progress(struct br_sim_usb_inside *h, struct port *p)
{
	struct flight *f = &p->queue[0];
	const struct br_usb_transfer *t = f->t;
	bool late = f->until_ns <= h->now_ns;
	int r;

	if (f->cancelled || (late && f->tried)) {
		if (f->tried && t->kind != BR_USB_BULK_OUT)
			br_sim_rom_cancelled(p->board, h->now_ns);
		complete(h, p, f->cancelled ? BR_USB_CANCELLED : BR_USB_TIMEOUT, 0);
		return true;
	}
	r = carry(h, p, t);
	if (r == -EAGAIN) {
		f->tried = true;
		return false;
	}
	complete(h, p, status_of(r), r < 0 ? 0 : t->kind == BR_USB_CONTROL_IN ? (size_t)r : t->kind == BR_USB_BULK_OUT ? t->len : 0);
	return true;
}

/* ---- devices ---- */

static void read_serial(struct port *p)
{
	uint8_t raw[255];
	int n = br_sim_rom_string(p->board, p->dev.serial_index, raw);

	if (!p->dev.serial_index)
		return;
	for (int i = 2; i + 1 < n && (size_t)i / 2 < sizeof(p->dev.serial); i += 2)
		p->dev.serial[i / 2 - 1] = (char)raw[i];
}

static void announce(struct br_sim_usb_inside *h, struct port *p, size_t i)
{
	const uint8_t *d = br_sim_rom_device(p->board);

	p->dev = (struct br_usb_device){
		.bus = 1,
		.port = (uint8_t)(i + 1),
		.vendor = br_load_le16(d + 8),
		.product = br_load_le16(d + 10),
		.serial_index = d[16],
		.n_interfaces = br_sim_rom_configuration(p->board)[4],
	};
	snprintf(p->dev.path, sizeof(p->dev.path), "1-%zu", i + 1);
	snprintf(p->dev.node, sizeof(p->dev.node), "/dev/bus/usb/001/%03u", (unsigned)(i + 1));
	read_serial(p);
	h->host.callbacks.arrived(h->host.callbacks.ctx, &p->dev);
}

/* The host learns what came and went. */
static void follow(struct br_sim_usb_inside *h, size_t i)
{
	struct port *p = &h->ports[i];
	unsigned attached = br_sim_rom_attached(p->board);

	if (attached == p->known)
		return;
	if (p->known) {
		while (p->n_queue)
			complete(h, p, p->queue[0].cancelled ? BR_USB_CANCELLED : BR_USB_GONE, 0);
		p->known = 0; /* from here on nothing can be opened */
		h->host.callbacks.left(h->host.callbacks.ctx, &p->dev);
		p->open = false;
	}
	p->known = attached;
	if (attached)
		announce(h, p, i);
}

static int inside_handle(struct br_usb_host *host, uint64_t now_ns, struct br_error *err)
{
	struct br_sim_usb_inside *h = inside_of(host);

	h->now_ns = now_ns;
	h->begun = true;
	for (size_t i = 0; i < h->n_ports; i++) {
		struct port *p = &h->ports[i];

		br_sim_rom_step(p->board, now_ns);
		follow(h, i);
		for (unsigned n = 0; n < BURST && p->n_queue && progress(h, p); n++)
			follow(h, i);
		follow(h, i);
	}
	return 0;
}

static uint64_t inside_next(struct br_usb_host *host, uint64_t now_ns)
{
	struct br_sim_usb_inside *h = inside_of(host);
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < h->n_ports; i++) {
		const struct port *p = &h->ports[i];
		const struct flight *f = p->n_queue ? &p->queue[0] : NULL;
		uint64_t t = br_sim_rom_deadline(p->board);

		if (f && f->until_ns < t)
			t = f->until_ns;
		if (!h->begun || (f && (f->cancelled || !f->tried)))
			t = now_ns;
		next = t < next ? t : next;
	}
	return next;
}

static void inside_free(struct br_usb_host *host)
{
	struct br_sim_usb_inside *h = inside_of(host);

	for (size_t i = 0; i < h->n_ports; i++)
		br_sim_rom_free(h->ports[i].board);
	free(h);
}

static const struct br_usb_host_ops ops = {
	.open = inside_open, .close = inside_close, .submit = inside_submit, .cancel = inside_cancel,
	.fd = inside_fd, .next_ns = inside_next, .handle = inside_handle, .free = inside_free,
};

struct br_sim_usb_inside *br_sim_usb_inside_new(void)
{
	struct br_sim_usb_inside *h = calloc(1, sizeof(*h));

	if (h)
		h->host.ops = &ops;
	return h;
}

struct br_usb_host *br_sim_usb_inside_host(struct br_sim_usb_inside *h)
{
	return &h->host;
}

int br_sim_usb_inside_add(struct br_sim_usb_inside *h, const struct br_sim_rom_config *config)
{
	struct br_sim_rom *board;

	if (h->n_ports == BR_ARRAY_SIZE(h->ports))
		return -ENOSPC;
	board = br_sim_rom_new(config);
	if (!board)
		return -ENOMEM;
	h->ports[h->n_ports].board = board;
	return (int)h->n_ports++;
}

const struct br_sim_rom *br_sim_usb_inside_board(const struct br_sim_usb_inside *h, size_t i)
{
	return h->ports[i].board;
}

void br_sim_usb_inside_refuse(struct br_sim_usb_inside *h, size_t i, int result)
{
	h->ports[i].refuse = result;
}
