/* SPDX-License-Identifier: Apache-2.0 */
/* Terminal, file or socket for a console; see terminal.h. */
#include "sim/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define CTRL_A 1
#define KEPT_MAX ((size_t)256 << 10)

/*
 * The same terminal once more, for writing that does not wait: whoever watches it may stop reading (a pager, Ctrl-S), and the
 * board's network is ours to keep going. Not a flag of stdout, which others have too.
 */
static int open_output(void)
{
	char path[64];
	int fd = ttyname_r(STDOUT_FILENO, path, sizeof(path)) ? -1 : open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? STDOUT_FILENO : fd;
}

static int open_tty(struct br_sim_terminal *t, struct br_error *err)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &t->saved) < 0)
		return br_error_set(err, ENOTTY, "console '-' needs a terminal; use --console FILE or unix:SOCKET");
	raw = t->saved;
	/* keys go to the board as they are; output processing stays, so that our own lines look right */
	raw.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR | IXON | BRKINT | ISTRIP);
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return br_error_set(err, errno, "cannot set the terminal up: %m");
	t->raw = true;
	t->in_fd = STDIN_FILENO;
	t->out_fd = open_output();
	return 0;
}

static int open_socket(const char *path, struct br_sim_terminal *t, struct br_error *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (br_strcpy(a.sun_path, sizeof(a.sun_path), path) < 0)
		return br_error_set(err, ENAMETOOLONG, "console %s: the path is too long for a socket", path);
	t->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->listen_fd < 0 || bind(t->listen_fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(t->listen_fd, 1) < 0)
		return br_error_set(err, errno, "console %s: %m%s", path,
			errno == EADDRINUSE ? "; remove it or name another" : "");
	t->path = strdup(path);
	return t->path ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

int br_sim_terminal_open(const char *spec, struct br_sim_terminal *ret, struct br_error *err)
{
	struct br_sim_terminal t = BR_SIM_TERMINAL_NULL;
	int r = 0;

	if (!strcmp(spec, "-")) {
		r = open_tty(&t, err);
	} else if (br_str_starts(spec, "unix:")) {
		r = open_socket(spec + strlen("unix:"), &t, err);
	} else {
		t.out_fd = open(spec, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (t.out_fd < 0)
			r = br_error_set(err, errno, "console %s: cannot open: %m", spec);
	}
	if (r < 0) {
		br_sim_terminal_close(&t);
		return r;
	}
	*ret = t;
	return 0;
}

static void close_client(struct br_sim_terminal *t)
{
	if (t->out_fd > STDERR_FILENO)
		close(t->out_fd);
	t->in_fd = t->out_fd = -1;
	t->n_kept = 0;
}

void br_sim_terminal_close(struct br_sim_terminal *t)
{
	br_sim_terminal_flush(t);
	if (t->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &t->saved);
	close_client(t);
	free(t->kept);
	if (t->listen_fd >= 0)
		close(t->listen_fd);
	if (t->path)
		unlink(t->path);
	free(t->path);
	*t = BR_SIM_TERMINAL_NULL;
}

void br_sim_terminal_accept(struct br_sim_terminal *t)
{
	int fd = accept4(t->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	close_client(t); /* the newest client has the console */
	t->in_fd = t->out_fd = fd;
}

/* Ctrl-A x leaves, Ctrl-A Ctrl-A is one Ctrl-A, as QEMU's own console has it. */
static size_t filter(struct br_sim_terminal *t, char *buf, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (t->command) {
			t->command = false;
			t->leave |= buf[i] == 'x';
			if (buf[i] != CTRL_A)
				continue;
		} else if (buf[i] == CTRL_A) {
			t->command = true;
			continue;
		}
		buf[kept++] = buf[i];
	}
	return kept;
}

size_t br_sim_terminal_read(struct br_sim_terminal *t, char *buf, size_t cap)
{
	ssize_t n = read(t->in_fd, buf, cap);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		if (t->raw)
			t->leave = true; /* the terminal is gone */
		close_client(t);
		return 0;
	}
	return t->raw ? filter(t, buf, (size_t)n) : (size_t)n;
}

/* How much of it is done with. */
static size_t give(struct br_sim_terminal *t, const char *data, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t w = write(t->out_fd, data + done, n - done);

		if (w >= 0) {
			done += (size_t)w;
		} else if (errno == EPIPE) {
			close_client(t);
			return n;
		} else if (errno == EAGAIN) {
			return done;
		} else if (errno != EINTR) {
			return n; /* a full disk, say */
		}
	}
	return done;
}

void br_sim_terminal_write(struct br_sim_terminal *t, const char *data, size_t n)
{
	size_t given = t->n_kept || t->out_fd < 0 ? 0 : give(t, data, n);

	if (t->out_fd < 0 || given == n)
		return;
	if (!t->kept)
		t->kept = malloc(KEPT_MAX);
	if (!t->kept)
		return;
	data += given;
	n -= given;
	if (n > KEPT_MAX - t->n_kept)
		n = KEPT_MAX - t->n_kept;
	memcpy(t->kept + t->n_kept, data, n);
	t->n_kept += n;
}

bool br_sim_terminal_waits(const struct br_sim_terminal *t)
{
	return t->n_kept;
}

void br_sim_terminal_flush(struct br_sim_terminal *t)
{
	size_t given = t->n_kept && t->out_fd >= 0 ? give(t, t->kept, t->n_kept) : 0;

	if (!given || t->n_kept < given) /* the client is gone, and what was kept for it */
		return;
	t->n_kept -= given;
	memmove(t->kept, t->kept + given, t->n_kept);
}
