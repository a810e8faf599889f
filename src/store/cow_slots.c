/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which slots of the slot file are free. Runs are preferred, so that a sequential write
 * stays sequential on the host. Freed slots keep their host blocks for a while (the next
 * write takes them) and are punched out in batches.
 */
#include "base/array.h"
#include "store/cow_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Freed host blocks kept for reuse before they are given back: 4 MiB. */
#define STALE_KEEP 1024u
/* Runs of up to this many slots are looked for among them, in this many words of 64. */
#define STALE_RUN    64u
#define STALE_SEARCH 512u

static bool bit_get(const uint64_t *map, uint32_t i)
{
	return map[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *map, uint32_t i)
{
	map[i / 64] |= 1ull << (i % 64);
}

static void bit_clear(uint64_t *map, uint32_t i)
{
	map[i / 64] &= ~(1ull << (i % 64));
}

static int slots_grow(struct cow_slots *s, uint32_t need)
{
	uint64_t *used, *stale;
	uint64_t cap = 1024;

	if (need <= s->cap)
		return 0;
	if (need > COW_SLOTS_MAX)
		return -ENOSPC;
	while (cap < need)
		cap *= 2;
	used = realloc(s->used, cap / 8);
	if (!used)
		return -ENOMEM;
	s->used = used;
	stale = realloc(s->stale, cap / 8);
	if (!stale)
		return -ENOMEM;
	s->stale = stale;
	memset((uint8_t *)used + s->cap / 8, 0, (cap - s->cap) / 8);
	memset((uint8_t *)stale + s->cap / 8, 0, (cap - s->cap) / 8);
	s->cap = cap > UINT32_MAX ? UINT32_MAX & ~63u : (uint32_t)cap;
	return 0;
}

/* First free slot in [from, to), or 'to'. */
static uint32_t next_free(const struct cow_slots *s, uint32_t from, uint32_t to)
{
	while (from < to) {
		uint64_t word = ~s->used[from / 64] >> (from % 64);

		if (word) {
			from += (uint32_t)__builtin_ctzll(word);
			return from < to ? from : to;
		}
		from = (from / 64 + 1) * 64;
	}
	return to;
}

static void slot_use(struct cow_slots *s, uint32_t slot)
{
	bit_set(s->used, slot);
	s->n_free--;
	if (bit_get(s->stale, slot)) {
		bit_clear(s->stale, slot);
		s->n_stale--;
	}
}

/* First stale run of n slots near the cursor; 'n' of the file when there is none. */
static uint32_t stale_run(const struct cow_slots *s, uint32_t n)
{
	uint32_t word = s->cursor / 64, words = s->n / 64, len = 0;

	for (uint32_t k = 0; k < STALE_SEARCH && k < words; k++, word++) {
		if (word >= words) {
			word = 0;
			len = 0;
		}
		if (!s->stale[word]) {
			len = 0;
			continue;
		}
		for (uint32_t i = 0; i < 64; i++) {
			len = s->stale[word] >> i & 1 ? len + 1 : 0;
			if (len == n)
				return word * 64 + i + 1 - n;
		}
	}
	return s->n;
}

int cow_slots_take(struct cow_slots *s, uint32_t n, uint32_t *ret_first)
{
	uint32_t first, i;
	int r;

	if (n > 1u << 20)
		n = 1u << 20;
	/* A small commit goes where the host's file has blocks: its sync then needs no commit of the host's journal. */
	if (n <= STALE_RUN && s->n_stale >= n) {
		first = stale_run(s, n);
		if (first < s->n) {
			for (i = 0; i < n; i++)
				slot_use(s, first + i);
			*ret_first = first;
			return (int)n;
		}
	}
	/* Searching pays only when a good part is free; else the file grows (free slots are holes). */
	if (s->n_free >= 64 && s->n_free >= s->n / 8) {
		first = next_free(s, s->cursor, s->n);
		if (first == s->n)
			first = next_free(s, 0, s->n);
		for (i = 0; i < n && first + i < s->n && !bit_get(s->used, first + i); i++)
			slot_use(s, first + i);
		s->cursor = first + i < s->n ? first + i : 0;
		*ret_first = first;
		return (int)i;
	}
	if (s->n > COW_SLOTS_MAX - n)
		return -ENOSPC;
	r = slots_grow(s, s->n + n);
	if (r < 0)
		return r;
	*ret_first = s->n;
	for (i = 0; i < n; i++)
		bit_set(s->used, s->n + i);
	s->n += n;
	return (int)n;
}

/* ---- snapshots ---- */

static pthread_mutex_t pins_lock = PTHREAD_MUTEX_INITIALIZER; /* of the list */
static struct cow_pins *all_pins;

static bool pinned(const struct cow_slots *s, uint32_t slot)
{
	for (size_t i = 0; i < s->n_pins; i++)
		if (slot < s->pins[i]->n && bit_get(s->pins[i]->used, slot))
			return true;
	return false;
}

void cow_pins_unref(struct cow_pins *pins)
{
	struct cow_pins **at = &all_pins;

	if (!pins)
		return;
	pthread_mutex_lock(&pins_lock);
	if (--pins->refs == 0) {
		while (*at != pins)
			at = &(*at)->next;
		*at = pins->next;
		free(pins);
	}
	pthread_mutex_unlock(&pins_lock);
}

static int add_pins(struct cow_slots *s, struct cow_pins *pins)
{
	struct cow_pins **p = reallocarray(s->pins, s->n_pins + 1, sizeof(void *));

	if (!p)
		return -ENOMEM;
	s->pins = p;
	s->pins[s->n_pins++] = pins;
	pins->refs++;
	return 0;
}

int cow_slots_pin(struct cow_slots *s, struct cow_pins **ret)
{
	size_t words = (s->n + 63) / 64;
	struct cow_pins *p;
	struct stat st;

	if (fstat(s->fd, &st) < 0)
		return -errno;
	p = malloc(sizeof(*p) + words * sizeof(p->used[0]));
	if (!p)
		return -ENOMEM;
	*p = (struct cow_pins){ .refs = 1, .dev = st.st_dev, .ino = st.st_ino, .n = s->n };
	if (words)
		memcpy(p->used, s->used, words * sizeof(p->used[0]));
	if (add_pins(s, p) < 0) {
		free(p);
		return -ENOMEM;
	}
	pthread_mutex_lock(&pins_lock);
	p->next = all_pins;
	all_pins = p;
	pthread_mutex_unlock(&pins_lock);
	*ret = p;
	return 0;
}

/* Without memory the slot stays used until the layer is opened anew. */
static void put_in_limbo(struct cow_slots *s, uint32_t slot)
{
	if (br_array_reserve(&s->limbo, &s->cap_limbo, s->n_limbo + 1, sizeof(*s->limbo)) < 0)
		return;
	s->limbo[s->n_limbo++] = slot;
}

static int adopt(struct cow_slots *s, struct cow_pins *pins)
{
	int r = add_pins(s, pins);

	for (uint32_t slot = 0; r == 0 && slot < pins->n; slot++) {
		if (!bit_get(pins->used, slot))
			continue;
		r = cow_slots_mark(s, slot);
		if (r == 0)
			put_in_limbo(s, slot);
		else if (r == -EEXIST)
			r = 0;
	}
	return r;
}

int cow_slots_adopt(struct cow_slots *s)
{
	struct stat st;
	int r = 0;

	if (fstat(s->fd, &st) < 0)
		return -errno;
	pthread_mutex_lock(&pins_lock);
	for (struct cow_pins *p = all_pins; p && r == 0; p = p->next)
		if (p->dev == st.st_dev && p->ino == st.st_ino)
			r = adopt(s, p);
	pthread_mutex_unlock(&pins_lock);
	return r;
}

static bool let_go(struct cow_slots *s)
{
	size_t kept = 0, n = s->n_pins;

	for (size_t i = 0; i < n; i++) {
		if (s->pins[i]->refs > 1)
			s->pins[kept++] = s->pins[i];
		else
			cow_pins_unref(s->pins[i]);
	}
	s->n_pins = kept;
	return kept < n;
}

void cow_slots_unpin(struct cow_slots *s)
{
	uint32_t *limbo = s->limbo;
	size_t n = s->n_limbo;

	if (!s->n_pins || !let_go(s))
		return;
	s->limbo = NULL;
	s->n_limbo = s->cap_limbo = 0;
	for (size_t i = 0; i < n; i++)
		cow_slots_free(s, limbo[i]); /* or into limbo again, for another snapshot */
	free(limbo);
}

void cow_slots_free(struct cow_slots *s, uint32_t slot)
{
	if (pinned(s, slot)) {
		put_in_limbo(s, slot);
		return;
	}
	bit_clear(s->used, slot);
	s->n_free++;
	if (!bit_get(s->stale, slot)) {
		bit_set(s->stale, slot);
		s->n_stale++;
	}
}

int cow_slots_mark(struct cow_slots *s, uint32_t slot)
{
	int r;

	if (slot >= s->n) {
		r = slots_grow(s, slot + 1);
		if (r < 0)
			return r;
		s->n_free += slot + 1 - s->n;
		s->n = slot + 1;
	}
	if (bit_get(s->used, slot))
		return -EEXIST;
	bit_set(s->used, slot);
	s->n_free--;
	return 0;
}

void cow_slots_punch(struct cow_slots *s, bool all)
{
	uint32_t i = 0;

	if (!s->n_stale || (!all && (s->n_stale < STALE_KEEP || s->n_stale < s->n / 8)))
		return;
	while (i < s->n) {
		uint32_t first;

		if (!s->stale[i / 64]) {
			i = (i / 64 + 1) * 64;
			continue;
		}
		if (!bit_get(s->stale, i)) {
			i++;
			continue;
		}
		for (first = i; i < s->n && bit_get(s->stale, i); i++)
			bit_clear(s->stale, i);
		/* a file system that cannot punch keeps the blocks; they are reused all the same */
		(void)!fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)first * BR_COW_BLOCK, (off_t)(i - first) * BR_COW_BLOCK);
	}
	s->n_stale = 0;
}

void cow_slots_done(struct cow_slots *s)
{
	for (size_t i = 0; i < s->n_pins; i++)
		cow_pins_unref(s->pins[i]);
	free(s->pins);
	free(s->limbo);
	free(s->used);
	free(s->stale);
}
