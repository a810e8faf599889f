/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * Whole Ethernet frames for clients that have no address yet and so answer no ARP: the kernel could not send to them.
 */
#define BR_DHCP_FRAME_HEADERS (14 + 20 + 8)
#define BR_DHCP_FRAME_MAX 1514

struct br_dhcp_frame {
	struct br_mac src_mac, dst_mac;
	uint32_t src_ip, dst_ip;
	uint16_t src_port, dst_port;
	uint16_t ip_id;
};

/* Ethernet, IPv4 (TTL 64, DF: ROMs do not reassemble) and UDP with its checksum. Length of the frame, 0 when n is too
 * much for one. */
size_t br_dhcp_frame_udp(const struct br_dhcp_frame *f, const void *payload, size_t n,
	uint8_t out[static BR_DHCP_FRAME_MAX]);
/* A Wake-on-LAN frame: unicast, of no consequence, but a frame. */
size_t br_dhcp_frame_nudge(struct br_mac src, struct br_mac dst, uint8_t out[static BR_DHCP_FRAME_MAX]);
