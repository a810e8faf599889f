/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "fleet/share.h"
#include "store/fs.h"

/*
 * The shared areas that boards mount as /share/NAME: which there are, who may, and those that are open. Thread-safe.
 * What is set is stored (fleet/share.h); a directory is opened when a board first asks for it.
 */
struct br_shares;

struct br_open_share {
	uint8_t id[16];
	bool read_only;
	pthread_mutex_t lock; /* around every call to fs */
	struct br_fs *fs;
};

/* Reads what is stored. fleet must outlive it. */
int br_shares_new(struct br_fleet *fleet, struct br_shares **ret, struct br_error *err);
void br_shares_free(struct br_shares *shares);

/* Those of bramble.conf: they take the place of any of the same name; what was configured and is not any more goes. */
int br_shares_configure(struct br_shares *shares, const struct br_share *list, size_t n, struct br_error *err);
/*
 * Checks it (the directory must be there, readable, and for read-write writable) and stores it; id and 'configured' are
 * not the caller's. -EEXIST: there is one of this name.
 */
int br_shares_add(struct br_shares *shares, struct br_share *share, struct br_error *err);
/* Handles of it become stale. -ENOENT; -EBUSY: it comes from bramble.conf. */
int br_shares_remove(struct br_shares *shares, const char *name, struct br_error *err);
/* By name. fn calls nothing of ours; problem: why it cannot be opened, or NULL. */
int br_shares_list(struct br_shares *shares, int (*fn)(void *ctx, const struct br_share *share, const char *problem), void *ctx);
/* Those that a board may mount. */
int br_shares_for(struct br_shares *shares, const char *board, int (*fn)(void *ctx, const struct br_share *share), void *ctx);

/* Opens one for a board; a new reference. -ENOENT, -EACCES, or why the directory cannot be used. */
int br_shares_open(struct br_shares *shares, const char *name, const char *board, struct br_open_share **ret,
	struct br_error *err);
/*
 * The same by its id, for a board that comes with handles from before. May take seconds: all of the directory is looked
 * through when it was not open. -ESTALE: no share has this id (any more).
 */
int br_shares_again(struct br_shares *shares, const uint8_t id[static 16], const char *board, struct br_open_share **ret,
	struct br_error *err);
/* The name of the share with this id; false: there is none. */
bool br_shares_name(struct br_shares *shares, const uint8_t id[static 16], char ret[static BR_SHARE_NAME_MAX + 1]);
/* Is there a share with this id? */
bool br_shares_known(struct br_shares *shares, const uint8_t id[static 16]);
/* An open one, with nothing checked; NULL: none. A new reference. */
struct br_open_share *br_shares_by_id(struct br_shares *shares, const uint8_t id[static 16]);
void br_open_share_unref(struct br_open_share *share);
