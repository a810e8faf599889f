/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A read-only source of blocks of 4 KiB: a byte range of a base file (the root partition in an image's disk.img)
 * with any number of frozen layers over it. The layers' maps are merged into one when the source is made, so that a
 * read costs the same at any depth: block -> which file, where in it.
 *
 * Immutable and counted; every thread may read. A source made over another one shares what it does not change.
 */
struct br_blocks;

#define BR_BLOCKS_LAYERS_MAX 100 /* each costs a descriptor while it is open */

/* A plain byte range. fd is not taken and must stay open as long as the source. */
int br_blocks_new(int fd, uint64_t start, uint64_t size, struct br_blocks **ret, struct br_error *err);

/*
 * A new source: 'below' with the frozen layer of dir ('slots', 'map': cow.h) over it. A layer may be larger than what
 * it lies on, not smaller; what neither has reads as zeros. -EUCLEAN: the layer is damaged; -ESTALE: it is not the
 * one of this uuid and size; -E2BIG: too many layers.
 */
int br_blocks_over(struct br_blocks *below, const char *dir, const uint8_t uuid[16], uint64_t size,
	struct br_blocks **ret, struct br_error *err);
struct br_blocks *br_blocks_ref(struct br_blocks *b);
void br_blocks_unref(struct br_blocks *b);

uint64_t br_blocks_size(const struct br_blocks *b); /* bytes */
unsigned br_blocks_depth(const struct br_blocks *b); /* layers */

/*
 * Where the bytes at offset are: *ret_fd (owned by the source) and *ret_at, the offset in that file; fd -1: zeros.
 * Returns how many from there lie one behind the other, 1 .. len; 0 only when offset is not below the size.
 */
size_t br_blocks_locate(const struct br_blocks *b, uint64_t offset, size_t len, int *ret_fd, uint64_t *ret_at);
/* As locate, for sending from a mapping (base/mapping.h) that lives as long as the source: 0 when these are zeros, or
 * the file cannot be mapped. */
size_t br_blocks_map(const struct br_blocks *b, uint64_t offset, size_t len, const uint8_t **ret);
/* offset + len must be within the size: -EIO otherwise. */
int br_blocks_read(const struct br_blocks *b, uint64_t offset, void *buf, size_t len);
/* Next byte range at or after offset that may hold data; false: only zeros follow. */
bool br_blocks_next_data(const struct br_blocks *b, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end);

/* Do both have these bytes of a block from the very same place? Then they are the same. Equal bytes elsewhere may be
 * called different. */
bool br_blocks_same(const struct br_blocks *a, const struct br_blocks *b, uint64_t block);
