/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the DHCP server: UDP in, frames or UDP out, a timer for the nudges. */
#include "dhcp/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/netif.h"
#include "base/portholder.h"
#include "dhcp/frame.h"

#define BATCH 64		/* packets per dispatch */
#define BUFFER_BYTES (4 << 20)	/* all boards of a hall after a power cut, while the loop is busy storing */
#define MAX_NUDGES 512		/* two for each of 256 boards within 1.2 s; one more waits for its next DISCOVER */
#define RECEIVE_BYTES 2048	/* more than BR_DHCP_PACKET_MAX: longer ones are seen to be too long */

struct nudge {
	struct br_mac mac;
	uint64_t due_ns;
};

struct br_dhcp_io {
	struct br_dhcp_server *server;
	struct br_netif netif;
	int udp_fd, packet_fd, timer_fd, epoll_fd;
	uint16_t ip_id;
	struct nudge nudges[MAX_NUDGES]; /* in no order */
	size_t n_nudges;
	struct br_dhcp_io_stats stats;
};

/* What to do about the usual holders of port 67, by the name of the process. */
static const char *cure_for(const char *holder)
{
	static const struct {
		const char *name, *cure;
	} cures[] = {
		{ "dnsmasq", "stop it (systemctl stop dnsmasq; under libvirt or NetworkManager: the network that started it), "
			     "or keep it off this interface (except-interface= and bind-interfaces)" },
		{ "systemd-network", "remove DHCPServer=yes of this interface from the .network file and restart systemd-networkd" },
		{ "dhcpd", "stop it (systemctl stop isc-dhcp-server)" },
		{ "kea-dhcp4", "stop it (systemctl stop kea-dhcp4-server)" },
		{ "udhcpd", "stop it (systemctl stop udhcpd)" },
		{ "connmand", "turn tethering off (connmanctl tether ethernet off)" },
		{ "bramble", "another bramble serves here already: stop that one first" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cures); i++)
		if (!strncmp(holder, cures[i].name, strlen(cures[i].name)))
			return cures[i].cure;
	return "stop it";
}

static int bind_error(const char *interface, int code, struct br_error *err)
{
	char holder[BR_PORT_HOLDER];

	if (code == EACCES || code == EPERM)
		return br_error_set(err, code,
			"DHCP: not permitted to take port 67: run as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW");
	if (code != EADDRINUSE)
		return br_error_set(err, code, "DHCP: cannot take port 67 on %s: %s", interface, strerror(code));
	if (br_udp_port_holder(BR_DHCP_SERVER_PORT, holder))
		return br_error_set(err, code, "DHCP: port 67 on %s is taken by %s: %s", interface, holder, cure_for(holder));
	return br_error_set(err, code,
		"DHCP: port 67 on %s is taken by another program, most often dnsmasq or systemd-networkd (DHCPServer=yes); "
		"'ss -ulpn sport = :67' as root shows which one: stop it",
		interface);
}

static int check_interface(const char *interface, uint32_t ip, struct br_netif *ret, struct br_error *err)
{
	struct br_netif n;
	char text[BR_IP_TEXT], has[BR_IP_TEXT];
	int r = br_netif_info(interface, &n, err);

	if (r < 0)
		return r;
	br_ip_format(text, ip);
	if (!n.ethernet)
		return br_error_set(err, EINVAL,
			"interface %s: no Ethernet, boards cannot be behind it; name another one with --interface", n.name);
	if (!n.up)
		return br_error_set(err, ENETDOWN, "interface %s: down; take it up (ip link set %s up)", n.name, n.name);
	if (!n.ip)
		return br_error_set(err, EADDRNOTAVAIL,
			"interface %s: has no IPv4 address; give it one with --address %s/24, or ip address add %s/24 dev %s",
			n.name, text, text, n.name);
	r = br_netif_has_address(interface, ip);
	if (r == 0)
		return br_error_set(err, EADDRNOTAVAIL, "interface %s: has %s, but not the server's address %s; "
			"give it with --address", n.name, br_ip_format(has, n.ip), text);
	if (r < 0)
		return br_error_set(err, -r, "interface %s: cannot read its addresses: %s", n.name, strerror(-r));
	*ret = n;
	return 0;
}

static int set_flag(int fd, int level, int option)
{
	const int one = 1;

	return setsockopt(fd, level, option, &one, sizeof(one)) < 0 ? -errno : 0;
}

/* Past the system's limit as root, else what it allows: a smaller buffer is no failure, the drops are counted. */
static void set_receive_buffer(int fd)
{
	const int bytes = BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

/* No SO_REUSEADDR: two servers on one port would each miss half of the packets, silently. */
static int open_udp(const char *interface, struct br_error *err)
{
	static const struct {
		int level, option;
	} flags[] = {
		{ SOL_SOCKET, SO_BROADCAST },
		{ SOL_SOCKET, SO_RXQ_OVFL },
		{ IPPROTO_IP, IP_PKTINFO },
	};
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(BR_DHCP_SERVER_PORT) };
	br_cleanup(br_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = 0;

	if (fd < 0)
		return br_error_set(err, errno, "DHCP: no socket: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) < 0)
		return bind_error(interface, errno, err);
	for (size_t i = 0; i < BR_ARRAY_SIZE(flags) && r == 0; i++)
		r = set_flag(fd, flags[i].level, flags[i].option);
	if (r < 0)
		return br_error_set(err, -r, "DHCP: cannot set up the socket: %s", strerror(-r));
	set_receive_buffer(fd);
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		return bind_error(interface, errno, err);
	return br_take_fd(fd);
}

/* Protocol 0: it only sends, and receives no copy of the traffic. */
static int open_packet(struct br_error *err)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		return fd;
	if (errno == EPERM || errno == EACCES)
		return br_error_set(err, errno,
			"DHCP: not permitted to send raw frames, which boards without an address need: run as root or with CAP_NET_RAW");
	return br_error_set(err, errno, "DHCP: no packet socket: %s", strerror(errno));
}

/* One descriptor for the caller, whatever is behind it. */
static int open_waiting(struct br_dhcp_io *io, struct br_error *err)
{
	const int fds[] = { io->udp_fd, io->timer_fd };

	io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (io->timer_fd < 0 || io->epoll_fd < 0)
		return br_error_set(err, errno, "DHCP: no descriptors left: %s", strerror(errno));
	for (size_t i = 0; i < BR_ARRAY_SIZE(fds); i++) {
		struct epoll_event ev = { .events = EPOLLIN };

		if (epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, fds[i], &ev) < 0)
			return br_error_set(err, errno, "DHCP: cannot wait for packets: %s", strerror(errno));
	}
	return 0;
}

BR_DEFINE_CLEANUP(struct br_dhcp_io *, br_dhcp_io_close);

int br_dhcp_io_open(const char *interface, struct br_dhcp_server *server, struct br_dhcp_io **ret,
	struct br_error *err)
{
	br_cleanup(br_dhcp_io_closep) struct br_dhcp_io *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return -ENOMEM;
	io->server = server;
	io->udp_fd = io->packet_fd = io->epoll_fd = io->timer_fd = -1;
	r = check_interface(interface, br_dhcp_server_ip(server), &io->netif, err);
	if (r < 0)
		return r;
	io->udp_fd = r = open_udp(interface, err);
	if (r < 0)
		return r;
	io->packet_fd = r = open_packet(err);
	if (r < 0)
		return r;
	io->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = open_waiting(io, err);
	if (r < 0)
		return r;
	*ret = br_take(io);
	return 0;
}

void br_dhcp_io_close(struct br_dhcp_io *io)
{
	if (!io)
		return;
	br_closep(&io->udp_fd);
	br_closep(&io->packet_fd);
	br_closep(&io->timer_fd);
	br_closep(&io->epoll_fd);
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

/* To a client that has its address, or to a relay: the kernel's own road, from the server's address. */
static void send_routed(struct br_dhcp_io *io, struct br_dhcp_reply *reply)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(reply->to_port), .sin_addr.s_addr = htonl(reply->to_ip),
	};
	struct iovec iov = { .iov_base = reply->packet, .iov_len = reply->len };
	union {
		struct cmsghdr h;
		uint8_t b[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = { 0 };
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.b, .msg_controllen = sizeof(control.b),
	};
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(br_dhcp_server_ip(io->server)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	note_sent(io, sendmsg(io->udp_fd, &msg, 0), &io->stats.replies);
}

static void send_reply(struct br_dhcp_io *io, struct br_dhcp_reply *reply)
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
	uint8_t frame[BR_DHCP_FRAME_MAX];

	if (br_mac_is_zero(reply->to_mac)) {
		send_routed(io, reply);
		return;
	}
	send_frame(io, frame, br_dhcp_frame_udp(&f, reply->packet, reply->len, frame), &io->stats.replies);
}

/* The timer rings at the earliest nudge. */
static void set_timer(struct br_dhcp_io *io)
{
	struct itimerspec t = { 0 };
	uint64_t next = 0;

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
				(struct nudge){ .mac = reply->to_mac, .due_ns = reply->nudge_ns[i] };
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

/* One packet: 1, 0 when there is none, or a negative errno. */
static int serve_one(struct br_dhcp_io *io, uint64_t now_ns)
{
	uint8_t packet[RECEIVE_BYTES];
	union {
		struct cmsghdr h;
		uint8_t b[256];
	} control;
	struct iovec iov = { .iov_base = packet, .iov_len = sizeof(packet) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.b, .msg_controllen = sizeof(control.b),
	};
	struct br_dhcp_reply reply;
	ssize_t n = recvmsg(io->udp_fd, &msg, 0);
	int r;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	io->stats.received++;
	note_drops(io, &msg);
	r = br_dhcp_handle(io->server, packet, (size_t)n, now_ns, &reply);
	if (r < 0)
		io->stats.bad++;
	if (r > 0) {
		send_reply(io, &reply);
		plan_nudges(io, &reply);
	}
	return 1;
}

int br_dhcp_io_dispatch(struct br_dhcp_io *io, uint64_t now_ns)
{
	uint64_t rung;
	int n = 0, r = 1;

	while (n < BATCH && (r = serve_one(io, now_ns)) > 0)
		n++;
	(void)!read(io->timer_fd, &rung, sizeof(rung)); /* takes the ring away; the nudges know whether they are due */
	send_nudges(io, now_ns);
	set_timer(io);
	return r < 0 ? r : n;
}
