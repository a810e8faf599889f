/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The last bytes of an endless stream, by their place in it: readers keep a place each, and nothing is copied for them. */
struct br_ring {
	uint8_t *buf; /* made at the first bytes */
	size_t size;
	uint64_t end; /* bytes that ever came */
};

void br_ring_init(struct br_ring *ring, size_t size);
void br_ring_done(struct br_ring *ring);
/* -ENOMEM at the first bytes only. */
int br_ring_put(struct br_ring *ring, const void *data, size_t n);
/* The first byte that is still there. */
uint64_t br_ring_start(const struct br_ring *ring);
/* Bytes from *at on, up to max; *at moves on. What is not there any more is skipped, and added to *lost. */
size_t br_ring_get(const struct br_ring *ring, uint64_t *at, void *buf, size_t max, uint64_t *lost);
