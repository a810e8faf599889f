/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of the copy-on-write layer: shared by cow.c, cow_log.c and cow_slots.c (and their tests), nobody else. */
#include <stdatomic.h>

#include "store/cow.h"

/*
 * The map in memory: block -> value. 0: as the base. COW_MEM: in memory (pending).
 * Otherwise slot + 1. Leaves of 512 blocks are made when first needed.
 */
#define COW_MEM UINT32_MAX
#define COW_LEAF 512u
#define COW_SLOTS_MAX 0xfffffff0u

struct cow_pending {
	uint32_t block;
	uint32_t committed; /* the map's value before the group */
	uint32_t crc;	    /* of what is in the slot */
	uint32_t op;	    /* operation that last saved it for undo */
	uint8_t *mem;	    /* when the map says COW_MEM */
};

struct cow_undo {
	uint32_t block, value, crc;
	bool fresh;   /* this operation brought the block into the group */
	uint8_t *mem; /* content before, when value is COW_MEM */
};

/*
 * Slots that a snapshot reads: they are not used again before it is closed, also when the layer is opened anew. References:
 * the snapshot's, and that of each layer that takes heed.
 */
struct cow_pins {
	atomic_uint refs;
	struct cow_pins *next; /* of all there are */
	dev_t dev;	       /* which slot file */
	ino_t ino;
	uint32_t n;
	uint64_t used[]; /* as cow_slots.used was then */
};

/* Free slots: a bitmap, and which of the free ones still hold host blocks. */
struct cow_slots {
	int fd;
	struct cow_pins **pins; /* of snapshots that may still be open */
	uint32_t *limbo;	/* slots that nobody but they needs */
	size_t n_pins, n_limbo, cap_limbo;
	uint64_t *used, *stale;
	uint32_t n, cap; /* slots in the file, room in the bitmaps */
	uint32_t n_free, n_stale, cursor;
};

struct cow_log {
	int fd;
	uint64_t end, seq;
	uint64_t room;	    /* the file's size: zeros from end on, so that an append need not change the host's inode */
	uint64_t n_entries; /* in the file, dead ones too */
	uint32_t seed;	    /* CRC of the header: a record of another log never matches */
};

struct br_cow {
	struct br_blocks *base; /* NULL: a frozen layer alone (cow_open_frozen) */
	uint64_t size;
	uint32_t n_blocks;
	bool writable, in_op, memory, frozen, relaxed;
	atomic_bool broken; /* may be set by a sync, outside of the caller's lock */
	char *dir;
	uint8_t uuid[16];
	const struct br_cow_io *io;

	uint32_t **leaves;
	uint32_t n_mapped;

	struct cow_pending *pend;
	size_t n_pend, cap_pend, n_mem;
	uint32_t *hash; /* index into pend + 1 */
	size_t cap_hash;

	struct cow_undo *undo;
	size_t n_undo, cap_undo;
	uint32_t op;

	struct cow_slots slots;
	struct cow_log log; /* a commit's sync has it to itself */
	struct cow_flight *flight;
	struct cow_pins *pins; /* a snapshot's own */
};

static inline uint32_t cow_get(const struct br_cow *cow, uint32_t block)
{
	const uint32_t *leaf = cow->leaves[block / COW_LEAF];

	return leaf ? leaf[block % COW_LEAF] : 0;
}

/* -ENOMEM when a leaf was needed. Never fails for a block that had a value. */
int cow_set(struct br_cow *cow, uint32_t block, uint32_t value);

/* The pending entry of a block, or NULL. */
struct cow_pending *cow_pend_find(const struct br_cow *cow, uint32_t block);
/* Room for n more blocks of the group, so that nothing can fail once the slots are written. */
int cow_reserve(struct br_cow *cow, uint32_t block, uint32_t n);
/* After reserve, when there is none. */
struct cow_pending *cow_pend_add(struct br_cow *cow, uint32_t block, uint32_t committed);
/* Replaces the map's value of a touched block. The slot or memory it had is let go, unless undo holds it. */
void cow_replace(struct br_cow *cow, struct cow_pending *e, uint32_t value);

/* cow_commit.c */
struct cow_flight *cow_flight_new(void);
void cow_flight_free(struct cow_flight *f);
/* Is there a commit between begin and end? */
bool cow_flying(const struct br_cow *cow);
/* Moves all of the group that is in memory to slots. */
int cow_spill(struct br_cow *cow);

ssize_t cow_pwrite(struct br_cow *cow, int fd, const void *buf, size_t n, uint64_t offset);
int cow_sync(struct br_cow *cow, int fd);

/* A run of 1..n free slots, marked used. Returns its length or a negative errno. */
int cow_slots_take(struct cow_slots *s, uint32_t n, uint32_t *ret_first);
void cow_slots_free(struct cow_slots *s, uint32_t slot);
/* Marks a slot used; false when it already was, -ENOMEM as failure of room. */
int cow_slots_mark(struct cow_slots *s, uint32_t slot);
/* Gives the host blocks of free slots back when they are many. */
void cow_slots_punch(struct cow_slots *s, bool all);
void cow_slots_done(struct cow_slots *s);
/* Keeps the slots that are used now until the pins are let go. A reference for the caller. */
int cow_slots_pin(struct cow_slots *s, struct cow_pins **ret);
void cow_pins_unref(struct cow_pins *pins);
/* After the used ones are marked: what open snapshots of this file read is not free. */
int cow_slots_adopt(struct cow_slots *s);
/* Frees what only closed snapshots needed. */
void cow_slots_unpin(struct cow_slots *s);

struct cow_entry { /* as in the log, native order is little-endian there */
	uint32_t block, value, crc;
};

#define COW_HEADER_SIZE 64u
#define COW_RECORD_SIZE 32u
#define COW_ENTRY_SIZE	12u
#define COW_RECORD_MAGIC 0x57435242u /* "BRCW" */
#define COW_RECORD_BASE	 1u	     /* flag: compacted, entries carry no CRC of their block */

/* The map of a frozen layer, to be looked at: only its leaves are of use. Close with br_cow_close(). */
int cow_open_frozen(const char *dir, const uint8_t uuid[16], uint64_t size, struct br_cow **ret, struct br_error *err);

/* Opens or makes DIR/map and DIR/slots (a frozen layer: only reads them) and replays the log into the map and the slot bitmap. */
int cow_log_open(struct br_cow *cow, struct br_error *err);
/* Appends one record and syncs slots and log. -ENOSPC: nothing happened. */
int cow_log_append(struct br_cow *cow, const struct cow_entry *entries, uint32_t n);
/* Rewrites the log when most of it is dead; not while a commit is under way. A failure leaves the old one in use. */
int cow_log_compact(struct br_cow *cow, bool force);
/* CRC of a record: header (with its crc field zero) and entries, seeded. */
uint32_t cow_record_crc(uint32_t seed, const uint8_t *record, size_t len);
void cow_log_done(struct br_cow *cow);

/* Block content as committed (value: what cow_get() said then). */
int cow_read_value(struct br_cow *cow, uint32_t block, uint32_t value, uint8_t *buf);
