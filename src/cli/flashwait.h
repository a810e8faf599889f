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
	bool ended;
	char words[300];   /* why, when code is not BR_EXIT_OK */
	unsigned percent;  /* shown last */
	char state[16];
};

/*
 * Follows the orders until all have ended or time is up (then those that wait are withdrawn), telling the progress on
 * stderr: a bar per board on a terminal, else a line every 5 %. Fills in code and words. 0 or a negative errno.
 */
int br_flash_wait(struct br_client *client, struct br_flash_wait *w, size_t n, uint64_t timeout_ns, bool quiet,
	struct br_error *err);
/* The exit code of an order that has ended so. */
enum br_exit br_flash_exit(const json_t *status);
