/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "fleet/fleet.h"

/*
 * What the foreground command shows: a line per event and, on a terminal, one live line per booting board below
 * them (stage, file, rate). Events and progress come from any thread; printing happens in the loop.
 */
struct br_live;

int br_live_start(uv_loop_t *loop, struct br_fleet *fleet, struct br_live **ret, struct br_error *err);
/* Stops listening, prints what is left. Handles close in the loop: run it once more afterwards. */
void br_live_stop(struct br_live *live);
/* A transfer's progress: br_glue_tftp.progress. */
void br_live_progress(void *live, int64_t board_id, const char *path, uint64_t bytes, uint64_t size);
