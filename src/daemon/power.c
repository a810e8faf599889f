/* SPDX-License-Identifier: Apache-2.0 */
/* Switching boards by a command of the operator's. */
#include "daemon/power.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define WORDS_MAX 32
#define PATIENCE_NS (30 * BR_S)
#define SAID_MAX 400

extern char **environ;

struct words {
	char *v[WORDS_MAX + 1];
	size_t n;
};

static void words_done(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
}

/* NULL: no such field. */
static const char *field(const char *name, size_t n, const struct br_board *board, const char *action, char buf[static 32])
{
	if (n == 5 && !memcmp(name, "board", n))
		return board->name;
	if (n == 6 && !memcmp(name, "action", n))
		return action;
	if (n == 5 && !memcmp(name, "notes", n))
		return board->notes;
	if (n == 3 && !memcmp(name, "mac", n))
		return br_mac_format(buf, board->mac);
	if (n == 6 && !memcmp(name, "serial", n)) {
		snprintf(buf, 32, "%llx", (unsigned long long)board->serial);
		return buf;
	}
	return NULL;
}

/* One word with its fields; NULL: an unknown one. */
static char *expand(const char *s, size_t n, const struct br_board *board, const char *action)
{
	struct br_text t = BR_TEXT_NULL;

	br_text_add(&t, "");
	for (size_t i = 0; i < n;) {
		const char *close = s[i] == '{' ? memchr(s + i, '}', n - i) : NULL;
		char buf[32];

		if (close) {
			const char *v = field(s + i + 1, (size_t)(close - s) - i - 1, board, action, buf);

			if (!v) {
				br_text_done(&t);
				return NULL;
			}
			br_text_add(&t, v);
			i = (size_t)(close - s) + 1;
		} else {
			br_text_add_bytes(&t, s + i++, 1);
		}
	}
	return br_text_take(&t);
}

static const char *split(const char *command, const struct br_board *board, const char *action, struct words *w)
{
	for (const char *s = command + strspn(command, " \t"); *s; s += strspn(s, " \t")) {
		size_t n = strcspn(s, " \t");

		if (w->n == WORDS_MAX)
			return "must have at most 32 words";
		w->v[w->n] = expand(s, n, board, action);
		if (!w->v[w->n])
			return "may use {board}, {mac}, {serial}, {notes} and {action} only";
		w->n++;
		s += n;
	}
	if (!w->n || w->v[0][0] != '/')
		return "must begin with the full path of a program";
	return NULL;
}

const char *br_power_check(const char *command)
{
	struct br_board board = { 0 };
	struct words w = { 0 };
	const char *wrong = split(command, &board, "reset", &w);

	words_done(&w);
	return wrong;
}

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
static int follow(pid_t pid, int fd, char *said, size_t size, int *ret_status)
{
	uint64_t end = br_now_ns() + PATIENCE_NS;
	bool open = true;

	for (;;) {
		struct pollfd p = { .fd = open ? fd : -1, .events = POLLIN };

		if (waitpid(pid, ret_status, WNOHANG) == pid) {
			take_words(fd, said, size);
			return 0;
		}
		if (br_now_ns() >= end) {
			kill(-pid, SIGKILL);
			waitpid(pid, ret_status, 0);
			return -ETIMEDOUT;
		}
		if (poll(&p, 1, 100) == 1)
			open = take_words(fd, said, size);
	}
}

/* In a process group of its own, with signals as a program expects them: the daemon ignores SIGPIPE and blocks others. */
static int start(char **argv, int out_fd, pid_t *ret)
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
	e = posix_spawn(ret, argv[0], &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -e;
}

int br_power_run(const char *command, const struct br_board *board, const char *action, struct br_error *err)
{
	char said[SAID_MAX] = "", vis[SAID_MAX * 2];
	struct words w = { 0 };
	const char *wrong = split(command, board, action, &w);
	int fds[2] = { -1, -1 }, status = 0, r = 0;
	pid_t pid;

	if (wrong)
		r = br_error_set(err, EINVAL, "power-command %s", wrong);
	else if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		r = br_error_set(err, errno, "cannot make a pipe: %m");
	if (!r) {
		r = start(w.v, fds[1], &pid);
		close(fds[1]);
		if (r < 0)
			br_error_set(err, -r, "board %s: cannot run %s: %s", board->name, w.v[0], strerror(-r));
	}
	if (!r) {
		r = follow(pid, fds[0], said, sizeof(said), &status);
		br_vis(vis, sizeof(vis), said, strcspn(said, "\n"));
		if (r < 0)
			br_error_set(err, -r, "board %s: %s did not end within 30 s", board->name, w.v[0]);
		else if (!WIFEXITED(status) || WEXITSTATUS(status))
			r = br_error_set(err, EIO, "board %s: %s failed with status %d%s%s", board->name, w.v[0],
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), *vis ? ": " : "", vis);
	}
	if (fds[0] >= 0)
		close(fds[0]);
	words_done(&w);
	return r;
}
