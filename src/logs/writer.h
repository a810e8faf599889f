/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "logs/internal.h"

/* The thread that brings lines to the disk, tells of losses, and removes what is too old. */
int br_logs_writer_start(struct br_logs *logs, struct br_error *err);
void br_logs_writer_stop(struct br_logs *logs);

/* Of store.c, with the lock: takes a line (ctx: the store); ends the block that is being filled. */
void br_logs_store_add(void *ctx, const struct br_logs_line *line);
void br_logs_store_shut(struct br_logs *logs);
