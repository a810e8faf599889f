/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual wire. A tap is preferred: the kernel hands complete frames (checksums
 * done, nothing larger than the MTU) and bridges them like a cable. The tap is not
 * persistent, so that it goes with its last descriptor however the process ends.
 */
#include "sim/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

struct br_sim_link {
	int fd;
	bool tap;
	char name[IFNAMSIZ];
};

static bool flags_up(int s, const char *ifname)
{
	struct ifreq q = { 0 };

	br_strcpy(q.ifr_name, sizeof(q.ifr_name), ifname);
	return ioctl(s, SIOCGIFFLAGS, &q) == 0 && q.ifr_flags & IFF_UP;
}

/* The driver's name tells; /sys would be another namespace's under "unshare -n". */
static bool is_bridge(int s, const char *ifname)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq q = { 0 };

	if (br_strcpy(q.ifr_name, sizeof(q.ifr_name), ifname) < 0)
		return false;
	q.ifr_data = (char *)&info;
	return ioctl(s, SIOCETHTOOL, &q) == 0 && !strcmp(info.driver, "bridge");
}

static int find_bridge(int s, char out[static IFNAMSIZ], struct br_error *err)
{
	struct if_nameindex *all = if_nameindex();
	int n = 0;

	for (struct if_nameindex *i = all; i && i->if_name; i++) {
		if (!is_bridge(s, i->if_name) || !flags_up(s, i->if_name))
			continue;
		br_strcpy(out, IFNAMSIZ, i->if_name);
		n++;
	}
	if (all)
		if_freenameindex(all);
	if (n == 1)
		return 0;
	return br_error_set(err, ENODEV,
		n ? "several bridges are up here: say which with --interface"
		  : "no bridge is up here: name the interface the server listens on with --interface");
}

/*
 * A bridge without an address of its own takes the lowest of its ports', so that a tap
 * coming or going would change the server's MAC address under the boards that boot.
 * Setting the address it has now keeps it. (All zeros: its last port went before; then
 * it will have the tap's, and keep that.)
 */
static int pin_address(int s, const char *bridge, struct br_error *err)
{
	static const char zeros[6] = { 0 };
	struct ifreq q = { 0 };

	br_strcpy(q.ifr_name, sizeof(q.ifr_name), bridge);
	if (ioctl(s, SIOCGIFHWADDR, &q) < 0 ||
		(memcmp(q.ifr_hwaddr.sa_data, zeros, sizeof(zeros)) && ioctl(s, SIOCSIFHWADDR, &q) < 0))
		return br_error_set(err, errno, "cannot keep the MAC address of bridge %s: %m", bridge);
	return 0;
}

static int open_tap(int s, const char *bridge, struct br_sim_link *l, struct br_error *err)
{
	struct ifreq q = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int r = pin_address(s, bridge, err);

	if (r < 0)
		return r;
	l->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (l->fd < 0)
		return br_error_set(err, errno,
			"/dev/net/tun: %m; a virtual board on bridge %s needs the tun module", bridge);
	br_strcpy(q.ifr_name, sizeof(q.ifr_name), "brsim%d");
	if (ioctl(l->fd, TUNSETIFF, &q) < 0)
		return br_error_set(err, errno, "cannot make a tap: %m; run as root");
	br_strcpy(l->name, sizeof(l->name), q.ifr_name);
	l->tap = true;

	struct ifreq b = { 0 };

	br_strcpy(b.ifr_name, sizeof(b.ifr_name), bridge);
	b.ifr_ifindex = (int)if_nametoindex(l->name);
	if (ioctl(s, SIOCBRADDIF, &b) < 0)
		return br_error_set(err, errno, "cannot attach tap %s to bridge %s: %m", l->name, bridge);
	memset(&q.ifr_ifru, 0, sizeof(q.ifr_ifru));
	q.ifr_flags = IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &q) < 0)
		return br_error_set(err, errno, "cannot bring tap %s up: %m", l->name);
	return pin_address(s, bridge, err);
}

static int open_packet(const char *ifname, struct br_sim_link *l, struct br_error *err)
{
	struct packet_mreq m = { .mr_type = PACKET_MR_PROMISC };
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int on = 1, room = 4 << 20;

	l->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return br_error_set(err, errno, "cannot open a packet socket: %m; run as root");
	a.sll_ifindex = m.mr_ifindex = (int)if_nametoindex(ifname);
	setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (setsockopt(l->fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
		setsockopt(l->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &m, sizeof(m)) < 0 ||
		bind(l->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return br_error_set(err, errno, "interface %s: cannot listen: %m", ifname);
	br_strcpy(l->name, sizeof(l->name), ifname);
	return 0;
}

int br_sim_link_open(const char *ifname, struct br_sim_link **ret, struct br_error *err)
{
	br_cleanup(br_closep) int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct br_sim_link *l = calloc(1, sizeof(*l));
	char found[IFNAMSIZ];
	int r = 0;

	if (!l || s < 0) {
		free(l);
		return br_error_set(err, ENOMEM, "virtual wire: out of memory or descriptors");
	}
	l->fd = -1;
	if (!ifname) {
		r = find_bridge(s, found, err);
		ifname = found;
	} else if (!if_nametoindex(ifname)) {
		r = br_error_set(err, ENODEV, "interface %s: not there; 'ip link' lists them", ifname);
	} else if (!flags_up(s, ifname)) {
		r = br_error_set(err, ENETDOWN, "interface %s is down; 'ip link set %s up'", ifname, ifname);
	}
	if (!r)
		r = is_bridge(s, ifname) ? open_tap(s, ifname, l, err) : open_packet(ifname, l, err);
	if (r < 0) {
		br_sim_link_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

void br_sim_link_close(struct br_sim_link *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

int br_sim_link_fd(const struct br_sim_link *l)
{
	return l->fd;
}

bool br_sim_link_is_tap(const struct br_sim_link *l)
{
	return l->tap;
}

const char *br_sim_link_name(const struct br_sim_link *l)
{
	return l->name;
}

static int recv_packet(struct br_sim_link *l, uint8_t *buf, size_t cap, bool *ret_unsummed)
{
	union {
		char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
		struct cmsghdr align;
	} control;
	struct sockaddr_ll from = { 0 };
	struct iovec v = { .iov_base = buf, .iov_len = cap };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &v,
		.msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(l->fd, &m, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	*ret_unsummed = false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		*ret_unsummed = aux.tp_status & TP_STATUS_CSUMNOTREADY;
	}
	return (int)n;
}

int br_sim_link_recv(struct br_sim_link *l, uint8_t *buf, size_t cap, bool *ret_unsummed)
{
	ssize_t n;

	if (!l->tap)
		return recv_packet(l, buf, cap, ret_unsummed);
	*ret_unsummed = false;
	n = read(l->fd, buf, cap);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return (int)n;
}

int br_sim_link_send(struct br_sim_link *l, const uint8_t *frame, size_t len)
{
	ssize_t n = l->tap ? write(l->fd, frame, len) : send(l->fd, frame, len, MSG_DONTWAIT);

	if (n < 0)
		return errno == ENOBUFS ? -EAGAIN : -errno;
	return 0;
}
