/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What POSIX says of files, as cases for any mounted directory (see main.c). Each case runs in a process of its own, in
 * a fresh empty directory of mode 0755 owned by who runs it, with umask 0.
 *
 * ok() ends the case when the call fails; the others note what is wrong and go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct posix_case {
	const char *subject, *name;
	void (*run)(void);
	bool slow; /* only with -l */
};

void posix_add(const struct posix_case *c);

#define CASE_(id, slow)                                                         \
	static void id(void);                                                   \
	__attribute__((constructor)) static void add_##id(void)                 \
	{                                                                       \
		posix_add(&(struct posix_case){ SUBJECT, #id, id, slow });      \
	}                                                                       \
	static void id(void)
/* SUBJECT is defined by the file */
#define CASE(id)      CASE_(id, false)
#define SLOW_CASE(id) CASE_(id, true)

long posix_ok(long r, const char *what, int line);
void posix_err(long r, int e1, int e2, const char *what, int line);
void posix_eq(long long got, long long want, const char *what, int line);
__attribute__((format(printf, 1, 2))) void posix_note(const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2))) void posix_skip(const char *fmt, ...);

#define ok(call)            posix_ok((long)(call), #call, __LINE__)
#define err(e, call)        posix_err((long)(call), e, e, #call, __LINE__)
#define err2(e1, e2, call)  posix_err((long)(call), e1, e2, #call, __LINE__)
#define eq(got, want)       posix_eq((long long)(got), (long long)(want), #got, __LINE__)
#define is(what)            posix_eq(!!(what), true, #what, __LINE__)

void need_root(void); /* skips */
/* Runs on with these effective ids and supplementary groups; root() takes them back. */
void as(uid_t uid, gid_t gid);
void as_groups(uid_t uid, gid_t gid, size_t n, const gid_t *groups);
void root(void);

/* In a process of its own: how it ended, as wait() says. What it finds wrong is the case's. */
int in_child(void (*fn)(void *), void *arg);

/* Memory that the case shares with its children, all zeros. */
void *posix_shared(size_t size);

struct stat stat_of(const char *path); /* of a link itself */
int fd_of(const char *path, int flags, mode_t mode);
void touch(const char *path, mode_t mode); /* makes a file */
void put(const char *path, const char *text);
void text_is(const char *path, const char *text);
bool exists(const char *path);
const char *elsewhere(void); /* a name that can be made in another file system */
/* n bytes of a name; good until the fourth call from here */
const char *name_of(size_t n);

/* Lets the clock of any file system go on. */
void tick(void);
bool later(struct timespec a, struct timespec b); /* a > b */
bool same(struct timespec a, struct timespec b);

/* What changed from before to now. */
enum { A = 1, M = 2, C = 4 };
unsigned moved(const struct stat *before, const char *path);
/* The call changes just these times of path. */
#define changes(what, path, call)                                \
	do {                                                     \
		struct stat before_ = stat_of(path);             \
		tick();                                          \
		ok(call);                                        \
		posix_eq(moved(&before_, path) & (M | C), what, "times of " path " after " #call, __LINE__); \
	} while (0)
