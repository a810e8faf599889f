/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "store/fs.h"
#include "store/image.h"

/*
 * A disk: the root partition of an image with a copy-on-write layer of 4 KiB blocks over
 * it (slot file + map log: storage notes). A directory holds it: 'slots', 'map', 'disk.json'
 * (image name and sha256, uuid of the disk). It is locked while open.
 */
struct br_disk;

/* Opens the disk in dir, making dir and an empty layer when there is none. -ESTALE: dir belongs to another
 * image content. -EBUSY: open in another process. Replays the layer's log and the ext4 journal when needed. */
int br_disk_open(struct br_image *image, const char *dir, struct br_disk **ret, struct br_error *err);
/* Commits and closes. */
void br_disk_close(struct br_disk *disk);

/* The ext4 in it; owned by the disk. */
struct br_fs *br_disk_fs(struct br_disk *disk);
/* 16 random bytes made with the disk, for file handles. */
const uint8_t *br_disk_uuid(const struct br_disk *disk);
struct br_image *br_disk_image(const struct br_disk *disk); /* not a new reference */

struct br_disk_usage {
	uint64_t base_bytes;	/* size of the root partition */
	uint64_t changed_bytes; /* blocks in the layer */
	uint64_t stored_bytes;	/* what its files take on the host */
};
void br_disk_usage(const struct br_disk *disk, struct br_disk_usage *ret);

/* Writes the file system as it is now (after a commit) to path, sparse, with progress unless quiet. */
int br_disk_export(struct br_disk *disk, const char *path, bool quiet, struct br_error *err);
/* Reads raw bytes of the partition through the layer. */
int br_disk_read(struct br_disk *disk, uint64_t offset, void *buf, size_t len);

/* The image's root read-only, without a layer (for 'image ls'). Close with ops->close. */
int br_image_fs(struct br_image *image, struct br_fs **ret, struct br_error *err);
