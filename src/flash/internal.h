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
	uint64_t started_ns, verified_ns; /* monotonic */
	uint64_t since_ns; /* it is there: signs of life before it are another's */
	uint64_t contact_ns; /* its firmware or U-Boot asked for an address */
	uint64_t asked_ns;   /* for a name of the order, last */
	uint32_t begun;
	bool seen; /* this process gave it the start script */
	char chunk_name[160]; /* the chunk that was given last: it may be asked for again */
	uint64_t probe_ns; /* ssh: when to look next */
};

#define FLASH_SEEN    256
#define FLASH_PACKERS 2

struct br_flash {
	struct br_fleet *fleet;
	struct br_store *store;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t watcher, reader; /* worker.c: a reader's image takes minutes, in which boards come up */
	unsigned n_threads;
	bool stopping;
	atomic_bool cancelled;
	struct flash_run *runs;
	struct flash_pack *packs; /* pack.c */
	unsigned n_packs, n_packers;
	pthread_t packers[FLASH_PACKERS];
	/* Boards that showed themselves, and when last: the control loop must not wait for the lock above, held across writes of
	 * the database. */
	pthread_mutex_t seen_lock;
	struct flash_seen {
		int64_t board_id;
		char by[8];
		uint64_t at_ns;
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

/* files.c: takes data over, also on failure. */
int flash_blob_new(uint8_t *data, size_t len, struct br_flash_blob **ret);

/* pack.c. A chunk, a new reference; -EINPROGRESS: it is being packed. */
int flash_pack_get(struct br_flash *flash, const struct flash_run *run, bool fit, uint32_t w, const struct br_flash_mask *mask,
	struct br_flash_blob **ret, uint64_t *ret_bytes, struct br_error *err);
/* All of window w is likely to be asked for. */
void flash_pack_ahead(struct br_flash *flash, const struct flash_run *run, bool fit, uint32_t w);
int flash_packers_start(struct br_flash *flash, struct br_error *err);
/* 'stopping' is set. */
void flash_packers_done(struct br_flash *flash);

/* worker.c */
void flash_wait(struct br_flash *flash, uint64_t ns); /* until something happens, or so long */
int flash_workers_start(struct br_flash *flash, struct br_error *err);
void flash_workers_stop(struct br_flash *flash);
