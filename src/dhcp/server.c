/* SPDX-License-Identifier: Apache-2.0 */
/* What RFC 2131 4.3 wants done with each message of a client. */
#include "dhcp/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "dhcp/classify.h"
#include "dhcp/internal.h"

/* openSUSE's figures for the 3B ROM (wire notes 1.5), after its DISCOVER */
#define NUDGE_1_NS (600 * BR_MS)
#define NUDGE_2_NS (1200 * BR_MS)
#define MAX_HOPS 16 /* RFC 1542 4.1.1 */

int br_dhcp_server_new(const struct br_dhcp_options *opt, struct br_dhcp_server **ret)
{
	struct br_dhcp_server *s;

	if (!opt->server_ip || opt->prefix < 1 || opt->prefix > 32 || !opt->ops || !opt->ops->address ||
		opt->n_subnets > BR_DHCP_MAX_SUBNETS)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->opt = *opt;
	if (opt->automatic)
		s->opt.mode = BR_DHCP_SILENT;
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

static bool in_our_subnet(const struct br_dhcp_server *s, uint32_t ip)
{
	return !((ip ^ s->opt.server_ip) & br_ip_mask(s->opt.prefix));
}

/* The subnet the client is on. */
static bool in_subnet(const struct br_dhcp_server *s, uint32_t ip)
{
	return s->subnet ? !((ip ^ s->subnet->net) & br_ip_mask(s->subnet->prefix)) : in_our_subnet(s, ip);
}

static void report(const struct br_dhcp_server *s, enum br_dhcp_report_kind kind, uint32_t ip, const char *reason)
{
	struct br_dhcp_report r = { .kind = kind, .client = &s->client, .ip = ip, .reason = reason };

	if (kind == BR_DHCP_REPORT_ELSEWHERE)
		r.server_ip = br_dhcp_option_ip(&s->msg, BR_DHCP_OPT_SERVER_ID);

	if (s->opt.ops->report)
		s->opt.ops->report(s->opt.ctx, &r);
}

static int find_address(struct br_dhcp_server *s, bool offer, struct br_dhcp_grant *ret)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	r = s->opt.ops->address(s->opt.ctx, &s->client, offer, ret);
	s->stored |= r >= 0 && ret->stored;
	s->held |= r == -EINPROGRESS;
	return r;
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

/* The 3B ROM looks at our answer only when another frame comes after its timer. */
static void plan_nudges(const struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	if (s->client.guid.kind != BR_PI_GUID_ROM_3B || s->msg.h.giaddr)
		return;
	reply->nudge_mac = s->client.mac;
	reply->nudge_ns[0] = now_ns + NUDGE_1_NS;
	reply->nudge_ns[1] = now_ns + NUDGE_2_NS;
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
	plan_nudges(s, now_ns, reply);
	report(s, BR_DHCP_REPORT_OFFER, grant.ip, NULL);
	return r;
}

/* Behind a relay that overrides it, by the relay's word for us (RFC 5107); older relays leave our own. */
static bool names_us(const struct br_dhcp_server *s)
{
	uint32_t id = br_dhcp_option_ip(&s->msg, BR_DHCP_OPT_SERVER_ID);

	return id == s->id || id == s->opt.server_ip;
}

/* The client took our offer, or another server's: then nothing is due and the address stays pinned to it. */
static int on_selecting(struct br_dhcp_server *s, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;
	int r;

	if (!s->client.wanted_ip)
		return 0;
	if (!names_us(s)) {
		report(s, BR_DHCP_REPORT_ELSEWHERE, s->client.wanted_ip, NULL);
		return 0;
	}
	r = find_address(s, false, &grant);
	if (r == -ENOENT)
		return refuse(s, "no address was offered to this client", reply);
	if (r < 0)
		return 0;
	if (grant.ip != s->client.wanted_ip)
		return refuse(s, "another address was offered", reply);
	return acknowledge(s, &grant, reply);
}

/* A client that we do not know holds to an address: silence, for it may be another server's; but where there is no
 * other, it would hold to it for long. */
static int on_unknown(struct br_dhcp_server *s, uint64_t now_ns, int r, struct br_dhcp_reply *reply)
{
	return r == -ENOENT && br_dhcp_is_authority(s, now_ns) ?
		       refuse(s, "this address was not given by the DHCP server here", reply) :
		       0;
}

/* The client remembers an address from before. */
static int on_init_reboot(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;
	int r;

	if (!in_subnet(s, s->client.wanted_ip))
		return refuse(s, "address of another network", reply);
	r = find_address(s, false, &grant);
	if (r < 0)
		return on_unknown(s, now_ns, r, reply);
	if (grant.ip != s->client.wanted_ip)
		return refuse(s, "this client has another address", reply);
	return acknowledge(s, &grant, reply);
}

/* RENEWING came to us alone, REBINDING to everybody: told apart by nothing in the packet, and treated alike. */
static int on_renew(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;
	int r = find_address(s, false, &grant);

	if (r < 0)
		return on_unknown(s, now_ns, r, reply);
	if (grant.ip != s->msg.h.ciaddr)
		return refuse(s, "this client has another address", reply);
	return acknowledge(s, &grant, reply);
}

/* 4.3.2 */
static int on_request(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	if (br_dhcp_has(&s->msg, BR_DHCP_OPT_SERVER_ID))
		return on_selecting(s, reply);
	if (s->msg.h.ciaddr)
		return on_renew(s, now_ns, reply);
	if (br_dhcp_option_ip(&s->msg, BR_DHCP_OPT_REQUESTED_IP))
		return on_init_reboot(s, now_ns, reply);
	return 0;
}

/* Named another server, or an address that is not this client's. */
static bool concerns_us(struct br_dhcp_server *s, uint32_t ip)
{
	struct br_dhcp_grant grant;

	return (!br_dhcp_has(&s->msg, BR_DHCP_OPT_SERVER_ID) || names_us(s)) && find_address(s, false, &grant) == 0 && grant.ip == ip;
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

/*
 * As a proxy: boards are seen and told where their files are, whatever gives them their address. The firmware's answer
 * stays on port 67 (it never asks 4011); kernels and systems are only noted.
 */
static int on_proxy_discover(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	enum br_dhcp_client_kind kind = s->client.kind;
	struct br_dhcp_grant grant;
	int r;

	if (find_address(s, true, &grant) < 0 || !grant.boot)
		return 0;
	/* U-Boot drops an offer without an address; UEFI and iPXE need a file to be told of */
	if (!br_dhcp_client_is_firmware(kind) && (!br_dhcp_client_is_loader(kind) || !grant.boot_file[0] || kind == BR_DHCP_UBOOT))
		return 0;
	r = br_dhcp_reply_proxy(s, BR_DHCP_OFFER, &grant, reply);
	if (r <= 0)
		return r;
	plan_nudges(s, now_ns, reply);
	report(s, BR_DHCP_REPORT_OFFER, 0, NULL);
	return r;
}

static int on_proxy_request(struct br_dhcp_server *s, uint64_t now_ns, struct br_dhcp_reply *reply)
{
	(void)now_ns;
	(void)reply;
	if (s->client.wanted_ip && br_dhcp_has(&s->msg, BR_DHCP_OPT_SERVER_ID))
		report(s, BR_DHCP_REPORT_ELSEWHERE, s->client.wanted_ip, NULL);
	return 0;
}

/* The subnet an address is in; *ret NULL for our own. False: none of those we serve. */
static bool subnet_of(const struct br_dhcp_server *s, uint32_t ip, const struct br_dhcp_subnet **ret)
{
	*ret = NULL;
	if (in_our_subnet(s, ip))
		return true;
	for (size_t i = 0; i < s->opt.n_subnets && !*ret; i++)
		if (!((ip ^ s->opt.subnets[i].net) & br_ip_mask(s->opt.subnets[i].prefix)))
			*ret = &s->opt.subnets[i];
	return *ret;
}

/*
 * Where the client is: RFC 3527 over RFC 3011 over the relay's address. False: a network that has no range here. The
 * relay itself must be in one that has, whatever it says of its client: the reply goes there.
 */
static bool find_subnet(struct br_dhcp_server *s)
{
	const struct br_dhcp_message *m = &s->msg;
	uint32_t link = m->h.giaddr ? br_dhcp_relay_ip(m, BR_DHCP_RELAY_LINK) : 0;

	s->subnet = NULL;
	s->client.link_ip = m->h.giaddr;
	if (m->h.giaddr && !subnet_of(s, m->h.giaddr, &s->subnet))
		return false;
	if (!link)
		link = br_dhcp_option_ip(m, BR_DHCP_OPT_SUBNET);
	if (!link)
		link = m->h.giaddr;
	s->client.link_ip = link;
	if (!link)
		return true;
	if (!subnet_of(s, link, &s->subnet))
		return false;
	if (!s->subnet)
		s->client.link_ip = 0;
	return true;
}

static int decode(struct br_dhcp_server *s, const uint8_t *packet, size_t len, struct br_dhcp_reply *reply)
{
	int r = br_dhcp_decode(packet, len, &s->msg);

	if (r < 0)
		return r;
	if (s->msg.h.op != BR_DHCP_BOOTREQUEST || !senders_are_sane(s) || s->msg.h.hops > MAX_HOPS)
		return -EBADMSG;
	s->stored = s->held = false;
	reply->len = 0;
	reply->held = false;
	reply->nudge_ns[0] = reply->nudge_ns[1] = 0;
	br_dhcp_classify(&s->msg, &s->client);
	s->client.proxy = s->opt.mode == BR_DHCP_PROXY;
	s->id = s->msg.h.giaddr ? br_dhcp_relay_ip(&s->msg, BR_DHCP_RELAY_SERVER_ID) : 0;
	if (!s->id)
		s->id = s->opt.server_ip;
	return 0;
}

int br_dhcp_handle(struct br_dhcp_server *server, const uint8_t *packet, size_t len, uint64_t now_ns,
	struct br_dhcp_reply *reply)
{
	static int (*const handlers[][BR_DHCP_INFORM + 1])(struct br_dhcp_server *, uint64_t, struct br_dhcp_reply *) = {
		[BR_DHCP_FULL] = {
			[BR_DHCP_DISCOVER] = on_discover, [BR_DHCP_REQUEST] = on_request, [BR_DHCP_DECLINE] = on_decline,
			[BR_DHCP_RELEASE] = on_release, [BR_DHCP_INFORM] = on_inform,
		},
		[BR_DHCP_PROXY] = { [BR_DHCP_DISCOVER] = on_proxy_discover, [BR_DHCP_REQUEST] = on_proxy_request },
		[BR_DHCP_SILENT] = { 0 },
	};
	uint8_t type;
	int r;

	r = decode(server, packet, len, reply);
	if (r < 0)
		return r;
	type = server->msg.type;
	if (br_dhcp_is_own_probe(server) || type > BR_DHCP_INFORM || !handlers[server->opt.mode][type])
		return 0; /* lease queries, what other servers say */
	if (!find_subnet(server)) {
		report(server, BR_DHCP_REPORT_NO_SUBNET, server->client.link_ip, NULL);
		return 0;
	}
	r = handlers[server->opt.mode][type](server, now_ns, reply);
	reply->stored = server->stored;
	reply->held = server->held;
	reply->client_mac = server->client.mac;
	return r;
}

void br_dhcp_group_begin(struct br_dhcp_server *server)
{
	if (server->opt.ops->begin)
		server->opt.ops->begin(server->opt.ctx);
}

void br_dhcp_group_pause(struct br_dhcp_server *server)
{
	if (server->opt.ops->pause)
		server->opt.ops->pause(server->opt.ctx);
}

int br_dhcp_group_end(struct br_dhcp_server *server, uint64_t *ret_ticket)
{
	return server->opt.ops->commit ? server->opt.ops->commit(server->opt.ctx, ret_ticket) : 0;
}

int br_dhcp_handle_pxe(struct br_dhcp_server *server, const uint8_t *packet, size_t len, struct br_dhcp_reply *reply)
{
	struct br_dhcp_grant grant;
	int r = decode(server, packet, len, reply);

	if (r < 0)
		return r;
	if (server->msg.type != BR_DHCP_REQUEST || server->opt.mode == BR_DHCP_SILENT ||
		(server->client.kind != BR_DHCP_UEFI && server->client.kind != BR_DHCP_IPXE))
		return 0;
	if (!find_subnet(server))
		return 0;
	server->client.proxy = true; /* it has its address, whoever gave it */
	if (find_address(server, true, &grant) < 0 || !grant.boot || !grant.boot_file[0])
		return 0;
	r = br_dhcp_reply_proxy(server, BR_DHCP_ACK, &grant, reply);
	reply->to_ip = 0;
	return r;
}
