/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "api/client.h"
#include "base/error.h"

/*
 * A reservation of ours, kept alive by a thread that tells the daemon so. When this process dies, the daemon frees the boards
 * one ttl later.
 */
struct br_hold;

enum br_hold_state {
	BR_HOLD_WAITING,
	BR_HOLD_HELD,
	BR_HOLD_LOST, /* it ended without us: expired, broken, boards gone; for ever */
	BR_HOLD_AWAY, /* no daemon has answered for four times the ttl */
};

/*
 * Asks for boards, and lets all that this process asks from then on show the reservation ($BRAMBLE_RESERVATION). To be called while there are
 * no other threads. request is the body of POST /v1/reservations; state as in br_client_new(). Errors are the daemon's.
 */
int br_hold_ask(const char *state, const json_t *request, struct br_hold **ret, struct br_error *err);
/* "r12-SECRET", and what of it is for people: "r12". */
const char *br_hold_id(const struct br_hold *hold);
const char *br_hold_name(const struct br_hold *hold);
/* words (of LOST and AWAY) may be NULL. */
enum br_hold_state br_hold_state(struct br_hold *hold, struct br_error *words);
/* The reservation as the daemon told it last; a new reference. */
json_t *br_hold_status(struct br_hold *hold);
/* Asks the daemon now, by another client than the thread's: so a loss shows that the next beat would show only. */
enum br_hold_state br_hold_look(struct br_hold *hold, struct br_client *client, struct br_error *words);
/* Gives it back. -ESTALE with words: it had ended before, and not by us. */
int br_hold_release(struct br_hold *hold, const char *reason, struct br_error *err);
/* Ends the thread; what is not released goes on without its client. NULL is accepted. */
void br_hold_free(struct br_hold *hold);

/* Who asks, for people and for fairness among them: $BRAMBLE_USER, the CI's user, else login@host. Fresh memory, NULL when that is out. */
char *br_hold_user(void);
