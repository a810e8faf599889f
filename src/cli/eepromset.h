/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The longer verbs of 'bramble eeprom', each in its file. */
int br_cli_eeprom_set(int argc, char **argv);
int br_cli_eeprom_edit(int argc, char **argv);
int br_cli_eeprom_check(int argc, char **argv);
int br_cli_eeprom_diff(int argc, char **argv);
int br_cli_eeprom_update(int argc, char **argv);
extern const char br_cli_eeprom_set_help[], br_cli_eeprom_update_help[];
