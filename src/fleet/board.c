/* SPDX-License-Identifier: Apache-2.0 */
/* Boards: finding and adopting them, editing, their secrets and boot numbers. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "fleet/db.h"
#include "pi/rsakey.h"

#define SEEN_EVERY_S 10 /* 'seen_at' is written at most so often */
#define HERE_S 60	/* a board seen so lately is there now */

static void row_to_board(struct br_fleet *fleet, sqlite3_stmt *s, struct br_board *ret)
{
	uint64_t mac = (uint64_t)sqlite3_column_int64(s, 2);

	memset(ret, 0, sizeof(*ret));
	ret->id = sqlite3_column_int64(s, 0);
	br_db_text(s, 1, ret->name, sizeof(ret->name));
	for (int i = 0; i < 6; i++)
		ret->mac.b[i] = (uint8_t)(mac >> (40 - 8 * i));
	ret->serial_known = sqlite3_column_type(s, 3) != SQLITE_NULL;
	ret->serial = (uint64_t)sqlite3_column_int64(s, 3);
	ret->revision = (uint32_t)sqlite3_column_int64(s, 4);
	br_db_text(s, 5, ret->model, sizeof(ret->model));
	br_db_text(s, 6, ret->image, sizeof(ret->image));
	br_db_text(s, 7, ret->disk, sizeof(ret->disk));
	br_db_text(s, 8, ret->road, sizeof(ret->road));
	br_db_text(s, 9, ret->notes, sizeof(ret->notes));
	ret->adopted_at = sqlite3_column_int64(s, 10);
	ret->seen_at = sqlite3_column_int64(s, 11);
	ret->address = (uint32_t)sqlite3_column_int64(s, 12);
	ret->disk_size = (uint64_t)sqlite3_column_int64(s, 13);
	br_db_text(s, 14, ret->persist, sizeof(ret->persist));
	br_db_text(s, 15, ret->signed_key, sizeof(ret->signed_key));
	br_db_text(s, 16, ret->tags, sizeof(ret->tags));
	br_db_text(s, 17, ret->power, sizeof(ret->power));
	br_db_text(s, 18, ret->console, sizeof(ret->console));
	br_events_name(fleet, ret->id, ret->name);
}

/* The one row of a bound statement; the lock is held. -ENOENT when there is none. */
static int one_board(struct br_fleet *fleet, sqlite3_stmt *s, struct br_board *ret)
{
	int code = sqlite3_step(s);
	int r = code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : br_db_errno(fleet->db);

	if (code == SQLITE_ROW)
		row_to_board(fleet, s, ret);
	sqlite3_reset(s);
	return r;
}

static int find_by_number(struct br_fleet *fleet, enum br_stmt which, int64_t key, struct br_board *ret)
{
	sqlite3_stmt *s = br_db_stmt(fleet, which);

	sqlite3_bind_int64(s, 1, key);
	return one_board(fleet, s, ret);
}

static int by_number(struct br_fleet *fleet, enum br_stmt which, int64_t key, struct br_board *ret)
{
	int r;

	br_db_lock(fleet);
	r = find_by_number(fleet, which, key, ret);
	br_db_unlock(fleet);
	return r;
}

int br_board_by_id(struct br_fleet *fleet, int64_t id, struct br_board *ret)
{
	return by_number(fleet, ST_BOARD_BY_ID, id, ret);
}

int br_board_by_mac(struct br_fleet *fleet, struct br_mac mac, struct br_board *ret)
{
	return by_number(fleet, ST_BOARD_BY_MAC, (int64_t)br_mac_u64(mac), ret);
}

int br_board_by_serial(struct br_fleet *fleet, uint32_t serial_low32, struct br_board *ret)
{
	return by_number(fleet, ST_BOARD_BY_SERIAL, serial_low32, ret);
}

int br_board_by_tail(struct br_fleet *fleet, uint32_t serial_low24, struct br_board *ret)
{
	return by_number(fleet, ST_BOARD_BY_TAIL, serial_low24, ret);
}

int br_board_by_ip(struct br_fleet *fleet, uint32_t ip, struct br_board *ret)
{
	return by_number(fleet, ST_BOARD_BY_IP, ip, ret);
}

static int find_by_name(struct br_fleet *fleet, const char *name, struct br_board *ret)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_BOARD_BY_NAME);

	sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	return one_board(fleet, s, ret);
}

int br_board_by_name(struct br_fleet *fleet, const char *name, struct br_board *ret)
{
	int r;

	br_db_lock(fleet);
	r = find_by_name(fleet, name, ret);
	br_db_unlock(fleet);
	return r;
}

/* Pages, so that fn runs without the lock and may call us. */
int br_board_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_board *board), void *ctx)
{
	enum { PAGE = 128 };
	br_cleanup(br_freep) struct br_board *page = calloc(PAGE, sizeof(*page));
	char after[BR_BOARD_NAME_MAX + 1] = "";
	size_t n = PAGE;

	if (!page)
		return -ENOMEM;
	while (n == PAGE) {
		sqlite3_stmt *s;
		int code, r = 0;

		br_db_lock(fleet);
		s = br_db_stmt(fleet, ST_BOARD_PAGE);
		sqlite3_bind_text(s, 1, after, -1, SQLITE_STATIC);
		for (n = 0; (code = sqlite3_step(s)) == SQLITE_ROW && n < PAGE; n++)
			row_to_board(fleet, s, &page[n]);
		if (code != SQLITE_DONE && code != SQLITE_ROW)
			r = br_db_errno(fleet->db);
		sqlite3_reset(s);
		br_db_unlock(fleet);
		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			r = fn(ctx, &page[i]);
			if (r)
				return r;
		}
		if (n)
			memcpy(after, page[n - 1].name, sizeof(after));
	}
	return 0;
}

int br_board_count(struct br_fleet *fleet, uint64_t *ret)
{
	return br_db_count(fleet, ST_BOARD_COUNT, ret);
}

/* The columns that sightings and people fill, from parameter 'at' on. */
static void bind_identity(sqlite3_stmt *s, int at, const struct br_board *b)
{
	if (!br_mac_is_zero(b->mac))
		sqlite3_bind_int64(s, at, (int64_t)br_mac_u64(b->mac));
	if (b->serial_known) {
		sqlite3_bind_int64(s, at + 1, (int64_t)b->serial);
		sqlite3_bind_int64(s, at + 2, (uint32_t)b->serial);
	}
	sqlite3_bind_int64(s, at + 3, b->revision);
	sqlite3_bind_text(s, at + 4, b->model, -1, SQLITE_STATIC);
}

/* Parameters 1..12 of INSERT and UPDATE. */
static void bind_board(sqlite3_stmt *s, const struct br_board *b)
{
	sqlite3_bind_text(s, 1, b->name, -1, SQLITE_STATIC);
	bind_identity(s, 2, b);
	sqlite3_bind_text(s, 7, b->image, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 8, b->disk, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 9, b->road, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 10, b->notes, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 11, b->address);
	sqlite3_bind_int64(s, 12, (int64_t)b->disk_size);
}

static int insert(struct br_fleet *fleet, struct br_board *b)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_BOARD_INSERT);
	int r;

	bind_board(s, b);
	sqlite3_bind_int64(s, 13, b->adopted_at);
	sqlite3_bind_int64(s, 14, b->seen_at);
	sqlite3_bind_text(s, 15, b->persist, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 16, b->signed_key, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 17, b->tags, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 18, b->power, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 19, b->console, -1, SQLITE_STATIC);
	r = br_db_run(s);
	if (r < 0)
		return r;
	b->id = sqlite3_last_insert_rowid(fleet->db);
	br_events_name(fleet, b->id, b->name);
	return 0;
}

/* A name nobody has yet: "pi-<serial>", "pi-<mac tail>", "pi-<mac>". */
static int generate_name(struct br_fleet *fleet, struct br_board *b)
{
	struct br_board other;
	const uint8_t *m = b->mac.b;
	char names[3][BR_BOARD_NAME_MAX + 1] = { "" };

	if (b->serial_known)
		snprintf(names[0], sizeof(names[0]), "pi-%08x", (uint32_t)b->serial);
	if (!br_mac_is_zero(b->mac)) {
		snprintf(names[1], sizeof(names[1]), "pi-%02x%02x%02x", m[3], m[4], m[5]);
		snprintf(names[2], sizeof(names[2]), "pi-%02x%02x%02x%02x%02x%02x", m[0], m[1], m[2], m[3],
			m[4], m[5]);
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++) {
		int r = names[i][0] ? find_by_name(fleet, names[i], &other) : 0;

		if (r == -ENOENT) {
			memcpy(b->name, names[i], sizeof(b->name));
			return 0;
		}
		if (r < 0)
			return r;
	}
	return -EEXIST;
}

static int dispute(struct br_error *err, const struct br_board *board, const struct br_sighting *s,
	const struct br_board *owner)
{
	char mac[BR_MAC_TEXT], other[BR_MAC_TEXT];

	br_error_set(err, EEXIST,
		"board %s (%s) says serial %08x, which is that of board %s (%s); it is told apart by its MAC. If they "
		"are one board, remove one of them",
		board->name, br_mac_format(mac, board->mac), (uint32_t)s->serial, owner->name,
		br_mac_is_zero(owner->mac) ? "no MAC yet" : br_mac_format(other, owner->mac));
	return 1;
}

static bool lately(const struct br_board *b, int64_t now)
{
	return b->seen_at > now - HERE_S;
}

/* What the sighting knows and the board does not. Returns whether anything changed. */
static bool fill_in(struct br_board *b, const struct br_sighting *s, bool with_serial)
{
	struct br_board old = *b;

	if (with_serial && s->serial_known) {
		/* the high half comes from other places than the network: keep it */
		if (!b->serial_known || (uint32_t)b->serial != (uint32_t)s->serial || s->serial >> 32)
			b->serial = s->serial;
		b->serial_known = true;
	}
	if (s->revision)
		b->revision = s->revision;
	if (s->model[0])
		memcpy(b->model, s->model, sizeof(b->model));
	if (!br_mac_is_zero(s->mac))
		b->mac = s->mac;
	/* old is a copy of *b, padding included */
	return memcmp(&old, b, sizeof(old)) != 0; // NOLINT(bugprone-suspicious-memory-comparison)
}

static int store_fill(struct br_fleet *fleet, const struct br_board *b)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_BOARD_FILL);

	sqlite3_bind_int64(s, 1, b->id);
	bind_identity(s, 2, b);
	sqlite3_bind_int64(s, 7, b->seen_at);
	return br_db_run(s);
}

/*
 * Who it is, by MAC first, then by serial. *ret_owner (id 0: none) is another board that has the serial and was
 * there within this minute, so that it cannot be this one with a new MAC; or one that has it while the MAC is
 * known as a third board.
 */
static int identify(struct br_fleet *fleet, const struct br_sighting *s, int64_t now, struct br_board *ret,
	struct br_board *ret_owner)
{
	struct br_board by_mac = { 0 }, by_serial = { 0 };
	int r;

	ret_owner->id = 0;
	if (!br_mac_is_zero(s->mac)) {
		r = find_by_number(fleet, ST_BOARD_BY_MAC, (int64_t)br_mac_u64(s->mac), &by_mac);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	if (s->serial_known) {
		r = find_by_number(fleet, ST_BOARD_BY_SERIAL, (uint32_t)s->serial, &by_serial);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	if (by_mac.id) {
		if (by_serial.id && by_serial.id != by_mac.id)
			*ret_owner = by_serial;
		*ret = by_mac;
		return 0;
	}
	if (!by_serial.id)
		return -ENOENT;
	if (!br_mac_is_zero(s->mac) && !br_mac_is_zero(by_serial.mac) && lately(&by_serial, now)) {
		*ret_owner = by_serial;
		return -ENOENT;
	}
	*ret = by_serial;
	return 0;
}

/* What a sighting leads to. Within the transaction; *ret_write: something that matters changed. */
struct outcome {
	struct br_board board, owner;
	bool is_new, fill, seen;
};

static int decide(struct br_fleet *fleet, const struct br_sighting *s, bool adopt, int64_t now,
	struct outcome *o)
{
	int r = identify(fleet, s, now, &o->board, &o->owner);

	if (r == -ENOENT && adopt) {
		memset(&o->board, 0, sizeof(o->board));
		o->board.adopted_at = o->board.seen_at = now;
		fill_in(&o->board, s, !o->owner.id);
		o->is_new = true;
		return 0;
	}
	if (r < 0)
		return r;
	o->fill = fill_in(&o->board, s, !o->owner.id);
	o->seen = o->board.seen_at + SEEN_EVERY_S <= now || o->board.seen_at > now;
	if (o->fill || o->seen)
		o->board.seen_at = now;
	return 0;
}

static int write_outcome(struct br_fleet *fleet, struct outcome *o)
{
	sqlite3_stmt *s;
	int r;

	if (o->is_new) {
		r = generate_name(fleet, &o->board);
		return r < 0 ? r : insert(fleet, &o->board);
	}
	if (o->fill)
		return store_fill(fleet, &o->board);
	s = br_db_stmt(fleet, ST_BOARD_SEEN);
	sqlite3_bind_int64(s, 1, o->board.id);
	sqlite3_bind_int64(s, 2, o->board.seen_at);
	return br_db_run(s);
}

static int see(struct br_fleet *fleet, const struct br_sighting *s, bool adopt, struct outcome *ret,
	struct br_error *err)
{
	struct outcome o = { 0 };
	const char *doing = "record a board";
	int64_t now = br_db_now();
	bool relaxed;
	int r;

	/* looks first: most sightings of a boot change nothing and cost no write */
	br_db_lock(fleet);
	r = decide(fleet, s, adopt, now, &o);
	if (r < 0 && r != -ENOENT)
		br_db_error(fleet, err, r, doing);
	br_db_unlock(fleet);
	if (r < 0)
		return r;
	relaxed = !o.is_new && !o.fill; /* a lost 'seen_at' hurts nobody */
	if (!relaxed || o.seen) {
		memset(&o, 0, sizeof(o));
		r = br_db_begin(fleet, relaxed, err, doing);
		if (r < 0)
			return r;
		r = decide(fleet, s, adopt, now, &o);
		if (r >= 0)
			r = write_outcome(fleet, &o);
		r = br_db_end(fleet, r, err, doing);
	}
	*ret = o;
	return r;
}

int br_board_see(struct br_fleet *fleet, const struct br_sighting *s, bool adopt, struct br_board *ret,
	bool *ret_new, struct br_error *err)
{
	struct outcome o;
	int r;

	if (br_mac_is_zero(s->mac) && !s->serial_known)
		return br_error_set(err, EINVAL, "a board was seen with neither MAC nor serial");
	r = see(fleet, s, adopt, &o, err);
	if (r == -ENOENT) {
		char mac[BR_MAC_TEXT];

		return br_error_set(err, ENOENT,
			"%s is no known board and adoption is off; make it with 'bramble board add'",
			br_mac_format(mac, s->mac));
	}
	if (r < 0)
		return r;
	*ret = o.board;
	if (ret_new)
		*ret_new = o.is_new;
	return o.owner.id ? dispute(err, &o.board, s, &o.owner) : 0;
}

bool br_board_name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') && name[i] != '-')
			return false;
	}
	return n > 0 && n <= BR_BOARD_NAME_MAX && name[0] != '-' && name[n - 1] != '-';
}

/* NAME[:TAG]; the store knows the rule (store/image.h), here it is only kept from being something else. */
static bool image_name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		char c = name[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !(i && strchr("._-:", c)))
			return false;
	}
	return n <= 97;
}

static bool model_ok(const char *model)
{
	for (const char *s = model; *s; s++) {
		if (!isalnum((unsigned char)*s) && !strchr("+.- ", *s))
			return false;
	}
	return true;
}

static bool one_of(const char *s, const char *a, const char *b)
{
	return !s[0] || !strcmp(s, a) || !strcmp(s, b);
}

bool br_board_disk_ok(const char *disk)
{
	return !strcmp(disk, "volatile") || !strcmp(disk, "persistent") || !strcmp(disk, "ram");
}

static bool persist_ok(const char *persist)
{
	uint64_t size;

	return !persist[0] || !strcmp(persist, "off") ||
	       !br_parse_u64(persist, BR_BOARD_PERSIST_MIN, BR_BOARD_DISK_SIZE_MAX, &size);
}

/* Notes are one line of UTF-8 for people; jansson is our judge of UTF-8. */
static bool notes_ok(const char *notes)
{
	json_t *j = json_string(notes);

	json_decref(j);
	for (const char *s = notes; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	}
	return j != NULL;
}

bool br_board_tagged(const struct br_board *board, const char *tag)
{
	size_t n = strlen(tag);

	for (const char *s = board->tags; n && *s; s += strcspn(s, " "), s += *s == ' ') {
		if (strcspn(s, " ") == n && !memcmp(s, tag, n))
			return true;
	}
	return false;
}

/* Words of tags, a blank between two; each of them once. */
static bool tags_ok(const char *tags)
{
	const char *s = tags;

	while (*s) {
		struct br_board before = { 0 };
		size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-");
		char word[sizeof(before.tags)] = "";

		memcpy(before.tags, tags, (size_t)(s - tags));
		memcpy(word, s, n);
		if (!n || br_board_tagged(&before, word) || (s[n] && (s[n] != ' ' || !s[n + 1])))
			return false;
		s += n + (s[n] == ' ');
	}
	return true;
}

/* The form only: what the scheme wants is its driver's to say. */
static bool uri_ok(const char *uri)
{
	size_t n = strspn(uri, "abcdefghijklmnopqrstuvwxyz0123456789+");

	if (!*uri)
		return true;
	for (const char *s = uri; *s; s++) {
		if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f)
			return false;
	}
	return n && uri[n] == ':';
}

static int check(const struct br_board *b, struct br_error *err)
{
	char vis[100];

#define VIS(s) br_vis(vis, sizeof(vis), s, strlen(s))
	if (!br_board_name_ok(b->name))
		return br_error_set(err, EINVAL,
			"board name '%s': a host name is needed: 1 to %d of a-z, 0-9 and '-', not at the ends",
			VIS(b->name), BR_BOARD_NAME_MAX);
	if (!image_name_ok(b->image))
		return br_error_set(err, EINVAL, "board %s: '%s' is no name of an image", b->name, VIS(b->image));
	if (!strcmp(b->name, "share") || !strcmp(b->name, "persist"))
		return br_error_set(err, EINVAL, "board name '%s': that is what boards mount shared areas by; choose another", b->name);
	if (b->disk[0] && !br_board_disk_ok(b->disk))
		return br_error_set(err, EINVAL, "board %s: disk '%s': 'volatile', 'persistent' or 'ram' is needed",
			b->name, VIS(b->disk));
	if (!persist_ok(b->persist))
		return br_error_set(err, EINVAL, "board %s: persist '%s': 'off' or a size from 16M to 16T is needed", b->name,
			VIS(b->persist));
	if (b->signed_key[0] && !br_rsakey_name_ok(b->signed_key))
		return br_error_set(err, EINVAL, "board %s: '%s' is no name of a key ('bramble sign key list')", b->name,
			VIS(b->signed_key));
	if (b->disk_size > BR_BOARD_DISK_SIZE_MAX)
		return br_error_set(err, EINVAL, "board %s: a disk can have 16 TiB at most", b->name);
	if (!one_of(b->road, "net", "local") && strcmp(b->road, "flash") != 0)
		return br_error_set(err, EINVAL, "board %s: road '%s': 'net', 'flash' or 'local' is needed", b->name,
			VIS(b->road));
	if (!model_ok(b->model))
		return br_error_set(err, EINVAL, "board %s: '%s' is no model", b->name, VIS(b->model));
	if (!notes_ok(b->notes))
		return br_error_set(err, EINVAL, "board %s: notes must be one line of UTF-8 text", b->name);
	if (!tags_ok(b->tags))
		return br_error_set(err, EINVAL, "board %s: tags '%s': words of a-z, 0-9, '.', '_' and '-' are needed, a blank "
						 "between two, each once", b->name, VIS(b->tags));
	if (!uri_ok(b->power) || !uri_ok(b->console))
		return br_error_set(err, EINVAL, "board %s: %s '%s': a URI as %s is needed", b->name,
			uri_ok(b->power) ? "console" : "power", VIS(uri_ok(b->power) ? b->console : b->power),
			uri_ok(b->power) ? "rfc2217://10.0.0.9:4001" : "tasmota://10.0.0.9/1");
#undef VIS
	if (b->address && (b->address >> 28 >= 14 || b->address >> 24 == 0 || b->address >> 24 == 127))
		return br_error_set(err, EINVAL, "board %s: no board can have the address %s", b->name,
			br_ip_format(vis, b->address));
	if (b->mac.b[0] & 1)
		return br_error_set(err, EINVAL, "board %s: the MAC is a multicast address", b->name);
	if (br_mac_is_zero(b->mac) && !b->serial_known)
		return br_error_set(err, EINVAL, "board %s: a MAC or a serial is needed to know it by", b->name);
	if (b->serial_known && !(uint32_t)b->serial)
		return br_error_set(err, EINVAL, "board %s: a serial of 0 is no serial", b->name);
	return 0;
}

/* Which of the unique things another board has. */
static int check_free(struct br_fleet *fleet, const struct br_board *b, struct br_error *err)
{
	struct br_board other;
	char mac[BR_MAC_TEXT];

	if (!find_by_name(fleet, b->name, &other) && other.id != b->id)
		return br_error_set(err, EEXIST, "board name %s is taken (by %s); choose another", b->name,
			br_mac_format(mac, other.mac));
	if (!br_mac_is_zero(b->mac) &&
		!find_by_number(fleet, ST_BOARD_BY_MAC, (int64_t)br_mac_u64(b->mac), &other) &&
		other.id != b->id)
		return br_error_set(err, EEXIST, "MAC %s is that of board %s", br_mac_format(mac, b->mac),
			other.name);
	if (b->address && !find_by_number(fleet, ST_BOARD_BY_ADDRESS, b->address, &other) && other.id != b->id)
		return br_error_set(err, EEXIST, "address %s is that of board %s", br_ip_format(mac, b->address),
			other.name);
	if (b->serial_known &&
		!find_by_number(fleet, ST_BOARD_BY_SERIAL, (uint32_t)b->serial, &other) &&
		other.id != b->id)
		return br_error_set(err, EEXIST, "serial %08x is that of board %s", (uint32_t)b->serial,
			other.name);
	return 0;
}

static int update(struct br_fleet *fleet, const struct br_board *b)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_BOARD_UPDATE);
	int r;

	bind_board(s, b);
	sqlite3_bind_int64(s, 13, b->id);
	sqlite3_bind_text(s, 14, b->persist, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 15, b->signed_key, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 16, b->tags, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 17, b->power, -1, SQLITE_STATIC);
	sqlite3_bind_text(s, 18, b->console, -1, SQLITE_STATIC);
	r = br_db_run(s);
	if (r >= 0 && !sqlite3_changes(fleet->db))
		return -ENOENT;
	return r;
}

int br_board_save(struct br_fleet *fleet, struct br_board *board, struct br_error *err)
{
	struct br_board b = *board;
	int r = check(&b, err);

	if (r < 0)
		return r;
	if (!b.id) {
		b.adopted_at = br_db_now();
		b.seen_at = 0;
	}
	r = br_db_begin(fleet, false, err, "store a board");
	if (r < 0)
		return r;
	r = check_free(fleet, &b, err);
	if (r >= 0)
		r = b.id ? update(fleet, &b) : insert(fleet, &b);
	if (r == -ENOENT)
		br_error_set(err, ENOENT, "board %s: it was removed", b.name);
	if (r >= 0)
		r = find_by_number(fleet, ST_BOARD_BY_ID, b.id, &b);
	r = br_db_end(fleet, r, err, "store a board");
	if (r < 0)
		return r;
	*board = b;
	return 0;
}

/* Runs a DELETE whose parameter 1 is the board. */
static int delete_of(struct br_fleet *fleet, enum br_stmt which, int64_t id)
{
	sqlite3_stmt *s = br_db_stmt(fleet, which);

	sqlite3_bind_int64(s, 1, id);
	if (which == ST_LEASE_DELETE_BOARD)
		sqlite3_bind_int64(s, 2, 0); /* all of them */
	return br_db_run(s);
}

int br_board_remove(struct br_fleet *fleet, int64_t id, struct br_error *err)
{
	int r = br_db_begin(fleet, false, err, "remove a board");

	if (r < 0)
		return r;
	r = delete_of(fleet, ST_BOARD_DELETE, id);
	if (r >= 0 && !sqlite3_changes(fleet->db))
		r = br_error_set(err, ENOENT, "there is no such board");
	if (r >= 0)
		r = delete_of(fleet, ST_SECRET_DELETE, id);
	if (r >= 0)
		r = delete_of(fleet, ST_FACT_DELETE, id);
	if (r >= 0)
		r = delete_of(fleet, ST_QUARANTINE_DELETE, id);
	if (r >= 0)
		r = delete_of(fleet, ST_LEASE_DELETE_BOARD, id);
	fleet->gap_hint = 0; /* an address came free */
	return br_db_end(fleet, r, err, "remove a board");
}

/* The stored secret into out: 0, -ENOENT, -EMSGSIZE when it has another length. */
static int get_secret(struct br_fleet *fleet, int64_t board_id, const char *kind, void *out, size_t n)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_SECRET_GET);
	int code, r;

	sqlite3_bind_int64(s, 1, board_id);
	sqlite3_bind_text(s, 2, kind, -1, SQLITE_STATIC);
	code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		r = (size_t)sqlite3_column_bytes(s, 0) == n ? 0 : -EMSGSIZE;
		if (!r && n)
			memcpy(out, sqlite3_column_blob(s, 0), n);
	} else {
		r = code == SQLITE_DONE ? -ENOENT : br_db_errno(fleet->db);
	}
	sqlite3_reset(s);
	return r;
}

int br_board_secret(struct br_fleet *fleet, int64_t board_id, const char *kind, void *ret, size_t n)
{
	br_cleanup(br_freep) void *fresh = NULL;
	sqlite3_stmt *s;
	int r;

	br_db_lock(fleet);
	r = get_secret(fleet, board_id, kind, ret, n);
	br_db_unlock(fleet);
	if (r != -ENOENT)
		return r;
	fresh = malloc(n ? n : 1);
	if (!fresh)
		return -ENOMEM;
	br_random(fresh, n);
	r = br_db_begin(fleet, false, NULL, NULL);
	if (r < 0)
		return r;
	r = get_secret(fleet, board_id, kind, fresh, n); /* another thread may have been first */
	if (r == -ENOENT) {
		s = br_db_stmt(fleet, ST_SECRET_PUT);
		sqlite3_bind_int64(s, 1, board_id);
		sqlite3_bind_text(s, 2, kind, -1, SQLITE_STATIC);
		sqlite3_bind_blob(s, 3, fresh, (int)n, SQLITE_STATIC);
		r = br_db_run(s);
	}
	r = br_db_end(fleet, r, NULL, NULL);
	if (r >= 0)
		memcpy(ret, fresh, n);
	return r;
}

/* The number in the only row. */
static int one_number(struct br_fleet *fleet, sqlite3_stmt *s, uint64_t *ret)
{
	int code = sqlite3_step(s);
	uint64_t v = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;

	/* to the end: an UPDATE ... RETURNING is done only then */
	while (code == SQLITE_ROW) {
		code = sqlite3_step(s);
		if (code == SQLITE_DONE) {
			sqlite3_reset(s);
			*ret = v;
			return 0;
		}
	}
	code = code == SQLITE_DONE ? -ENOENT : br_db_errno(fleet->db);
	sqlite3_reset(s);
	return code;
}

int br_boot_next(struct br_fleet *fleet, int64_t board_id, uint64_t *ret)
{
	uint64_t v = 0;
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, false, NULL, NULL);

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_BOOT_NEXT);
	sqlite3_bind_int64(s, 1, board_id);
	r = br_db_end(fleet, one_number(fleet, s, &v), NULL, NULL);
	if (r >= 0)
		*ret = v;
	return r;
}

int br_boot_last(struct br_fleet *fleet, int64_t board_id, uint64_t *ret)
{
	sqlite3_stmt *s;
	int r;

	br_db_lock(fleet);
	s = br_db_stmt(fleet, ST_BOOT_LAST);
	sqlite3_bind_int64(s, 1, board_id);
	r = one_number(fleet, s, ret);
	br_db_unlock(fleet);
	return r;
}
