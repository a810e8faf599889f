/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "logs/logs.h"

/*
 * How much a sender may say: a token bucket for each board and each address of a stranger. A line costs a token for each
 * BR_LOGS_COST bytes begun. Without one it waits among the sender's newest BR_LOGS_HELD; what it pushes out there is lost.
 * Knows no lock: the store's.
 */
struct br_logs_limits;

#define BR_LOGS_COST 512
#define BR_LOGS_HELD_BYTES (32u << 20) /* of all boards together; of all strangers a quarter of it */
#define BR_LOGS_TELL_NS 10000000000ull /* a sender's losses are told at most so often */

struct br_logs_limits *br_logs_limits_new(uint32_t rate, uint32_t burst);
void br_logs_limits_free(struct br_logs_limits *l);
/* True: take the line now. False: it was copied to wait, or is lost. */
bool br_logs_limits_pass(struct br_logs_limits *l, const struct br_logs_line *line, uint64_t now_ns);
/* Calls fn for lines whose turn has come, oldest of each sender first. */
void br_logs_limits_due(struct br_logs_limits *l, uint64_t now_ns, void (*fn)(void *ctx, const struct br_logs_line *line),
	void *ctx);
/* All that wait, at the end. */
void br_logs_limits_flush(struct br_logs_limits *l, void (*fn)(void *ctx, const struct br_logs_line *line), void *ctx);

struct br_logs_loss {
	int64_t board_id;
	uint32_t ip;
	uint64_t n;
};
/* A sender whose losses are to be told now; they are then. False: none. now_ns UINT64_MAX: all. */
bool br_logs_limits_loss(struct br_logs_limits *l, uint64_t now_ns, struct br_logs_loss *ret);
uint64_t br_logs_limits_lost(const struct br_logs_limits *l);
uint64_t br_logs_limits_held(const struct br_logs_limits *l);
/* Whether lines wait, or losses are to be told. */
bool br_logs_limits_busy(const struct br_logs_limits *l);
