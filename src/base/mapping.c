/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mapping.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

struct br_mapping {
	atomic_uint refs;
	uint8_t *p;
	uint64_t size;
};

struct br_mapping *br_mapping_new(int fd, uint64_t size)
{
	struct br_mapping *m = size && size <= SIZE_MAX ? calloc(1, sizeof(*m)) : NULL;

	if (!m)
		return NULL;
	m->p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
	if (m->p == MAP_FAILED) {
		free(m);
		return NULL;
	}
	atomic_init(&m->refs, 1);
	m->size = size;
	return m;
}

struct br_mapping *br_mapping_ref(struct br_mapping *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void br_mapping_unref(struct br_mapping *m)
{
	if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	munmap(m->p, (size_t)m->size);
	free(m);
}

const uint8_t *br_mapping_at(const struct br_mapping *m, uint64_t offset, size_t len)
{
	return offset <= m->size && len <= m->size - offset ? m->p + offset : NULL;
}
