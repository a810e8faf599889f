/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that are run and waited for. */
#include "power/run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

extern char **environ;

/* What it has printed by now; only the end of it is kept, which tells why. False: there is no more to come. */
static bool take_words(int fd, char *said, size_t size)
{
	char buf[256];
	ssize_t n;

	for (int i = 0; i < 64; i++) { /* one that never stops has its end, too */
		size_t len, k;

		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		len = strlen(said);
		k = strnlen(buf, (size_t)n);
		if (len + k > size - 1)
			len = 0;
		memcpy(said + len, buf, k);
		said[len + k] = 0;
	}
	return true;
}

/* Until it ends or time is up; then all that it started ends, too. */
static int follow(pid_t pid, int fd, char *said, size_t size, uint64_t timeout_ns, const atomic_bool *stopped, int *ret_status)
{
	uint64_t end = br_now_ns() + timeout_ns;
	bool open = true;

	for (;;) {
		struct pollfd p = { .fd = open ? fd : -1, .events = POLLIN };

		pid_t got = waitpid(pid, ret_status, WNOHANG);

		if (got == pid) {
			take_words(fd, said, size);
			return 0;
		}
		if (got < 0 && errno == ECHILD)
			return -ECHILD;
		bool stop = stopped && atomic_load(stopped);

		if (br_now_ns() >= end || stop) {
			kill(-pid, SIGKILL);
			waitpid(pid, ret_status, 0);
			return stop ? -ECANCELED : -ETIMEDOUT;
		}
		if (poll(&p, 1, 100) == 1)
			open = take_words(fd, said, size);
	}
}

/* In a process group of its own, with signals as a program expects them: the daemon ignores SIGPIPE and blocks others. */
static int start(const char *const *argv, int out_fd, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int e;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
	posix_spawn_file_actions_adddup2(&actions, out_fd, 2);
	e = posix_spawn(ret, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -e;
}

int br_run(const char *const *argv, uint64_t timeout_ns, const atomic_bool *stop, char said[static BR_RUN_SAID], int *ret_status,
	struct br_error *err)
{
	int fds[2], status = 0, r;
	char took[24];
	pid_t pid;

	said[0] = 0;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return br_error_set(err, errno, "cannot make a pipe: %m");
	r = start(argv, fds[1], &pid);
	close(fds[1]);
	if (r < 0) {
		br_error_set(err, -r, "cannot run %s: %s", argv[0], strerrordesc_np(-r));
	} else {
		r = follow(pid, fds[0], said, BR_RUN_SAID, timeout_ns, stop, &status);
		if (r < 0)
			br_error_set(err, -r, "%s did not end within %s", argv[0], br_format_duration(took, sizeof(took), timeout_ns));
		else
			*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	close(fds[0]);
	return r;
}
