/* SPDX-License-Identifier: Apache-2.0 */
/* Old events go: the state on disk stays bounded. A batch at a time, the oldest first. */
#include "base/clock.h"
#include "fleet/db.h"

void br_event_retain(struct br_fleet *fleet, uint64_t age_s, uint64_t n)
{
	atomic_store(&fleet->keep_s, age_s);
	atomic_store(&fleet->keep_n, n);
}

/* What both statements ask for: ?1 after, ?2 up to this number, ?3 before this time. Under the lock. */
static sqlite3_stmt *bind_limits(struct br_fleet *fleet, enum br_stmt which)
{
	uint64_t age_s = atomic_load(&fleet->keep_s), n = atomic_load(&fleet->keep_n);
	uint64_t wall = br_wall_ns(), newest = br_event_last(fleet);
	sqlite3_stmt *s = br_db_stmt(fleet, which);

	sqlite3_bind_int64(s, 1, (int64_t)fleet->forget_after);
	sqlite3_bind_int64(s, 2, n && newest > n ? (int64_t)(newest - n) : 0);
	sqlite3_bind_int64(s, 3, age_s && wall / BR_S > age_s ? (int64_t)(wall - age_s * BR_S) : 0);
	return s;
}

/* The last event of the next batch that is too old or too many; 0: none is. Under the lock. */
static uint64_t last_old(struct br_fleet *fleet)
{
	sqlite3_stmt *s = bind_limits(fleet, ST_EVENT_OLD);
	uint64_t last = 0;

	if (sqlite3_step(s) == SQLITE_ROW)
		last = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return last;
}

int br_events_forget(struct br_fleet *fleet)
{
	uint64_t last;
	sqlite3_stmt *s;
	int r;

	/* a power cut may undo it; a failure (a full disk) is told of by those who must store something */
	if (br_db_begin(fleet, true, NULL, "remove old events") < 0)
		return 0;
	last = last_old(fleet);
	if (!last) {
		fleet->forget_after = 0;
		br_db_end(fleet, 0, NULL, "remove old events");
		return 0;
	}
	s = bind_limits(fleet, ST_EVENT_FORGET);
	sqlite3_bind_int64(s, 4, (int64_t)last);
	r = br_db_end(fleet, br_db_run(s), NULL, "remove old events");
	fleet->forget_after = r < 0 ? 0 : last;
	return r < 0 ? 0 : 1;
}
