/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that hears what boards say. */
#include "syslog/receiver.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/thread.h"
#include "syslog/message.h"
#include "syslog/receiver_priv.h"

#define TICK_MS 250 /* while a line of a netconsole is under way */
#define ROUNDS 8    /* of datagrams of one socket before the others have their turn */

/* ---- what comes ---- */

void br_receiver_message(struct br_receiver *rx, const struct br_sender *from, uint64_t wall_ns, const char *data, size_t n)
{
	struct br_syslog_message m;

	br_syslog_decode(data, n, &m);
	if (!m.well_formed)
		atomic_fetch_add(&rx->n_malformed, 1);
	rx->opt.ops->line(rx->opt.ctx, &(struct br_logs_line){
		.wall_ns = wall_ns,
		.board_id = from->board_id,
		.ip = from->ip,
		.source = BR_LOGS_SYSLOG,
		.severity = m.severity,
		.stream = m.tag,
		.n_stream = m.n_tag,
		.text = m.text,
		.n_text = m.n_text,
	});
}

struct speaking {
	struct br_receiver *rx;
	const struct br_sender *sender;
	uint64_t wall_ns; /* 0: now */
};

static void take_console_line(void *ctx, enum br_logs_source source, unsigned severity, const char *text, size_t n)
{
	const struct speaking *s = ctx;

	s->rx->opt.ops->line(s->rx->opt.ctx, &(struct br_logs_line){
		.wall_ns = s->wall_ns,
		.board_id = s->sender->board_id,
		.ip = s->sender->ip,
		.source = source,
		.severity = severity,
		.stream = "",
		.text = text,
		.n_text = n,
	});
}

static void take_console(struct br_receiver *rx, struct br_sender *from, const struct br_datagram *dg)
{
	struct speaking s = { rx, from, dg->wall_ns };

	if (rx->opt.ops->heard && from->board_id)
		rx->opt.ops->heard(rx->opt.ctx, from->board_id, from->ip, dg->data, dg->n);
	if (!from->nc)
		from->nc = calloc(1, sizeof(*from->nc));
	if (!from->nc)
		return;
	br_netconsole_take(from->nc, dg->port, dg->data, dg->n, rx->now_ns, take_console_line, &s);
	rx->partial |= from->nc->n || from->nc->parts.total;
}

static void tick_sender(void *ctx, struct br_sender *sender)
{
	struct br_receiver *rx = ctx;
	struct speaking s = { rx, sender, 0 };

	rx->partial |= !br_netconsole_tick(sender->nc, rx->now_ns, take_console_line, &s);
}

static void tick(struct br_receiver *rx)
{
	if (!rx->partial)
		return;
	rx->partial = false;
	br_senders_each(rx->senders, tick_sender, rx);
}

static void take_datagram(struct br_receiver *rx, const struct br_receiver_source *src, const struct br_datagram *dg)
{
	struct br_sender *from = br_senders_find(rx->senders, dg->ip, rx->now_ns);

	atomic_fetch_add(&rx->n_datagrams, 1);
	atomic_fetch_add(&rx->n_bytes, dg->n);
	if (!from)
		return;
	if (src->kind == BR_RX_SYSLOG_UDP)
		br_receiver_message(rx, from, dg->wall_ns, dg->data, dg->n);
	else
		take_console(rx, from, dg);
}

static void take_datagrams(struct br_receiver *rx, struct br_receiver_source *src)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint32_t dropped = src->dropped;
		struct br_datagram dg;
		int n = br_datagrams_receive(rx->datagrams, src->fd, &dropped);

		if (dropped != src->dropped) {
			uint32_t more = dropped - src->dropped; /* the kernel's counter goes round */

			src->dropped = dropped;
			atomic_fetch_add(&rx->n_dropped, more);
			rx->opt.ops->lost(rx->opt.ctx, more);
		}
		for (int i = 0; i < n; i++) {
			br_datagrams_get(rx->datagrams, (unsigned)i, &dg);
			take_datagram(rx, src, &dg);
		}
		if (n <= 0)
			return;
	}
}

static bool take_event(struct br_receiver *rx, struct br_receiver_source *src)
{
	switch (src->kind) {
	case BR_RX_STOP:
		return false;
	case BR_RX_SYSLOG_TCP:
	case BR_RX_STREAM_TCP:
		br_receiver_accept(rx, src);
		break;
	case BR_RX_CONN:
		br_receiver_read(rx, br_container_of(src, struct br_receiver_conn, source));
		break;
	default:
		take_datagrams(rx, src);
		break;
	}
	return true;
}

static void *run(void *arg)
{
	struct br_receiver *rx = arg;
	struct epoll_event events[64];
	bool go_on = true;

	while (go_on) {
		int n = epoll_wait(rx->epoll_fd, events, BR_ARRAY_SIZE(events), rx->partial ? TICK_MS : -1);

		rx->now_ns = br_now_ns();
		for (int i = 0; i < n; i++)
			go_on &= take_event(rx, events[i].data.ptr);
		br_receiver_bury(rx);
		tick(rx);
	}
	br_receiver_close_all(rx);
	rx->now_ns = UINT64_MAX; /* what was begun is told */
	tick(rx);
	return NULL;
}

/* ---- opening ---- */

static uint16_t port_or(uint16_t given, uint16_t usual)
{
	return given ? given : usual;
}

/* Opens one; a taken port adds words to 'taken'. */
static int open_one(struct br_receiver *rx, enum br_receiver_kind kind, uint16_t port, struct br_text *taken, struct br_error *err)
{
	static const char *const names[] = {
		[BR_RX_SYSLOG_UDP] = "syslog",
		[BR_RX_NETCONSOLE] = "netconsole",
		[BR_RX_NETCONSOLE_OTHER] = "netconsole",
		[BR_RX_SYSLOG_TCP] = "syslog",
		[BR_RX_STREAM_TCP] = "bramble-log",
	};
	const struct br_receiver_options *opt = &rx->opt;
	struct br_receiver_source *src = &rx->listeners[kind];
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = src };
	struct br_error trouble = BR_ERROR_NULL;

	if (port == BR_RECEIVER_OFF)
		return 0;
	if (kind == BR_RX_SYSLOG_UDP)
		src->fd = br_syslog_udp(opt->ip, port, NULL, names[kind], &trouble);
	else if (kind == BR_RX_NETCONSOLE || kind == BR_RX_NETCONSOLE_OTHER)
		src->fd = br_syslog_udp(opt->interface ? 0 : opt->ip, port, opt->interface, names[kind], &trouble);
	else
		src->fd = br_syslog_tcp(opt->ip, port, names[kind], &trouble);
	if (src->fd < 0) {
		br_text_addf(taken, "%s%s", taken->len ? "; " : "", trouble.text);
		src->fd = -1;
		return 0;
	}
	if (epoll_ctl(rx->epoll_fd, EPOLL_CTL_ADD, src->fd, &ev) < 0)
		return br_error_set(err, errno, "logs: %s", strerrordesc_np(errno));
	return 0;
}

static int open_all(struct br_receiver *rx, struct br_text *taken, struct br_error *err)
{
	const struct br_receiver_options *opt = &rx->opt;
	struct br_receiver_source *stop = &rx->listeners[BR_RX_STOP];
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = stop };
	uint16_t other = opt->netconsole_port ? BR_RECEIVER_OFF : BR_NETCONSOLE_PORT_OTHER;
	int r;

	rx->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	stop->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rx->epoll_fd < 0 || stop->fd < 0 || epoll_ctl(rx->epoll_fd, EPOLL_CTL_ADD, stop->fd, &ev) < 0)
		return br_error_set(err, errno, "logs: %s", strerrordesc_np(errno));
	r = open_one(rx, BR_RX_SYSLOG_UDP, port_or(opt->syslog_port, BR_SYSLOG_PORT), taken, err);
	if (r >= 0)
		r = open_one(rx, BR_RX_SYSLOG_TCP, port_or(opt->syslog_port, BR_SYSLOG_PORT), taken, err);
	if (r >= 0)
		r = open_one(rx, BR_RX_NETCONSOLE, port_or(opt->netconsole_port, BR_NETCONSOLE_PORT), taken, err);
	if (r >= 0)
		r = open_one(rx, BR_RX_NETCONSOLE_OTHER, other, taken, err);
	return r < 0 ? r : open_one(rx, BR_RX_STREAM_TCP, port_or(opt->stream_port, BR_STREAM_PORT), taken, err);
}

int br_receiver_open(const struct br_receiver_options *opt, struct br_receiver **ret, char **ret_taken, struct br_error *err)
{
	struct br_receiver *rx = calloc(1, sizeof(*rx));
	struct br_text taken = BR_TEXT_NULL;
	int r;

	if (!rx)
		return br_error_set(err, ENOMEM, "out of memory");
	rx->opt = *opt;
	rx->epoll_fd = -1;
	for (unsigned i = 0; i < BR_RX_LISTENERS; i++)
		rx->listeners[i] = (struct br_receiver_source){ .kind = i, .fd = -1 };
	rx->senders = br_senders_new(opt->ops->whose, opt->ctx);
	rx->datagrams = br_datagrams_new();
	r = rx->senders && rx->datagrams ? open_all(rx, &taken, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r < 0) {
		br_text_done(&taken);
		br_receiver_stop(rx);
		return r;
	}
	*ret_taken = taken.len ? br_text_take(&taken) : NULL;
	*ret = rx;
	return 0;
}

int br_receiver_start(struct br_receiver *rx, struct br_error *err)
{
	int r = br_thread_start(&rx->thread, run, rx);

	rx->running = r == 0;
	return r ? br_error_set(err, r, "logs: a thread cannot be started: %s", strerrordesc_np(r)) : 0;
}

void br_receiver_stop(struct br_receiver *rx)
{
	uint64_t one = 1;

	if (!rx)
		return;
	if (rx->running && write(rx->listeners[BR_RX_STOP].fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(rx->thread, NULL);
	for (unsigned i = 0; i < BR_RX_LISTENERS; i++)
		if (rx->listeners[i].fd >= 0)
			close(rx->listeners[i].fd);
	if (rx->epoll_fd >= 0)
		close(rx->epoll_fd);
	br_senders_free(rx->senders);
	br_datagrams_free(rx->datagrams);
	free(rx);
}

/* ---- for others ---- */

uint16_t br_receiver_syslog_port(const struct br_receiver *rx)
{
	return br_syslog_port_of(rx->listeners[BR_RX_SYSLOG_UDP].fd);
}

uint16_t br_receiver_netconsole_port(const struct br_receiver *rx)
{
	return br_syslog_port_of(rx->listeners[BR_RX_NETCONSOLE].fd);
}

uint16_t br_receiver_stream_port(const struct br_receiver *rx)
{
	return br_syslog_port_of(rx->listeners[BR_RX_STREAM_TCP].fd);
}

int br_receiver_send(struct br_receiver *rx, uint32_t ip, uint16_t port, const void *data, size_t n)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
	int fd = rx->listeners[BR_RX_NETCONSOLE].fd;

	if (fd < 0)
		return -ENOTCONN;
	return sendto(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

void br_receiver_stats(struct br_receiver *rx, struct br_receiver_stats *ret)
{
	*ret = (struct br_receiver_stats){
		.datagrams = atomic_load(&rx->n_datagrams),
		.bytes = atomic_load(&rx->n_bytes),
		.dropped = atomic_load(&rx->n_dropped),
		.malformed = atomic_load(&rx->n_malformed),
		.connections = atomic_load(&rx->n_open),
		.refused = atomic_load(&rx->n_refused),
	};
}
