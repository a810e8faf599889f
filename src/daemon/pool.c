/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, offers and quarantine of the DHCP server's addresses. All tables are of a fixed size. */
#include "daemon/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

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
#define N_BOARDS 2048
#define N_STRANGERS 16384

#define ADOPT_BURST 2048 /* a hall that is switched on for the first time */
#define ADOPT_EVERY_NS BR_S
#define ASK_BURST N_ASKED /* in a storm the answers would come too late for most, and each question goes to everybody */
#define ASK_EVERY_NS (10 * BR_MS)
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
	struct offer *prev, *next; /* of those that are free, or of those that are not, the first to end first */
	UT_hash_handle by_mac, by_ip;
};

/* Somebody's address without a lease. */
struct claim {
	struct br_mac mac;
	uint32_t ip;
	uint64_t until_ns;
};

struct br_pool {
	uint8_t key[16];
	struct bucket adopt, ask, tell;
	/* boards by id, strangers by a keyed hash of the MAC: two that share a bucket share its tokens */
	struct bucket boards[N_BOARDS], strangers[N_STRANGERS];
	struct offer offers[BR_POOL_OFFERS], *free, *queue, *by_mac, *by_ip;
	struct claim quarantine[BR_POOL_QUARANTINE];
	uint64_t quarantine_ns; /* when the last of them is over */
	struct {
		uint32_t ip;
		uint64_t at_ns;
	} asked[N_ASKED];
	unsigned next_asked;
};

struct br_pool *br_pool_new(void)
{
	struct br_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	br_random(pool->key, sizeof(pool->key));
	for (size_t i = 0; i < BR_POOL_OFFERS; i++)
		DL_APPEND(pool->free, &pool->offers[i]);
	return pool;
}

void br_pool_free(struct br_pool *pool)
{
	if (!pool)
		return;
	HASH_CLEAR(by_mac, pool->by_mac);
	HASH_CLEAR(by_ip, pool->by_ip);
	free(pool);
}

/* MACs are anybody's choice: nobody is to choose those that fall together. */
static uint64_t hash_of(const struct br_pool *pool, struct br_mac mac)
{
	return br_siphash(pool->key, mac.b, sizeof(mac.b));
}

bool br_pool_admit(struct br_pool *pool, int64_t board_id, struct br_mac mac, uint64_t now_ns)
{
	struct bucket *b = board_id ? &pool->boards[(uint64_t)board_id % N_BOARDS] :
				      &pool->strangers[hash_of(pool, mac) % N_STRANGERS];

	return take(b, CLIENT_BURST, CLIENT_EVERY_NS, now_ns);
}

bool br_pool_may_adopt(struct br_pool *pool, uint64_t now_ns)
{
	return take(&pool->adopt, ADOPT_BURST, ADOPT_EVERY_NS, now_ns);
}

bool br_pool_may_ask(struct br_pool *pool, uint64_t now_ns)
{
	return take(&pool->ask, ASK_BURST, ASK_EVERY_NS, now_ns);
}

bool br_pool_may_tell(struct br_pool *pool, uint64_t now_ns)
{
	return take(&pool->tell, TELL_BURST, TELL_EVERY_NS, now_ns);
}

static struct offer *find_offer(const struct br_pool *pool, struct br_mac mac)
{
	unsigned hash = (unsigned)hash_of(pool, mac);
	struct offer *o;

	HASH_FIND_BYHASHVALUE(by_mac, pool->by_mac, mac.b, sizeof(mac.b), hash, o);
	return o;
}

static void drop_offer(struct br_pool *pool, struct offer *o)
{
	assert(pool->by_mac && pool->by_ip && pool->queue); /* an offer is in all three */
	HASH_DELETE(by_mac, pool->by_mac, o);
	HASH_DELETE(by_ip, pool->by_ip, o);
	DL_DELETE(pool->queue, o);
	DL_APPEND(pool->free, o);
}

static void drop_old(struct br_pool *pool, uint64_t now_ns)
{
	while (pool->queue && pool->queue->until_ns <= now_ns)
		drop_offer(pool, pool->queue);
}

void br_pool_offer(struct br_pool *pool, struct br_mac mac, uint32_t ip, uint64_t now_ns)
{
	unsigned hash = (unsigned)hash_of(pool, mac);
	struct offer *o = find_offer(pool, mac), *other;

	if (o)
		drop_offer(pool, o);
	HASH_FIND(by_ip, pool->by_ip, &ip, sizeof(ip), other);
	if (other)
		drop_offer(pool, other);
	if (!pool->free)
		drop_offer(pool, pool->queue); /* the oldest */
	o = pool->free;
	DL_DELETE(pool->free, o);
	o->mac = mac;
	o->ip = ip;
	o->until_ns = now_ns + OFFER_NS;
	DL_APPEND(pool->queue, o);
	HASH_ADD_BYHASHVALUE(by_mac, pool->by_mac, mac.b, sizeof(o->mac.b), hash, o);
	HASH_ADD(by_ip, pool->by_ip, ip, sizeof(o->ip), o);
}

uint32_t br_pool_offered(struct br_pool *pool, struct br_mac mac, uint64_t now_ns)
{
	struct offer *o = find_offer(pool, mac);

	return o && o->until_ns > now_ns ? o->ip : 0;
}

void br_pool_forget(struct br_pool *pool, struct br_mac mac)
{
	struct offer *o = find_offer(pool, mac);

	if (o)
		drop_offer(pool, o);
}

size_t br_pool_n_offers(struct br_pool *pool, uint64_t now_ns)
{
	drop_old(pool, now_ns);
	return HASH_CNT(by_mac, pool->by_mac);
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

bool br_pool_quarantined(const struct br_pool *pool, uint32_t ip, uint64_t now_ns)
{
	for (size_t i = 0; pool->quarantine_ns > now_ns && i < BR_POOL_QUARANTINE; i++)
		if (pool->quarantine[i].until_ns > now_ns && pool->quarantine[i].ip == ip)
			return true;
	return false;
}

/* That of the address, else one that is over, else the one that is over first. */
static struct claim *slot_for(struct br_pool *pool, uint32_t ip)
{
	struct claim *best = pool->quarantine;

	for (size_t i = 0; i < BR_POOL_QUARANTINE; i++) {
		if (pool->quarantine[i].ip == ip)
			return &pool->quarantine[i];
		if (pool->quarantine[i].until_ns < best->until_ns)
			best = &pool->quarantine[i];
	}
	return best;
}

bool br_pool_quarantine(struct br_pool *pool, uint32_t ip, struct br_mac mac, uint64_t now_ns)
{
	unsigned claims = 0;
	bool is_new = !br_pool_quarantined(pool, ip, now_ns);

	for (size_t i = 0; i < BR_POOL_QUARANTINE; i++)
		claims += pool->quarantine[i].until_ns > now_ns && br_mac_equal(pool->quarantine[i].mac, mac);
	if (is_new && claims >= MAX_CLAIMS)
		return false;
	pool->quarantine_ns = now_ns + QUARANTINE_NS;
	*slot_for(pool, ip) = (struct claim){ .mac = mac, .ip = ip, .until_ns = pool->quarantine_ns };
	return is_new;
}

bool br_pool_is_taken(const struct br_pool *pool, uint32_t ip, struct br_mac mac, uint64_t now_ns)
{
	struct offer *o;

	if (br_pool_quarantined(pool, ip, now_ns))
		return true;
	HASH_FIND(by_ip, pool->by_ip, &ip, sizeof(ip), o);
	return o && o->until_ns > now_ns && !br_mac_equal(o->mac, mac);
}
