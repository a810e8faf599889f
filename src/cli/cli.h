/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The command line: a table of nouns and verbs. Exit codes are stable (docs: bramble(1)):
 */
enum br_exit {
	BR_EXIT_OK = 0,
	BR_EXIT_FAILED = 1,	 /* it was tried and went wrong */
	BR_EXIT_USAGE = 2,	 /* the command line is wrong; nothing was done */
	BR_EXIT_NOT_FOUND = 3,	 /* the board, image or file named is not there */
	BR_EXIT_NO_DAEMON = 4,	 /* no daemon answers on this state */
	BR_EXIT_TIMEOUT = 5,
	BR_EXIT_INTERRUPTED = 130,
};

struct br_command {
	const char *noun; /* "image"; NULL for an everyday verb */
	const char *verb; /* "add", "serve" */
	const char *args; /* "FILE [--name NAME]" */
	const char *help; /* one line */
	int (*run)(int argc, char **argv); /* argv[0] is the verb; returns enum br_exit */
};

/* Each file of src/cli has one table, ended by verb == NULL; main.c has the list of tables. */
extern const struct br_command br_cli_image[], br_cli_board[], br_cli_event[], br_cli_disk[], br_cli_serve[],
	br_cli_sim[], br_cli_misc[];

int br_cli_main(int argc, char **argv);
