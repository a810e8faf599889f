/* SPDX-License-Identifier: Apache-2.0 */
#include "syslog/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"

#define BUFFER_BYTES (64 << 20) /* half a second of 100,000 lines */
#define AT_ONCE 128
#define DATAGRAM_MAX 8704 /* a line of BR_LOGS_TEXT_MAX and its head; the rest is cut */
#define CONTROL_BYTES 128

static int bind_words(struct br_error *err, int code, uint32_t ip, uint16_t port, const char *what, bool udp)
{
	char text[BR_IP_TEXT];
	const char *proto = udp ? "UDP" : "TCP", *list = udp ? "-ulpn" : "-tlpn";

	br_ip_format(text, ip);
	switch (code) {
	case EADDRINUSE:
		return br_error_set(err, code, "%s: %s port %u of %s is taken by another program, often rsyslogd or syslog-ng; 'ss %s "
			"sport = :%u' shows which: stop it, or let it listen elsewhere", what, proto, port, ip ? text : "this machine",
			list, port);
	case EACCES:
		return br_error_set(err, code, "%s: may not take %s port %u; ports below 1024 need root or CAP_NET_BIND_SERVICE", what,
			proto, port);
	default:
		return br_error_set(err, code, "%s: cannot take %s port %u of %s: %s", what, proto, port, ip ? text : "this machine",
			strerrordesc_np(code));
	}
}

static int make_socket(int type, uint32_t ip, uint16_t port, const char *interface, const char *what, struct br_error *err)
{
	br_cleanup(br_closep) int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
	int on = 1;

	if (fd < 0)
		return br_error_set(err, errno, "%s: cannot make a socket: %s", what, strerrordesc_np(errno));
	if (interface && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) < 0)
		return br_error_set(err, errno, "%s: cannot bind to interface %s: %s", what, interface, strerrordesc_np(errno));
	if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return br_error_set(err, errno, "%s: %s", what, strerrordesc_np(errno));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return bind_words(err, errno, ip, port, what, type == SOCK_DGRAM);
	return br_take_fd(fd);
}

int br_syslog_udp(uint32_t ip, uint16_t port, const char *interface, const char *what, struct br_error *err)
{
	int fd = make_socket(SOCK_DGRAM, ip, port, interface, what, err), bytes = BUFFER_BYTES, on = 1;

	if (fd < 0)
		return fd;
	/* the kernel gives what it may: past its limit only to root; what it refuses of the rest is told less exactly */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	return fd;
}

int br_syslog_tcp(uint32_t ip, uint16_t port, const char *what, struct br_error *err)
{
	int fd = make_socket(SOCK_STREAM, ip, port, NULL, what, err);

	if (fd >= 0 && listen(fd, 128) < 0) {
		int code = errno;

		close(fd);
		return bind_words(err, code, ip, port, what, false);
	}
	return fd;
}

uint16_t br_syslog_port_of(int fd)
{
	struct sockaddr_in addr = { 0 };
	socklen_t n = sizeof(addr);

	return fd >= 0 && getsockname(fd, (struct sockaddr *)&addr, &n) == 0 ? ntohs(addr.sin_port) : 0;
}

struct br_datagrams {
	struct mmsghdr heads[AT_ONCE];
	struct iovec pieces[AT_ONCE];
	struct sockaddr_in from[AT_ONCE];
	union {
		struct cmsghdr align;
		char bytes[CONTROL_BYTES];
	} control[AT_ONCE];
	char data[AT_ONCE][DATAGRAM_MAX];
};

struct br_datagrams *br_datagrams_new(void)
{
	return calloc(1, sizeof(struct br_datagrams));
}

void br_datagrams_free(struct br_datagrams *d)
{
	free(d);
}

static const void *find_control(const struct br_datagrams *d, unsigned i, int type, size_t n)
{
	struct msghdr *m = (struct msghdr *)(uintptr_t)&d->heads[i].msg_hdr;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == type && c->cmsg_len >= CMSG_LEN(n))
			return CMSG_DATA(c);
	}
	return NULL;
}

int br_datagrams_receive(struct br_datagrams *d, int fd, uint32_t *ret_dropped)
{
	const void *dropped;
	int n;

	for (unsigned i = 0; i < AT_ONCE; i++) {
		d->pieces[i] = (struct iovec){ d->data[i], DATAGRAM_MAX };
		d->heads[i].msg_hdr = (struct msghdr){
			.msg_name = &d->from[i],
			.msg_namelen = sizeof(d->from[i]),
			.msg_iov = &d->pieces[i],
			.msg_iovlen = 1,
			.msg_control = d->control[i].bytes,
			.msg_controllen = CONTROL_BYTES,
		};
	}
	do
		n = recvmmsg(fd, d->heads, AT_ONCE, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == ECONNREFUSED ? 0 : -errno;
	dropped = n ? find_control(d, (unsigned)n - 1, SO_RXQ_OVFL, sizeof(*ret_dropped)) : NULL;
	if (dropped)
		memcpy(ret_dropped, dropped, sizeof(*ret_dropped));
	return n;
}

void br_datagrams_get(const struct br_datagrams *d, unsigned i, struct br_datagram *ret)
{
	const void *stamp = find_control(d, i, SCM_TIMESTAMPNS, sizeof(struct timespec));
	struct timespec t = { 0 };

	if (stamp)
		memcpy(&t, stamp, sizeof(t));
	*ret = (struct br_datagram){
		.ip = ntohl(d->from[i].sin_addr.s_addr),
		.port = ntohs(d->from[i].sin_port),
		.data = d->data[i],
		.n = d->heads[i].msg_len,
		.wall_ns = (uint64_t)t.tv_sec * BR_S + (uint64_t)t.tv_nsec,
	};
}
