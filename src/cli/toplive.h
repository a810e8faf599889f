/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "api/client.h"
#include "cli/topfleet.h"

/* Keeps a fleet fresh in a thread of its own, over restarts of the daemon. */
struct br_top_live {
	pthread_mutex_t lock; /* all up to 'words' */
	pthread_cond_t stopping;
	struct br_top_fleet fleet;
	bool connected, loaded, stop;
	uint64_t version;     /* grows with each change */
	char words[200];      /* why there is no connection, safe */
	pthread_t thread;
	struct br_client *client, *why; /* the stream's; for what is asked beside it */
};

/* state: as --state. 0, or negative with words; then there is nothing to stop. */
int br_top_live_start(struct br_top_live *live, const char *state, struct br_error *err);
void br_top_live_stop(struct br_top_live *live);
/* Boards, status and verdicts, once, without a thread. */
int br_top_load_once(struct br_client *client, struct br_top_fleet *f, struct br_error *err);
