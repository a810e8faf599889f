/* SPDX-License-Identifier: Apache-2.0 */
#include "console/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void br_ring_init(struct br_ring *ring, size_t size)
{
	*ring = (struct br_ring){ .size = size };
}

void br_ring_done(struct br_ring *ring)
{
	free(ring->buf);
	ring->buf = NULL;
}

uint64_t br_ring_start(const struct br_ring *ring)
{
	return ring->end > ring->size ? ring->end - ring->size : 0;
}

int br_ring_put(struct br_ring *ring, const void *data, size_t n)
{
	const uint8_t *p = data;

	if (!ring->buf)
		ring->buf = malloc(ring->size);
	if (!ring->buf)
		return -ENOMEM;
	if (n > ring->size) {
		ring->end += n - ring->size;
		p += n - ring->size;
		n = ring->size;
	}
	while (n) {
		size_t at = (size_t)(ring->end % ring->size), k = ring->size - at < n ? ring->size - at : n;

		memcpy(ring->buf + at, p, k);
		ring->end += k;
		p += k;
		n -= k;
	}
	return 0;
}

size_t br_ring_get(const struct br_ring *ring, uint64_t *at, void *buf, size_t max, uint64_t *lost)
{
	uint64_t start = br_ring_start(ring);
	uint8_t *out = buf;
	size_t n = 0;

	if (*at < start) {
		*lost += start - *at;
		*at = start;
	}
	while (n < max && *at < ring->end) {
		size_t from = (size_t)(*at % ring->size), k = ring->size - from;

		k = k < ring->end - *at ? k : (size_t)(ring->end - *at);
		k = k < max - n ? k : max - n;
		memcpy(out + n, ring->buf + from, k);
		n += k;
		*at += k;
	}
	return n;
}
