/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP server: the first byte says what the fleet answers, the rest is a packet. Every reply must be sound. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "dhcp/server.h"

#define SERVER 0x0a4d0001u
#define OURS 0x0a4d0015u
#define BEHIND 0x0a4e0000u /* a network behind a relay */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t how;

static int address(void *ctx, const struct br_dhcp_client *c, bool offer, struct br_dhcp_grant *ret)
{
	static const int answers[] = { 0, 0, 0, -ENOENT, -ENOSPC, -EIO, 0, 0 };
	int r = answers[how & 7];

	check(c->kind < BR_DHCP_N_KINDS && br_dhcp_client_name(c->kind));
	check(memchr(c->host_name, 0, sizeof(c->host_name)) && memchr(c->vendor_class, 0, sizeof(c->vendor_class)));
	if (r < 0)
		return r;
	*ret = (struct br_dhcp_grant){ .ip = OURS, .lease_s = 600, .boot = how & 8 };
	if (how & 16)
		memset(ret->boot_file, 'f', sizeof(ret->boot_file) - 1);
	if (how & 16) {
		memset(ret->host_name, 'h', sizeof(ret->host_name) - 1);
		memset(ret->root_path, 'r', sizeof(ret->root_path) - 1);
	}
	return 0;
}

static void report(void *ctx, const struct br_dhcp_report *r)
{
	for (const char *c = r->reason; c && *c; c++)
		check(*c >= 0x20 && *c < 0x7f);
}

static void check_reply(const struct br_dhcp_reply *reply, const uint8_t *packet)
{
	static struct br_dhcp_message m;

	check(reply->len >= BR_DHCP_REPLY_MIN && reply->len <= BR_DHCP_PACKET_MAX);
	check(br_dhcp_decode(reply->packet, reply->len, &m) == 0);
	check(m.h.op == BR_DHCP_BOOTREPLY && !memcmp(reply->packet + 4, packet + 4, 4));
	check(m.type == BR_DHCP_OFFER || m.type == BR_DHCP_ACK || m.type == BR_DHCP_NAK);
	check(m.h.yiaddr == OURS || m.h.yiaddr == 0);
	check(br_dhcp_option_ip(&m, BR_DHCP_OPT_SERVER_ID) == SERVER || m.h.giaddr);
	/* nobody makes us send anywhere else */
	check(reply->to_ip == UINT32_MAX || !((reply->to_ip ^ SERVER) & 0xffffff00) ||
		!((reply->to_ip ^ BEHIND) & 0xffffff00));
	check(reply->to_ip != SERVER);
	check(reply->to_port == 68 || (reply->to_port == 67 && m.h.giaddr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct br_dhcp_ops ops = { .address = address, .report = report };
	static struct br_dhcp_server *servers[2];
	static struct br_dhcp_reply reply;
	struct br_dhcp_options opt = {
		.server_ip = SERVER, .prefix = 24, .router_ip = { SERVER }, .dns_ip = { 1, 2, 3, 4 }, .domain = "lab.example",
		.subnets = { { BEHIND, 24, BEHIND + 10, BEHIND + 20, 0 } }, .n_subnets = 1, .ops = &ops,
	};
	struct br_dhcp_server *server;

	for (int i = 0; i < 2 && !servers[i]; i++) {
		opt.mode = i ? BR_DHCP_PROXY : BR_DHCP_FULL;
		check(br_dhcp_server_new(&opt, &servers[i]) == 0);
	}
	if (!size)
		return 0;
	how = data[0];
	server = servers[how >> 5 & 1];
	if (how & 64) {
		if (br_dhcp_handle_pxe(server, data + 1, size - 1, &reply) > 0)
			check(reply.len >= BR_DHCP_REPLY_MIN && reply.len <= BR_DHCP_PACKET_MAX && !reply.to_ip);
		return 0;
	}
	if (br_dhcp_handle(server, data + 1, size - 1, BR_S, &reply) > 0)
		check_reply(&reply, data + 1);
	return 0;
}
