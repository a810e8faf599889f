/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual board against a hostile server. Byte 0: the model; then records: a kind, a
 * length, bytes. Kinds: 0 a frame as it is, 1 BOOTP options in an OFFER or ACK that
 * fits, 2 a TFTP payload for the running transfer, 3 time passes, 4 a console's output.
 * Addresses, ports and checksums of kinds 1 and 2 are made right, so that the bytes get in.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "sim/board.h"
#include "sim/console.h"
#include "sim/fdt.h"
#include "tests/unit/simframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SERVER	 0x0a4d0001u
#define ADDRESS	 0x0a4d0064u
#define TFTP_TID 2000

static uint16_t board_port; /* of its last packet */
static uint32_t xid;

static void on_send(void *ctx, const uint8_t *f, size_t len)
{
	if (len < 42 || br_load_be16(f + 12) != 0x0800)
		return;
	board_port = br_load_be16(f + 34);
	if (br_load_be16(f + 36) == 67)
		xid = br_load_be32(f + 46);
}

static void on_event(void *ctx, const struct br_sim_event *e)
{
	if (!e->name || !e->text || !e->stage)
		abort();
}

static const uint8_t mac[6] = { 0xb8, 0x27, 0xeb, 0, 0, 1 };

static const uint8_t server_mac[6] = { 2, 0, 0, 0, 0, 1 };

static size_t wrap(uint8_t *f, uint32_t dst, uint16_t from, uint16_t to, const uint8_t *data, size_t n)
{
	return simframe_udp(f, mac, server_mac, SERVER, dst, from, to, data, n);
}

static size_t wrap_dhcp(uint8_t *f, const uint8_t *options, size_t n)
{
	uint8_t b[240 + 256] = { 0 };

	br_store_be32(b, 0x02010600);
	br_store_be32(b + 4, xid);
	br_store_be32(b + 16, ADDRESS);
	memcpy(b + 28, mac, 6);
	br_store_be32(b + 236, 0x63825363);
	memcpy(b + 240, options, n);
	return wrap(f, 0xffffffff, 67, 68, b, 240 + n);
}

static void record(struct br_sim_board *b, struct br_sim_console *c, uint64_t *now, uint8_t kind, const uint8_t *p,
	size_t n)
{
	uint8_t f[2048];
	size_t len;

	switch (kind % 5) {
	case 0:
		br_sim_board_frame(b, *now, p, n, false);
		br_sim_board_frame(b, *now, p, n, true);
		break;
	case 1:
		len = wrap_dhcp(f, p, n);
		br_sim_board_frame(b, *now, f, len, false);
		len = simframe_arp(f, mac, server_mac, SERVER, ADDRESS); /* always right: it is not what is tested */
		br_sim_board_frame(b, *now, f, len, false);
		break;
	case 2:
		len = wrap(f, ADDRESS, TFTP_TID, board_port, p, n);
		br_sim_board_frame(b, *now, f, len, false);
		break;
	case 3:
		if (br_sim_board_deadline(b) != UINT64_MAX && br_sim_board_deadline(b) > *now)
			*now = br_sim_board_deadline(b);
		br_sim_board_step(b, *now);
		break;
	case 4:
		br_sim_console_add(c, (const char *)p, n);
		br_sim_fdt_prop(p, n, "a", "bcm2711", &len);
		br_sim_fdt_has_node(p, n, "");
		memcpy(f, p, n);
		br_sim_fdt_remove(f, n, "a");
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct br_sim_console console;
	struct br_reader r = br_reader_of(data, size);
	struct br_sim_board_config config = {
		.model = &br_sim_models[br_get_u8(&r) & 3], .serial = 0x5b000001, .keep = true,
		.send = on_send, .event = on_event,
	};
	struct br_sim_board *b;
	uint64_t now = 1;

	memcpy(config.mac.b, mac, 6);
	b = br_sim_board_new(&config);
	if (!b)
		return 0;
	console.len = console.n_kept = 0;
	br_sim_board_step(b, now);
	for (int i = 0; i < 400 && br_reader_left(&r); i++) {
		uint8_t kind = br_get_u8(&r);
		size_t n = br_get_u8(&r);
		const uint8_t *p = br_reader_take(&r, n);
		uint8_t copy[256];

		if (!p)
			break;
		memcpy(copy, p, n);
		record(b, &console, &now, kind, copy, n);
	}
	br_sim_board_free(b);
	return 0;
}
