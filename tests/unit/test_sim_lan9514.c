/* SPDX-License-Identifier: Apache-2.0 */
/* The emulated network card as a driver sees it: the test is the USB host, over usbredir. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <usbredirparser.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "sim/lan9514.h"

#define HW_CFG	0x14
#define E2P_CMD 0x30
#define E2P_DATA 0x34
#define MAC_CR	0x100
#define ADDRH	0x104
#define ADDRL	0x108
#define MII_ADDR 0x114
#define MII_DATA 0x118

static const struct br_mac mac = { { 0xb8, 0x27, 0xeb, 1, 2, 3 } };

struct host {
	int fd;
	struct usbredirparser *parser;
	struct br_sim_lan9514 *card;
	unsigned n_connects, n_disconnects;
	uint16_t vendor, product;
	int status; /* of the last answer; -1: none yet */
	uint8_t data[4096];
	size_t len;
	uint8_t sent[2048]; /* what the card put on the wire */
	size_t n_sent;
};

static void on_log(void *priv, int level, const char *msg)
{
}

static int on_read(void *priv, uint8_t *data, int count)
{
	struct host *h = priv;
	ssize_t n = recv(h->fd, data, (size_t)count, MSG_DONTWAIT);

	return n < 0 ? 0 : (int)n;
}

static int on_write(void *priv, uint8_t *data, int count)
{
	struct host *h = priv;

	return (int)send(h->fd, data, (size_t)count, MSG_NOSIGNAL);
}

static void on_connect(void *priv, struct usb_redir_device_connect_header *c)
{
	struct host *h = priv;

	h->n_connects++;
	h->vendor = c->vendor_id;
	h->product = c->product_id;
}

static void on_disconnect(void *priv)
{
	struct host *h = priv;

	h->n_disconnects++;
}

static void keep(struct host *h, int status, uint8_t *data, int len)
{
	h->status = status;
	h->len = len > 0 ? (size_t)len : 0;
	if (h->len)
		memcpy(h->data, data, h->len);
	if (data)
		usbredirparser_free_packet_data(h->parser, data);
}

static void on_control(void *priv, uint64_t id, struct usb_redir_control_packet_header *c, uint8_t *data, int len)
{
	keep(priv, c->status, data, len);
}

static void on_bulk(void *priv, uint64_t id, struct usb_redir_bulk_packet_header *b, uint8_t *data, int len)
{
	keep(priv, b->status, data, len);
}

static void on_interrupt(void *priv, uint64_t id, struct usb_redir_interrupt_packet_header *i, uint8_t *data, int len)
{
	keep(priv, i->status, data, len);
}

static void on_hello(void *priv, struct usb_redir_hello_header *hello)
{
}

static void on_ep_info(void *priv, struct usb_redir_ep_info_header *e)
{
}

static void on_interface_info(void *priv, struct usb_redir_interface_info_header *i)
{
}

static void on_configuration(void *priv, uint64_t id, struct usb_redir_configuration_status_header *c)
{
	keep(priv, c->status, NULL, 0);
}

static void on_alt(void *priv, uint64_t id, struct usb_redir_alt_setting_status_header *a)
{
	keep(priv, a->status, NULL, 0);
}

static void on_interrupt_status(void *priv, uint64_t id, struct usb_redir_interrupt_receiving_status_header *i)
{
}

static void on_sent(void *ctx, const uint8_t *frame, size_t len)
{
	struct host *h = ctx;

	assert_true(len <= sizeof(h->sent));
	memcpy(h->sent, frame, len);
	h->n_sent = len;
}

/* Lets both sides speak until neither has anything to say. */
static void pump(struct host *h)
{
	for (int i = 0; i < 8; i++) {
		while (usbredirparser_has_data_to_write(h->parser))
			assert_int_equal(usbredirparser_do_write(h->parser), 0);
		assert_int_equal(br_sim_lan9514_ready(h->card, POLLIN, 1), 0);
		assert_int_equal(usbredirparser_do_read(h->parser), 0);
	}
}

static void open_host_with(struct host *h, bool interrupt)
{
	uint32_t caps[USB_REDIR_CAPS_SIZE] = { 0 };
	int fd[2];

	*h = (struct host){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	h->fd = fd[0];
	h->card = br_sim_lan9514_new(fd[1], mac, interrupt, on_sent, h);
	assert_non_null(h->card);
	h->parser = usbredirparser_create();
	h->parser->priv = h;
	h->parser->log_func = on_log;
	h->parser->read_func = on_read;
	h->parser->write_func = on_write;
	h->parser->hello_func = on_hello;
	h->parser->device_connect_func = on_connect;
	h->parser->device_disconnect_func = on_disconnect;
	h->parser->ep_info_func = on_ep_info;
	h->parser->interface_info_func = on_interface_info;
	h->parser->configuration_status_func = on_configuration;
	h->parser->alt_setting_status_func = on_alt;
	h->parser->interrupt_receiving_status_func = on_interrupt_status;
	h->parser->control_packet_func = on_control;
	h->parser->bulk_packet_func = on_bulk;
	h->parser->interrupt_packet_func = on_interrupt;
	usbredirparser_caps_set_cap(caps, usb_redir_cap_connect_device_version);
	usbredirparser_caps_set_cap(caps, usb_redir_cap_ep_info_max_packet_size);
	usbredirparser_caps_set_cap(caps, usb_redir_cap_64bits_ids);
	usbredirparser_caps_set_cap(caps, usb_redir_cap_32bits_bulk_length);
	usbredirparser_init(h->parser, "test", caps, USB_REDIR_CAPS_SIZE, 0);
	pump(h);
}

static void open_host(struct host *h)
{
	open_host_with(h, true);
}

static void close_host(struct host *h)
{
	br_sim_lan9514_free(h->card);
	usbredirparser_destroy(h->parser);
	close(h->fd);
}

static int control(struct host *h, uint8_t type, uint8_t request, uint16_t value, uint16_t index, uint16_t len, uint8_t *data)
{
	struct usb_redir_control_packet_header c = { .endpoint = type & 0x80, .request = request, .requesttype = type,
		.value = value, .index = index, .length = len };

	h->status = -1;
	usbredirparser_send_control_packet(h->parser, 7, &c, type & 0x80 ? NULL : data, type & 0x80 ? 0 : len);
	pump(h);
	return h->status;
}

static uint32_t reg_read(struct host *h, uint16_t at)
{
	assert_int_equal(control(h, 0xc0, 0xa1, 0, at, 4, NULL), usb_redir_success);
	assert_int_equal(h->len, 4);
	return br_load_le32(h->data);
}

static void reg_write(struct host *h, uint16_t at, uint32_t v)
{
	uint8_t b[4];

	br_store_le32(b, v);
	assert_int_equal(control(h, 0x40, 0xa0, 0, at, 4, b), usb_redir_success);
}

static void bulk_out(struct host *h, uint8_t *data, size_t len)
{
	struct usb_redir_bulk_packet_header b = { .endpoint = 2, .length = (uint16_t)len };

	h->status = -1;
	usbredirparser_send_bulk_packet(h->parser, 8, &b, data, (int)len);
	pump(h);
	assert_int_equal(h->status, usb_redir_success);
}

static void ask_bulk_in(struct host *h, uint16_t max)
{
	struct usb_redir_bulk_packet_header b = { .endpoint = 0x81, .length = max };

	h->status = -1;
	usbredirparser_send_bulk_packet(h->parser, 9, &b, NULL, 0);
	pump(h);
}

static void it_is_found_as_a_lan9514(void **state)
{
	struct host h;

	open_host(&h);
	assert_int_equal(h.n_connects, 1);
	assert_int_equal(h.vendor, 0x0424);
	assert_int_equal(h.product, 0xec00);
	assert_int_equal(control(&h, 0x80, 6, 0x0100, 0, 64, NULL), usb_redir_success);
	assert_int_equal(h.len, 18);
	assert_int_equal(control(&h, 0x80, 6, 0x0200, 0, 9, NULL), usb_redir_success);
	assert_int_equal(h.len, 9); /* never more than was asked for */
	assert_int_equal(control(&h, 0x80, 6, 0x0200, 0, 255, NULL), usb_redir_success);
	assert_int_equal(h.len, 39);
	assert_int_equal(h.data[9 + 4], 3); /* endpoints */
	assert_int_equal(control(&h, 0x80, 6, 0x0300, 0, 255, NULL), usb_redir_stall);
	assert_int_equal(control(&h, 0xc0, 0x55, 0, 0, 4, NULL), usb_redir_stall);
	close_host(&h);
	open_host_with(&h, false);
	assert_int_equal(control(&h, 0x80, 6, 0x0200, 0, 255, NULL), usb_redir_success);
	assert_int_equal(h.len, 32);
	assert_int_equal(h.data[9 + 4], 2);
	close_host(&h);
}

static void registers_answer(void **state)
{
	struct host h;

	open_host(&h);
	assert_int_equal(reg_read(&h, 0), 0xec000002);
	reg_write(&h, HW_CFG, 0x8); /* a reset ends by itself */
	assert_int_equal(reg_read(&h, HW_CFG), 0);
	for (uint32_t i = 0; i < 6; i++) {
		reg_write(&h, E2P_CMD, 0x80000000u | (1 + i));
		assert_int_equal(reg_read(&h, E2P_CMD) & 0x80000400u, 0);
		assert_int_equal(reg_read(&h, E2P_DATA), mac.b[i]);
	}
	reg_write(&h, MII_ADDR, 1u << 11 | 1u << 6 | 1); /* BMSR */
	assert_int_equal(reg_read(&h, MII_DATA) & 0x24, 0x24);
	reg_write(&h, 0xfffc, 1); /* beyond all registers */
	assert_int_equal(reg_read(&h, 0xfffc), 0);
	close_host(&h);
}

static void start_mac(struct host *h)
{
	reg_write(h, ADDRL, br_load_le32(mac.b));
	reg_write(h, ADDRH, br_load_le16(mac.b + 4));
	reg_write(h, HW_CFG, 0x1000); /* an empty FIFO answers nothing */
	reg_write(h, MAC_CR, 0xc);
}

static void frames_go_out(void **state)
{
	struct host h;
	uint8_t t[8 + 700] = { 0 };

	open_host(&h);
	br_store_le32(t, 0x3000 | 60);
	memset(t + 8, 0xab, 60);
	bulk_out(&h, t, 68);
	assert_int_equal(h.n_sent, 0); /* the transmitter is off */
	start_mac(&h);
	bulk_out(&h, t, 68);
	assert_int_equal(h.n_sent, 60);
	assert_int_equal(h.sent[59], 0xab);
	h.n_sent = 0;
	br_store_le32(t, 0x3000 | 700); /* in two packets, as dwc2 splits it */
	bulk_out(&h, t, 512);
	assert_int_equal(h.n_sent, 0);
	bulk_out(&h, t + 512, 8 + 700 - 512);
	assert_int_equal(h.n_sent, 700);
	h.n_sent = 0;
	bulk_out(&h, t, 100); /* cut short: dropped, and the next one is fine */
	br_store_le32(t, 0x3000 | 60);
	bulk_out(&h, t, 68);
	assert_int_equal(h.n_sent, 60);
	/* the card computes a checksum: of 4 bytes from 0, put at 4 */
	memset(t + 8, 0, 60);
	br_store_le32(t, 0x3000 | 64);
	br_store_le32(t + 4, 0x4000 | 64);
	br_store_le16(t + 8, 0);
	br_store_le16(t + 10, 4);
	br_store_le32(t + 12, 0x00010002);
	bulk_out(&h, t, 72);
	assert_int_equal(h.n_sent, 60);
	assert_int_equal(br_load_le16(h.sent + 4), (uint16_t)~3u);
	close_host(&h);
}

static void frames_come_in(void **state)
{
	struct host h;
	uint8_t f[100] = { 0 };

	open_host(&h);
	start_mac(&h);
	memcpy(f, mac.b, 6);
	f[99] = 0x77;
	ask_bulk_in(&h, 2048);
	assert_int_equal(h.status, -1); /* waits */
	br_sim_lan9514_frame(h.card, f, sizeof(f));
	pump(&h);
	assert_int_equal(h.status, usb_redir_success);
	assert_int_equal(br_load_le32(h.data) >> 16 & 0x3fff, sizeof(f) + 4);
	assert_int_equal(h.data[4 + 99], 0x77);
	f[5]++; /* somebody else's */
	br_sim_lan9514_frame(h.card, f, sizeof(f));
	ask_bulk_in(&h, 2048);
	assert_int_equal(h.status, -1);
	reg_write(&h, HW_CFG, 0); /* now an empty FIFO answers with nothing, after a moment */
	ask_bulk_in(&h, 2048);
	assert_true(br_sim_lan9514_deadline(h.card) < BR_S);
	h.status = -1;
	br_sim_lan9514_tick(h.card, br_sim_lan9514_deadline(h.card));
	pump(&h);
	assert_int_equal(h.status, usb_redir_success);
	assert_int_equal(h.len, 0);
	for (int i = 0; i < 2000; i++) /* a full queue drops */
		br_sim_lan9514_frame(h.card, mac.b, 6);
	f[5]--;
	for (int i = 0; i < 2000; i++)
		br_sim_lan9514_frame(h.card, f, sizeof(f));
	close_host(&h);
}

/* QEMU's dwc2: a system that takes over sees the card only when it is plugged in anew. */
static void two_resets_replug_it(void **state)
{
	struct host h;

	open_host(&h);
	for (int i = 0; i < 3; i++) {
		usbredirparser_send_reset(h.parser);
		pump(&h);
	}
	assert_int_equal(h.n_disconnects, 1);
	assert_int_equal(h.n_connects, 1);
	br_sim_lan9514_tick(h.card, br_sim_lan9514_deadline(h.card));
	pump(&h);
	assert_int_equal(h.n_connects, 2);
	close_host(&h);
}

static void a_lost_host_is_noticed(void **state)
{
	struct host h;

	open_host(&h);
	shutdown(h.fd, SHUT_RDWR);
	assert_int_equal(br_sim_lan9514_ready(h.card, POLLIN | POLLHUP, 1), -EPIPE);
	close_host(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_found_as_a_lan9514),
		cmocka_unit_test(registers_answer),
		cmocka_unit_test(frames_go_out),
		cmocka_unit_test(frames_come_in),
		cmocka_unit_test(two_resets_replug_it),
		cmocka_unit_test(a_lost_host_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
