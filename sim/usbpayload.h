/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "sim/usbrom.h"

/*
 * What boards in USB boot mode should get out of a directory: the order of systems facts c.5, without an overlay. Read by
 * other code than the server's (src/usb/payload.h), so that a mistake there shows here. Read once, shared by all boards.
 */
struct br_sim_usb_payload;

int br_sim_usb_payload_open(const char *dir, struct br_sim_usb_payload **ret, struct br_error *err);
void br_sim_usb_payload_close(struct br_sim_usb_payload *p);
/* As br_sim_rom_config.expected. */
int br_sim_usb_payload_find(const struct br_sim_usb_payload *p, const struct br_sim_rom_kind *kind, const char *name,
	uint64_t *ret_size, uint32_t *ret_crc);
