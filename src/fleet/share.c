/* SPDX-License-Identifier: Apache-2.0 */
#include "fleet/share.h"

#include <errno.h>
#include <string.h>

#include "fleet/db.h"

bool br_share_name_ok(const char *name)
{
	static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t n = strlen(name);

	return n && n <= BR_SHARE_NAME_MAX && strspn(name, inner) == n && !strchr("._-", name[0]);
}

int br_share_put(struct br_fleet *fleet, const struct br_share *share, struct br_error *err)
{
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, err, "store a share");

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_SHARE_PUT);
	sqlite3_bind_text(s, 1, share->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 2, share->dir, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, share->boards, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, 4, share->read_only);
	sqlite3_bind_int64(s, 5, share->uid);
	sqlite3_bind_int64(s, 6, share->gid);
	sqlite3_bind_blob(s, 7, share->id, sizeof(share->id), SQLITE_STATIC);
	sqlite3_bind_int(s, 8, share->configured);
	return br_db_end(fleet, br_db_run(s), err, "store a share");
}

int br_share_remove(struct br_fleet *fleet, const char *name, struct br_error *err)
{
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, err, "remove a share");

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_SHARE_DELETE);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	r = br_db_run(s);
	if (!r && !sqlite3_changes(fleet->db))
		r = br_error_set(err, ENOENT, "no share is named '%s'; 'bramble share list' shows them", name);
	return br_db_end(fleet, r, err, "remove a share");
}

static void row_to_share(sqlite3_stmt *s, struct br_share *ret)
{
	const void *id = sqlite3_column_blob(s, 6);

	memset(ret, 0, sizeof(*ret));
	br_db_text(s, 0, ret->name, sizeof(ret->name));
	br_db_text(s, 1, ret->dir, sizeof(ret->dir));
	br_db_text(s, 2, ret->boards, sizeof(ret->boards));
	ret->read_only = sqlite3_column_int(s, 3);
	ret->uid = (uint32_t)sqlite3_column_int64(s, 4);
	ret->gid = (uint32_t)sqlite3_column_int64(s, 5);
	if (id && sqlite3_column_bytes(s, 6) == sizeof(ret->id))
		memcpy(ret->id, id, sizeof(ret->id));
	ret->configured = sqlite3_column_int(s, 7);
}

int br_share_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_share *share), void *ctx)
{
	struct br_share share;
	sqlite3_stmt *s;
	int code, r = 0;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_SHARE_LIST);
	while (!r && (code = sqlite3_step(s)) != SQLITE_DONE) {
		if (code != SQLITE_ROW) {
			r = br_db_errno(fleet->db);
			break;
		}
		row_to_share(s, &share);
		r = fn(ctx, &share);
	}
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}
