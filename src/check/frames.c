/* SPDX-License-Identifier: Apache-2.0 */
/* What can be heard on the boards' network in some seconds: spanning tree, and other DHCP servers. Nothing is sent. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/netif.h"
#include "base/text.h"
#include "check/check.h"

#define FRAMES_MAX 20000 /* looked at in one run, on a busy network too */

/* IEEE 802.1D, 9.3.1: to the bridges' group address, LLC 42 42 03, protocol 0. */
bool br_bpdu_parse(const uint8_t *frame, size_t n, struct br_bpdu *ret)
{
	static const uint8_t group[6] = { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x00 };
	struct br_reader r = br_reader_of(frame, n);
	const uint8_t *to = br_reader_take(&r, 6);
	unsigned protocol, version, type;

	(void)br_reader_take(&r, 6);
	(void)br_get_be16(&r); /* length */
	if (!to || memcmp(to, group, 6) != 0 || br_get_u8(&r) != 0x42 || br_get_u8(&r) != 0x42 || br_get_u8(&r) != 0x03)
		return false;
	protocol = br_get_be16(&r);
	version = br_get_u8(&r);
	type = br_get_u8(&r);
	if (r.failed || protocol != 0 || (type != 0 && type != 2))
		return false; /* of a topology change there is nothing to learn */
	(void)br_reader_take(&r, 1 + 8 + 4 + 8 + 2 + 2 + 2); /* flags, root, cost, bridge, port, age, maximum age */
	ret->version = version;
	ret->hello = br_get_be16(&r) >> 8; /* in 256ths of a second */
	ret->forward_delay = br_get_be16(&r) >> 8;
	return !r.failed;
}

bool br_check_offer_parse(const uint8_t *frame, size_t n, uint32_t *ret_ip)
{
	struct br_reader r = br_reader_of(frame, n);
	unsigned words, from;
	uint32_t ip;

	(void)br_reader_take(&r, 12);
	if (br_get_be16(&r) != ETH_P_IP)
		return false;
	words = br_get_u8(&r);
	if (words >> 4 != 4 || (words & 15) < 5)
		return false;
	(void)br_reader_take(&r, 8);
	if (br_get_u8(&r) != 17)
		return false;
	(void)br_get_be16(&r);
	ip = br_get_be32(&r);
	(void)br_reader_take(&r, 4 + ((words & 15) - 5) * 4);
	from = br_get_be16(&r);
	(void)br_reader_take(&r, 6);
	if (from != 67 || br_get_u8(&r) != 2 || r.failed || !ip) /* BOOTREPLY */
		return false;
	*ret_ip = ip;
	return true;
}

struct heard {
	bool bpdu;
	struct br_bpdu tree;
	uint32_t server;
};

static void take_frame(struct heard *h, const uint8_t *frame, size_t n, uint32_t own_ip)
{
	struct br_bpdu b;
	uint32_t ip;

	if (br_bpdu_parse(frame, n, &b)) {
		h->bpdu = true;
		h->tree = b;
	} else if (br_check_offer_parse(frame, n, &ip) && ip != own_ip) {
		h->server = ip;
	}
}

static int open_socket(const char *interface)
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(interface) };
	struct packet_mreq group = { .mr_ifindex = sa.sll_ifindex, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6,
		.mr_address = { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x00 } };
	br_cleanup(br_closep) int fd = sa.sll_ifindex ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;

	if (fd < 0)
		return sa.sll_ifindex ? -errno : -ENODEV;
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return br_take_fd(fd);
}

static void listen_for(struct heard *h, int fd, unsigned ms, uint32_t own_ip)
{
	uint64_t end = br_now_ns() + (uint64_t)ms * 1000000, now;
	uint8_t frame[2048];

	for (unsigned i = 0; i < FRAMES_MAX && (now = br_now_ns()) < end; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT);
		if (n > 0)
			take_frame(h, frame, (size_t)n, own_ip);
	}
}

/* A bridge of our own does it, too. */
static void own_bridge(struct br_checks *c)
{
	br_cleanup(br_freep) char *stp = br_asprintf("/sys/class/net/%s/bridge/stp_state", c->interface),
				  *delay = br_asprintf("/sys/class/net/%s/bridge/forward_delay", c->interface);
	int64_t hundredths = delay ? br_check_number(c, delay) : -1;

	if (stp && br_check_number(c, stp) > 0 && hundredths > 200)
		br_check_add(c, BR_CHECK_WARNING, "spanning tree", "a port that comes up passes nothing for twice that time: boot ROMs have given up by then",
			"ip link set BRIDGE type bridge stp_state 0    # or forward_delay 200", "the bridge %s has spanning tree on, with a forward delay of %lld s", c->interface,
			(long long)hundredths / 100);
}

static void tell(struct br_checks *c, const struct heard *h)
{
	char ip[BR_IP_TEXT];

	if (h->bpdu)
		br_check_add(c, BR_CHECK_WARNING, "spanning tree",
			"a port of the switch that comes up passes nothing for up to twice that time; a board's DHCP requests are over before (a Pi 3's ROM asks for "
			"25 s in all)", "on the switch, for the boards' ports: 'spanning-tree portfast' (Cisco), 'edge port' (others)",
			"the switch runs %s, with a forward delay of %u s", h->tree.version >= 3 ? "MSTP" : h->tree.version == 2 ? "RSTP" : "STP", h->tree.forward_delay);
	if (h->server)
		br_check_add(c, BR_CHECK_NOTE, "other DHCP", "with 'dhcp = auto' bramble leaves addresses to it; with 'full' there would be two, and boards take either's",
			"dhcp = proxy    # in bramble.conf, or switch that server off", "another DHCP server answers on this network: %s", br_ip_format(ip, h->server));
	if (!h->bpdu && !h->server)
		br_check_add(c, BR_CHECK_OK, "frames", "neither was heard in this time; a switch that is silent to edge ports tells nothing", NULL,
			"no spanning tree and no other DHCP server heard in %u s", c->listen_ms / 1000);
}

void br_check_frames(struct br_checks *c)
{
	struct br_netif netif = { 0 };
	struct heard h = { 0 };
	int fd;

	own_bridge(c);
	if (!c->listen_ms || !c->interface[0] || c->root[0])
		return;
	(void)br_netif_info(c->interface, &netif, NULL);
	fd = open_socket(c->interface);
	if (fd == -EPERM || fd == -EACCES) {
		br_check_add(c, BR_CHECK_NOTE, "frames", "only root may listen to the network", "sudo bramble check", "spanning tree and other DHCP servers were not looked for");
		return;
	}
	if (fd < 0) {
		br_check_add(c, BR_CHECK_NOTE, "frames", "spanning tree and other DHCP servers were not looked for", NULL, "%s cannot be listened to: %s", c->interface,
			strerrordesc_np(-fd));
		return;
	}
	listen_for(&h, fd, c->listen_ms, netif.ip);
	close(fd);
	tell(c, &h);
}
