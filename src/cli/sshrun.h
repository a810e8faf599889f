/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What bramble run and bramble cp share: a piece of work on many boards, so many at a time. */
#include <pthread.h>

#include "base/text.h"
#include "cli/ssh.h"
#include "cli/table.h"

#define BR_FANOUT 32
#define BR_EXIT_NOT_REACHED 255 /* as ssh's */
#define BR_EXIT_RAN_OUT 124	/* as timeout(1)'s */

struct br_ssh_board {
	struct br_ssh_host host;
	bool found; /* there is a host */
	struct br_ssh_result result;
	uint64_t took_ns;
	/* of bramble run */
	struct br_text streams[2]; /* a line that is not complete, or all of it */
	bool cut;
};

struct br_ssh_fleet {
	struct br_ssh_board *v;
	size_t n;
	unsigned fanout;
	uint64_t timeout_ns;
	/* the work on one board, in a thread of its own: sets its result */
	void (*work)(void *ctx, struct br_ssh_board *board);
	void *ctx;
	pthread_mutex_t lock; /* of what is printed */
	size_t next;
};

/* The boards of a selector, their addresses and keys; one that has none gets it as its result. Exit code, after a message. */
int br_ssh_fleet_init(struct br_ssh_fleet *f, struct br_client *client, const char *boards, const char *user);
void br_ssh_fleet_done(struct br_ssh_fleet *f);
/* Does the work on all of them; ^C ends what is under way. */
void br_ssh_fleet_run(struct br_ssh_fleet *f);
bool *br_ssh_fleet_cancelled(void);
/* The worst of the exit codes; those that failed are told on stderr. */
int br_ssh_fleet_end(struct br_ssh_fleet *f, bool quiet);
/* What a board's result means as an exit code. */
int br_ssh_exit(const struct br_ssh_result *result);
const char *br_ssh_end_word(enum br_ssh_end end); /* "ran", "unreachable" ... */
