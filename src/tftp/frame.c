/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of Ethernet frames around UDP datagrams. */
#include "tftp/frame.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "base/bytes.h"

#define IP_AT 14
#define UDP_AT 34
#define TYPE_IPV4 0x0800
#define IP_HEAD 0x45 /* version 4, five words: no options */
#define PROTO_UDP 17
#define FRAGMENT 0x3fff /* more fragments, or an offset */

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t halves(uint32_t v)
{
	return (v >> 16) + (v & 0xffff);
}

void br_tftp_frame_head(uint8_t out[static BR_TFTP_FRAME_HEAD], const struct br_tftp_frame *f, uint16_t ip_id,
	size_t payload)
{
	uint8_t *ip = out + IP_AT, *udp = out + UDP_AT;
	uint32_t addresses = halves(f->src_ip) + halves(f->dst_ip);
	uint16_t total = (uint16_t)(20 + 8 + payload);

	memcpy(out, f->dst_mac.b, 6);
	memcpy(out + 6, f->src_mac.b, 6);
	br_store_be16(out + 12, TYPE_IPV4);
	br_store_be16(ip, IP_HEAD << 8);
	br_store_be16(ip + 2, total);
	br_store_be16(ip + 4, ip_id);
	br_store_be16(ip + 6, 0); /* no DF: what we sent by hand, nobody would cut again for us */
	br_store_be16(ip + 8, 64 << 8 | PROTO_UDP);
	br_store_be16(ip + 10, (uint16_t)~fold((IP_HEAD << 8) + total + ip_id + (64 << 8 | PROTO_UDP) + addresses));
	br_store_be32(ip + 12, f->src_ip);
	br_store_be32(ip + 16, f->dst_ip);
	br_store_be16(udp, f->src_port);
	br_store_be16(udp + 2, f->dst_port);
	br_store_be16(udp + 4, (uint16_t)(8 + payload));
	br_store_be16(udp + 6, fold(addresses + PROTO_UDP + 8 + (uint32_t)payload));
}

void br_tftp_frame_vnet(uint8_t out[static BR_TFTP_VNET_HEAD])
{
	/* in the machine's own byte order (virtio's legacy layout, which packet sockets speak) */
	const struct virtio_net_hdr h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = UDP_AT, .csum_offset = 6
	};

	_Static_assert(sizeof(h) == BR_TFTP_VNET_HEAD, "the kernel's layout");
	memcpy(out, &h, sizeof(h));
}

int br_tftp_frame_read(const uint8_t *data, size_t len, struct br_tftp_frame *ret)
{
	const uint8_t *ip = data + IP_AT, *udp = data + UDP_AT;

	if (len < BR_TFTP_FRAME_HEAD || br_load_be16(data + 12) != TYPE_IPV4 || ip[0] != IP_HEAD ||
		ip[9] != PROTO_UDP || (br_load_be16(ip + 6) & FRAGMENT))
		return -EBADMSG;
	memcpy(ret->dst_mac.b, data, 6);
	memcpy(ret->src_mac.b, data + 6, 6);
	ret->src_ip = br_load_be32(ip + 12);
	ret->dst_ip = br_load_be32(ip + 16);
	ret->src_port = br_load_be16(udp);
	ret->dst_port = br_load_be16(udp + 2);
	return 0;
}
