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
#include "nfs/tasks.h"

#define EVENTS           1024
#define ACCEPTS_PER_TURN 64
#define BYTES_MAX        (512u << 20) /* in all buffers of connections of all workers together */
#define SWEEP_NS         BR_S

int br_nfs_worker_init(struct br_nfs_worker *w, struct br_nfs_core *core, struct br_nfs_jobs *jobs)
{
	int r;

	memset(w, 0, offsetof(struct br_nfs_worker, scratch));
	w->core = core;
	w->jobs = jobs;
	w->peers = w;
	w->n_peers = 1;
	w->inbox_last = &w->inbox;
	pthread_mutex_init(&w->inbox_lock, NULL);
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
		if (c->n_held || c->n_late) { /* a job will ask for it */
			c->next_dead = w->dead;
			w->dead = c;
		} else {
			br_nfs_conn_free(c);
		}
	}
}

void br_nfs_worker_done(struct br_nfs_worker *w)
{
	while (w->oldest)
		br_nfs_conn_kill(w, w->oldest);
	br_nfs_tasks_done(w);
	free_dead(w);
	for (unsigned i = 0; i < w->n_sockets; i++)
		close(w->sockets[i].fd);
	br_closep(&w->wake.fd);
	br_closep(&w->epoll_fd);
	pthread_mutex_destroy(&w->inbox_lock);
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

static void wake(struct br_nfs_worker *w)
{
	uint64_t one = 1;

	(void)!write(w->wake.fd, &one, sizeof(one)); /* fails only when it is set already */
}

void br_nfs_worker_stop(struct br_nfs_worker *w)
{
	pthread_mutex_lock(&w->inbox_lock);
	w->stop = true;
	pthread_mutex_unlock(&w->inbox_lock);
	wake(w);
}

void br_nfs_worker_post(struct br_nfs_worker *w, struct br_nfs_task *task)
{
	bool first;

	task->next = NULL;
	pthread_mutex_lock(&w->inbox_lock);
	first = !w->inbox;
	*w->inbox_last = task;
	w->inbox_last = &task->next;
	/* inside of the lock: once it has its last task, the worker may end */
	if (first)
		wake(w);
	pthread_mutex_unlock(&w->inbox_lock);
}

/* Empties the bell before the inbox is looked at. */
static void on_wake(struct br_nfs_worker *w)
{
	uint64_t n;

	(void)!read(w->wake.fd, &n, sizeof(n));
	pthread_mutex_lock(&w->inbox_lock);
	w->stopping = w->stop;
	pthread_mutex_unlock(&w->inbox_lock);
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

void br_nfs_worker_adopt(struct br_nfs_worker *w, int fd, uint32_t ip, uint16_t port, unsigned services)
{
	if (make_place(w, ip))
		br_nfs_conn_new(w, fd, ip, port, services);
	else
		close(fd);
}

static void on_listener(struct br_nfs_worker *w, const struct br_nfs_socket *s)
{
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_in from = { 0 };
		socklen_t len = sizeof(from);
		int fd = accept4(
			s->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		uint32_t ip = ntohl(from.sin_addr.s_addr);
		struct br_nfs_worker *to = &w->peers[ip % w->n_peers]; /* boards have addresses in a row */

		if (fd < 0 && (errno == EMFILE || errno == ENFILE) && close_idle(w, 0))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				pause_accept(w, true); /* until the next sweep */
			return;
		}
		if (to == w)
			br_nfs_worker_adopt(w, fd, ip, ntohs(from.sin_port), s->services);
		else
			br_nfs_tasks_adopt(to, fd, ip, ntohs(from.sin_port), s->services);
	}
}

static void dispatch(struct br_nfs_worker *w, struct epoll_event *ev)
{
	enum br_nfs_source_kind kind = *(enum br_nfs_source_kind *)ev->data.ptr;

	switch (kind) {
	case BR_NFS_WAKE:
		on_wake(w);
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

void br_nfs_worker_flush_later(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	if (c->flushing)
		return;
	c->flushing = true;
	c->next_flushing = w->flushing;
	w->flushing = c;
}

static void flush_all(struct br_nfs_worker *w)
{
	struct br_nfs_conn *next;

	for (struct br_nfs_conn *c = br_take(w->flushing); c; c = next) {
		next = c->next_flushing;
		c->flushing = false;
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

	for (struct br_nfs_conn *c = w->oldest; c && w->bytes > BYTES_MAX / w->n_peers; c = newer) {
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

static void close_all(struct br_nfs_worker *w)
{
	while (w->oldest)
		br_nfs_conn_kill(w, w->oldest);
}

void br_nfs_worker_run(struct br_nfs_worker *w)
{
	static _Thread_local struct epoll_event events[EVENTS];

	do {
		int n = epoll_wait(w->epoll_fd, events, EVENTS, timeout_ms(w));

		w->now_ns = br_now_ns();
		for (int i = 0; i < n; i++)
			if (!w->stopping || events[i].data.ptr == &w->wake)
				dispatch(w, &events[i]);
		br_nfs_tasks_done(w);
		if (w->stopping)
			close_all(w);
		resume_all(w);
		br_nfs_tasks_commit(w);
		flush_all(w);
		relieve_memory(w);
		if (w->now_ns - w->swept_ns >= SWEEP_NS)
			sweep(w);
		free_dead(w);
	} while (!w->stopping || w->n_tasks);
}
