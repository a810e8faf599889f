/* SPDX-License-Identifier: Apache-2.0 */
/* Other servers' replies and ARP answers, out of frames. */
#include "dhcp/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define PROTO_UDP 17
#define PI_ITEM "Raspberry Pi Boot"

/* The UDP payload of an unfragmented IPv4 frame from port 67 to port 68; NULL for any other. */
static const uint8_t *udp_payload(const uint8_t *frame, size_t n, size_t *ret_len, uint32_t *ret_src)
{
	size_t ip_len, total, udp_len;
	const uint8_t *ip = frame + 14, *udp;

	if (n < 14 + 20 + 8 || br_load_be16(frame + 12) != ETHERTYPE_IP || ip[0] >> 4 != 4)
		return NULL;
	ip_len = (size_t)(ip[0] & 15) * 4;
	total = br_load_be16(ip + 2);
	if (ip_len < 20 || total > n - 14 || total < ip_len + 8 || ip[9] != PROTO_UDP || br_load_be16(ip + 6) & 0x3fff)
		return NULL;
	udp = ip + ip_len;
	udp_len = br_load_be16(udp + 4);
	if (br_load_be16(udp) != BR_DHCP_SERVER_PORT || br_load_be16(udp + 2) != BR_DHCP_CLIENT_PORT || udp_len < 8 ||
		udp_len > total - ip_len)
		return NULL;
	*ret_src = br_load_be32(ip + 12);
	*ret_len = udp_len - 8;
	return udp + 8;
}

static unsigned prefix_of(const struct br_dhcp_message *m)
{
	return (unsigned)__builtin_popcount(br_dhcp_option_ip(m, BR_DHCP_OPT_MASK));
}

int br_dhcp_watch_reply(const uint8_t *frame, size_t n, struct br_dhcp_foreign *ret)
{
	struct br_dhcp_message m;
	size_t len = 0, menu_len = 0;
	uint32_t src = 0;
	const uint8_t *p = udp_payload(frame, n, &len, &src), *menu;

	if (!p || br_dhcp_decode(p, len, &m) < 0 || m.h.op != BR_DHCP_BOOTREPLY)
		return 0;
	if (m.type != BR_DHCP_OFFER && m.type != BR_DHCP_ACK && m.type != BR_DHCP_NAK)
		return 0;
	menu = br_dhcp_option(&m, BR_DHCP_OPT_VENDOR, &menu_len);
	*ret = (struct br_dhcp_foreign){
		.server_ip = br_dhcp_option_ip(&m, BR_DHCP_OPT_SERVER_ID),
		.client_mac = m.h.chaddr,
		.type = m.type,
		.offered = m.type == BR_DHCP_NAK ? 0 : m.h.yiaddr,
		.prefix = prefix_of(&m),
		.menu = menu_len > 0,
	};
	if (!ret->server_ip)
		ret->server_ip = src;
	memcpy(ret->server_mac.b, frame + 6, 6);
	ret->boots = br_dhcp_has(&m, BR_DHCP_OPT_TFTP_NAME) || (menu && memmem(menu, menu_len, PI_ITEM, strlen(PI_ITEM)));
	return 1;
}

/* Ethernet and IPv4 in the fixed part of an ARP packet (RFC 826). */
static const uint8_t arp_head[] = { 0, 1, 8, 0, 6, 4 };

int br_dhcp_watch_arp(const uint8_t *frame, size_t n, uint32_t *ret_ip, struct br_mac *ret_mac)
{
	if (n < BR_DHCP_ARP_LEN || br_load_be16(frame + 12) != ETHERTYPE_ARP ||
		memcmp(frame + 14, arp_head, sizeof(arp_head)) != 0 || br_load_be16(frame + 20) != 2)
		return 0;
	memcpy(ret_mac->b, frame + 22, 6);
	*ret_ip = br_load_be32(frame + 28);
	return *ret_ip != 0;
}

size_t br_dhcp_arp_probe(struct br_mac src, uint32_t ip, uint8_t out[static BR_DHCP_ARP_LEN])
{
	struct br_writer w = br_writer_of(out, BR_DHCP_ARP_LEN);

	for (int i = 0; i < 6; i++)
		br_put_u8(&w, 0xff);
	br_put_bytes(&w, src.b, 6);
	br_put_be16(&w, ETHERTYPE_ARP);
	br_put_bytes(&w, arp_head, sizeof(arp_head));
	br_put_be16(&w, 1);
	br_put_bytes(&w, src.b, 6);
	br_put_be32(&w, 0);
	br_put_zeros(&w, 6);
	br_put_be32(&w, ip);
	return w.len;
}

/* ARP replies, and unfragmented UDP from port 67 to port 68; everything else stays in the kernel. */
static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_ARP, 8, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 0, 10),
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROTO_UDP, 0, 8),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 6, 0), /* a fragment */
	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
	BPF_STMT(BPF_LD | BPF_W | BPF_IND, 14),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BR_DHCP_SERVER_PORT << 16 | BR_DHCP_CLIENT_PORT, 2, 3),
	BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 20),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1), /* ARP reply */
	BPF_STMT(BPF_RET | BPF_K, 0xffff),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

int br_dhcp_watch_bind(int fd, unsigned ifindex)
{
	const struct sockaddr_ll on = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)ifindex,
	};

	return bind(fd, (const struct sockaddr *)&on, sizeof(on)) < 0 ? -errno : 0;
}

int br_dhcp_watch_open(unsigned ifindex)
{
	const struct sock_fprog program = { .len = BR_ARRAY_SIZE(filter), .filter = filter };
	const int one = 1;
	int r;
	/* protocol 0: nothing comes before the filter is in place */
	br_cleanup(br_closep) int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0)
		return -errno;
	r = br_dhcp_watch_bind(fd, ifindex);
	return r < 0 ? r : br_take_fd(fd);
}
