/* SPDX-License-Identifier: Apache-2.0 */
/* The convention of Raspberry Pi's tools for keys that only a program can use: 'WRAPPER -a rsa2048-sha256 FILE' (c.10). */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "pi/rsakey_private.h"

#define PATIENCE_NS (300 * BR_S) /* somebody may have to touch a token */
#define SAID_MAX 2048

extern char **environ;

static int write_parts(const char *path, int fd, const struct iovec *parts, size_t n, struct br_error *err)
{
	for (size_t i = 0; i < n; i++) {
		int r = br_write_all(fd, parts[i].iov_base, parts[i].iov_len);

		if (r < 0)
			return br_error_set(err, -r, "%s: %s", path, strerror(-r));
	}
	return 0;
}

/* In our process group and with our stdin: a wrapper may ask for a PIN. */
static int start(const char *wrapper, const char *path, int out_fd, pid_t *ret)
{
	char *argv[] = { (char *)wrapper, (char *)"-a", (char *)"rsa2048-sha256", (char *)path, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, standard;
	int e;

	sigemptyset(&none);
	sigemptyset(&standard);
	sigaddset(&standard, SIGPIPE); /* ignored by us; no program expects that */
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &standard);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
	e = posix_spawnp(ret, wrapper, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -e;
}

/* What it prints until it ends. -ETIMEDOUT: it was killed. */
static int follow(pid_t pid, int fd, char *said, size_t size, size_t *ret_len, int *ret_status)
{
	uint64_t end = br_now_ns() + PATIENCE_NS;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char rest[512];
	size_t len = 0;

	for (;;) {
		bool ended = waitpid(pid, ret_status, WNOHANG) == pid;
		ssize_t n;

		/* what it said before it ended is in the pipe by now; too much of it is read all the same, or it would never end */
		while ((n = p.fd < 0 ? 0 : len < size ? read(fd, said + len, size - len) : read(fd, rest, sizeof(rest))) > 0)
			len += len < size ? (size_t)n : 0;
		if (!n)
			p.fd = -1;
		if (ended)
			break;
		if (br_now_ns() >= end) {
			kill(pid, SIGKILL);
			waitpid(pid, ret_status, 0);
			return -ETIMEDOUT;
		}
		poll(&p, 1, 50);
	}
	*ret_len = len;
	return 0;
}

/* Hexadecimal digits of either case; blanks and line ends between them are passed over. */
static int take_signature(const char *said, size_t len, uint8_t sig[static BR_RSA_BYTES])
{
	char digits[BR_RSA_BYTES * 2 + 1];
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (isspace((unsigned char)said[i]))
			continue;
		if (!isxdigit((unsigned char)said[i]) || n == sizeof(digits) - 1)
			return -EBADMSG;
		digits[n++] = said[i];
	}
	digits[n] = 0;
	return n == sizeof(digits) - 1 ? br_unhex(sig, BR_RSA_BYTES, digits) : -EBADMSG;
}

static int run(const char *wrapper, const char *path, uint8_t sig[static BR_RSA_BYTES], struct br_error *err)
{
	char said[SAID_MAX];
	size_t len = 0;
	int fds[2], status = 0, r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return br_error_set(err, errno, "cannot make a pipe: %m");
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK); /* our end only: no program expects that of its output */
	r = start(wrapper, path, fds[1], &pid);
	close(fds[1]);
	if (r < 0)
		br_error_set(err, -r, "signing program %s: cannot run it: %s", wrapper, strerror(-r));
	else
		r = follow(pid, fds[0], said, sizeof(said), &len, &status);
	close(fds[0]);
	if (r == -ETIMEDOUT)
		return br_error_set(err, ETIMEDOUT, "signing program %s: did not end within 300 s", wrapper);
	if (r < 0)
		return r;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return br_error_set(err, EIO, "signing program %s: failed with status %d", wrapper,
			WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	if (take_signature(said, len, sig) < 0)
		return br_error_set(err, EBADMSG, "signing program %s: did not print a signature of 512 hexadecimal digits", wrapper);
	return 0;
}

int br_rsakey_wrapper_sign(const char *wrapper, const struct iovec *parts, size_t n, uint8_t sig[static BR_RSA_BYTES],
	struct br_error *err)
{
	const char *tmp = getenv("TMPDIR");
	br_cleanup(br_freep) char *path = br_asprintf("%s/bramble-sign.XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
	int fd = path ? mkostemp(path, O_CLOEXEC) : -1;
	int r;

	if (fd < 0)
		return path ? br_error_set(err, errno, "%s: %m", path) : br_error_set(err, ENOMEM, "out of memory");
	r = write_parts(path, fd, parts, n, err);
	close(fd);
	if (!r)
		r = run(wrapper, path, sig, err);
	unlink(path);
	return r;
}
