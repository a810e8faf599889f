/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

/*
 * Removes what snapshots of disks left in a crash: STATE/disks/<board id>/copy-*. Only while nobody else works on this
 * state: at the daemon's start, behind the lock of br_fleet_open(). How many there were.
 */
int br_disks_sweep(const char *state_dir, struct br_error *err);
