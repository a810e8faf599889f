/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/netif.h"

/* The interface must exist, be up, an Ethernet, and have this address. */
int br_dhcp_check_interface(const char *interface, uint32_t ip, struct br_netif *ret, struct br_error *err);
/* A non-blocking UDP socket on one interface; who has the port is named when it is taken. */
int br_dhcp_open_udp(const char *interface, uint16_t port, struct br_error *err);
/* Binds such a socket to the interface of this name as it is now; needs CAP_NET_RAW. */
int br_dhcp_rebind(int fd, const char *interface);
/* Readable when links or addresses of this machine changed. */
int br_dhcp_open_changes(struct br_error *err);
/* A packet socket that sends frames and receives none. */
int br_dhcp_open_packet(struct br_error *err);
