/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Ownership: a local that owns something says so with br_cleanup(foo_freep) and
 * gives it away with br_take(). Every free function accepts NULL (a descriptor: -1).
 */
#define br_cleanup(f) __attribute__((cleanup(f)))

#define br_take(p)                          \
	({                                  \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;                 \
		taken_;                     \
	})

#define br_take_fd(fd)            \
	({                        \
		int taken_ = (fd); \
		(fd) = -1;        \
		taken_;           \
	})

/* Defines foo_freep() for use with br_cleanup() from a 'foo_free(type *)'. */
#define BR_DEFINE_CLEANUP(type, func)            \
	__attribute__((unused)) static inline void func##p(type *p)      \
	{                                        \
		if (*p)                          \
			func(*p);                \
	}                                        \
	struct br_cleanup_needs_a_semicolon

static inline void br_freep(void *p)
{
	free(*(void **)p);
}

static inline void br_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void br_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define br_container_of(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))
#define BR_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
