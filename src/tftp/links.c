/* SPDX-License-Identifier: Apache-2.0 */
/* What the frames of requests teach. */
#include "tftp/links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define BATCH 64
#define BATCHES_MAX 32 /* per request: what more there is, waits for the next */
#define RECEIVE_BYTES (1 << 20)
#define SEND_BYTES (8 << 20)
#define BITS 10 /* of the table of requests seen and not yet taken: so many rows */
#define WAYS 4	/* places in a row */
#define DOUBT_BITS 8
#define DOUBT_NS (60 * BR_S)

struct seen {
	uint32_t ip;
	uint16_t port; /* 0: free */
	uint32_t age;  /* when it came */
	struct br_tftp_link link;
};

struct doubt {
	uint32_t ip;
	uint64_t until_ns;
};

struct br_tftp_links {
	int in_fd, out_fd;
	uint16_t port;
	uint32_t clock; /* frames learned */
	struct seen seen[1 << BITS][WAYS]; /* who is pushed out is not known, that is all */
	struct doubt doubts[1 << DOUBT_BITS];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_ll from[BATCH];
	uint8_t heads[BATCH][BR_TFTP_FRAME_HEAD];
};

static size_t place(uint32_t ip, uint16_t port, unsigned bits)
{
	return (ip * 0x9e3779b1u ^ port * 0x85ebca6bu) * 0xc2b2ae35u >> (32 - bits);
}

/* Whole read requests in plain IPv4 to the port; their first 42 bytes. */
static int set_filter(int fd, uint16_t port)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 11),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x45, 0, 9),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 7),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 36),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 5),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 3, 0), /* a fragment */
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 42),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, BR_TFTP_FRAME_HEAD),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { .len = BR_ARRAY_SIZE(code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

static int packet_socket(struct br_error *err)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		return fd;
	return br_error_set(err, errno, "TFTP: no packet socket (%s): run as root or with CAP_NET_RAW", strerror(errno));
}

/*
 * All protocols, not IPv4 alone: then the kernel gives us the frame before it gives the request to the UDP socket, and
 * whoever is woken by that finds it here. Our own frames are left out, before they cost a copy.
 */
static int open_in(uint16_t port, struct br_error *err)
{
	const struct sockaddr_ll all = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	const int on = 1, bytes = RECEIVE_BYTES;
	br_cleanup(br_closep) int fd = packet_socket(err);

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (set_filter(fd, port) < 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
		bind(fd, (const struct sockaddr *)&all, sizeof(all)) < 0)
		return br_error_set(err, errno, "TFTP: cannot set up a packet socket: %s", strerror(errno));
	return br_take_fd(fd);
}

/* Bound to nothing it receives nothing. */
static int open_out(struct br_error *err)
{
	const int on = 1, bytes = SEND_BYTES;
	br_cleanup(br_closep) int fd = packet_socket(err);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0)
		return br_error_set(err, errno, "TFTP: cannot set up a packet socket: %s", strerror(errno));
	return br_take_fd(fd);
}

static void prepare(struct br_tftp_links *links)
{
	for (size_t i = 0; i < BATCH; i++) {
		links->iov[i] = (struct iovec){ links->heads[i], BR_TFTP_FRAME_HEAD };
		links->msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &links->from[i], .msg_iov = &links->iov[i], .msg_iovlen = 1
		};
	}
}

int br_tftp_links_open(uint16_t port, struct br_tftp_links **ret, struct br_error *err)
{
	br_cleanup(br_closep) int in_fd = open_in(port, err), out_fd = -1;
	struct br_tftp_links *links;

	if (in_fd < 0)
		return in_fd;
	out_fd = open_out(err);
	if (out_fd < 0)
		return out_fd;
	links = calloc(1, sizeof(*links));
	if (!links)
		return br_error_set(err, ENOMEM, "TFTP: out of memory");
	links->port = port;
	links->in_fd = br_take_fd(in_fd);
	links->out_fd = br_take_fd(out_fd);
	prepare(links);
	*ret = links;
	return 0;
}

void br_tftp_links_close(struct br_tftp_links *links)
{
	if (!links)
		return;
	close(links->in_fd);
	close(links->out_fd);
	free(links);
}

int br_tftp_links_fd(const struct br_tftp_links *links)
{
	return links->out_fd;
}

static bool unicast(struct br_mac m)
{
	return !br_mac_is_zero(m) && !(m.b[0] & 1);
}

static struct seen *find(struct br_tftp_links *links, uint32_t ip, uint16_t port)
{
	struct seen *row = links->seen[place(ip, port, BITS)];

	for (unsigned i = 0; i < WAYS; i++)
		if (row[i].port == port && row[i].ip == ip)
			return &row[i];
	return NULL;
}

/* The place for it: its old one, a free one, or the oldest's. */
static struct seen *make_place(struct br_tftp_links *links, uint32_t ip, uint16_t port)
{
	struct seen *row = links->seen[place(ip, port, BITS)], *s = find(links, ip, port);

	if (s)
		return s;
	s = row;
	for (unsigned i = 0; i < WAYS && s->port; i++)
		if (!row[i].port || links->clock - row[i].age > links->clock - s->age)
			s = &row[i];
	return s;
}

/* One frame as the kernel gave it. It counts if it was sent to our very interface, from a MAC that can be answered. */
static void learn(struct br_tftp_links *links, const struct sockaddr_ll *from, const uint8_t *head, size_t len)
{
	struct br_tftp_frame f;
	struct seen *s;

	if (from->sll_hatype != ARPHRD_ETHER || from->sll_pkttype != PACKET_HOST ||
		br_tftp_frame_read(head, len, &f) < 0 || f.dst_port != links->port || !f.src_port ||
		!unicast(f.src_mac) || !unicast(f.dst_mac))
		return;
	s = make_place(links, f.src_ip, f.src_port);
	*s = (struct seen){
		.age = links->clock++,
		.ip = f.src_ip,
		.port = f.src_port,
		.link = { .ifindex = (uint32_t)from->sll_ifindex, .our_ip = f.dst_ip,
			.our_mac = f.dst_mac, .peer_mac = f.src_mac },
	};
}

static void drain(struct br_tftp_links *links)
{
	for (unsigned batches = 0; batches < BATCHES_MAX; batches++) {
		int n;

		for (size_t i = 0; i < BATCH; i++)
			links->msgs[i].msg_hdr.msg_namelen = sizeof(links->from[i]);
		n = recvmmsg(links->in_fd, links->msgs, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			learn(links, &links->from[i], links->heads[i], links->msgs[i].msg_len);
		if (n < BATCH)
			return; /* none left, or the interface went down: then nothing is known */
	}
}

bool br_tftp_links_take(struct br_tftp_links *links, uint32_t ip, uint16_t port, uint32_t ifindex, uint32_t our_ip,
	uint64_t now_ns, struct br_tftp_link *ret)
{
	const struct doubt *d = &links->doubts[place(ip, 0, DOUBT_BITS)];
	struct seen *s;

	drain(links);
	s = port ? find(links, ip, port) : NULL;
	if (!s)
		return false;
	s->port = 0;
	if (s->link.ifindex != ifindex || s->link.our_ip != our_ip || (d->ip == ip && now_ns < d->until_ns))
		return false;
	*ret = s->link;
	return true;
}

void br_tftp_links_doubt(struct br_tftp_links *links, uint32_t ip, uint64_t now_ns)
{
	links->doubts[place(ip, 0, DOUBT_BITS)] = (struct doubt){ ip, now_ns + DOUBT_NS };
}
