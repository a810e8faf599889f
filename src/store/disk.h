/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/fs.h"
#include "store/image.h"

/*
 * A disk: the root partition of an image with a copy-on-write layer of 4 KiB blocks over
 * it (slot file + map log: storage notes). A directory holds it: 'slots', 'map', 'disk.json'
 * (image name and sha256, uuid of the disk). It is locked while open.
 *
 * Its layer can be frozen: it becomes one that others may stand on too (store/layer.h), and the disk goes on with an
 * empty layer over it.
 */
struct br_disk;

/* Opens the disk in dir, making dir and an empty layer when there is none. -ESTALE: dir belongs to another
 * image content. -EBUSY: open in another process. Replays the layer's log and the ext4 journal when needed. */
int br_disk_open(struct br_image *image, const char *dir, struct br_disk **ret, struct br_error *err);
/*
 * Commits are not synced from now on: what was acknowledged outlives the process, not the host. What is stored is made stable by
 * br_disk_close(), br_disk_freeze() and the next br_disk_open(); -EUCLEAN of that when the host went down before. On a
 * failure the disk stays as durable as it was.
 */
int br_disk_relax(struct br_disk *disk, struct br_error *err);
/* Was the closed disk in dir relaxed when the host went down? It cannot be opened then. */
bool br_disk_lost(const char *dir);
/* Commits and closes. */
void br_disk_close(struct br_disk *disk);

/* The ext4 in it; owned by the disk. */
struct br_fs *br_disk_fs(struct br_disk *disk);
/* 16 random bytes made with the disk, for file handles. */
const uint8_t *br_disk_uuid(const struct br_disk *disk);
struct br_image *br_disk_image(const struct br_disk *disk); /* not a new reference */

struct br_disk_usage {
	uint64_t base_bytes;	/* size of the root partition */
	uint64_t changed_bytes; /* blocks in the layers above the image's */
	uint64_t stored_bytes;	/* what the files of its own layer take on the host */
	unsigned layers;	/* frozen ones between the image's and its own */
};
void br_disk_usage(const struct br_disk *disk, struct br_disk_usage *ret);

/* Writes the file system as it is now (after a commit) to path, sparse, with progress unless quiet. */
int br_disk_export(struct br_disk *disk, const char *path, bool quiet, struct br_error *err);
/* Reads raw bytes of the partition through the layer. */
int br_disk_read(struct br_disk *disk, uint64_t offset, void *buf, size_t len);
/* Next byte range at or after offset that may hold anything but zeros; false: there is none. */
bool br_disk_next_data(struct br_disk *disk, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end);

/*
 * The disk as it is now, read-only, for as long as it is open (br_disk_close() it, before the disk or after it), whatever becomes of
 * the disk. Nothing is copied or left on the host. 'lock' is that of the disk, not held; it is let go while the host's disk works.
 */
int br_disk_view(struct br_disk *disk, pthread_mutex_t *lock, struct br_disk **ret, struct br_error *err);

/*
 * What the disk is at that moment, with its snapshots' names, in a new directory 'dir' which could take the place of its own: its
 * layer's blocks are copied, frozen layers and the image are named, not copied. 'lock' as with br_disk_view(). After a failure dir
 * may hold something that is no disk.
 */
int br_disk_copy(struct br_disk *disk, pthread_mutex_t *lock, const char *dir, struct br_error *err);
/* The same of the closed disk in 'from', which is locked meanwhile. -EBUSY: it is open. */
int br_disk_copy_closed(const char *from, const char *dir, struct br_error *err);

/*
 * Commits and freezes the disk's layer; nothing is copied, and who uses the disk notices nothing. ret: id of the topmost
 * frozen layer, "" when the disk is the image's disk.img unchanged. An unchanged disk gets no new layer. After a
 * failure the disk is as before; when not even that can be made sure it only reads.
 */
int br_disk_freeze(struct br_disk *disk, char ret[static 33], struct br_error *err);

/* Snapshots: names for what a disk was. */
#define BR_SNAPSHOT_NAME_MAX 63 /* [a-zA-Z0-9][a-zA-Z0-9._-]* */
struct br_disk_snapshot {
	char name[BR_SNAPSHOT_NAME_MAX + 1];
	char layer[33]; /* topmost frozen layer then, "" : none */
	int64_t taken_at; /* s since 1970 */
};
/* Freezes and names that. -EEXIST: there is one of this name. name NULL: "1", "2" ... ret (may be NULL): what it is. */
int br_disk_snapshot(struct br_disk *disk, const char *name, struct br_disk_snapshot *ret, struct br_error *err);
/* Those of an open disk, by time; valid until the next change. */
const struct br_disk_snapshot *br_disk_snapshots(const struct br_disk *disk, size_t *ret_n);
/* Forgets the name; what only it needed is removed by br_store_gc(). -ENOENT. */
int br_disk_snapshot_remove(struct br_disk *disk, const char *name, struct br_error *err);
/*
 * Makes the closed disk in dir what it was at a snapshot; what was written since is lost. It gets a new uuid, so that
 * handles from before are stale. -ENOENT: no such snapshot.
 */
int br_disk_rollback(struct br_image *image, const char *dir, const char *name, struct br_error *err);

/*
 * Makes the closed disk in dir (made when there is none) and its file system larger: what is written goes to the new blocks
 * too, and handles stay good. A disk of this size or more is left as it is. -ENOTSUP: its ext4 was not made to grow that far.
 */
int br_disk_grow(struct br_image *image, const char *dir, uint64_t size, struct br_error *err);

/*
 * Makes the closed disk in dir what a raw file of its size holds: only blocks that differ are written. A crash meanwhile leaves a
 * disk that is neither: for new ones only. ret_written: bytes.
 */
int br_disk_import(struct br_image *image, const char *dir, int raw_fd, bool quiet, uint64_t *ret_written,
	struct br_error *err);

/* Calls fn with each frozen layer that the disk in dir names; nothing when there is no disk. */
int br_disk_layers(const char *dir, int (*fn)(void *ctx, const char *id), void *ctx, struct br_error *err);
/* What can be told of the (closed or open) disk in dir by looking at its files. -ENOENT: there is none. */
struct br_disk_facts {
	char image[BR_IMAGE_NAME_MAX + 1];
	char parent[33]; /* topmost frozen layer it lies on, "" : the image's disk.img */
	size_t n_snapshots;
	uint64_t stored_bytes; /* what the files of its own layer take on the host */
	int64_t written_at;    /* when they last changed, s since 1970 */
};
int br_disk_facts(const char *dir, struct br_disk_facts *ret, struct br_error *err);
/* How many snapshots the (closed or open) disk in dir has; 0 when there is no disk, or none that can be read. */
size_t br_disk_count_snapshots(const char *dir);

/* The image's root read-only, without a layer (for 'image ls'). Close with ops->close. */
int br_image_fs(struct br_image *image, struct br_fs **ret, struct br_error *err);
/* The same of any blocks that lie on the image. */
int br_blocks_fs(struct br_image *image, struct br_blocks *blocks, struct br_fs **ret, struct br_error *err);
