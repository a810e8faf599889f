/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of datagrams going out. */
#include "tftp/outbox.h"

#include <assert.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "wire/tftp.h"

#define SLOTS 128
#define SEGMENTS 16 /* datagrams in one message */
#define IOVS 48
#define PIECES 8 /* of one payload; a block in more pieces is sent by itself */
#define BYTES_MAX 65000 /* of one message: an IP packet has 16 bits of length */
#define FRAME_MAX 65000 /* more than any MTU; what is too long for the interface comes back as EMSGSIZE */
#define FRAME_HEAD (BR_TFTP_VNET_HEAD + BR_TFTP_FRAME_HEAD)
#define STUCK_MS 20	/* how long a full send buffer is waited for */

/* Several datagrams in one message: each but the last has the first one's length. */
struct slot {
	struct sockaddr_in addr;
	uint32_t local_ip;
	bool proven;
	unsigned n_segments;
	bool closed; /* the last one was shorter */
	bool framed; /* leaves by the packet socket; iov[0] is frame_head then */
	size_t segment_len, len, head_len;
	uint8_t first_iov[SEGMENTS];
	struct iovec iov[IOVS];
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
	uint8_t heads[BR_TFTP_HEAD_MAX]; /* one after the other */
	struct sockaddr_ll link_addr;
	uint8_t frame_head[FRAME_HEAD + BR_TFTP_HEAD]; /* also of DATA: one piece less for the kernel to take */
};

struct br_tftp_outbox {
	int fd;
	bool bound;
	bool no_segments; /* the kernel or the interface cannot */
	int packet_fd; /* -1: none */
	uint16_t port;
	uint16_t ip_id;
	unsigned n;
	_Atomic uint64_t sent, lost, framed;
	struct mmsghdr msgs[SLOTS];
	struct slot slots[SLOTS];
};

int br_tftp_outbox_new(int fd, bool bound, struct br_tftp_outbox **ret)
{
	struct br_tftp_outbox *box = calloc(1, sizeof(*box));

	if (!box)
		return -ENOMEM;
	box->fd = fd;
	box->bound = bound;
	box->packet_fd = -1;
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *s = &box->slots[i];

		s->addr.sin_family = AF_INET;
		s->link_addr = (struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_IP) };
		br_tftp_frame_vnet(s->frame_head);
		box->msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &s->addr, .msg_namelen = sizeof(s->addr), .msg_iov = s->iov
		};
	}
	*ret = box;
	return 0;
}

void br_tftp_outbox_set_frames(struct br_tftp_outbox *box, int packet_fd, uint16_t port)
{
	box->packet_fd = packet_fd;
	box->port = port;
}

void br_tftp_outbox_free(struct br_tftp_outbox *box)
{
	free(box);
}

uint64_t br_tftp_outbox_sent(const struct br_tftp_outbox *box)
{
	return atomic_load_explicit(&box->sent, memory_order_relaxed);
}

uint64_t br_tftp_outbox_lost(const struct br_tftp_outbox *box)
{
	return atomic_load_explicit(&box->lost, memory_order_relaxed);
}

uint64_t br_tftp_outbox_framed(const struct br_tftp_outbox *box)
{
	return atomic_load_explicit(&box->framed, memory_order_relaxed);
}

static void put_control(struct msghdr *h, size_t *at, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)h->msg_control + *at);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	*at += CMSG_SPACE(len);
}

/* Source address and segment size, as far as they must be told. */
static void set_control(struct br_tftp_outbox *box, struct slot *s, struct msghdr *h, bool segments)
{
	size_t at = 0;

	if (s->framed) {
		h->msg_control = NULL;
		h->msg_controllen = 0;
		return;
	}
	h->msg_control = s->control;
	if (!box->bound && s->local_ip) {
		struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(s->local_ip) };

		put_control(h, &at, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
	if (segments) {
		uint16_t len = (uint16_t)s->segment_len;

		put_control(h, &at, SOL_UDP, UDP_SEGMENT, &len, sizeof(len));
	}
	h->msg_controllen = at;
	if (!at)
		h->msg_control = NULL;
}

/* The send buffer is full: the wire is slower than we are. Waits a moment; false: not even then. */
static bool wait_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, STUCK_MS) > 0 && (p.revents & POLLOUT);
}

/*
 * MSG_CONFIRM tells the kernel that a peer that answers is there, so that it keeps its MAC address without asking.
 * The 3B's ROM answers no ARP while it fetches (facts: wire 1.6): a question in the middle would end its boot.
 */
static int flags_of(const struct slot *s)
{
	return MSG_DONTWAIT | (s->proven && !s->framed ? MSG_CONFIRM : 0);
}

/* One message at once. Returns 0 or a negative errno. */
static int send_one(struct br_tftp_outbox *box, const struct slot *s, const struct msghdr *h)
{
	for (int tries = 0;; tries++) {
		if (sendmsg(box->fd, h, flags_of(s)) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || tries || !wait_writable(box->fd))
			return -errno;
	}
}

/* The datagrams of a message one by one. */
static void send_segments(struct br_tftp_outbox *box, struct slot *s, struct msghdr h)
{
	size_t n_iov = h.msg_iovlen;

	set_control(box, s, &h, false);
	for (unsigned i = 0; i < s->n_segments; i++) {
		size_t end = i + 1 < s->n_segments ? s->first_iov[i + 1] : n_iov;

		h.msg_iov = s->iov + s->first_iov[i];
		h.msg_iovlen = end - s->first_iov[i];
		br_tftp_count(send_one(box, s, &h) < 0 ? &box->lost : &box->sent, 1);
	}
}

/* A frame that the interface does not take (too long for it, gone, no Ethernet any more): the kernel's way then. */
static void unframe(struct br_tftp_outbox *box, struct slot *s, struct msghdr h)
{
	s->framed = false;
	h.msg_name = &s->addr;
	h.msg_namelen = sizeof(s->addr);
	s->iov[0] = (struct iovec){ s->frame_head + FRAME_HEAD, BR_TFTP_HEAD };
	set_control(box, s, &h, false);
	br_tftp_count(send_one(box, s, &h) < 0 ? &box->lost : &box->sent, 1);
}

/* The message that was not sent: no route, a firewall's EPERM, a full queue; or segments that cannot be had. */
static void skip(struct br_tftp_outbox *box, unsigned i, int code)
{
	struct slot *s = &box->slots[i];

	if (s->framed && code != ENOBUFS) {
		unframe(box, s, box->msgs[i].msg_hdr);
		return;
	}
	if (s->n_segments == 1) {
		br_tftp_count(&box->lost, 1);
		return;
	}
	/* EIO: the interface has no checksum offload; EINVAL: a segment is larger than the path's MTU */
	if (code == EIO || code == EINVAL || code == EOPNOTSUPP)
		box->no_segments = true;
	send_segments(box, s, box->msgs[i].msg_hdr);
}

static uint64_t datagrams(const struct br_tftp_outbox *box, unsigned from, unsigned to)
{
	uint64_t n = 0;

	for (unsigned i = from; i < to; i++)
		n += box->slots[i].n_segments;
	return n;
}

/* How many messages from 'done' on take the same socket and flags. */
static unsigned run_from(const struct br_tftp_outbox *box, unsigned done, unsigned n_all)
{
	unsigned i = done + 1;

	while (i < n_all && box->slots[i].proven == box->slots[done].proven &&
		box->slots[i].framed == box->slots[done].framed)
		i++;
	return i - done;
}

void br_tftp_outbox_flush(struct br_tftp_outbox *box)
{
	unsigned done = 0, n_all = box->n;

	box->n = 0;
	for (unsigned i = 0; i < n_all; i++)
		set_control(box, &box->slots[i], &box->msgs[i].msg_hdr, box->slots[i].n_segments > 1);
	while (done < n_all) {
		const struct slot *s = &box->slots[done];
		int fd = s->framed ? box->packet_fd : box->fd;
		int n = sendmmsg(fd, box->msgs + done, run_from(box, done, n_all), flags_of(s));

		if (n > 0) {
			uint64_t n_sent = datagrams(box, done, done + (unsigned)n);

			br_tftp_count(&box->sent, n_sent);
			if (s->framed)
				br_tftp_count(&box->framed, n_sent);
			done += (unsigned)n;
		} else if (errno == EAGAIN && !wait_writable(fd)) {
			br_tftp_count(&box->lost, datagrams(box, done, n_all));
			return;
		} else if (errno != EAGAIN && errno != EINTR) {
			skip(box, done++, errno);
		}
	}
}

/* A block in more pieces than a slot holds: one message by itself, after what waits. */
static void send_scattered(struct br_tftp_outbox *box, struct slot *s, struct msghdr h,
	const struct br_span *payload, size_t n)
{
	struct iovec iov[1 + BR_TFTP_PIECES_MAX];

	assert(n <= BR_TFTP_PIECES_MAX);
	iov[0] = s->iov[0];
	for (size_t i = 0; i < n; i++)
		iov[1 + i] = (struct iovec){ (void *)(uintptr_t)payload[i].data, payload[i].len };
	h.msg_iov = iov;
	h.msg_iovlen = 1 + n;
	set_control(box, s, &h, false);
	br_tftp_count(send_one(box, s, &h) < 0 ? &box->lost : &box->sent, 1);
}

static size_t total(size_t head_len, const struct br_span *payload, size_t n)
{
	for (size_t i = 0; i < n; i++)
		head_len += payload[i].len;
	return head_len;
}

/* Whether the last message has room for one more datagram. */
static bool joins(const struct br_tftp_outbox *box, const struct br_tftp_peer *peer, size_t len, size_t head_len,
	size_t n)
{
	const struct slot *s = &box->slots[box->n - 1]; /* box->n > 0 */

	return !box->no_segments && !s->framed && !s->closed && s->proven == peer->proven &&
		s->addr.sin_port == htons(peer->port) && s->addr.sin_addr.s_addr == htonl(peer->ip) && len <= s->segment_len && s->n_segments < SEGMENTS &&
		s->len + len <= BYTES_MAX && s->head_len + head_len <= sizeof(s->heads) &&
		box->msgs[box->n - 1].msg_hdr.msg_iovlen + 1 + n <= IOVS;
}

static struct slot *open_slot(struct br_tftp_outbox *box, const struct br_tftp_peer *peer, size_t len)
{
	struct slot *s;

	if (box->n == SLOTS)
		br_tftp_outbox_flush(box);
	s = &box->slots[box->n];
	s->addr.sin_port = htons(peer->port);
	s->addr.sin_addr.s_addr = htonl(peer->ip);
	s->local_ip = peer->local_ip;
	s->proven = peer->proven;
	s->segment_len = len;
	s->n_segments = 0;
	s->len = s->head_len = 0;
	s->closed = false;
	s->framed = false;
	box->msgs[box->n].msg_hdr.msg_name = &s->addr;
	box->msgs[box->n].msg_hdr.msg_namelen = sizeof(s->addr);
	box->msgs[box->n++].msg_hdr.msg_iovlen = 0;
	return s;
}

/* DATA for a peer that has answered, lately, to what the kernel sent it, over a link that is known. */
static bool may_frame(const struct br_tftp_outbox *box, const struct br_tftp_peer *peer, size_t len, size_t head_len,
	size_t n)
{
	return box->packet_fd >= 0 && head_len == BR_TFTP_HEAD && peer->link.ifindex && peer->proven && !peer->again && !peer->plain &&
		len <= FRAME_MAX && n <= PIECES;
}

static void put_frame_head(struct br_tftp_outbox *box, struct slot *s, struct msghdr *h,
	const struct br_tftp_peer *peer, const void *head, size_t len)
{
	const struct br_tftp_frame f = {
		.src_mac = peer->link.our_mac, .dst_mac = peer->link.peer_mac,
		.src_ip = peer->link.our_ip, .dst_ip = peer->ip,
		.src_port = box->port, .dst_port = peer->port,
	};

	br_tftp_frame_head(s->frame_head + BR_TFTP_VNET_HEAD, &f, box->ip_id++, len);
	memcpy(s->frame_head + FRAME_HEAD, head, BR_TFTP_HEAD);
	s->link_addr.sll_ifindex = (int)peer->link.ifindex;
	s->framed = true;
	h->msg_name = &s->link_addr;
	h->msg_namelen = sizeof(s->link_addr);
	s->iov[h->msg_iovlen++] = (struct iovec){ s->frame_head, sizeof(s->frame_head) };
}

static void put_head(struct slot *s, struct msghdr *h, const void *head, size_t head_len)
{
	uint8_t *p = s->heads + s->head_len;

	assert(s->head_len + head_len <= sizeof(s->heads));
	memcpy(p, head, head_len);
	s->head_len += head_len;
	s->iov[h->msg_iovlen++] = (struct iovec){ p, head_len };
}

void br_tftp_outbox_add(struct br_tftp_outbox *box, const struct br_tftp_peer *peer, const void *head,
	size_t head_len, const struct br_span *payload, size_t n)
{
	size_t len = total(head_len, payload, n);
	bool framed = may_frame(box, peer, len, head_len, n);
	struct msghdr *h;
	struct slot *s;

	if (n > PIECES)
		br_tftp_outbox_flush(box); /* so that it does not overtake */
	s = !framed && box->n && joins(box, peer, len, head_len, n) ? &box->slots[box->n - 1] : open_slot(box, peer, len);
	h = &box->msgs[box->n - 1].msg_hdr;
	s->first_iov[s->n_segments] = (uint8_t)h->msg_iovlen;
	if (framed)
		put_frame_head(box, s, h, peer, head, len);
	else
		put_head(s, h, head, head_len);
	if (n > PIECES) {
		send_scattered(box, s, *h, payload, n);
		box->n--;
		return;
	}
	for (size_t i = 0; i < n; i++)
		s->iov[h->msg_iovlen++] = (struct iovec){ (void *)(uintptr_t)payload[i].data, payload[i].len };
	s->n_segments++;
	s->len += len;
	s->closed = len < s->segment_len;
}
