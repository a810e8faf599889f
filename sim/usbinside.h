/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim/usbrom.h"
#include "usb/transport.h"

/*
 * A USB host with virtual boards (usbrom.h) on its ports, in this process: what sessions are tested on, with any clock.
 * Board i is on path "1-<i + 1>". Transfers take no time of themselves; boards get power in the first handle().
 */
#define BR_SIM_USB_INSIDE_MAX 64

struct br_sim_usb_inside;

/* NULL when memory is out. */
struct br_sim_usb_inside *br_sim_usb_inside_new(void);
/* To give to sessions; its ops->free() frees the boards, too. */
struct br_usb_host *br_sim_usb_inside_host(struct br_sim_usb_inside *h);
/* config is copied, but for what its pointers mean. -ENOMEM, -ENOSPC: no port is left. Returns its number. */
int br_sim_usb_inside_add(struct br_sim_usb_inside *h, const struct br_sim_rom_config *config);
const struct br_sim_rom *br_sim_usb_inside_board(const struct br_sim_usb_inside *h, size_t i);
/* What the next open() of board i gives, for every time: -EACCES, -EBUSY; 0: as it should be. */
void br_sim_usb_inside_refuse(struct br_sim_usb_inside *h, size_t i, int result);
