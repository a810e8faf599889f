/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/disk.h"

/*
 * The areas of boards that outlive volatile disks, mounted as /persist: each a disk of its own on an empty ext4
 * (STATE/disks/persist-base/<bytes>.ext4, made by mke2fs(8) when first needed, shared by all areas of that size), in
 * STATE/disks/<board id>.persist/area/. Opened when a board first asks, open until it is removed or we stop. Thread-safe.
 */
struct br_persist;

#define BR_PERSIST_DEFAULT (1ull << 30)

struct br_persist_area {
	uint8_t id[16];
	int64_t board_id;
	pthread_mutex_t lock; /* around every call to fs or disk */
	struct br_fs *fs;
	struct br_disk *disk;
	char problem[400]; /* why it is not as large as it should be; "" : it is */
};

/* store must outlive it. */
int br_persist_new(const char *state_dir, struct br_store *store, struct br_persist **ret, struct br_error *err);
void br_persist_free(struct br_persist *persist);

/* A board's area, made when there is none, and made larger when it is smaller than size. A new reference. */
int br_persist_open(struct br_persist *persist, int64_t board_id, uint64_t size, struct br_persist_area **ret,
	struct br_error *err);
/* The open area of a board by its id; NULL: there is none. A new reference. */
struct br_persist_area *br_persist_by_id(struct br_persist *persist, int64_t board_id, const uint8_t id[static 16]);
void br_persist_area_unref(struct br_persist *persist, struct br_persist_area *area);
/* Drops a board's area and all in it; handles from before are stale. -EBUSY while a request uses it. 0 too when there is none. */
int br_persist_remove(struct br_persist *persist, int64_t board_id, struct br_error *err);
/* Where a board's area is stored, if there is one; free(). */
char *br_persist_path(const struct br_persist *persist, int64_t board_id);
bool br_persist_is_open(struct br_persist *persist, int64_t board_id, int64_t *ret_opened_at);
/* "off", "on" or a size as people write it; 0: off. -EINVAL. */
int br_persist_parse(const char *text, uint64_t *ret);
