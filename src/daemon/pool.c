/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, offers and quarantine of the DHCP server's addresses. All tables are small, fixed, and searched whole. */
#include "daemon/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/siphash.h"

#define OFFER_NS (30 * BR_S)
#define QUARANTINE_NS (600 * BR_S)
#define ASKED_NS (2 * BR_S)
#define N_ASKED 256
#define MAX_CLAIMS 8 /* of one MAC */

/* U-Boot repeats itself every 250 ms at first; a boot has up to six clients in a row. */
#define CLIENT_BURST 20
#define CLIENT_EVERY_NS (250 * BR_MS)
#define N_CLIENTS 2048

#define ADOPT_BURST 2048 /* a hall that is switched on for the first time */
#define ADOPT_EVERY_NS BR_S
#define TELL_BURST 200
#define TELL_EVERY_NS (100 * BR_MS)

/* Tokens that come back one at a time, up to a number. */
struct bucket {
	uint64_t full_at_ns; /* when it would be full again */
};

static bool take(struct bucket *b, unsigned burst, uint64_t every_ns, uint64_t now_ns)
{
	uint64_t from = b->full_at_ns > now_ns ? b->full_at_ns : now_ns;

	if (from + every_ns > now_ns + burst * every_ns)
		return false;
	b->full_at_ns = from + every_ns;
	return true;
}

struct offer {
	struct br_mac mac;
	uint32_t ip;
	uint64_t until_ns;
};

struct br_pool {
	uint8_t key[16];
	struct bucket adopt, tell;
	/* boards by id, strangers by a keyed hash of the MAC: two that share a bucket share its tokens */
	struct bucket boards[N_CLIENTS], strangers[N_CLIENTS];
	struct offer offers[BR_POOL_OFFERS], quarantine[BR_POOL_QUARANTINE];
	struct {
		uint32_t ip;
		uint64_t at_ns;
	} asked[N_ASKED];
	unsigned next_asked;
};

struct br_pool *br_pool_new(void)
{
	struct br_pool *pool = calloc(1, sizeof(*pool));

	if (pool)
		br_random(pool->key, sizeof(pool->key));
	return pool;
}

void br_pool_free(struct br_pool *pool)
{
	free(pool);
}

bool br_pool_admit(struct br_pool *pool, int64_t board_id, struct br_mac mac, uint64_t now_ns)
{
	struct bucket *b = board_id ? &pool->boards[(uint64_t)board_id % N_CLIENTS] :
				      &pool->strangers[br_siphash(pool->key, mac.b, sizeof(mac.b)) % N_CLIENTS];

	return take(b, CLIENT_BURST, CLIENT_EVERY_NS, now_ns);
}

bool br_pool_may_adopt(struct br_pool *pool, uint64_t now_ns)
{
	return take(&pool->adopt, ADOPT_BURST, ADOPT_EVERY_NS, now_ns);
}

bool br_pool_may_tell(struct br_pool *pool, uint64_t now_ns)
{
	return take(&pool->tell, TELL_BURST, TELL_EVERY_NS, now_ns);
}

/* The client's, else one that is over, else the one that is over first. */
static struct offer *slot_for(struct offer *table, size_t n, struct br_mac mac, uint32_t ip)
{
	struct offer *best = table;

	for (size_t i = 0; i < n; i++) {
		if (ip ? table[i].ip == ip : br_mac_equal(table[i].mac, mac))
			return &table[i];
		if (table[i].until_ns < best->until_ns)
			best = &table[i];
	}
	return best;
}

void br_pool_offer(struct br_pool *pool, struct br_mac mac, uint32_t ip, uint64_t now_ns)
{
	*slot_for(pool->offers, BR_POOL_OFFERS, mac, 0) =
		(struct offer){ .mac = mac, .ip = ip, .until_ns = now_ns + OFFER_NS };
}

uint32_t br_pool_offered(struct br_pool *pool, struct br_mac mac, uint64_t now_ns)
{
	for (size_t i = 0; i < BR_POOL_OFFERS; i++)
		if (pool->offers[i].until_ns > now_ns && br_mac_equal(pool->offers[i].mac, mac))
			return pool->offers[i].ip;
	return 0;
}

void br_pool_forget(struct br_pool *pool, struct br_mac mac)
{
	for (size_t i = 0; i < BR_POOL_OFFERS; i++)
		if (br_mac_equal(pool->offers[i].mac, mac))
			pool->offers[i] = (struct offer){ 0 };
}

size_t br_pool_n_offers(struct br_pool *pool, uint64_t now_ns)
{
	size_t n = 0;

	for (size_t i = 0; i < BR_POOL_OFFERS; i++)
		n += pool->offers[i].until_ns > now_ns;
	return n;
}

void br_pool_asked(struct br_pool *pool, uint32_t ip, uint64_t now_ns)
{
	pool->asked[pool->next_asked].ip = ip;
	pool->asked[pool->next_asked].at_ns = now_ns;
	pool->next_asked = (pool->next_asked + 1) % N_ASKED;
}

bool br_pool_was_asked(struct br_pool *pool, uint32_t ip, uint64_t now_ns)
{
	for (size_t i = 0; i < N_ASKED; i++)
		if (pool->asked[i].ip == ip && now_ns - pool->asked[i].at_ns < ASKED_NS)
			return true;
	return false;
}

bool br_pool_quarantined(struct br_pool *pool, uint32_t ip, uint64_t now_ns)
{
	for (size_t i = 0; i < BR_POOL_QUARANTINE; i++)
		if (pool->quarantine[i].until_ns > now_ns && pool->quarantine[i].ip == ip)
			return true;
	return false;
}

bool br_pool_quarantine(struct br_pool *pool, uint32_t ip, struct br_mac mac, uint64_t now_ns)
{
	unsigned claims = 0;
	bool is_new = !br_pool_quarantined(pool, ip, now_ns);

	for (size_t i = 0; i < BR_POOL_QUARANTINE; i++)
		claims += pool->quarantine[i].until_ns > now_ns && br_mac_equal(pool->quarantine[i].mac, mac);
	if (is_new && claims >= MAX_CLAIMS)
		return false;
	*slot_for(pool->quarantine, BR_POOL_QUARANTINE, mac, ip) =
		(struct offer){ .mac = mac, .ip = ip, .until_ns = now_ns + QUARANTINE_NS };
	return is_new;
}

size_t br_pool_taken(struct br_pool *pool, struct br_mac mac, uint64_t now_ns, uint32_t out[static BR_POOL_TAKEN_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < BR_POOL_QUARANTINE; i++)
		if (pool->quarantine[i].until_ns > now_ns)
			out[n++] = pool->quarantine[i].ip;
	for (size_t i = 0; i < BR_POOL_OFFERS; i++)
		if (pool->offers[i].until_ns > now_ns && !br_mac_equal(pool->offers[i].mac, mac))
			out[n++] = pool->offers[i].ip;
	return n;
}
