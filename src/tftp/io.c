/* SPDX-License-Identifier: Apache-2.0 */
/* The worker of the TFTP server: datagrams in and out by the batch. */
#include "tftp/io.h"

#include <assert.h>
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
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "tftp/socket.h"

#define IN_BATCH 64
#define OUT_BATCH 128
#define IN_BYTES 1024	/* RFC 2347: a request has at most 512; longer ones come truncated and are dropped */
#define PIECES 8	/* of a payload in a batch; a block in more pieces is sent by itself */
#define TICK_MS 20	/* how late a timer may be */
#define SPIN_NS 80000u	/* see look() */
#define SHORT_NS 120000u /* a wait, waking included */
#define SPIN_AFTER 8	/* short waits in a row */
#define SPIN_TRANSFERS 4
#define STUCK_MS 20	/* how long a full send buffer is waited for */

/* struct in_pktinfo and the drop counter */
#define IN_CONTROL (CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)))
#define OUT_CONTROL CMSG_SPACE(sizeof(struct in_pktinfo))

struct in_slot {
	struct sockaddr_in addr;
	struct iovec iov;
	_Alignas(struct cmsghdr) uint8_t control[IN_CONTROL];
	uint8_t data[IN_BYTES];
};

struct out_slot {
	struct sockaddr_in addr;
	struct iovec iov[1 + PIECES];
	_Alignas(struct cmsghdr) uint8_t control[OUT_CONTROL];
	uint8_t head[BR_TFTP_HEAD_MAX];
};

struct br_tftp_io {
	int fd;
	uint16_t port;
	bool bound; /* to one address: the kernel knows where replies leave from */
	bool waking; /* SO_RCVTIMEO is set */
	unsigned short_waits; /* in a row */
	unsigned n_running;
	pthread_t thread;
	_Atomic bool stop;
	_Atomic uint64_t received, sent, dropped_in, dropped_out;
	_Atomic unsigned running;

	struct br_tftp *engine;
	struct br_tftp_ops ops; /* what the engine calls */
	struct br_tftp_ops user_ops;
	void *ctx;

	unsigned n_out;
	struct mmsghdr in_msgs[IN_BATCH], out_msgs[OUT_BATCH];
	struct in_slot in[IN_BATCH];
	struct out_slot out[OUT_BATCH];
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	/* one writer: no locked instruction needed */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* The send buffer is full: the wire is slower than we are. Waits a moment; false: not even then. */
static bool wait_writable(struct br_tftp_io *io)
{
	struct pollfd p = { .fd = io->fd, .events = POLLOUT };

	return poll(&p, 1, STUCK_MS) > 0 && (p.revents & POLLOUT);
}

/*
 * Sends what is batched. An error is the first message's that was not sent (no route, a firewall's EPERM, ENOBUFS of
 * a full queue): it is skipped, and comes again with the transfer's timer.
 */
static void flush(struct br_tftp_io *io)
{
	unsigned done = 0, lost = 0, n_out = io->n_out;

	io->n_out = 0;
	while (done < n_out) {
		int n = sendmmsg(io->fd, io->out_msgs + done, n_out - done, MSG_DONTWAIT);

		if (n > 0) {
			done += (unsigned)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (wait_writable(io))
				continue;
			lost += n_out - done;
			break;
		}
		done++;
		lost++;
	}
	count(&io->sent, n_out - lost);
	if (lost)
		count(&io->dropped_out, lost);
}

static void set_source(struct msghdr *h, uint8_t *control, uint32_t local_ip)
{
	struct cmsghdr *c;

	h->msg_control = control;
	h->msg_controllen = OUT_CONTROL;
	c = CMSG_FIRSTHDR(h);
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
	*(struct in_pktinfo *)(void *)CMSG_DATA(c) = (struct in_pktinfo){ .ipi_spec_dst.s_addr = htonl(local_ip) };
}

/* A block in more pieces than a slot holds: one message by itself, after what waits. */
static void send_scattered(struct br_tftp_io *io, const struct msghdr *head, const struct br_span *payload, size_t n)
{
	struct iovec iov[1 + BR_TFTP_PIECES_MAX];
	struct msghdr h = *head;

	assert(n <= BR_TFTP_PIECES_MAX);
	flush(io);
	iov[0] = head->msg_iov[0];
	for (size_t i = 0; i < n; i++)
		iov[1 + i] = (struct iovec){ (void *)(uintptr_t)payload[i].data, payload[i].len };
	h.msg_iov = iov;
	h.msg_iovlen = 1 + n;
	if (sendmsg(io->fd, &h, 0) < 0)
		count(&io->dropped_out, 1);
	else
		count(&io->sent, 1);
}

static void io_send(void *ctx, const struct br_tftp_peer *peer, const void *head, size_t head_len,
	const struct br_span *payload, size_t n)
{
	struct br_tftp_io *io = ctx;
	struct out_slot *s;
	struct msghdr *h;

	if (io->n_out == OUT_BATCH)
		flush(io);
	s = &io->out[io->n_out];
	h = &io->out_msgs[io->n_out].msg_hdr;
	s->addr.sin_port = htons(peer->port);
	s->addr.sin_addr.s_addr = htonl(peer->ip);
	assert(head_len <= sizeof(s->head));
	memcpy(s->head, head, head_len);
	s->iov[0].iov_len = head_len;
	h->msg_controllen = 0;
	h->msg_control = NULL;
	if (!io->bound && peer->local_ip)
		set_source(h, s->control, peer->local_ip);
	if (n > PIECES) {
		send_scattered(io, h, payload, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		s->iov[1 + i] = (struct iovec){ (void *)(uintptr_t)payload[i].data, payload[i].len };
	h->msg_iovlen = 1 + n;
	io->n_out++;
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

	if (io->n_out) /* its bytes may be in the batch */
		flush(io);
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
	for (size_t i = 0; i < OUT_BATCH; i++) {
		struct out_slot *s = &io->out[i];

		s->addr.sin_family = AF_INET;
		s->iov[0].iov_base = s->head;
		io->out_msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &s->addr, .msg_namelen = sizeof(s->addr), .msg_iov = s->iov
		};
	}
}

/*
 * With a few lock-step clients on a fast wire the next ACK comes sooner than a sleeping thread can be woken, which
 * then costs more than the whole block. If the last waits were that short, the next is spent looking; the first
 * one in vain ends it. A Raspberry Pi takes several times SPIN_NS: for it the thread sleeps.
 */
static int look(struct br_tftp_io *io)
{
	uint64_t until_ns;
	int n;

	if (io->short_waits < SPIN_AFTER || io->n_running == 0 || io->n_running > SPIN_TRANSFERS)
		return 0;
	until_ns = br_now_ns() + SPIN_NS;
	do {
		n = recvmmsg(io->fd, io->in_msgs, IN_BATCH, MSG_DONTWAIT, NULL);
		if (n > 0)
			return n;
		sched_yield(); /* the client may need this very processor */
	} while (br_now_ns() < until_ns);
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

static void read_control(struct br_tftp_io *io, struct msghdr *h, struct br_tftp_peer *peer)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			/* spec_dst: an address of ours even when the request was broadcast */
			peer->local_ip = ntohl(info.ipi_spec_dst.s_addr);
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			uint32_t dropped;

			memcpy(&dropped, CMSG_DATA(c), sizeof(dropped));
			atomic_store_explicit(&io->dropped_in, dropped, memory_order_relaxed);
		}
	}
}

static void input(struct br_tftp_io *io, size_t i, uint64_t now_ns)
{
	struct msghdr *h = &io->in_msgs[i].msg_hdr;
	struct in_slot *s = &io->in[i];
	struct br_tftp_peer peer = { .ip = ntohl(s->addr.sin_addr.s_addr), .port = ntohs(s->addr.sin_port) };

	if (h->msg_namelen < sizeof(s->addr) || (h->msg_flags & MSG_TRUNC))
		return;
	read_control(io, h, &peer);
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

		for (int i = 0; i < n; i++)
			input(io, (size_t)i, now_ns);
		if (n > 0)
			count(&io->received, (uint64_t)n);
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			(void)poll(NULL, 0, TICK_MS); /* the interface went away: do not spin until it is back */
		next_ns = br_tftp_tick(io->engine, now_ns);
		flush(io);
		io->n_running = br_tftp_running(io->engine);
		atomic_store_explicit(&io->running, io->n_running, memory_order_relaxed);
		set_waking(io, next_ns != UINT64_MAX);
		if (stopping && (n < IN_BATCH || !last_rounds--))
			break;
	}
	br_tftp_free(io->engine);
	flush(io);
	return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct br_tftp_io *io)
{
	sigset_t all, old;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&io->thread, NULL, worker, io);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code == 0)
		(void)pthread_setname_np(io->thread, "tftp");
	return -code;
}

static void io_free(struct br_tftp_io *io)
{
	if (io->fd >= 0)
		close(io->fd);
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

int br_tftp_io_start(const struct br_tftp_io_options *opt, struct br_tftp_io **ret, struct br_error *err)
{
	br_cleanup(io_freep) struct br_tftp_io *io = calloc(1, sizeof(*io));
	struct sockaddr_in addr;
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
	io->bound = opt->ip != 0;
	prepare_slots(io);
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
		.sent = atomic_load_explicit(&io->sent, memory_order_relaxed),
		.dropped_in = atomic_load_explicit(&io->dropped_in, memory_order_relaxed),
		.dropped_out = atomic_load_explicit(&io->dropped_out, memory_order_relaxed),
		.running = atomic_load_explicit(&io->running, memory_order_relaxed),
	};
}
