/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP server on its sockets: UDP in, frames or UDP out, an ear on the wire, a timer. */
#include "dhcp/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/netif.h"
#include "dhcp/frame.h"
#include "dhcp/held.h"
#include "dhcp/outbox.h"
#include "dhcp/parked.h"
#include "dhcp/socket.h"
#include "dhcp/watch.h"

#define BATCH 128		/* packets per dispatch, decided and stored together */
#define MAX_NUDGES 512		/* two for each of 256 boards within 1.2 s; one more waits for its next DISCOVER */
#define RECEIVE_BYTES 2048	/* more than BR_DHCP_PACKET_MAX: longer ones are seen to be too long */

struct nudge {
	struct br_mac mac;
	uint64_t due_ns;
};

/* Room for what one call of the kernel gives. */
struct incoming {
	struct mmsghdr headers[BATCH];
	struct iovec iov[BATCH];
	union {
		struct cmsghdr h;
		uint8_t b[256];
	} control[BATCH];
	uint8_t packets[BATCH][RECEIVE_BYTES];
};

struct br_dhcp_io {
	struct br_dhcp_server *server;
	struct br_netif netif;
	int udp_fd, pxe_fd, packet_fd, watch_fd, timer_fd, stable_fd, change_fd, epoll_fd;
	struct incoming in;
	struct br_dhcp_outbox *frames, *udp, *pxe;
	struct br_dhcp_parked *parked;
	struct br_dhcp_held *held;
	bool grouping; /* packets were decided that are not committed: the disk is still at those before */
	bool holds; /* nothing is received before there is room for replies */
	uint64_t next_tick_ns;
	uint16_t ip_id;
	struct nudge nudges[MAX_NUDGES]; /* in no order */
	size_t n_nudges;
	struct br_dhcp_io_stats stats;
};

/* One descriptor for the caller, whatever is behind it. */
static int open_waiting(struct br_dhcp_io *io, struct br_error *err)
{
	const int fds[] = { io->udp_fd, io->timer_fd, io->watch_fd, io->stable_fd, io->change_fd, io->pxe_fd };

	io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (io->timer_fd < 0 || io->stable_fd < 0 || io->epoll_fd < 0)
		return br_error_set(err, errno, "DHCP: no descriptors left: %s", strerror(errno));
	io->frames = br_dhcp_outbox_new(io->packet_fd);
	io->udp = br_dhcp_outbox_new(io->udp_fd);
	io->pxe = br_dhcp_outbox_new(io->pxe_fd);
	io->parked = br_dhcp_parked_new();
	io->held = br_dhcp_held_new();
	if (!io->held || !io->frames || !io->udp || !io->pxe || !io->parked)
		return br_error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < BR_ARRAY_SIZE(fds); i++) {
		struct epoll_event ev = { .events = EPOLLIN };

		if (fds[i] < 0)
			continue;
		if (epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, fds[i], &ev) < 0)
			return br_error_set(err, errno, "DHCP: cannot wait for packets: %s", strerror(errno));
	}
	return 0;
}

BR_DEFINE_CLEANUP(struct br_dhcp_io *, br_dhcp_io_close);

static void set_timer(struct br_dhcp_io *io);

int br_dhcp_io_open(const char *interface, struct br_dhcp_server *server, struct br_dhcp_io **ret,
	struct br_error *err)
{
	br_cleanup(br_dhcp_io_closep) struct br_dhcp_io *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return -ENOMEM;
	io->server = server;
	io->udp_fd = io->pxe_fd = io->packet_fd = io->watch_fd = io->epoll_fd = io->timer_fd = io->stable_fd = io->change_fd = -1;
	r = br_dhcp_check_interface(interface, br_dhcp_server_ip(server), &io->netif, err);
	if (r < 0)
		return r;
	io->udp_fd = r = br_dhcp_open_udp(interface, BR_DHCP_SERVER_PORT, err);
	if (r < 0)
		return r;
	io->packet_fd = r = br_dhcp_open_packet(err);
	if (r < 0)
		return r;
	io->change_fd = r = br_dhcp_open_changes(err);
	if (r < 0)
		return r;
	io->watch_fd = r = br_dhcp_watch_open(io->netif.index);
	if (r < 0)
		return br_error_set(err, -r, "DHCP: cannot listen on %s: %s", io->netif.name, strerror(-r));
	/* only UEFI and iPXE ask there, and seldom: whoever has that port keeps it */
	io->pxe_fd = br_dhcp_open_udp(interface, BR_DHCP_PXE_PORT, &io->stats.pxe_trouble);
	io->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	io->stable_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = open_waiting(io, err);
	if (r < 0)
		return r;
	io->next_tick_ns = 1; /* at once: the timer rings as soon as somebody waits */
	set_timer(io);
	*ret = br_take(io);
	return 0;
}

void br_dhcp_io_close(struct br_dhcp_io *io)
{
	if (!io)
		return;
	br_closep(&io->udp_fd);
	br_closep(&io->pxe_fd);
	br_closep(&io->watch_fd);
	br_closep(&io->change_fd);
	br_closep(&io->packet_fd);
	br_closep(&io->timer_fd);
	br_closep(&io->stable_fd);
	br_closep(&io->epoll_fd);
	br_dhcp_outbox_free(io->frames);
	br_dhcp_outbox_free(io->udp);
	br_dhcp_outbox_free(io->pxe);
	br_dhcp_parked_free(io->parked);
	br_dhcp_held_free(io->held);
	free(io);
}

int br_dhcp_io_fd(const struct br_dhcp_io *io)
{
	return io->epoll_fd;
}

const struct br_dhcp_io_stats *br_dhcp_io_stats(const struct br_dhcp_io *io)
{
	return &io->stats;
}

static void note_sent(struct br_dhcp_io *io, ssize_t sent, uint64_t *counter)
{
	if (sent >= 0) {
		(*counter)++;
		return;
	}
	io->stats.failed++;
	io->stats.failed_errno = errno;
}

static void send_frame(struct br_dhcp_io *io, const uint8_t *frame, size_t n, uint64_t *counter)
{
	const struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)io->netif.index, .sll_halen = 6 };

	note_sent(io, sendto(io->packet_fd, frame, n, 0, (const struct sockaddr *)&to, sizeof(to)), counter);
}

/* A frame to a client without an address; else, and to a relay, the kernel's own road, from the server's address. */
static void queue_reply(struct br_dhcp_io *io, const struct br_dhcp_reply *reply)
{
	struct br_dhcp_frame f = {
		.src_mac = io->netif.mac,
		.dst_mac = reply->to_mac,
		.src_ip = br_dhcp_server_ip(io->server),
		.dst_ip = reply->to_ip,
		.src_port = BR_DHCP_SERVER_PORT,
		.dst_port = reply->to_port,
		.ip_id = ++io->ip_id,
	};
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(reply->to_port), .sin_addr.s_addr = htonl(reply->to_ip),
	};

	if (br_mac_is_zero(reply->to_mac)) {
		memcpy(br_dhcp_outbox_room(io->udp), reply->packet, reply->len);
		br_dhcp_outbox_udp(io->udp, reply->len, f.src_ip, &to);
		return;
	}
	br_dhcp_outbox_frame(io->frames,
		br_dhcp_frame_udp(&f, reply->packet, reply->len, br_dhcp_outbox_room(io->frames)), io->netif.index);
}

static void flush(struct br_dhcp_io *io)
{
	struct br_dhcp_io_stats *st = &io->stats;

	br_dhcp_outbox_flush(io->udp, &st->replies, &st->failed, &st->failed_errno);
	br_dhcp_outbox_flush(io->frames, &st->replies, &st->failed, &st->failed_errno);
}

/* The timer rings at the earliest nudge, or when the server has something to do by itself. */
static void set_timer(struct br_dhcp_io *io)
{
	struct itimerspec t = { 0 };
	uint64_t next = io->next_tick_ns == UINT64_MAX ? 0 : io->next_tick_ns;

	for (size_t i = 0; i < io->n_nudges; i++)
		if (!next || io->nudges[i].due_ns < next)
			next = io->nudges[i].due_ns;
	t.it_value.tv_sec = (time_t)(next / BR_S);
	t.it_value.tv_nsec = (long)(next % BR_S);
	(void)timerfd_settime(io->timer_fd, TFD_TIMER_ABSTIME, &t, NULL); /* fails for no value that can be here */
}

static void plan_nudges(struct br_dhcp_io *io, const struct br_dhcp_reply *reply)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(reply->nudge_ns); i++)
		if (reply->nudge_ns[i] && io->n_nudges < MAX_NUDGES)
			io->nudges[io->n_nudges++] =
				(struct nudge){ .mac = reply->nudge_mac, .due_ns = reply->nudge_ns[i] };
}

static void send_nudges(struct br_dhcp_io *io, uint64_t now_ns)
{
	uint8_t frame[BR_DHCP_FRAME_MAX];

	for (size_t i = 0; i < io->n_nudges;) {
		if (io->nudges[i].due_ns > now_ns) {
			i++;
			continue;
		}
		send_frame(io, frame, br_dhcp_frame_nudge(io->netif.mac, io->nudges[i].mac, frame), &io->stats.nudges);
		io->nudges[i] = io->nudges[--io->n_nudges];
	}
}

static void send_reply(struct br_dhcp_io *io, const struct br_dhcp_reply *reply)
{
	queue_reply(io, reply);
	plan_nudges(io, reply);
}

/* What waited for the disk and need not any more. */
static void send_parked(struct br_dhcp_io *io)
{
	struct br_dhcp_reply *reply;
	uint64_t lost;

	do {
		reply = br_dhcp_parked_next(io->parked, &lost);
		io->stats.unstored += lost;
		if (reply)
			send_reply(io, reply);
	} while (reply);
}

void br_dhcp_io_stable(struct br_dhcp_io *io, uint64_t ticket, int r)
{
	const uint64_t one = 1;

	br_dhcp_parked_tell(io->parked, ticket, r);
	(void)!write(io->stable_fd, &one, sizeof(one)); /* fails when it is full: then it is readable anyway */
}

/* The kernel's own count of what it dropped since the socket was opened; 32 bits that may wrap. */
static void note_drops(struct br_dhcp_io *io, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		uint32_t drops;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL)
			continue;
		memcpy(&drops, CMSG_DATA(c), sizeof(drops));
		io->stats.dropped += (uint32_t)(drops - (uint32_t)io->stats.dropped);
	}
}

/* From our client port to everybody, as a client without an address sends it. */
static void send_probe(struct br_dhcp_io *io, const uint8_t *packet, size_t n)
{
	struct br_dhcp_frame f = {
		.src_mac = io->netif.mac,
		.dst_ip = UINT32_MAX,
		.src_port = BR_DHCP_CLIENT_PORT,
		.dst_port = BR_DHCP_SERVER_PORT,
		.ip_id = ++io->ip_id,
	};
	uint8_t frame[BR_DHCP_FRAME_MAX];

	memset(f.dst_mac.b, 0xff, sizeof(f.dst_mac.b));
	send_frame(io, frame, br_dhcp_frame_udp(&f, packet, n, frame), &io->stats.probes);
}

void br_dhcp_io_ask(struct br_dhcp_io *io, uint32_t ip)
{
	uint8_t frame[BR_DHCP_ARP_LEN];

	send_frame(io, frame, br_dhcp_arp_probe(io->netif.mac, ip, frame), &io->stats.arps);
}

static void tick(struct br_dhcp_io *io, uint64_t now_ns)
{
	uint8_t packet[BR_DHCP_PACKET_MAX];
	size_t n = 0;

	if (io->next_tick_ns > now_ns)
		return;
	while (br_dhcp_tick(io->server, now_ns, packet, &n, &io->next_tick_ns) > 0)
		send_probe(io, packet, n);
}

/* What others say, a bounded number of frames. */
static void watch(struct br_dhcp_io *io, uint64_t now_ns)
{
	uint8_t frame[RECEIVE_BYTES];
	struct br_dhcp_foreign f;
	struct br_mac mac;
	uint32_t ip;

	for (int i = 0; i < BATCH; i++) {
		ssize_t n = recv(io->watch_fd, frame, sizeof(frame), 0);

		if (n < 0)
			return; /* none, or the interface is down: the UDP socket says so */
		if (br_dhcp_watch_reply(frame, (size_t)n, &f)) {
			io->stats.foreign++;
			br_dhcp_heard(io->server, &f, now_ns);
		} else if (br_dhcp_watch_arp(frame, (size_t)n, &ip, &mac)) {
			br_dhcp_heard_arp(io->server, ip, mac);
		}
	}
}

static void send_pxe(struct br_dhcp_io *io, const struct sockaddr_in *to, const struct br_dhcp_reply *reply)
{
	memcpy(br_dhcp_outbox_room(io->pxe), reply->packet, reply->len);
	br_dhcp_outbox_udp(io->pxe, reply->len, br_dhcp_server_ip(io->server), to);
	br_dhcp_outbox_flush(io->pxe, &io->stats.replies, &io->stats.failed, &io->stats.failed_errno);
}

static void serve_pxe(struct br_dhcp_io *io)
{
	uint8_t packet[RECEIVE_BYTES];
	struct br_dhcp_reply reply;
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof(from);

	for (int i = 0; i < BATCH && io->pxe_fd >= 0; i++) {
		ssize_t n = recvfrom(io->pxe_fd, packet, sizeof(packet), 0, (struct sockaddr *)&from, &len);
		int r;

		if (n < 0)
			return;
		io->stats.received++;
		r = br_dhcp_handle_pxe(io->server, packet, (size_t)n, &reply);
		if (r < 0)
			io->stats.bad++;
		if (r > 0)
			send_pxe(io, &from, &reply);
	}
}

/* again: it was held. Held once more, its client asks anew before it is old. */
static void serve_one(struct br_dhcp_io *io, const uint8_t *packet, size_t len, bool again, uint64_t now_ns)
{
	struct br_dhcp_reply reply;
	int r = br_dhcp_handle(io->server, packet, len, now_ns, &reply);

	if (r < 0)
		io->stats.bad++;
	if (!r && reply.held && !again)
		br_dhcp_held_put(io->held, reply.client_mac, packet, len, now_ns);
	if (r > 0 && reply.stored)
		br_dhcp_parked_add(io->parked, &reply);
	else if (r > 0)
		send_reply(io, &reply);
}

/* Up to BATCH packets: how many, or a negative errno. */
static int receive(struct br_dhcp_io *io)
{
	int n;

	for (size_t i = 0; i < BATCH; i++) {
		io->in.iov[i] = (struct iovec){ .iov_base = io->in.packets[i], .iov_len = RECEIVE_BYTES };
		io->in.headers[i].msg_hdr = (struct msghdr){
			.msg_iov = &io->in.iov[i], .msg_iovlen = 1,
			.msg_control = io->in.control[i].b, .msg_controllen = sizeof(io->in.control[i].b),
		};
	}
	n = recvmmsg(io->udp_fd, io->in.headers, BATCH, 0, NULL);
	return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static void commit(struct br_dhcp_io *io)
{
	uint64_t ticket = 0;
	int r = br_dhcp_group_end(io->server, &ticket);

	if (r < 0)
		io->stats.unstored += br_dhcp_parked_drop(io->parked);
	br_dhcp_parked_close(io->parked, r > 0 ? ticket : 0);
	io->grouping = false;
}

/* While the disk is busy with those before, the next ones gather: the slower it is, the more of them share a sync. */
static void end_group(struct br_dhcp_io *io)
{
	br_dhcp_group_pause(io->server);
	io->grouping = true;
	if (!br_dhcp_parked_waits(io->parked))
		commit(io);
}

/* One change of the database for the lot, one wait for the disk. */
static int serve(struct br_dhcp_io *io, uint64_t now_ns)
{
	int n = receive(io);

	if (n <= 0)
		return n;
	br_dhcp_group_begin(io->server);
	for (int i = 0; i < n; i++) {
		io->stats.received++;
		note_drops(io, &io->in.headers[i].msg_hdr);
		serve_one(io, io->in.packets[i], io->in.headers[i].msg_len, false, now_ns);
	}
	end_group(io);
	return n;
}

/* No room: packets stay with the kernel until the disk is through with what there is. */
static bool must_hold(struct br_dhcp_io *io)
{
	bool hold = br_dhcp_parked_room(io->parked) < BATCH;
	struct epoll_event ev = { .events = hold ? 0 : EPOLLIN };

	if (hold != io->holds && !epoll_ctl(io->epoll_fd, EPOLL_CTL_MOD, io->udp_fd, &ev))
		io->holds = hold;
	return hold;
}

unsigned br_dhcp_io_ifindex(const struct br_dhcp_io *io)
{
	return io->netif.index;
}

/* The interface is another one of the same name, as after its cable was pulled on USB: the sockets go over to it. */
static int follow(struct br_dhcp_io *io, const struct br_netif *now)
{
	int r = br_dhcp_rebind(io->udp_fd, now->name);

	if (!r && io->pxe_fd >= 0)
		r = br_dhcp_rebind(io->pxe_fd, now->name);
	if (!r)
		r = br_dhcp_watch_bind(io->watch_fd, now->index);
	if (r < 0)
		return r;
	io->netif = *now;
	io->stats.followed++;
	return 0;
}

static void look_for_changes(struct br_dhcp_io *io)
{
	struct br_error err = BR_ERROR_NULL;
	char buf[8192];
	bool changed = false;
	struct br_netif now;

	/* what changed is not told: a message may have been lost (ENOBUFS), and it is seldom */
	while (recv(io->change_fd, buf, sizeof(buf), 0) >= 0 || errno == ENOBUFS)
		changed = true;
	if (!changed || br_dhcp_check_interface(io->netif.name, br_dhcp_server_ip(io->server), &now, &err) < 0 ||
		now.index == io->netif.index)
		return; /* or it is not back yet, with its address */
	io->stats.follow_errno = -follow(io, &now);
}

void br_dhcp_io_resume(struct br_dhcp_io *io, bool (*next)(void *ctx, struct br_mac *ret), void *ctx, uint64_t now_ns)
{
	uint8_t packet[BR_DHCP_HELD_MAX];
	struct br_mac mac;

	if (must_hold(io) || !next(ctx, &mac))
		return; /* mostly: nothing is to be stored for that */
	br_dhcp_group_begin(io->server);
	for (size_t i = 0; i < BATCH; i++) {
		size_t n = br_dhcp_held_take(io->held, mac, now_ns, packet);

		if (n)
			serve_one(io, packet, n, true, now_ns);
		if (i + 1 == BATCH || !next(ctx, &mac))
			break;
	}
	end_group(io);
	send_parked(io);
	flush(io);
	set_timer(io);
}

int br_dhcp_io_dispatch(struct br_dhcp_io *io, uint64_t now_ns)
{
	uint64_t rung;
	int r = 0;

	look_for_changes(io);
	(void)!read(io->stable_fd, &rung, sizeof(rung));
	send_parked(io);
	if (io->grouping && !br_dhcp_parked_waits(io->parked))
		commit(io);
	if (!must_hold(io))
		r = serve(io, now_ns);
	send_parked(io); /* those that rest on what was stable before */
	flush(io);
	serve_pxe(io);
	watch(io, now_ns);
	tick(io, now_ns);
	(void)!read(io->timer_fd, &rung, sizeof(rung)); /* takes the ring away; the nudges know whether they are due */
	send_nudges(io, now_ns);
	set_timer(io);
	return r;
}
