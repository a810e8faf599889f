/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fleet/fleet.h"

/* Directories of the host that boards may mount as /share/NAME: what was set, as it is kept in the database. */
#define BR_SHARE_NAME_MAX 63 /* [a-z0-9][a-z0-9._-]* */
#define BR_SHARE_DIR_MAX 1023
#define BR_SHARE_BOARDS_MAX 1023
#define BR_SHARE_OWNER 1000 /* by default: the first user of most systems */

struct br_share {
	char name[BR_SHARE_NAME_MAX + 1];
	char dir[BR_SHARE_DIR_MAX + 1];	      /* absolute */
	char boards[BR_SHARE_BOARDS_MAX + 1]; /* host list of those that may, "" : all */
	bool read_only;
	uint32_t uid, gid; /* shown as the owner of what is ours on the host */
	uint8_t id[16];	   /* in file handles; a new one makes those from before stale */
	bool configured;   /* comes from bramble.conf */
};

bool br_share_name_ok(const char *name);
/* Stores it under its name, in place of what was there. */
int br_share_put(struct br_fleet *fleet, const struct br_share *share, struct br_error *err);
/* -ENOENT */
int br_share_remove(struct br_fleet *fleet, const char *name, struct br_error *err);
/* By name; fn must not call the fleet, and returns 0 to go on. */
int br_share_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_share *share), void *ctx);
