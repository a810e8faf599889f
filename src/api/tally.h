/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What events add up to since the daemon started, for /metrics: counts, bytes, durations. */
#include "fleet/fleet.h"

struct br_tally;

/* Listens to the fleet's events and registers its metrics. NULL when memory is out. */
struct br_tally *br_tally_new(struct br_fleet *fleet);
void br_tally_free(struct br_tally *tally);
