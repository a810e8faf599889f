/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>

#include "store/image.h"

/* Inside of the store; users include store/image.h. */

struct br_store {
	unsigned refs; /* under lock, as is 'open' */
	char *state_dir, *images_dir;
	pthread_mutex_t lock;
	struct br_image *open;
};

struct br_store *br_store_ref(struct br_store *store);

/*
 * The store's lock between processes (flock on images/.lock): held for moments, around everything that makes,
 * publishes or sweeps directories. ret_fd is closed to unlock. -EACCES, -EROFS: the store is not ours to write.
 */
int br_store_lock(struct br_store *store, int *ret_fd, struct br_error *err);
char *br_store_path(const struct br_store *store, const char *name); /* images_dir/name, free() */
/* Takes images/<name> away at once and then removes it. Lock held. */
int br_store_discard(struct br_store *store, const char *path, struct br_error *err);
/* The first half of it, quick: under another name, to be removed by the caller (*ret: where; free()), or by who opens the
 * store next. */
int br_store_set_aside(struct br_store *store, const char *path, char **ret, struct br_error *err);

/* images/<name> becomes 'dir', a directory beside it: the one visible step. -EEXIST without words when the name is taken
 * and not to be replaced. Takes the store's lock. */
int br_store_publish(struct br_store *store, const char *dir, const char *name, bool replace, struct br_error *err);

/* An image of an open disk file, in no store (while importing). fd is taken over, also on failure. */
int br_image_of_fd(int fd, const struct br_image_info *info, struct br_image **ret, struct br_error *err);

/* The same with the store's layers, for a raw file system that is no image: disks on it are made, grow and are kept by
 * br_store_gc() as all others. */
int br_image_of_file(struct br_store *store, int fd, const char *name, const char *sha256, struct br_image **ret,
	struct br_error *err);

int br_image_info_read(const char *path, struct br_image_info *ret, struct br_error *err);
int br_image_info_write(const char *path, const struct br_image_info *info, struct br_error *err);
