/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * UDP datagrams as whole Ethernet frames, for sending past the kernel's routing. The payload follows the head on
 * the wire and is never looked at: its checksum is left to the interface, or to the kernel where that has none.
 */
#define BR_TFTP_FRAME_HEAD (14 + 20 + 8)
#define BR_TFTP_VNET_HEAD 10 /* struct virtio_net_hdr */

/* How a peer is reached: what the frame of its request taught. Kept in its transfer; all zeros: not known. */
struct br_tftp_link {
	uint32_t ifindex;
	uint32_t our_ip;
	struct br_mac our_mac, peer_mac; /* the peer's own, or its router's */
};

struct br_tftp_frame {
	struct br_mac src_mac, dst_mac;
	uint32_t src_ip, dst_ip;
	uint16_t src_port, dst_port;
};

/*
 * The head of a datagram with 'payload' bytes: TTL 64, may be fragmented on the way. The checksum field holds
 * the pseudo header's sum, as CHECKSUM_PARTIAL wants it.
 */
void br_tftp_frame_head(uint8_t out[static BR_TFTP_FRAME_HEAD], const struct br_tftp_frame *f, uint16_t ip_id,
	size_t payload);
/* What goes before a frame on a packet socket with PACKET_VNET_HDR: "the UDP checksum is yours to finish". */
void br_tftp_frame_vnet(uint8_t out[static BR_TFTP_VNET_HEAD]);
/* Reads the head of a frame; 'len' bytes of it are there. 0, or -EBADMSG: not a plain, whole UDP datagram. */
int br_tftp_frame_read(const uint8_t *data, size_t len, struct br_tftp_frame *ret);
