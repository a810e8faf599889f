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
 */
struct br_fat;

struct br_span { /* a piece of a file inside the mapping */
	const uint8_t *data;
	size_t len;
};

struct br_fat_entry {
	const char *path; /* as stored, '/' between parts, no leading '/'; lives as long as the br_fat */
	bool is_dir;
	uint32_t size;
	int64_t mtime; /* s since 1970, local time taken as UTC */
	const struct br_span *spans;
	size_t n_spans;
};

/* data must stay mapped and unchanged while the br_fat lives. */
int br_fat_open(const void *data, size_t len, struct br_fat **ret, struct br_error *err);
void br_fat_close(struct br_fat *fat);

const char *br_fat_label(const struct br_fat *fat);
/* Case-insensitive (ASCII), '/' between parts, no leading '/'. "" is the root. NULL when missing. */
const struct br_fat_entry *br_fat_lookup(const struct br_fat *fat, const char *path);
/* Entries in a directory, sorted by path, in order i = 0, 1, ... NULL at the end. */
const struct br_fat_entry *br_fat_list(const struct br_fat *fat, const char *dir, size_t i);
/* Every entry of the tree, sorted by path, in order i = 0, 1, ... NULL at the end. */
const struct br_fat_entry *br_fat_walk(const struct br_fat *fat, size_t i);
