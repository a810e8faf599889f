/* SPDX-License-Identifier: Apache-2.0 */
/* The manager's threads, with boards switched by a program that keeps their state in files. */
#include "tests/unit/test.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "fleet/event.h"
#include "fleet/quarantine.h"
#include "power/conf.h"
#include "power/power.h"

#define PATIENCE_NS (60 * BR_S) /* only so that a hang ends */

struct lab {
	char dir[300];
	struct br_fleet *fleet;
	struct br_power_conf conf;
	struct br_power *power;
	struct br_board board[3];
	atomic_bool reserved;
};

static const char script[] = "#!/bin/sh\n"
			     "cd \"$(dirname \"$0\")\" || exit 9\n"
			     "test -e broken && { echo 'it smells'; exit 4; }\n"
			     "case $2 in\n"
			     "on|off) echo $2 >state.$1; echo $2 >>log.$1;;\n"
			     "status) cat state.$1;;\n"
			     "*) exit 3;;\n"
			     "esac\n";

static bool reserved(void *ctx, int64_t board_id)
{
	struct lab *l = ctx;

	return atomic_load(&l->reserved);
}

static void set(struct lab *l, const char *section, const char *key, const char *value)
{
	struct br_error err = BR_ERROR_NULL;

	if (br_power_conf_set(&l->conf, section, key, value, &err) < 0)
		fail_msg("%s", err.text);
}

static void start(struct lab *l)
{
	struct br_power_options opt = { .fleet = l->fleet, .conf = &l->conf, .state = l->dir, .reserved = reserved, .ctx = l };
	struct br_error err = BR_ERROR_NULL;

	if (br_power_new(&opt, &l->power, &err) < 0)
		fail_msg("%s", err.text);
}

static void set_up(struct lab *l)
{
	char path[400], command[500];
	struct br_error err = BR_ERROR_NULL;

	memset(l, 0, sizeof(*l));
	snprintf(l->dir, sizeof(l->dir), "%s/XXXXXX", test_dir());
	assert_non_null(mkdtemp(l->dir));
	snprintf(path, sizeof(path), "%s/ctl", l->dir);
	assert_int_equal(br_file_write(path, script, strlen(script), 0755, &err), 0);
	snprintf(command, sizeof(command), "%s {board} {action}", path);
	set(l, "power ctl", "command", command);
	set(l, "power ctl", "boards", "b[0-2]");
	set(l, "power", "off-time", "10ms");
	set(l, "power", "delay", "10ms");
	if (br_fleet_open(l->dir, true, &l->fleet, &err) < 0)
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(l->board[i].name, sizeof(l->board[i].name), "b%u", i);
		l->board[i].mac = (struct br_mac){ { 0xdc, 0xa6, 0x32, 0, 0, (uint8_t)i } };
		if (br_board_save(l->fleet, &l->board[i], &err) < 0)
			fail_msg("%s", err.text);
	}
}

static void tear_down(struct lab *l)
{
	br_power_free(l->power);
	br_fleet_close(l->fleet);
	br_power_conf_done(&l->conf);
}

static int act(struct lab *l, unsigned i, enum br_power_action action, struct br_power_job *job)
{
	const struct br_power_order o = { .board_id = l->board[i].id, .action = action };
	struct br_error err = BR_ERROR_NULL;

	return br_power_do(l->power, &o, PATIENCE_NS, job, &err);
}

static void file_of(const struct lab *l, const char *kind, unsigned i, char out[static 64])
{
	char path[400], *text = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s.b%u", l->dir, kind, i);
	out[0] = 0;
	if (!br_file_read(path, 60, &text, &n, &err))
		snprintf(out, 64, "%s", text);
	free(text);
}

static void programs_switch_and_tell(void **state)
{
	struct br_power_job job;
	char text[64];
	struct lab l;

	set_up(&l);
	start(&l);
	assert_int_equal(act(&l, 0, BR_POWER_STATUS, &job), 0);
	assert_int_equal(job.state, BR_POWER_IS_UNKNOWN); /* it fails: there is no state yet */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(act(&l, i, BR_POWER_ON, &job), 0);
	assert_true(job.verified && job.state == BR_POWER_IS_ON);
	assert_int_equal(act(&l, 0, BR_POWER_CYCLE, &job), 0);
	file_of(&l, "log", 0, text);
	assert_string_equal(text, "on\noff\non\n");
	tear_down(&l);
}

static void failures_set_a_board_aside(void **state)
{
	struct br_power_order o = { .action = BR_POWER_ON };
	struct br_error err = BR_ERROR_NULL;
	struct br_quarantine q = { 0 };
	struct br_power_job job;
	char path[400];
	struct lab l;
	uint64_t id, end;

	set_up(&l);
	start(&l);
	snprintf(path, sizeof(path), "%s/broken", l.dir);
	assert_int_equal(br_file_write(path, "", 0, 0644, &err), 0);
	o.board_id = l.board[1].id;
	for (int i = 0; i < 3; i++) {
		struct br_error words = BR_ERROR_NULL;

		assert_true(br_power_do(l.power, &o, PATIENCE_NS, &job, &words) < 0);
		assert_non_null(strstr(words.text, "it smells"));
		end = br_now_ns() + PATIENCE_NS; /* it is counted a moment after it is told */
		do {
			assert_int_equal(br_quarantine_get(l.fleet, o.board_id, &q), 0);
		} while (q.failures <= (unsigned)i && br_now_ns() < end && !usleep(1000));
	}
	assert_int_equal(q.failures, 3);
	assert_true(q.since);
	assert_int_equal(br_power_order(l.power, &o, &id, &err), -EPERM);
	o.force = true;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(br_power_do(l.power, &o, PATIENCE_NS, &job, &err), 0);
	assert_int_equal(br_power_quarantine(l.power, &l.board[1], NULL, &err), 0);
	assert_int_equal(br_power_quarantine(l.power, &l.board[1], NULL, &err), -EALREADY);
	o.force = false;
	assert_int_equal(br_power_order(l.power, &o, &id, &err), 0);
	tear_down(&l);
}

/* Two seconds after it was wanted last; a reserved one stays on. */
static void nobody_wants_it(void **state)
{
	struct br_power_job job;
	char text[64];
	struct lab l;
	uint64_t end;

	set_up(&l);
	l.conf.idle_off_ns = 2 * BR_S;
	atomic_store(&l.reserved, true);
	start(&l);
	assert_int_equal(act(&l, 0, BR_POWER_ON, &job), 0);
	br_power_saw(l.power, l.board[0].id, true);
	usleep(3500000);
	file_of(&l, "state", 0, text);
	assert_string_equal(text, "on\n");
	atomic_store(&l.reserved, false);
	end = br_now_ns() + PATIENCE_NS;
	do {
		file_of(&l, "state", 0, text);
	} while (strcmp(text, "off\n") != 0 && br_now_ns() < end && !usleep(10000));
	assert_string_equal(text, "off\n");
	tear_down(&l);
}

/* Whoever stops the daemon does not wait for a program that hangs (else this test takes two minutes). */
static void the_end_comes_at_once(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_power_order o = { .action = BR_POWER_OFF };
	struct lab l;
	uint64_t id;

	set_up(&l);
	set(&l, "power hang", "command", "/bin/sleep 3600");
	set(&l, "power hang", "timeout", "120s");
	set(&l, "power hang", "boards", "b0");
	l.conf.sections[0].n_boards = 0; /* b0 is of the other one */
	start(&l);
	o.board_id = l.board[0].id;
	assert_int_equal(br_power_order(l.power, &o, &id, &err), 0);
	usleep(200000);
	br_power_free(l.power);
	l.power = NULL;
	l.conf.sections[0].n_boards = 3;
	tear_down(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_switch_and_tell), cmocka_unit_test(failures_set_a_board_aside), cmocka_unit_test(nobody_wants_it),
		cmocka_unit_test(the_end_comes_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
