/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of the API in the database. */
#include "fleet/token.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "fleet/db.h"

bool br_token_name_ok(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t n = strlen(name);

	return n && n <= BR_TOKEN_NAME_MAX && strspn(name, letters) == n && !strchr("._-", name[0]);
}

int br_token_add(struct br_fleet *fleet, const struct br_token *t, struct br_error *err)
{
	static const char doing[] = "store a token";
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, err, doing);

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_TOKEN_INSERT);
	sqlite3_bind_text(s, 1, t->name, -1, SQLITE_STATIC);
	sqlite3_bind_blob(s, 2, t->hash, sizeof(t->hash), SQLITE_STATIC);
	sqlite3_bind_text(s, 3, t->scope, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, t->boards, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 5, t->made_by, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 6, t->made_at);
	sqlite3_bind_int64(s, 7, t->expires_at);
	r = br_db_run(s);
	if (!r && !sqlite3_changes(fleet->db)) /* INSERT OR IGNORE */
		r = br_error_set(err, EEXIST, "there is a token named '%s'; revoke it, or take another name", t->name);
	return br_db_end(fleet, r, err, doing);
}

int br_token_remove(struct br_fleet *fleet, const char *name, struct br_error *err)
{
	static const char doing[] = "revoke a token";
	char vis[80];
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, err, doing);

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_TOKEN_DELETE);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	r = br_db_run(s);
	if (!r && !sqlite3_changes(fleet->db))
		r = br_error_set(err, ENOENT, "no token is named '%s'; 'bramble token list' shows them", br_vis(vis, sizeof(vis), name, strlen(name)));
	return br_db_end(fleet, r, err, doing);
}

int br_token_used(struct br_fleet *fleet, const char *name, int64_t at)
{
	static const char doing[] = "note that a token was used";
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, true, NULL, doing);

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_TOKEN_USED);
	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, at);
	return br_db_end(fleet, br_db_run(s), NULL, doing);
}

static void row_to_token(sqlite3_stmt *s, struct br_token *ret)
{
	const void *hash = sqlite3_column_blob(s, 1);

	memset(ret, 0, sizeof(*ret));
	br_db_text(s, 0, ret->name, sizeof(ret->name));
	if (hash && sqlite3_column_bytes(s, 1) == sizeof(ret->hash))
		memcpy(ret->hash, hash, sizeof(ret->hash));
	br_db_text(s, 2, ret->scope, sizeof(ret->scope));
	br_db_text(s, 3, ret->boards, sizeof(ret->boards));
	br_db_text(s, 4, ret->made_by, sizeof(ret->made_by));
	ret->made_at = sqlite3_column_int64(s, 5);
	ret->expires_at = sqlite3_column_int64(s, 6);
	ret->used_at = sqlite3_column_int64(s, 7);
}

int br_token_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_token *token), void *ctx)
{
	struct br_token token;
	sqlite3_stmt *s;
	int code, r = 0;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_TOKEN_LIST);
	while (!r && (code = sqlite3_step(s)) != SQLITE_DONE) {
		if (code != SQLITE_ROW) {
			r = br_db_errno(fleet->db);
			break;
		}
		row_to_token(s, &token);
		r = fn(ctx, &token);
	}
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}
