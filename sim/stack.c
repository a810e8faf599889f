/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ARP (RFC 826), IPv4 (RFC 791) and UDP (RFC 768) as the boot stages do them. What
 * differs between the stages is in struct br_sim_netstyle, cited there.
 */
#include "sim/stack.h"

#include <string.h>

#include "base/bytes.h"

#define ETH_IP	0x0800
#define ETH_ARP 0x0806
#define IP_TCP	6
#define IP_UDP	17
#define ETH_LEN 14
#define IP_LEN	20
#define UDP_LEN 8
#define TCP_LEN 20
#define TCP_SUM_AT 16
#define FRAME_MIN 60 /* shorter ones are padded by the MAC */
#define UDP_MAX 1472 /* 1500 - IP - UDP */

static const struct br_mac broadcast = { { 255, 255, 255, 255, 255, 255 } };
/* BCM2837 code sends here when nobody answered its ARP request (wire facts 1.6). */
static const struct br_mac blind_mac = { { 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa } };

static uint32_t sum_add(uint32_t sum, const uint8_t *p, size_t n)
{
	for (; n >= 2; p += 2, n -= 2)
		sum += br_load_be16(p);
	if (n)
		sum += (uint32_t)p[0] << 8;
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Of UDP or TCP, with the pseudo header in front. */
static uint16_t udp_sum(const uint8_t *ip, const uint8_t *udp, size_t udp_len)
{
	uint32_t sum = sum_add(0, ip + 12, 8); /* both addresses */

	return sum_end(sum_add(sum + ip[9] + (uint32_t)udp_len, udp, udp_len));
}

void br_sim_stack_reset(struct br_sim_stack *s, const struct br_sim_netstyle *style)
{
	s->style = style;
	s->ip = s->mask = s->router = s->hop = 0;
	s->hop_known = s->busy = false;
	s->next_id = 0;
}

void br_sim_stack_route(struct br_sim_stack *s, uint32_t server)
{
	bool far = s->mask && (server & s->mask) != (s->ip & s->mask);

	s->hop = far && s->style->gateway && s->router ? s->router : server;
	s->hop_known = false;
}

static void put_mac(struct br_writer *w, struct br_mac m)
{
	br_put_bytes(w, m.b, 6);
}

static void put_eth(struct br_writer *w, struct br_mac dst, struct br_mac src, uint16_t type)
{
	put_mac(w, dst);
	put_mac(w, src);
	br_put_be16(w, type);
}

static void send_arp(struct br_sim_stack *s, uint16_t op, struct br_mac dst, struct br_mac target, uint32_t target_ip)
{
	uint8_t buf[FRAME_MIN] = { 0 };
	struct br_writer w = br_writer_of(buf, sizeof(buf));

	put_eth(&w, dst, s->mac, ETH_ARP);
	br_put_be16(&w, 1); /* Ethernet */
	br_put_be16(&w, ETH_IP);
	br_put_u8(&w, 6);
	br_put_u8(&w, 4);
	br_put_be16(&w, op);
	put_mac(&w, s->mac);
	br_put_be32(&w, s->ip);
	put_mac(&w, target);
	br_put_be32(&w, target_ip);
	s->send(s->ctx, buf, sizeof(buf));
}

void br_sim_stack_arp_ask(struct br_sim_stack *s)
{
	send_arp(s, 1, broadcast, (struct br_mac){ 0 }, s->hop);
}

/* Ethernet and IP headers for len bytes behind them. */
static void put_ip(struct br_sim_stack *s, struct br_writer *w, uint32_t dst, uint8_t protocol, size_t len)
{
	struct br_mac to = dst == BR_SIM_IP_ANY ? broadcast : s->hop_known ? s->hop_mac : blind_mac;

	put_eth(w, to, s->mac, ETH_IP);
	br_put_be16(w, 0x4500);
	br_put_be16(w, (uint16_t)(IP_LEN + len));
	br_put_be16(w, s->style->id_counts ? s->next_id++ : 0);
	br_put_be16(w, s->style->dont_fragment ? 0x4000 : 0); /* clear in every stage of firmware */
	br_put_u8(w, s->style->ttl);
	br_put_u8(w, protocol);
	br_put_be16(w, 0);
	br_put_be32(w, s->ip);
	br_put_be32(w, dst);
	br_store_be16(w->buf + ETH_LEN + 10, sum_end(sum_add(0, w->buf + ETH_LEN, IP_LEN)));
}

static void send_frame(struct br_sim_stack *s, const struct br_writer *w)
{
	s->send(s->ctx, w->buf, w->len < FRAME_MIN ? FRAME_MIN : w->len);
}

void br_sim_stack_udp(struct br_sim_stack *s, uint32_t dst, uint16_t src_port, uint16_t dst_port,
	const void *data, size_t len)
{
	uint8_t buf[ETH_LEN + IP_LEN + UDP_LEN + UDP_MAX] = { 0 };
	struct br_writer w = br_writer_of(buf, sizeof(buf));
	uint8_t *udp = buf + ETH_LEN + IP_LEN;

	if (len > UDP_MAX)
		return;
	put_ip(s, &w, dst, IP_UDP, UDP_LEN + len);
	br_put_be16(&w, src_port);
	br_put_be16(&w, dst_port);
	br_put_be16(&w, (uint16_t)(UDP_LEN + len));
	br_put_be16(&w, 0);
	br_put_bytes(&w, data, len);
	if (s->style->udp_checksum) {
		uint16_t sum = udp_sum(buf + ETH_LEN, udp, UDP_LEN + len);

		br_store_be16(udp + 6, sum ? sum : 0xffff); /* RFC 768: 0 means none */
	}
	send_frame(s, &w);
}

void br_sim_stack_tcp(struct br_sim_stack *s, uint32_t dst, uint8_t *segment, size_t len)
{
	uint8_t buf[ETH_LEN + IP_LEN + UDP_LEN + UDP_MAX] = { 0 };
	struct br_writer w = br_writer_of(buf, sizeof(buf));

	if (len < TCP_LEN || len > UDP_LEN + UDP_MAX)
		return;
	put_ip(s, &w, dst, IP_TCP, len);
	br_store_be16(segment + TCP_SUM_AT, udp_sum(buf + ETH_LEN, segment, len));
	br_put_bytes(&w, segment, len);
	send_frame(s, &w);
}

static enum br_sim_rx input_arp(struct br_sim_stack *s, struct br_reader r)
{
	uint32_t kind = br_get_be32(&r), lengths = br_get_be16(&r), op = br_get_be16(&r);
	const uint8_t *sender = br_reader_take(&r, 6);
	uint32_t sender_ip = br_get_be32(&r);
	uint32_t target_ip;
	struct br_mac from;

	br_reader_take(&r, 6);
	target_ip = br_get_be32(&r);
	if (r.failed || kind != (1u << 16 | ETH_IP) || lengths != 0x0604 || !s->ip || target_ip != s->ip)
		return BR_SIM_RX_NOTHING;
	memcpy(from.b, sender, 6);
	if (op == 1 && (!s->busy || s->style->arp_when_busy))
		send_arp(s, 2, from, from, sender_ip);
	if (op == 2 && s->hop && sender_ip == s->hop && !s->hop_known) {
		s->hop_mac = from;
		s->hop_known = true;
		return BR_SIM_RX_HOP;
	}
	return BR_SIM_RX_NOTHING;
}

static enum br_sim_rx input_ip(struct br_sim_stack *s, const uint8_t *ip, size_t left, bool unsummed,
	struct br_sim_datagram *ret)
{
	size_t head = left >= IP_LEN ? (size_t)(ip[0] & 15) * 4 : 0, total, udp_len;
	const uint8_t *udp;

	if (left < IP_LEN || ip[0] >> 4 != 4 || head < IP_LEN || head > left)
		return BR_SIM_RX_NOTHING;
	total = br_load_be16(ip + 2);
	if (total > left || total < head + UDP_LEN || (ip[9] != IP_UDP && ip[9] != IP_TCP))
		return BR_SIM_RX_NOTHING;
	ret->src_ip = br_load_be32(ip + 12);
	ret->dst_ip = br_load_be32(ip + 16);
	/* before it has an address, firmware takes a unicast OFFER to whatever address it promises */
	if (s->ip && ret->dst_ip != s->ip && ret->dst_ip != BR_SIM_IP_ANY)
		return BR_SIM_RX_NOTHING;
	if (sum_end(sum_add(0, ip, head)) != 0)
		return BR_SIM_RX_BAD_SUM;
	if (br_load_be16(ip + 6) & 0x3fff) /* more fragments, or an offset */
		return BR_SIM_RX_FRAGMENT;
	udp = ip + head;
	if (ip[9] == IP_TCP) {
		ret->data = udp;
		ret->len = total - head;
		if (ret->len < TCP_LEN)
			return BR_SIM_RX_NOTHING;
		return unsummed || !udp_sum(ip, udp, ret->len) ? BR_SIM_RX_SEGMENT : BR_SIM_RX_BAD_SUM;
	}
	udp_len = br_load_be16(udp + 4);
	if (udp_len < UDP_LEN || udp_len > total - head)
		return BR_SIM_RX_NOTHING;
	if (!unsummed && br_load_be16(udp + 6) && udp_sum(ip, udp, udp_len) != 0)
		return BR_SIM_RX_BAD_SUM;
	ret->src_port = br_load_be16(udp);
	ret->dst_port = br_load_be16(udp + 2);
	ret->data = udp + UDP_LEN;
	ret->len = udp_len - UDP_LEN;
	return BR_SIM_RX_DATAGRAM;
}

enum br_sim_rx br_sim_stack_input(struct br_sim_stack *s, const uint8_t *frame, size_t len, bool unsummed,
	struct br_sim_datagram *ret)
{
	uint16_t type;

	if (len < ETH_LEN || (memcmp(frame, s->mac.b, 6) && memcmp(frame, broadcast.b, 6)))
		return BR_SIM_RX_NOTHING;
	type = br_load_be16(frame + 12);
	if (type == ETH_ARP)
		return input_arp(s, br_reader_of(frame + ETH_LEN, len - ETH_LEN));
	if (type == ETH_IP)
		return input_ip(s, frame + ETH_LEN, len - ETH_LEN, unsummed, ret);
	return BR_SIM_RX_NOTHING;
}
