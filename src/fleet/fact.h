/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fleet/fleet.h"

/*
 * What a board told of itself that no column is for: name and text, the last one told of each name counts. They go with the
 * board. Names of USB's metadata are as the board sends them (systems notes c.7): "EEPROM_HASH", "CUSTOMER_KEY_HASH".
 */
#define BR_FACT_NAME_MAX 40	/* [A-Za-z0-9_.-] */
#define BR_FACT_VALUE_MAX 255 /* printable ASCII */
#define BR_FACTS_MAX 64	/* made-up names of one board: it could go on for ever; those of c.7 always have room */

struct br_fact {
	char name[BR_FACT_NAME_MAX + 1];
	char value[BR_FACT_VALUE_MAX + 1];
	int64_t told_at; /* s since 1970 */
};

/* Whether they may be stored. */
bool br_fact_ok(const char *name, const char *value);
/* Whether it is a name that boards are known to use (c.7). */
bool br_fact_known(const char *name);
#define BR_FACT_KEY_HASH "CUSTOMER_KEY_HASH"
/* Its value that means "fused": 64 hex digits, not all zero. Anything else (NULL too) proves nothing. */
bool br_fact_is_key_hash(const char *value);
/* Stores n facts at once; told_at is set here. -EINVAL: one is not ok, nothing is stored; -ENOSPC: of the names that are not
 * known ones, some new ones had no room; all others are stored. */
int br_facts_put(struct br_fleet *fleet, int64_t board_id, const struct br_fact *facts, size_t n, struct br_error *err);
/* By name; fn must not call us; it returns 0 to go on. */
int br_facts_list(struct br_fleet *fleet, int64_t board_id, int (*fn)(void *ctx, const struct br_fact *fact), void *ctx);
