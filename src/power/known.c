/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of boards' power. */
#include "power/known.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static size_t place(const struct br_power_table *t, int64_t board_id)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (t->v[mid].board_id < board_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct br_power_known *br_power_known_find(const struct br_power_table *t, int64_t board_id)
{
	size_t i = place(t, board_id);

	return i < t->n && t->v[i].board_id == board_id ? &t->v[i] : NULL;
}

struct br_power_known *br_power_known(struct br_power_table *t, int64_t board_id)
{
	size_t i = place(t, board_id);

	if (i < t->n && t->v[i].board_id == board_id)
		return &t->v[i];
	if (br_array_reserve(&t->v, &t->cap, t->n + 1, sizeof(t->v[0])) < 0)
		return NULL;
	memmove(&t->v[i + 1], &t->v[i], (t->n - i) * sizeof(t->v[0]));
	t->v[i] = (struct br_power_known){ .board_id = board_id };
	t->n++;
	return &t->v[i];
}

void br_power_table_done(struct br_power_table *t)
{
	free(t->v);
	*t = (struct br_power_table){ 0 };
}

int br_power_known_ended(struct br_power_known *k, const struct br_power_job *job, bool boots, uint64_t boot_ns, uint64_t now_ns)
{
	bool switched_on = job->action == BR_POWER_ON || job->action == BR_POWER_CYCLE || job->action == BR_POWER_RESET;
	enum br_power_state state = job->state;

	if (state == BR_POWER_IS_UNKNOWN && job->r >= 0 && job->action != BR_POWER_STATUS && job->action != BR_POWER_SOFT)
		state = switched_on ? BR_POWER_IS_ON : BR_POWER_IS_OFF; /* the device cannot tell: what it was told */
	if (state != BR_POWER_IS_UNKNOWN || job->action == BR_POWER_STATUS) {
		k->state = state;
		k->read_wall_ns = job->ended_wall_ns;
		snprintf(k->detail, sizeof(k->detail), "%.*s", (int)sizeof(k->detail) - 1, job->text);
	}
	if (job->action == BR_POWER_STATUS)
		return 0;
	if (job->action == BR_POWER_OFF && job->r >= 0) {
		k->up = false;
		k->boot_by_ns = 0;
		k->on_by_us = false;
	}
	if (!switched_on)
		return 0;
	k->wanted_ns = now_ns;
	k->on_by_us = true;
	/* it may have booted before the device told that it is on; one that was on already need not boot */
	if (k->saw_wall_ns < job->queued_wall_ns && !job->was_on)
		k->boot_by_ns = job->r >= 0 && boots ? now_ns + boot_ns : 0;
	return job->r < 0 && job->r != -ECANCELED && job->r != -ENOLCK ? 1 : 0;
}

void br_power_known_saw(struct br_power_known *k, bool up, uint64_t wall_ns, uint64_t now_ns)
{
	k->boot_by_ns = 0;
	k->saw_wall_ns = wall_ns;
	k->wanted_ns = now_ns;
	k->on_by_us = true;
	k->up = up;
	if (up)
		k->failures = 0;
	if (k->state != BR_POWER_IS_ON) { /* whoever boots has power */
		k->state = BR_POWER_IS_ON;
		k->detail[0] = 0;
	}
}

bool br_power_known_late(struct br_power_known *k, uint64_t now_ns)
{
	if (!k->boot_by_ns || now_ns < k->boot_by_ns)
		return false;
	k->boot_by_ns = 0;
	return true;
}

bool br_power_known_idle(const struct br_power_known *k, uint64_t idle_ns, uint64_t now_ns)
{
	return idle_ns && k->on_by_us && k->state == BR_POWER_IS_ON && !k->boot_by_ns && now_ns - k->wanted_ns >= idle_ns;
}
