/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fleet/db.h"
#include "fleet/event.h"

static const struct br_mac MAC_A = { { 0xb8, 0x27, 0xeb, 0, 0, 1 } };
static const struct br_mac MAC_B = { { 0xb8, 0x27, 0xeb, 0, 0, 2 } };

static struct br_mac mac_of(uint32_t i)
{
	return (struct br_mac){ { 2, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i } };
}

struct fixture {
	char *dir;
	struct br_fleet *fleet;
};

static int setup(void **state)
{
	static int n;
	struct fixture *f = calloc(1, sizeof(*f));
	struct br_error err = BR_ERROR_NULL;

	f->dir = br_asprintf("%s/fleet%d", test_dir(), n++);
	assert_int_equal(br_fleet_open(f->dir, true, &f->fleet, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	br_fleet_close(f->fleet);
	br_remove_tree(f->dir, NULL);
	free(f->dir);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	struct br_error err = BR_ERROR_NULL;

	br_fleet_close(f->fleet);
	f->fleet = NULL;
	assert_int_equal(br_fleet_open(f->dir, true, &f->fleet, &err), 0);
}

static void sql(struct fixture *f, const char *text)
{
	br_db_lock(f->fleet);
	assert_int_equal(sqlite3_exec(f->fleet->db, text, NULL, NULL, NULL), SQLITE_OK);
	br_db_unlock(f->fleet);
}

static void migrations_run_once_in_order(void **state)
{
	static const char *const steps[] = { "CREATE TABLE a(x)", "INSERT INTO a VALUES(1)",
		"CREATE TABLE b(y); INSERT INTO nowhere VALUES(1)" };
	struct br_error err = BR_ERROR_NULL;
	sqlite3_stmt *s;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(br_db_migrate(db, steps, 1, &err), 0);
	assert_int_equal(br_db_migrate(db, steps, 2, &err), 0);
	assert_int_equal(br_db_migrate(db, steps, 2, &err), 0);
	/* a step that fails leaves nothing of itself */
	assert_true(br_db_migrate(db, steps, 3, &err) < 0);
	assert_non_null(strstr(err.text, "schema 3"));
	assert_int_not_equal(sqlite3_exec(db, "SELECT * FROM b", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM a", -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int(s, 0), 1);
	sqlite3_finalize(s);
	/* written by a newer program */
	assert_int_equal(br_db_migrate(db, steps, 1, &err), -EPROTO);
	assert_non_null(strstr(err.text, "newer bramble"));
	sqlite3_close(db);
}

static void a_newer_or_damaged_database_is_refused(void **state)
{
	struct fixture *f = *state;
	struct br_fleet *other = NULL;
	struct br_error err = BR_ERROR_NULL;
	br_cleanup(br_freep) char *junk = br_asprintf("%s/junk", f->dir);
	br_cleanup(br_freep) char *db = br_asprintf("%s/junk/bramble.db", f->dir);

	sql(f, "PRAGMA user_version=99");
	assert_int_equal(br_fleet_open(f->dir, false, &other, &err), -EPROTO);
	assert_null(other);
	assert_non_null(strstr(err.text, "schema 99"));

	assert_int_equal(br_mkdir_all(junk, 0755, NULL), 0);
	assert_int_equal(br_file_write(db, "this is not a database, whatever its name says.....", 50, 0644, NULL), 0);
	assert_int_equal(br_fleet_open(junk, true, &other, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "damaged"));
}

static void a_second_daemon_is_refused(void **state)
{
	struct fixture *f = *state;
	struct br_fleet *other = NULL;
	struct br_error err = BR_ERROR_NULL;
	char pid[32];

	assert_int_equal(br_fleet_open(f->dir, true, &other, &err), -EBUSY);
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	assert_non_null(strstr(err.text, pid));
	/* readers are welcome */
	assert_int_equal(br_fleet_open(f->dir, false, &other, &err), 0);
	br_fleet_close(other);
	reopen(f); /* the lock ended with the first */
}

static void boards_are_adopted_and_learn_their_serial(void **state)
{
	struct fixture *f = *state;
	struct br_sighting s = { .mac = MAC_A };
	struct br_error err = BR_ERROR_NULL;
	struct br_board b, c;
	bool is_new;

	assert_int_equal(br_board_see(f->fleet, &s, false, &b, &is_new, &err), -ENOENT);
	assert_non_null(strstr(err.text, "b8:27:eb:00:00:01"));
	assert_int_equal(br_board_see(f->fleet, &s, true, &b, &is_new, &err), 0);
	assert_true(is_new);
	assert_string_equal(b.name, "pi-000001");
	s.serial_known = true;
	s.serial = 0xabcd0001;
	s.revision = 0xa020d3;
	strcpy(s.model, "3B+");
	assert_int_equal(br_board_see(f->fleet, &s, false, &b, &is_new, &err), 0);
	assert_false(is_new);
	assert_string_equal(b.name, "pi-000001"); /* a name stays */
	reopen(f);
	assert_int_equal(br_board_by_serial(f->fleet, 0xabcd0001, &c), 0);
	assert_int_equal(c.id, b.id);
	assert_string_equal(c.model, "3B+");
	assert_int_equal(c.revision, 0xa020d3);
	/* the other way round: by serial first */
	s = (struct br_sighting){ .mac = MAC_B, .serial_known = true, .serial = 0x1234 };
	assert_int_equal(br_board_see(f->fleet, &s, true, &b, &is_new, &err), 0);
	assert_string_equal(b.name, "pi-00001234");
	assert_int_equal(br_board_by_mac(f->fleet, MAC_B, &c), 0);
	assert_int_equal(c.id, b.id);
	s = (struct br_sighting){ 0 };
	assert_int_equal(br_board_see(f->fleet, &s, true, &b, &is_new, &err), -EINVAL);
}

static void a_board_with_a_new_mac_is_the_same_board(void **state)
{
	struct fixture *f = *state;
	struct br_sighting s = { .mac = MAC_A, .serial_known = true, .serial = 0x77 };
	struct br_error err = BR_ERROR_NULL;
	struct br_board b, c;
	bool is_new;

	assert_int_equal(br_board_see(f->fleet, &s, true, &b, &is_new, &err), 0);
	/* both there at once: two boards, told apart by MAC */
	s.mac = MAC_B;
	assert_int_equal(br_board_see(f->fleet, &s, true, &c, &is_new, &err), 1);
	assert_true(is_new);
	assert_int_not_equal(c.id, b.id);
	assert_false(c.serial_known);
	assert_string_equal(c.name, "pi-000002");
	assert_non_null(strstr(err.text, "pi-00000077"));
	assert_int_equal(br_board_see(f->fleet, &s, true, &c, &is_new, &err), 1);
	assert_false(is_new);
	/* long after, the same */
	assert_int_equal(br_board_remove(f->fleet, c.id, &err), 0);
	sql(f, "UPDATE board SET seen_at = seen_at - 3600");
	err = BR_ERROR_NULL;
	assert_int_equal(br_board_see(f->fleet, &s, false, &c, &is_new, &err), 0);
	assert_int_equal(c.id, b.id);
	assert_true(br_mac_equal(c.mac, MAC_B));
	assert_int_equal(br_board_by_mac(f->fleet, MAC_A, &c), -ENOENT);
}

static void a_board_made_by_hand_waits_for_its_mac(void **state)
{
	struct fixture *f = *state;
	struct br_board b = { .name = "lab1", .serial_known = true, .serial = 0x100000abcdefull }, c;
	struct br_sighting s = { .mac = MAC_A, .serial_known = true, .serial = 0xabcdef };
	struct br_error err = BR_ERROR_NULL;
	bool is_new;

	assert_int_equal(br_board_save(f->fleet, &b, &err), 0);
	assert_true(b.id > 0 && b.adopted_at > 0);
	assert_int_equal(br_board_by_serial(f->fleet, 0xabcdef, &c), 0); /* the low half */
	assert_int_equal(br_board_see(f->fleet, &s, false, &c, &is_new, &err), 0);
	assert_string_equal(c.name, "lab1");
	assert_true(c.serial == 0x100000abcdefull); /* the high half stays */
	assert_true(br_mac_equal(c.mac, MAC_A));
}

static void fields_are_checked(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct br_board b;
		const char *words;
	} cases[] = {
		{ { .name = "" }, "board name" },
		{ { .name = "-a" }, "board name" },
		{ { .name = "a-" }, "board name" },
		{ { .name = "Pi" }, "board name" },
		{ { .name = "a/b" }, "board name" },
		{ { .name = "a", .image = "../x" }, "name of an image" },
		{ { .name = "a", .image = ".x" }, "name of an image" },
		{ { .name = "a", .disk = "floppy" }, "'persistent' or 'ram'" },
		{ { .name = "a", .road = "mud" }, "'net', 'flash' or 'local'" },
		{ { .name = "a", .model = "\x1b[2J" }, "no model" },
		{ { .name = "a", .notes = "two\nlines" }, "one line" },
		{ { .name = "a", .notes = "\xff\xfe" }, "UTF-8" },
		{ { .name = "a", .tags = "two  blanks" }, "a blank between two" },
		{ { .name = "a", .tags = "Upper" }, "a blank between two" },
		{ { .name = "a", .tags = "end " }, "a blank between two" },
		{ { .name = "a", .tags = "x y x" }, "each once" },
		{ { .name = "a", .power = "switch" }, "power 'switch'" },
		{ { .name = "a", .console = "tcp://a b" }, "console 'tcp://a b'" },
		{ { .name = "a", .mac = { { 1, 0, 0, 0, 0, 1 } } }, "multicast" },
		{ { .name = "a" }, "a MAC or a serial" },
		{ { .name = "a", .serial_known = true }, "serial of 0" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_board b = cases[i].b;
		struct br_error err = BR_ERROR_NULL;

		assert_int_equal(br_board_save(f->fleet, &b, &err), -EINVAL);
		if (!strstr(err.text, cases[i].words))
			fail_msg("case %zu: %s", i, err.text);
	}
}

static void tags_and_uris_are_kept(void **state)
{
	struct fixture *f = *state;
	struct br_board a = { .name = "a", .mac = MAC_A, .tags = "rack1 camera", .power = "tasmota://10.0.0.9/1",
		.console = "rfc2217://10.0.0.9:4001" };
	struct br_board b;

	assert_int_equal(br_board_save(f->fleet, &a, NULL), 0);
	assert_int_equal(br_board_by_name(f->fleet, "a", &b), 0);
	assert_true(br_board_tagged(&b, "rack1") && br_board_tagged(&b, "camera"));
	assert_false(br_board_tagged(&b, "rack") || br_board_tagged(&b, "") || br_board_tagged(&b, "rack1 camera"));
	assert_string_equal(b.power, a.power);
	assert_string_equal(b.console, a.console);
	strcpy(b.tags, "");
	assert_int_equal(br_board_save(f->fleet, &b, NULL), 0);
	assert_int_equal(br_board_by_id(f->fleet, b.id, &a), 0);
	assert_string_equal(a.tags, "");
	assert_string_equal(a.console, b.console);
}

static void names_macs_and_serials_are_of_one_board(void **state)
{
	struct fixture *f = *state;
	struct br_board a = { .name = "a", .mac = MAC_A, .serial_known = true, .serial = 7 };
	struct br_board cases[] = {
		{ .name = "a", .mac = MAC_B },
		{ .name = "b", .mac = MAC_A },
		{ .name = "b", .mac = MAC_B, .serial_known = true, .serial = 0x100000007 },
	};
	struct br_error err = BR_ERROR_NULL;
	struct br_board b;

	assert_int_equal(br_board_save(f->fleet, &a, &err), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		assert_int_equal(br_board_save(f->fleet, &cases[i], &err), -EEXIST);
	strcpy(a.name, "renamed");
	strcpy(a.disk, "persistent");
	err = BR_ERROR_NULL;
	assert_int_equal(br_board_save(f->fleet, &a, &err), 0);
	assert_int_equal(br_board_by_name(f->fleet, "a", &b), -ENOENT);
	assert_int_equal(br_board_by_name(f->fleet, "renamed", &b), 0);
	assert_string_equal(b.disk, "persistent");
	assert_int_equal(br_board_remove(f->fleet, a.id, &err), 0);
	assert_int_equal(br_board_save(f->fleet, &a, &err), -ENOENT);
	assert_int_equal(br_board_remove(f->fleet, a.id, &err), -ENOENT);
}

static int count_board(void *ctx, const struct br_board *b)
{
	struct { struct br_fleet *fleet; int n; char last[64]; } *c = ctx;
	struct br_board again;

	assert_true(strcmp(c->last, b->name) < 0);
	strcpy(c->last, b->name);
	assert_int_equal(br_board_by_id(c->fleet, b->id, &again), 0); /* no lock is held */
	c->n++;
	return 0;
}

static void lists_are_paged(void **state)
{
	struct fixture *f = *state;
	struct { struct br_fleet *fleet; int n; char last[64]; } c = { f->fleet, 0, "" };
	uint64_t n;

	sql(f, "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 300) "
	       "INSERT INTO board(name, mac, adopted_at) SELECT 'b' || n, n, 1 FROM i");
	assert_int_equal(br_board_list(f->fleet, count_board, &c), 0);
	assert_int_equal(c.n, 300);
	assert_int_equal(br_board_count(f->fleet, &n), 0);
	assert_int_equal(n, 300);
}

static void secrets_and_boot_numbers_stay(void **state)
{
	struct fixture *f = *state;
	struct br_board b = { .name = "a", .mac = MAC_A };
	uint8_t one[32], two[32], other[32], small[16];
	uint64_t n;

	assert_int_equal(br_board_save(f->fleet, &b, NULL), 0);
	assert_int_equal(br_board_secret(f->fleet, b.id, "ssh", one, 32), 0);
	assert_int_equal(br_boot_last(f->fleet, b.id, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(br_boot_next(f->fleet, b.id, &n), 0);
	assert_int_equal(n, 1);
	reopen(f);
	assert_int_equal(br_board_secret(f->fleet, b.id, "ssh", two, 32), 0);
	assert_memory_equal(one, two, 32);
	assert_int_equal(br_board_secret(f->fleet, b.id, "other", other, 32), 0);
	assert_memory_not_equal(one, other, 32);
	assert_int_equal(br_board_secret(f->fleet, b.id, "ssh", small, 16), -EMSGSIZE);
	assert_int_equal(br_boot_next(f->fleet, b.id, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(br_boot_last(f->fleet, b.id, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(br_boot_next(f->fleet, 999, &n), -ENOENT);
}

static struct br_lease_request request(struct br_mac mac, int64_t board, uint32_t first, uint32_t last)
{
	return (struct br_lease_request){
		.mac = mac, .board_id = board, .first = first, .last = last, .lease_s = 3600
	};
}

static void addresses_stay_with_their_mac(void **state)
{
	struct fixture *f = *state;
	struct br_board b = { .name = "a", .mac = MAC_A }, c;
	struct br_lease_request q = request(MAC_A, 0, 100, 109);
	struct br_lease l;
	const uint32_t taken[] = { 100, 102 };

	q.taken = taken;
	q.n_taken = 2;
	assert_int_equal(br_board_save(f->fleet, &b, NULL), 0);
	q.board_id = b.id;
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 101);
	assert_int_equal(br_board_by_ip(f->fleet, 101, &c), 0);
	assert_int_equal(c.id, b.id);
	reopen(f);
	q.wanted = 105; /* it has one already */
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 101);
	/* its board with another MAC: the same address */
	q.mac = MAC_B;
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 101);
	assert_int_equal(br_lease_by_mac(f->fleet, MAC_A, &l), -ENOENT);
	/* a wish of a newcomer, then a wish that is taken, then one outside */
	q = request(mac_of(1), 0, 100, 109);
	q.wanted = 105;
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 105);
	q = request(mac_of(2), 0, 100, 109);
	q.taken = taken;
	q.n_taken = 2;
	q.wanted = 105;
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 103);
	q.mac = mac_of(3);
	q.wanted = 200;
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 104);
	q.mac = mac_of(4);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 106); /* 105 went by wish */
	/* the range moves: the address follows it */
	q = request(MAC_B, b.id, 200, 209);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 200);
	assert_int_equal(br_lease_by_ip(f->fleet, 101, &l), -ENOENT);
}

static void a_full_range_reuses_what_expired_but_never_a_boards(void **state)
{
	struct fixture *f = *state;
	struct br_error err = BR_ERROR_NULL;
	struct br_lease_request q;
	struct br_lease l;

	for (uint32_t i = 0; i < 4; i++) {
		q = request(mac_of(i), i == 0 ? 42 : 0, 10, 13);
		assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
		assert_int_equal(l.ip, 10 + i);
	}
	q = request(mac_of(9), 0, 10, 13);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "0.0.0.10-0.0.0.13"));
	/* all expired long ago, 12 the longest, but for the board's, which was first */
	sql(f, "UPDATE lease SET expires_at = 1000 + abs(ip - 12) * 10; UPDATE lease SET expires_at = 1 WHERE ip = 10");
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 12);
	assert_int_equal(br_lease_by_mac(f->fleet, mac_of(2), &l), -ENOENT);
	q.mac = mac_of(10);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_not_equal(l.ip, 10);
	q.mac = mac_of(11);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	q.mac = mac_of(12);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, &err), -ENOSPC);
	assert_int_equal(br_lease_by_mac(f->fleet, mac_of(0), &l), 0);
	assert_int_equal(l.ip, 10);
}

static void a_removed_board_gives_its_address_back(void **state)
{
	struct fixture *f = *state;
	struct br_board b = { .name = "a", .mac = MAC_A };
	struct br_lease_request q = request(MAC_A, 0, 10, 11);
	struct br_lease l;

	assert_int_equal(br_board_save(f->fleet, &b, NULL), 0);
	q.board_id = b.id;
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	q = request(MAC_B, 0, 10, 11);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	q.mac = mac_of(5);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), -ENOSPC);
	assert_int_equal(br_board_remove(f->fleet, b.id, NULL), 0);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 10);
}

/* A board's own choice of address: nobody else gets it, and who has it loses it at the next question. */
static void a_fixed_address_is_one_boards(void **state)
{
	struct fixture *f = *state;
	struct br_board a = { .name = "a", .mac = mac_of(1), .address = 0x0a4d0065 }, b = { .name = "b", .mac = mac_of(2) };
	struct br_error err = BR_ERROR_NULL;
	struct br_lease_request q;
	struct br_lease l;
	uint32_t ip = 0;

	assert_int_equal(br_board_save(f->fleet, &b, NULL), 0);
	q = request(b.mac, b.id, 0x0a4d0065, 0x0a4d0067);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 0x0a4d0065); /* it is nobody's yet */
	assert_int_equal(br_board_save(f->fleet, &a, NULL), 0);
	assert_int_equal(br_board_by_name(f->fleet, "a", &a), 0);
	assert_int_equal(a.address, 0x0a4d0065);
	b.address = a.address;
	assert_int_equal(br_board_save(f->fleet, &b, &err), -EEXIST);
	assert_non_null(strstr(err.text, "10.77.0.101 is that of board a"));
	b.address = 0x7f000001;
	assert_int_equal(br_board_save(f->fleet, &b, &err), -EINVAL);
	q = request(a.mac, a.id, a.address, a.address);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), -ENOSPC); /* b has it still */
	q = request(b.mac, b.id, 0x0a4d0065, 0x0a4d0067);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 0x0a4d0066);
	q = request(mac_of(3), 0, 0x0a4d0065, 0x0a4d0067);
	q.wanted = a.address;
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, 0x0a4d0067);
	q = request(mac_of(4), 0, 0x0a4d0065, 0x0a4d0067);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), -ENOSPC); /* kept, though free */
	q = request(a.mac, a.id, a.address, a.address);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(l.ip, a.address);
	/* given back by the stranger: free at once */
	q = request(mac_of(4), 0, 0x0a4d0065, 0x0a4d0067);
	assert_int_equal(br_lease_release(f->fleet, a.mac), 0);
	assert_int_equal(br_lease_find(f->fleet, &q, &ip), -ENOSPC); /* a board's is not */
	assert_int_equal(br_lease_release(f->fleet, mac_of(3)), 0);
	assert_int_equal(br_lease_find(f->fleet, &q, &ip), 0);
	assert_int_equal(ip, 0x0a4d0067);
}

static void looking_for_an_address_takes_none(void **state)
{
	struct fixture *f = *state;
	struct br_lease_request q = request(mac_of(1), 0, 10, 12);
	struct br_lease l;
	uint64_t n = 9;
	uint32_t ip = 0;

	assert_int_equal(br_lease_strangers(f->fleet, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(br_lease_find(f->fleet, &q, &ip), 0);
	assert_int_equal(ip, 10);
	assert_int_equal(br_lease_by_mac(f->fleet, mac_of(1), &l), -ENOENT);
	q.only_used = true;
	assert_int_equal(br_lease_find(f->fleet, &q, &ip), -ENOSPC);
	q.only_used = false;
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
	assert_int_equal(br_lease_strangers(f->fleet, &n), 0);
	assert_int_equal(n, 1);
	sql(f, "UPDATE lease SET expires_at = 1");
	q = request(mac_of(2), 0, 10, 12);
	q.only_used = true;
	assert_int_equal(br_lease_find(f->fleet, &q, &ip), 0);
	assert_int_equal(ip, 10);
}

/* Nothing that a packet waits for may read a whole table, or sort. */
static void hot_statements_use_indexes(void **state)
{
	struct fixture *f = *state;
	static const enum br_stmt hot[] = { ST_BOARD_BY_ID, ST_BOARD_BY_NAME, ST_BOARD_BY_MAC, ST_BOARD_BY_SERIAL,
		ST_BOARD_BY_IP, ST_BOARD_BY_TAIL, ST_BOARD_PAGE, ST_BOARD_UPDATE, ST_BOARD_SEEN, ST_BOARD_FILL, ST_BOARD_DELETE,
		ST_BOOT_NEXT, ST_BOOT_LAST, ST_SECRET_GET, ST_SECRET_DELETE, ST_LEASE_BY_MAC, ST_LEASE_BY_IP, ST_LEASE_GAP,
		ST_LEASE_EXPIRED, ST_LEASE_RELEASE, ST_BOARD_BY_ADDRESS, ST_LEASE_DELETE_BOARD, ST_LEASE_PAGE, ST_EVENT_FORGET, ST_EVENT_PAGE, ST_EVENT_FROM };

	for (size_t i = 0; i < BR_ARRAY_SIZE(hot); i++) {
		br_cleanup(br_freep) char *text = br_asprintf("EXPLAIN QUERY PLAN %s", br_db_sql(hot[i]));
		sqlite3_stmt *s;

		assert_int_equal(sqlite3_prepare_v2(f->fleet->db, text, -1, &s, NULL), SQLITE_OK);
		while (sqlite3_step(s) == SQLITE_ROW) {
			const char *plan = (const char *)sqlite3_column_text(s, 3);

			if (br_str_starts(plan, "SCAN") || strstr(plan, "TEMP B-TREE"))
				fail_msg("%s: %s", br_db_sql(hot[i]), plan);
		}
		sqlite3_finalize(s);
	}
}

/* Steps of the virtual machine, not time: the same on any machine. */
static int steps_taken(struct fixture *f, enum br_stmt which)
{
	return sqlite3_stmt_status(f->fleet->stmt[which], SQLITE_STMTSTATUS_VM_STEP, 1);
}

static void fifty_thousand_leases_cost_no_more_than_few(void **state)
{
	struct fixture *f = *state;
	const uint32_t first = 0x0a000001, last = first + 65533;
	struct br_lease_request q;
	struct br_lease l;

	sql(f, "WITH RECURSIVE i(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM i WHERE n < 49999) "
	       "INSERT INTO lease SELECT 1000 + n, 167772161 + n, 1, 1, 1 FROM i");
	q = request(mac_of(1), 0, first, last);
	assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0); /* one look over all, once */
	assert_int_equal(l.ip, first + 50000);
	steps_taken(f, ST_LEASE_GAP);
	for (uint32_t i = 2; i < 50; i++) {
		q.mac = mac_of(i);
		assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), 0);
		assert_int_equal(l.ip, first + 49999 + i);
	}
	assert_true(steps_taken(f, ST_LEASE_GAP) < 48 * 100);
	assert_int_equal(sqlite3_stmt_status(f->fleet->stmt[ST_LEASE_GAP], SQLITE_STMTSTATUS_FULLSCAN_STEP, 0), 0);
	/* full, again and again */
	q.last = first + 49999 + 49;
	for (uint32_t i = 100; i < 103; i++) {
		q.mac = mac_of(i);
		assert_int_equal(br_lease_take(f->fleet, &q, &l, NULL), -ENOSPC);
		if (i > 100)
			assert_true(steps_taken(f, ST_LEASE_GAP) < 100);
		steps_taken(f, ST_LEASE_GAP);
	}
}

struct seen {
	uint64_t seq[64];
	char type[64][24];
	char board[64][64];
	json_int_t value[64];
	size_t n, all;
};

static int collect(void *ctx, const struct br_event *ev)
{
	struct seen *s = ctx;
	size_t i = s->n < 63 ? s->n++ : 63;

	s->all++;
	s->seq[i] = ev->seq;
	snprintf(s->type[i], sizeof(s->type[i]), "%s", ev->type);
	snprintf(s->board[i], sizeof(s->board[i]), "%s", ev->board_name);
	s->value[i] = json_integer_value(json_object_get(ev->fields, "n"));
	return 0;
}

static void listener(void *ctx, const struct br_event *ev)
{
	collect(ctx, ev);
}

static size_t query(struct fixture *f, struct br_event_filter filter, struct seen *ret)
{
	memset(ret, 0, sizeof(*ret));
	assert_int_equal(br_event_query(f->fleet, &filter, collect, ret, NULL), 0);
	return ret->n;
}

static void events_are_numbered_told_kept_and_filtered(void **state)
{
	struct fixture *f = *state;
	struct br_board b = { .name = "a", .mac = MAC_A };
	struct seen live = { 0 }, s;
	void *h = br_event_listen(f->fleet, listener, &live);

	assert_int_equal(br_board_save(f->fleet, &b, NULL), 0);
	br_event_emit(f->fleet, 0, 0, BR_EV_DAEMON_START, NULL);
	br_event_emit(f->fleet, b.id, 1, BR_EV_DHCP_OFFER, json_pack("{s:i}", "n", 11));
	br_event_emit(f->fleet, b.id, 1, BR_EV_DHCP_ACK, json_pack("{s:i}", "n", 12));
	assert_int_equal(live.n, 3);
	assert_int_equal(live.seq[2], 3);
	assert_int_equal(live.value[1], 11);
	assert_string_equal(live.board[1], "a");
	br_event_unlisten(f->fleet, h);
	/* partly stored, partly queued: seen alike */
	assert_int_equal(br_event_flush(f->fleet), 0);
	br_event_emit(f->fleet, b.id, 2, BR_EV_DHCP_OFFER, json_pack("{s:i}", "n", 21));
	br_event_emit(f->fleet, b.id, 2, BR_EV_FILE_SENT, json_pack("{s:i}", "n", 22));
	assert_int_equal(live.n, 3);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(query(f, (struct br_event_filter){ 0 }, &s), 5);
		for (size_t i = 0; i < 5; i++)
			assert_int_equal(s.seq[i], i + 1);
		assert_string_equal(s.board[4], "a");
		assert_int_equal(query(f, (struct br_event_filter){ .type = "dhcp" }, &s), 3);
		assert_int_equal(query(f, (struct br_event_filter){ .type = "dhcp.offer" }, &s), 2);
		assert_int_equal(query(f, (struct br_event_filter){ .type = "dhc" }, &s), 0);
		assert_int_equal(query(f, (struct br_event_filter){ .board_id = b.id, .boot = 2 }, &s), 2);
		assert_int_equal(query(f, (struct br_event_filter){ .after = 4 }, &s), 1);
		assert_int_equal(s.value[0], 22);
		for (size_t limit = 1; limit <= 6; limit++) {
			size_t n = limit < 5 ? limit : 5;

			assert_int_equal(query(f, (struct br_event_filter){ .limit = limit }, &s), n);
			assert_int_equal(s.seq[n - 1], 5);
		}
		assert_int_equal(query(f, (struct br_event_filter){ .type = "dhcp", .limit = 2 }, &s), 2);
		assert_int_equal(s.seq[0], 3);
		reopen(f); /* closing stores */
	}
	br_event_emit(f->fleet, 0, 0, BR_EV_DAEMON_STOP, NULL);
	assert_int_equal(query(f, (struct br_event_filter){ .after = 5 }, &s), 1);
	assert_int_equal(s.seq[0], 6);
}

static void many_events_are_paged_and_one_may_stop(void **state)
{
	struct fixture *f = *state;
	struct seen s;

	for (int i = 0; i < 1000; i++)
		br_event_emit(f->fleet, 0, 0, BR_EV_FILE_SENT, json_pack("{s:i}", "n", i));
	query(f, (struct br_event_filter){ 0 }, &s);
	assert_int_equal(s.all, 1000);
	assert_int_equal(br_event_flush(f->fleet), 0);
	query(f, (struct br_event_filter){ 0 }, &s);
	assert_int_equal(s.all, 1000);
	query(f, (struct br_event_filter){ .limit = 300 }, &s);
	assert_int_equal(s.all, 300);
	assert_int_equal(s.value[0], 700);
}

#define EMITTERS 4
static void *emit_many(void *arg)
{
	for (int i = 0; i < 500; i++)
		br_event_emit(arg, 0, 0, BR_EV_FILE_SENT, NULL);
	return NULL;
}

static int check_order(void *ctx, const struct br_event *ev)
{
	assert_true(ev->seq == ++*(uint64_t *)ctx);
	return 0;
}

static void threads_emit_without_gaps(void **state)
{
	struct fixture *f = *state;
	pthread_t t[EMITTERS];
	uint64_t last = 0;

	for (int i = 0; i < EMITTERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, emit_many, f->fleet), 0);
	for (int i = 0; i < EMITTERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(br_event_query(f->fleet, &(struct br_event_filter){ 0 }, check_order, &last, NULL), 0);
	assert_int_equal(last, EMITTERS * 500);
	assert_int_equal(br_event_flush(f->fleet), 0);
	last = 0;
	assert_int_equal(br_event_query(f->fleet, &(struct br_event_filter){ 0 }, check_order, &last, NULL), 0);
	assert_int_equal(last, EMITTERS * 500);
}

static bool mount_small(const char *dir)
{
	return br_mkdir_all(dir, 0755, NULL) >= 0 && unshare(CLONE_NEWNS) >= 0 &&
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) >= 0 &&
		mount("none", dir, "tmpfs", 0, "size=512k") >= 0;
}

/* On a small disk of its own: everything fails with words, and recovers when there is room. */
static int full_disk_child(const char *dir)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_fleet *fleet;
	struct br_board b;
	bool is_new;
	int i, r = 0;
	uint64_t last = 0;

	if (!mount_small(dir))
		return 77;
	if (br_fleet_open(dir, true, &fleet, &err) < 0)
		return 1;
	for (i = 0; i < 5000 && !r; i++) {
		struct br_sighting s = { .mac = mac_of((uint32_t)i) };

		r = br_board_see(fleet, &s, true, &b, &is_new, &err);
		br_event_emit(fleet, 0, 0, BR_EV_FILE_SENT, NULL);
	}
	if (r != -ENOSPC || !strstr(err.text, "no space left"))
		return 2;
	for (int k = 0; k < 5000; k++)
		br_event_emit(fleet, 0, 0, BR_EV_FILE_SENT, NULL);
	if (br_event_flush(fleet) != -ENOSPC || br_event_health(fleet, &err) != -ENOSPC)
		return 3;
	if (mount(NULL, dir, NULL, MS_REMOUNT, "size=16m") < 0 || br_event_flush(fleet) < 0 ||
		br_event_health(fleet, &err) < 0)
		return 4;
	if (br_board_by_mac(fleet, mac_of((uint32_t)i - 1), &b) != -ENOENT ||
		br_board_by_mac(fleet, mac_of((uint32_t)i - 2), &b) < 0)
		return 5;
	if (br_event_query(fleet, &(struct br_event_filter){ 0 }, check_order, &last, NULL) < 0 ||
		last != (uint64_t)i + 5000)
		return 6;
	br_fleet_close(fleet);
	return 0;
}

static void a_full_disk_loses_nothing_that_was_said(void **state)
{
	char dir[300];
	int status;
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s/full", test_dir());
	pid = fork();
	if (!pid)
		_exit(full_disk_child(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: a small tmpfs may not be mounted here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Killed in the middle of writing: what was answered is there. */
static void a_killed_daemon_leaves_what_it_answered(void **state)
{
	br_cleanup(br_freep) char *dir = br_asprintf("%s/killed", test_dir());
	struct br_fleet *fleet;
	struct br_board b;
	uint32_t said = 0, i;
	int p[2], status;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (!pid) {
		bool is_new;

		if (br_fleet_open(dir, true, &fleet, NULL) < 0)
			_exit(1);
		for (i = 1;; i++) {
			struct br_sighting s = { .mac = mac_of(i) };

			if (br_board_see(fleet, &s, true, &b, &is_new, NULL) < 0 || write(p[1], &i, 4) != 4)
				_exit(1);
		}
	}
	close(p[1]);
	while (said < 50 && read(p[0], &i, 4) == 4)
		said = i;
	kill(pid, SIGKILL);
	while (read(p[0], &i, 4) == 4)
		said = i;
	waitpid(pid, &status, 0);
	close(p[0]);
	assert_true(said >= 50);
	assert_int_equal(br_fleet_open(dir, true, &fleet, NULL), 0);
	for (i = 1; i <= said; i++)
		assert_int_equal(br_board_by_mac(fleet, mac_of(i), &b), 0);
	br_fleet_close(fleet);
}

/* Memory is bounded when nothing can be stored, and the loss is told. */
static void an_overfull_queue_drops_the_oldest_of_its_type(void **state)
{
	struct fixture *f = *state;
	struct seen s;
	uint64_t first;

	/* a writer that cannot write: another connection holds the database */
	pthread_mutex_lock(&f->fleet->flush_lock);
	br_event_emit(f->fleet, 0, 0, BR_EV_DAEMON_START, NULL);
	for (int i = 0; i < 65536 + 10; i++)
		br_event_emit(f->fleet, 0, 0, BR_EV_FILE_SENT, NULL);
	assert_int_equal(f->fleet->n_queued, 65536);
	assert_int_equal(f->fleet->lost, 11);
	pthread_mutex_unlock(&f->fleet->flush_lock);
	assert_int_equal(br_event_flush(f->fleet), 0);
	br_event_emit(f->fleet, 0, 0, BR_EV_DAEMON_STOP, NULL);
	query(f, (struct br_event_filter){ .type = BR_EV_DAEMON_START }, &s);
	assert_int_equal(s.n, 1); /* another type was spared */
	query(f, (struct br_event_filter){ .type = BR_EV_FILE_SENT }, &s);
	first = s.seq[0];
	assert_int_equal(first, 2 + 11);
	query(f, (struct br_event_filter){ .type = BR_EV_LOST }, &s);
	assert_int_equal(s.n, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(migrations_run_once_in_order),
		T(a_newer_or_damaged_database_is_refused),
		T(a_second_daemon_is_refused),
		T(boards_are_adopted_and_learn_their_serial),
		T(a_board_with_a_new_mac_is_the_same_board),
		T(a_board_made_by_hand_waits_for_its_mac),
		T(fields_are_checked),
		T(tags_and_uris_are_kept),
		T(names_macs_and_serials_are_of_one_board),
		T(lists_are_paged),
		T(secrets_and_boot_numbers_stay),
		T(addresses_stay_with_their_mac),
		T(a_full_range_reuses_what_expired_but_never_a_boards),
		T(a_removed_board_gives_its_address_back),
		T(a_fixed_address_is_one_boards),
		T(looking_for_an_address_takes_none),
		T(hot_statements_use_indexes),
		T(fifty_thousand_leases_cost_no_more_than_few),
		T(events_are_numbered_told_kept_and_filtered),
		T(many_events_are_paged_and_one_may_stop),
		T(threads_emit_without_gaps),
		T(an_overfull_queue_drops_the_oldest_of_its_type),
		cmocka_unit_test(a_full_disk_loses_nothing_that_was_said),
		cmocka_unit_test(a_killed_daemon_leaves_what_it_answered),
	};
	int failed = cmocka_run_group_tests_name("fleet", tests, NULL, NULL);

	br_remove_tree(test_dir(), NULL);
	return failed;
}
