/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "fleet/fleet.h"

/*
 * What is remembered of a board's power over restarts: how often it failed in a row, and whether it was set aside for that
 * (or by a person), with words. A board in quarantine is not chosen for jobs and not switched on without force.
 */
struct br_quarantine {
	int64_t board_id;
	unsigned failures; /* in a row, since it was last up */
	int64_t since;	   /* s since 1970; 0: it is not in quarantine */
	char reason[400];
};

/* All zeros when nothing is remembered. Negative errno: the database. */
int br_quarantine_get(struct br_fleet *fleet, int64_t board_id, struct br_quarantine *ret);
/* Stable on return. Emits nothing. */
int br_quarantine_put(struct br_fleet *fleet, const struct br_quarantine *q, struct br_error *err);
/* Those that are set aside; fn must not call us; it returns 0 to go on. */
int br_quarantine_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_quarantine *q), void *ctx);
