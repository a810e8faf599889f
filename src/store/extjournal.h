/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of the ext4 implementation. */
#include "store/extfs_priv.h"

/*
 * Writes what the journal of an ext4 that was not unmounted holds into the layer: the blocks of all
 * complete transactions, none of the last incomplete one (jbd2's rules, checksums v2 and v3
 * checked). The caller opens the library anew afterwards and clears needs_recovery; on failure it
 * gives the layer up without a commit. Inside of no operation. reset: mark the journal empty.
 */
int br_extjournal_replay(struct br_extfs *fs, bool reset, struct br_error *err);
