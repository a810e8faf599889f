/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Who writes on a console: one at a time. A claim lasts BR_CONSOLE_CLAIM_NS from its last sign of life, or, of a client
 * that never renews it, as long as a stream is bound to it: one that does may have vanished without a word, and its stream
 * stays open for minutes. No locks, no clock.
 */
struct br_claim {
	uint64_t id; /* 0: nobody's */
	char who[64];
	uint64_t until_ns, since_wall_ns;
	unsigned bound; /* streams */
	bool renews;
};

/* Whose it is now: 0 when it has run out. */
uint64_t br_claim_owner(struct br_claim *claim, uint64_t now_ns);
/* id: as in br_console_claim(); fresh: the number of a new claim. */
int br_claim_take(struct br_claim *claim, const char *who, bool steal, uint64_t *id, uint64_t fresh, uint64_t now_ns,
	uint64_t wall_ns, struct br_error *err);
bool br_claim_release(struct br_claim *claim, uint64_t id);
/* A stream begins (-EPERM: not id's) and ends, with it the claim if it is still id's and this was the last stream. */
int br_claim_bind(struct br_claim *claim, uint64_t id, uint64_t now_ns, struct br_error *err);
void br_claim_unbind(struct br_claim *claim, uint64_t id);
/* Whether id (0: without a claim) may write; a sign of life. -EBUSY with words. */
int br_claim_may_write(struct br_claim *claim, uint64_t id, uint64_t now_ns, struct br_error *err);
