/* SPDX-License-Identifier: Apache-2.0 */
/* Boards that failed again and again, or were set aside by people. */
#include "fleet/quarantine.h"

#include <errno.h>
#include <string.h>

#include "fleet/db.h"

static void row_to_quarantine(sqlite3_stmt *s, struct br_quarantine *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->board_id = sqlite3_column_int64(s, 0);
	ret->failures = (unsigned)sqlite3_column_int(s, 1);
	ret->since = sqlite3_column_int64(s, 2);
	br_db_text(s, 3, ret->reason, sizeof(ret->reason));
}

int br_quarantine_get(struct br_fleet *fleet, int64_t board_id, struct br_quarantine *ret)
{
	struct br_quarantine q = { .board_id = board_id };
	sqlite3_stmt *s;
	int code;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_QUARANTINE_GET);
	sqlite3_bind_int64(s, 1, board_id);
	code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		row_to_quarantine(s, &q);
	sqlite3_reset(s);
	br_db_unlock(fleet);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return -EIO;
	*ret = q;
	return 0;
}

int br_quarantine_put(struct br_fleet *fleet, const struct br_quarantine *q, struct br_error *err)
{
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, err, "store a quarantine");

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_QUARANTINE_PUT);
	sqlite3_bind_int64(s, 1, q->board_id);
	sqlite3_bind_int64(s, 2, q->failures);
	sqlite3_bind_int64(s, 3, q->since);
	sqlite3_bind_text(s, 4, q->reason, -1, SQLITE_STATIC);
	return br_db_end(fleet, br_db_run(s), err, "store a quarantine");
}

int br_quarantine_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_quarantine *q), void *ctx)
{
	struct br_quarantine q;
	sqlite3_stmt *s;
	int code, r = 0;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_QUARANTINE_LIST);
	while (!r && (code = sqlite3_step(s)) != SQLITE_DONE) {
		if (code != SQLITE_ROW) {
			r = br_db_errno(fleet->db);
			break;
		}
		row_to_quarantine(s, &q);
		r = fn(ctx, &q);
	}
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}
