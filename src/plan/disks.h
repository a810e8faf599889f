/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "plan/plan.h"
#include "store/disk.h"

/*
 * The open disks of boards: one per board while somebody uses it, in STATE/disks/<board id>/<policy>/. The view
 * is the projection of the board's plan over its disk. Thread-safe; each view is used under its lock. Opening and
 * closing one board's disk keeps nobody waiting who asks for another's.
 */
struct br_disks;

struct br_board_disk {
	uint8_t id[16];		/* of this disk: new after a volatile reset */
	int64_t board_id;
	uint64_t boot;		/* boot whose plan is projected */
	pthread_mutex_t lock;	/* around every call to fs or disk */
	struct br_fs *fs;	/* what the board sees */
	struct br_disk *disk;	/* what is stored */
	struct br_plan *plan;
	char problem[400];	/* why it is not as large as the board should have it; "" : it is */
};

int br_disks_new(const char *state_dir, struct br_disks **ret, struct br_error *err);
void br_disks_free(struct br_disks *disks);
/* Volatile disks that are opened from now on are relaxed (br_disk_relax()). */
void br_disks_relax(struct br_disks *disks);

/* Bytes left where disks are stored, for who is not root there. */
int br_disks_room(const struct br_disks *disks, uint64_t *ret);

/* The disk of the plan's board for the plan's boot, opening or making it. A volatile disk of an earlier boot is
 * dropped first (handles of it become stale). A new reference. */
int br_disks_open(struct br_disks *disks, struct br_plan *plan, struct br_board_disk **ret,
	struct br_error *err);
/* The open disk of a board by its id, NULL when the id is not that of its present disk, or it is not open yet: never
 * waits for a disk. A new reference. */
struct br_board_disk *br_disks_by_id(struct br_disks *disks, int64_t board_id, const uint8_t id[static 16]);
/* The same, but waits while that disk is being closed and opened again, for the board's next boot. */
struct br_board_disk *br_disks_again(struct br_disks *disks, int64_t board_id, const uint8_t id[static 16]);
void br_board_disk_unref(struct br_disks *disks, struct br_board_disk *disk);
/* Forgets a board's stored disks (it was removed, or starts afresh). -EBUSY while requests keep on using one; handles
 * from before are stale. */
int br_disks_remove(struct br_disks *disks, int64_t board_id, struct br_error *err);
/* Closes a board's disk without forgetting it. -EBUSY while a request uses it. */
int br_disks_close(struct br_disks *disks, int64_t board_id);
/* A board's open disk, without using it. */
struct br_disks_status {
	uint64_t boot;	    /* it is open for */
	char disk[16];	    /* "volatile", "persistent" */
	int64_t opened_at;  /* s since 1970 */
	bool busy;	    /* just being opened or closed: the rest is not known */
};
/* -ENOENT: it is not open. */
int br_disks_status(struct br_disks *disks, int64_t board_id, struct br_disks_status *ret);
/* Where a board's disk of a kind is stored, when there is one; free(). */
char *br_disks_path(const struct br_disks *disks, int64_t board_id, const char *disk);

/* Snapshots of the plan's board's stored disk. */
size_t br_disks_count_snapshots(struct br_disks *disks, struct br_plan *plan);
/* Makes that disk what it was at a snapshot. -EBUSY as with br_disks_remove(); handles from before are stale. */
int br_disks_rollback(struct br_disks *disks, struct br_plan *plan, const char *name, struct br_error *err);
/* Calls fn with each path that the plan projects and that the board has made a file of its own: this one is on the disk
 * itself, and so in what is saved from it. Under the disk's lock. */
int br_disks_own_files(struct br_board_disk *disk, int (*fn)(void *ctx, const char *path), void *ctx);
