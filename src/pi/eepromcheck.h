/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pi/eeprom.h"
#include "pi/findings.h"
#include "pi/rsakey.h"

/*
 * All that can be said of an image: its sections, signatures, and its bootconf.txt (pi/bootconf.h). network: boards with it
 * are to boot over the network.
 */
void br_eeprom_check(const struct br_eeprom *e, bool network, struct br_findings *f);

/* SIGNED_BOOT=1 is in force on some board with the chip. */
bool br_eeprom_signed_boot(const struct br_eeprom *e);

/* What an image has of its configuration's signature, as far as each can be read; whether they fit each other is not looked at. */
#define BR_EEPROM_WHY 300
struct br_eeprom_seal {
	const uint8_t *config; /* bootconf.txt, of the image; NULL: there is none */
	size_t config_len;
	char sig_fault[BR_EEPROM_WHY], key_fault[BR_EEPROM_WHY]; /* why there is no sig, no pub; "": there is */
	struct br_sigfile sig;
	struct br_rsapub pub;
};
void br_eeprom_seal(const struct br_eeprom *e, struct br_eeprom_seal *ret);

/* Whether bootconf.sig is of this bootconf.txt, by the key in pubkey.bin; else why not. */
bool br_eeprom_config_signed(const struct br_eeprom *e, char why[static BR_EEPROM_WHY]);
/* The key in pubkey.bin; false: there is none of 264 bytes. */
bool br_eeprom_pubkey(const struct br_eeprom *e, struct br_rsapub *ret);
