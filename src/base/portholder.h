/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BR_PORT_HOLDER 48 /* "systemd-network (process 12345)" and NUL */

/*
 * Who has a UDP port, for the words of "port 67 is taken": "dnsmasq (process 812)". Looks through /proc, which
 * shows other users' sockets to root only. False when it cannot be told; out is then "".
 */
bool br_udp_port_holder(uint16_t port, char out[static BR_PORT_HOLDER]);
/* The same for either protocol; of TCP the first socket with this local port, which is the one that listens where one does. */
bool br_port_holder(bool tcp, uint16_t port, char out[static BR_PORT_HOLDER]);
