/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * The tiny ARP, IPv4, UDP and TCP carrier of firmware: one address, one peer, no fragments. No
 * socket, no clock: frames go out through a callback and come in as bytes.
 */
#define BR_SIM_IP_ANY 0xffffffffu /* 255.255.255.255 */

/* How a boot stage builds its packets (wire facts 1.2 and 1.6). */
struct br_sim_netstyle {
	uint8_t ttl;
	bool udp_checksum;     /* else the field is sent as 0 */
	bool id_counts;	       /* IP identification counts up, else it is always 0 */
	bool arp_when_busy;    /* answers ARP also while a TFTP transfer runs */
	bool blind;	       /* sends to aa:aa:aa:aa:aa:aa when ARP stays unanswered */
	bool dont_fragment;    /* sets DF */
	bool gateway;	       /* reaches other subnets through option 3 */
};

struct br_sim_stack {
	const struct br_sim_netstyle *style;
	struct br_mac mac;
	uint32_t ip, mask, router; /* 0 until DHCP gave them */
	uint32_t hop;		   /* the address that ARP asks for: the server or the router */
	struct br_mac hop_mac;
	bool hop_known, busy;
	uint16_t next_id;
	void (*send)(void *ctx, const uint8_t *frame, size_t len);
	void *ctx;
};

/* A datagram that came in, within the caller's frame. */
struct br_sim_datagram {
	uint32_t src_ip, dst_ip;
	uint16_t src_port, dst_port;
	const uint8_t *data;
	size_t len;
};

enum br_sim_rx {
	BR_SIM_RX_NOTHING,  /* not for us, answered here, or not understood */
	BR_SIM_RX_DATAGRAM, /* *ret is filled */
	BR_SIM_RX_SEGMENT,  /* TCP: *ret has addresses, data and len (ports are within) */
	BR_SIM_RX_HOP,	    /* the next hop's MAC address became known */
	BR_SIM_RX_FRAGMENT, /* a fragment for us: firmware cannot put it together */
	BR_SIM_RX_BAD_SUM,  /* for us, but a checksum is wrong */
};

/* A new stage's network: addresses forgotten, style taken over. send and ctx stay. */
void br_sim_stack_reset(struct br_sim_stack *s, const struct br_sim_netstyle *style);
/* Chooses the next hop towards 'server' as this stage does, and forgets its MAC. */
void br_sim_stack_route(struct br_sim_stack *s, uint32_t server);
void br_sim_stack_arp_ask(struct br_sim_stack *s);
/* Broadcast when dst is BR_SIM_IP_ANY, else to the next hop's MAC address. len <= 1472. */
void br_sim_stack_udp(struct br_sim_stack *s, uint32_t dst, uint16_t src_port, uint16_t dst_port,
	const void *data, size_t len);
/* A TCP segment to the next hop, its checksum 0 so far. len <= 1480. */
void br_sim_stack_tcp(struct br_sim_stack *s, uint32_t dst, uint8_t *segment, size_t len);
/* unsummed: do not look at checksums (br_sim_link_recv). Answers ARP requests by itself. */
enum br_sim_rx br_sim_stack_input(struct br_sim_stack *s, const uint8_t *frame, size_t len, bool unsummed,
	struct br_sim_datagram *ret);
