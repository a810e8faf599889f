/* SPDX-License-Identifier: Apache-2.0 */
/* TCP: syslog and bramble-log. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "syslog/receiver_priv.h"

#define READ_BYTES 65536 /* of one connection before the others have their turn */
#define MAX_CONNECTIONS 1024
#define OF_ONE_ADDRESS 16 /* a sixteenth of them */
#define NO_DESCRIPTOR_MS 10
#define IDLE_NS (60 * BR_S) /* who says nothing for so long may have to make room */

static void keep_alive(int fd)
{
	int on = 1, idle = 60, interval = 20, count = 3;

	/* a board that lost its power says nothing more; what cannot be set costs a place for longer */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* ---- lines ---- */

/* "bramble-log 1 STREAM" */
static void take_name(struct br_receiver_conn *c, const char *data, size_t n)
{
	static const char head[] = "bramble-log 1 ";
	size_t at = sizeof(head) - 1;

	c->named = true;
	if (n <= at || memcmp(data, head, at) != 0)
		return; /* somebody's own 'nc': the first line is one, too */
	n -= at;
	n -= data[at + n - 1] == '\r';
	n = n < BR_LOGS_STREAM_MAX ? n : BR_LOGS_STREAM_MAX;
	memcpy(c->name, data + at, n);
	c->name[n] = 0;
}

struct taking {
	struct br_receiver *rx;
	struct br_receiver_conn *conn;
};

static void take_frame(void *ctx, const char *data, size_t n, bool cut)
{
	struct taking *t = ctx;
	struct br_receiver *rx = t->rx;
	struct br_receiver_conn *c = t->conn;
	const struct br_sender *from = br_senders_find(rx->senders, c->ip, rx->now_ns);
	bool first = !c->named;

	if (!from)
		return;
	if (!c->stream) {
		br_receiver_message(rx, from, 0, data, n);
		return;
	}
	if (first)
		take_name(c, data, n);
	if (first && c->name[0])
		return;
	rx->opt.ops->line(rx->opt.ctx, &(struct br_logs_line){
		.board_id = from->board_id,
		.ip = from->ip,
		.source = BR_LOGS_STREAM,
		.severity = BR_LOGS_NO_SEVERITY,
		.stream = c->name,
		.n_stream = strlen(c->name),
		.text = data,
		.n_text = n,
	});
}

/* ---- connections ---- */

static void shut(struct br_receiver *rx, struct br_receiver_conn *c)
{
	struct taking t = { rx, c };

	if (c->dead)
		return;
	br_frames_end(&c->frames, take_frame, &t);
	close(c->source.fd);
	c->dead = true;
	rx->n_conns--;
	atomic_fetch_sub(&rx->n_open, 1);
}

void br_receiver_bury(struct br_receiver *rx)
{
	struct br_receiver_conn *next;

	for (struct br_receiver_conn *c = rx->conns; c; c = next) {
		next = c->next;
		if (!c->dead)
			continue;
		if (c->prev)
			c->prev->next = next;
		else
			rx->conns = next;
		if (next)
			next->prev = c->prev;
		free(c);
	}
}

void br_receiver_close_all(struct br_receiver *rx)
{
	for (struct br_receiver_conn *c = rx->conns; c; c = c->next)
		shut(rx, c);
	br_receiver_bury(rx);
}

static bool is_board(struct br_receiver *rx, uint32_t ip)
{
	const struct br_sender *sender = br_senders_find(rx->senders, ip, rx->now_ns);

	return sender && sender->board_id;
}

/* For a board: the stranger's connection that is silent longest. NULL: there is none. */
static struct br_receiver_conn *of_a_stranger(struct br_receiver *rx, uint32_t ip)
{
	struct br_receiver_conn *found = NULL;

	if (!is_board(rx, ip))
		return NULL;
	for (struct br_receiver_conn *c = rx->conns; c; c = c->next) {
		if (!c->dead && (!found || c->used_ns < found->used_ns) && !is_board(rx, c->ip))
			found = c;
	}
	return found;
}

/* A place for one more of that address: where there is none, of the one that is silent longest, if that is long. A board gets a
 * stranger's all the same. */
static bool make_room(struct br_receiver *rx, uint32_t ip)
{
	unsigned max = rx->opt.max_connections ? rx->opt.max_connections : MAX_CONNECTIONS, own = 0;
	unsigned own_max = max / OF_ONE_ADDRESS ? max / OF_ONE_ADDRESS : 1;
	struct br_receiver_conn *idle = NULL, *own_idle = NULL;

	for (struct br_receiver_conn *c = rx->conns; c; c = c->next) {
		bool old = !c->dead && rx->now_ns - c->used_ns >= IDLE_NS;

		own += !c->dead && c->ip == ip;
		if (old && (!idle || c->used_ns < idle->used_ns))
			idle = c;
		if (old && c->ip == ip && (!own_idle || c->used_ns < own_idle->used_ns))
			own_idle = c;
	}
	if (own < own_max && rx->n_conns < max)
		return true;
	idle = own >= own_max ? own_idle : idle ? idle : of_a_stranger(rx, ip);
	if (idle)
		shut(rx, idle);
	return idle != NULL;
}

static int add(struct br_receiver *rx, const struct br_receiver_source *listener, int fd, uint32_t ip)
{
	struct br_receiver_conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

	if (!c)
		return -ENOMEM;
	c->source = (struct br_receiver_source){ .kind = BR_RX_CONN, .fd = fd };
	c->ip = ip;
	c->stream = listener->kind == BR_RX_STREAM_TCP;
	c->frames.counted = !c->stream;
	c->used_ns = rx->now_ns;
	if (epoll_ctl(rx->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(c);
		return -errno;
	}
	c->next = rx->conns;
	if (c->next)
		c->next->prev = c;
	rx->conns = c;
	rx->n_conns++;
	atomic_fetch_add(&rx->n_open, 1);
	return 0;
}

void br_receiver_accept(struct br_receiver *rx, const struct br_receiver_source *listener)
{
	struct sockaddr_in from = { 0 };
	socklen_t n = sizeof(from);
	int fd = accept4(listener->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uint32_t ip = ntohl(from.sin_addr.s_addr);

	if (fd < 0) {
		/* it waits still, and epoll says so at once: not all of the processor for it */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			poll(NULL, 0, NO_DESCRIPTOR_MS);
		return;
	}
	if (!make_room(rx, ip) || add(rx, listener, fd, ip) < 0) {
		atomic_fetch_add(&rx->n_refused, 1);
		close(fd);
		return;
	}
	keep_alive(fd);
}

void br_receiver_read(struct br_receiver *rx, struct br_receiver_conn *c)
{
	static _Thread_local char buf[READ_BYTES];
	struct taking t = { rx, c };
	ssize_t n = c->dead ? -1 : recv(c->source.fd, buf, sizeof(buf), 0);

	if (c->dead || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	if (n <= 0) {
		shut(rx, c);
		return;
	}
	c->used_ns = rx->now_ns;
	atomic_fetch_add(&rx->n_bytes, (uint64_t)n);
	br_frames_feed(&c->frames, buf, (size_t)n, take_frame, &t);
}
