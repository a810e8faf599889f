/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of reservations: who may use which boards, and who is served (in the order of fairqueue.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "fleet/db.h"
#include "fleet/fairqueue.h"
#include "fleet/quarantine.h"
#include "fleet/reservation_priv.h"

/* Which boards there are, and which of them who waits may use. */
struct look {
	struct br_reservations *m;
	struct br_res **waiting;
	struct br_fair_entry *entries, **sorted;
	size_t n, *caps, *matches; /* matches: boards in quarantine among them */
	int64_t *ids;
	bool *free, *soon;
	size_t n_boards, ids_cap, free_cap, soon_cap;
	int64_t *aside; /* boards in quarantine */
	size_t n_aside, aside_cap;
	char image[98]; /* the default */
};

const struct br_res *br_res_holder(const struct br_reservations *m, int64_t board_id, const struct br_res_board **ret)
{
	for (size_t i = 0; i < m->n; i++) {
		for (size_t k = 0; k < m->live[i]->n_boards; k++) {
			if (m->live[i]->boards[k].id != board_id)
				continue;
			if (ret)
				*ret = &m->live[i]->boards[k];
			return m->live[i];
		}
	}
	return NULL;
}

struct br_selector_facts br_res_facts(const struct br_board *b, const struct br_res_board *held, const char *default_image)
{
	const char *image = held && held->image_kept ? held->was_image : b->image;

	return (struct br_selector_facts){ .image = image[0] ? image : default_image };
}

static int note_aside(void *ctx, const struct br_quarantine *q)
{
	struct look *l = ctx;

	if (br_array_reserve(&l->aside, &l->aside_cap, l->n_aside + 1, sizeof(*l->aside)) < 0)
		return -ENOMEM;
	l->aside[l->n_aside++] = q->board_id;
	return 0;
}

static bool is_aside(const struct look *l, int64_t board_id)
{
	for (size_t i = 0; i < l->n_aside; i++) {
		if (l->aside[i] == board_id)
			return true;
	}
	return false;
}

/* Who waits for this board, the at-th, from now on. */
static int look_for_takers(struct look *l, const struct br_board *b, const struct br_selector_facts *facts, size_t at)
{
	bool aside = is_aside(l, b->id);

	for (size_t i = 0; i < l->n; i++) {
		struct br_fair_entry *e = &l->entries[i];
		size_t *may = (size_t *)(uintptr_t)e->may;

		if (!br_selector_matches(l->waiting[i]->sel, b, facts))
			continue;
		l->matches[i]++;
		if (aside && !l->waiting[i]->r.for_s)
			continue; /* for people only */
		if (br_array_reserve(&may, &l->caps[i], e->n_may + 1, sizeof(*may)) < 0)
			return -ENOMEM;
		may[e->n_may++] = at;
		e->may = may;
		e->n_soon += l->soon[at];
	}
	return 0;
}

static int look_at(void *ctx, const struct br_board *b)
{
	struct look *l = ctx;
	const struct br_res_board *held = NULL;
	const struct br_res *h = br_res_holder(l->m, b->id, &held);
	struct br_selector_facts facts = br_res_facts(b, held, l->image);
	size_t at = l->n_boards, need = at + 1;

	if (br_array_reserve(&l->ids, &l->ids_cap, need, sizeof(*l->ids)) < 0 ||
		br_array_reserve(&l->free, &l->free_cap, need, sizeof(*l->free)) < 0 ||
		br_array_reserve(&l->soon, &l->soon_cap, need, sizeof(*l->soon)) < 0)
		return -ENOMEM;
	l->ids[at] = b->id;
	l->free[at] = !h;
	l->soon[at] = !h || !h->r.for_s;
	l->n_boards = need;
	return look_for_takers(l, b, &facts, at);
}

static void look_done(struct look *l)
{
	for (size_t i = 0; l->entries && i < l->n; i++) {
		free((size_t *)(uintptr_t)l->entries[i].may);
		free(l->entries[i].got);
	}
	free(l->waiting);
	free(l->entries);
	free(l->sorted);
	free(l->caps);
	free(l->matches);
	free(l->aside);
	free(l->ids);
	free(l->free);
	free(l->soon);
}

static int look_start(struct look *l, size_t n)
{
	l->waiting = calloc(n + 1, sizeof(struct br_res *));
	l->entries = calloc(n + 1, sizeof(*l->entries));
	l->sorted = calloc(n + 1, sizeof(struct br_fair_entry *));
	l->caps = calloc(n + 1, sizeof(*l->caps));
	l->matches = calloc(n + 1, sizeof(*l->matches));
	return l->waiting && l->entries && l->sorted && l->caps && l->matches ? 0 : -ENOMEM;
}

static int look_around(struct br_reservations *m, struct look *l)
{
	int r;

	*l = (struct look){ .m = m };
	r = look_start(l, m->n);
	for (size_t i = 0; i < m->n && !r; i++) {
		struct br_res *e = m->live[i];
		struct br_fair_entry *f = &l->entries[l->n];

		if (e->r.state != BR_RESERVATION_WAITING)
			continue;
		*f = (struct br_fair_entry){ .number = e->r.number, .user = e->r.user, .start = e->start, .count = e->r.count,
			.overtaken = e->overtaken, .got = calloc(e->r.count + 1, sizeof(size_t)) };
		r = f->got ? 0 : -ENOMEM;
		l->waiting[l->n] = e;
		l->sorted[l->n++] = f;
	}
	if (!r && m->ops.default_image)
		m->ops.default_image(m->ops.ctx, l->image, sizeof(l->image));
	if (!r)
		r = br_quarantine_list(m->fleet, note_aside, l);
	return r < 0 ? r : br_board_list(m->fleet, look_at, l);
}

static int hold(struct br_reservations *m, struct br_res *e, const struct look *l, const struct br_fair_entry *f, struct br_error *err)
{
	br_cleanup(br_freep) struct br_res_board *boards = calloc(f->count + 1, sizeof(*boards));
	int64_t now = br_db_now(), until = e->r.for_s ? now + (int64_t)e->r.for_s : 0;
	int r;

	if (!boards)
		return br_error_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < f->count; i++)
		boards[i].id = l->ids[f->got[i]];
	r = br_res_db_hold(m, e, boards, f->count, now, until, err);
	if (r < 0)
		return r;
	e->boards = br_take(boards);
	e->n_boards = f->count;
	e->r.state = BR_RESERVATION_HELD;
	e->r.held_at = now;
	e->r.until = until;
	e->until_ns = m->now_ns + e->r.for_s * BR_S;
	e->unconfirmed = e->r.for_s != 0;
	e->r.before = 0;
	br_res_turned(m, e, false);
	br_res_tell_held(m, e);
	return 0;
}

static struct br_res *entry_of(const struct look *l, const struct br_fair_entry *f)
{
	return l->waiting[f - l->entries];
}

/* What became of who waited: held, further on in the queue, or never to be served. */
static int settle(struct br_reservations *m, struct look *l, struct br_error *err)
{
	uint32_t before = 0;
	int r, failed = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct br_fair_entry *f = l->sorted[i];
		struct br_res *e = entry_of(l, f);
		char reason[160];

		r = 0;
		e->overtaken = f->overtaken;
		if (f->served) {
			r = hold(m, e, l, f, err);
		} else if (l->matches[f - l->entries] < f->count) {
			snprintf(reason, sizeof(reason), "only %zu boards match by now, and %u are wanted", l->matches[f - l->entries], f->count);
			r = br_res_end(m, e, "gone", reason, err);
		} else {
			e->r.before = before++;
		}
		failed = failed < 0 ? failed : r; /* nobody waits for what cannot be done for another */
	}
	return failed;
}

/* Under both locks. */
int br_res_serve(struct br_reservations *m)
{
	struct br_error err = BR_ERROR_NULL;
	struct look l;
	int r = look_around(m, &l);

	if (r >= 0 && l.n) {
		br_fair_sort(l.sorted, l.n);
		r = br_fair_serve(l.sorted, l.n, l.free, l.n_boards);
	}
	if (r >= 0)
		r = settle(m, &l, &err);
	look_done(&l);
	if (r < 0)
		br_res_trouble(m, &err, r);
	return r;
}
