/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "daemon/config.h"
#include "daemon/glue.h"
#include "logs/logs.h"
#include "syslog/receiver.h"

/*
 * Logs of boards: the receivers' questions answered by the fleet, their lines brought to the store, losses made events, counts
 * made metrics. Ports are opened while root, the store once it is given up: its thread makes files.
 */
struct br_glue_logs;

/* Opens the ports, and makes the script of /bramble-log; words on ports that are taken are logged. NULL in *ret: logs are off. */
int br_glue_logs_open(struct br_glue *glue, const struct br_config *config, struct br_glue_logs **ret, struct br_error *err);
/* Opens the store below the state directory, and begins to listen. One that cannot be opened is told and done without. */
int br_glue_logs_start(struct br_glue_logs *l, const char *state, struct br_error *err);
/* Streams of the API end soon. */
void br_glue_logs_stopping(struct br_glue_logs *l);
void br_glue_logs_stop(struct br_glue_logs *l);

/* Both NULL when there are none. */
struct br_logs *br_glue_logs_store(struct br_glue_logs *l);
struct br_receiver *br_glue_logs_receiver(struct br_glue_logs *l);
/* Where netconsole datagrams of boards go, too, as in struct br_receiver_ops. NULL: nowhere, and it is not
 * being called any more. */
void br_glue_logs_heard(struct br_glue_logs *l,
	void (*heard)(void *ctx, int64_t board_id, uint32_t ip, const void *data, size_t n), void *ctx);
