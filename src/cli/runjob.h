/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* 'bramble run -b SELECTOR ...': argv[0] is "run". An exit code of job.h, or the command's. */
int br_cli_run_job(int argc, char **argv);
/* Whether that is meant: there is -b before the command. */
bool br_cli_is_job(int argc, char **argv);
/* Its options and exit codes, for the help of 'run'. */
#define BR_RUN_JOB_ARGS \
	"-b BOARDS[:N] [-i IMAGE] [--flash] [--timeout DURATION] [--boot-timeout DURATION] [--queue-timeout DURATION] [--on-board] " \
	"[--artifacts DIR [--collect PATH]] [--junit FILE] [--keep-on-failure] -- COMMAND"
#define BR_RUN_JOB_DETAILS \
	"With -b it is a job: boards are reserved (waiting in the queue), get a fresh disk for this job only, are switched off and on, and\n" \
	"when they are up COMMAND runs here, with BRAMBLE_BOARD, BRAMBLE_BOARDS, BRAMBLE_ADDRESS ... At the end, however it comes, the\n" \
	"boards are free and have their settings back. docs/reserve.md and docs/ci.md tell more.\n\n" \
	"  -b, --boards BOARDS     names (all of them) or a selector: model=4B, tag=camera, free; :N at the end is how many (else one)\n" \
	"  -i, --image IMAGE       what they boot in this job (else what each boots anyway)\n" \
	"  --disk KIND             volatile (default: fresh), ram, persistent, or keep: as each board has it\n" \
	"  --flash                 write IMAGE to their cards first, and boot from these\n" \
	"  --on-board              run COMMAND on each board, over ssh\n" \
	"  --user NAME             ... as this user (else $BRAMBLE_SSH_USER, or root)\n" \
	"  --up STAGE              when a board counts as booted: up (default), mounted, kernel-sent, ssh, or none: nothing is waited for\n" \
	"  --power HOW             cycle (default), reset, or none: somebody else switches them\n" \
	"  --timeout DURATION      of COMMAND (default: 1h)\n" \
	"  --boot-timeout DURATION of power and boot (default: 10m); of --flash, too\n" \
	"  --queue-timeout DURATION of waiting for boards (default: 6h)\n" \
	"  --artifacts DIR         what is kept of the job: job.json, and for each board its events and log\n" \
	"  --collect PATH          ... and this file or directory of its disk; may be given again\n" \
	"  --junit FILE            the steps of the job as test cases, for the CI's page\n" \
	"  --keep-on-failure[=DURATION]  when COMMAND fails the boards stay reserved so long (2h), to look at them\n" \
	"  --no-log                does not show what the boards write to console and syslog\n" \
	"  --ttl DURATION          how soon the boards are free when this command is killed (default: 30s; 2s to 60s)\n" \
	"  --note TEXT             what for; others are shown it\n" \
	"  -q, --quiet             only errors\n\n" \
	"Exit codes: COMMAND's own, 0 to 99 and 112 to 255 (100 to 111 become 99). Of the lab: 100 no board matches, 101 the queue took too\n" \
	"long, 102 a board did not boot, 103 it could not be switched, 104 no such image, 105 the reservation was lost, 106 no daemon, 107\n" \
	"flashing failed, 108 COMMAND could not be started, 109 COMMAND took too long, 110 artifacts could not be kept, 111 anything else.\n"
