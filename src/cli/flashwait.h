/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/table.h"

/* One board of a 'bramble flash': its order as the daemon last told it, and how it ended here. */
struct br_flash_wait {
	const char *board; /* not owned */
	json_t *status;	   /* NULL: there is no order; owned */
	enum br_exit code;
	bool ended, withdrawn; /* withdrawn: the daemon confirmed it */
	char words[300];   /* why, when code is not BR_EXIT_OK */
	unsigned percent;  /* shown last */
	char state[16];
};

/*
 * A daemon that is away meanwhile (restarted) is waited for, too. Follows the orders until all have ended or time is up (then those that wait are withdrawn), telling the progress on
 * stderr: a bar per board on a terminal, else a line every 5 %. Fills in code and words.
 */
void br_flash_wait(struct br_client *client, struct br_flash_wait *w, size_t n, uint64_t timeout_ns, bool quiet);
/* Withdraws an order; status, withdrawn, code and words are then what the daemon says. Else a negative errno, nothing changed. */
int br_flash_withdraw_order(struct br_client *client, struct br_flash_wait *w, const char *what, const char *words);
/* The exit code of an order that has ended so. */
enum br_exit br_flash_exit(const json_t *status);
