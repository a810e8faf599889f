/* SPDX-License-Identifier: Apache-2.0 */
/* The worker of the TFTP server: datagrams in and out by the batch. */
#include "tftp/io.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "tftp/links.h"
#include "tftp/outbox.h"
#include "tftp/socket.h"
#include "wire/tftp.h"

#define IN_BATCH 64
#define IN_BYTES 1024	/* RFC 2347: a request has at most 512; longer ones come truncated and are dropped */
#define TICK_MS 20	/* how late a timer may be */
#define SPIN_NS 80000u	/* see look() */
#define SHORT_NS 120000u /* a wait, waking included */
#define SPIN_AFTER 8	/* short waits in a row */
#define SPIN_TRANSFERS 4
#define SPIN_PAUSE_NS (100 * BR_MS) /* after looking in vain */

#define IN_CONTROL CMSG_SPACE(sizeof(struct in_pktinfo))

struct in_slot {
	struct sockaddr_in addr;
	struct iovec iov;
	_Alignas(struct cmsghdr) uint8_t control[IN_CONTROL];
	uint8_t data[IN_BYTES];
};

struct br_tftp_io {
	int fd;
	uint16_t port;
	bool waking; /* SO_RCVTIMEO is set */
	unsigned short_waits; /* in a row */
	uint64_t look_after_ns;
	unsigned n_running;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t received;
	_Atomic unsigned running;

	struct br_tftp *engine;
	struct br_tftp_ops ops; /* what the engine calls */
	struct br_tftp_ops user_ops;
	void *ctx;

	struct br_tftp_outbox *out;
	struct br_tftp_links *links; /* NULL: none, all goes by the socket */
	uint64_t now_ns; /* of the round */
	struct mmsghdr in_msgs[IN_BATCH];
	struct in_slot in[IN_BATCH];
};

static void io_send(void *ctx, const struct br_tftp_peer *peer, const void *head, size_t head_len,
	const struct br_span *payload, size_t n)
{
	struct br_tftp_io *io = ctx;

	/* before it has answered nothing went as a frame: a lost OACK says nothing about those */
	if (peer->again && peer->proven && peer->link.ifindex && io->links)
		br_tftp_links_doubt(io->links, peer->ip, io->now_ns);
	br_tftp_outbox_add(io->out, peer, head, head_len, payload, n);
}

/* The wrappers: the engine calls with the io, the user wants his own. */
static int io_open(void *ctx, uint32_t ip, const char *name, struct br_tftp_file *file)
{
	struct br_tftp_io *io = ctx;

	return io->user_ops.open(io->ctx, ip, name, file);
}

static void io_release(void *ctx, struct br_tftp_file *file)
{
	struct br_tftp_io *io = ctx;

	br_tftp_outbox_flush(io->out); /* its bytes may be in there */
	io->user_ops.release(io->ctx, file);
}

static void io_report(void *ctx, const struct br_tftp_report *report)
{
	struct br_tftp_io *io = ctx;

	io->user_ops.report(io->ctx, report);
}

static void io_progress(void *ctx, uint32_t ip, const struct br_tftp_file *file, uint64_t bytes)
{
	struct br_tftp_io *io = ctx;

	io->user_ops.progress(io->ctx, ip, file, bytes);
}

static void prepare_slots(struct br_tftp_io *io)
{
	for (size_t i = 0; i < IN_BATCH; i++) {
		struct in_slot *s = &io->in[i];

		s->iov = (struct iovec){ s->data, sizeof(s->data) };
		io->in_msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &s->addr, .msg_iov = &s->iov, .msg_iovlen = 1, .msg_control = s->control
		};
	}
}

/*
 * With a few lock-step clients on a fast wire the next ACK comes sooner than a sleeping thread can be woken, which
 * then costs more than the whole block. If the last waits were that short, the next is spent looking; the first
 * one in vain ends it for a while: a client that is slower, or a processor that others want, to whom looking gives more
 * than sleeping would. A Raspberry Pi takes several times SPIN_NS: for it the thread sleeps.
 */
static int look(struct br_tftp_io *io)
{
	uint64_t now_ns, until_ns;
	int n;

	if (io->short_waits < SPIN_AFTER || io->n_running == 0 || io->n_running > SPIN_TRANSFERS)
		return 0;
	now_ns = br_now_ns();
	if (now_ns < io->look_after_ns)
		return 0;
	until_ns = now_ns + SPIN_NS;
	do {
		n = recvmmsg(io->fd, io->in_msgs, IN_BATCH, MSG_DONTWAIT, NULL);
		if (n > 0)
			return n;
		sched_yield(); /* the client may need this very processor */
		now_ns = br_now_ns();
	} while (now_ns < until_ns);
	io->look_after_ns = now_ns + SPIN_PAUSE_NS;
	io->short_waits = 0;
	return 0;
}

static int receive(struct br_tftp_io *io)
{
	uint64_t before_ns;
	int n;

	for (size_t i = 0; i < IN_BATCH; i++) {
		io->in_msgs[i].msg_hdr.msg_namelen = sizeof(io->in[i].addr);
		io->in_msgs[i].msg_hdr.msg_controllen = IN_CONTROL;
	}
	n = look(io);
	if (n > 0)
		return n;
	before_ns = br_now_ns();
	/* waits for the first one only */
	n = recvmmsg(io->fd, io->in_msgs, IN_BATCH, MSG_WAITFORONE, NULL);
	io->short_waits = br_now_ns() - before_ns < SHORT_NS ? io->short_waits + 1 : 0;
	return n;
}

/* The address the datagram was sent to, and (ret) the interface it came by. */
static void read_control(struct msghdr *h, struct br_tftp_peer *peer, uint32_t *ret_ifindex)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			/* spec_dst: an address of ours even when the request was broadcast */
			peer->local_ip = ntohl(info.ipi_spec_dst.s_addr);
			*ret_ifindex = (uint32_t)info.ipi_ifindex;
		}
	}
}

static void input(struct br_tftp_io *io, size_t i, uint64_t now_ns)
{
	struct msghdr *h = &io->in_msgs[i].msg_hdr;
	struct in_slot *s = &io->in[i];
	struct br_tftp_peer peer = { .ip = ntohl(s->addr.sin_addr.s_addr), .port = ntohs(s->addr.sin_port) };
	uint32_t ifindex = 0;

	if (h->msg_namelen < sizeof(s->addr) || (h->msg_flags & MSG_TRUNC))
		return;
	read_control(h, &peer, &ifindex);
	if (io->links && br_tftp_peek(s->data, io->in_msgs[i].msg_len) == BR_TFTP_RRQ)
		(void)br_tftp_links_take(io->links, peer.ip, peer.port, ifindex, peer.local_ip, now_ns, &peer.link);
	br_tftp_input(io->engine, &peer, s->data, io->in_msgs[i].msg_len, now_ns);
}

/* While transfers run the wait ends every few milliseconds for their timers; else it lasts. */
static void set_waking(struct br_tftp_io *io, bool waking)
{
	struct timeval t = { .tv_usec = waking ? TICK_MS * 1000 : 0 };

	if (waking != io->waking && setsockopt(io->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0)
		io->waking = waking;
}

static void *worker(void *arg)
{
	struct br_tftp_io *io = arg;
	unsigned last_rounds = 16; /* what had arrived before the stop still counts, a flood does not */

	for (;;) {
		bool stopping = atomic_load_explicit(&io->stop, memory_order_relaxed);
		int n = receive(io);
		uint64_t now_ns = br_now_ns(), next_ns;

		io->now_ns = now_ns;
		for (int i = 0; i < n; i++)
			input(io, (size_t)i, now_ns);
		if (n > 0)
			br_tftp_count(&io->received, (uint64_t)n);
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			(void)poll(NULL, 0, TICK_MS); /* the interface went away: do not spin until it is back */
		next_ns = br_tftp_tick(io->engine, now_ns);
		br_tftp_outbox_flush(io->out);
		io->n_running = br_tftp_running(io->engine);
		atomic_store_explicit(&io->running, io->n_running, memory_order_relaxed);
		set_waking(io, next_ns != UINT64_MAX);
		if (stopping && (n < IN_BATCH || !last_rounds--))
			break;
	}
	br_tftp_free(io->engine);
	br_tftp_outbox_flush(io->out);
	return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct br_tftp_io *io)
{
	sigset_t all, old;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = br_thread_start(&io->thread, worker, io);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code == 0)
		(void)pthread_setname_np(io->thread, "tftp");
	return -code;
}

static void io_free(struct br_tftp_io *io)
{
	if (io->fd >= 0)
		close(io->fd);
	br_tftp_outbox_free(io->out);
	br_tftp_links_close(io->links);
	free(io);
}
BR_DEFINE_CLEANUP(struct br_tftp_io *, io_free);

static int make_engine(struct br_tftp_io *io, const struct br_tftp_io_options *opt)
{
	struct br_tftp_options o = {
		.max_transfers = opt->max_transfers,
		.max_blksize = opt->max_blksize,
		.ops = &io->ops,
		.ctx = io,
	};

	if (!o.max_blksize && opt->interface)
		o.max_blksize = br_tftp_interface_blksize(io->fd, opt->interface);
	io->user_ops = *opt->ops;
	io->ctx = opt->ctx;
	io->ops = (struct br_tftp_ops){
		.open = io_open,
		.release = io_release,
		.report = opt->ops->report ? io_report : NULL,
		.progress = opt->ops->progress ? io_progress : NULL,
		.send = io_send,
	};
	return br_tftp_new(&o, &io->engine);
}

/* Without them all goes by the socket, as it does wherever a frame may not. */
static int start_frames(struct br_tftp_io *io, enum br_tftp_frames frames, struct br_error *err)
{
	int r;

	if (frames == BR_TFTP_FRAMES_OFF)
		return 0;
	r = br_tftp_links_open(io->port, &io->links, err);
	if (r < 0) {
		if (frames == BR_TFTP_FRAMES_ON)
			return r;
		*err = (struct br_error)BR_ERROR_NULL;
		return 0;
	}
	br_tftp_outbox_set_frames(io->out, br_tftp_links_fd(io->links), io->port);
	return 0;
}

int br_tftp_io_start(const struct br_tftp_io_options *opt, struct br_tftp_io **ret, struct br_error *err)
{
	br_cleanup(io_freep) struct br_tftp_io *io = calloc(1, sizeof(*io));
	struct sockaddr_in addr = { 0 };
	socklen_t len = sizeof(addr);
	int r;

	if (!io)
		return br_error_set(err, ENOMEM, "TFTP: out of memory");
	io->fd = br_tftp_socket(opt->ip, opt->port, opt->interface, err);
	if (io->fd < 0)
		return io->fd;
	if (getsockname(io->fd, (struct sockaddr *)&addr, &len) < 0)
		return br_error_set(err, errno, "TFTP: getsockname: %s", strerror(errno));
	io->port = ntohs(addr.sin_port);
	prepare_slots(io);
	r = br_tftp_outbox_new(io->fd, opt->ip != 0, &io->out);
	if (r < 0)
		return br_error_set(err, -r, "TFTP: cannot start: %s", strerror(-r));
	r = start_frames(io, opt->frames, err);
	if (r < 0)
		return r;
	r = make_engine(io, opt);
	if (r < 0)
		return br_error_set(err, -r, "TFTP: cannot start: %s", strerror(-r));
	r = start_thread(io);
	if (r < 0) {
		br_tftp_free(io->engine);
		return br_error_set(err, -r, "TFTP: cannot start a thread: %s", strerror(-r));
	}
	*ret = br_take(io);
	return 0;
}

void br_tftp_io_stop(struct br_tftp_io *io)
{
	if (!io)
		return;
	atomic_store_explicit(&io->stop, true, memory_order_relaxed);
	/* Linux wakes a receiver by this also on a socket that is not connected, though it returns ENOTCONN */
	(void)shutdown(io->fd, SHUT_RD);
	pthread_join(io->thread, NULL);
	io_free(io);
}

uint16_t br_tftp_io_port(const struct br_tftp_io *io)
{
	return io->port;
}

struct br_tftp_io_stats br_tftp_io_stats(const struct br_tftp_io *io)
{
	return (struct br_tftp_io_stats){
		.received = atomic_load_explicit(&io->received, memory_order_relaxed),
		.sent = br_tftp_outbox_sent(io->out),
		.framed = br_tftp_outbox_framed(io->out),
		.dropped_in = br_tftp_socket_dropped(io->fd),
		.dropped_out = br_tftp_outbox_lost(io->out),
		.running = atomic_load_explicit(&io->running, memory_order_relaxed),
	};
}
