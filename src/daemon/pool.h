/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * What keeps the addresses for the boards, in memory of a fixed size: how often a client may ask, what was offered to
 * strangers and not taken yet, which addresses are in use by somebody without a lease. For the DHCP thread alone.
 */
struct br_pool;

#define BR_POOL_OFFERS 4096
#define BR_POOL_QUARANTINE 64

struct br_pool *br_pool_new(void);
void br_pool_free(struct br_pool *pool);

/* A packet of this client: false when it asks more often than any client has reason to. Boards (id not 0) and strangers
 * are counted apart: a flood of made-up MACs takes no turn of a board's. */
bool br_pool_admit(struct br_pool *pool, int64_t board_id, struct br_mac mac, uint64_t now_ns);
/* Whether one more unknown board may be taken in: a thousand at once, then a few. */
bool br_pool_may_adopt(struct br_pool *pool, uint64_t now_ns);
/* Whether an event about a stranger may be stored. */
bool br_pool_may_tell(struct br_pool *pool, uint64_t now_ns);

/* An address offered to a stranger is kept for it half a minute; the oldest offer goes when there are too many. */
void br_pool_offer(struct br_pool *pool, struct br_mac mac, uint32_t ip, uint64_t now_ns);
/* What was offered to it, 0: nothing (any more). */
uint32_t br_pool_offered(struct br_pool *pool, struct br_mac mac, uint64_t now_ns);
void br_pool_forget(struct br_pool *pool, struct br_mac mac);
size_t br_pool_n_offers(struct br_pool *pool, uint64_t now_ns);

/* Whether one more address may be asked for by ARP. */
bool br_pool_may_ask(struct br_pool *pool, uint64_t now_ns);
/* An address is about to be given, or was looked at: an answer to our ARP question within two seconds counts. */
void br_pool_asked(struct br_pool *pool, uint32_t ip, uint64_t now_ns);
bool br_pool_was_asked(struct br_pool *pool, uint32_t ip, uint64_t now_ns);

/*
 * An address that somebody uses without a lease of ours, for ten minutes. False: nothing new (it is already, or
 * its MAC claims so many that it must be a router that answers for others).
 */
bool br_pool_quarantine(struct br_pool *pool, uint32_t ip, struct br_mac mac, uint64_t now_ns);
bool br_pool_quarantined(const struct br_pool *pool, uint32_t ip, uint64_t now_ns);

/* Whether a client must not get an address: it is in quarantine, or offered to another. */
bool br_pool_is_taken(const struct br_pool *pool, uint32_t ip, struct br_mac mac, uint64_t now_ns);
