/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy-on-write layer: commit, in three steps. begin moves the pending group to slots and takes it over as the
 * flight; from then on a new group may collect, which treats the flight's slots as committed ones. sync appends the
 * record and syncs both files, touching nothing that others touch. end frees the slots that the flight replaced, or
 * gives the flight back to the group.
 *
 * The record goes out before the slots are synced: only the last record of a log can have blocks that did not reach
 * the disk (the next one is written after both syncs), and replay checks the CRCs of that one. So the host makes one
 * journal commit of both.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "store/cow_priv.h"

#define STAGE 64u /* blocks per write when memory goes to slots */

struct cow_flight {
	pthread_mutex_t lock; /* of state and r */
	pthread_cond_t synced;
	enum { NONE, SYNCING, SYNCED } state;
	int r;
	uint64_t ticket;
	uint32_t n;
	struct cow_entry *entries;
	uint32_t *before; /* what each block's value was; as long as entries */
};

struct cow_flight *cow_flight_new(void)
{
	struct cow_flight *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->synced, NULL);
	return f;
}

void cow_flight_free(struct cow_flight *f)
{
	if (!f)
		return;
	assert(f->state == NONE);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->synced);
	free(f);
}

static void flight_land(struct cow_flight *f)
{
	free(br_take(f->entries));
	free(br_take(f->before));
	f->n = 0;
	pthread_mutex_lock(&f->lock);
	f->state = NONE;
	pthread_mutex_unlock(&f->lock);
}

bool cow_flying(const struct br_cow *cow)
{
	return cow->flight->entries;
}

/* ---- begin ---- */

static int by_block(const void *a, const void *b)
{
	const struct cow_pending *const *x = a, *const *y = b;

	return (*x)->block < (*y)->block ? -1 : (*x)->block > (*y)->block;
}

/* Moves n (up to STAGE) blocks from memory to slots. */
static int spill_some(struct br_cow *cow, struct cow_pending **list, uint32_t n, uint8_t *stage)
{
	uint32_t first = 0;
	int got = cow_slots_take(&cow->slots, n, &first);
	ssize_t r;

	if (got < 0)
		return got;
	for (uint32_t i = 0; i < (uint32_t)got; i++)
		memcpy(stage + (size_t)i * BR_COW_BLOCK, list[i]->mem, BR_COW_BLOCK);
	r = cow_pwrite(cow, cow->slots.fd, stage, (size_t)got * BR_COW_BLOCK, (uint64_t)first * BR_COW_BLOCK);
	for (uint32_t i = 0; i < (uint32_t)got; i++) {
		if (r < 0) {
			cow_slots_free(&cow->slots, first + i);
			continue;
		}
		list[i]->crc = br_crc32c(0, list[i]->mem, BR_COW_BLOCK);
		cow_replace(cow, list[i], first + i + 1);
	}
	return r < 0 ? (int)r : got;
}

/* libext2fs writes much that did not change (bitmaps, descriptors): such blocks go back to what they were. */
static int drop_unchanged(struct br_cow *cow, struct cow_pending *e, bool *ret_dropped)
{
	uint8_t old[BR_COW_BLOCK];
	int r = cow_read_value(cow, e->block, e->committed, old);

	if (r < 0)
		return r;
	*ret_dropped = memcmp(old, e->mem, BR_COW_BLOCK) == 0;
	if (*ret_dropped)
		cow_replace(cow, e, e->committed);
	return 0;
}

int cow_spill(struct br_cow *cow)
{
	br_cleanup(br_freep) struct cow_pending **list = malloc((cow->n_mem + 1) * sizeof(struct cow_pending *));
	br_cleanup(br_freep) uint8_t *stage = malloc((size_t)STAGE * BR_COW_BLOCK);
	uint32_t n = 0, done = 0;
	int r;

	if (!list || !stage)
		return -ENOMEM;
	for (size_t i = 0; i < cow->n_pend; i++) {
		bool dropped;

		if (!cow->pend[i].mem)
			continue;
		r = drop_unchanged(cow, &cow->pend[i], &dropped);
		if (r < 0)
			return r;
		if (!dropped)
			list[n++] = &cow->pend[i];
	}
	qsort(list, n, sizeof(struct cow_pending *), by_block);
	while (done < n) {
		r = spill_some(cow, list + done, n - done < STAGE ? n - done : STAGE, stage);
		if (r < 0)
			return r;
		done += (uint32_t)r;
	}
	return 0;
}

static void group_clear(struct br_cow *cow)
{
	cow->n_pend = 0;
	if (cow->cap_hash > 4096) { /* a great group is rare: do not keep its tables */
		free(br_take(cow->hash));
		free(br_take(cow->pend));
		cow->cap_hash = cow->cap_pend = 0;
	} else if (cow->hash) {
		memset(cow->hash, 0, cow->cap_hash * sizeof(*cow->hash));
	}
}

/* The group becomes the flight; all of it is in slots. 0: nothing of it changed anything. */
static int take_off(struct br_cow *cow)
{
	static atomic_uint_least64_t tickets; /* never the same twice: layers exchange what they are */
	br_cleanup(br_freep) struct cow_pending **list = malloc((cow->n_pend + 1) * sizeof(struct cow_pending *));
	struct cow_flight *f = cow->flight;
	uint32_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < cow->n_pend; i++)
		if (cow_get(cow, cow->pend[i].block) != cow->pend[i].committed)
			list[n++] = &cow->pend[i];
	if (n) {
		f->entries = malloc(n * sizeof(*f->entries));
		f->before = malloc(n * sizeof(*f->before));
		if (!f->entries || !f->before) {
			free(br_take(f->entries));
			free(br_take(f->before));
			return -ENOMEM;
		}
		qsort(list, n, sizeof(struct cow_pending *), by_block);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t value = cow_get(cow, list[i]->block);

		f->entries[i] = (struct cow_entry){ list[i]->block, value, value ? list[i]->crc : 0 };
		f->before[i] = list[i]->committed;
	}
	f->n = n;
	f->ticket = ++tickets;
	f->state = n ? SYNCING : NONE; /* nobody else looks at it yet */
	group_clear(cow);
	return n > 0;
}

/* ---- end ---- */

/* It is not known to be stable: its blocks are pending again, as if nothing had been tried. */
static int give_back(struct br_cow *cow)
{
	struct cow_flight *f = cow->flight;

	for (uint32_t i = 0; i < f->n; i++) {
		const struct cow_entry *x = &f->entries[i];
		struct cow_pending *e = cow_pend_find(cow, x->block);
		uint32_t now = cow_get(cow, x->block);

		if (!e) {
			if (cow_reserve(cow, x->block, 1) < 0)
				return -ENOMEM;
			e = cow_pend_add(cow, x->block, f->before[i]);
		}
		e->committed = f->before[i];
		if (now == x->value)
			e->crc = x->crc;
		else if (x->value)
			cow_slots_free(&cow->slots, x->value - 1);
	}
	return 0;
}

static void land(struct br_cow *cow)
{
	struct cow_flight *f = cow->flight;

	if (f->r < 0) {
		if (give_back(cow) < 0)
			cow->broken = true;
	} else {
		for (uint32_t i = 0; i < f->n; i++)
			if (f->before[i])
				cow_slots_free(&cow->slots, f->before[i] - 1);
	}
	flight_land(f);
	if (cow->broken)
		return;
	cow_slots_unpin(&cow->slots);
	/* The commit is done; a log that could not be shortened (host full) is only longer. */
	(void)cow_log_compact(cow, false);
	cow_slots_punch(&cow->slots, false);
}

/* A commit that another thread is syncing: waits for it and ends it in its place. */
static void settle(struct br_cow *cow)
{
	struct cow_flight *f = cow->flight;

	if (!cow_flying(cow))
		return;
	pthread_mutex_lock(&f->lock);
	while (f->state == SYNCING)
		pthread_cond_wait(&f->synced, &f->lock);
	pthread_mutex_unlock(&f->lock);
	land(cow);
}

/* ---- the three steps ---- */

int br_cow_commit_begin(struct br_cow *cow, uint64_t *ret_ticket)
{
	int r;

	assert(!cow->in_op);
	settle(cow);
	if (!cow->n_pend)
		return 0;
	if (cow->broken)
		return -EIO;
	r = cow_spill(cow);
	if (r == 0)
		r = take_off(cow);
	if (r > 0)
		*ret_ticket = cow->flight->ticket;
	return r;
}

int br_cow_commit_sync(struct br_cow *cow, uint64_t ticket)
{
	struct cow_flight *f = cow->flight;
	int r;

	assert(f->ticket == ticket && f->state == SYNCING);
	r = cow_log_append(cow, f->entries, f->n);
	pthread_mutex_lock(&f->lock);
	f->r = r;
	f->state = SYNCED;
	pthread_cond_broadcast(&f->synced);
	pthread_mutex_unlock(&f->lock);
	return r;
}

int br_cow_commit_end(struct br_cow *cow, uint64_t ticket, int r)
{
	if (cow_flying(cow) && cow->flight->ticket == ticket)
		land(cow);
	return r;
}

int br_cow_commit(struct br_cow *cow)
{
	uint64_t ticket;
	int r = br_cow_commit_begin(cow, &ticket);

	return r <= 0 ? r : br_cow_commit_end(cow, ticket, br_cow_commit_sync(cow, ticket));
}
