/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/hash.h"
#include "store/blocks.h"
#include "store/image.h"

/*
 * Frozen layers, in STATE/layers/<id>/: 'slots' and 'map' as a disk's (cow.h), never written again, and 'layer.json'. A
 * layer names the one below it, or none when it lies on an image's disk.img. Disks (disk.json) and images (image.json)
 * name the topmost layer they stand on. What nothing names any more is removed by br_store_gc().
 */
#define BR_LAYER_ID 33 /* 32 lower-case hexadecimal digits (the uuid of its map) and NUL; "" : none */

struct br_layer {
	char id[BR_LAYER_ID], parent[BR_LAYER_ID];
	char base[BR_SHA256_HEX]; /* sha256 of the disk.img at the bottom */
	uint64_t size;		  /* bytes of the root partition as seen through it */
	int64_t frozen_at;	  /* s since 1970 */
	uint64_t map_bytes;	  /* length of its map's log, so that one that was cut is noticed; 0: an older program made it */
	/*
	 * The content id, "" until somebody asked for it: SHA-256 over "bramble layer 1\n", the 64 digits of what it lies
	 * on (the layer below, or disk.img), the size (u64), and for each changed block in ascending order its number
	 * (u32) and its 4096 bytes; numbers little-endian.
	 */
	char content[BR_SHA256_HEX];
};

bool br_layer_id_ok(const char *id);
/* STATE/layers/<id>, free(); NULL when memory is out. */
char *br_layer_path(const struct br_store *store, const char *id);
/* -EUCLEAN when it is missing or layer.json is damaged. */
int br_layer_read(const struct br_store *store, const char *id, struct br_layer *ret, struct br_error *err);

/*
 * Makes a frozen layer of the files in dir by hard links. The caller holds the store's lock until the disk that owns them
 * names the layer: br_store_gc() takes a layer that nothing names. A layer of this id that is there already (left by a crash: nothing names it) is replaced.
 */
int br_layer_publish(struct br_store *store, const char *dir, const struct br_layer *layer, struct br_error *err);

/* 'under' with the layers from 'id' down to, not including, 'stop' ("": all). A new reference, also when there is none
 * to add. -EUCLEAN: the layers do not lead to 'stop'. */
int br_layer_stack(struct br_store *store, const char *id, const char *stop, struct br_blocks *under,
	struct br_blocks **ret, struct br_error *err);

/* The content id of a layer, found out and remembered for it and those below it. */
int br_layer_content(struct br_store *store, const char *id, char ret[static BR_SHA256_HEX], struct br_error *err);
/* Changed bytes in a layer and those below it down to 'stop', and how many layers that is. */
int br_layer_measure(struct br_store *store, const char *id, const char *stop, uint64_t *ret_bytes, unsigned *ret_depth,
	struct br_error *err);
/* Calls fn with the id of each layer there is. */
int br_layer_list(const struct br_store *store, int (*fn)(void *ctx, const char *id), void *ctx, struct br_error *err);

/* What layer.json says, for the fuzz target too. */
int br_layer_parse(const char *text, size_t len, struct br_layer *ret);
