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
	BR_EXIT_WARNINGS = 6, /* a check found warnings, and no errors */
	/* of flashing, where it went wrong (docs/flash.md) */
	BR_EXIT_NOT_RESET = 10,
	BR_EXIT_NO_DHCP = 11,
	BR_EXIT_BOOTLOADER = 12,
	BR_EXIT_WRITE = 13,  /* or verify */
	BR_EXIT_SILENT = 14, /* booted, and never said so */
	/* of USB boot, when all boards failed so (docs/usb.md) */
	BR_EXIT_NO_PERMISSION = 30,
	BR_EXIT_BAD_PAYLOAD = 31,
	BR_EXIT_INTERRUPTED = 130,
};

struct br_command {
	const char *noun; /* "image"; NULL for an everyday verb */
	const char *verb; /* "add", "serve" */
	const char *args; /* "FILE [--name NAME]" */
	const char *help; /* one line */
	int (*run)(int argc, char **argv); /* argv[0] is the verb; returns enum br_exit */
	const char *details; /* for 'help NOUN VERB': the options, one per line with its newline; may be NULL */
};

/*
 * Each file of src/cli has one table, ended by verb == NULL; main.c has the list of tables. '--help' of every
 * command and '--state DIR' before the noun are handled in main.c (the latter as $BRAMBLE_STATE, which
 * br_state_dir(NULL) reads); '--state DIR' behind the verb is the command's own option.
 */
extern const struct br_command br_cli_image[], br_cli_board[], br_cli_event[], br_cli_disk[], br_cli_disk_cp[], br_cli_disk_export[], br_cli_disk_list[], br_cli_disk_shell[], br_cli_layers[], br_cli_image_layers[], br_cli_image_check[],
	br_cli_serve[], br_cli_share[],
	br_cli_sim[], br_cli_misc[], br_cli_why[], br_cli_uboot[];
extern const struct br_command br_cli_flash[];
extern const struct br_command br_cli_log[];
extern const struct br_command br_cli_reserve[];
extern const struct br_command br_cli_usb[], br_cli_usb_watch[];
extern const struct br_command br_cli_power[], br_cli_power_find[], br_cli_power_set[];
extern const struct br_command br_cli_eeprom[];
extern const struct br_command br_cli_sign[];
extern const struct br_command br_cli_token[];
extern const struct br_command br_cli_top[];
extern const struct br_command br_cli_console[], br_cli_ssh[];
extern const struct br_command br_cli_backup[], br_cli_check[], br_cli_import[], br_cli_prepare[];

int br_cli_main(int argc, char **argv);

/* The command that main.c runs, for its messages. */
extern const struct br_command *br_cli_current;

/* "bramble board edit: WORDS; usage: bramble board edit ..." on stderr. Returns BR_EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int br_cli_usage(const char *fmt, ...);
/* "bramble: WORDS" on stderr. Returns code. */
__attribute__((format(printf, 2, 3))) int br_cli_fail(enum br_exit code, const char *fmt, ...);
/* What getopt_long() found wrong (it returned '?' or ':' with opterr = 0) as br_cli_usage(). */
int br_cli_bad_option(int argc, char **argv, int c);
