/* SPDX-License-Identifier: Apache-2.0 */
/* Who is served next, and with which boards. */
#include "fleet/fairqueue.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

uint64_t br_fair_start(const struct br_fair_entry *const *waiting, size_t n, uint64_t last_end, uint64_t all_end)
{
	/* who comes when nobody waits finds all that was before forgotten */
	uint64_t now = n ? UINT64_MAX : all_end;

	for (size_t i = 0; i < n; i++)
		now = waiting[i]->start < now ? waiting[i]->start : now;
	return last_end > now ? last_end : now;
}

static bool aged(const struct br_fair_entry *e)
{
	return e->overtaken >= BR_FAIR_OVERTAKEN_MAX;
}

static int compare(const void *pa, const void *pb)
{
	const struct br_fair_entry *a = *(struct br_fair_entry *const *)pa, *b = *(struct br_fair_entry *const *)pb;

	if (aged(a) != aged(b))
		return aged(a) ? -1 : 1;
	if (!aged(a) && a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

void br_fair_sort(struct br_fair_entry **waiting, size_t n)
{
	if (n)
		qsort(waiting, n, sizeof(struct br_fair_entry *), compare);
}

/* Of those it may use and that are free, the one fewest others wait for; SIZE_MAX: none. */
static size_t cheapest(const struct br_fair_entry *e, const bool *free, const uint32_t *demand)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < e->n_may; i++) {
		size_t b = e->may[i];

		if (free[b] && (best == SIZE_MAX || demand[b] < demand[best]))
			best = b;
	}
	return best;
}

static size_t count_free(const struct br_fair_entry *e, const bool *free)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n_may; i++)
		n += free[e->may[i]];
	return n;
}

static void serve_one(struct br_fair_entry *e, bool *free, const uint32_t *demand)
{
	if (count_free(e, free) < e->count) {
		for (size_t i = 0; i < e->n_may && e->n_soon >= e->count; i++)
			free[e->may[i]] = false; /* kept for it */
		return;
	}
	for (uint32_t i = 0; i < e->count; i++) {
		e->got[i] = cheapest(e, free, demand);
		free[e->got[i]] = false;
	}
	e->served = true;
}

static bool may_use(const struct br_fair_entry *e, size_t board)
{
	for (size_t i = 0; i < e->n_may; i++) {
		if (e->may[i] == board)
			return true;
	}
	return false;
}

/* Whether a younger one got a board that e could have had. */
static bool overtook(const struct br_fair_entry *by, const struct br_fair_entry *e)
{
	if (!by->served || by->number < e->number)
		return false;
	for (uint32_t i = 0; i < by->count; i++) {
		if (may_use(e, by->got[i]))
			return true;
	}
	return false;
}

static bool first_of_user(struct br_fair_entry *const *sorted, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (!sorted[i]->served && !strcmp(sorted[i]->user, sorted[at]->user))
			return false;
	}
	return true;
}

/* Only the first of each user ages: who has queued a hundred would otherwise have a hundred before all others some day. */
static void count_overtaken(struct br_fair_entry *const *sorted, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (sorted[i]->served || !first_of_user(sorted, i))
			continue;
		for (size_t k = 0; k < n; k++)
			sorted[i]->overtaken += overtook(sorted[k], sorted[i]);
	}
}

int br_fair_serve(struct br_fair_entry *const *sorted, size_t n, bool *free, size_t n_boards)
{
	br_cleanup(br_freep) uint32_t *demand = calloc(n_boards + 1, sizeof(*demand));
	int served = 0;

	if (!demand)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < sorted[i]->n_may; k++)
			demand[sorted[i]->may[k]]++;
	}
	for (size_t i = 0; i < n; i++) {
		serve_one(sorted[i], free, demand);
		served += sorted[i]->served;
	}
	if (served)
		count_overtaken(sorted, n);
	return served;
}
