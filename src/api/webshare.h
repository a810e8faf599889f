/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/call.h"

/*
 * Something of which there is only so much (threads that wait, streams, bytes of answers), shared among callers: each has a part, and
 * those who may not operate have a part together, so that strangers never take all of it. Thread-safe.
 */
struct br_web_share_limits {
	size_t max;	  /* in all */
	size_t strangers; /* of those below operate together */
	size_t stranger, operator; /* of one caller */
};

struct br_web_share; /* a caller's part */

struct br_web_shares {
	pthread_mutex_t lock;
	pthread_cond_t gone;
	struct br_web_share_limits limits;
	size_t n, n_strangers;
	struct br_web_share *callers; /* those that have something */
	bool stopping;
};

void br_web_shares_init(struct br_web_shares *shares, const struct br_web_share_limits *limits);
/* All was given back. */
void br_web_shares_done(struct br_web_shares *shares);
/* NULL: there is no room for it, or the end is near. Who has nothing yet may take more than his part, if there is as much. */
struct br_web_share *br_web_share_take(struct br_web_shares *shares, const struct br_who *who, size_t amount);
/* NULL is accepted. */
void br_web_share_give_back(struct br_web_shares *shares, struct br_web_share *share, size_t amount);
/* Nothing is given any more; returns when all is back. */
void br_web_shares_end(struct br_web_shares *shares);
size_t br_web_shares_taken(struct br_web_shares *shares);
