/* SPDX-License-Identifier: Apache-2.0 */
/* Serial lines, terminal servers and sockets: how each is opened. */
#include "console/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CONNECT_MS 5000

static const struct {
	uint32_t speed;
	speed_t code;
} speeds[] = {
	{ 50, B50 }, { 75, B75 }, { 110, B110 }, { 134, B134 }, { 150, B150 }, { 200, B200 }, { 300, B300 },
	{ 600, B600 }, { 1200, B1200 }, { 1800, B1800 }, { 2400, B2400 }, { 4800, B4800 }, { 9600, B9600 },
	{ 19200, B19200 }, { 38400, B38400 }, { 57600, B57600 }, { 115200, B115200 }, { 230400, B230400 },
	{ 460800, B460800 }, { 500000, B500000 }, { 576000, B576000 }, { 921600, B921600 }, { 1000000, B1000000 },
	{ 1152000, B1152000 }, { 1500000, B1500000 }, { 2000000, B2000000 }, { 2500000, B2500000 },
	{ 3000000, B3000000 }, { 3500000, B3500000 }, { 4000000, B4000000 },
};

/* B0, which hangs up: there is no such speed. */
static speed_t speed_code(uint32_t speed)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(speeds); i++) {
		if (speeds[i].speed == speed)
			return speeds[i].code;
	}
	return B0;
}

bool br_link_speed_ok(uint32_t speed)
{
	return speed_code(speed) != B0;
}

static int tty_trouble(const char *path, int code, struct br_error *err)
{
	if (code == ENOENT || code == ENXIO || code == ENODEV)
		return br_error_set(err, code, "%s: there is no such device now; is the adapter plugged in?", path);
	if (code == EACCES || code == EPERM)
		return br_error_set(err, code, "%s: permission denied; put the daemon's user into the device's group: 'usermod -aG "
			"dialout bramble', then restart bramble", path);
	return br_error_set(err, code, "%s: %s", path, strerrordesc_np(code));
}

/* 8N1, no flow control, no modem lines: what boards' UARTs have. */
static int set_line(int fd, const struct br_console_uri *uri, struct br_error *err)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return br_error_set(err, errno, "%s: is no serial line: %s", uri->path, strerrordesc_np(errno));
	cfmakeraw(&t);
	t.c_cflag &= ~(tcflag_t)(CSTOPB | PARENB | CRTSCTS | HUPCL);
	t.c_cflag |= CLOCAL | CREAD | CS8;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (cfsetspeed(&t, speed_code(uri->speed)) < 0 || tcsetattr(fd, TCSANOW, &t) < 0)
		return br_error_set(err, errno, "%s: cannot be set to %u bits a second: %s", uri->path, uri->speed,
			strerrordesc_np(errno));
	return 0;
}

static int open_tty(const struct br_console_uri *uri, struct br_error *err)
{
	br_cleanup(br_closep) int fd = open(uri->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0)
		return tty_trouble(uri->path, errno, err);
	/* as minicom, picocom and the like do: two readers would each get half */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return br_error_set(err, EBUSY, "%s: another program has it open; 'fuser -v %s' says which", uri->path, uri->path);
	r = set_line(fd, uri, err);
	return r < 0 ? r : br_take_fd(fd);
}

/* 0, or why not as a negative errno. */
static int wait_connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int n, code = 0;

	do
		n = poll(&p, 1, CONNECT_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
		return -errno;
	return -code;
}

/* A terminal server that lost its power says nothing: the kernel is to ask. */
static void keep_alive(int fd)
{
	const struct {
		int level, name, value;
	} wishes[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 10 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 5 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 3 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 20000 },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(wishes); i++) /* the connection is of use without them, too */
		(void)setsockopt(fd, wishes[i].level, wishes[i].name, &wishes[i].value, sizeof(int));
}

static int connect_one(const struct addrinfo *a)
{
	br_cleanup(br_closep) int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = connect(fd, a->ai_addr, a->ai_addrlen) < 0 ? -errno : 0;
	if (r == -EINPROGRESS)
		r = wait_connected(fd);
	if (r < 0)
		return r;
	keep_alive(fd);
	return br_take_fd(fd);
}

static int open_tcp(const struct br_console_uri *uri, struct br_error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char port[8];
	int r;

	snprintf(port, sizeof(port), "%u", uri->port);
	r = getaddrinfo(uri->host, port, &hints, &list);
	if (r)
		return br_error_set(err, EHOSTUNREACH, "%s: the name cannot be looked up: %s", uri->host, gai_strerror(r));
	r = -EHOSTUNREACH;
	for (const struct addrinfo *a = list; a && r < 0; a = a->ai_next)
		r = connect_one(a);
	freeaddrinfo(list);
	if (r == -ECONNREFUSED)
		return br_error_set(err, ECONNREFUSED, "%s port %u: nobody listens there; is the terminal server up?", uri->host, uri->port);
	if (r == -ETIMEDOUT)
		return br_error_set(err, ETIMEDOUT, "%s port %u: no answer within %d s", uri->host, uri->port, CONNECT_MS / 1000);
	return r < 0 ? br_error_set(err, -r, "%s port %u: %s", uri->host, uri->port, strerrordesc_np(-r)) : r;
}

static int open_unix(const struct br_console_uri *uri, struct br_error *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	br_cleanup(br_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);

	if (fd < 0)
		return br_error_set(err, errno, "socket: %s", strerrordesc_np(errno));
	snprintf(to.sun_path, sizeof(to.sun_path), "%.*s", (int)sizeof(to.sun_path) - 1, uri->path);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return br_error_set(err, errno, "%s: nobody listens there; does the virtual board run?", uri->path);
		return br_error_set(err, errno, "%s: %s", uri->path, strerrordesc_np(errno));
	}
	/* who may write on a console would command the daemon by its own socket */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid == getpid())
		return br_error_set(err, EPERM, "%s: is bramble's own socket, and no console", uri->path);
	return br_take_fd(fd);
}

int br_link_open(const struct br_console_uri *uri, struct br_error *err)
{
	switch (uri->kind) {
	case BR_CONSOLE_TTY:
		return open_tty(uri, err);
	case BR_CONSOLE_UNIX:
		return open_unix(uri, err);
	case BR_CONSOLE_RFC2217:
	case BR_CONSOLE_TELNET:
	case BR_CONSOLE_TCP:
		return open_tcp(uri, err);
	case BR_CONSOLE_NETCONSOLE:
		break;
	}
	return br_error_set(err, EINVAL, "netconsole has no connection");
}
