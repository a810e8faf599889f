/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

/*
 * Which state directory a command works on: given (--state), else $BRAMBLE_STATE, else /var/lib/bramble
 * when we are root or may write it, else $XDG_STATE_HOME/bramble, else ~/.local/state/bramble.
 * The answer is an absolute path (free()); it is neither made nor looked at.
 */
int br_state_dir(const char *given, char **ret, struct br_error *err);

/*
 * Gives a path just made below the state directory to the owner of that directory, so that
 * what root's command line made stays the daemon's. No-op unless we are root. Links are not followed.
 */
int br_state_own(const char *state_dir, const char *path, struct br_error *err);
