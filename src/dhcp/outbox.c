/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on their way out, many per system call. */
#include "dhcp/outbox.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define MAX_MESSAGES 64

struct message {
	struct iovec iov;
	union {
		struct sockaddr_in in;
		struct sockaddr_ll ll;
	} to;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo))];
	uint8_t data[BR_DHCP_FRAME_MAX];
};

struct br_dhcp_outbox {
	int fd;
	size_t n;
	uint64_t sent, failed; /* not told of yet: of a flush that was needed for room */
	int failed_errno;
	struct mmsghdr headers[MAX_MESSAGES];
	struct message messages[MAX_MESSAGES];
};

struct br_dhcp_outbox *br_dhcp_outbox_new(int fd)
{
	struct br_dhcp_outbox *out = calloc(1, sizeof(*out));

	if (out)
		out->fd = fd;
	return out;
}

void br_dhcp_outbox_free(struct br_dhcp_outbox *out)
{
	free(out);
}

static void send_all(struct br_dhcp_outbox *out)
{
	size_t at = 0;

	while (at < out->n) {
		int n = sendmmsg(out->fd, out->headers + at, (unsigned)(out->n - at), 0);

		if (n > 0) {
			out->sent += (uint64_t)n;
			at += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		out->failed++;
		out->failed_errno = errno;
		at++;
	}
	out->n = 0;
}

uint8_t *br_dhcp_outbox_room(struct br_dhcp_outbox *out)
{
	if (out->n == MAX_MESSAGES)
		send_all(out);
	return out->messages[out->n].data;
}

static struct msghdr *add(struct br_dhcp_outbox *out, size_t len, socklen_t name_len)
{
	struct message *m = &out->messages[out->n];
	struct msghdr *h = &out->headers[out->n++].msg_hdr;

	m->iov = (struct iovec){ .iov_base = m->data, .iov_len = len };
	*h = (struct msghdr){ .msg_iov = &m->iov, .msg_iovlen = 1, .msg_name = &m->to, .msg_namelen = name_len };
	return h;
}

void br_dhcp_outbox_frame(struct br_dhcp_outbox *out, size_t len, unsigned ifindex)
{
	out->messages[out->n].to.ll =
		(struct sockaddr_ll){ .sll_family = AF_PACKET, .sll_ifindex = (int)ifindex, .sll_halen = 6 };
	add(out, len, sizeof(struct sockaddr_ll));
}

void br_dhcp_outbox_udp(struct br_dhcp_outbox *out, size_t len, uint32_t from_ip, const struct sockaddr_in *to)
{
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(from_ip) };
	struct message *m = &out->messages[out->n];
	struct msghdr *h = add(out, len, sizeof(*to));
	struct cmsghdr *c;

	m->to.in = *to;
	h->msg_control = m->control;
	h->msg_controllen = sizeof(m->control);
	c = CMSG_FIRSTHDR(h);
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
}

void br_dhcp_outbox_flush(struct br_dhcp_outbox *out, uint64_t *sent, uint64_t *failed, int *failed_errno)
{
	send_all(out);
	*sent += out->sent;
	*failed += out->failed;
	if (out->failed)
		*failed_errno = out->failed_errno;
	out->sent = out->failed = 0;
}
