/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

#define BR_RUN_SAID 400

/*
 * Runs a program (argv[0]: its path) in a process group of its own, with signals as programs expect them, and waits for its end.
 * said: the end of what it printed, as text. *ret_status: its exit status, 128 + signal when one ended it. -ETIMEDOUT, or -ECANCELED once
 * *stop is set (may be NULL): all that it started was ended.
 */
int br_run(const char *const *argv, uint64_t timeout_ns, const atomic_bool *stop, char said[static BR_RUN_SAID], int *ret_status,
	struct br_error *err);
