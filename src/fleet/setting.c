/* SPDX-License-Identifier: Apache-2.0 */
/* What was set at run time and outlives the daemon: names to text. */
#include <errno.h>
#include <stdio.h>

#include "fleet/db.h"

int br_setting_get(struct br_fleet *fleet, const char *name, char *ret, size_t size)
{
	sqlite3_stmt *s;
	int code, r;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_SETTING_GET);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	code = sqlite3_step(s);
	r = code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : br_db_errno(fleet->db);
	if (!r)
		br_db_text(s, 0, ret, size);
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}

int br_setting_put(struct br_fleet *fleet, const char *name, const char *value, struct br_error *err)
{
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, err, "store a setting");

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_SETTING_PUT);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, value, -1, SQLITE_STATIC);
	return br_db_end(fleet, br_db_run(s), err, "store a setting");
}
