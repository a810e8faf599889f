/* SPDX-License-Identifier: Apache-2.0 */
/* The console's terminal: whoever does not read it keeps nobody waiting. */
#include "tests/unit/test.h"

#include <pty.h>
#include <string.h>
#include <unistd.h>

#include "sim/terminal.h"

#define PRINTED 100000u

/* Reads what is there, and lets the terminal give more, until all came. */
static size_t read_all(struct br_sim_terminal *t, int master)
{
	char buf[4096];
	size_t got = 0;
	ssize_t n;

	while (got < PRINTED && (n = read(master, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			got += buf[i] == 'x';
		br_sim_terminal_flush(t);
	}
	return got;
}

static void nobody_reads(void **state)
{
	int master, slave, in = dup(STDIN_FILENO), out = dup(STDOUT_FILENO), r;
	struct br_sim_terminal t = BR_SIM_TERMINAL_NULL;
	bool waits = false;
	size_t got = 0;
	char line[1000];

	memset(line, 'x', sizeof(line));
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	dup2(slave, STDIN_FILENO);
	dup2(slave, STDOUT_FILENO);
	r = br_sim_terminal_open("-", &t, NULL);
	if (!r) {
		alarm(60); /* a write that waits would wait for ever */
		for (unsigned i = 0; i < PRINTED; i += sizeof(line))
			br_sim_terminal_write(&t, line, sizeof(line));
		waits = br_sim_terminal_waits(&t);
		got = read_all(&t, master);
		br_sim_terminal_close(&t);
		alarm(0);
	}
	close(slave);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	close(in);
	close(out);
	close(master);
	assert_int_equal(r, 0);
	assert_true(waits);
	assert_int_equal(got, PRINTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
