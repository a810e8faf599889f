/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "daemon/config.h"

/*
 * Serves until SIGTERM or SIGINT. Returns 0 after a clean stop. -EALREADY: another daemon serves this state.
 * Everything that can be wrong at the start is found, with words, before the first packet is answered.
 */
int br_daemon_run(const struct br_config *config, struct br_error *err);
