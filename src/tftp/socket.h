/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* A bound UDP socket for the server, with large buffers and IP_PKTINFO. Returns the descriptor. */
int br_tftp_socket(uint32_t ip, uint16_t port, const char *interface, struct br_error *err);
/* Datagrams the kernel had no room for in the receive buffer. */
uint64_t br_tftp_socket_dropped(int fd);
/* Largest block that fits one datagram on the interface: MTU - 32; 0 when it cannot be found out. */
unsigned br_tftp_interface_blksize(int fd, const char *interface);
