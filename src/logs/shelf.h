/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "logs/block.h"

/*
 * The segments: files of blocks, named by the number of their first line ("0000000000000001.seg"), written at their end
 * only, removed whole, the oldest first. One thread writes; any may read: what is read stays open though it was removed.
 */
struct br_logs_shelf;

struct br_logs_segment {
	atomic_uint refs;
	int fd;
	uint64_t size; /* up to the end of its last whole block */
	char name[32];
	struct br_logs_place *blocks; /* in order; seg is not set in them */
	size_t n, cap;
	uint64_t n_raw, n_lines, first_us, last_us;
};

/* Where a block is. With seg set it holds a reference. */
struct br_logs_place {
	struct br_logs_segment *seg;
	uint64_t offset;
	struct br_logs_head head;
};

/* max_age_us: a segment covers at most a sixteenth of it; 0: no limit. Opens what is there: a torn end of the newest
 * segment is cut off; what else cannot be read is passed over and counted. */
int br_logs_shelf_open(const char *dir, uint64_t max_bytes, uint64_t max_age_us, struct br_logs_shelf **ret, struct br_error *err);
void br_logs_shelf_close(struct br_logs_shelf *shelf);

/* Writes a packed block, after making room for it. Not stable before a sync. On failure it is as before. */
int br_logs_shelf_append(struct br_logs_shelf *shelf, const struct br_logs_block *b, const uint8_t *bytes, size_t n,
	struct br_error *err);
int br_logs_shelf_sync(struct br_logs_shelf *shelf, struct br_error *err);
/* Removes segments of which all lines are older. In place of the last one an empty one stays, for its number. */
void br_logs_shelf_expire(struct br_logs_shelf *shelf, uint64_t oldest_us);
/* The number of the last line there, 0: none. */
uint64_t br_logs_shelf_last(struct br_logs_shelf *shelf);
/* At opening: the least number that a new line may have, from the name of the newest segment; that one may be empty. */
uint64_t br_logs_shelf_floor(const struct br_logs_shelf *shelf);

struct br_logs_shelf_stats {
	uint64_t bytes, raw_bytes, segments, blocks, lines, first_seq, first_us, removed, damaged;
};
void br_logs_shelf_stats(struct br_logs_shelf *shelf, struct br_logs_shelf_stats *ret);
void br_logs_shelf_damaged(struct br_logs_shelf *shelf);

/* The blocks that may have lines that pass, in order, below number 'before'; br_logs_places_free(). */
int br_logs_shelf_places(struct br_logs_shelf *shelf, const struct br_logs_filter *f, uint64_t before,
	struct br_logs_place **ret, size_t *ret_n);
void br_logs_places_free(struct br_logs_place *places, size_t n);
/* The first block that may have some, with lines from 'seq' on; br_logs_place_done(). -ENOENT. */
int br_logs_shelf_place(struct br_logs_shelf *shelf, const struct br_logs_filter *f, uint64_t seq, struct br_logs_place *ret);
void br_logs_place_done(struct br_logs_place *place);

/* Reading: a buffer for one thread. */
struct br_logs_fetch;
struct br_logs_fetch *br_logs_fetch_new(void);
void br_logs_fetch_free(struct br_logs_fetch *f);
/* Whether the literal may be in the block, by its filter. A filter that cannot be read says yes. */
bool br_logs_fetch_may_have(struct br_logs_fetch *f, const struct br_logs_place *place, const char *literal, size_t n);
/* The block; br_logs_block_unref(). */
int br_logs_fetch_block(struct br_logs_fetch *f, const struct br_logs_place *place, struct br_logs_block **ret);
