/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pi/eeprom.h"
#include "pi/findings.h"

/*
 * All that can be said of an image: its sections, signatures, and its bootconf.txt (pi/bootconf.h). network: boards with it
 * are to boot over the network.
 */
void br_eeprom_check(const struct br_eeprom *e, bool network, struct br_findings *f);

/* SIGNED_BOOT=1 is in force for every board. */
bool br_eeprom_signed_boot(const struct br_eeprom *e);
