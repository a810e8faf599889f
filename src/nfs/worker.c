/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define EVENTS           1024
#define ACCEPTS_PER_TURN 64
#define BYTES_MAX        (512u << 20) /* in all buffers of connections together */
#define SWEEP_NS         BR_S

int br_nfs_worker_init(struct br_nfs_worker *w, struct br_nfs_core *core)
{
	int r;

	memset(w, 0, offsetof(struct br_nfs_worker, scratch));
	w->core = core;
	w->wake.fd = -1;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0)
		return -errno;
	r = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r < 0) {
		r = -errno;
	} else {
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &w->wake };

		w->wake = (struct br_nfs_socket){ .kind = BR_NFS_WAKE, .fd = r };
		r = epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake.fd, &ev) < 0 ? -errno : 0;
	}
	if (r < 0)
		br_nfs_worker_done(w);
	return r;
}

static void free_dead(struct br_nfs_worker *w)
{
	struct br_nfs_conn *next;

	for (struct br_nfs_conn **at = &w->resuming; w->dead && *at;) {
		if ((*at)->dead)
			*at = (*at)->next_resuming;
		else
			at = &(*at)->next_resuming;
	}
	for (struct br_nfs_conn *c = br_take(w->dead); c; c = next) {
		next = c->next_dead;
		br_nfs_conn_free(c);
	}
}

void br_nfs_worker_done(struct br_nfs_worker *w)
{
	while (w->oldest)
		br_nfs_conn_kill(w, w->oldest);
	free_dead(w);
	for (unsigned i = 0; i < w->n_sockets; i++)
		close(w->sockets[i].fd);
	br_closep(&w->wake.fd);
	br_closep(&w->epoll_fd);
}

int br_nfs_worker_add(
	struct br_nfs_worker *w, enum br_nfs_source_kind kind, int fd, unsigned services)
{
	struct br_nfs_socket *s = &w->sockets[w->n_sockets];
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };

	*s = (struct br_nfs_socket){ .kind = kind, .fd = fd, .services = services };
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	w->n_sockets++;
	return 0;
}

void br_nfs_worker_stop(struct br_nfs_worker *w)
{
	uint64_t one = 1;

	(void)!write(w->wake.fd, &one, sizeof(one)); /* fails only when it is set already */
}

static unsigned count_of(const struct br_nfs_worker *w, uint32_t ip)
{
	unsigned n = 0;

	for (const struct br_nfs_conn *c = w->oldest; c; c = c->newer)
		n += c->ip == ip;
	return n;
}

/* Closes the connection that did nothing for longest, of 'ip' or of anyone (0). An NFS client
 * connects again by itself. */
static bool close_idle(struct br_nfs_worker *w, uint32_t ip)
{
	for (struct br_nfs_conn *c = w->oldest; c; c = c->newer) {
		if ((ip && c->ip != ip) || !br_nfs_conn_idle(c))
			continue;
		br_nfs_conn_kill(w, c);
		return true;
	}
	return false;
}

static bool make_place(struct br_nfs_worker *w, uint32_t ip)
{
	if (count_of(w, ip) >= BR_NFS_CONNS_PER_CLIENT)
		return close_idle(w, ip);
	return w->n_conns < BR_NFS_CONNS_MAX || close_idle(w, 0);
}

/* Without descriptors a listener would report the same connection again and again. */
static void pause_accept(struct br_nfs_worker *w, bool pause)
{
	for (unsigned i = 0; i < w->n_sockets; i++) {
		struct br_nfs_socket *s = &w->sockets[i];
		struct epoll_event ev = { .events = pause ? 0 : EPOLLIN, .data.ptr = s };

		if (s->kind == BR_NFS_LISTENER)
			epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, s->fd, &ev);
	}
	w->accept_paused = pause;
}

static void on_listener(struct br_nfs_worker *w, const struct br_nfs_socket *s)
{
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_in from = { 0 };
		socklen_t len = sizeof(from);
		int fd = accept4(
			s->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		uint32_t ip = ntohl(from.sin_addr.s_addr);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE) && close_idle(w, 0))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				pause_accept(w, true); /* until the next sweep */
			return;
		}
		if (make_place(w, ip))
			br_nfs_conn_new(w, fd, ip, ntohs(from.sin_port), s->services);
		else
			close(fd);
	}
}

static void dispatch(struct br_nfs_worker *w, struct epoll_event *ev)
{
	enum br_nfs_source_kind kind = *(enum br_nfs_source_kind *)ev->data.ptr;

	switch (kind) {
	case BR_NFS_WAKE:
		break;
	case BR_NFS_LISTENER:
		on_listener(w, ev->data.ptr);
		break;
	case BR_NFS_DATAGRAMS:
		br_nfs_on_datagrams(w, ev->data.ptr);
		break;
	case BR_NFS_CONN:
		br_nfs_conn_on_events(w, ev->data.ptr, ev->events);
		break;
	}
}

static void resume_all(struct br_nfs_worker *w)
{
	struct br_nfs_conn *next;

	for (struct br_nfs_conn *c = br_take(w->resuming); c; c = next) {
		next = c->next_resuming;
		c->resuming = false;
		br_nfs_conn_resume(w, c);
	}
}

static void on_committed(void *ctx, struct br_nfs_reply *reply)
{
	struct br_nfs_conn *c = reply->owner;

	c->n_held--;
	br_nfs_conn_queue(ctx, c, reply);
}

static void commit(struct br_nfs_worker *w)
{
	struct br_nfs_conn *next;

	br_nfs_core_commit(w->core, on_committed, w);
	w->now_ns = br_now_ns();
	for (struct br_nfs_conn *c = br_take(w->committing); c; c = next) {
		next = c->next_committing;
		c->committing = false;
		br_nfs_conn_flush(w, c);
	}
}

/* Closes who makes us wait: overdue ones, and when memory runs short, the longest silent of those
 * that hold some. */
static void sweep(struct br_nfs_worker *w)
{
	struct br_nfs_conn *newer;

	for (struct br_nfs_conn *c = w->oldest; c; c = newer) {
		newer = c->newer;
		if (br_nfs_conn_overdue(c, w->now_ns))
			br_nfs_conn_kill(w, c);
	}
	if (w->accept_paused)
		pause_accept(w, false);
	br_nfs_core_report(w->core, w->now_ns);
	w->swept_ns = w->now_ns;
}

static void relieve_memory(struct br_nfs_worker *w)
{
	struct br_nfs_conn *newer;

	for (struct br_nfs_conn *c = w->oldest; c && w->bytes > BYTES_MAX; c = newer) {
		newer = c->newer;
		if (!br_nfs_conn_idle(c))
			br_nfs_conn_kill(w, c);
	}
}

static int timeout_ms(const struct br_nfs_worker *w)
{
	if (w->resuming)
		return 0;
	return w->n_waiting || w->accept_paused || br_nfs_core_report_due(w->core)
		       ? (int)(SWEEP_NS / BR_MS)
		       : -1;
}

void br_nfs_worker_run(struct br_nfs_worker *w)
{
	static _Thread_local struct epoll_event events[EVENTS];
	bool stop = false;

	while (!stop) {
		int n = epoll_wait(w->epoll_fd, events, EVENTS, timeout_ms(w));

		w->now_ns = br_now_ns();
		for (int i = 0; i < n; i++) {
			dispatch(w, &events[i]);
			stop |= events[i].data.ptr == &w->wake;
		}
		resume_all(w);
		commit(w);
		relieve_memory(w);
		if (w->now_ns - w->swept_ns >= SWEEP_NS)
			sweep(w);
		free_dead(w);
	}
}
