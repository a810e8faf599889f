/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * What a Raspberry Pi says about itself. Facts: wire notes 1.1-1.3; revision words as
 * Raspberry Pi document them (new style: bit 23 set, processor in bits 12-15, type in bits 4-11).
 */
enum br_soc {
	BR_SOC_UNKNOWN,
	BR_SOC_BCM2835,
	BR_SOC_BCM2836,
	BR_SOC_BCM2837,
	BR_SOC_BCM2711,
	BR_SOC_BCM2712,
};

struct br_pi_model {
	const char *id;	  /* short name used on the command line: "3B+", "4B", "CM4", "5"; never a blank in it */
	const char *name; /* "Raspberry Pi 3 Model B+" */
	uint8_t type;	  /* type field of a new-style revision word */
	enum br_soc soc;
	const char *dtb; /* "bcm2710-rpi-3-b-plus.dtb" as the firmware asks for it */
};

/* NULL when the type is not known (0 among them). Old-style words (up to 0x15) too. */
const struct br_pi_model *br_pi_model_by_revision(uint32_t revision);
/* By id, case-insensitive, '+' and "plus" alike, blanks and dashes ignored, "Pi" or "Raspberry Pi" before it allowed;
 * "4" is the 4B, "3" the 3B. NULL when not known. */
const struct br_pi_model *br_pi_model_by_id(const char *id);
/* All of them, ended by id == NULL. */
const struct br_pi_model *br_pi_models(void);
const char *br_soc_name(enum br_soc soc); /* "BCM2711"; "unknown" */
/* A new-style revision word of this model as a virtual board would carry it (1 GB, revision 1.0, Sony UK). */
uint32_t br_pi_model_revision(const struct br_pi_model *model);

/* A hint only (new prefixes keep coming): the MAC is in a block of Raspberry Pi's. */
bool br_pi_oui(struct br_mac mac);

/* What option 97 (client machine identifier) tells; see wire notes 1.3. */
enum br_pi_guid_kind {
	BR_PI_GUID_FOREIGN,    /* not a Pi's, or absent */
	BR_PI_GUID_ROM_3B,     /* 16 x 0x44: the 3B mask ROM, no identity */
	BR_PI_GUID_SERIAL,     /* serial, little-endian, four times: 3B+ ROM, bootcode.bin, old Pi 4 */
	BR_PI_GUID_STRUCTURED, /* fourcc, revision, MAC tail, serial: Pi 4 and 5 */
};

struct br_pi_guid {
	enum br_pi_guid_kind kind;
	uint32_t serial;     /* low 32 bits; 0 when not carried */
	uint32_t revision;   /* 0 when not carried */
	uint8_t mac_tail[4]; /* last four bytes of the MAC; zeros from EEPROMs of early March 2020 */
	uint8_t generation;  /* 4 or 5 from the fourcc (a Pi 5 of 2023 says 4: ask the revision first), 0 when not carried */
};

/* body: option 97 as on the wire, len bytes (17: a type byte 0, then 16). Never fails. */
struct br_pi_guid br_pi_guid_parse(const uint8_t *body, size_t len);
/* The 17 bytes for a virtual board; FOREIGN gives zeros. fourcc_big_endian: the order of old EEPROMs ("RPi4"). */
void br_pi_guid_make(const struct br_pi_guid *guid, bool fourcc_big_endian, uint8_t out[static 17]);

/* BCM2835/6/7: the low 24 bits of MAC and serial are equal. 0 when the MAC's OUI does not allow it. */
uint32_t br_pi_serial_low24_from_mac(struct br_mac mac);
