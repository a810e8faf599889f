/* SPDX-License-Identifier: Apache-2.0 */
/* Frames to structs, and to words. */
#include "why/frame.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "dhcp/classify.h"
#include "wire/dhcp.h"
#include "wire/tftp.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP  0x0806
#define ETHERTYPE_RARP 0x8035
#define ETHERTYPE_IPV6 0x86dd
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ICMP6 58

static struct br_mac get_mac(struct br_reader *r)
{
	struct br_mac m = { 0 };
	const uint8_t *p = br_reader_take(r, sizeof(m.b));

	if (p)
		memcpy(m.b, p, sizeof(m.b));
	return m;
}

/* RFC 826 for IPv4 on Ethernet; other address families are none of ours. */
static int parse_arp(struct br_reader *r, struct br_frame *f)
{
	uint32_t types = br_get_be32(r);
	uint16_t lengths = br_get_be16(r);

	f->arp_op = br_get_be16(r);
	f->arp_sender = get_mac(r);
	f->src_ip = br_get_be32(r);
	get_mac(r);
	f->dst_ip = br_get_be32(r);
	if (r->failed || types != 0x00010800 || lengths != 0x0604)
		return -EBADMSG;
	f->kind = f->ethertype == ETHERTYPE_ARP ? BR_FRAME_ARP : BR_FRAME_RARP;
	return 0;
}

static int parse_udp(struct br_reader *r, struct br_frame *f, enum br_frame_kind kind)
{
	uint16_t len;

	f->src_port = br_get_be16(r);
	f->dst_port = br_get_be16(r);
	len = br_get_be16(r);
	br_get_be16(r);
	if (r->failed || len < 8)
		return -EBADMSG;
	f->kind = kind;
	f->payload = r->p;
	f->len = br_reader_left(r) < len - 8u ? br_reader_left(r) : len - 8u;
	return 0;
}

static int parse_tcp(struct br_reader *r, struct br_frame *f)
{
	const uint8_t *h = br_reader_take(r, 20);
	size_t header;

	if (!h)
		return -EBADMSG;
	header = (size_t)(h[12] >> 4) * 4;
	if (header < 20)
		return -EBADMSG;
	br_reader_take(r, header - 20);
	if (r->failed)
		return -EBADMSG;
	f->src_port = br_load_be16(h);
	f->dst_port = br_load_be16(h + 2);
	f->tcp_flags = h[13];
	f->kind = BR_FRAME_TCP;
	f->payload = r->p;
	f->len = br_reader_left(r);
	return 0;
}

static int parse_ipv4(struct br_reader *r, struct br_frame *f)
{
	const uint8_t *h = br_reader_take(r, 20);
	size_t header, total;

	if (!h || h[0] >> 4 != 4)
		return -EBADMSG;
	header = (size_t)(h[0] & 15) * 4;
	total = br_load_be16(h + 2);
	if (header < 20 || total < header)
		return -EBADMSG;
	f->src_ip = br_load_be32(h + 12);
	f->dst_ip = br_load_be32(h + 16);
	/* behind the packet there may be padding of the frame */
	if (br_reader_left(r) > total - 20)
		r->end = r->p + (total - 20);
	if (header > 20)
		br_reader_take(r, header - 20);
	if (r->failed)
		return -EBADMSG;
	if (br_load_be16(h + 6) & 0x1fff)
		return 0;
	if (h[9] == PROTO_UDP)
		return parse_udp(r, f, BR_FRAME_UDP);
	return h[9] == PROTO_TCP ? parse_tcp(r, f) : 0;
}

static int parse_ipv6(struct br_reader *r, struct br_frame *f)
{
	static const uint8_t unspecified[16];
	const uint8_t *h = br_reader_take(r, 40), *icmp;

	if (!h || h[0] >> 4 != 6)
		return -EBADMSG;
	if (h[6] == PROTO_UDP)
		return parse_udp(r, f, BR_FRAME_UDP6);
	if (h[6] != PROTO_ICMP6)
		return 0;
	icmp = br_reader_take(r, 8);
	if (!icmp)
		return -EBADMSG;
	f->kind = BR_FRAME_ICMP6;
	f->icmp6_type = icmp[0];
	if (f->icmp6_type == 135 && br_reader_left(r) >= 16)
		f->icmp6_for_nobody = !memcmp(r->p, unspecified, 16);
	return 0;
}

int br_frame_parse(const void *data, size_t len, struct br_frame *ret)
{
	struct br_reader r = br_reader_of(data, len);

	*ret = (struct br_frame){ 0 };
	ret->dst = get_mac(&r);
	ret->src = get_mac(&r);
	ret->ethertype = br_get_be16(&r);
	if (r.failed)
		return -EBADMSG;
	switch (ret->ethertype) {
	case ETHERTYPE_ARP:
	case ETHERTYPE_RARP:
		return parse_arp(&r, ret);
	case ETHERTYPE_IPV4:
		return parse_ipv4(&r, ret);
	case ETHERTYPE_IPV6:
		return parse_ipv6(&r, ret);
	default:
		return 0;
	}
}

static void dhcp_text(struct br_text *t, const struct br_frame *f)
{
	struct br_dhcp_message m;
	struct br_dhcp_client c;
	char ip[BR_IP_TEXT], ip2[BR_IP_TEXT];

	if (br_dhcp_decode(f->payload, f->len, &m) < 0) {
		br_text_add(t, "DHCP, not to be read");
		return;
	}
	br_text_addf(t, "DHCP %s", br_dhcp_type_name(m.type));
	if (m.h.op == BR_DHCP_BOOTREQUEST) {
		br_dhcp_classify(&m, &c);
		br_text_addf(t, " (%s)", br_dhcp_client_name(c.kind));
		return;
	}
	br_text_addf(t, " of %s from %s", br_ip_format(ip, m.h.yiaddr), br_ip_format(ip2, f->src_ip));
}

static void tftp_text(struct br_text *t, const struct br_frame *f)
{
	struct br_tftp_request q;
	uint16_t n;
	char words[80];

	switch (br_tftp_peek(f->payload, f->len)) {
	case BR_TFTP_RRQ:
		if (br_tftp_decode_request(f->payload, f->len, &q) < 0)
			break;
		br_text_add(t, "TFTP asks for ");
		br_text_add_vis(t, q.name, strlen(q.name));
		return;
	case BR_TFTP_DATA:
		br_text_addf(t, "TFTP DATA %u", f->len >= 4 ? br_load_be16(f->payload + 2) : 0u);
		return;
	case BR_TFTP_OACK:
		br_text_add(t, "TFTP OACK");
		return;
	case BR_TFTP_ERROR:
		if (br_tftp_decode_error(f->payload, f->len, &n, words, sizeof(words)) < 0)
			break;
		br_text_addf(t, "TFTP ERROR %u: %s", n, words);
		return;
	default:
		break;
	}
	br_text_addf(t, "UDP %u > %u", f->src_port, f->dst_port);
}

static void tcp_text(struct br_text *t, const struct br_frame *f)
{
	static const struct {
		uint8_t flag;
		const char *name;
	} flags[] = { { BR_TCP_SYN, " SYN" }, { BR_TCP_FIN, " FIN" }, { BR_TCP_RST, " RST" }, { BR_TCP_ACK, " ACK" } };

	br_text_addf(t, "TCP %u > %u", f->src_port, f->dst_port);
	for (size_t i = 0; i < BR_ARRAY_SIZE(flags); i++)
		if (f->tcp_flags & flags[i].flag)
			br_text_add(t, flags[i].name);
}

static void udp_text(struct br_text *t, const struct br_frame *f)
{
	if (f->src_port == BR_DHCP_SERVER_PORT || f->dst_port == BR_DHCP_SERVER_PORT)
		dhcp_text(t, f);
	else
		tftp_text(t, f);
}

const char *br_frame_text(const void *data, size_t len, char *out, size_t size)
{
	struct br_frame f;
	struct br_text t = BR_TEXT_NULL;
	char ip[BR_IP_TEXT], mac[BR_MAC_TEXT];

	if (br_frame_parse(data, len, &f) < 0)
		f.kind = BR_FRAME_OTHER;
	switch (f.kind) {
	case BR_FRAME_ARP:
		if (f.arp_op == 1)
			br_text_addf(&t, "ARP who has %s", br_ip_format(ip, f.dst_ip));
		else
			br_text_addf(&t, "ARP %s is at %s", br_ip_format(ip, f.src_ip), br_mac_format(mac, f.arp_sender));
		break;
	case BR_FRAME_RARP:
		br_text_add(&t, "RARP");
		break;
	case BR_FRAME_UDP:
		udp_text(&t, &f);
		break;
	case BR_FRAME_TCP:
		tcp_text(&t, &f);
		break;
	case BR_FRAME_UDP6:
		br_text_addf(&t, "IPv6 UDP %u > %u", f.src_port, f.dst_port);
		break;
	case BR_FRAME_ICMP6:
		br_text_addf(&t, "IPv6 %s", f.icmp6_type == 133 ? "router solicitation" :
			f.icmp6_type == 135 ? "neighbour solicitation" : "ICMP");
		break;
	default:
		br_text_addf(&t, "frame of type 0x%04x, %zu bytes", f.ethertype, len);
	}
	snprintf(out, size, "%s", t.buf ? t.buf : "");
	br_text_done(&t);
	return out;
}
