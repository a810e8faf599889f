/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * The Ethernet half of a Raspberry Pi 3's LAN9514 (USB 0424:ec00) as a usbredir device
 * for QEMU: enough for the smsc95xx drivers of Linux and U-Boot. Its EEPROM holds the
 * MAC address (on the real board the firmware gives it).
 */
struct br_sim_lan9514;

/*
 * fd: one end of a socket pair, taken. send: a frame that the guest sent. interrupt: with
 * the endpoint that tells of link changes, which U-Boot insists on. Linux does without,
 * and then dwc2 takes no interrupt every millisecond, a third of an emulated core.
 * NULL when memory is out.
 */
struct br_sim_lan9514 *br_sim_lan9514_new(int fd, struct br_mac mac, bool interrupt,
	void (*send)(void *ctx, const uint8_t *frame, size_t len), void *ctx);
void br_sim_lan9514_free(struct br_sim_lan9514 *n);
int br_sim_lan9514_fd(const struct br_sim_lan9514 *n);
short br_sim_lan9514_events(const struct br_sim_lan9514 *n);
/* 0, or -EPIPE when QEMU is gone. */
int br_sim_lan9514_ready(struct br_sim_lan9514 *n, short revents, uint64_t now_ns);
/* A frame from the wire. */
void br_sim_lan9514_frame(struct br_sim_lan9514 *n, const uint8_t *frame, size_t len);
uint64_t br_sim_lan9514_deadline(const struct br_sim_lan9514 *n);
void br_sim_lan9514_tick(struct br_sim_lan9514 *n, uint64_t now_ns);
