/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "logs/block.h"

/*
 * What is not in a segment yet: slices of the block that is being filled, written as they come, in one of two files,
 * "journal.0" and "journal.1". The other one takes over, with the whole block, once the segments are stable; so there is always one
 * that a loss of power leaves whole.
 *
 * A slice: u32 magic "BRLJ", u32 CRC-32C of all that follows, u64 number of its first line, u64 us that its first time is told
 * against, u32 lines, u32 bytes of meta, u32 bytes of text, u32 0; then these bytes, as in a block.
 */
#define BR_LOGS_SLICE_HEADER 40

struct br_logs_journal;

int br_logs_journal_open(const char *dir, struct br_logs_journal **ret, struct br_error *err);
void br_logs_journal_close(struct br_logs_journal *j);
/* All lines of both files that are behind number 'after', in order; fn returns 0 or a negative errno, which ends it. */
int br_logs_journal_read(struct br_logs_journal *j, uint64_t after,
	int (*fn)(void *ctx, const struct br_logs_line *line), void *ctx, struct br_error *err);
/* Writes a slice behind the others. -EFBIG: it is full, and wants a turn. */
int br_logs_journal_add(struct br_logs_journal *j, const struct br_logs_block *slice, struct br_error *err);
bool br_logs_journal_full(const struct br_logs_journal *j);
int br_logs_journal_sync(struct br_logs_journal *j, struct br_error *err);
/* To the other file: this slice (NULL: nothing), synced, then the one in use is emptied. */
int br_logs_journal_turn(struct br_logs_journal *j, const struct br_logs_block *slice, struct br_error *err);
uint64_t br_logs_journal_bytes(const struct br_logs_journal *j);

/* A slice from bytes: how many it takes, or -EBADMSG. For br_logs_block_unref(). */
int br_logs_slice_read(const uint8_t *bytes, size_t n, struct br_logs_block **ret);
