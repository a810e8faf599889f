/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from a line into the ring and the logs, and from the queue to the line. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "console/priv.h"

#define READ_SIZE (64u << 10)
#define IDLE_NS BR_S	      /* a prompt has no line end */
#define BREAK_NS (300 * BR_MS)
#define NC_BYTES 128	      /* U-Boot's netconsole keeps 512 bytes until it reads them */
#define NC_PAUSE_NS (20 * BR_MS)

bool br_console_is_telnet(const struct br_console *con)
{
	return con->uri.kind == BR_CONSOLE_RFC2217 || con->uri.kind == BR_CONSOLE_TELNET;
}

static void put_line(void *ctx, const char *line, size_t n)
{
	struct br_console *con = ctx;

	if (con->all->line)
		con->all->line(con->all->ctx, con->board_id, line, n);
}

void br_console_wire_idle(struct br_console *con, uint64_t now_ns)
{
	if (con->lines.n && now_ns - con->heard_ns >= IDLE_NS)
		br_lines_flush(&con->lines, put_line, con);
}

static void take_bytes(struct br_console *con, const uint8_t *data, size_t n, uint64_t now_ns)
{
	if (!n)
		return;
	con->heard_ns = now_ns;
	br_lines_take(&con->lines, data, n, put_line, con);
	pthread_mutex_lock(&con->all->lock);
	con->in += n;
	con->all->in += n;
	(void)br_ring_put(&con->ring, data, n); /* without memory there is nothing to show, but the logs */
	pthread_cond_broadcast(&con->news);
	pthread_mutex_unlock(&con->all->lock);
}

void br_console_wire_start(struct br_console *con)
{
	struct br_writer out = br_writer_of(con->wire, sizeof(con->wire));

	con->n_wire = con->wire_sent = 0;
	con->break_until_ns = 0;
	if (!br_console_is_telnet(con))
		return;
	br_telnet_start(&con->telnet, con->uri.kind == BR_CONSOLE_RFC2217, con->uri.speed, &out);
	con->n_wire = out.len;
}

/* Telnet's answers go out ahead of what people write; a server that asks without end and takes nothing is cut off. */
static int take_telnet(struct br_console *con, const uint8_t *in, size_t n, uint64_t now_ns, struct br_error *err)
{
	uint8_t data[1024], answers[1024 + BR_TELNET_EXTRA];

	while (n) {
		size_t k = n < sizeof(data) ? n : sizeof(data);
		struct br_writer d = br_writer_of(data, sizeof(data)), out = br_writer_of(answers, sizeof(answers));

		br_telnet_take(&con->telnet, in, k, &d, &out);
		take_bytes(con, data, d.len, now_ns);
		if (con->wire_sent) {
			memmove(con->wire, con->wire + con->wire_sent, con->n_wire - con->wire_sent);
			con->n_wire -= con->wire_sent;
			con->wire_sent = 0;
		}
		if (out.len > sizeof(con->wire) - con->n_wire)
			return br_error_set(err, EPROTO, "the terminal server negotiates without end");
		memcpy(con->wire + con->n_wire, answers, out.len);
		con->n_wire += out.len;
		in += k;
		n -= k;
	}
	return 0;
}

static int line_ended(const struct br_console *con, int code, struct br_error *err)
{
	if (con->uri.kind == BR_CONSOLE_TTY)
		return br_error_set(err, ENODEV, "%s: the adapter is gone%s%s", con->uri.path, code && code != EIO ? ": " : "",
			code && code != EIO ? strerrordesc_np(code) : "");
	if (!code)
		return br_error_set(err, ECONNRESET, "the other end closed the connection");
	return br_error_set(err, code, "the connection broke off: %s", strerrordesc_np(code));
}

int br_console_wire_read(struct br_console *con, uint64_t now_ns, struct br_error *err)
{
	static _Thread_local uint8_t buf[READ_SIZE];
	ssize_t n = read(con->fd, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return line_ended(con, n ? errno : 0, err);
	if (br_console_is_telnet(con))
		return take_telnet(con, buf, (size_t)n, now_ns, err);
	take_bytes(con, buf, (size_t)n, now_ns);
	return 0;
}

/* From the queue to buf: how many. */
static size_t take_queue(struct br_console *con, uint8_t *buf, size_t max)
{
	size_t n;

	pthread_mutex_lock(&con->all->lock);
	n = con->n_queue < max ? con->n_queue : max;
	if (n) {
		memcpy(buf, con->queue, n);
		memmove(con->queue, con->queue + n, con->n_queue - n);
		con->n_queue -= n;
		con->out += n;
		con->all->out += n;
		pthread_cond_broadcast(&con->news);
	}
	pthread_mutex_unlock(&con->all->lock);
	return n;
}

static bool take_break(struct br_console *con)
{
	bool wanted;

	pthread_mutex_lock(&con->all->lock);
	wanted = con->break_wanted && !con->n_queue; /* behind what was written before it */
	if (wanted)
		con->break_wanted = false;
	pthread_mutex_unlock(&con->all->lock);
	return wanted;
}

static void set_break(struct br_console *con, bool on)
{
	struct br_writer out = br_writer_of(con->wire + con->n_wire, sizeof(con->wire) - con->n_wire);

	if (con->uri.kind == BR_CONSOLE_TTY) {
		(void)ioctl(con->fd, on ? TIOCSBRK : TIOCCBRK); /* a line that has none goes on without */
		return;
	}
	br_telnet_break(&con->telnet, on, &out);
	con->n_wire += out.len;
}

/* Fills the wire from what waits. */
static void load_wire(struct br_console *con, uint64_t now_ns)
{
	uint8_t raw[sizeof(con->wire) / 2];
	struct br_writer out = br_writer_of(con->wire, sizeof(con->wire));
	size_t n;

	con->n_wire = con->wire_sent = 0;
	if (con->break_until_ns && now_ns < con->break_until_ns)
		return; /* what comes behind a BREAK must not be in it */
	if (con->break_until_ns) {
		con->break_until_ns = 0;
		set_break(con, false);
		return;
	}
	if (br_console_is_telnet(con) && con->telnet.suspended)
		return;
	n = take_queue(con, raw, sizeof(raw));
	if (br_console_is_telnet(con)) {
		br_telnet_put(&con->telnet, raw, n, &out);
		con->n_wire = out.len;
	} else {
		memcpy(con->wire, raw, n);
		con->n_wire = n;
	}
	if (!n && take_break(con)) {
		set_break(con, true);
		con->break_until_ns = now_ns + BREAK_NS;
	}
}

/* One datagram: U-Boot takes no more at a time. */
static int send_netconsole(struct br_console *con, uint64_t now_ns)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(con->uri.port) };
	size_t n;

	if (now_ns < con->pause_ns)
		return 0;
	pthread_mutex_lock(&con->all->lock);
	to.sin_addr.s_addr = htonl(con->ip);
	pthread_mutex_unlock(&con->all->lock);
	n = take_queue(con, con->wire, NC_BYTES);
	if (!n)
		return 0;
	con->pause_ns = now_ns + NC_PAUSE_NS;
	(void)sendto(con->all->udp_fd, con->wire, n, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to)); /* UDP promises nothing */
	return 0;
}

int br_console_wire_send(struct br_console *con, uint64_t now_ns, struct br_error *err)
{
	if (con->uri.kind == BR_CONSOLE_NETCONSOLE)
		return send_netconsole(con, now_ns);
	for (;;) {
		ssize_t n;

		if (con->wire_sent == con->n_wire)
			load_wire(con, now_ns);
		if (con->wire_sent == con->n_wire)
			return 0;
		n = write(con->fd, con->wire + con->wire_sent, con->n_wire - con->wire_sent);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return line_ended(con, errno, err);
		con->wire_sent += (size_t)n;
	}
}

bool br_console_wire_waits(struct br_console *con)
{
	return con->wire_sent < con->n_wire;
}
