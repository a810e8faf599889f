/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sim/usbrom.h"

/* What a second stage does, in order; skips go on to later steps. */
enum br_sim_rom_action {
	BR_SIM_ROM_END,	   /* it is done */
	BR_SIM_ROM_FETCH,  /* size, then content if there is one */
	BR_SIM_ROM_PROBE,  /* size only */
	BR_SIM_ROM_ERASE,  /* says nothing for a while: an EEPROM is erased and written */
	BR_SIM_ROM_TELL,   /* its metadata */
};

struct br_sim_rom_step {
	enum br_sim_rom_action action;
	const char *name;  /* "memsys%02u" with a count */
	uint8_t count;	   /* of files with numbers from 0 */
	bool needed;	   /* without it, nothing */
	uint8_t skip_absent, skip_found; /* so many steps then */
};

#define BR_SIM_ROM_CONFIG_MAX 64

/* The descriptors of a device: what br_sim_rom_attach_*() fill in. */
struct br_sim_rom_descriptors {
	uint8_t device[18];
	uint8_t config[BR_SIM_ROM_CONFIG_MAX];
	const char *strings[5]; /* from 1 */
};

void br_sim_rom_describe(struct br_sim_rom_descriptors *d, const struct br_sim_rom_kind *kind, bool is_rom,
	enum br_sim_rom_quirk quirk, const char *serial);
/* The system that was booted, as the provisioning tools' (facts c.9). */
void br_sim_rom_describe_gadget(struct br_sim_rom_descriptors *d, const char *serial);
