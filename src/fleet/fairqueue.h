/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The order in which requests for boards are served, as pure functions.
 *
 * Each request has a start tag (start-time fair queueing): the queue's virtual time when it comes, or the end of its user's last request
 * if that is later; a request lasts as many units as it wants boards. Lower tags go first, then who came first: one user's
 * requests stay in order, users take turns, whoever asks for much waits for those who ask for little. The first request of each
 * user is overtaken by younger ones at most BR_FAIR_OVERTAKEN_MAX times; then it goes before all that were not, so nobody starves.
 *
 * Who cannot be served yet keeps every free board it may use. So a later one passes only with boards that none before it can use. (But
 * who waits for a board that is reserved for days keeps none meanwhile: nobody knows when it ends.)
 */
#define BR_FAIR_OVERTAKEN_MAX 16

struct br_fair_entry {
	int64_t number;	    /* in order of arrival */
	const char *user;
	uint64_t start;	    /* its tag */
	uint32_t count;	    /* boards wanted, at least 1 */
	uint32_t overtaken; /* br_fair_serve() counts on */
	const size_t *may;  /* boards it may use, free or not, by index, each once */
	size_t n_may;
	size_t n_soon;	    /* of them, those not held, or held by jobs */
	size_t *got;	    /* room for count of them */
	bool served;	    /* got is filled */
};

/* The tag of a new request. last_end: the latest start + count of its user's; all_end: of all users', ever. */
uint64_t br_fair_start(const struct br_fair_entry *const *waiting, size_t n, uint64_t last_end, uint64_t all_end);
/* Into the order in which they are served. */
void br_fair_sort(struct br_fair_entry **waiting, size_t n);
/*
 * Serves whoever can be, of entries in that order; there are n_boards. Boards that few others wait for are
 * given first; free is used up by it. Returns how many were served, or -ENOMEM: nobody was.
 */
int br_fair_serve(struct br_fair_entry *const *sorted, size_t n, bool *free, size_t n_boards);
