/* SPDX-License-Identifier: Apache-2.0 */
/* A DHCP server of few lines, and wrong in all that matters to a Raspberry Pi. */
#include "sim/rogue.h"

#include <string.h>

#include "base/bytes.h"
#include "wire/dhcp.h"

#define BOOTP_AT  42 /* behind Ethernet, IPv4 without options, UDP */
#define HEAD	  240
#define MASK	  0xfffe0000u
#define LEASE_S	  3600

static const uint8_t rogue_mac[6] = { 0x02, 0, 0, 0xde, 0xad, 1 };
/* sub-options 6, 9 and 10: discovery control, one item, prompt */
static const char menu[] = "\x06\x01\x08\x09\x0c\x80\x00\x09PC set-up\x0a\x06\x05Menu:\xff";
static const char file[] = "pxelinux.0";

static void put_option(struct br_writer *w, uint8_t code, const void *data, size_t n)
{
	br_put_u8(w, code);
	br_put_u8(w, (uint8_t)n);
	br_put_bytes(w, data, n);
}

static void put_option_u32(struct br_writer *w, uint8_t code, uint32_t v)
{
	br_put_u8(w, code);
	br_put_u8(w, 4);
	br_put_be32(w, v);
}

/* The value of an option of one or four bytes; 0 when it is not there. */
static uint32_t find_option(const uint8_t *options, size_t n, uint8_t wanted)
{
	struct br_reader r = br_reader_of(options, n);

	while (br_reader_left(&r)) {
		uint8_t code = br_get_u8(&r), len;
		const uint8_t *v;

		if (code == 255)
			break;
		if (!code)
			continue;
		len = br_get_u8(&r);
		v = br_reader_take(&r, len);
		if (v && code == wanted)
			return len == 4 ? br_load_be32(v) : len == 1 ? v[0] : 0;
	}
	return 0;
}

#define PAYLOAD 340

static void put_headers(uint8_t out[static BR_SIM_ROGUE_MAX], const uint8_t *board_mac)
{
	uint8_t *ip = out + 14, *udp = ip + 20;
	uint32_t sum = 0;

	memset(out, 0, BR_SIM_ROGUE_MAX);
	memcpy(out, board_mac, 6);
	memcpy(out + 6, rogue_mac, 6);
	br_store_be16(out + 12, 0x0800);
	br_store_be16(ip, 0x4500);
	br_store_be16(ip + 2, 20 + 8 + PAYLOAD);
	br_store_be16(ip + 8, 64 << 8 | 17);
	br_store_be32(ip + 12, BR_SIM_ROGUE_IP);
	br_store_be32(ip + 16, 0xffffffff);
	for (int i = 0; i < 20; i += 2)
		sum += br_load_be16(ip + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	br_store_be16(ip + 10, (uint16_t)~sum);
	br_store_be16(udp, 67);
	br_store_be16(udp + 2, 68);
	br_store_be16(udp + 4, 8 + PAYLOAD); /* no checksum */
}

static size_t build(const uint8_t *query, size_t board, uint8_t type, uint8_t out[static BR_SIM_ROGUE_MAX])
{
	uint8_t *bootp = out + BOOTP_AT;
	struct br_writer w = br_writer_of(bootp + HEAD, PAYLOAD - HEAD);

	put_headers(out, query + 28);
	memcpy(bootp, query, HEAD);
	bootp[0] = 2;
	br_store_be32(bootp + 16, BR_SIM_ROGUE_IP + 255 + (uint32_t)board);
	br_store_be32(bootp + 20, BR_SIM_ROGUE_IP);
	put_option(&w, 53, &type, 1);
	put_option_u32(&w, 54, BR_SIM_ROGUE_IP);
	put_option_u32(&w, 51, LEASE_S);
	put_option_u32(&w, 1, MASK);
	put_option_u32(&w, 3, BR_SIM_ROGUE_IP);
	put_option(&w, 43, menu, sizeof(menu) - 1);
	put_option(&w, 67, file, sizeof(file));
	br_put_u8(&w, 255);
	return w.failed ? 0 : BOOTP_AT + PAYLOAD;
}

size_t br_sim_rogue_answer(const uint8_t *frame, size_t len, size_t board, uint8_t out[static BR_SIM_ROGUE_MAX])
{
	const uint8_t *query, *options;
	uint32_t type;
	size_t n;

	if (len <= BOOTP_AT + HEAD)
		return 0;
	query = frame + BOOTP_AT;
	options = query + HEAD;
	n = len - BOOTP_AT - HEAD;
	if (br_load_be16(frame + 12) != 0x0800 || frame[14] != 0x45 || frame[23] != 17 ||
		br_load_be16(frame + 36) != 67 || query[0] != 1)
		return 0;
	type = find_option(options, n, 53);
	if (type == BR_DHCP_DISCOVER)
		return build(query, board, BR_DHCP_OFFER, out);
	if (type == BR_DHCP_REQUEST && find_option(options, n, 54) == BR_SIM_ROGUE_IP)
		return build(query, board, BR_DHCP_ACK, out);
	return 0;
}
