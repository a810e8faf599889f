/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A reader for FAT12/16/32 with long names over bytes in memory (the mapped boot
 * partition). All of it is hostile: cluster chains may loop, sizes may lie. Opening
 * reads the whole directory tree once (bounded) into an index; afterwards lookups and
 * reads allocate nothing and may come from any thread.
 *
 * A damaged entry (a cluster chain that loops, ends early or is shared with another file, a
 * name with '/' or control characters) is left out rather than served wrong: br_fat_damaged().
 * What makes the whole unreadable (a boot sector that contradicts itself, a table outside of
 * the partition, too many entries) fails br_fat_open() with -EBADMSG, -EFBIG or -ENOTSUP.
 */
struct br_fat;

struct br_span { /* a piece of a file inside the mapping */
	const uint8_t *data;
	size_t len;
};

struct br_fat_entry {
	const char *path; /* as stored, UTF-8, '/' between parts, no leading '/'; lives as long as the br_fat */
	bool is_dir;
	uint32_t size;
	int64_t mtime; /* s since 1970, local time taken as UTC */
	const struct br_span *spans;
	size_t n_spans;
};

#define BR_FAT_ENTRIES_MAX 100000
#define BR_FAT_DEPTH_MAX 32
#define BR_FAT_PATH_MAX 1024 /* with the NUL */

/* data must stay mapped and unchanged while the br_fat lives. */
int br_fat_open(const void *data, size_t len, struct br_fat **ret, struct br_error *err);
void br_fat_close(struct br_fat *fat);

const char *br_fat_label(const struct br_fat *fat); /* "" when it has none */
const uint8_t *br_fat_data(const struct br_fat *fat); /* as given to open */
unsigned br_fat_bits(const struct br_fat *fat);	    /* 12, 16 or 32 */
/* How many entries were left out; *ret_text (may be NULL) then says which and why, the first few. */
size_t br_fat_damaged(const struct br_fat *fat, const char **ret_text);
/* Case-insensitive (ASCII), '/' between parts, no leading '/'. "" is the root. NULL when missing. */
const struct br_fat_entry *br_fat_lookup(const struct br_fat *fat, const char *path);
/* Entries in a directory, sorted by path, in order i = 0, 1, ... NULL at the end. */
const struct br_fat_entry *br_fat_list(const struct br_fat *fat, const char *dir, size_t i);
/* Every entry of the tree but the root, sorted by path, in order i = 0, 1, ... NULL at the end. */
const struct br_fat_entry *br_fat_walk(const struct br_fat *fat, size_t i);
size_t br_fat_count(const struct br_fat *fat); /* of these */
/*
 * Calls fn with each run of bytes that means something: the tables in front of the clusters, and the clusters that the
 * table does not call free. offset and len lie in the data. fn returns 0 to go on.
 */
int br_fat_in_use(const struct br_fat *fat, int (*fn)(void *ctx, uint64_t offset, uint64_t len), void *ctx);
