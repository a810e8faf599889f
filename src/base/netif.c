/* SPDX-License-Identifier: Apache-2.0 */
/* Network interfaces: what they are, which has the default route, giving one an address (rtnetlink). */
#include "base/netif.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"

_Static_assert(BR_NETIF_NAME == IFNAMSIZ, "interface names have the kernel's size");

static int no_such_interface(const char *name, struct br_error *err)
{
	br_cleanup(br_text_done) struct br_text names = BR_TEXT_NULL;
	struct if_nameindex *all = if_nameindex();
	char vis[80];

	for (struct if_nameindex *i = all; i && i->if_index; i++)
		br_text_addf(&names, "%s%s", names.len ? ", " : "", i->if_name);
	if (all)
		if_freenameindex(all);
	return br_error_set(err, ENODEV, "interface %s: there is none of this name; this machine has %s",
		br_vis(vis, sizeof(vis), name, strlen(name)), names.buf ? names.buf : "none");
}

static bool link_local(uint32_t ip)
{
	return ip >> 16 == 0xa9fe; /* RFC 3927 */
}

/* An IPv4 address of the interface; one with a label ("eth0:1") too. */
static bool is_address_of(const struct ifaddrs *a, const char *name)
{
	size_t n = strcspn(a->ifa_name, ":");

	return a->ifa_addr && a->ifa_addr->sa_family == AF_INET && a->ifa_netmask && !strncmp(a->ifa_name, name, n) &&
		!name[n];
}

/* First IPv4 address in the kernel's order (primary ones first). */
static int read_address(struct br_netif *n)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (struct ifaddrs *a = all; a; a = a->ifa_next) {
		struct sockaddr_in sin, mask;
		uint32_t ip;

		if (!is_address_of(a, n->name))
			continue;
		memcpy(&sin, a->ifa_addr, sizeof(sin));
		memcpy(&mask, a->ifa_netmask, sizeof(mask));
		ip = ntohl(sin.sin_addr.s_addr);
		if (n->ip && !(link_local(n->ip) && !link_local(ip)))
			continue;
		n->ip = ip;
		n->prefix = (unsigned)__builtin_popcount(mask.sin_addr.s_addr);
	}
	freeifaddrs(all);
	return 0;
}

/* One of the SIOCGIF... questions. */
static int ask(int fd, unsigned long what, const char *name, struct ifreq *ifr)
{
	memset(ifr, 0, sizeof(*ifr));
	memcpy(ifr->ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return ioctl(fd, what, ifr) < 0 ? -errno : 0;
}

int br_netif_info(const char *name, struct br_netif *ret, struct br_error *err)
{
	struct br_netif n = { 0 };
	struct ifreq ifr;
	br_cleanup(br_closep) int fd = -1;
	int r;

	if (!name[0] || br_strcpy(n.name, sizeof(n.name), name) < 0)
		return no_such_interface(name, err);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return br_error_set(err, errno, "interface %s: cannot ask the kernel: %s", n.name, strerror(errno));
	n.index = if_nametoindex(n.name);
	r = n.index ? ask(fd, SIOCGIFFLAGS, n.name, &ifr) : -ENODEV;
	if (r == -ENODEV)
		return no_such_interface(name, err);
	if (r == 0) {
		n.up = ifr.ifr_flags & IFF_UP;
		n.carrier = ifr.ifr_flags & IFF_RUNNING;
		r = ask(fd, SIOCGIFHWADDR, n.name, &ifr);
	}
	if (r == 0) {
		n.ethernet = ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER;
		if (n.ethernet)
			memcpy(n.mac.b, ifr.ifr_hwaddr.sa_data, 6);
		r = ask(fd, SIOCGIFMTU, n.name, &ifr);
	}
	if (r == 0) {
		n.mtu = (unsigned)ifr.ifr_mtu;
		r = read_address(&n);
	}
	if (r < 0)
		return br_error_set(err, -r, "interface %s: cannot ask the kernel: %s", n.name, strerror(-r));
	*ret = n;
	return 0;
}

/* The next default route of /proc/net/route; false at the end. */
static bool next_default(FILE *f, char dev[static BR_NETIF_NAME], unsigned long *metric)
{
	char line[256];

	while (fgets(line, sizeof(line), f)) {
		unsigned long dest, gateway, flags, ref, use, mask;

		if (sscanf(line, "%15s %lx %lx %lx %lu %lu %lu %lx", dev, &dest, &gateway, &flags, &ref, &use, metric,
			    &mask) != 8)
			continue; /* the heading */
		if (!dest && !mask && (flags & RTF_UP) && !(flags & RTF_REJECT))
			return true;
	}
	return false;
}

int br_netif_default(char name[static BR_NETIF_NAME], struct br_error *err)
{
	br_cleanup(br_fclosep) FILE *f = fopen("/proc/net/route", "re");
	char dev[BR_NETIF_NAME], best[BR_NETIF_NAME] = "";
	unsigned long metric, best_metric = 0;

	if (!f)
		return br_error_set(err, errno, "routes: cannot read /proc/net/route: %s; name the interface with --interface",
			strerror(errno));
	while (next_default(f, dev, &metric)) {
		if (best[0] && metric >= best_metric)
			continue;
		memcpy(best, dev, sizeof(best));
		best_metric = metric;
	}
	if (!best[0])
		return br_error_set(err, ENOENT,
			"no interface was named and this machine has no default route to guess one from; name it with --interface");
	memcpy(name, best, sizeof(best));
	return 0;
}

bool br_netif_has_default_route(const char *name)
{
	br_cleanup(br_fclosep) FILE *f = fopen("/proc/net/route", "re");
	char dev[BR_NETIF_NAME];
	unsigned long metric;

	while (f && next_default(f, dev, &metric))
		if (!strcmp(dev, name))
			return true;
	return !f;
}

#define GC_THRESH "/proc/sys/net/ipv4/neigh/default/gc_thresh%d"

static int read_thresh(int i, unsigned *ret)
{
	char path[64];

	snprintf(path, sizeof(path), GC_THRESH, i);
	br_cleanup(br_fclosep) FILE *f = fopen(path, "re");

	return f && fscanf(f, "%9u", ret) == 1 ? 0 : -ENOENT;
}

static int write_thresh(int i, unsigned value)
{
	char path[64], text[16];
	int fd, n, r;

	snprintf(path, sizeof(path), GC_THRESH, i);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "%u", value);
	r = write(fd, text, (size_t)n) == n ? 0 : -errno;
	close(fd);
	return r;
}

int br_netif_neighbour_room(unsigned n, unsigned *ret_was)
{
	unsigned old[3];
	int r = 0;

	for (int i = 0; i < 3; i++)
		if (read_thresh(i + 1, &old[i]) < 0)
			return 0;
	*ret_was = old[2];
	/* up to the first nothing is thrown out, beyond the second what is five seconds old, beyond the third nothing
	 * goes in (arp(7)) */
	if (old[1] >= n + n / 4 && old[2] >= 2 * n)
		return 0;
	for (int i = 2; i >= 0 && !r; i--) {
		unsigned want = n << i;

		r = old[i] < want ? write_thresh(i + 1, want) : 0;
	}
	return r < 0 ? r : 1;
}

unsigned br_netif_speed(const char *name)
{
	char path[64];
	int mbit = 0;

	snprintf(path, sizeof(path), "/sys/class/net/%s/speed", name);
	br_cleanup(br_fclosep) FILE *f = strchr(name, '/') ? NULL : fopen(path, "re");

	/* -1 where the driver does not know; some virtual ones fail the read */
	return f && fscanf(f, "%9d", &mbit) == 1 && mbit > 0 ? (unsigned)mbit : 0;
}

/* One rtnetlink request about an IPv4 address, and the kernel's answer as a negative errno. */
static int address_request(uint16_t type, uint16_t flags, unsigned index, uint32_t ip, unsigned prefix)
{
	struct {
		struct nlmsghdr h;
		struct ifaddrmsg m;
		uint8_t attrs[3 * RTA_SPACE(4)];
	} req = {
		.h = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags, .nlmsg_seq = 1 },
		.m = { .ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)prefix, .ifa_index = index },
	};
	union {
		struct nlmsghdr h;
		uint8_t b[4096];
	} answer;
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	const uint16_t kinds[] = { IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST };
	size_t n_kinds = prefix < 31 ? 3 : 2, len = NLMSG_LENGTH(sizeof(req.m)); /* RFC 3021: no broadcast in a /31 */
	br_cleanup(br_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct nlmsgerr e;
	ssize_t got;

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < n_kinds; i++) {
		struct rtattr a = { .rta_len = RTA_LENGTH(4), .rta_type = kinds[i] };
		uint32_t v = htonl(kinds[i] == IFA_BROADCAST ? ip | ~br_ip_mask(prefix) : ip);

		memcpy(req.attrs + i * RTA_SPACE(4), &a, sizeof(a));
		memcpy(req.attrs + i * RTA_SPACE(4) + RTA_LENGTH(0), &v, 4);
		len += RTA_SPACE(4);
	}
	req.h.nlmsg_len = (uint32_t)len;
	if (sendto(fd, &req, len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	got = recv(fd, &answer, sizeof(answer), 0);
	if (got < 0)
		return -errno;
	if ((size_t)got < NLMSG_LENGTH(sizeof(e)) || answer.h.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	memcpy(&e, NLMSG_DATA(&answer.h), sizeof(e));
	return e.error;
}

static int take_up(const char *name)
{
	struct ifreq ifr;
	br_cleanup(br_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = ask(fd, SIOCGIFFLAGS, name, &ifr);
	if (r < 0 || (ifr.ifr_flags & IFF_UP))
		return r;
	ifr.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

/* The prefix the interface has this very address with, -ENOENT when it has not. */
static int prefix_of(const char *name, uint32_t ip)
{
	struct ifaddrs *all;
	int prefix = -ENOENT;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (struct ifaddrs *a = all; a && prefix < 0; a = a->ifa_next) {
		struct sockaddr_in sin, mask;

		if (!is_address_of(a, name))
			continue;
		memcpy(&sin, a->ifa_addr, sizeof(sin));
		memcpy(&mask, a->ifa_netmask, sizeof(mask));
		if (ntohl(sin.sin_addr.s_addr) == ip)
			prefix = __builtin_popcount(mask.sin_addr.s_addr);
	}
	freeifaddrs(all);
	return prefix;
}

int br_netif_has_address(const char *name, uint32_t ip)
{
	int prefix = prefix_of(name, ip);

	return prefix >= 0 ? 1 : prefix == -ENOENT ? 0 : prefix;
}

static int not_permitted(const char *name, const char *what, int r, struct br_error *err)
{
	return br_error_set(err, -r, "interface %s: cannot %s: %s%s", name, what, strerror(-r),
		r == -EPERM || r == -EACCES ? "; run as root or with CAP_NET_ADMIN" : "");
}

int br_netif_add_address(const char *name, uint32_t ip, unsigned prefix, struct br_error *err)
{
	struct br_netif n = { 0 };
	char text[BR_IP_TEXT];
	int have, r;

	br_ip_format(text, ip);
	if (!ip || ip >> 28 >= 14 || prefix < 1 || prefix > 32)
		return br_error_set(err, EINVAL, "address %s/%u: an interface cannot have this address", text, prefix);
	r = br_netif_info(name, &n, err);
	if (r < 0)
		return r;
	have = prefix_of(name, ip);
	if (have >= 0 && have != (int)prefix)
		return br_error_set(err, EEXIST, "interface %s: has %s already, but as /%d and not /%u; use --address %s/%d",
			name, text, have, prefix, text, have);
	if (have < 0) {
		r = address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, n.index, ip, prefix);
		if (r < 0 && r != -EEXIST)
			return not_permitted(name, "add the address", r, err);
	}
	r = take_up(name);
	if (r < 0)
		return not_permitted(name, "take it up", r, err);
	return have < 0;
}

int br_netif_remove_address(const char *name, uint32_t ip, unsigned prefix, struct br_error *err)
{
	struct br_netif n = { 0 };
	int r;

	r = br_netif_info(name, &n, err);
	if (r < 0)
		return r;
	r = address_request(RTM_DELADDR, 0, n.index, ip, prefix);
	if (r < 0 && r != -EADDRNOTAVAIL)
		return not_permitted(name, "remove the address", r, err);
	return 0;
}
