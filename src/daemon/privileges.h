/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/* The user the daemon becomes once its ports are open. */
struct br_identity {
	uid_t uid;
	gid_t gid;
	char name[64];
};

/*
 * Chooses: the user named; else the owner of the state directory when that is not root; else 'bramble' or
 * 'nobody', whichever exists first. When we are not root: ourselves.
 */
int br_identity_choose(const char *user, const char *state_dir, struct br_identity *ret, struct br_error *err);

/*
 * Makes the state directory, gives it to the identity, and acts as that user for files from here on (effective
 * ids only; root is one seteuid away until br_privileges_drop()). Words when the user cannot get at it.
 */
int br_identity_enter(const struct br_identity *id, const char *state_dir, struct br_error *err);
/* Back to root for binding ports; 0 also when we never were root. */
int br_identity_leave(void);
/* Gives up root for good, in every thread; the calling one keeps CAP_NET_RAW, if it had it. What a service manager lent, the
 * others never had (base/thread.h). */
int br_privileges_drop(const struct br_identity *id, struct br_error *err);
