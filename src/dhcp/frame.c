/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet frames made by hand. */
#include "dhcp/frame.h"

#include <string.h>

#include "base/bytes.h"
#include "dhcp/server.h"

#define IP_AT 14
#define UDP_AT 34
#define PROTO_UDP 17

/* RFC 1071, over whole 16-bit words; an odd last byte counts as the high half of one. */
static uint32_t sum(uint32_t acc, const uint8_t *p, size_t n)
{
	for (; n > 1; p += 2, n -= 2)
		acc += br_load_be16(p);
	return n ? acc + (uint32_t)(p[0] << 8) : acc;
}

static uint16_t fold(uint32_t acc)
{
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)~acc;
}

static void put_ethernet(struct br_writer *w, struct br_mac src, struct br_mac dst, uint16_t type)
{
	br_put_bytes(w, dst.b, 6);
	br_put_bytes(w, src.b, 6);
	br_put_be16(w, type);
}

static void put_ip(struct br_writer *w, const struct br_dhcp_frame *f, size_t payload)
{
	uint8_t *p;

	br_put_u8(w, 0x45);
	br_put_u8(w, 0xc0); /* network control, as other servers send their replies */
	br_put_be16(w, (uint16_t)(20 + 8 + payload));
	br_put_be16(w, f->ip_id);
	br_put_be16(w, 0x4000); /* DF */
	br_put_u8(w, 64);
	br_put_u8(w, PROTO_UDP);
	br_put_be16(w, 0);
	br_put_be32(w, f->src_ip);
	br_put_be32(w, f->dst_ip);
	p = w->buf + IP_AT;
	br_store_be16(p + 10, fold(sum(0, p, 20)));
}

/* RFC 768: the pseudo header is addresses, protocol and length; a sum of zero is sent as ones. */
static void put_udp(struct br_writer *w, const struct br_dhcp_frame *f, const void *payload, size_t n)
{
	uint32_t acc = (f->src_ip >> 16) + (f->src_ip & 0xffff) + (f->dst_ip >> 16) + (f->dst_ip & 0xffff) + PROTO_UDP;
	uint16_t check;
	uint8_t *p;

	br_put_be16(w, f->src_port);
	br_put_be16(w, f->dst_port);
	br_put_be16(w, (uint16_t)(8 + n));
	br_put_be16(w, 0);
	br_put_bytes(w, payload, n);
	p = w->buf + UDP_AT;
	check = fold(sum(acc + (uint32_t)(8 + n), p, 8 + n));
	br_store_be16(p + 6, check ? check : 0xffff);
}

size_t br_dhcp_frame_udp(const struct br_dhcp_frame *f, const void *payload, size_t n,
	uint8_t out[static BR_DHCP_FRAME_MAX])
{
	struct br_writer w = br_writer_of(out, BR_DHCP_FRAME_MAX);

	if (n > BR_DHCP_FRAME_MAX - BR_DHCP_FRAME_HEADERS)
		return 0;
	put_ethernet(&w, f->src_mac, f->dst_mac, 0x0800);
	put_ip(&w, f, n);
	put_udp(&w, f, payload, n);
	return w.len;
}

size_t br_dhcp_frame_nudge(struct br_mac src, struct br_mac dst, uint8_t out[static BR_DHCP_FRAME_MAX])
{
	static const struct br_mac sync = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	struct br_writer w = br_writer_of(out, BR_DHCP_FRAME_MAX);

	put_ethernet(&w, src, dst, BR_DHCP_NUDGE_ETHERTYPE);
	br_put_bytes(&w, sync.b, 6);
	for (int i = 0; i < 16; i++)
		br_put_bytes(&w, dst.b, 6);
	return w.len;
}
