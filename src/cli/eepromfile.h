/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "pi/eeprom.h"

/* What the commands on EEPROM images share. All return 0, or an exit code after a message. */

/* Where a changed image goes: OUT (-o), or the file itself (-i). */
struct br_eeprom_target {
	const char *file, *out;
	bool in_place;
};

int br_cli_eeprom_load(const char *path, struct br_eeprom *ret);
/* One of OUT and in place must have been said: a usage error otherwise. */
int br_cli_eeprom_target(const struct br_eeprom_target *t);
/* Whether -o may be written (cli/signout.h): never over a private key, nor one of what is read; NULLs are passed over. FILE itself
 * may be: that is as in place. */
int br_cli_eeprom_may_write(const struct br_eeprom_target *t, const char *const *inputs, size_t n);
/* All or nothing; a file that is there keeps its permissions, a link is followed. */
int br_cli_eeprom_save(const struct br_eeprom_target *t, const struct br_eeprom *e);

/* The findings that 'after' has and 'before' has not (NULL: all) on stderr, one a line; how many errors are among them. */
struct br_findings;
size_t br_cli_eeprom_print_findings(const char *file, const struct br_findings *before, const struct br_findings *after, bool quiet);

/* "2711", "bcm2712", or a model ("CM4"); a usage error otherwise. */
int br_cli_eeprom_chip(const char *word, enum br_soc *ret);
