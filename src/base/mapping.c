/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mapping.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct br_mapping {
	struct br_mapping *next;
	unsigned refs; /* under the lock */
	dev_t dev;
	ino_t ino; /* not used again for another file while it is mapped */
	uint8_t *p;
	uint64_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct br_mapping *all; /* one per image and layer in use: few */

static struct br_mapping *find(const struct stat *st)
{
	for (struct br_mapping *m = all; m; m = m->next)
		if (m->dev == st->st_dev && m->ino == st->st_ino && m->size == (uint64_t)st->st_size)
			return m;
	return NULL;
}

static struct br_mapping *make(int fd, const struct stat *st)
{
	struct br_mapping *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->p = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (m->p == MAP_FAILED) {
		free(m);
		return NULL;
	}
	m->dev = st->st_dev;
	m->ino = st->st_ino;
	m->size = (uint64_t)st->st_size;
	m->next = all;
	all = m;
	return m;
}

struct br_mapping *br_mapping_of(int fd)
{
	struct br_mapping *m;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return NULL;
	pthread_mutex_lock(&lock);
	m = find(&st);
	if (!m)
		m = make(fd, &st);
	if (m)
		m->refs++;
	pthread_mutex_unlock(&lock);
	return m;
}

struct br_mapping *br_mapping_ref(struct br_mapping *m)
{
	pthread_mutex_lock(&lock);
	m->refs++;
	pthread_mutex_unlock(&lock);
	return m;
}

void br_mapping_unref(struct br_mapping *m)
{
	struct br_mapping **at = &all;

	if (!m)
		return;
	pthread_mutex_lock(&lock);
	if (--m->refs) {
		pthread_mutex_unlock(&lock);
		return;
	}
	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	pthread_mutex_unlock(&lock);
	munmap(m->p, (size_t)m->size);
	free(m);
}

const uint8_t *br_mapping_at(const struct br_mapping *m, uint64_t offset, size_t len)
{
	return m && offset <= m->size && len <= m->size - offset ? m->p + offset : NULL;
}
