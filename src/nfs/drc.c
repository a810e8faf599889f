/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/drc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

#define CHECKED_BYTES 256          /* enough to see the arguments of all but WRITE's data */
#define KEEP_NS       (120 * BR_S) /* longer than any client keeps trying on one connection */
#define NONE          UINT32_MAX

enum state { FREE, BUSY, DONE };

struct entry {
	struct br_nfs_drc_key key;
	enum state state;
	uint32_t next; /* in its bucket */
	uint64_t life, since_ns;
	size_t len;
	uint8_t *reply;
};

struct br_nfs_drc {
	unsigned n;    /* entries and buckets */
	unsigned hand; /* the entry used next, which is the oldest */
	uint64_t lives;
	uint32_t *buckets;
	struct entry entries[];
};

struct br_nfs_drc *br_nfs_drc_new(unsigned n_entries)
{
	struct br_nfs_drc *drc = calloc(1, sizeof(*drc) + n_entries * sizeof(drc->entries[0]));

	if (!drc)
		return NULL;
	drc->n = n_entries;
	drc->buckets = malloc(n_entries * sizeof(drc->buckets[0]));
	if (!drc->buckets) {
		free(drc);
		return NULL;
	}
	for (unsigned i = 0; i < n_entries; i++)
		drc->buckets[i] = NONE;
	return drc;
}

void br_nfs_drc_free(struct br_nfs_drc *drc)
{
	if (!drc)
		return;
	for (unsigned i = 0; i < drc->n && i < drc->lives; i++) /* the others were never used */
		free(drc->entries[i].reply);
	free(drc->buckets);
	free(drc);
}

uint32_t br_nfs_drc_check(const void *data, size_t len)
{
	return br_crc32c((uint32_t)len, data, len < CHECKED_BYTES ? len : CHECKED_BYTES);
}

static uint32_t *bucket(struct br_nfs_drc *drc, const struct br_nfs_drc_key *key)
{
	uint32_t h = (key->xid ^ key->ip * 0x9e3779b1u ^ (uint32_t)key->port << 7) * 0x85ebca6bu;

	return &drc->buckets[(h >> 8) & (drc->n - 1)];
}

static void forget(struct br_nfs_drc *drc, struct entry *e)
{
	uint32_t slot = (uint32_t)(e - drc->entries);

	if (e->state == FREE)
		return;
	for (uint32_t *at = bucket(drc, &e->key); *at != NONE; at = &drc->entries[*at].next) {
		if (*at == slot) {
			*at = e->next;
			break;
		}
	}
	free(e->reply);
	*e = (struct entry){ .state = FREE };
}

static bool same(const struct br_nfs_drc_key *a, const struct br_nfs_drc_key *b)
{
	return a->xid == b->xid && a->ip == b->ip && a->port == b->port && a->check == b->check;
}

enum br_nfs_drc_result br_nfs_drc_begin(struct br_nfs_drc *drc, const struct br_nfs_drc_key *key,
	uint64_t now_ns, struct br_nfs_drc_token *ret_token, const void **ret_reply,
	size_t *ret_len)
{
	uint32_t *head = bucket(drc, key), slot;
	struct entry *e;

	for (uint32_t i = *head; i != NONE; i = drc->entries[i].next) {
		e = &drc->entries[i];
		if (!same(&e->key, key) || now_ns - e->since_ns > KEEP_NS)
			continue;
		if (e->state == BUSY)
			return BR_NFS_DRC_BUSY;
		*ret_reply = e->reply;
		*ret_len = e->len;
		return BR_NFS_DRC_DONE;
	}
	slot = drc->hand++ & (drc->n - 1);
	e = &drc->entries[slot];
	forget(drc, e);
	*e = (struct entry){
		.key = *key, .state = BUSY, .next = *head, .life = ++drc->lives, .since_ns = now_ns
	};
	*head = slot;
	*ret_token = (struct br_nfs_drc_token){ .slot = slot, .life = e->life };
	return BR_NFS_DRC_NEW;
}

static struct entry *find(struct br_nfs_drc *drc, struct br_nfs_drc_token token)
{
	struct entry *e = &drc->entries[token.slot];

	return token.life && e->life == token.life ? e : NULL;
}

void br_nfs_drc_finish(
	struct br_nfs_drc *drc, struct br_nfs_drc_token token, const void *reply, size_t len)
{
	struct entry *e = find(drc, token);

	if (!e)
		return;
	e->reply = len <= BR_NFS_DRC_REPLY_MAX ? malloc(len) : NULL;
	if (!e->reply) {
		forget(drc, e);
		return;
	}
	memcpy(e->reply, reply, len);
	e->len = len;
	e->state = DONE;
}

void br_nfs_drc_drop(struct br_nfs_drc *drc, struct br_nfs_drc_token token)
{
	struct entry *e = find(drc, token);

	if (e)
		forget(drc, e);
}
