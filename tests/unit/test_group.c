/* SPDX-License-Identifier: Apache-2.0 */
/* Group commit: one thread's changes become stable together; and old events go. */
#include "tests/unit/test.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "fleet/db.h"
#include "fleet/event.h"

struct fixture {
	struct br_fleet *fleet;
	char *dir;
	pthread_mutex_t lock;
	pthread_cond_t told;
	uint64_t stable;
	int r;
};

static void on_stable(void *ctx, uint64_t ticket, int r)
{
	struct fixture *f = ctx;

	pthread_mutex_lock(&f->lock);
	f->stable = ticket;
	f->r = r;
	pthread_cond_signal(&f->told);
	pthread_mutex_unlock(&f->lock);
}

static void wait_for(struct fixture *f, uint64_t ticket)
{
	pthread_mutex_lock(&f->lock);
	while (f->stable < ticket)
		pthread_cond_wait(&f->told, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static int setup(void **state)
{
	static unsigned n;
	struct fixture *f = calloc(1, sizeof(*f));
	struct br_error err = BR_ERROR_NULL;

	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->told, NULL);
	f->dir = br_asprintf("%s/group%u", test_dir(), n++);
	assert_int_equal(br_fleet_open(f->dir, true, &f->fleet, &err), 0);
	assert_int_equal(br_group_open(f->fleet, on_stable, f, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	br_fleet_close(f->fleet);
	free(f->dir);
	free(f);
	return 0;
}

static struct br_mac mac_of(uint32_t n)
{
	return (struct br_mac){ { 2, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };
}

static int take(struct br_fleet *fleet, uint32_t n, uint32_t first, uint32_t last, struct br_lease *ret)
{
	struct br_lease_request req = { .mac = mac_of(n), .first = first, .last = last, .lease_s = 3600 };

	return br_lease_take(fleet, &req, ret, NULL);
}

static void a_group_is_one_transaction_and_one_ticket(void **state)
{
	struct fixture *f = *state;
	struct br_lease lease;
	uint64_t first = 0, second = 0, txn;

	br_group_begin(f->fleet);
	assert_int_equal(br_group_end(f->fleet, &first, NULL), 0); /* nothing to wait for */
	br_group_begin(f->fleet);
	txn = f->fleet->txn;
	for (uint32_t i = 1; i <= 100; i++)
		assert_int_equal(take(f->fleet, i, 1000, 2000, &lease), 0);
	assert_int_equal(f->fleet->group.writes, 100);
	assert_int_equal(f->fleet->txn, txn); /* not committed yet, and seen */
	assert_int_equal(br_lease_by_mac(f->fleet, mac_of(50), &lease), 0);
	assert_int_equal(br_group_end(f->fleet, &first, NULL), 1);
	wait_for(f, first);
	assert_int_equal(f->r, 0);
	assert_true(f->fleet->stable.stable >= first);
	/* one that stands needs nothing */
	br_group_begin(f->fleet);
	assert_int_equal(take(f->fleet, 7, 1000, 2000, &lease), 0);
	assert_int_equal(br_group_end(f->fleet, &second, NULL), 0);
	br_group_begin(f->fleet);
	assert_int_equal(take(f->fleet, 101, 1000, 2000, &lease), 0);
	assert_int_equal(br_group_end(f->fleet, &second, NULL), 1);
	assert_true(second > first);
	wait_for(f, second);
}

/* What the thread stores while its group rests is stable on return, and commits the group's share, too. */
static void a_group_may_rest(void **state)
{
	struct fixture *f = *state;
	struct br_lease lease;
	uint64_t ticket = 0, txn;

	br_group_begin(f->fleet);
	txn = f->fleet->txn;
	assert_int_equal(take(f->fleet, 1, 10, 20, &lease), 0);
	br_group_pause(f->fleet);
	assert_int_equal(f->fleet->txn, txn);
	br_group_begin(f->fleet);
	assert_int_equal(take(f->fleet, 2, 10, 20, &lease), 0);
	assert_int_equal(f->fleet->group.writes, 2);
	br_group_pause(f->fleet);
	assert_int_equal(take(f->fleet, 3, 10, 20, &lease), 0);
	assert_true(f->fleet->committed >= txn && f->fleet->stable.stable >= txn);
	assert_int_equal(br_group_end(f->fleet, &ticket, NULL), 1);
	assert_int_equal(ticket, txn);
	wait_for(f, ticket);
}

static void what_fails_in_a_group_takes_nothing_with_it(void **state)
{
	struct fixture *f = *state;
	struct br_board b = { .name = "a", .mac = mac_of(1) }, bad = { .name = "b", .mac = mac_of(1) };
	struct br_error err = BR_ERROR_NULL;
	struct br_lease lease;
	uint64_t ticket = 0;

	br_group_begin(f->fleet);
	assert_int_equal(br_board_save(f->fleet, &b, &err), 0);
	assert_int_equal(br_board_save(f->fleet, &bad, &err), -EEXIST);
	assert_int_equal(take(f->fleet, 5, 10, 10, &lease), 0);
	assert_int_equal(take(f->fleet, 6, 10, 10, &lease), -ENOSPC);
	assert_int_equal(br_group_end(f->fleet, &ticket, &err), 1);
	wait_for(f, ticket);
	assert_int_equal(br_board_by_name(f->fleet, "a", &b), 0);
	assert_int_equal(br_board_by_name(f->fleet, "b", &b), -ENOENT);
	assert_int_equal(br_lease_by_mac(f->fleet, mac_of(5), &lease), 0);
	assert_int_equal(br_lease_by_mac(f->fleet, mac_of(6), &lease), -ENOENT);
}

static void *save_one(void *arg)
{
	struct br_board b = { .name = "other", .mac = mac_of(99) };

	return (void *)(intptr_t)br_board_save(arg, &b, NULL);
}

/* Another thread's change in the middle commits what is there, and waits for its own disk. */
static void others_may_store_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct br_lease lease;
	uint64_t ticket = 0, txn;
	pthread_t thread;
	void *r;

	br_group_begin(f->fleet);
	txn = f->fleet->txn;
	assert_int_equal(take(f->fleet, 1, 10, 20, &lease), 0);
	assert_int_equal(pthread_create(&thread, NULL, save_one, f->fleet), 0);
	pthread_join(thread, &r);
	assert_null(r);
	assert_true(f->fleet->committed >= txn && f->fleet->stable.stable >= txn);
	assert_int_equal(take(f->fleet, 2, 10, 20, &lease), 0);
	assert_int_equal(br_group_end(f->fleet, &ticket, NULL), 1);
	assert_true(ticket > txn);
	wait_for(f, ticket);
}

/* A transaction that is lost as a whole takes the group's tickets with it. */
static void a_lost_transaction_is_told(void **state)
{
	struct fixture *f = *state;
	struct br_error err = BR_ERROR_NULL;
	struct br_lease lease;
	uint64_t ticket = 0;

	br_group_begin(f->fleet);
	assert_int_equal(take(f->fleet, 1, 10, 20, &lease), 0);
	assert_int_equal(sqlite3_exec(f->fleet->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK); /* as a full disk does it */
	assert_true(br_group_end(f->fleet, &ticket, &err) < 0);
	assert_true(err.code);
	assert_int_equal(br_lease_by_mac(f->fleet, mac_of(1), &lease), -ENOENT);
	br_group_begin(f->fleet);
	assert_int_equal(take(f->fleet, 1, 10, 20, &lease), 0);
	assert_int_equal(br_group_end(f->fleet, &ticket, &err), 1);
	wait_for(f, ticket);
}

/* A client takes an address in a group of its own. What it is told of the disk. */
static int take_and_wait(struct fixture *f, uint32_t n, uint64_t *ret_ticket)
{
	struct br_lease lease;

	br_group_begin(f->fleet);
	assert_int_equal(take(f->fleet, n, 10, 20, &lease), 0);
	assert_int_equal(br_group_end(f->fleet, ret_ticket, NULL), 1);
	wait_for(f, *ret_ticket);
	return f->r;
}

/* A sync that fails is told of, and no success of a later one makes up for it. */
static void a_failed_sync_is_told(void **state)
{
	struct fixture *f = *state;
	int fd = f->fleet->stable.log_fd;
	uint64_t ticket = 0, next = 0;

	f->fleet->stable.log_fd = -1;
	assert_int_equal(take_and_wait(f, 1, &ticket), -EBADF);
	f->fleet->stable.log_fd = fd;
	assert_int_equal(br_stable_wait(f->fleet, ticket), -EBADF);
	assert_int_equal(take_and_wait(f, 2, &next), 0);
}

/* A log that may have a hole is not relied on again: it must begin anew, and as long as that cannot be, nothing is stable. */
static void after_a_failed_sync_the_log_begins_anew(void **state)
{
	struct fixture *f = *state;
	br_cleanup(br_freep) char *path = br_asprintf("%s/bramble.db", f->dir), *log = br_asprintf("%s-wal", path);
	int fd = f->fleet->stable.log_fd;
	sqlite3 *other = NULL;
	uint64_t ticket = 0;
	struct stat st;

	f->fleet->stable.log_fd = -1;
	assert_int_equal(take_and_wait(f, 1, &ticket), -EBADF);
	f->fleet->stable.log_fd = fd;
	/* another process reads what is in the log */
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN; SELECT * FROM lease", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_busy_timeout(f->fleet->db, 0);
	assert_int_equal(take_and_wait(f, 2, &ticket), -EBADF);
	assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(take_and_wait(f, 3, &ticket), 0);
	assert_int_equal(stat(log, &st), 0);
	assert_int_equal(st.st_size, 0); /* all of it is in the database */
	assert_int_equal(take_and_wait(f, 4, &ticket), 0);
}

/* What stands already is not promised either before a sync has shown that the disk is well again. */
static void what_stands_waits_after_a_failed_sync(void **state)
{
	struct fixture *f = *state;
	int fd = f->fleet->stable.log_fd;
	struct br_lease lease;
	uint64_t lost = 0, ticket = 0;

	f->fleet->stable.log_fd = -1;
	assert_int_equal(take_and_wait(f, 1, &lost), -EBADF);
	assert_int_equal(take_and_wait(f, 1, &ticket), -EBADF); /* nothing to write: it has it */
	assert_true(ticket > lost);
	f->fleet->stable.log_fd = fd;
	/* others store something meanwhile, but the group's thread was told of a loss last */
	assert_int_equal(br_setting_put(f->fleet, "a", "b", NULL), 0);
	assert_int_equal(take_and_wait(f, 1, &ticket), 0);
	br_group_begin(f->fleet);
	assert_int_equal(take(f->fleet, 1, 10, 20, &lease), 0);
	assert_int_equal(br_group_end(f->fleet, &ticket, NULL), 0);
}

/* Addresses that were given in a transaction that is lost are free again. */
static void a_lost_transaction_gives_addresses_back(void **state)
{
	struct fixture *f = *state;
	struct br_lease lease;
	uint64_t ticket = 0;

	br_group_begin(f->fleet);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(take(f->fleet, i, 10, 11, &lease), i < 3 ? 0 : -ENOSPC);
	assert_int_equal(sqlite3_exec(f->fleet->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_true(br_group_end(f->fleet, &ticket, NULL) < 0);
	br_group_begin(f->fleet);
	for (uint32_t i = 4; i <= 5; i++)
		assert_int_equal(take(f->fleet, i, 10, 11, &lease), 0);
	assert_int_equal(br_group_end(f->fleet, &ticket, NULL), 1);
	wait_for(f, ticket);
}

/* The child stores leases in groups and says which are stable; then it is killed. */
struct killed {
	struct br_fleet *fleet;
	int fd;
	uint64_t tickets[256]; /* of the groups, which are numbered */
	_Atomic uint32_t groups;
	uint32_t told;
};

static void say_stable(void *ctx, uint64_t ticket, int r)
{
	struct killed *k = ctx;

	while (k->told < k->groups && k->tickets[k->told % 256] <= ticket && !r)
		if (write(k->fd, &k->told, sizeof(k->told)) != sizeof(k->told) || !++k->told)
			_exit(1);
}

#define GROUP 20

static void store_until_killed(const char *dir, int fd)
{
	struct killed k = { .fd = fd };
	struct br_lease lease;

	if (br_fleet_open(dir, true, &k.fleet, NULL) < 0 || br_group_open(k.fleet, say_stable, &k, NULL) < 0)
		_exit(1);
	for (uint32_t g = 0;; g++) {
		while (g > k.told + 200)
			usleep(100);
		br_group_begin(k.fleet);
		for (uint32_t i = 0; i < GROUP; i++)
			if (take(k.fleet, g * GROUP + i, 1 << 24, 1 << 25, &lease) < 0)
				_exit(1);
		if (br_group_end(k.fleet, &k.tickets[g % 256], NULL) != 1)
			_exit(1);
		k.groups = g + 1;
	}
}

static void a_killed_daemon_leaves_what_it_promised(void **state)
{
	br_cleanup(br_freep) char *dir = br_asprintf("%s/killed", test_dir());
	struct br_fleet *fleet = NULL;
	struct br_lease lease;
	uint32_t said = 0, g;
	int p[2], status;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (!pid)
		store_until_killed(dir, p[1]);
	close(p[1]);
	while (said < 100 && read(p[0], &g, sizeof(g)) == sizeof(g))
		said = g;
	kill(pid, SIGKILL);
	while (read(p[0], &g, sizeof(g)) == sizeof(g))
		said = g;
	waitpid(pid, &status, 0);
	close(p[0]);
	assert_true(said >= 100);
	assert_int_equal(br_fleet_open(dir, true, &fleet, NULL), 0);
	for (uint32_t i = 0; i < (said + 1) * GROUP; i++)
		assert_int_equal(br_lease_by_mac(fleet, mac_of(i), &lease), 0);
	br_fleet_close(fleet);
}

static int count(void *ctx, const struct br_event *ev)
{
	(*(unsigned *)ctx)++;
	return 0;
}

static unsigned n_events(struct fixture *f, const char *type)
{
	const struct br_event_filter filter = { .type = type };
	unsigned n = 0;

	assert_int_equal(br_event_query(f->fleet, &filter, count, &n, NULL), 0);
	return n;
}

static void old_events_go_but_for_the_last_boots(void **state)
{
	struct fixture *f = *state;
	struct br_board b = { .name = "a", .mac = mac_of(1) };
	uint64_t boot = 0;

	assert_int_equal(br_board_save(f->fleet, &b, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(br_boot_next(f->fleet, b.id, &boot), 0);
		br_event_emit(f->fleet, b.id, boot, BR_EV_BOOT_START, NULL);
	}
	for (int i = 0; i < 3000; i++)
		br_event_emit(f->fleet, b.id, boot, BR_EV_DHCP_OFFER, NULL);
	assert_int_equal(br_event_flush(f->fleet), 0);
	while (br_events_forget(f->fleet) > 0)
		;
	assert_int_equal(n_events(f, NULL), 3003); /* no limit */
	br_event_retain(f->fleet, 0, 1000);
	while (br_events_forget(f->fleet) > 0)
		;
	assert_int_equal(n_events(f, NULL), 1001);
	assert_int_equal(n_events(f, BR_EV_BOOT_START), 1);
	/* by age: all but that one look old */
	assert_int_equal(sqlite3_exec(f->fleet->db, "UPDATE event SET wall_ns = 1 WHERE seq < 2503", NULL, NULL, NULL), 0);
	br_event_retain(f->fleet, 3600, 0);
	while (br_events_forget(f->fleet) > 0)
		;
	assert_int_equal(n_events(f, BR_EV_DHCP_OFFER), 501);
	assert_int_equal(n_events(f, BR_EV_BOOT_START), 1);
}

/* The same for one change of several. One that was refused leaves what is known as it is: floods are refused. */
static void an_undone_change_gives_its_addresses_back(void **state)
{
	struct fixture *f = *state;
	struct br_lease lease;
	uint64_t ticket = 0;

	br_group_begin(f->fleet);
	assert_int_equal(take(f->fleet, 1, 10, 11, &lease), 0);
	assert_int_equal(br_db_begin(f->fleet, false, NULL, "test"), 0);
	assert_int_equal(sqlite3_exec(f->fleet->db, "INSERT INTO lease VALUES(77, 11, 0, 0, 0)", NULL, NULL, NULL), SQLITE_OK);
	f->fleet->gap_hint = 12;
	assert_int_equal(br_db_end(f->fleet, -EIO, NULL, "test"), -EIO);
	assert_int_equal(take(f->fleet, 2, 10, 11, &lease), 0);
	assert_int_equal(take(f->fleet, 3, 10, 11, &lease), -ENOSPC);
	assert_int_equal(f->fleet->gap_hint, 11);
	assert_int_equal(br_group_end(f->fleet, &ticket, NULL), 1);
	wait_for(f, ticket);
}

/* The clock of a server without a battery starts in the past, some events look old: only these go. */
static void one_old_stamp_takes_no_young_events_along(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 300; i++)
		br_event_emit(f->fleet, 0, 0, BR_EV_DHCP_OFFER, NULL);
	assert_int_equal(br_event_flush(f->fleet), 0);
	assert_int_equal(sqlite3_exec(f->fleet->db, "UPDATE event SET wall_ns = 1 WHERE seq = 200", NULL, NULL, NULL), 0);
	br_event_retain(f->fleet, 3600, 0);
	while (br_events_forget(f->fleet) > 0)
		;
	assert_int_equal(n_events(f, BR_EV_DHCP_OFFER), 299);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_group_is_one_transaction_and_one_ticket),
		T(a_group_may_rest),
		T(what_fails_in_a_group_takes_nothing_with_it),
		T(others_may_store_meanwhile),
		T(a_lost_transaction_is_told),
		T(a_failed_sync_is_told),
		T(after_a_failed_sync_the_log_begins_anew),
		T(what_stands_waits_after_a_failed_sync),
		T(a_lost_transaction_gives_addresses_back),
		T(an_undone_change_gives_its_addresses_back),
		T(old_events_go_but_for_the_last_boots),
		T(one_old_stamp_takes_no_young_events_along),
		cmocka_unit_test(a_killed_daemon_leaves_what_it_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
