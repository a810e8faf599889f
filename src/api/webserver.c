/* SPDX-License-Identifier: Apache-2.0 */
/* The web server: connections, its start and end. */
#include "api/webserver.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "api/live.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#define CONNECTIONS_MAX 2048
#define CONNECTIONS_OF_ONE 256
#define CONNECTION_MEMORY 32768 /* bounds line and headers: longer ones get 414 or 431 */
#define IDLE_S 60		/* nothing comes and nothing goes */
#define HEAD_NS (20 * BR_S)	/* for all of a request's head, also an idle connection's */
#define BODY_NS (60 * BR_S)
#define POOL_THREADS 8
#define POOL_WAITING 1024
#define GIVE_NS (120 * BR_S) /* for taking a large answer */

/* Threads of their own, and bytes. A page of ours has six connections at most. */
static const struct br_web_share_limits streams_limits = { .max = 64, .strangers = 32, .stranger = 8, .operator = 32 };
static const struct br_web_share_limits waits_limits = { .max = 96, .strangers = 24, .stranger = 6, .operator = 48 };
static const struct br_web_share_limits answers_limits = { .max = 256u << 20, .strangers = 96u << 20, .stranger = 24u << 20, .operator = 96u << 20 };

static void on_connection(void *cls, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct br_web *web = cls;
	struct br_web_conn *c = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		pthread_mutex_lock(&web->lock);
		if (c) {
			DL_DELETE(web->conns, c);
			web->n_conns--;
		}
		pthread_mutex_unlock(&web->lock);
		free(c);
		return;
	}
	c = calloc(1, sizeof(*c));
	*context = c;
	if (!c) /* not in the list: the library's own time limit holds */
		return;
	c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	c->since_ns = br_now_ns();
	pthread_mutex_lock(&web->lock);
	DL_APPEND(web->conns, c);
	web->n_conns++;
	pthread_mutex_unlock(&web->lock);
}

/* Who sends a byte now and then keeps his connection from being idle, and still takes too long. */
static void reap(struct br_web *web, uint64_t now_ns)
{
	struct br_web_conn *c;

	pthread_mutex_lock(&web->lock);
	DL_FOREACH(web->conns, c) {
		static const uint64_t limits[] = { [BR_WEB_HEAD] = HEAD_NS, [BR_WEB_BODY] = BODY_NS, [BR_WEB_GIVE] = GIVE_NS };

		if (!limits[c->phase] || now_ns - c->since_ns <= limits[c->phase])
			continue;
		atomic_fetch_add(&web->timed_out, 1);
		c->since_ns = now_ns; /* once */
		shutdown(c->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&web->lock);
}

/* A client that vanished is noticed also when nothing is to be sent to it. */
static void set_options(int fd)
{
	int yes = 1, idle = 30, every = 10, count = 3;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* False: there is no room for descriptors just now. */
static bool accept_some(struct br_web *web, int listen_fd)
{
	for (unsigned i = 0; i < 64; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int fd = accept4(listen_fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
		set_options(fd);
		/* the library closes it when there are too many, in all or of one address */
		if (MHD_add_connection(web->daemon, fd, (struct sockaddr *)&sa, len) == MHD_YES)
			atomic_fetch_add(&web->accepted, 1);
		else
			atomic_fetch_add(&web->refused_full, 1);
	}
	return true;
}

static void *accept_all(void *arg)
{
	struct br_web *web = arg;
	struct br_web_door *door = web->door;
	struct pollfd fds[BR_ARRAY_SIZE(door->fds) + 1] = { { .fd = web->stop_fd, .events = POLLIN } };
	uint64_t reaped_ns = br_now_ns();
	bool room = true;

	for (unsigned i = 0; i < door->n_fds; i++)
		fds[i + 1] = (struct pollfd){ .fd = door->fds[i], .events = POLLIN };
	while (!(fds[0].revents & POLLIN)) {
		uint64_t now = br_now_ns();

		if (now - reaped_ns >= BR_S) {
			reap(web, now);
			reaped_ns = now;
		}
		if (poll(fds, room ? door->n_fds + 1 : 1, room ? 1000 : 100) < 0 && errno != EINTR)
			break;
		room = true;
		for (unsigned i = 0; i < door->n_fds; i++)
			if (fds[i + 1].revents & POLLIN)
				room = accept_some(web, door->fds[i]) && room;
		for (unsigned i = 0; i < door->n_fds && !room; i++)
			fds[i + 1].revents = 0;
	}
	return NULL;
}

/* Its threads inherit the rights of the one that starts it. */
static void start_daemon(void *arg)
{
	struct br_web *web = arg;
	const struct br_web_door *door = web->door;
	unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET |
			 (door->cert ? MHD_USE_TLS : 0);
	struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, door->cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, door->key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
		{ MHD_OPTION_END, 0, NULL },
	};

	web->daemon = MHD_start_daemon(flags, 0, NULL, NULL, br_web_answer, web, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CONNECTIONS_OF_ONE, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_COMPLETED, br_web_completed, web,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, web, MHD_OPTION_ARRAY, door->cert ? tls : &tls[3], MHD_OPTION_END);
}

int br_web_start(struct br_api *api, struct br_web_door *door, struct br_web **ret, struct br_error *err)
{
	struct br_web *web = calloc(1, sizeof(*web));
	unsigned port = br_web_door_port(door);
	int r;

	if (!web) {
		br_web_door_close(door);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	web->api = api;
	web->door = door;
	br_web_shares_init(&web->pumps, &streams_limits);
	br_web_shares_init(&web->waits, &waits_limits);
	br_web_shares_init(&web->answers, &answers_limits);
	pthread_mutex_init(&web->lock, NULL);
	web->stop_fd = eventfd(0, EFD_CLOEXEC);
	r = br_web_pool_start(&web->pool, POOL_THREADS, POOL_WAITING);
	if (r >= 0 && web->stop_fd >= 0)
		r = br_thread_call(start_daemon, web);
	if (!r && web->daemon) {
		r = br_thread_start(&web->acceptor, accept_all, web);
		web->accepts = !r;
	}
	if (!web->accepts) {
		br_web_stop(web);
		return br_error_set(err, EIO, "TCP port %u (web page and API): the server does not start", port);
	}
	*ret = web;
	return 0;
}

/* Answers under way end for who takes nothing of them. */
static void cut_off(struct br_web *web)
{
	struct br_web_conn *c;

	pthread_mutex_lock(&web->lock);
	DL_FOREACH(web->conns, c)
		shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_unlock(&web->lock);
}

void br_web_stop(struct br_web *web)
{
	uint64_t one = 1;

	if (!web)
		return;
	if (web->accepts) {
		if (write(web->stop_fd, &one, sizeof(one)) < 0)
			br_log_error("web server: %s", strerror(errno));
		pthread_join(web->acceptor, NULL);
	}
	/* nothing more is begun, then what was begun ends */
	br_web_pool_stop(&web->pool);
	br_web_shares_end(&web->waits);
	cut_off(web);
	br_web_shares_end(&web->pumps);
	if (web->daemon)
		MHD_stop_daemon(web->daemon);
	br_web_pool_done(&web->pool);
	br_web_shares_done(&web->pumps);
	br_web_shares_done(&web->waits);
	br_web_shares_done(&web->answers);
	if (web->stop_fd >= 0)
		close(web->stop_fd);
	pthread_mutex_destroy(&web->lock);
	br_web_door_close(web->door);
	free(web);
}

void br_web_counts(struct br_web *web, struct br_web_counts *ret)
{
	*ret = (struct br_web_counts){
		.accepted = atomic_load(&web->accepted),
		.refused_full = atomic_load(&web->refused_full),
		.refused_guard = atomic_load(&web->refused_guard),
		.refused_scope = atomic_load(&web->refused_scope),
		.timed_out = atomic_load(&web->timed_out),
		.busy = atomic_load(&web->busy),
	};
	for (size_t i = 0; i < BR_ARRAY_SIZE(ret->requests); i++)
		ret->requests[i] = atomic_load(&web->requests[i]);
	pthread_mutex_lock(&web->lock);
	ret->connections = web->n_conns;
	pthread_mutex_unlock(&web->lock);
	ret->streams = (unsigned)br_web_shares_taken(&web->pumps);
	pthread_mutex_lock(&web->pool.lock);
	ret->waiting = web->pool.n_waiting;
	pthread_mutex_unlock(&web->pool.lock);
}
