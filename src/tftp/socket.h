/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* A bound UDP socket for the server, with large buffers, IP_PKTINFO and SO_RXQ_OVFL. Returns the descriptor. */
int br_tftp_socket(uint32_t ip, uint16_t port, const char *interface, struct br_error *err);
/* Largest block that fits one datagram on the interface: MTU - 32; 0 when it cannot be found out. */
unsigned br_tftp_interface_blksize(int fd, const char *interface);
