/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of src/flash: orders under way. */
#include <pthread.h>
#include <stdatomic.h>

#include "flash/flash.h"
#include "flash/script.h"

struct br_flash_blob {
	atomic_uint refs;
	struct br_span span;
	uint8_t *data;
};

/* An order that is open, or whose system is awaited. Under the lock. */
struct flash_run {
	struct flash_run *next;
	struct br_flash_order order;
	struct br_flash_job job;
	enum { FLASH_UNREAD, FLASH_READING, FLASH_READ, FLASH_UNREADABLE } image;
	struct br_error image_err;
	struct br_flash_map *map;
	struct br_flash_plan *plan; /* once the board told its place */
	uint32_t done, written, retries, last_w;
	uint64_t written_bytes, fetched;
	uint64_t started_ns;
	bool contact; /* asked for an address */
	bool seen; /* this process gave it the start script */
	/* the chunk that was asked for last: it may be asked for again */
	char chunk_name[160];
	struct br_flash_blob *chunk;
	uint64_t probe_ns; /* ssh: when to look next */
};

#define FLASH_SEEN 256

struct br_flash {
	struct br_fleet *fleet;
	struct br_store *store;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool thread_runs, stopping;
	atomic_bool cancelled;
	struct flash_run *runs;
	/* Boards that showed themselves: the control loop must not wait for the lock above, under which chunks are packed. */
	pthread_mutex_t seen_lock;
	struct flash_seen {
		int64_t board_id;
		char by[8];
	} seen[FLASH_SEEN];
	unsigned n_seen;
};

/* flash.c. The lock is held. */
struct flash_run *flash_run_of_board(struct br_flash *flash, int64_t board_id);
struct flash_run *flash_run_by_id(struct br_flash *flash, int64_t id);
/* Stores its order, and says so in the board's timeline; an order that ended leaves the runs (run is gone then). */
int flash_store(struct br_flash *flash, struct flash_run *run, enum br_flash_state state, struct br_error *err);
int flash_fail(struct br_flash *flash, struct flash_run *run, const char *what, const char *reason, struct br_error *err);
void flash_up(struct br_flash *flash, struct flash_run *run, const char *by);

/* worker.c */
int flash_worker_start(struct br_flash *flash, struct br_error *err);
void flash_worker_stop(struct br_flash *flash);
