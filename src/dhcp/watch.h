/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "dhcp/server.h"

/*
 * What is seen on the wire besides requests to us: replies of other DHCP servers, answers to ARP. Whole Ethernet frames
 * as a packet socket gives them, hostile.
 */

/* 1: a reply of a DHCP server (unicast or broadcast) to a client; 0: anything else. */
int br_dhcp_watch_reply(const uint8_t *frame, size_t n, struct br_dhcp_foreign *ret);

/* 1: an ARP reply for IPv4: who has which address. */
int br_dhcp_watch_arp(const uint8_t *frame, size_t n, uint32_t *ret_ip, struct br_mac *ret_mac);

#define BR_DHCP_ARP_LEN 42
/* RFC 5227 2.1.1: a question that claims no address. Length of the frame. */
size_t br_dhcp_arp_probe(struct br_mac src, uint32_t ip, uint8_t out[static BR_DHCP_ARP_LEN]);

/* A packet socket on the interface that gets these frames only. A negative errno on failure. */
int br_dhcp_watch_open(unsigned ifindex);
/* The same socket on another interface, or the one that was made anew. */
int br_dhcp_watch_bind(int fd, unsigned ifindex);
