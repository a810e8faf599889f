/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers, transmit and receive formats as the LAN9500 family's data sheet (Microchip
 * DS00001875) and the behaviour of the drivers give them. Frames to the guest are
 * queued in the chip's format and leave with the next bulk IN request.
 */
#include "sim/lan9514.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "sim/usbredir.h"

/* register addresses and bits that mean something here */
#define ID_REV	   0x00
#define INT_STS	   0x08
#define HW_CFG	   0x14
#define PM_CTRL	   0x20
#define E2P_CMD	   0x30
#define E2P_DATA   0x34
#define MAC_CR	   0x100
#define ADDRH	   0x104
#define ADDRL	   0x108
#define MII_ADDR   0x114
#define MII_DATA   0x118
#define COE_CR	   0x130
#define REGS	   0x140
#define HW_LRST	   0x8u
#define HW_MEF	   0x20u    /* several frames in one transfer */
#define HW_BIR	   0x1000u  /* an empty FIFO answers NAK; else a zero-length packet */
#define PM_PHY_RST 0x10u
#define CR_RXEN	   0x4u
#define CR_TXEN	   0x8u
#define CR_HPFILT  0x2000u
#define CR_PRMS	   0x40000u
#define CR_MCPAS   0x80000u
#define COE_RX	   0x1u

#define QUEUE	     512
#define SLOT	     2048
#define FRAME_LIMIT  1600
#define PENDING	     16
#define EEPROM	     512
#define EMPTY_NS     BR_MS	  /* how long an empty IN waits for a frame, so that a polling driver does not spin */
#define REPLUG_NS    (150 * BR_MS)

static const uint8_t device_descriptor[18] = { 18, 1, 0, 2, 0xff, 0, 1, 64, 0x24, 0x04, 0x00, 0xec, 0x00, 0x02, 0, 0, 0, 1 };
#define CONFIGURATION(total, n_endpoints) 9, 2, total, 0, 1, 1, 0, 0xe0, 1, 9, 4, 0, 0, n_endpoints, 0xff, 0, 0xff, 0
#define BULK 7, 5, 0x81, 2, 0x00, 0x02, 0, 7, 5, 0x02, 2, 0x00, 0x02, 0
static const uint8_t with_interrupt[] = { CONFIGURATION(39, 3), BULK, 7, 5, 0x83, 3, 0x10, 0x00, 4 };
static const uint8_t without_interrupt[] = { CONFIGURATION(32, 2), BULK };

struct in_request {
	uint64_t id;
	uint8_t ep;
	size_t max;
};

struct br_sim_lan9514 {
	struct br_sim_usb *usb;
	void (*send)(void *ctx, const uint8_t *frame, size_t len);
	void *ctx;
	uint32_t reg[REGS / 4];
	uint16_t phy[32];
	uint8_t eeprom[EEPROM];
	struct in_request pending[PENDING];
	size_t n_pending;
	struct {
		size_t len;
		uint8_t b[SLOT];
	} queue[QUEUE];
	size_t head, tail; /* head == tail: empty */
	uint8_t tx[4096];  /* a transfer that comes in packets of 512 bytes (QEMU's dwc2 splits) */
	size_t n_tx;
	uint64_t now_ns, empty_ns, plug_ns;
	unsigned n_resets; /* in a row, without a request between them */
};

static uint32_t *reg(struct br_sim_lan9514 *n, unsigned at)
{
	return &n->reg[at / 4];
}

static void phy_reset(struct br_sim_lan9514 *n)
{
	/* IEEE 802.3 registers: autonegotiated, 100 Mbit/s full duplex, link up; the rest is the PHY's identity */
	static const struct {
		uint8_t at;
		uint16_t v;
	} init[] = { { 0, 0x3100 }, { 1, 0x782d }, { 2, 0x0007 }, { 3, 0xc0c3 }, { 4, 0x01e1 }, { 5, 0x45e1 }, { 6, 1 },
		{ 31, 0x1058 } };

	memset(n->phy, 0, sizeof(n->phy));
	for (size_t i = 0; i < sizeof(init) / sizeof(init[0]); i++)
		n->phy[init[i].at] = init[i].v;
}

static void mac_reset(struct br_sim_lan9514 *n)
{
	memset(n->reg, 0, sizeof(n->reg));
	*reg(n, ID_REV) = 0xec000002;
	*reg(n, ADDRH) = 0xffff;
	*reg(n, ADDRL) = 0xffffffff;
	phy_reset(n);
}

static void phy_write(struct br_sim_lan9514 *n, unsigned at, uint16_t v)
{
	if (at == 1 || at == 2 || at == 3)
		return; /* read only */
	if (at == 0 && v & 0x8000)
		phy_reset(n);
	else
		n->phy[at] = at == 0 ? v & (uint16_t)~0x0200u : v;
}

static void mii_command(struct br_sim_lan9514 *n, uint32_t v)
{
	unsigned id = v >> 11 & 31, at = v >> 6 & 31;

	if (v & 2 && id == 1)
		phy_write(n, at, (uint16_t)*reg(n, MII_DATA));
	else if (!(v & 2))
		*reg(n, MII_DATA) = id == 1 ? n->phy[at] : 0xffff;
	*reg(n, MII_ADDR) = v & ~1u; /* done at once */
}

static void reg_write(struct br_sim_lan9514 *n, uint16_t at, uint32_t v)
{
	switch (at) {
	case ID_REV:
		return;
	case INT_STS:
		*reg(n, at) &= ~v;
		return;
	case HW_CFG:
		*reg(n, at) = v & ~HW_LRST;
		return;
	case PM_CTRL:
		if (v & PM_PHY_RST)
			phy_reset(n);
		*reg(n, at) = v & ~PM_PHY_RST;
		return;
	case E2P_CMD: /* read a byte: busy clear, EPC_TIMEOUT clear, data valid */
		*reg(n, E2P_DATA) = n->eeprom[v & (EEPROM - 1)];
		*reg(n, at) = (v & 0x7ffffbff) | 0x200;
		return;
	case MII_ADDR:
		mii_command(n, v);
		return;
	default:
		if (at < REGS)
			*reg(n, at) = v;
	}
}

static int on_control(void *ctx, uint8_t type, uint8_t request, uint16_t value, uint16_t index, uint8_t *data, size_t len)
{
	struct br_sim_lan9514 *n = ctx;
	bool in = type & 0x80;

	if (request == 0xa1 && in && len >= 4) {
		br_store_le32(data, index < REGS ? *reg(n, index) : 0);
		return 4;
	}
	if (request == 0xa0 && !in && len >= 4) {
		reg_write(n, index & 0xfffc, br_load_le32(data));
		return 0;
	}
	if (request == 0xa2 && in) { /* statistics */
		memset(data, 0, len);
		return (int)len;
	}
	return -EPIPE;
}

static uint16_t sum16(const uint8_t *p, size_t n)
{
	uint32_t s = 0;

	for (; n >= 2; p += 2, n -= 2)
		s += br_load_le16(p);
	if (n)
		s += *p;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

/* Transmit checksum: a preamble of two 16-bit places, where to start and where to put it. */
static void fill_checksum(uint8_t **f, size_t *len)
{
	size_t start = br_load_le16(*f), at = br_load_le16(*f + 2);

	*f += 4;
	*len -= 4;
	if (start <= *len && at + 2 <= *len)
		br_store_le16(*f + at, (uint16_t)~sum16(*f + start, *len - start));
}

static int on_bulk_out(void *ctx, uint8_t ep, const uint8_t *data, size_t len)
{
	struct br_sim_lan9514 *n = ctx;
	uint32_t a, b;
	size_t frame_len, offset;
	uint8_t *f;

	if (n->n_tx + len > sizeof(n->tx)) {
		n->n_tx = 0; /* no transfer is so long: start anew */
		return 0;
	}
	if (len)
		memcpy(n->tx + n->n_tx, data, len);
	n->n_tx += len;
	a = n->n_tx >= 8 ? br_load_le32(n->tx) : 0;
	b = n->n_tx >= 8 ? br_load_le32(n->tx + 4) : 0;
	frame_len = a & 0x7ff;
	offset = 8 + (a >> 16 & 3);
	if (n->n_tx < 8 || offset + frame_len > n->n_tx) {
		if (len < 512)
			n->n_tx = 0; /* a short packet ends the transfer: it was cut */
		return 0;
	}
	n->n_tx = 0;
	f = n->tx + offset;
	if (b & 0x4000 && frame_len > 4)
		fill_checksum(&f, &frame_len);
	if (*reg(n, MAC_CR) & CR_TXEN)
		n->send(n->ctx, f, frame_len);
	return 0;
}

static bool wanted(struct br_sim_lan9514 *n, const uint8_t *f)
{
	static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };
	uint32_t cr = *reg(n, MAC_CR);
	uint8_t me[6];

	br_store_le32(me, *reg(n, ADDRL));
	br_store_le16(me + 4, (uint16_t)*reg(n, ADDRH));
	if (!(cr & CR_RXEN))
		return false;
	if (cr & CR_PRMS || !memcmp(f, broadcast, 6))
		return true;
	return f[0] & 1 ? (cr & (CR_MCPAS | CR_HPFILT)) != 0 : !memcmp(f, me, 6);
}

/* Status word, padding for alignment, the frame with its FCS (left zero), and its sum when asked for. */
static void enqueue(struct br_sim_lan9514 *n, const uint8_t *f, size_t len)
{
	uint8_t *o = n->queue[n->tail].b;
	size_t padded = len < 60 ? 60 : len, align = *reg(n, HW_CFG) >> 9 & 3, at = 4 + align, told = padded + 4;
	bool sum = *reg(n, COE_CR) & COE_RX, bc = f[0] == 255;
	uint32_t kind = bc ? 0x2000 : f[0] & 1 ? 0x400 : 0;

	memset(o, 0, SLOT);
	memcpy(o + at, f, len);
	if (sum) {
		br_store_le16(o + at + padded + 4, sum16(o + at + 14, padded - 14));
		told += 2;
	}
	br_store_le32(o, (uint32_t)told << 16 | kind | 0x20);
	n->queue[n->tail].len = 4 + ((told + align + 3) & ~(size_t)3);
	n->tail = (n->tail + 1) % QUEUE;
}

static void answer(struct br_sim_lan9514 *n, const uint8_t *data, size_t len)
{
	struct in_request q = n->pending[0];

	n->n_pending--;
	memmove(n->pending, n->pending + 1, n->n_pending * sizeof(n->pending[0]));
	br_sim_usb_bulk_in(n->usb, q.id, q.ep, BR_SIM_USB_OK, data, len);
}

static void pump(struct br_sim_lan9514 *n)
{
	static _Thread_local uint8_t buf[65536];

	while (n->n_pending && n->head != n->tail) {
		size_t max = n->pending[0].max < sizeof(buf) ? n->pending[0].max : sizeof(buf), len = 0;

		while (n->head != n->tail && len + n->queue[n->head].len <= max) {
			memcpy(buf + len, n->queue[n->head].b, n->queue[n->head].len);
			len += n->queue[n->head].len;
			n->head = (n->head + 1) % QUEUE;
			if (!(*reg(n, HW_CFG) & HW_MEF))
				break;
		}
		if (len)
			answer(n, buf, len);
		else
			n->head = (n->head + 1) % QUEUE; /* larger than any request: lost */
	}
}

void br_sim_lan9514_frame(struct br_sim_lan9514 *n, const uint8_t *frame, size_t len)
{
	if (len < 14 || len > FRAME_LIMIT || !wanted(n, frame) || (n->tail + 1) % QUEUE == n->head)
		return;
	enqueue(n, frame, len);
	pump(n);
}

static void on_bulk_in(void *ctx, uint64_t id, uint8_t ep, size_t max)
{
	struct br_sim_lan9514 *n = ctx;

	if (n->n_pending == PENDING) {
		br_sim_usb_bulk_in(n->usb, id, ep, BR_SIM_USB_STALL, NULL, 0);
		return;
	}
	n->pending[n->n_pending++] = (struct in_request){ id, ep, max };
	pump(n);
	if (n->n_pending && !(*reg(n, HW_CFG) & HW_BIR) && !n->empty_ns)
		n->empty_ns = n->now_ns + EMPTY_NS;
}

static void on_bulk_cancel(void *ctx, uint64_t id)
{
	struct br_sim_lan9514 *n = ctx;

	for (size_t i = 0; i < n->n_pending; i++) {
		struct in_request q = n->pending[i];

		if (q.id != id)
			continue;
		n->n_pending--;
		memmove(n->pending + i, n->pending + i + 1, (n->n_pending - i) * sizeof(q));
		br_sim_usb_bulk_in(n->usb, q.id, q.ep, BR_SIM_USB_CANCELLED, NULL, 0);
		return;
	}
}

static void on_interrupt_start(void *ctx, uint8_t ep)
{
	static const uint8_t phy_changed[4] = { 0, 0x80, 0, 0 };
	struct br_sim_lan9514 *n = ctx;

	br_sim_usb_interrupt_in(n->usb, ep, phy_changed, sizeof(phy_changed));
}

/*
 * QEMU's dwc2 has no core reset: a system that takes over the controller while the
 * device is connected (Linux after U-Boot's "usb stop") never sees it come. So two bus
 * resets in a row without a request between them make the device replug itself.
 */
static void on_bus_reset(void *ctx)
{
	struct br_sim_lan9514 *n = ctx;

	n->n_pending = n->n_tx = 0;
	n->head = n->tail = 0;
	n->empty_ns = 0;
	mac_reset(n);
	if (br_sim_usb_take_activity(n->usb))
		n->n_resets = 0;
	if (++n->n_resets == 2 && !n->plug_ns) {
		n->n_resets = 0;
		br_sim_usb_unplug(n->usb);
		n->plug_ns = n->now_ns + REPLUG_NS;
	}
}

static const struct br_sim_usb_ops ops = {
	.control = on_control, .bulk_out = on_bulk_out, .bulk_in = on_bulk_in, .bulk_cancel = on_bulk_cancel,
	.interrupt_start = on_interrupt_start, .bus_reset = on_bus_reset,
};

struct br_sim_lan9514 *br_sim_lan9514_new(int fd, struct br_mac mac, bool interrupt,
	void (*send)(void *ctx, const uint8_t *frame, size_t len), void *ctx)
{
	const struct br_sim_usb_device device = { device_descriptor, interrupt ? with_interrupt : without_interrupt, &ops };
	struct br_sim_lan9514 *n = calloc(1, sizeof(*n));

	if (n)
		n->usb = br_sim_usb_new(fd, &device, n);
	else
		close(fd);
	if (!n || !n->usb) {
		free(n);
		return NULL;
	}
	n->send = send;
	n->ctx = ctx;
	n->eeprom[0] = 0xa5; /* programmed */
	memcpy(n->eeprom + 1, mac.b, 6);
	mac_reset(n);
	return n;
}

void br_sim_lan9514_free(struct br_sim_lan9514 *n)
{
	if (!n)
		return;
	br_sim_usb_free(n->usb);
	free(n);
}

int br_sim_lan9514_fd(const struct br_sim_lan9514 *n)
{
	return br_sim_usb_fd(n->usb);
}

short br_sim_lan9514_events(const struct br_sim_lan9514 *n)
{
	return br_sim_usb_events(n->usb);
}

int br_sim_lan9514_ready(struct br_sim_lan9514 *n, short revents, uint64_t now_ns)
{
	n->now_ns = now_ns;
	return br_sim_usb_ready(n->usb, revents);
}

uint64_t br_sim_lan9514_deadline(const struct br_sim_lan9514 *n)
{
	uint64_t a = n->empty_ns ? n->empty_ns : UINT64_MAX, b = n->plug_ns ? n->plug_ns : UINT64_MAX;

	return a < b ? a : b;
}

void br_sim_lan9514_tick(struct br_sim_lan9514 *n, uint64_t now_ns)
{
	n->now_ns = now_ns;
	if (n->plug_ns && now_ns >= n->plug_ns) {
		n->plug_ns = 0;
		br_sim_usb_plug(n->usb);
	}
	if (n->empty_ns && now_ns >= n->empty_ns) {
		n->empty_ns = 0;
		while (n->n_pending)
			answer(n, NULL, 0);
	}
}
