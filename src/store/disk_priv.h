/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of disks: shared by disk*.c, nobody else. */
#include "store/disk.h"
#include "store/layer.h"

/*
 * What disk.json says. The disk's own layer ('slots', 'map') is in the directory itself when its id is that of the disk,
 * as it is at first, else in a directory of the layer's id in there. So writing disk.json is what makes another layer
 * the disk's own.
 */
struct disk_state {
	char image[BR_IMAGE_NAME_MAX + 1], sha256[BR_SHA256_HEX];
	uint8_t uuid[16];
	char layer[BR_LAYER_ID];  /* its own layer */
	char parent[BR_LAYER_ID]; /* the frozen layer that lies on; "" : the image's disk.img */
	uint64_t size;		  /* of its own layer, when that is larger than what it lies on; else 0 */
	struct br_disk_snapshot *snapshots;
	size_t n_snapshots;
};

#define DISK_JSON_MAX (1 << 20) /* bytes of disk.json */

struct br_disk {
	struct br_image *image;
	struct br_cow *cow;
	struct br_fs *fs;
	struct disk_state state;
	uint8_t layer_id[16]; /* state.layer */
	char *dir;
	int lock_fd;
	bool relaxed; /* commits are not synced: diskrelax.c */
};

/* -EUCLEAN: it was relaxed when the host went down. */
int disk_relaxed_check(const char *dir, struct br_error *err);
/* What was written relaxed is made stable, and the disk is relaxed no more. */
int disk_settle(struct br_disk *disk);
/* Of a closed disk whose layer was replaced by one that is stable. */
int disk_forget_relaxed(const char *dir);

void disk_free(struct br_disk *disk);
void disk_state_done(struct disk_state *s);
/* -ENOENT: there is no disk. */
int disk_state_read(const char *dir, struct disk_state *ret, struct br_error *err);
int disk_state_write(const char *dir, const struct disk_state *s, struct br_error *err);
/* For the fuzz target. */
int disk_state_parse(const char *text, size_t len, struct disk_state *ret);
/* Where the disk's own layer is; free(). */
char *disk_layer_dir(const char *dir, const struct disk_state *s);
/* What an interrupted or finished change left: files of layers that are not the disk's own (any more). */
void disk_sweep(const char *dir, const struct disk_state *s);

int disk_lock(const char *dir, int *ret_fd, struct br_error *err);
/* Opens the disk's own layer over that. */
int disk_cow(const char *dir, const struct disk_state *s, struct br_blocks *base, struct br_cow **ret, struct br_error *err);
/* What the disk's own layer lies on; a new reference. */
int disk_base(struct br_image *image, const struct disk_state *s, struct br_blocks **ret, struct br_error *err);
int disk_snapshot_name_check(const char *name, struct br_error *err);
