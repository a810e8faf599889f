/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "nfs/tasks.h"

#define OUT_MAX           (4u << 20) /* bytes of replies queued before a connection is read no further */
#define HELD_MAX          4096       /* calls of one connection in one commit */
#define LATE_MAX          16          /* calls of one connection that wait for slow work */
#define KEEP_RECORD       (64u << 10) /* a record buffer of this size stays for the next record */
#define RECORD_TIMEOUT_NS (60 * BR_S) /* from a record's first byte to its last */
#define OUT_TIMEOUT_NS    (60 * BR_S) /* without a byte taken */
#define SEND_IOV          128

static bool full(const struct br_nfs_conn *c)
{
	return c->out_bytes >= OUT_MAX || c->n_held >= HELD_MAX || c->n_late >= LATE_MAX;
}

bool br_nfs_conn_idle(const struct br_nfs_conn *c)
{
	return !c->record_since_ns && !c->out_first && !c->n_held && !c->n_late && !c->backlog;
}

bool br_nfs_conn_overdue(const struct br_nfs_conn *c, uint64_t now_ns)
{
	if (c->record_since_ns && !full(c) && now_ns - c->record_since_ns > RECORD_TIMEOUT_NS)
		return true;
	return c->out_first && now_ns - c->out_since_ns > OUT_TIMEOUT_NS;
}

static void unlink_by_age(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	*(c->older ? &c->older->newer : &w->oldest) = c->newer;
	*(c->newer ? &c->newer->older : &w->newest) = c->older;
}

static void link_newest(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	c->older = w->newest;
	c->newer = NULL;
	*(w->newest ? &w->newest->newer : &w->oldest) = c;
	w->newest = c;
}

static void touch(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	if (w->newest == c)
		return;
	unlink_by_age(w, c);
	link_newest(w, c);
}

/* A board that lost power says nothing: the kernel has to find out. */
static void set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, 60 },
		{ IPPROTO_TCP, TCP_KEEPINTVL, 15 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 4 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(options); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

int br_nfs_conn_new(struct br_nfs_worker *w, int fd, uint32_t ip, uint16_t port, unsigned services)
{
	struct br_nfs_conn *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	struct sockaddr_in local = { 0 };
	socklen_t len = sizeof(local);

	if (!c || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = c ? -errno : -ENOMEM;

		close(fd);
		free(c);
		return r;
	}
	set_options(fd);
	getsockname(fd, (struct sockaddr *)&local, &len);
	c->kind = BR_NFS_CONN;
	c->fd = fd;
	c->services = services;
	c->ip = ip;
	c->port = port;
	c->local_ip = ntohl(local.sin_addr.s_addr);
	c->events = EPOLLIN;
	c->out_last = &c->out_first;
	link_newest(w, c);
	w->n_conns++;
	return 0;
}

void br_nfs_conn_kill(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	/* not left to close(): a child of another thread between fork and exec would keep epoll's
	 * entry alive */
	epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	c->fd = -1;
	unlink_by_age(w, c);
	w->n_conns--;
	w->n_waiting -= c->waiting;
	w->bytes -= c->record_cap + c->backlog_len + c->out_bytes;
	c->next_dead = w->dead;
	w->dead = c;
}

void br_nfs_conn_free(struct br_nfs_conn *c)
{
	struct br_nfs_reply *next;

	for (struct br_nfs_reply *r = c->out_first; r; r = next) {
		next = r->next;
		br_nfs_reply_free(r);
	}
	free(c->record);
	free(c->backlog);
	free(c);
}

void br_nfs_conn_queue(struct br_nfs_worker *w, struct br_nfs_conn *c, struct br_nfs_reply *reply)
{
	if (c->dead) {
		br_nfs_reply_free(reply);
		return;
	}
	if (!c->out_first)
		c->out_since_ns = w->now_ns;
	reply->next = NULL;
	*c->out_last = reply;
	c->out_last = &reply->next;
	c->out_bytes += reply->len;
	w->bytes += reply->len;
}

int br_nfs_conn_answer(struct br_nfs_worker *w, struct br_nfs_conn *c, int answer, struct br_nfs_reply *reply)
{
	switch (answer) {
	case BR_NFS_REPLY:
		br_nfs_conn_queue(w, c, reply);
		return 0;
	case BR_NFS_HELD:
		reply->owner = c;
		c->n_held++;
		return 0;
	case BR_NFS_SILENT:
		return 0;
	}
	return answer;
}

static int on_record(
	struct br_nfs_worker *w, struct br_nfs_conn *c, const uint8_t *data, size_t len)
{
	struct br_nfs_request req = {
		.ip = c->ip,
		.port = c->port,
		.local_ip = c->local_ip,
		.services = c->services,
		.data = data,
		.len = len,
		.now_ns = w->now_ns,
		.wall_ns = br_wall_ns(),
	};
	struct br_nfs_reply *reply = NULL;
	int r = br_nfs_core_call(w->core, &req, &reply);

	touch(w, c);
	return r == BR_NFS_LATER ? br_nfs_tasks_call(w, c, &req) : br_nfs_conn_answer(w, c, r, reply);
}

/* Room for the rest of the fragment. Memory that is not written to costs nothing, so a lying length
 * costs nothing. */
static int make_room(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	size_t need = c->record_len + c->fragment_left;
	uint8_t *p;

	if (need <= c->record_cap)
		return 0;
	p = realloc(c->record, need);
	if (!p)
		return -ENOMEM;
	w->bytes += need - c->record_cap;
	c->record = p;
	c->record_cap = need;
	return 0;
}

static int end_fragment(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	int r;

	c->in_fragment = false;
	c->n_mark = 0;
	if (!c->last_fragment)
		return 0;
	c->record_since_ns = 0;
	r = on_record(w, c, c->record, c->record_len);
	c->record_len = 0;
	if (c->record_cap > KEEP_RECORD) {
		w->bytes -= c->record_cap;
		free(c->record);
		c->record = NULL;
		c->record_cap = 0;
	}
	return r;
}

/* Takes bytes of a record mark. */
static size_t take_mark(
	struct br_nfs_worker *w, struct br_nfs_conn *c, const uint8_t *p, size_t len)
{
	size_t n = sizeof(c->mark) - c->n_mark;

	if (n > len)
		n = len;
	memcpy(c->mark + c->n_mark, p, n);
	c->n_mark += (unsigned)n;
	if (!c->record_since_ns)
		c->record_since_ns = w->now_ns;
	return n;
}

/* The mark is complete. -EMSGSIZE: more than a call can have. */
static int begin_fragment(struct br_nfs_conn *c)
{
	c->fragment_left = br_rpc_load_mark(c->mark, &c->last_fragment);
	c->in_fragment = true;
	return c->fragment_left > BR_NFS_CALL_MAX - c->record_len ? -EMSGSIZE : 0;
}

/* Takes bytes of a fragment: a whole record that is here in one piece is answered where it lies. */
static int take_fragment(
	struct br_nfs_worker *w, struct br_nfs_conn *c, const uint8_t *p, size_t len, size_t *ret_n)
{
	size_t n = c->fragment_left < len ? c->fragment_left : len;
	int r;

	*ret_n = n;
	if (n == c->fragment_left && c->last_fragment && !c->record_len) {
		c->in_fragment = false;
		c->n_mark = 0;
		c->record_since_ns = 0;
		return on_record(w, c, p, n);
	}
	r = make_room(w, c);
	if (r < 0)
		return r;
	if (n)
		memcpy(c->record + c->record_len, p, n);
	c->record_len += n;
	c->fragment_left -= (uint32_t)n;
	return c->fragment_left ? 0 : end_fragment(w, c);
}

/* Takes bytes of the stream until they end or there is no room for more replies. *ret_n: bytes
 * taken. */
static int feed(
	struct br_nfs_worker *w, struct br_nfs_conn *c, const uint8_t *p, size_t len, size_t *ret_n)
{
	size_t done = 0, n;
	int r = 0;

	while (r == 0 && done < len && !full(c)) {
		if (c->in_fragment) {
			r = take_fragment(w, c, p + done, len - done, &n);
		} else {
			n = take_mark(w, c, p + done, len - done);
			if (c->n_mark == sizeof(c->mark))
				r = begin_fragment(c);
			if (r == 0 && c->in_fragment && !c->fragment_left)
				r = end_fragment(w, c); /* an empty one ends where it begins */
		}
		done += n;
	}
	*ret_n = done;
	return r;
}

static int keep_backlog(
	struct br_nfs_worker *w, struct br_nfs_conn *c, const uint8_t *p, size_t len)
{
	uint8_t *copy = len ? malloc(len) : NULL;

	if (len && !copy)
		return -ENOMEM;
	if (len)
		memcpy(copy, p, len);
	w->bytes += len;
	w->bytes -= c->backlog_len;
	free(c->backlog);
	c->backlog = copy;
	c->backlog_len = len;
	return 0;
}

static int feed_and_keep(
	struct br_nfs_worker *w, struct br_nfs_conn *c, const uint8_t *p, size_t len)
{
	size_t n;
	int r = feed(w, c, p, len, &n);

	return r < 0 ? r : keep_backlog(w, c, p + n, len - n);
}

/* The rest of a fragment goes straight to its record, what follows to the scratch buffer of the
 * worker. */
static int receive(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	struct iovec iov[2] = { { 0 }, { w->scratch, sizeof(w->scratch) } };
	bool direct = c->in_fragment && c->record_cap - c->record_len >= c->fragment_left &&
		      c->fragment_left;
	struct msghdr msg = { .msg_iov = direct ? iov : iov + 1, .msg_iovlen = direct ? 2 : 1 };
	size_t first = 0;
	ssize_t n;
	int r = 0;

	if (direct)
		iov[0] = (struct iovec){ c->record + c->record_len, c->fragment_left };
	n = recvmsg(c->fd, &msg, 0);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (direct) {
		first = (size_t)n < iov[0].iov_len ? (size_t)n : iov[0].iov_len;
		c->record_len += first;
		c->fragment_left -= (uint32_t)first;
		if (!c->fragment_left)
			r = end_fragment(w, c);
	}
	return r < 0 ? r : feed_and_keep(w, c, w->scratch, (size_t)n - first);
}

static void drop_sent(struct br_nfs_worker *w, struct br_nfs_conn *c, size_t n)
{
	c->out_since_ns = w->now_ns;
	while (c->out_first) {
		struct br_nfs_reply *reply = c->out_first;
		size_t left = reply->len - c->out_sent;

		if (n < left) {
			c->out_sent += n;
			return;
		}
		n -= left;
		c->out_sent = 0;
		c->out_bytes -= reply->len;
		w->bytes -= reply->len;
		c->out_first = reply->next;
		if (!c->out_first)
			c->out_last = &c->out_first;
		br_nfs_reply_free(reply);
	}
}

/* What of a reply is still to send, as pieces; skip: bytes of it that are gone. Fewer pieces than there are when the
 * room ends: the rest goes with the next call. */
static unsigned pieces_of(const struct br_nfs_reply *reply, size_t skip, struct iovec *iov, unsigned room)
{
	static const uint8_t zeros[4];
	const struct br_fs_map *tail = reply->tail;
	unsigned n_all = tail ? tail->n + 2 : 1, n = 0;

	for (unsigned i = 0; i < n_all && n < room; i++) {
		struct iovec one;

		if (i == 0)
			one = (struct iovec){ (void *)reply->data, reply->data_len };
		else if (i <= tail->n)
			one = (struct iovec){ (void *)tail->pieces[i - 1].p, tail->pieces[i - 1].len };
		else
			one = (struct iovec){ (void *)zeros, reply->len - reply->data_len - tail->len };
		if (skip >= one.iov_len) {
			skip -= one.iov_len;
			continue;
		}
		iov[n++] = (struct iovec){ (uint8_t *)one.iov_base + skip, one.iov_len - skip };
		skip = 0;
	}
	return n;
}

static int transmit(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	while (c->out_first) {
		struct iovec iov[SEND_IOV];
		struct msghdr msg = { .msg_iov = iov };
		size_t skip = c->out_sent;
		ssize_t n;

		for (struct br_nfs_reply *r = c->out_first; r && msg.msg_iovlen < SEND_IOV;
			r = r->next) {
			msg.msg_iovlen += pieces_of(
				r, skip, iov + msg.msg_iovlen, SEND_IOV - (unsigned)msg.msg_iovlen);
			skip = 0;
		}
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		drop_sent(w, c, (size_t)n);
	}
	return 0;
}

static int want_events(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	struct epoll_event ev = { .data.ptr = c };

	if (!full(c) && !c->backlog)
		ev.events |= EPOLLIN;
	if (c->out_first)
		ev.events |= EPOLLOUT;
	if (ev.events == c->events)
		return 0;
	c->events = ev.events;
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) < 0 ? -errno : 0;
}

void br_nfs_conn_flush(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	bool waiting;

	if (c->dead)
		return;
	if (transmit(w, c) < 0 || want_events(w, c) < 0) {
		br_nfs_conn_kill(w, c);
		return;
	}
	waiting = c->record_since_ns || c->out_first;
	w->n_waiting += waiting;
	w->n_waiting -= c->waiting;
	c->waiting = waiting;
	if (c->backlog && !full(c) && !c->resuming) {
		c->resuming = true;
		c->next_resuming = w->resuming;
		w->resuming = c;
	}
}

void br_nfs_conn_resume(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	uint8_t *backlog = c->backlog;
	size_t len = c->backlog_len;
	int r;

	if (c->dead || !backlog)
		return;
	c->backlog = NULL;
	c->backlog_len = 0;
	r = feed_and_keep(w, c, backlog, len);
	w->bytes -= len;
	free(backlog);
	if (r < 0)
		br_nfs_conn_kill(w, c);
	else
		br_nfs_conn_flush(w, c);
}

void br_nfs_conn_on_events(struct br_nfs_worker *w, struct br_nfs_conn *c, uint32_t events)
{
	int r = 0;

	if (c->dead)
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !full(c) && !c->backlog)
		r = receive(w, c);
	else if (events & (EPOLLHUP | EPOLLERR))
		r = -ECONNRESET;
	if (r < 0)
		br_nfs_conn_kill(w, c);
	else
		br_nfs_conn_flush(w, c);
}
