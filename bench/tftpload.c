/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for a TFTP server: N clients at once, each fetching a file again and again until its share is done. Lock-step,
 * or windows when asked. One thread, one socket per client, epoll. Prints one line of JSON.
 *
 *   tftpload --server IP --port P --file NAME --clients N --rounds R [--blksize B] [--window W] [--verify PATH]
 *
 * With --verify every byte of each client's first fetch is compared with the local file; after that only heads are
 * copied out of the kernel (MSG_TRUNC), so that the load costs little beside the server.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "wire/tftp.h"

#define REPEAT_NS (500 * BR_MS)
#define GIVE_UP_NS (20 * BR_S)

struct client {
	int fd;
	struct sockaddr_in server; /* port 69, then the transfer's */
	unsigned left;		   /* fetches to do */
	bool connected, first;
	uint64_t next, got, heard_ns, progress_ns; /* block expected, bytes */
	unsigned blksize, window, in_window;
	uint8_t last[512]; /* what to say again */
	size_t last_len;
};

static struct {
	struct sockaddr_in server;
	const char *file;
	unsigned clients, rounds, blksize, window;
	char *content;
	size_t size;
	int epoll_fd;
	unsigned running;
	uint64_t bytes, datagrams, repeats, now_ns;
} load;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("tftpload: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void say(struct client *c, const void *data, size_t len)
{
	ssize_t n;

	memmove(c->last, data, len);
	c->last_len = len;
	n = c->connected ? send(c->fd, data, len, 0)
			 : sendto(c->fd, data, len, 0, (struct sockaddr *)&c->server, sizeof(c->server));
	if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
		die("send: %s", strerror(errno));
}

static void ack(struct client *c, uint64_t block)
{
	uint8_t buf[4];

	br_tftp_encode_ack(buf, sizeof(buf), (uint16_t)block);
	c->in_window = 0;
	say(c, buf, sizeof(buf));
}

/* A new socket for each fetch: a new port, as boards do. */
static void ask(struct client *c)
{
	struct br_tftp_request req = { .opcode = BR_TFTP_RRQ, .octet = true };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int bytes = 1 << 20, n;
	uint8_t buf[512];

	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0)
		die("epoll: %s", strerror(errno));
	c->server = load.server;
	c->connected = false;
	c->next = 1;
	c->got = 0;
	c->blksize = BR_TFTP_BLKSIZE;
	c->window = 1;
	c->heard_ns = c->progress_ns = load.now_ns;
	snprintf(req.name, sizeof(req.name), "%s", load.file);
	br_tftp_add_opt(&req.opts, BR_TFTP_OPT_TSIZE, 0);
	br_tftp_add_opt(&req.opts, BR_TFTP_OPT_BLKSIZE, load.blksize);
	if (load.window > 1)
		br_tftp_add_opt(&req.opts, BR_TFTP_OPT_WINDOWSIZE, load.window);
	n = br_tftp_encode_request(buf, sizeof(buf), &req);
	if (n < 0)
		die("name too long");
	say(c, buf, (size_t)n);
}

static void on_oack(struct client *c, const uint8_t *buf, size_t len)
{
	const struct br_tftp_opt *o;
	struct br_tftp_opts opts;

	if (c->next > 1 || br_tftp_decode_oack(buf, len, &opts) < 0)
		return;
	o = br_tftp_find_opt(&opts, BR_TFTP_OPT_BLKSIZE);
	c->blksize = o ? (unsigned)o->value : BR_TFTP_BLKSIZE;
	if (c->blksize != load.blksize)
		die("the server grants blocks of %u bytes instead of %u: not comparable", c->blksize, load.blksize);
	o = br_tftp_find_opt(&opts, BR_TFTP_OPT_WINDOWSIZE);
	c->window = o ? (unsigned)o->value : 1;
	if (load.window > 1 && c->window != load.window)
		die("the server grants windows of %u instead of %u: not comparable", c->window, load.window);
	o = br_tftp_find_opt(&opts, BR_TFTP_OPT_TSIZE);
	if (load.content && o && o->value != load.size)
		die("tsize %llu instead of %zu", (unsigned long long)o->value, load.size);
	ack(c, 0);
}

static void finished(struct client *c)
{
	if (load.content && c->got != load.size)
		die("%llu bytes instead of %zu", (unsigned long long)c->got, load.size);
	load.bytes += c->got;
	close(c->fd);
	c->fd = -1;
	c->first = false;
	if (--c->left)
		ask(c);
	else
		load.running--;
}

static void on_data(struct client *c, const uint8_t *buf, size_t copied, size_t len)
{
	uint16_t block = (uint16_t)(buf[2] << 8 | buf[3]);
	size_t n = len - BR_TFTP_HEAD;

	if (block != (uint16_t)c->next) {
		if (c->window > 1 && c->in_window) /* a gap (RFC 7440 4.) */
			ack(c, c->next - 1);
		return;
	}
	if (c->first && load.content &&
		(copied != len || c->got + n > load.size || memcmp(load.content + c->got, buf + BR_TFTP_HEAD, n) != 0))
		die("wrong bytes in block %llu", (unsigned long long)c->next);
	c->got += n;
	c->next++;
	c->heard_ns = c->progress_ns = load.now_ns;
	if (++c->in_window >= c->window || n < c->blksize)
		ack(c, c->next - 1);
	if (n < c->blksize)
		finished(c);
}

/* One datagram; false when there is none. */
static bool hear(struct client *c)
{
	static uint8_t buf[66000];
	size_t room = c->next > 1 && !c->first ? BR_TFTP_HEAD : sizeof(buf);
	socklen_t alen = sizeof(c->server);
	ssize_t n;

	if (c->fd < 0)
		return false;
	if (c->connected) {
		n = recv(c->fd, buf, room, MSG_TRUNC);
	} else {
		n = recvfrom(c->fd, buf, room, MSG_TRUNC, (struct sockaddr *)&c->server, &alen);
		if (n > 0 && connect(c->fd, (struct sockaddr *)&c->server, alen) == 0)
			c->connected = true; /* the transfer's port, from its first datagram on */
	}
	if (n < BR_TFTP_HEAD)
		return false;
	load.datagrams++;
	switch (br_tftp_peek(buf, (size_t)n)) {
	case BR_TFTP_DATA:
		on_data(c, buf, (size_t)n < room ? (size_t)n : room, (size_t)n);
		break;
	case BR_TFTP_OACK:
		on_oack(c, buf, (size_t)n);
		break;
	case BR_TFTP_ERROR:
		die("the server says error %u: %.*s", buf[3], n > 4 && room > 4 ? (int)n - 4 : 0, (char *)buf + 4);
	default:
		break;
	}
	return true;
}

static void repeat_lost(struct client *clients)
{
	for (unsigned i = 0; i < load.clients; i++) {
		struct client *c = &clients[i];

		if (c->fd < 0 || load.now_ns - c->heard_ns < REPEAT_NS)
			continue;
		if (load.now_ns - c->progress_ns > GIVE_UP_NS)
			die("client %u hears nothing for 20 seconds, at block %llu", i, (unsigned long long)c->next);
		load.repeats++;
		c->heard_ns = load.now_ns;
		say(c, c->last, c->last_len);
	}
}

static void run(struct client *clients)
{
	struct epoll_event events[256];
	uint64_t checked_ns = load.now_ns;

	while (load.running) {
		int n = epoll_wait(load.epoll_fd, events, 256, 100);

		load.now_ns = br_now_ns();
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			/* in lock-step there is one at a time */
			while (hear(c) && c->window > 1)
				;
		}
		if (load.now_ns - checked_ns > 100 * BR_MS) {
			checked_ns = load.now_ns;
			repeat_lost(clients);
		}
	}
}

static unsigned number(const char *name, const char *text, unsigned max)
{
	uint64_t v;

	if (br_parse_u64(text, 1, max, &v) < 0)
		die("--%s %s: a number from 1 to %u is wanted", name, text, max);
	return (unsigned)v;
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "server", 1, NULL, 's' }, { "port", 1, NULL, 'p' }, { "file", 1, NULL, 'f' },
		{ "clients", 1, NULL, 'c' }, { "rounds", 1, NULL, 'r' }, { "blksize", 1, NULL, 'b' },
		{ "window", 1, NULL, 'w' }, { "verify", 1, NULL, 'v' }, { 0 },
	};
	struct br_error err = BR_ERROR_NULL;
	uint32_t ip = 0x7f000001;
	unsigned port = 69;
	int o;

	load.clients = load.rounds = load.window = 1;
	load.blksize = 1468;
	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (o) {
		case 's':
			if (br_ip_parse(optarg, &ip) < 0)
				die("--server %s: no address", optarg);
			break;
		case 'p': port = number("port", optarg, 65535); break;
		case 'f': load.file = optarg; break;
		case 'c': load.clients = number("clients", optarg, 10000); break;
		case 'r': load.rounds = number("rounds", optarg, 1000000); break;
		case 'b': load.blksize = number("blksize", optarg, 65464); break;
		case 'w': load.window = number("window", optarg, 64); break;
		case 'v':
			if (br_file_read(optarg, 1u << 30, &load.content, &load.size, &err) < 0)
				die("%s", err.text);
			break;
		default: die("usage: tftpload --file NAME [--server IP] [--port P] [--clients N] [--rounds R] "
			     "[--blksize B] [--window W] [--verify PATH]");
		}
	}
	if (!load.file)
		die("--file is missing");
	load.server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(ip) };
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
	struct client *clients;
	uint64_t started_ns;
	double cpu;

	parse(argc, argv);
	clients = calloc(load.clients, sizeof(*clients));
	load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!clients || load.epoll_fd < 0)
		die("%s", strerror(errno));
	cpu = cpu_seconds();
	started_ns = load.now_ns = br_now_ns();
	load.running = load.clients;
	for (unsigned i = 0; i < load.clients; i++) {
		clients[i] = (struct client){ .fd = -1, .left = load.rounds, .first = load.content != NULL };
		ask(&clients[i]);
	}
	run(clients);
	printf("{\"seconds\": %.6f, \"bytes\": %llu, \"datagrams\": %llu, \"repeats\": %llu, \"cpu\": %.3f}\n",
		(double)(br_now_ns() - started_ns) / (double)BR_S, (unsigned long long)load.bytes,
		(unsigned long long)load.datagrams, (unsigned long long)load.repeats, cpu_seconds() - cpu);
	free(load.content);
	free(clients);
	return 0;
}
