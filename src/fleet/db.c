/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet's database: opening, the daemon's lock, migrations, statements, transactions.
 * One connection under one mutex: SQLite serialises writers anyway, and every call is short.
 */
#include "fleet/db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fleet/event.h"

#define BUSY_MS 5000

/* Never edit a step that was released: add one. A MAC is its six bytes as a number, a serial the bits of
 * its 64 as SQLite's signed number, NULL when not known. */
const char *const br_db_steps[] = {
	"CREATE TABLE board("
	" id INTEGER PRIMARY KEY AUTOINCREMENT," /* an id is never used again: events keep theirs */
	" name TEXT NOT NULL UNIQUE,"
	" mac INTEGER UNIQUE,"
	" serial INTEGER,"
	" serial_low INTEGER UNIQUE," /* what the network carries */
	" revision INTEGER NOT NULL DEFAULT 0,"
	" model TEXT NOT NULL DEFAULT '',"
	" image TEXT NOT NULL DEFAULT '',"
	" disk TEXT NOT NULL DEFAULT '',"
	" road TEXT NOT NULL DEFAULT '',"
	" notes TEXT NOT NULL DEFAULT '',"
	" adopted_at INTEGER NOT NULL,"
	" seen_at INTEGER NOT NULL DEFAULT 0,"
	" boots INTEGER NOT NULL DEFAULT 0"
	") STRICT;"
	"CREATE TABLE secret("
	" board_id INTEGER NOT NULL,"
	" kind TEXT NOT NULL,"
	" value BLOB NOT NULL,"
	" PRIMARY KEY(board_id, kind)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE lease("
	" mac INTEGER PRIMARY KEY,"
	" ip INTEGER NOT NULL UNIQUE,"
	" board_id INTEGER NOT NULL DEFAULT 0,"
	" given_at INTEGER NOT NULL,"
	" expires_at INTEGER NOT NULL"
	") STRICT;"
	"CREATE INDEX lease_board ON lease(board_id) WHERE board_id <> 0;"
	"CREATE INDEX lease_expires ON lease(expires_at) WHERE board_id = 0;"
	"CREATE TABLE event("
	" seq INTEGER PRIMARY KEY,"
	" wall_ns INTEGER NOT NULL,"
	" board_id INTEGER NOT NULL,"
	" boot INTEGER NOT NULL,"
	" type TEXT NOT NULL,"
	" fields TEXT NOT NULL"
	") STRICT;"
	"CREATE INDEX event_board ON event(board_id, seq);",
	("ALTER TABLE board ADD COLUMN address INTEGER NOT NULL DEFAULT 0;"
	 "CREATE UNIQUE INDEX board_address ON board(address) WHERE address <> 0;"),
	"CREATE TABLE setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
	"ALTER TABLE board ADD COLUMN disk_size INTEGER NOT NULL DEFAULT 0;",
	("ALTER TABLE board ADD COLUMN persist TEXT NOT NULL DEFAULT '';"
	 "CREATE TABLE share("
	 " name TEXT PRIMARY KEY,"
	 " dir TEXT NOT NULL,"
	 " boards TEXT NOT NULL,"
	 " read_only INTEGER NOT NULL,"
	 " uid INTEGER NOT NULL,"
	 " gid INTEGER NOT NULL,"
	 " id BLOB NOT NULL,"
	 " configured INTEGER NOT NULL"
	 ") STRICT, WITHOUT ROWID;"),
	("CREATE TABLE flash("
	 " id INTEGER PRIMARY KEY AUTOINCREMENT," /* boards carry it in the names they ask for */
	 " board_id INTEGER NOT NULL,"
	 " image TEXT NOT NULL,"
	 " sha256 TEXT NOT NULL,"
	 " target TEXT NOT NULL,"
	 " verify TEXT NOT NULL,"
	 " up TEXT NOT NULL,"
	 " keep INTEGER NOT NULL,"
	 " place TEXT NOT NULL DEFAULT '',"
	 " state TEXT NOT NULL,"
	 " what TEXT NOT NULL DEFAULT '',"
	 " reason TEXT NOT NULL DEFAULT '',"
	 " ordered_at INTEGER NOT NULL,"
	 " started_at INTEGER NOT NULL DEFAULT 0,"
	 " verified_at INTEGER NOT NULL DEFAULT 0,"
	 " ended_at INTEGER NOT NULL DEFAULT 0"
	 ") STRICT;"
	 "CREATE UNIQUE INDEX flash_open ON flash(board_id) WHERE state IN ('waiting', 'writing');"
	 "CREATE INDEX flash_board ON flash(board_id, id);"),
	"CREATE TABLE fact("
	" board_id INTEGER NOT NULL,"
	" name TEXT NOT NULL,"
	" value TEXT NOT NULL,"
	" told_at INTEGER NOT NULL,"
	" PRIMARY KEY(board_id, name)"
	") STRICT, WITHOUT ROWID;",
	"ALTER TABLE board ADD COLUMN signed_key TEXT NOT NULL DEFAULT '';",
	"ALTER TABLE board ADD COLUMN tags TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE board ADD COLUMN power TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE board ADD COLUMN console TEXT NOT NULL DEFAULT '';",
	"CREATE TABLE quarantine("
	" board_id INTEGER PRIMARY KEY,"
	" failures INTEGER NOT NULL,"
	" since INTEGER NOT NULL,"
	" reason TEXT NOT NULL"
	") STRICT;",
	("CREATE TABLE reservation("
	 " number INTEGER PRIMARY KEY AUTOINCREMENT,"
	 " secret TEXT NOT NULL,"
	 " state TEXT NOT NULL,"
	 " user TEXT NOT NULL,"
	 " who TEXT NOT NULL,"
	 " note TEXT NOT NULL,"
	 " selector TEXT NOT NULL,"
	 " count INTEGER NOT NULL,"
	 " ttl_s INTEGER NOT NULL,"
	 " for_s INTEGER NOT NULL,"
	 " start INTEGER NOT NULL," /* its tag in the queue */
	 " asked_at INTEGER NOT NULL,"
	 " held_at INTEGER NOT NULL DEFAULT 0,"
	 " until INTEGER NOT NULL DEFAULT 0,"
	 " ended_at INTEGER NOT NULL DEFAULT 0,"
	 " why TEXT NOT NULL DEFAULT '',"
	 " reason TEXT NOT NULL DEFAULT ''"
	 ") STRICT;"
	 "CREATE INDEX reservation_live ON reservation(number) WHERE state <> 'ended';"
	 "CREATE TABLE reservation_board("
	 " number INTEGER NOT NULL,"
	 " board_id INTEGER NOT NULL,"
	 " held INTEGER NOT NULL,"
	 /* settings for as long as it is held, and what they were; NULL: not changed */
	 " set_image TEXT, was_image TEXT,"
	 " set_disk TEXT, was_disk TEXT,"
	 " set_road TEXT, was_road TEXT,"
	 " PRIMARY KEY(number, board_id)"
	 ") STRICT, WITHOUT ROWID;"
	 /* no two hold the same board, whatever else goes wrong */
	 "CREATE UNIQUE INDEX reservation_held ON reservation_board(board_id) WHERE held = 1;"),
	"CREATE TABLE token("
	" name TEXT PRIMARY KEY,"
	" hash BLOB NOT NULL UNIQUE,"
	" scope TEXT NOT NULL,"
	" boards TEXT NOT NULL,"
	" made_by TEXT NOT NULL,"
	" made_at INTEGER NOT NULL,"
	" expires_at INTEGER NOT NULL,"
	" used_at INTEGER NOT NULL DEFAULT 0"
	") STRICT, WITHOUT ROWID;",
	"ALTER TABLE flash ADD COLUMN reservation INTEGER NOT NULL DEFAULT 0;",
};
const int br_db_n_steps = BR_ARRAY_SIZE(br_db_steps);

#define BOARD_COLS \
	"board.id, board.name, board.mac, board.serial, board.revision, board.model, board.image, board.disk," \
	" board.road, board.notes, board.adopted_at, board.seen_at, board.address, board.disk_size," \
	" board.persist, board.signed_key, board.tags, board.power, board.console"
#define FLASH_COLS \
	"id, board_id, image, sha256, target, verify, up, keep, place, state, what, reason, ordered_at, started_at," \
	" verified_at, ended_at, reservation"
#define RES_COLS \
	"number, secret, state, user, who, note, selector, count, ttl_s, for_s, start, asked_at, held_at, until, ended_at, why, reason"
/* In an UPDATE of boards: what the reservation ?1 set goes back to what it was, unless somebody changed it meanwhile. */
#define RES_RESTORE(field) \
	field " = coalesce((SELECT rb.was_" field " FROM reservation_board AS rb WHERE rb.number = ?1 AND rb.board_id = board.id" \
	      " AND rb.set_" field " = board." field "), " field ")"
/* Keeps what a field is now, once, when it is to be ?N. */
#define RES_KEEP(field, n) \
	"was_" field " = CASE WHEN " n " IS NULL OR set_" field " IS NOT NULL THEN was_" field \
	" ELSE (SELECT " field " FROM board WHERE board.id = board_id) END, set_" field " = coalesce(" n ", set_" field ")"
#define LEASE_COLS "mac, ip, board_id, given_at, expires_at"
/* ?1 board, ?2 boot, ?3 type, ?4 after, ?5 since, ?6 before: "dhcp" matches "dhcp.offer" too ('/' follows '.') */
#define EVENT_WHERE \
	" seq > ?4 AND seq < ?6 AND (?1 = 0 OR board_id = ?1) AND (?2 = 0 OR boot = ?2) AND" \
	" (?3 IS NULL OR type = ?3 OR (type > ?3 || '.' AND type < ?3 || '/')) AND wall_ns >= ?5"

static const char *const sql[ST_N] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_SAVEPOINT] = "SAVEPOINT one",
	[ST_RELEASE] = "RELEASE one",
	[ST_ROLLBACK_TO] = "ROLLBACK TO one",
	[ST_BOARD_BY_ID] = "SELECT " BOARD_COLS " FROM board WHERE id = ?1",
	[ST_BOARD_BY_NAME] = "SELECT " BOARD_COLS " FROM board WHERE name = ?1",
	[ST_BOARD_BY_MAC] = "SELECT " BOARD_COLS " FROM board WHERE mac = ?1",
	[ST_BOARD_BY_SERIAL] = "SELECT " BOARD_COLS " FROM board WHERE serial_low = ?1",
	[ST_BOARD_BY_IP] =
		"SELECT " BOARD_COLS " FROM lease JOIN board ON board.id = lease.board_id WHERE lease.ip = ?1",
	[ST_BOARD_BY_TAIL] = "SELECT " BOARD_COLS " FROM board WHERE mac IS NULL AND (serial & 0xffffff) = ?1",
	[ST_BOARD_BY_ADDRESS] = "SELECT " BOARD_COLS " FROM board WHERE address = ?1 AND address <> 0",
	[ST_BOARD_PAGE] = "SELECT " BOARD_COLS " FROM board WHERE name > ?1 ORDER BY name LIMIT 128",
	[ST_BOARD_INSERT] =
		"INSERT INTO board(name, mac, serial, serial_low, revision, model, image, disk, road, notes,"
		" address, disk_size, adopted_at, seen_at, persist, signed_key, tags, power,"
		" console)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
	[ST_BOARD_UPDATE] =
		"UPDATE board SET name = ?1, mac = ?2, serial = ?3, serial_low = ?4, revision = ?5, model = ?6,"
		" image = ?7, disk = ?8, road = ?9, notes = ?10, address = ?11, disk_size = ?12, persist = ?14, signed_key = ?15,"
		" tags = ?16, power = ?17, console = ?18"
		" WHERE id = ?13",
	[ST_BOARD_SEEN] = "UPDATE board SET seen_at = ?2 WHERE id = ?1",
	[ST_BOARD_FILL] = "UPDATE board SET mac = ?2, serial = ?3, serial_low = ?4, revision = ?5, model = ?6,"
			  " seen_at = ?7 WHERE id = ?1",
	[ST_BOARD_DELETE] = "DELETE FROM board WHERE id = ?1",
	[ST_BOARD_COUNT] = "SELECT count(*) FROM board",
	[ST_BOOT_NEXT] = "UPDATE board SET boots = boots + 1 WHERE id = ?1 RETURNING boots",
	[ST_BOOT_LAST] = "SELECT boots FROM board WHERE id = ?1",
	[ST_SETTING_GET] = "SELECT value FROM setting WHERE name = ?1",
	[ST_SETTING_PUT] = "INSERT OR REPLACE INTO setting(name, value) VALUES(?1, ?2)",
	[ST_SHARE_PUT] = "INSERT OR REPLACE INTO share(name, dir, boards, read_only, uid, gid, id, configured)"
			 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[ST_SHARE_DELETE] = "DELETE FROM share WHERE name = ?1",
	[ST_SHARE_LIST] = "SELECT name, dir, boards, read_only, uid, gid, id, configured FROM share ORDER BY name",
	[ST_SECRET_GET] = "SELECT value FROM secret WHERE board_id = ?1 AND kind = ?2",
	[ST_SECRET_PUT] = "INSERT INTO secret(board_id, kind, value) VALUES(?1, ?2, ?3)",
	[ST_SECRET_DELETE] = "DELETE FROM secret WHERE board_id = ?1",
	[ST_LEASE_BY_MAC] = "SELECT " LEASE_COLS " FROM lease WHERE mac = ?1",
	[ST_LEASE_BY_IP] = "SELECT " LEASE_COLS " FROM lease WHERE ip = ?1",
	[ST_LEASE_BY_BOARD] =
		"SELECT " LEASE_COLS " FROM lease WHERE board_id = ?1 AND board_id <> 0 ORDER BY given_at DESC",
	/* the last address of the run of leased ones that begins at ?1, itself leased */
	[ST_LEASE_GAP] = "SELECT ip FROM lease AS a WHERE ip >= ?1 AND ip <= ?2 AND NOT EXISTS"
			 " (SELECT 1 FROM lease WHERE ip = a.ip + 1) ORDER BY ip LIMIT 1",
	[ST_LEASE_EXPIRED] = "SELECT " LEASE_COLS " FROM lease WHERE board_id = 0 AND expires_at <= ?1"
			     " AND +ip >= ?2 AND +ip <= ?3 ORDER BY expires_at",
	[ST_LEASE_PUT] = "INSERT OR REPLACE INTO lease(" LEASE_COLS ") VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_LEASE_DELETE_BOARD] = "DELETE FROM lease WHERE board_id = ?1 AND board_id <> 0 AND ip <> ?2",
	[ST_LEASE_PAGE] = "SELECT " LEASE_COLS " FROM lease WHERE ip > ?1 ORDER BY ip LIMIT 128",
	[ST_LEASE_STRANGERS] = "SELECT count(*) FROM lease WHERE board_id = 0",
	[ST_LEASE_RELEASE] = "UPDATE lease SET expires_at = 0 WHERE mac = ?1 AND board_id = 0",
	[ST_EVENT_INSERT] =
		"INSERT INTO event(seq, wall_ns, board_id, boot, type, fields) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	/* ?1 after, ?2 up to this number, ?3 before this time: the last of a batch that is too old */
	[ST_EVENT_OLD] = "SELECT max(seq) FROM (SELECT seq, wall_ns FROM event WHERE seq > ?1 ORDER BY seq LIMIT 500)"
			 " WHERE seq <= ?2 OR wall_ns < ?3",
	/* ?4 the last of the batch. The clock of a server without a battery starts in the past: among the young ones may be
	 * some that look old. A board's last boot.start stays: by it a boot that is under way is taken up again (plan/boots.c) */
	[ST_EVENT_FORGET] = "DELETE FROM event WHERE seq > ?1 AND seq <= ?4 AND (seq <= ?2 OR wall_ns < ?3) AND NOT (type = '" BR_EV_BOOT_START
			    "' AND boot = coalesce((SELECT boots FROM board WHERE id = event.board_id), 0))",
	[ST_EVENT_LAST] = "SELECT coalesce(max(seq), 0) FROM event",
	[ST_EVENT_FROM] =
		"SELECT seq FROM event WHERE" EVENT_WHERE " ORDER BY seq DESC LIMIT 1 OFFSET ?7",
	[ST_EVENT_PAGE] = "SELECT seq, wall_ns, board_id, boot, type, fields,"
			  " (SELECT name FROM board WHERE id = event.board_id) FROM event WHERE" EVENT_WHERE
			  " ORDER BY seq LIMIT 128",
	[ST_FACT_PUT] = "INSERT OR REPLACE INTO fact(board_id, name, value, told_at) VALUES(?1, ?2, ?3, ?4)",
	[ST_FACT_LIST] = "SELECT name, value, told_at FROM fact WHERE board_id = ?1 ORDER BY name",
	[ST_QUARANTINE_PUT] = "INSERT OR REPLACE INTO quarantine(board_id, failures, since, reason) VALUES(?1, ?2, ?3, ?4)",
	[ST_QUARANTINE_GET] = "SELECT board_id, failures, since, reason FROM quarantine WHERE board_id = ?1",
	[ST_QUARANTINE_LIST] = "SELECT board_id, failures, since, reason FROM quarantine WHERE since <> 0 ORDER BY board_id",
	[ST_QUARANTINE_DELETE] = "DELETE FROM quarantine WHERE board_id = ?1",
	[ST_FACT_DELETE] = "DELETE FROM fact WHERE board_id = ?1",
	[ST_FLASH_INSERT] = "INSERT INTO flash(board_id, image, sha256, target, verify, up, keep, state, ordered_at, reservation)"
			    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[ST_FLASH_UPDATE] = "UPDATE flash SET place = ?2, state = ?3, what = ?4, reason = ?5, started_at = ?6, verified_at = ?7,"
			    " ended_at = ?8 WHERE id = ?1",
	[ST_FLASH_BY_ID] = "SELECT " FLASH_COLS " FROM flash WHERE id = ?1",
	[ST_FLASH_LAST] = "SELECT " FLASH_COLS " FROM flash WHERE board_id = ?1 ORDER BY id DESC LIMIT 1",
	[ST_FLASH_ROAD] = "UPDATE board SET road = 'flash' WHERE id = ?1 AND road <> 'flash'",
	[ST_FLASH_BEFORE] = "SELECT " FLASH_COLS " FROM flash WHERE id < ?1 ORDER BY id DESC LIMIT 1",
	[ST_RES_INSERT] = "INSERT INTO reservation(secret, state, user, who, note, selector, count, ttl_s, for_s, start, asked_at)"
			  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	[ST_RES_LIVE] = "SELECT " RES_COLS " FROM reservation WHERE state <> 'ended' ORDER BY number",
	[ST_RES_BY_NUMBER] = "SELECT " RES_COLS " FROM reservation WHERE number = ?1",
	[ST_RES_ENDED] = "SELECT " RES_COLS " FROM reservation WHERE state = 'ended' AND number < ?1 ORDER BY number DESC LIMIT 1",
	[ST_RES_STATE] = "UPDATE reservation SET state = ?2, held_at = ?3, until = ?4, ended_at = ?5, why = ?6, reason = ?7, for_s = ?8 WHERE number = ?1",
	/* who never got a board used none */
	[ST_RES_FINISH] = "SELECT coalesce(max(start + count), 0) FROM reservation WHERE (?1 IS NULL OR user = ?1) AND"
			  " (state = 'waiting' OR held_at <> 0)",
	/* by the latest ends new tags are made */
	[ST_RES_FORGET] = "DELETE FROM reservation WHERE state = 'ended' AND number <= ?1 AND start + count <"
			  " (SELECT max(start + count) FROM reservation)",
	[ST_RES_BOARD_ADD] = "INSERT INTO reservation_board(number, board_id, held) VALUES(?1, ?2, 1)",
	[ST_RES_BOARD_LIST] = "SELECT board_id, was_image, coalesce(set_image, set_disk, set_road) IS NOT NULL FROM reservation_board"
			      " WHERE number = ?1 ORDER BY board_id",
	[ST_RES_BOARD_FREE] = "UPDATE reservation_board SET held = 0 WHERE number = ?1",
	[ST_RES_BOARD_FORGET] = "DELETE FROM reservation_board WHERE held = 0 AND number NOT IN (SELECT number FROM reservation)",
	[ST_RES_KEEP_SETTINGS] = "UPDATE reservation_board SET " RES_KEEP("image", "?2") ", " RES_KEEP("disk", "?3") ", "
				 RES_KEEP("road", "?4") " WHERE number = ?1",
	[ST_RES_APPLY_SETTINGS] = "UPDATE board SET image = coalesce(?2, image), disk = coalesce(?3, disk), road = coalesce(?4, road)"
				  " WHERE id IN (SELECT board_id FROM reservation_board WHERE number = ?1)",
	[ST_RES_RESTORE_SETTINGS] = "UPDATE board SET " RES_RESTORE("image") ", " RES_RESTORE("disk") ", " RES_RESTORE("road")
				    " WHERE id IN (SELECT board_id FROM reservation_board WHERE number = ?1)",
	[ST_TOKEN_INSERT] = "INSERT OR IGNORE INTO token(name, hash, scope, boards, made_by, made_at, expires_at)"
			    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[ST_TOKEN_DELETE] = "DELETE FROM token WHERE name = ?1",
	[ST_TOKEN_USED] = "UPDATE token SET used_at = max(used_at, ?2) WHERE name = ?1",
	[ST_TOKEN_LIST] = "SELECT name, hash, scope, boards, made_by, made_at, expires_at, used_at FROM token ORDER BY name",
};

const char *br_db_sql(enum br_stmt which)
{
	return sql[which];
}

int64_t br_db_now(void)
{
	return (int64_t)(br_wall_ns() / BR_S);
}

/* SQLite's answers as the errno a person would expect; those that are not here are -EIO. */
static const struct {
	int code, r;
} codes[] = {
	{ SQLITE_FULL, -ENOSPC }, { SQLITE_BUSY, -EBUSY }, { SQLITE_LOCKED, -EBUSY },
	{ SQLITE_NOMEM, -ENOMEM }, { SQLITE_READONLY, -EROFS }, { SQLITE_CORRUPT, -EUCLEAN },
	{ SQLITE_NOTADB, -EUCLEAN }, { SQLITE_CONSTRAINT, -EEXIST }, { SQLITE_TOOBIG, -EFBIG },
};

int br_db_errno(sqlite3 *db)
{
	int code = sqlite3_errcode(db) & 0xff;
	int sys = sqlite3_system_errno(db);

	for (size_t i = 0; i < BR_ARRAY_SIZE(codes); i++) {
		if (codes[i].code == code)
			return codes[i].r;
	}
	if ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) && sys > 0)
		return sys == EDQUOT || sys == EFBIG ? -ENOSPC : -sys;
	return -EIO;
}

static const char *cure_of(int r)
{
	switch (r) {
	case -ENOSPC:
		return "; free some space there";
	case -EBUSY:
		return "; another program holds the database";
	case -EUCLEAN:
		return "; the file is damaged: move bramble.db away to begin anew, or restore it";
	case -EROFS:
	case -EACCES:
		return "; check owner and mode of the directory";
	default:
		return "";
	}
}

int br_db_error(struct br_fleet *fleet, struct br_error *err, int r, const char *doing)
{
	int code = sqlite3_errcode(fleet->db) & 0xff;
	bool theirs = code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE;

	return br_error_set(err, -r, "database %s/bramble.db: cannot %s: %s%s", fleet->dir, doing,
		r == -ENOSPC ? "no space left"
		: theirs     ? sqlite3_errmsg(fleet->db)
			     : strerrordesc_np(-r),
		cure_of(r));
}

void br_db_lock(struct br_fleet *fleet)
{
	pthread_mutex_lock(&fleet->lock);
}

void br_db_unlock(struct br_fleet *fleet)
{
	pthread_mutex_unlock(&fleet->lock);
}

sqlite3_stmt *br_db_stmt(struct br_fleet *fleet, enum br_stmt which)
{
	sqlite3_stmt *s = fleet->stmt[which];

	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return s;
}

int br_db_run(sqlite3_stmt *stmt)
{
	int code = sqlite3_step(stmt);
	int r = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : br_db_errno(sqlite3_db_handle(stmt));

	sqlite3_reset(stmt);
	return r;
}

int br_db_begin(struct br_fleet *fleet, bool relaxed, struct br_error *err, const char *doing)
{
	int r;

	pthread_mutex_lock(&fleet->lock);
	fleet->relaxed = relaxed;
	fleet->nested = fleet->txn_open;
	r = br_db_run(br_db_stmt(fleet, fleet->nested ? ST_SAVEPOINT : ST_BEGIN));
	if (r < 0) {
		br_db_error(fleet, err, r, doing);
		pthread_mutex_unlock(&fleet->lock);
		return r;
	}
	fleet->txn_open = true;
	fleet->changes = sqlite3_total_changes64(fleet->db);
	return r;
}

/* What is half read must end before anything is undone. */
static void reset_all(struct br_fleet *fleet)
{
	for (int i = 0; i < ST_N; i++)
		sqlite3_reset(fleet->stmt[i]);
}

static void roll_back(struct br_fleet *fleet)
{
	if (!sqlite3_get_autocommit(fleet->db)) { /* a full disk may have done it already */
		reset_all(fleet);
		sqlite3_exec(fleet->db, "ROLLBACK", NULL, NULL, NULL);
	}
	fleet->txn++;
	fleet->txn_open = false;
}

/* The open transaction is gone, with all that others had put into it. */
static void lose_transaction(struct br_fleet *fleet)
{
	fleet->undone = fleet->txn;
	fleet->gap_hint = 0; /* addresses came free */
	roll_back(fleet);
}

int br_db_commit(struct br_fleet *fleet)
{
	int r;

	if (!fleet->txn_open)
		return 0;
	r = br_db_run(br_db_stmt(fleet, ST_COMMIT));
	if (r < 0) {
		lose_transaction(fleet);
		return r;
	}
	atomic_store(&fleet->committed, fleet->txn++);
	fleet->txn_open = false;
	return 0;
}

/* Undoes one change and leaves the others of the transaction alone, where SQLite did not undo them all. */
static void undo(struct br_fleet *fleet)
{
	if (sqlite3_total_changes64(fleet->db) != fleet->changes)
		fleet->gap_hint = 0; /* an address may have come free; one that was refused changed nothing, and is cheap */
	if (!fleet->nested) {
		roll_back(fleet);
		return;
	}
	reset_all(fleet);
	if (sqlite3_get_autocommit(fleet->db) || br_db_run(br_db_stmt(fleet, ST_ROLLBACK_TO)) < 0 ||
		br_db_run(br_db_stmt(fleet, ST_RELEASE)) < 0)
		lose_transaction(fleet);
}

static bool in_own_group(const struct br_fleet *fleet)
{
	return fleet->group.on && pthread_equal(fleet->group.thread, pthread_self());
}

static void note_in_group(struct br_fleet *fleet)
{
	struct br_group *g = &fleet->group;

	if (!g->first)
		g->first = fleet->txn;
	g->last = fleet->txn;
	g->writes += !fleet->relaxed;
}

int br_db_end(struct br_fleet *fleet, int r, struct br_error *err, const char *doing)
{
	bool wait = !fleet->relaxed && !in_own_group(fleet);
	uint64_t ticket = fleet->txn;
	int q = 0;

	if (r >= 0 && fleet->nested)
		q = br_db_run(br_db_stmt(fleet, ST_RELEASE));
	if (r >= 0 && q >= 0 && !in_own_group(fleet))
		q = br_db_commit(fleet);
	r = q < 0 ? q : r;
	if (r < 0 && err && !err->code)
		br_db_error(fleet, err, r, doing);
	if (r < 0 && fleet->txn == ticket)
		undo(fleet);
	if (r >= 0 && in_own_group(fleet))
		note_in_group(fleet);
	pthread_mutex_unlock(&fleet->lock);
	if (r < 0 || !wait)
		return r;
	q = br_stable_wait(fleet, ticket);
	return q < 0 ? br_error_set(err, -q, "database %s/bramble.db: cannot %s: %s%s", fleet->dir, doing,
			       strerrordesc_np(-q), cure_of(q)) :
		       r;
}

int br_db_count(struct br_fleet *fleet, enum br_stmt which, uint64_t *ret)
{
	sqlite3_stmt *s;
	int r = 0;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, which);
	if (sqlite3_step(s) == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
	else
		r = br_db_errno(fleet->db);
	sqlite3_reset(s);
	br_db_unlock(fleet);
	return r;
}

void br_db_text(sqlite3_stmt *stmt, int col, char *out, size_t size)
{
	const char *s = (const char *)sqlite3_column_text(stmt, col);

	snprintf(out, size, "%s", s ? s : "");
}

static int get_version(sqlite3 *db, int *ret)
{
	sqlite3_stmt *s = NULL;
	int r = -EIO;

	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW) {
		*ret = sqlite3_column_int(s, 0);
		r = 0;
	} else {
		r = br_db_errno(db);
	}
	sqlite3_finalize(s);
	return r;
}

static int migrate_one(sqlite3 *db, const char *step, int to, struct br_error *err)
{
	char version[48];
	int r;

	snprintf(version, sizeof(version), "PRAGMA user_version=%d", to);
	if (sqlite3_exec(db, step, NULL, NULL, NULL) == SQLITE_OK &&
		sqlite3_exec(db, version, NULL, NULL, NULL) == SQLITE_OK &&
		sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	r = br_db_errno(db);
	br_error_set(err, -r, "cannot bring the database to schema %d: %s%s", to, sqlite3_errmsg(db), cure_of(r));
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int br_db_migrate(sqlite3 *db, const char *const *steps, int n, struct br_error *err)
{
	for (;;) {
		int version = 0, r;

		/* the version is read inside: another process may be migrating, too */
		if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
			get_version(db, &version) < 0) {
			r = br_db_errno(db);
			br_error_set(err, -r, "cannot read the database: %s%s", sqlite3_errmsg(db), cure_of(r));
			if (!sqlite3_get_autocommit(db))
				sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return r;
		}
		if (version >= n) {
			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			if (version == n)
				return 0;
			return br_error_set(err, EPROTO,
				"the database has schema %d, this bramble knows up to %d: a newer bramble "
				"wrote it; use that one",
				version, n);
		}
		r = migrate_one(db, steps[version], version + 1, err);
		if (r < 0)
			return r;
	}
}

/* The lock is the kernel's, on the file: it ends with the process, however that ends. */
int br_fleet_lock(const char *dir, int *ret_fd, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "daemon.lock");
	br_cleanup(br_closep) int fd = -1;
	char text[32] = "";
	int n;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return br_error_set(err, errno, "lock %s: %s%s", path, strerrordesc_np(errno), cure_of(-errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t len = pread(fd, text, sizeof(text) - 1, 0);

		if (errno != EWOULDBLOCK)
			return br_error_set(err, errno, "lock %s: %s", path, strerrordesc_np(errno));
		text[len > 0 ? len : 0] = 0;
		return br_error_set(err, EBUSY,
			"state directory %s: a daemon (pid %d) already serves it; stop that one, or give "
			"this one another --state",
			dir, atoi(text));
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || br_pwrite_all(fd, text, (size_t)n, 0) < 0)
		return br_error_set(err, errno, "lock %s: %s%s", path, strerrordesc_np(errno), cure_of(-errno));
	*ret_fd = br_take_fd(fd);
	return 0;
}

int br_fleet_schema(void)
{
	return br_db_n_steps;
}

/* Without its database a half restored state would look like a new one. */
static int check_whole(const char *dir, struct br_error *err)
{
	br_cleanup(br_freep) char *mark = br_path_join(dir, BR_FLEET_RESTORING);

	if (mark && !access(mark, F_OK))
		return br_error_set(err, EBUSY, "state directory %s: a 'bramble restore' into it did not end; give that command again", dir);
	return mark ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static int open_db(struct br_fleet *fleet, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(fleet->dir, "bramble.db");
	int r;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	/* our mutex guards the connection */
	if (sqlite3_open_v2(path, &fleet->db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		return br_db_error(fleet, err, br_db_errno(fleet->db), "open it");
	sqlite3_extended_result_codes(fleet->db, 1);
	sqlite3_busy_timeout(fleet->db, BUSY_MS);
	if (sqlite3_exec(fleet->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", NULL, NULL, NULL) !=
		SQLITE_OK)
		return br_db_error(fleet, err, br_db_errno(fleet->db), "open it");
	r = br_db_migrate(fleet->db, br_db_steps, br_db_n_steps, err);
	if (r < 0) {
		br_error_prefix(err, "database %s", path);
		return r;
	}
	for (int i = 0; i < ST_N; i++) {
		if (sqlite3_prepare_v3(fleet->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &fleet->stmt[i],
			    NULL) != SQLITE_OK)
			return br_db_error(fleet, err, br_db_errno(fleet->db), "read it");
	}
	r = br_stable_open(fleet, path, err);
	return r < 0 ? r : br_keeper_start(fleet, path, err);
}

int br_fleet_open(const char *dir, bool exclusive, struct br_fleet **ret, struct br_error *err)
{
	struct br_fleet *fleet = calloc(1, sizeof(*fleet));
	int r;

	if (!fleet)
		return br_error_set(err, ENOMEM, "out of memory");
	fleet->lock_fd = -1;
	pthread_mutex_init(&fleet->edit_lock, NULL);
	pthread_mutex_init(&fleet->lock, NULL);
	pthread_mutex_init(&fleet->ev_lock, NULL);
	br_stable_init(fleet);
	fleet->dir = strdup(dir);
	r = fleet->dir ? br_mkdir_all(dir, 0755, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r >= 0 && exclusive)
		r = br_fleet_lock(fleet->dir, &fleet->lock_fd, err);
	if (r >= 0)
		r = check_whole(fleet->dir, err);
	if (r >= 0)
		r = open_db(fleet, err);
	if (r >= 0)
		r = br_events_start(fleet, true, err);
	if (r < 0) {
		br_fleet_close(fleet);
		return r;
	}
	*ret = fleet;
	return 0;
}

void br_fleet_close(struct br_fleet *fleet)
{
	if (!fleet)
		return;
	br_events_stop(fleet);
	br_keeper_stop(fleet);
	for (int i = 0; i < ST_N; i++)
		sqlite3_finalize(fleet->stmt[i]);
	br_stable_done(fleet);
	sqlite3_close(fleet->db);
	/* the file stays: removing it would race with the next daemon's open */
	if (fleet->lock_fd >= 0)
		close(fleet->lock_fd);
	pthread_mutex_destroy(&fleet->ev_lock);
	pthread_mutex_destroy(&fleet->lock);
	pthread_mutex_destroy(&fleet->edit_lock);
	free(fleet->dir);
	free(fleet);
}
