/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "store/blocks.h"

/*
 * Copy-on-write over a read-only source of blocks of 4 KiB: an image's partition, with or without frozen layers on it.
 *
 * A changed block lives in a slot of the file 'slots'; the append-only log 'map' says
 * which block is in which slot. A commit writes the changed blocks to free slots (never
 * over a committed one), syncs them, appends one record to 'map' and syncs that: the
 * record is the commit point. After a crash the log's valid prefix is the state.
 *
 * Between commits changes collect in the pending group. Metadata (write_meta) stays in
 * memory, so that a block written a hundred times reaches the disk once; file data
 * (write_data) goes to its slot at once, so that memory stays bounded.
 *
 * An operation is bracketed by begin and end: end(keep = false) takes back everything
 * since begin. One exception: file data written over file data of the same pending
 * group is overwritten in place and stays.
 *
 * Not thread-safe; different layers are independent.
 */
#define BR_COW_BLOCK 4096u

struct br_cow;

/* How the files are written; for tests that stop the world at the Nth write. */
struct br_cow_io {
	void *ctx;
	ssize_t (*pwrite)(void *ctx, int fd, const void *buf, size_t n, off_t offset);
	int (*fdatasync)(void *ctx, int fd);
};

/*
 * base_fd is not taken. dir NULL: read-only, no layer. Otherwise dir must exist and is
 * locked by the caller; 'slots' and 'map' are made when both are missing. uuid ties
 * the log to its disk. io NULL: the system's calls; otherwise it must outlive the layer.
 * -EUCLEAN: the layer is damaged (the words say where). -ESTALE: it belongs to another disk or size.
 */
int br_cow_open(int base_fd, uint64_t start, uint64_t size, const char *dir, const uint8_t uuid[16],
	const struct br_cow_io *io, struct br_cow **ret, struct br_error *err);
/* The same over a source, of which a reference is taken. size: that of the layer, not less than the source's; what lies
 * beyond the source reads as zeros. */
int br_cow_open_on(struct br_blocks *base, uint64_t size, const char *dir, const uint8_t uuid[16],
	const struct br_cow_io *io, struct br_cow **ret, struct br_error *err);
/* Lets write_meta() change a layer without a directory, in memory, up to 128 MiB (to replay a journal for reading). */
void br_cow_memory(struct br_cow *cow, bool on);
/* What is not committed is lost. */
void br_cow_close(struct br_cow *cow);

bool br_cow_writable(const struct br_cow *cow);
uint64_t br_cow_size(const struct br_cow *cow); /* bytes */

/* offset + len must be within the size: -EIO otherwise. */
int br_cow_read(struct br_cow *cow, uint64_t offset, void *buf, size_t len);
int br_cow_write_meta(struct br_cow *cow, uint64_t offset, const void *buf, size_t len);
int br_cow_write_data(struct br_cow *cow, uint64_t offset, const void *buf, size_t len);
/* The content of these blocks (of 4 KiB) does not matter any more: they read as the base again. */
int br_cow_trim(struct br_cow *cow, uint64_t block, uint64_t n);

bool br_cow_changed(const struct br_cow *cow, uint64_t block); /* is this block of 4 KiB in the layer? */
struct br_blocks *br_cow_base(const struct br_cow *cow);	    /* what it lies on; not a new reference */

/* As br_blocks_map(), of br_cow_base(); 0 too when the first block is in the layer. */
size_t br_cow_map(const struct br_cow *cow, uint64_t offset, size_t len, const uint8_t **ret);

/*
 * The layer becomes a frozen one, and 'fresh', an empty layer over a source that has it, takes its place: who holds cow
 * goes on with it and sees the same bytes. Both exchange what they are; 'fresh' then is the old layer, to be closed.
 * Nothing may be pending in either.
 */
void br_cow_exchange(struct br_cow *cow, struct br_cow *fresh);
/* Gives the host the blocks of all free slots and the log's room back (before a freeze). Between commits. */
void br_cow_punch(struct br_cow *cow);
/*
 * Makes the files of a layer in dir (which is there, and has none): the same content, of another uuid and at least the size. The
 * slots are shared by a second name; only one of the two may be written from then on, and what it commits is not in the other.
 * Nothing may be pending.
 */
int br_cow_fork(struct br_cow *cow, const char *dir, const uint8_t uuid[16], uint64_t size, struct br_error *err);
/*
 * The layer as it is now, to be read for as long as one likes while it changes on: read-only, of memory only (the map's copy, one
 * bit per slot), nothing is written or copied. Slots that it needs stay as they are until it is closed; another thread may read and
 * close it. Nothing may be pending: between commits, or just after br_cow_commit_begin().
 */
int br_cow_snapshot(struct br_cow *cow, struct br_cow **ret);
/* Length of what is in its log: between commits, and of a frozen layer. */
uint64_t br_cow_log_bytes(const struct br_cow *cow);
/* Commits are not synced any more, or again: what was committed outlives the process, not the host. */
void br_cow_relax(struct br_cow *cow, bool on);
/* Makes what was committed that way stable. */
int br_cow_settle(struct br_cow *cow);
/* From now on it only reads: every write and commit says -EIO. */
void br_cow_break(struct br_cow *cow);

void br_cow_begin(struct br_cow *cow);
void br_cow_end(struct br_cow *cow, bool keep);

/*
 * Makes the pending group stable. On -ENOSPC nothing is lost: the group stays pending and a later
 * commit may succeed. After a failed sync nobody knows what is on the disk: the layer then only
 * reads and every later write and commit says -EIO.
 */
int br_cow_commit(struct br_cow *cow);
/*
 * The same in three steps: begin (1: go on, 0: nothing to do) and end are calls like the others, sync may run beside
 * them, in another thread. What changes meanwhile belongs to the next group. A begin or commit that finds another
 * commit between its steps waits for its sync and ends it. end gives back r, sync's result.
 */
int br_cow_commit_begin(struct br_cow *cow, uint64_t *ret_ticket);
int br_cow_commit_sync(struct br_cow *cow, uint64_t ticket);
int br_cow_commit_end(struct br_cow *cow, uint64_t ticket, int r);
/* Anything to commit? */
bool br_cow_dirty(const struct br_cow *cow);
/* Bytes of the pending group held in memory. */
size_t br_cow_pending_memory(const struct br_cow *cow);

struct br_cow_usage {
	uint64_t changed; /* bytes in the layer */
	uint64_t stored;  /* what its files take on the host */
};
void br_cow_usage(const struct br_cow *cow, struct br_cow_usage *ret);

/* A sparse copy of the whole as it is now to a new file; -EEXIST when path is there. Progress unless quiet. */
int br_cow_export(struct br_cow *cow, const char *path, bool quiet, struct br_error *err);

/* Next byte range at or after offset that may hold data (layer or the base's data); false: only zeros follow. */
bool br_cow_next_data(struct br_cow *cow, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end);
