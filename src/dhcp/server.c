/* SPDX-License-Identifier: Apache-2.0 */
/* What RFC 2131 4.3 wants done with each message of a client. */
#include "dhcp/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "dhcp/internal.h"

/* openSUSE's figures for the 3B ROM (wire notes 1.5), after its DISCOVER */
#define NUDGE_1_NS (600 * BR_MS)
#define NUDGE_2_NS (1200 * BR_MS)

int br_dhcp_server_new(const struct br_dhcp_options *opt, struct br_dhcp_server **ret)
{
	struct br_dhcp_server *s;

	if (!opt->server_ip || opt->prefix < 1 || opt->prefix > 32 || !opt->ops || !opt->ops->address)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->opt = *opt;
	*ret = s;
	return 0;
}

void br_dhcp_server_free(struct br_dhcp_server *server)
{
	free(server);
}

uint32_t br_dhcp_server_ip(const struct br_dhcp_server *server)
{
	return server->opt.server_ip;
}

static bool in_subnet(const struct br_dhcp_server *s, uint32_t ip)
{
	return !((ip ^ s->opt.server_ip) & br_ip_mask(s->opt.prefix));
}

static void report(const struct br_dhcp_server *s, enum br_dhcp_report_kind kind, uint32_t ip, const char *reason)
{
	struct br_dhcp_report r = { .kind = kind, .client = &s->client, .ip = ip, .reason = reason };

	if (s->opt.ops->report)
		s->opt.ops->report(s->opt.ctx, &r);
}

static int find_address(struct br_dhcp_server *s, bool offer, struct br_dhcp_grant *ret)
{
	memset(ret, 0, sizeof(*ret));
	return s->opt.ops->address(s->opt.ctx, &s->client, offer, ret);
}

static int acknowledge(struct br_dhcp_server *s, const struct br_dhcp_grant *grant, struct br_dhcp_reply *reply)
{
	int r = br_dhcp_reply_grant(s, BR_DHCP_ACK, grant, reply);

	if (r > 0 && grant)
		report(s, BR_DHCP_REPORT_ACK, grant->ip, NULL);
	return r;
}

static int refuse(struct br_dhcp_server *s, const char *reason, struct br_dhcp_reply *reply)
{
	int r = br_dhcp_reply_nak(s, reason, reply);

	if (r > 0)
		report(s, BR_DHCP_REPORT_NAK, s->client.wanted_ip, reason);
	return r;
}

/* 4.3.1. The address is pinned here already: the ROM and bootcode.bin never send a REQUEST, and use it. */
static int on_discover(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;
	int r;

	if (find_address(s, true, &grant) < 0)
		return 0;
	r = br_dhcp_reply_grant(s, BR_DHCP_OFFER, &grant, reply);
	if (r <= 0)
		return r;
	if (s->client.guid.kind == BR_PI_GUID_ROM_3B && !s->msg.h.giaddr) {
		reply->nudge_ns[0] = now_ns + NUDGE_1_NS;
		reply->nudge_ns[1] = now_ns + NUDGE_2_NS;
	}
	report(s, BR_DHCP_REPORT_OFFER, grant.ip, NULL);
	return r;
}

/* The client took our offer, or another server's: then nothing is due and the address stays pinned to it. */
static int on_selecting(struct br_dhcp_server *s, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;
	int r;

	if (br_dhcp_option_ip(&s->msg, BR_DHCP_OPT_SERVER_ID) != s->opt.server_ip || !s->client.wanted_ip)
		return 0;
	r = find_address(s, false, &grant);
	if (r == -ENOENT)
		return refuse(s, "no address was offered to this client", reply);
	if (r < 0)
		return 0;
	if (grant.ip != s->client.wanted_ip)
		return refuse(s, "another address was offered", reply);
	return acknowledge(s, &grant, reply);
}

/* The client remembers an address from before. A server that does not know it stays silent. */
static int on_init_reboot(struct br_dhcp_server *s, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;

	if (!in_subnet(s, s->client.wanted_ip))
		return refuse(s, "address of another network", reply);
	if (find_address(s, false, &grant) < 0)
		return 0;
	if (grant.ip != s->client.wanted_ip)
		return refuse(s, "this client has another address", reply);
	return acknowledge(s, &grant, reply);
}

/* RENEWING came to us alone, REBINDING to everybody: told apart by nothing in the packet, and treated alike. */
static int on_renew(struct br_dhcp_server *s, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;

	if (find_address(s, false, &grant) < 0)
		return 0;
	if (grant.ip != s->msg.h.ciaddr)
		return refuse(s, "this client has another address", reply);
	return acknowledge(s, &grant, reply);
}

/* 4.3.2 */
static int on_request(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	(void)now_ns;
	if (br_dhcp_has(&s->msg, BR_DHCP_OPT_SERVER_ID))
		return on_selecting(s, reply);
	if (s->msg.h.ciaddr)
		return on_renew(s, reply);
	if (br_dhcp_option_ip(&s->msg, BR_DHCP_OPT_REQUESTED_IP))
		return on_init_reboot(s, reply);
	return 0;
}

/* Named another server, or an address that is not this client's. */
static bool concerns_us(struct br_dhcp_server *s, uint32_t ip)
{
	uint32_t id = br_dhcp_option_ip(&s->msg, BR_DHCP_OPT_SERVER_ID);
	struct br_dhcp_grant grant;

	return (!id || id == s->opt.server_ip) && find_address(s, false, &grant) == 0 && grant.ip == ip;
}

/* 4.3.3: somebody else uses the address. */
static int on_decline(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	uint32_t ip = br_dhcp_option_ip(&s->msg, BR_DHCP_OPT_REQUESTED_IP);
	char words[100];

	(void)now_ns;
	(void)reply;
	br_dhcp_option_text(&s->msg, BR_DHCP_OPT_MESSAGE, words, sizeof(words));
	if (ip && concerns_us(s, ip))
		report(s, BR_DHCP_REPORT_DECLINE, ip, words[0] ? words : "the client found the address in use");
	return 0;
}

/* 4.3.4. Whose address it stays is for the one who hears the report. */
static int on_release(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	(void)now_ns;
	(void)reply;
	if (s->msg.h.ciaddr && concerns_us(s, s->msg.h.ciaddr))
		report(s, BR_DHCP_REPORT_RELEASE, s->msg.h.ciaddr, NULL);
	return 0;
}

/* 4.3.5: the client has its address from elsewhere and wants the rest. */
static int on_inform(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;

	(void)now_ns;
	if (!s->msg.h.ciaddr || !in_subnet(s, s->msg.h.ciaddr))
		return 0;
	if (find_address(s, false, &grant) < 0 || grant.ip != s->msg.h.ciaddr)
		return acknowledge(s, NULL, reply);
	return acknowledge(s, &grant, reply);
}

static bool is_unicast(struct br_mac mac)
{
	return !(mac.b[0] & 1) && !br_mac_is_zero(mac);
}

/* Addresses that a reply could be sent to; anything else would have us talk to everybody or to ourselves. */
static bool senders_are_sane(const struct br_dhcp_server *s)
{
	const struct br_dhcp_header *h = &s->msg.h;

	if (!is_unicast(h->chaddr))
		return false;
	if (h->ciaddr && (h->ciaddr >> 28 >= 14 || h->ciaddr >> 24 == 0 || h->ciaddr >> 24 == 127))
		return false;
	return h->ciaddr != s->opt.server_ip && h->giaddr != s->opt.server_ip;
}

int br_dhcp_handle(struct br_dhcp_server *server, const uint8_t *packet, size_t len, uint64_t now_ns,
	struct br_dhcp_reply *reply)
{
	static int (*const handlers[])(struct br_dhcp_server *, uint64_t, struct br_dhcp_reply *) = {
		[BR_DHCP_DISCOVER] = on_discover, [BR_DHCP_REQUEST] = on_request, [BR_DHCP_DECLINE] = on_decline,
		[BR_DHCP_RELEASE] = on_release,	  [BR_DHCP_INFORM] = on_inform,
	};
	uint8_t type;
	int r;

	r = br_dhcp_decode(packet, len, &server->msg);
	if (r < 0)
		return r;
	if (server->msg.h.op != BR_DHCP_BOOTREQUEST || !senders_are_sane(server))
		return -EBADMSG;
	/* one range, one subnet: a relay in another one is not ours to serve */
	if (server->msg.h.giaddr && !in_subnet(server, server->msg.h.giaddr))
		return 0;
	type = server->msg.type;
	if (type >= BR_ARRAY_SIZE(handlers) || !handlers[type])
		return 0; /* lease queries, what other servers say */
	reply->len = 0;
	reply->nudge_ns[0] = reply->nudge_ns[1] = 0;
	br_dhcp_classify(&server->msg, &server->client);
	return handlers[type](server, now_ns, reply);
}
