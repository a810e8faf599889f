/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the daemon by tests/system/test_kill.py: it dies at the Nth call that changes what disks and layers are
 * stored in (BR_KILL_AT), before it, after it, or with half of it done (BR_KILL_HOW: before, after, torn).
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long left;
static enum { BEFORE, AFTER, TORN } how;

__attribute__((constructor)) static void begin(void)
{
	const char *at = getenv("BR_KILL_AT"), *way = getenv("BR_KILL_HOW");

	left = at ? atol(at) : 0;
	how = way && !strcmp(way, "after") ? AFTER : way && !strcmp(way, "torn") ? TORN : BEFORE;
}

static bool of_disks(const char *path)
{
	return strstr(path, "/disks/") || strstr(path, "/layers/");
}

static bool fd_of_disks(int fd)
{
	char link[40], path[1024];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = 0;
	return of_disks(path);
}

/* Is this the call to die at? */
static bool due(bool counts)
{
	return left > 0 && counts && atomic_fetch_sub(&left, 1) == 1;
}

static void die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

static void *next(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		abort();
	return p;
}

#define WITH_DEATH(counts, torn, call)      \
	do {                                \
		bool now = due(counts);     \
		if (now && how == BEFORE)   \
			die();              \
		if (now && how == TORN) {   \
			torn;               \
			die();              \
		}                           \
		result = (call);            \
		if (now)                    \
			die();              \
	} while (0)

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t offset)
{
	ssize_t (*real)(int, const void *, size_t, off64_t) = (ssize_t(*)(int, const void *, size_t, off64_t))next("pwrite64");
	ssize_t result;

	WITH_DEATH(fd_of_disks(fd), (void)!real(fd, buf, n / 2, offset), real(fd, buf, n, offset));
	return result;
}

ssize_t write(int fd, const void *buf, size_t n)
{
	ssize_t (*real)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))next("write");
	ssize_t result;

	WITH_DEATH(left > 0 && fd_of_disks(fd), (void)!real(fd, buf, n / 2), real(fd, buf, n));
	return result;
}

#define ONE_FD(name)                                                 \
	int name(int fd)                                             \
	{                                                            \
		int (*real)(int) = (int (*)(int))next(#name);        \
		int result;                                          \
		WITH_DEATH(fd_of_disks(fd), (void)0, real(fd));      \
		return result;                                       \
	}
ONE_FD(fsync)
ONE_FD(fdatasync)

int ftruncate64(int fd, off64_t size)
{
	int (*real)(int, off64_t) = (int (*)(int, off64_t))next("ftruncate64");
	int result;

	WITH_DEATH(fd_of_disks(fd), (void)0, real(fd, size));
	return result;
}

#define TWO_PATHS(name)                                                                             \
	int name(const char *a, const char *b)                                                      \
	{                                                                                           \
		int (*real)(const char *, const char *) = (int (*)(const char *, const char *))next(#name); \
		int result;                                                                         \
		WITH_DEATH(of_disks(b), (void)0, real(a, b));                                       \
		return result;                                                                      \
	}
TWO_PATHS(rename)
TWO_PATHS(link)

int unlink(const char *path)
{
	int (*real)(const char *) = (int (*)(const char *))next("unlink");
	int result;

	WITH_DEATH(of_disks(path), (void)0, real(path));
	return result;
}

int mkdir(const char *path, mode_t mode)
{
	int (*real)(const char *, mode_t) = (int (*)(const char *, mode_t))next("mkdir");
	int result;

	WITH_DEATH(of_disks(path), (void)0, real(path, mode));
	return result;
}
