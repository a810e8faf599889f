/* SPDX-License-Identifier: Apache-2.0 */
/* The power command: its words, what it says when it fails, and what it finds when it starts. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "power/driver.h"

static int run(const char *command, struct br_error *err)
{
	const struct br_power_target target = { .uri.scheme = BR_POWER_COMMAND, .command = command, .board = "pi07", .mac = "", .serial = "",
		.notes = "port 3", .timeout_ns = 30 * BR_S };

	return br_power_command.set(&target, BR_POWER_OP_RESET, err);
}

static void words(void **state)
{
	static const char *const bad[] = { "", "reboot", "/bin/x {nothing}", "./x" };

	assert_null(br_power_command_check("/bin/true {board} {mac} {serial} {notes} {action}"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(br_power_command_check(bad[i]));
}

/* One that fails at once has its words told all the same. */
static void failures_are_told(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct br_error err = BR_ERROR_NULL;

		assert_int_equal(run("/bin/ls /nowhere/{board}", &err), -EREMOTEIO);
		assert_non_null(strstr(br_error_text(&err, -EREMOTEIO), "/nowhere/pi07"));
	}
}

/* grep finds the mask of what is ignored: the bit of SIGPIPE, 0x1000, is not set. */
static void signals_are_as_usual(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	int r;

	signal(SIGPIPE, SIG_IGN);
	r = run("/bin/grep -q ^SigIgn:.*[02468ace]...$ /proc/self/status", &err);
	signal(SIGPIPE, SIG_DFL);
	if (r < 0)
		fail_msg("%s", br_error_text(&err, r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words), cmocka_unit_test(failures_are_told), cmocka_unit_test(signals_are_as_usual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
