/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pi/eeprom.h"
#include "pi/rsakey.h"

/*
 * Signs the bootconf.txt that is in the image: bootconf.sig with the time of br_sigfile_time(), and the public half as pubkey.bin.
 * -ENOENT: there is none; what br_rsakey_sign() and br_eeprom_replace() say.
 */
int br_eeprom_sign_config(struct br_eeprom *e, struct br_rsakey *key, struct br_error *err);
