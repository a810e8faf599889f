/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "sim/usbrom.h"

/*
 * A virtual board in USB boot mode (usbrom.h) on a port of a QEMU machine, whose own USB stack and programs see it there:
 *     qemu-system-x86_64 ... -device qemu-xhci,id=usb -chardev socket,id=port1,path=PATH
 *         -device usb-redir,chardev=port1,bus=usb.0,port=1
 * It listens at PATH; the board gets power when QEMU connects, and again when it connects again.
 */
struct br_sim_usb_port;

/* config is copied, but for what its pointers mean. A socket that is there is replaced. */
int br_sim_usb_port_open(const char *path, const struct br_sim_rom_config *config, struct br_sim_usb_port **ret,
	struct br_error *err);
/* Removes the socket. */
void br_sim_usb_port_close(struct br_sim_usb_port *p);
/* What to poll for; the descriptor changes when QEMU comes or goes. */
int br_sim_usb_port_fd(const struct br_sim_usb_port *p);
short br_sim_usb_port_events(const struct br_sim_usb_port *p);
uint64_t br_sim_usb_port_deadline(const struct br_sim_usb_port *p);
/* After poll(), or when the deadline is there (revents 0). */
int br_sim_usb_port_ready(struct br_sim_usb_port *p, short revents, uint64_t now_ns, struct br_error *err);
/* NULL before QEMU connected; the last one after it left. */
const struct br_sim_rom *br_sim_usb_port_board(const struct br_sim_usb_port *p);
bool br_sim_usb_port_connected(const struct br_sim_usb_port *p);

/* An event as a line for people or as JSON, flushed. who: the board's name. */
void br_sim_usb_report(FILE *out, bool json, const char *who, const struct br_sim_rom_event *e);
