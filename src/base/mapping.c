/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mapping.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* ---- guards: read by a signal handler, so a table of atomics ---- */

#define GUARDS 1024

static struct guard {
	_Atomic(uintptr_t) start, end; /* end 0: free */
	atomic_bool cut;
} guards[GUARDS];
static uintptr_t page_mask;
static struct sigaction before;

/* Puts a page of zeros where the file has none any more. Another SIGBUS is what it was before us. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	int saved = errno;

	for (int i = 0; info->si_code == BUS_ADRERR && i < GUARDS; i++) {
		if (at < atomic_load(&guards[i].start) || at >= atomic_load(&guards[i].end))
			continue;
		if (mmap((void *)(at & page_mask), ~page_mask + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
			MAP_FAILED)
			break;
		atomic_store(&guards[i].cut, true);
		errno = saved;
		return;
	}
	sigaction(SIGBUS, &before, NULL); /* the access is made again, and ends as it must */
	errno = saved;
}

static void install(void)
{
	struct sigaction act = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	page_mask = ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
	sigemptyset(&act.sa_mask);
	sigaction(SIGBUS, &act, &before);
}

int br_mapping_guard(const void *p, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int i;

	if (!p || !len)
		return -EINVAL;
	pthread_once(&once, install);
	pthread_mutex_lock(&lock);
	for (i = 0; i < GUARDS && guards[i].end; i++)
		;
	if (i < GUARDS) {
		atomic_store(&guards[i].cut, false);
		atomic_store(&guards[i].start, (uintptr_t)p);
		atomic_store(&guards[i].end, (uintptr_t)p + len);
	}
	pthread_mutex_unlock(&lock);
	return i < GUARDS ? i : -ENOSPC;
}

bool br_mapping_cut(int guard)
{
	return guard >= 0 && guard < GUARDS && atomic_load(&guards[guard].cut);
}

void br_mapping_unguard(int guard)
{
	if (guard >= 0 && guard < GUARDS)
		atomic_store(&guards[guard].end, 0);
}
