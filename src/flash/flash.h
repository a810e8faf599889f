/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fleet/flash.h"
#include "fleet/fleet.h"
#include "store/fat.h"
#include "store/image.h"

/*
 * The flashing of boards: orders (fleet/flash.h) under way, what each board gets for the names it asks for, and what these
 * say of how far it is. A worker of its own reads images and looks whether flashed systems came up. Thread-safe.
 *
 * Names, of a board that has an open order:
 *   bramble/flash.scr                    the start script; nobody else has this name
 *   bramble/flash/ORDER/plan/n|s/PLACE   the first group, or to wait
 *   bramble/flash/ORDER/g/N, v/N         group N; of the last pass
 *   bramble/flash/ORDER/d/W, w|l/W/MASK, t/w|l detail, chunk, table; fit: a probe
 *   bramble/flash/ORDER/done             all is written and proved: the order is withdrawn when this is answered
 *   bramble/flash/ORDER/fail/WORD/W      it is given up
 *   bramble/up                           a call-back: the system runs. Of any board
 */
struct br_flash;

int br_flash_new(struct br_fleet *fleet, struct br_store *store, struct br_flash **ret, struct br_error *err);
void br_flash_free(struct br_flash *flash);

/* board_id, image (as its name is in the store), target, verify, up and keep of order are given, and checked here:
 * -EINVAL; -ENOENT: no such image; -EEXIST: the board has an open order. Returns with its id. */
int br_flash_order(struct br_flash *flash, struct br_flash_order *order, struct br_error *err);
/* -ENOENT; -EBUSY: it is not open any more, or being written. what "" : cancelled; else it failed so. force: also one that is being
 * written (its card then holds no system). */
int br_flash_withdraw(struct br_flash *flash, int64_t id, const char *what, const char *reason, bool force, struct br_error *err);

/*
 * The board is reservation number's now (0: nobody's). What was ordered for it under another one is withdrawn, also when it is being
 * written: its card is of the job that is over.
 */
void br_flash_reserved(struct br_flash *flash, int64_t board_id, int64_t number);
/* Asks that of each board that has an order made under a reservation: of those that ended while nobody told us. */
void br_flash_check_reserved(struct br_flash *flash, int64_t (*of)(void *ctx, int64_t board_id), void *ctx);

struct br_flash_status {
	struct br_flash_order order;
	char board[BR_BOARD_NAME_MAX + 1]; /* "" : removed since */
	bool preparing;		  /* the image is being read */
	bool contact;		  /* its firmware or U-Boot asked for an address since it was ordered */
	uint32_t windows, done;	  /* pieces; how many are right on the card */
	uint32_t written;	  /* of these, those that had to be written */
	uint64_t size, written_bytes, fetched; /* bytes: of all pieces; unpacked, written; on the wire */
	uint32_t retries;
	uint32_t begun;	    /* how often the board began */
	uint64_t contact_ns, asked_ns; /* monotonic: it asked for an address, for a piece last; 0: not since the daemon runs */
	char notes[400];    /* what of the image is changed on this board, or will not fit: lines; "" : nothing */
};

/* A failed order's reason as the board's own word ("verify", "small"); "" : the board said none. */
const char *br_flash_fail_word(const char *reason);
int br_flash_status(struct br_flash *flash, int64_t id, struct br_flash_status *ret);
/* Whether the board is to be flashed when it comes. */
bool br_flash_pending(struct br_flash *flash, int64_t board_id);

/* Bytes of a name, held until br_flash_blob_unref(). */
struct br_flash_blob;
const struct br_span *br_flash_blob_span(const struct br_flash_blob *blob);
void br_flash_blob_unref(void *blob);

/* Whether a cleaned boot-file name is one of ours. */
bool br_flash_is_name(const char *path);
/* -ENOENT: not for this board (any more); -EACCES: another board's order; -EINPROGRESS: it is being made, ask again. reason (may be NULL): words. */
int br_flash_file(struct br_flash *flash, const struct br_board *board, const char *path, struct br_flash_blob **ret,
	char *reason, size_t size);
/* It showed itself at now_ns (monotonic): its system asked for an address ("dhcp") or called back ("url"), or its firmware or
 * U-Boot asked for one ("boot"). What is older than the order, or than its verification, counts for nothing. Never blocks. */
void br_flash_seen(struct br_flash *flash, int64_t board_id, const char *by, uint64_t now_ns);
