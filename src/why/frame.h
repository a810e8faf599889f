/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * Ethernet frames taken apart as far as a diagnosis needs them: who to whom, which protocol, where its payload is.
 * Checksums are not looked at: our own frames are seen before the card fills them in.
 */
enum br_frame_kind {
	BR_FRAME_OTHER,
	BR_FRAME_ARP,
	BR_FRAME_RARP,
	BR_FRAME_UDP,
	BR_FRAME_TCP,
	BR_FRAME_UDP6,
	BR_FRAME_ICMP6,
};

#define BR_TCP_FIN 0x01
#define BR_TCP_SYN 0x02
#define BR_TCP_RST 0x04
#define BR_TCP_ACK 0x10

struct br_frame {
	enum br_frame_kind kind;
	struct br_mac src, dst;
	uint16_t ethertype;
	uint32_t src_ip, dst_ip; /* ARP: sender, target; 0 for IPv6 */
	uint16_t src_port, dst_port;
	uint8_t tcp_flags;
	uint16_t arp_op;	 /* 1 who-has, 2 is-at */
	struct br_mac arp_sender;
	uint8_t icmp6_type;	 /* 133 router solicitation, 135 neighbour solicitation */
	bool icmp6_for_nobody;	 /* neighbour solicitation for :: */
	const uint8_t *payload;	 /* of UDP and TCP, in the frame; as much as was captured */
	size_t len;
};

/* -EBADMSG: too short for the headers it claims, or a header that contradicts itself; ret then holds the addresses
 * only (when there are 14 bytes). Later fragments come out as OTHER. */
int br_frame_parse(const void *data, size_t len, struct br_frame *ret);

/* One line for people: "DHCP DISCOVER", "ARP who has 10.77.0.1", "TFTP asks for start4.elf". Safe to print. Returns
 * out. */
const char *br_frame_text(const void *data, size_t len, char *out, size_t size);
