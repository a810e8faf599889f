/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers by peer, by time, by age. */
#include "tftp/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"

int br_tftp_table_init(struct br_tftp_table *table, unsigned max)
{
	size_t n = 64;

	while (n < max)
		n *= 2;
	*table = (struct br_tftp_table){ .n_slots = n, .max = max };
	table->slots = calloc(n, sizeof(struct br_tftp_transfer *));
	table->heap = calloc(max, sizeof(struct br_tftp_transfer *));
	if (!table->slots || !table->heap) {
		br_tftp_table_done(table);
		return -ENOMEM;
	}
	br_random(&table->seed, sizeof(table->seed));
	return 0;
}

void br_tftp_table_done(struct br_tftp_table *table)
{
	assert(!table->n);
	free(table->slots);
	free(table->heap);
	table->slots = NULL;
	table->heap = NULL;
}

/* Multiply and fold: two rounds, so that every bit of the seed and the peer reaches every bit of the slot. */
static struct br_tftp_transfer **slot_of(const struct br_tftp_table *table, uint32_t ip, uint16_t port)
{
	uint64_t h = ((uint64_t)ip << 16 | port) ^ table->seed;

	for (int i = 0; i < 2; i++) {
		h *= 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	return &table->slots[h & (table->n_slots - 1)];
}

struct br_tftp_transfer *br_tftp_table_find(const struct br_tftp_table *table, uint32_t ip, uint16_t port)
{
	struct br_tftp_transfer *t = *slot_of(table, ip, port);

	while (t && (t->peer.ip != ip || t->peer.port != port))
		t = t->hash_next;
	return t;
}

static void heap_put(struct br_tftp_table *table, unsigned i, struct br_tftp_transfer *t)
{
	table->heap[i] = t;
	t->heap_index = i;
}

/* Moves the entry at i to where its wake_ns belongs. */
static void heap_settle(struct br_tftp_table *table, unsigned i)
{
	struct br_tftp_transfer *t = table->heap[i];

	while (i > 0 && table->heap[(i - 1) / 2]->wake_ns > t->wake_ns) {
		heap_put(table, i, table->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child + 1 < table->n && table->heap[child + 1]->wake_ns < table->heap[child]->wake_ns)
			child++;
		if (child >= table->n || table->heap[child]->wake_ns >= t->wake_ns)
			break;
		heap_put(table, i, table->heap[child]);
		i = child;
	}
	heap_put(table, i, t);
}

static struct br_tftp_list *list_of(struct br_tftp_table *table, const struct br_tftp_transfer *t)
{
	return t->peer.proven ? &table->proven : &table->unproven;
}

static void list_append(struct br_tftp_list *list, struct br_tftp_transfer *t)
{
	t->list_prev = list->last;
	t->list_next = NULL;
	if (list->last)
		list->last->list_next = t;
	else
		list->first = t;
	list->last = t;
}

static void list_unlink(struct br_tftp_list *list, struct br_tftp_transfer *t)
{
	if (t->list_prev)
		t->list_prev->list_next = t->list_next;
	else
		list->first = t->list_next;
	if (t->list_next)
		t->list_next->list_prev = t->list_prev;
	else
		list->last = t->list_prev;
}

void br_tftp_table_add(struct br_tftp_table *table, struct br_tftp_transfer *t)
{
	struct br_tftp_transfer **slot = slot_of(table, t->peer.ip, t->peer.port);

	assert(table->n < table->max);
	t->hash_next = *slot;
	*slot = t;
	list_append(list_of(table, t), t);
	t->wake_ns = t->deadline_ns;
	heap_put(table, table->n++, t);
	heap_settle(table, t->heap_index);
}

void br_tftp_table_remove(struct br_tftp_table *table, struct br_tftp_transfer *t)
{
	struct br_tftp_transfer **p = slot_of(table, t->peer.ip, t->peer.port), *last;

	while (*p != t)
		p = &(*p)->hash_next;
	*p = t->hash_next;
	list_unlink(list_of(table, t), t);
	last = table->heap[--table->n];
	if (last != t) {
		heap_put(table, t->heap_index, last);
		heap_settle(table, last->heap_index);
	}
}

void br_tftp_table_set_deadline(struct br_tftp_table *table, struct br_tftp_transfer *t, uint64_t deadline_ns)
{
	t->deadline_ns = deadline_ns;
	if (deadline_ns < t->wake_ns) {
		t->wake_ns = deadline_ns;
		heap_settle(table, t->heap_index);
	}
}

void br_tftp_table_set_proven(struct br_tftp_table *table, struct br_tftp_transfer *t)
{
	if (t->peer.proven)
		return;
	list_unlink(&table->unproven, t);
	t->peer.proven = true;
	list_append(&table->proven, t);
}

struct br_tftp_transfer *br_tftp_table_due(struct br_tftp_table *table, uint64_t now_ns, uint64_t *ret_next_ns)
{
	while (table->n) {
		struct br_tftp_transfer *t = table->heap[0];

		if (t->wake_ns > now_ns) {
			*ret_next_ns = t->wake_ns;
			return NULL;
		}
		if (t->deadline_ns <= now_ns)
			return t;
		t->wake_ns = t->deadline_ns;
		heap_settle(table, 0);
	}
	*ret_next_ns = UINT64_MAX;
	return NULL;
}

struct br_tftp_transfer *br_tftp_table_victim(struct br_tftp_table *table, uint64_t before_ns)
{
	if (table->unproven.first)
		return table->unproven.first;
	/* a few steps of the clock, not a search: a flood of requests must not buy a scan each */
	for (int i = 0; i < 8 && table->proven.first; i++) {
		struct br_tftp_transfer *t = table->proven.first;

		if (t->heard_ns < before_ns)
			return t;
		list_unlink(&table->proven, t);
		list_append(&table->proven, t);
	}
	return NULL;
}
