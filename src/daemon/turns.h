/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "daemon/config.h"
#include "daemon/glue.h"
#include "plan/admission.h"

/* Whose turn it is to boot: plan/admission.h with a lock, the clock, and the link's speed. All thread-safe. */
struct br_turns;

/* NULL when memory is out. interface: whose speed counts, where config leaves the rate to us. */
struct br_turns *br_turns_new(const struct br_config *config, const char *interface);
void br_turns_free(struct br_turns *turns);

/* A firmware's DISCOVER: whether to answer it. Emits boot.waiting once per boot. */
bool br_turns_ask(struct br_glue *glue, const struct br_board *board, enum br_dhcp_client_kind kind);
/* Of a board that waits and whose turn has come; for br_dhcp_io_resume(), ctx: struct br_glue. */
bool br_turns_next(void *ctx, struct br_mac *ret);
bool br_turns_any_waiting(struct br_turns *turns);

/* As in plan/admission.h; board_id 0 is passed over. */
void br_turns_sign(struct br_turns *turns, int64_t board_id);
void br_turns_progress(struct br_turns *turns, int64_t board_id, uint64_t bytes, uint64_t size);
void br_turns_ended(struct br_turns *turns, int64_t board_id, uint64_t bytes, uint64_t duration_ns, bool sent);
void br_turns_done(struct br_turns *turns, int64_t board_id);

void br_turns_status(struct br_turns *turns, struct br_admission_status *ret);
bool br_turns_waits(struct br_turns *turns, int64_t board_id, uint32_t *ret_before);
