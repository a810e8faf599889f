/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of 'bramble run -b': one job, and its steps. */
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/client.h"
#include "base/error.h"
#include "cli/hold.h"

/* Faults of the lab; a command's own code is never one of them. */
enum br_job_exit {
	BR_JOB_FIRST = 100,
	BR_JOB_NO_BOARD = 100,
	BR_JOB_QUEUE = 101,
	BR_JOB_BOOT = 102,
	BR_JOB_POWER = 103,
	BR_JOB_IMAGE = 104,
	BR_JOB_LOST = 105,
	BR_JOB_DAEMON = 106,
	BR_JOB_FLASH = 107,
	BR_JOB_COMMAND = 108, /* could not be started */
	BR_JOB_TIMEOUT = 109, /* of the command */
	BR_JOB_ARTIFACTS = 110,
	BR_JOB_OTHER = 111,
	BR_JOB_LAST = 111,
	BR_JOB_TAKEN = 99, /* instead of a command's code that is one of these */
};

struct br_job_options {
	const char *state, *boards, *image, *disk, *up, *power, *user, *artifacts, *junit, *note;
	const char **collect;
	size_t n_collect, collect_cap;
	bool flash, on_board, keep, no_log, quiet;
	uint64_t timeout_ns, boot_ns, queue_ns, keep_ns, ttl_ns;
	char **argv; /* of the command, ended by NULL */
};

/* A step of the job, as a test case of JUnit. */
struct br_job_phase {
	const char *name; /* static */
	uint64_t began_ns, ended_ns;
	int code; /* 0: well */
	char words[1000];
};

struct br_job_board {
	char name[64], address[16], model[16], serial[20];
	uint64_t boot; /* its last one before the job */
	bool up;
	char stage[24];
};

#define BR_JOB_PHASES_MAX 12

struct br_job {
	const struct br_job_options *opt;
	struct br_client *client;
	struct br_hold *hold; /* NULL: not yet, or no longer */
	struct br_job_board *boards;
	size_t n_boards;
	uint64_t began_ns, began_wall_ns, first_event;
	struct br_job_phase phases[BR_JOB_PHASES_MAX];
	size_t n_phases;
	struct br_job_log *log;
};

/* The signal that asked us to stop, 0: none. */
extern volatile sig_atomic_t br_job_signal;

/* "bramble: [12.3 s] WORDS" on stderr, unless quiet. */
__attribute__((format(printf, 2, 3))) void br_job_say(const struct br_job *job, const char *fmt, ...);
/* The same in every case; and it is noted in the phase. Returns code. */
__attribute__((format(printf, 3, 4))) int br_job_fail(struct br_job *job, int code, const char *fmt, ...);
/* A failure of the daemon's, as BR_JOB_DAEMON when it is none of its answers. */
int br_job_fail_call(struct br_job *job, int code, const char *what, int r, const struct br_error *err);
void br_job_begin(struct br_job *job, const char *phase);
void br_job_end(struct br_job *job, int code);
/* Whether the job may go on: 0, or an exit code after a message (stopped, reservation lost, daemon gone). */
int br_job_check(struct br_job *job);
/* A pause between two looks. */
void br_job_pause(void);
/* One request; a daemon that is away for a moment (restarted) is waited for. path NULL: memory is out. */
int br_job_request(struct br_job *job, const char *method, const char *path, const json_t *body, json_t **ret, struct br_error *err);
/* One below /v1/boards/NAME. */
int br_job_call(struct br_job *job, const struct br_job_board *b, const char *method, const char *rest, const json_t *body, json_t **ret,
	struct br_error *err);

/* jobboards.c: each 0 or an exit code. */
int br_job_take_boards(struct br_job *job);
int br_job_settings(struct br_job *job);
int br_job_flash(struct br_job *job);
int br_job_power(struct br_job *job);
int br_job_wait_up(struct br_job *job);

/* jobcmd.c: the command, here or on the boards: its exit code, made fit, or one of the lab's. */
int br_job_command(struct br_job *job);
/* Runs a program; what it says goes to stderr, or nowhere. Its exit status, or a negative errno. */
int br_job_spawn(const char *const *argv, bool quiet);

/* jobcollect.c */
int br_job_collect(struct br_job *job, int code);
/* job.json and the JUnit file, when all is over. */
int br_job_report(struct br_job *job, int code);

/* joblog.c: what the boards write, into the job's own log. NULL: there is no stream of it. */
struct br_job_log *br_job_log_start(struct br_job *job);
void br_job_log_stop(struct br_job_log *log);
