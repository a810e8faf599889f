/* SPDX-License-Identifier: Apache-2.0 */
/* What boards told of themselves. */
#include "fleet/fact.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "fleet/db.h"

static bool printable(const char *s)
{
	for (; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			return false;
	return true;
}

bool br_fact_ok(const char *name, const char *value)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t n = strlen(name);

	return n && n <= BR_FACT_NAME_MAX && strspn(name, letters) == n && strlen(value) <= BR_FACT_VALUE_MAX &&
	       printable(value);
}

bool br_fact_known(const char *name)
{
	static const char *const known[] = {
		"ADVANCED_BOOT", "BOARD_ATTR", "BOOT_ROM", BR_FACT_KEY_HASH, "EEPROM_HASH", "EEPROM_UPDATE", "FACTORY_UUID",
		"JTAG_LOCKED", "MAC_ADDR", "MAC_BT_ADDR", "MAC_WIFI_ADDR", "SECURE_BOOT_PROVISION", "SIGNATURE_MODE",
		"USER_BOARDREV", "USER_SERIAL_NUM",
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(known); i++)
		if (!strcmp(known[i], name))
			return true;
	return false;
}

bool br_fact_is_key_hash(const char *value)
{
	return value && strlen(value) == 64 && strspn(value, "0123456789abcdefABCDEF") == 64 && strspn(value, "0") < 64;
}

static int put(struct br_fleet *fleet, int64_t board_id, const struct br_fact *fact, struct br_error *err)
{
	sqlite3_stmt *s;

	if (!br_fact_ok(fact->name, fact->value))
		return br_error_set(err, EINVAL, "a fact's name must be 1 to %d of letters, digits, '_', '.' and '-', its value at most %d "
			"printable characters", BR_FACT_NAME_MAX, BR_FACT_VALUE_MAX);
	s = br_db_stmt(fleet, ST_FACT_PUT);
	sqlite3_bind_int64(s, 1, board_id);
	sqlite3_bind_text(s, 2, fact->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 3, fact->value, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 4, br_db_now());
	return br_db_run(s);
}

/* 1: there is room for a fact of this name; 0: there is none. The lock is held. */
static int has_room(struct br_fleet *fleet, int64_t board_id, const char *name)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_FACT_LIST);
	bool there = br_fact_known(name);
	char other[BR_FACT_NAME_MAX + 1];
	int code = SQLITE_DONE, made_up = 0;

	sqlite3_bind_int64(s, 1, board_id);
	while (!there && (code = sqlite3_step(s)) == SQLITE_ROW) {
		br_db_text(s, 0, other, sizeof(other));
		there = !strcmp(other, name);
		made_up += !br_fact_known(other);
	}
	sqlite3_reset(s);
	if (!there && code != SQLITE_DONE)
		return br_db_errno(fleet->db);
	return there || made_up < BR_FACTS_MAX;
}

int br_facts_put(struct br_fleet *fleet, int64_t board_id, const struct br_fact *facts, size_t n, struct br_error *err)
{
	static const char doing[] = "store what a board tells of itself";
	int r = br_db_begin(fleet, false, err, doing);
	size_t left_out = 0;

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r >= 0; i++) {
		r = has_room(fleet, board_id, facts[i].name);
		left_out += r == 0;
		if (r > 0)
			r = put(fleet, board_id, &facts[i], err);
	}
	r = br_db_end(fleet, r, err, doing);
	if (r < 0 || !left_out)
		return r < 0 ? r : 0;
	return br_error_set(err, ENOSPC, "a board tells more than %d different things of itself; %zu are left out", BR_FACTS_MAX,
		left_out);
}

int br_facts_list(struct br_fleet *fleet, int64_t board_id, int (*fn)(void *ctx, const struct br_fact *fact), void *ctx)
{
	struct br_fact fact;
	sqlite3_stmt *s;
	int code, r = 0;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_FACT_LIST);
	sqlite3_bind_int64(s, 1, board_id);
	while (!r && (code = sqlite3_step(s)) != SQLITE_DONE) {
		if (code != SQLITE_ROW) {
			r = br_db_errno(fleet->db);
			break;
		}
		br_db_text(s, 0, fact.name, sizeof(fact.name));
		br_db_text(s, 1, fact.value, sizeof(fact.value));
		fact.told_at = sqlite3_column_int64(s, 2);
		r = fn(ctx, &fact);
	}
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}
