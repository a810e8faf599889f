/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

/*
 * Removes what snapshots of disks left in a crash: STATE/disks/<board id>/copy-*. Only while nobody else works on this
 * state: at the daemon's start, behind the lock of br_fleet_open(). How many there were.
 */
int br_disks_sweep(const char *state_dir, struct br_error *err);

/*
 * What a 'bramble disk shell' that was killed left: its directory STATE/disks/shell-PID, and the image that it had made of a
 * board's disk, whose name stands in the file BR_SHELL_IMAGE there. At any time; how many there were.
 */
#define BR_SHELL_IMAGE "image"
int br_disks_sweep_shells(const char *state_dir, struct br_error *err);
