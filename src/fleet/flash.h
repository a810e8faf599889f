/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fleet/fleet.h"

/*
 * Orders to write an image to a board's own storage. At most one of a board is open (waiting or writing); it is withdrawn,
 * on stable storage, before the board boots what was written, so nothing is flashed twice.
 */
enum br_flash_state {
	BR_FLASH_WAITING,   /* for the board to come and take it */
	BR_FLASH_WRITING,
	BR_FLASH_VERIFIED,  /* all of it was written, and is withdrawn; now the system is to come up */
	BR_FLASH_DONE,	    /* it came up (or nobody wanted to know) */
	BR_FLASH_FAILED,
	BR_FLASH_CANCELLED,
};
const char *br_flash_state_name(enum br_flash_state state); /* "waiting" ... */
static inline bool br_flash_open_state(enum br_flash_state s)
{
	return s == BR_FLASH_WAITING || s == BR_FLASH_WRITING;
}

struct br_flash_order {
	int64_t id;
	int64_t board_id;
	char image[98];
	char sha256[65];
	char target[12];  /* "mmc0" */
	char verify[8];	  /* "hash", "full", "none" */
	char up[8];	  /* what shows that the system came up: "dhcp", "ssh", "url", "none" */
	bool keep;	  /* the board's road stays as it is */
	int64_t reservation; /* which held the board when it was ordered: it is withdrawn when that ends. 0: none */
	char place[64];	  /* how the board's card is laid out, as it said; "" : not yet */
	enum br_flash_state state;
	char what[16];	  /* FAILED: "reset", "dhcp", "bootloader", "write", "silent", "timeout" */
	char reason[200]; /* ... in words */
	int64_t ordered_at, started_at, verified_at, ended_at; /* s since 1970, 0: not yet */
};

/* Stores a new one (id is set). -EEXIST with words: the board has an open one. */
int br_flash_order_add(struct br_fleet *fleet, struct br_flash_order *order, struct br_error *err);
/* Stores place, state, what, reason and times of one. */
int br_flash_order_save(struct br_fleet *fleet, const struct br_flash_order *order, struct br_error *err);
/* From now on the board boots its own storage. Nothing else of its record changes, whoever edits it meanwhile. */
int br_flash_set_road(struct br_fleet *fleet, int64_t board_id);
/* -ENOENT when there is none. */
int br_flash_order_by_id(struct br_fleet *fleet, int64_t id, struct br_flash_order *ret);
/* The board's last one, open or not. */
int br_flash_order_last(struct br_fleet *fleet, int64_t board_id, struct br_flash_order *ret);
/* The newest n (0: all), newest first; fn may call us and returns 0 to go on. */
int br_flash_order_list(struct br_fleet *fleet, size_t n, int (*fn)(void *ctx, const struct br_flash_order *order), void *ctx);
