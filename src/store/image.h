/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "store/fat.h"

/*
 * The store keeps images under DIR/images/<name>/: 'disk.img' (raw, sparse, read-only)
 * and 'image.json' (what the import found out). An image appears by one rename and is
 * never changed. Several processes may use a store at once.
 *
 * An image saved from a board's disk, or a second name of another image, shares its disk.img (a hard link) and names the
 * topmost of its frozen layers (store/layer.h), which lie over the root partition; the boot partition is the base's.
 */
struct br_store;
struct br_image;
struct br_blocks;

/* NAME[:TAG], both [a-z0-9][a-z0-9._-]*, so that it is also a file name and a URL part. NAME alone is its tag 'latest':
 * everywhere but at the doors (br_image_name_canon()) ":latest" is left out. */
#define BR_IMAGE_NAME_PART 64
#define BR_IMAGE_TAG_PART  32
#define BR_IMAGE_NAME_MAX  (BR_IMAGE_NAME_PART + 1 + BR_IMAGE_TAG_PART)
#define BR_PARTITIONS_MAX 128 /* GPT's usual table */

struct br_partition {
	unsigned number; /* 1.. */
	uint64_t start, size; /* bytes */
	uint8_t mbr_type;     /* 0 on GPT */
	char fs[16];	      /* "vfat", "ext4", "" */
	char label[64];
	char partuuid[40]; /* "5452574f-01" or a GPT unique id, lower case */
};

struct br_image_info {
	char name[BR_IMAGE_NAME_MAX + 1];
	char sha256[BR_SHA256_HEX]; /* of the raw disk; with layers: the content id (layer.h). Same id, same content */
	uint64_t size, allocated;   /* bytes; allocated: what holds data */
	int64_t imported_at;	    /* s since 1970 */
	char source[256];	    /* file name it came from, without directories */
	uint64_t source_size;	    /* of that file, and when it was last changed: */
	int64_t source_mtime_ns;    /* the same file again needs no reading */
	char table[8];		    /* "mbr" or "gpt" */
	char os_id[32];		    /* ID of os-release: "raspbian", "debian", "ubuntu" */
	char os_name[128];	    /* PRETTY_NAME */
	char os_version[32];	    /* VERSION_ID */
	char arch[16];		    /* "arm64", "armhf", "" when not found out */
	char kernels[512];	    /* versions under lib/modules, separated by a blank */
	char models[256];	    /* ids of br_pi_model that have their files, separated by a blank */
	char notes[512];	    /* oddities worth a warning, separated by "; "; "" when there are none */
	unsigned boot, root;	    /* numbers of the FAT boot and the root partition; 0: none */
	/* Saved from a disk; all empty otherwise: */
	char parent[BR_IMAGE_NAME_MAX + 1]; /* the image that disk was on, and its sha256 */
	char parent_sha256[BR_SHA256_HEX];
	char base[BR_SHA256_HEX]; /* of disk.img */
	char layer[33];		  /* id of the topmost frozen layer */
	unsigned depth;		  /* frozen layers */
	uint64_t layer_bytes;	  /* in its layers above the parent's */
	unsigned n_partitions;
	struct br_partition partitions[BR_PARTITIONS_MAX];
};

/* Opens, making DIR/images when missing, and sweeps what interrupted imports left (never that of a running one). */
int br_store_open(const char *dir, struct br_store **ret, struct br_error *err);
void br_store_close(struct br_store *store); /* images that are open keep what they need of it */

/* Calls fn for each image, by name. A broken entry is reported through err_text, not fatal. */
int br_store_list(struct br_store *store,
	int (*fn)(void *ctx, const struct br_image_info *info, const char *err_text), void *ctx,
	struct br_error *err);
/* -ENOENT when there is none of that name. */
int br_store_info(struct br_store *store, const char *name, struct br_image_info *ret,
	struct br_error *err);
/* Cheap signs that disk.img was changed since it was taken in (its size, its time): -EBADMSG with words. */
int br_store_look(struct br_store *store, const struct br_image_info *info, struct br_error *err);
/* Reads all of disk.img: -EBADMSG when it is not what was taken in. Of an image with layers: what these lie on. */
int br_store_check(struct br_store *store, const char *name, bool quiet, const bool *cancelled, struct br_error *err);
/* All of it as a JSON object, fields as named here; free(). NULL when memory is out. */
char *br_image_info_json(const struct br_image_info *info);
/* -ENOENT; -EBUSY while a process has it open (a daemon that serves it) or an image that was saved from a disk on it
 * needs it as its parent (unless another name has the same content). */
int br_store_remove(struct br_store *store, const char *name, struct br_error *err);

/* 0 or -EINVAL with the rule in words. */
int br_image_name_check(const char *name, struct br_error *err);
/* Checked, and without ":latest". ret may be name. */
int br_image_name_canon(const char *name, char ret[static BR_IMAGE_NAME_MAX + 1], struct br_error *err);
/* "2024-11-19-raspios-bookworm-arm64-lite.img.xz" to "2024-11-19-raspios-bookworm-arm64-lite". -EINVAL when
 * nothing usable is left. */
int br_image_name_from_file(const char *file, char ret[static BR_IMAGE_NAME_MAX + 1], struct br_error *err);

struct br_import_options {
	const char *name; /* NULL: from the file's name */
	bool quiet;	  /* no progress lines */
	bool replace;
	const bool *cancelled; /* may be NULL; checked between pieces (SIGINT) */
};

/*
 * Streams FILE (.img, .xz, .gz, .zst, .bz2, .zip, told by content, not by name) in. ret may be NULL.
 * Returns 0, or 1 when the same content is already there under this name; -EEXIST when the name is taken by
 * another content (unless 'replace'), -ECANCELED, -ENOSPC, -EBADMSG (damaged, cut off), -ENOTSUP, -ENOMEDIUM
 * (not an image of an SD card). After a failure nothing is left behind.
 */
int br_store_import(struct br_store *store, const char *file, const struct br_import_options *opt,
	struct br_image_info *ret, struct br_error *err);

/*
 * Another name for an image: what it has is shared, not copied. Returns 0, or 1 when that name has this content already;
 * -EEXIST when it has another (unless 'replace').
 */
int br_store_tag(struct br_store *store, const char *name, const char *as, bool replace, struct br_error *err);

/*
 * Publishes an image that is 'image' with the layers down from 'layer' (an id) instead of its own: what
 * br_disk_freeze() gave. from: words on where it came from ("board pi07"). As to the rest: br_store_tag(). May read
 * all of the layers, to find the content id.
 */
int br_store_derive(struct br_store *store, struct br_image *image, const char *layer, const char *name, const char *from,
	bool replace, struct br_image_info *ret, struct br_error *err);

/*
 * Removes what nothing needs: frozen layers that no image and no disk stands on, leftovers of what was interrupted. fn
 * (may be NULL) is told each, with the bytes it takes on the host; dry: only told. Positive: so many.
 */
int br_store_gc(struct br_store *store, bool dry, void (*fn)(void *ctx, const char *what, uint64_t bytes), void *ctx,
	struct br_error *err);

/* Opens an image for serving: counted, mapped, safe for every thread. One br_image per name and store while it
 * is open; after a replacement the next open gives the new one. -ENOENT, -EBADMSG (damaged). */
int br_image_open(struct br_store *store, const char *name, struct br_image **ret,
	struct br_error *err);
struct br_image *br_image_ref(struct br_image *image);
void br_image_unref(struct br_image *image);
const struct br_image_info *br_image_info(const struct br_image *image);
/* Is it still what its name stands for in the store? Not after a replacement (or a tag that was moved), nor when removed. */
bool br_image_current(const struct br_image *image);
/* -EIO with words when disk.img is not what it was when it was opened: cut, or written to. Cheap. */
int br_image_changed(const struct br_image *image, struct br_error *err);
/* NULL when the image has no boot partition. */
const struct br_fat *br_image_boot(const struct br_image *image);
int br_image_fd(const struct br_image *image); /* read-only, of the whole disk; not given away */
/* The root partition with the image's layers, shared by all who use the image; NULL when there is none. Not a new reference. */
struct br_blocks *br_image_blocks(const struct br_image *image);
struct br_store *br_image_store(const struct br_image *image); /* NULL: in none (while importing) */
/* Byte range of the root partition in disk.img; false when there is none. */
bool br_image_root(const struct br_image *image, uint64_t *ret_start, uint64_t *ret_size);
