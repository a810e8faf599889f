/* SPDX-License-Identifier: Apache-2.0 */
/* Opening what the DHCP server talks through, with words for what can be wrong. */
#include "dhcp/socket.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/portholder.h"
#include "wire/dhcp.h"

#define BUFFER_BYTES (4 << 20)	/* all boards of a hall after a power cut, while the loop is busy storing */

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

static int bind_error(const char *interface, uint16_t port, int code, struct br_error *err)
{
	char holder[BR_PORT_HOLDER];

	if (code == EACCES || code == EPERM)
		return br_error_set(err, code,
			"DHCP: not permitted to take port %u: run as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW",
			port);
	if (code != EADDRINUSE)
		return br_error_set(err, code, "DHCP: cannot take port %u on %s: %s", port, interface, strerror(code));
	if (br_udp_port_holder(port, holder))
		return br_error_set(err, code, "DHCP: port %u on %s is taken by %s: %s", port, interface, holder, cure_for(holder));
	return br_error_set(err, code,
		"DHCP: port %u on %s is taken by another program, most often dnsmasq or systemd-networkd (DHCPServer=yes); "
		"'ss -ulpn sport = :%u' as root shows which one: stop it",
		port, interface, port);
}

int br_dhcp_check_interface(const char *interface, uint32_t ip, struct br_netif *ret, struct br_error *err)
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
int br_dhcp_open_udp(const char *interface, uint16_t port, struct br_error *err)
{
	static const struct {
		int level, option;
	} flags[] = {
		{ SOL_SOCKET, SO_BROADCAST },
		{ SOL_SOCKET, SO_RXQ_OVFL },
		{ IPPROTO_IP, IP_PKTINFO },
	};
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	br_cleanup(br_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = 0;

	if (fd < 0)
		return br_error_set(err, errno, "DHCP: no socket: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) < 0)
		return bind_error(interface, port, errno, err);
	for (size_t i = 0; i < BR_ARRAY_SIZE(flags) && r == 0; i++)
		r = set_flag(fd, flags[i].level, flags[i].option);
	if (r < 0)
		return br_error_set(err, -r, "DHCP: cannot set up the socket: %s", strerror(-r));
	set_receive_buffer(fd);
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		return bind_error(interface, port, errno, err);
	return br_take_fd(fd);
}

int br_dhcp_rebind(int fd, const char *interface)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) < 0 ? -errno : 0;
}

int br_dhcp_open_changes(struct br_error *err)
{
	const struct sockaddr_nl groups = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR };
	br_cleanup(br_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&groups, sizeof(groups)) < 0)
		return br_error_set(err, errno, "DHCP: cannot hear of changes of the interface: %s", strerror(errno));
	return br_take_fd(fd);
}

/* Protocol 0: it only sends, and receives no copy of the traffic. */
int br_dhcp_open_packet(struct br_error *err)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		return fd;
	if (errno == EPERM || errno == EACCES)
		return br_error_set(err, errno,
			"DHCP: not permitted to send raw frames, which boards without an address need: run as root or with CAP_NET_RAW");
	return br_error_set(err, errno, "DHCP: no packet socket: %s", strerror(errno));
}
