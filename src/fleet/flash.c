/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to flash boards. */
#include "fleet/flash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "fleet/db.h"

static const char *const states[] = { "waiting", "writing", "verified", "done", "failed", "cancelled" };

const char *br_flash_state_name(enum br_flash_state state)
{
	return states[state];
}

static void row_to_order(sqlite3_stmt *s, struct br_flash_order *ret)
{
	char state[16];

	memset(ret, 0, sizeof(*ret));
	ret->id = sqlite3_column_int64(s, 0);
	ret->board_id = sqlite3_column_int64(s, 1);
	br_db_text(s, 2, ret->image, sizeof(ret->image));
	br_db_text(s, 3, ret->sha256, sizeof(ret->sha256));
	br_db_text(s, 4, ret->target, sizeof(ret->target));
	br_db_text(s, 5, ret->verify, sizeof(ret->verify));
	br_db_text(s, 6, ret->up, sizeof(ret->up));
	ret->keep = sqlite3_column_int(s, 7) != 0;
	br_db_text(s, 8, ret->place, sizeof(ret->place));
	br_db_text(s, 9, state, sizeof(state));
	ret->state = BR_FLASH_FAILED;
	for (size_t i = 0; i < BR_ARRAY_SIZE(states); i++)
		if (!strcmp(state, states[i]))
			ret->state = (enum br_flash_state)i;
	br_db_text(s, 10, ret->what, sizeof(ret->what));
	br_db_text(s, 11, ret->reason, sizeof(ret->reason));
	ret->ordered_at = sqlite3_column_int64(s, 12);
	ret->started_at = sqlite3_column_int64(s, 13);
	ret->verified_at = sqlite3_column_int64(s, 14);
	ret->ended_at = sqlite3_column_int64(s, 15);
	ret->reservation = sqlite3_column_int64(s, 16);
}

static int one(struct br_fleet *fleet, enum br_stmt which, int64_t key, struct br_flash_order *ret)
{
	sqlite3_stmt *s;
	int code, r;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, which);
	sqlite3_bind_int64(s, 1, key);
	code = sqlite3_step(s);
	r = code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : br_db_errno(fleet->db);
	if (!r)
		row_to_order(s, ret);
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}

int br_flash_order_by_id(struct br_fleet *fleet, int64_t id, struct br_flash_order *ret)
{
	return one(fleet, ST_FLASH_BY_ID, id, ret);
}

int br_flash_order_last(struct br_fleet *fleet, int64_t board_id, struct br_flash_order *ret)
{
	return one(fleet, ST_FLASH_LAST, board_id, ret);
}

int br_flash_order_add(struct br_fleet *fleet, struct br_flash_order *o, struct br_error *err)
{
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, err, "store a flash order");

	if (r < 0)
		return r;
	o->ordered_at = br_db_now();
	s = br_db_stmt(fleet, ST_FLASH_INSERT);
	sqlite3_bind_int64(s, 1, o->board_id);
	sqlite3_bind_text(s, 2, o->image, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, o->sha256, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, o->target, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 5, o->verify, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 6, o->up, -1, SQLITE_STATIC);
	sqlite3_bind_int(s, 7, o->keep);
	sqlite3_bind_text(s, 8, states[o->state], -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 9, o->ordered_at);
	sqlite3_bind_int64(s, 10, o->reservation);
	r = br_db_run(s);
	if (!r)
		o->id = sqlite3_last_insert_rowid(fleet->db);
	if (r == -EEXIST)
		br_error_set(err, EEXIST, "the board has a flash order already: 'bramble flash list' shows it, 'bramble flash "
			"cancel' withdraws it");
	return br_db_end(fleet, r, err, "store a flash order");
}

int br_flash_order_save(struct br_fleet *fleet, const struct br_flash_order *o, struct br_error *err)
{
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, err, "store a flash order");

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_FLASH_UPDATE);
	sqlite3_bind_int64(s, 1, o->id);
	sqlite3_bind_text(s, 2, o->place, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, states[o->state], -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 4, o->what, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 5, o->reason, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 6, o->started_at);
	sqlite3_bind_int64(s, 7, o->verified_at);
	sqlite3_bind_int64(s, 8, o->ended_at);
	return br_db_end(fleet, br_db_run(s), err, "store a flash order");
}

int br_flash_set_road(struct br_fleet *fleet, int64_t board_id)
{
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, NULL, NULL);

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_FLASH_ROAD);
	sqlite3_bind_int64(s, 1, board_id);
	return br_db_end(fleet, br_db_run(s), NULL, NULL);
}

int br_flash_order_list(struct br_fleet *fleet, size_t n, int (*fn)(void *ctx, const struct br_flash_order *order), void *ctx)
{
	int64_t before = INT64_MAX;
	size_t told = 0;

	for (;;) {
		struct br_flash_order o;
		int r = one(fleet, ST_FLASH_BEFORE, before, &o);

		if (r < 0)
			return r == -ENOENT ? 0 : r;
		r = fn(ctx, &o);
		if (r || (n && ++told == n))
			return r;
		before = o.id;
	}
}
