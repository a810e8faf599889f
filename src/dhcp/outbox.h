/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "dhcp/frame.h"

/*
 * Messages of one socket, collected and given to the kernel with one system call. Sent in their order.
 */
struct br_dhcp_outbox;

/* fd is borrowed. NULL: out of memory. */
struct br_dhcp_outbox *br_dhcp_outbox_new(int fd);
void br_dhcp_outbox_free(struct br_dhcp_outbox *out);

/* Where the next message goes: BR_DHCP_FRAME_MAX bytes, to be filled before the call of _frame() or _udp() that adds it. */
uint8_t *br_dhcp_outbox_room(struct br_dhcp_outbox *out);
/* A whole frame, for a packet socket. */
void br_dhcp_outbox_frame(struct br_dhcp_outbox *out, size_t len, unsigned ifindex);
/* A UDP payload, from an address of ours. */
void br_dhcp_outbox_udp(struct br_dhcp_outbox *out, size_t len, uint32_t from_ip, const struct sockaddr_in *to);
/* Adds to the counters; *failed_errno is that of the last message that the kernel refused. Others go on. */
void br_dhcp_outbox_flush(struct br_dhcp_outbox *out, uint64_t *sent, uint64_t *failed, int *failed_errno);
