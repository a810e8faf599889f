/* SPDX-License-Identifier: Apache-2.0 */
/* Standard requests of USB 2.0 (chapter 9) over usbredir; see usbredir.h. */
#include "sim/usbredir.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <usbredirparser.h>

#include "base/bytes.h"
#include "base/cleanup.h"

enum { GET_STATUS = 0, CLEAR_FEATURE = 1, SET_FEATURE = 3, GET_DESCRIPTOR = 6, GET_CONFIGURATION = 8,
	GET_INTERFACE = 10, SET_INTERFACE = 11 };
enum { DESC_DEVICE = 1, DESC_CONFIG = 2, DESC_STRING = 3, DESC_QUALIFIER = 6, DESC_INTERFACE = 4, DESC_ENDPOINT = 5 };

enum { TO_ENDPOINT = 0x02, ENDPOINT_HALT = 0 }; /* of bmRequestType; of wValue */

/* A transfer that the device does not answer yet. */
struct parked {
	struct parked *next;
	uint64_t id;
	bool is_control;
	struct usb_redir_control_packet_header control;
	struct usb_redir_bulk_packet_header bulk;
	uint8_t *data; /* the parser's */
	int len;
};

struct br_sim_usb {
	int fd;
	struct br_sim_usb_device device;
	void *ctx;
	struct usbredirparser *parser;
	uint8_t configuration;
	bool activity, met; /* met: QEMU said hello */
	struct parked *parked; /* in the order they came */
	uint8_t buf[BR_SIM_USB_CONTROL_MAX];
};

static size_t config_len(const struct br_sim_usb *u)
{
	return br_load_le16(u->device.config + 2);
}

static void flush(struct br_sim_usb *u)
{
	while (usbredirparser_has_data_to_write(u->parser))
		if (usbredirparser_do_write(u->parser) < 0)
			return; /* the reading side notices a closed socket */
}

static void on_log(void *priv, int level, const char *msg)
{
	/* the protocol's own trouble shows as QEMU going away */
}

static int on_read(void *priv, uint8_t *data, int count)
{
	struct br_sim_usb *u = priv;
	ssize_t n = recv(u->fd, data, (size_t)count, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return n ? (int)n : -1;
}

static int on_write(void *priv, uint8_t *data, int count)
{
	struct br_sim_usb *u = priv;
	ssize_t n = send(u->fd, data, (size_t)count, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static int get_descriptor(struct br_sim_usb *u, uint16_t value)
{
	const uint8_t *d = u->device.device;
	size_t n;

	switch (value >> 8) {
	case DESC_DEVICE:
		memcpy(u->buf, d, d[0]);
		return d[0];
	case DESC_CONFIG:
		n = config_len(u);
		memcpy(u->buf, u->device.config, n);
		return (int)n;
	case DESC_STRING:
		return u->device.ops->string ? u->device.ops->string(u->ctx, value & 0xff, u->buf) : -EPIPE;
	case DESC_QUALIFIER: {
		uint8_t q[10] = { sizeof(q), DESC_QUALIFIER, 0, 2, d[4], d[5], d[6], 64, 1, 0 };

		memcpy(u->buf, q, sizeof(q));
		return sizeof(q);
	}
	}
	return -EPIPE;
}

static int standard_request(struct br_sim_usb *u, const struct usb_redir_control_packet_header *h)
{
	bool in = h->requesttype & 0x80;

	switch (h->request) {
	case GET_DESCRIPTOR:
		return in ? get_descriptor(u, h->value) : -EPIPE;
	case GET_STATUS:
		u->buf[0] = u->buf[1] = 0;
		return 2;
	case GET_CONFIGURATION:
		u->buf[0] = u->configuration;
		return 1;
	case GET_INTERFACE:
		u->buf[0] = 0;
		return 1;
	case CLEAR_FEATURE:
		if (h->requesttype == TO_ENDPOINT && h->value == ENDPOINT_HALT && u->device.ops->clear_halt)
			return u->device.ops->clear_halt(u->ctx, (uint8_t)h->index);
		return 0;
	case SET_FEATURE:
	case SET_INTERFACE:
		return 0;
	}
	return -EPIPE;
}

/* ---- transfers, of which some wait ---- */

static uint8_t status_of(int r)
{
	return r >= 0 ? usb_redir_success : r == -ENODEV ? usb_redir_ioerror : usb_redir_stall;
}

/* -EAGAIN: nothing was answered. */
static int do_control(struct br_sim_usb *u, const struct parked *t)
{
	struct usb_redir_control_packet_header answer = t->control;
	const struct usb_redir_control_packet_header *h = &t->control;
	bool in = h->requesttype & 0x80, fits = t->len >= 0 && (size_t)t->len <= sizeof(u->buf);
	int n = -EPIPE;

	if (t->len > 0 && fits)
		memcpy(u->buf, t->data, (size_t)t->len);
	if ((h->requesttype & 0x60) == 0)
		n = standard_request(u, h);
	else if (fits)
		n = u->device.ops->control(u->ctx, h->requesttype, h->request, h->value, h->index, u->buf,
			in ? h->length : (size_t)t->len);
	if (n == -EAGAIN)
		return n;
	if (n > h->length)
		n = h->length;
	answer.status = status_of(n);
	answer.length = (uint16_t)(n < 0 ? 0 : in ? n : t->len);
	if (!in || n < 0)
		n = 0;
	usbredirparser_send_control_packet(u->parser, t->id, &answer, n ? u->buf : NULL, n);
	return 0;
}

static int do_bulk_out(struct br_sim_usb *u, const struct parked *t)
{
	struct usb_redir_bulk_packet_header answer = t->bulk;
	int r = u->device.ops->bulk_out(u->ctx, t->bulk.endpoint, t->data, t->len > 0 ? (size_t)t->len : 0);

	if (r == -EAGAIN)
		return r;
	answer.status = status_of(r);
	usbredirparser_send_bulk_packet(u->parser, t->id, &answer, NULL, 0);
	return 0;
}

static int offer(struct br_sim_usb *u, const struct parked *t)
{
	return t->is_control ? do_control(u, t) : do_bulk_out(u, t);
}

static void drop(struct br_sim_usb *u, struct parked *t)
{
	if (t->data)
		usbredirparser_free_packet_data(u->parser, t->data);
	free(t);
}

static bool waits_behind(const struct br_sim_usb *u, bool is_control)
{
	for (const struct parked *t = u->parked; t; t = t->next)
		if (t->is_control == is_control)
			return true;
	return false;
}

/* Answers a transfer, or keeps it. Takes its data. */
static void take(struct br_sim_usb *u, struct parked t)
{
	struct parked **last = &u->parked, *kept;

	/* nothing overtakes: the next one would be answered out of order */
	if (!waits_behind(u, t.is_control) && offer(u, &t) != -EAGAIN) {
		if (t.data)
			usbredirparser_free_packet_data(u->parser, t.data);
		flush(u);
		return;
	}
	kept = malloc(sizeof(*kept));
	if (!kept) { /* it stays unanswered: the host's patience ends it */
		if (t.data)
			usbredirparser_free_packet_data(u->parser, t.data);
		return;
	}
	*kept = t;
	while (*last)
		last = &(*last)->next;
	*last = kept;
}

void br_sim_usb_retry(struct br_sim_usb *u)
{
	bool stuck[2] = { false, false }; /* bulk, control */
	struct parked **at = &u->parked, *t;

	while ((t = *at)) {
		stuck[t->is_control] = stuck[t->is_control] || offer(u, t) == -EAGAIN;
		if (stuck[t->is_control]) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		drop(u, t);
	}
	flush(u);
}

static void drop_parked(struct br_sim_usb *u)
{
	struct parked *t;

	while ((t = u->parked)) {
		u->parked = t->next;
		drop(u, t);
	}
}

static void on_control(void *priv, uint64_t id, struct usb_redir_control_packet_header *h, uint8_t *data, int len)
{
	struct br_sim_usb *u = priv;

	u->activity = true;
	take(u, (struct parked){ .id = id, .is_control = true, .control = *h, .data = data, .len = len });
}

static void on_bulk(void *priv, uint64_t id, struct usb_redir_bulk_packet_header *h, uint8_t *data, int len)
{
	struct br_sim_usb *u = priv;

	u->activity = true;
	if (!(h->endpoint & 0x80)) {
		take(u, (struct parked){ .id = id, .bulk = *h, .data = data, .len = len });
		return;
	}
	u->device.ops->bulk_in(u->ctx, id, h->endpoint, h->length | (size_t)h->length_high << 16);
	if (data)
		usbredirparser_free_packet_data(u->parser, data);
	flush(u);
}

/* A transfer that waits here is answered as cancelled. */
static bool cancel_parked(struct br_sim_usb *u, uint64_t id)
{
	struct parked **at = &u->parked, *t;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	t = *at;
	if (!t)
		return false;
	*at = t->next;
	if (t->is_control) {
		t->control.status = usb_redir_cancelled;
		t->control.length = 0;
		usbredirparser_send_control_packet(u->parser, id, &t->control, NULL, 0);
		if (u->device.ops->control_cancel)
			u->device.ops->control_cancel(u->ctx);
	} else {
		t->bulk.status = usb_redir_cancelled;
		t->bulk.length = t->bulk.length_high = 0;
		usbredirparser_send_bulk_packet(u->parser, id, &t->bulk, NULL, 0);
	}
	drop(u, t);
	flush(u);
	return true;
}

static void on_cancel(void *priv, uint64_t id)
{
	struct br_sim_usb *u = priv;

	if (!cancel_parked(u, id))
		u->device.ops->bulk_cancel(u->ctx, id);
}

static void send_configuration(struct br_sim_usb *u, uint64_t id)
{
	struct usb_redir_configuration_status_header s = { .status = usb_redir_success,
		.configuration = u->configuration };

	usbredirparser_send_configuration_status(u->parser, id, &s);
	flush(u);
}

static void on_set_configuration(void *priv, uint64_t id, struct usb_redir_set_configuration_header *h)
{
	struct br_sim_usb *u = priv;

	u->configuration = h->configuration;
	send_configuration(u, id);
}

static void on_get_configuration(void *priv, uint64_t id)
{
	send_configuration(priv, id);
}

static void send_alt(struct br_sim_usb *u, uint64_t id, uint8_t interface, uint8_t alt)
{
	struct usb_redir_alt_setting_status_header s = { .status = usb_redir_success, .interface = interface, .alt = alt };

	usbredirparser_send_alt_setting_status(u->parser, id, &s);
	flush(u);
}

static void on_set_alt(void *priv, uint64_t id, struct usb_redir_set_alt_setting_header *h)
{
	send_alt(priv, id, h->interface, h->alt);
}

static void on_get_alt(void *priv, uint64_t id, struct usb_redir_get_alt_setting_header *h)
{
	send_alt(priv, id, h->interface, 0);
}

static void send_interrupt_status(struct br_sim_usb *u, uint64_t id, uint8_t ep)
{
	struct usb_redir_interrupt_receiving_status_header s = { .status = usb_redir_success, .endpoint = ep };

	usbredirparser_send_interrupt_receiving_status(u->parser, id, &s);
	flush(u);
}

static void on_start_interrupt(void *priv, uint64_t id, struct usb_redir_start_interrupt_receiving_header *h)
{
	struct br_sim_usb *u = priv;

	send_interrupt_status(u, id, h->endpoint);
	u->device.ops->interrupt_start(u->ctx, h->endpoint);
}

static void on_stop_interrupt(void *priv, uint64_t id, struct usb_redir_stop_interrupt_receiving_header *h)
{
	send_interrupt_status(priv, id, h->endpoint);
}

static void on_reset(void *priv)
{
	struct br_sim_usb *u = priv;

	u->device.ops->bus_reset(u->ctx);
}

static void on_hello(void *priv, struct usb_redir_hello_header *h)
{
	struct br_sim_usb *u = priv;

	u->met = true;
	if (!u->device.ops->absent || !u->device.ops->absent(u->ctx))
		br_sim_usb_plug(u);
}

/* Fills the tables that usbredir wants from the configuration descriptor. */
static void describe(const struct br_sim_usb *u, struct usb_redir_ep_info_header *ei,
	struct usb_redir_interface_info_header *ii)
{
	const uint8_t *c = u->device.config;
	uint8_t current = 0;

	memset(ei->type, usb_redir_type_invalid, sizeof(ei->type));
	ei->type[0] = ei->type[16] = usb_redir_type_control;
	ei->max_packet_size[0] = ei->max_packet_size[16] = u->device.device[7];
	for (size_t at = 0; at < config_len(u); at += c[at]) {
		const uint8_t *d = c + at;

		if (d[1] == DESC_INTERFACE && d[3] == 0) {
			uint32_t k = ii->interface_count++;

			ii->interface[k] = current = d[2];
			ii->interface_class[k] = d[5];
			ii->interface_subclass[k] = d[6];
			ii->interface_protocol[k] = d[7];
		} else if (d[1] == DESC_ENDPOINT) {
			int i = (d[2] & 0x80) >> 3 | (d[2] & 15);

			ei->type[i] = d[3] & 3;
			ei->interval[i] = d[6];
			ei->interface[i] = current;
			ei->max_packet_size[i] = br_load_le16(d + 4);
		}
	}
}

void br_sim_usb_plug(struct br_sim_usb *u)
{
	const uint8_t *d = u->device.device;
	struct usb_redir_ep_info_header ei = { 0 };
	struct usb_redir_interface_info_header ii = { 0 };
	struct usb_redir_device_connect_header connect = {
		.speed = usb_redir_speed_high,
		.device_class = d[4], .device_subclass = d[5], .device_protocol = d[6],
		.vendor_id = br_load_le16(d + 8), .product_id = br_load_le16(d + 10),
		.device_version_bcd = br_load_le16(d + 12),
	};

	if (!u->met)
		return;
	describe(u, &ei, &ii);
	usbredirparser_send_interface_info(u->parser, &ii);
	usbredirparser_send_ep_info(u->parser, &ei);
	usbredirparser_send_device_connect(u->parser, &connect);
	flush(u);
}

void br_sim_usb_unplug(struct br_sim_usb *u)
{
	drop_parked(u); /* the other side does so, too */
	u->configuration = 0;
	if (u->met)
		usbredirparser_send_device_disconnect(u->parser);
	flush(u);
}

void br_sim_usb_bulk_in(struct br_sim_usb *u, uint64_t id, uint8_t ep, enum br_sim_usb_status status,
	const uint8_t *data, size_t len)
{
	static const uint8_t codes[] = { usb_redir_success, usb_redir_stall, usb_redir_cancelled };
	struct usb_redir_bulk_packet_header h = { .endpoint = ep, .status = codes[status],
		.length = len & 0xffff, .length_high = (uint16_t)(len >> 16) };

	/* the parser copies; it only wants no const */
	usbredirparser_send_bulk_packet(u->parser, id, &h, (uint8_t *)(uintptr_t)data, (int)len);
	flush(u);
}

void br_sim_usb_interrupt_in(struct br_sim_usb *u, uint8_t ep, const uint8_t *data, size_t len)
{
	struct usb_redir_interrupt_packet_header h = { .endpoint = ep, .status = usb_redir_success,
		.length = (uint16_t)len };

	usbredirparser_send_interrupt_packet(u->parser, 0, &h, (uint8_t *)(uintptr_t)data, (int)len);
	flush(u);
}

void br_sim_usb_set_descriptors(struct br_sim_usb *u, const uint8_t *device, const uint8_t *config)
{
	u->device.device = device;
	u->device.config = config;
}

static void set_callbacks(struct usbredirparser *p)
{
	p->log_func = on_log;
	p->read_func = on_read;
	p->write_func = on_write;
	p->hello_func = on_hello;
	p->reset_func = on_reset;
	p->set_configuration_func = on_set_configuration;
	p->get_configuration_func = on_get_configuration;
	p->set_alt_setting_func = on_set_alt;
	p->get_alt_setting_func = on_get_alt;
	p->start_interrupt_receiving_func = on_start_interrupt;
	p->stop_interrupt_receiving_func = on_stop_interrupt;
	p->cancel_data_packet_func = on_cancel;
	p->control_packet_func = on_control;
	p->bulk_packet_func = on_bulk;
}

struct br_sim_usb *br_sim_usb_new(int fd, const struct br_sim_usb_device *device, void *ctx)
{
	struct br_sim_usb *u = calloc(1, sizeof(*u));
	uint32_t caps[USB_REDIR_CAPS_SIZE] = { 0 };

	if (!u || !(u->parser = usbredirparser_create())) {
		free(u);
		close(fd);
		return NULL;
	}
	u->fd = fd;
	u->device = *device;
	u->ctx = ctx;
	u->parser->priv = u;
	set_callbacks(u->parser);
	usbredirparser_caps_set_cap(caps, usb_redir_cap_connect_device_version);
	usbredirparser_caps_set_cap(caps, usb_redir_cap_ep_info_max_packet_size);
	usbredirparser_caps_set_cap(caps, usb_redir_cap_64bits_ids);
	usbredirparser_caps_set_cap(caps, usb_redir_cap_32bits_bulk_length);
	usbredirparser_init(u->parser, "bramble sim", caps, USB_REDIR_CAPS_SIZE, usbredirparser_fl_usb_host);
	flush(u);
	return u;
}

void br_sim_usb_free(struct br_sim_usb *u)
{
	if (!u)
		return;
	drop_parked(u);
	usbredirparser_destroy(u->parser);
	close(u->fd);
	free(u);
}

int br_sim_usb_ready(struct br_sim_usb *u, short revents)
{
	int r = 0;

	if (revents & (POLLIN | POLLHUP | POLLERR))
		r = usbredirparser_do_read(u->parser);
	flush(u);
	return r == usbredirparser_read_io_error ? -EPIPE : 0;
}

short br_sim_usb_events(const struct br_sim_usb *u)
{
	return usbredirparser_has_data_to_write(u->parser) ? POLLIN | POLLOUT : POLLIN;
}

int br_sim_usb_fd(const struct br_sim_usb *u)
{
	return u->fd;
}

bool br_sim_usb_take_activity(struct br_sim_usb *u)
{
	bool was = u->activity;

	u->activity = false;
	return was;
}
