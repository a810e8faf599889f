/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else gives addresses here, and what that means for us. We ask: a DISCOVER that nobody follows up, and an
 * INFORM, which some servers answer at once where they first ping what they would offer.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "dhcp/internal.h"

#define DECIDE_NS (3500 * BR_MS) /* dnsmasq pings an address for three seconds before it offers it */
#define TELL_AGAIN_NS (600 * BR_S)

/* When the probes leave, after the first tick; then one every so often, for servers that come later. */
static const uint64_t probe_times[] = { 0, 0, 1000 * BR_MS };
#define PROBE_EVERY_NS (300 * BR_S)
#define PROBE_INFORM 1 /* the second one */

/* Client identifier of a probe (type 0: no address): the name and the sender's MAC. A lease that a server may reserve
 * for it takes nothing from the machine's own. */
static const uint8_t probe_id[] = { 0, 'b', 'r', 'a', 'm', 'b', 'l', 'e', '-', 'p', 'r', 'o', 'b', 'e', '-' };
#define PROBE_ID_LEN (sizeof(probe_id) + 6)

const char *br_dhcp_mode_name(enum br_dhcp_mode mode)
{
	static const char *const names[] = {
		[BR_DHCP_FULL] = "full", [BR_DHCP_PROXY] = "proxy", [BR_DHCP_SILENT] = "listening",
	};

	return (unsigned)mode < BR_ARRAY_SIZE(names) ? names[mode] : "off";
}

enum br_dhcp_mode br_dhcp_server_mode(const struct br_dhcp_server *server)
{
	return server->opt.mode;
}

static void set_mode(struct br_dhcp_server *s, enum br_dhcp_mode mode, const struct br_dhcp_foreign *because)
{
	s->modes.decide_ns = 0;
	if (s->opt.mode == mode)
		return;
	s->opt.mode = mode;
	if (s->opt.ops->mode)
		s->opt.ops->mode(s->opt.ctx, mode, because);
}

/*
 * Two brambles that start together would both find nobody, and both give addresses: the one with the higher MAC yields.
 */
bool br_dhcp_is_own_probe(struct br_dhcp_server *s)
{
	size_t len = 0;
	const uint8_t *id = br_dhcp_option(&s->msg, BR_DHCP_OPT_CLIENT_ID, &len);
	int order;

	if (!id || len != PROBE_ID_LEN || memcmp(id, probe_id, sizeof(probe_id)) != 0)
		return false;
	order = memcmp(id + sizeof(probe_id), s->opt.mac.b, 6);
	if (order < 0 && s->opt.mode == BR_DHCP_SILENT)
		s->modes.yields = true;
	return order == 0;
}

/* RFC 2131 4.4.1 and 4.4.3; the broadcast bit, so that we hear the answer whatever the switch does. */
static size_t make_probe(const struct br_dhcp_server *s, bool inform, uint8_t *out)
{
	static const uint8_t wanted[] = { BR_DHCP_OPT_MASK, BR_DHCP_OPT_ROUTER };
	struct br_dhcp_header h = {
		.op = BR_DHCP_BOOTREQUEST,
		.xid = s->opt.probe_xid + s->modes.n_probes,
		.broadcast = true,
		.ciaddr = inform ? s->opt.server_ip : 0,
		.chaddr = s->opt.mac,
	};
	struct br_dhcp_builder b;
	uint8_t id[PROBE_ID_LEN];

	memcpy(id, probe_id, sizeof(probe_id));
	memcpy(id + sizeof(probe_id), s->opt.mac.b, 6);
	br_dhcp_begin(&b, out, BR_DHCP_PACKET_MAX, &h);
	br_dhcp_add_u8(&b, BR_DHCP_OPT_TYPE, inform ? BR_DHCP_INFORM : BR_DHCP_DISCOVER);
	br_dhcp_add(&b, BR_DHCP_OPT_CLIENT_ID, id, sizeof(id));
	br_dhcp_add(&b, BR_DHCP_OPT_PARAMETERS, wanted, sizeof(wanted));
	return (size_t)br_dhcp_end(&b, BR_DHCP_REPLY_MIN);
}

static void begin(struct br_dhcp_server *s, uint64_t now_ns)
{
	s->modes.started_ns = s->modes.next_probe_ns = now_ns;
	if (s->opt.automatic)
		s->modes.decide_ns = now_ns + DECIDE_NS;
}

int br_dhcp_tick(struct br_dhcp_server *server, uint64_t now_ns, uint8_t out[static BR_DHCP_PACKET_MAX], size_t *ret_len,
	uint64_t *ret_next)
{
	struct br_dhcp_modes *m = &server->modes;
	uint64_t started;

	*ret_next = UINT64_MAX;
	if (!server->opt.probe_xid)
		return 0;
	if (!m->next_probe_ns)
		begin(server, now_ns);
	if (m->next_probe_ns <= now_ns) {
		*ret_len = make_probe(server, m->n_probes == PROBE_INFORM, out);
		started = m->next_probe_ns - (m->n_probes < BR_ARRAY_SIZE(probe_times) ? probe_times[m->n_probes] : 0);
		m->n_probes++;
		m->next_probe_ns = m->n_probes < BR_ARRAY_SIZE(probe_times) ? started + probe_times[m->n_probes] :
									      now_ns + PROBE_EVERY_NS;
		return 1;
	}
	if (m->decide_ns && m->decide_ns <= now_ns)
		set_mode(server, server->opt.give && !m->yields ? BR_DHCP_FULL : BR_DHCP_PROXY, NULL);
	*ret_next = m->next_probe_ns;
	if (m->decide_ns && m->decide_ns < *ret_next)
		*ret_next = m->decide_ns;
	return 0;
}

/* Whether to tell of it: once in ten minutes for each, and of eight in all in that time. */
static bool is_fresh(struct br_dhcp_modes *m, const struct br_dhcp_foreign *f, uint64_t now_ns)
{
	struct br_dhcp_seen *slot = NULL;

	for (size_t i = 0; i < BR_DHCP_MAX_FOREIGN; i++) {
		struct br_dhcp_seen *seen = &m->seen[i];

		if (seen->told_ns && now_ns - seen->told_ns >= TELL_AGAIN_NS)
			seen->told_ns = 0;
		if (seen->told_ns && seen->ip == f->server_ip && br_mac_equal(seen->mac, f->server_mac))
			return false;
		if (!seen->told_ns && !slot)
			slot = seen;
	}
	if (slot)
		*slot = (struct br_dhcp_seen){ .ip = f->server_ip, .mac = f->server_mac, .told_ns = now_ns };
	return slot;
}

bool br_dhcp_is_authority(const struct br_dhcp_server *s, uint64_t now_ns)
{
	const struct br_dhcp_modes *m = &s->modes;

	if (s->opt.mode != BR_DHCP_FULL || !m->started_ns || now_ns - m->started_ns < DECIDE_NS)
		return false;
	for (size_t i = 0; i < BR_DHCP_MAX_FOREIGN; i++)
		if (m->seen[i].told_ns && now_ns - m->seen[i].told_ns < TELL_AGAIN_NS)
			return false;
	return true;
}

void br_dhcp_heard_arp(struct br_dhcp_server *server, uint32_t ip, struct br_mac mac)
{
	if (server->opt.mode == BR_DHCP_FULL && server->opt.ops->arp && !br_mac_equal(mac, server->opt.mac))
		server->opt.ops->arp(server->opt.ctx, ip, mac);
}

void br_dhcp_heard(struct br_dhcp_server *server, const struct br_dhcp_foreign *f, uint64_t now_ns)
{
	/* an offer without an address is a proxy's, who may stand beside us in any mode */
	bool gives = f->type == BR_DHCP_ACK || (f->type == BR_DHCP_OFFER && f->offered);

	if (f->server_ip == server->opt.server_ip || br_mac_equal(f->server_mac, server->opt.mac))
		return;
	if (server->opt.ops->foreign)
		server->opt.ops->foreign(server->opt.ctx, f, is_fresh(&server->modes, f, now_ns));
	if (gives && server->opt.automatic)
		set_mode(server, BR_DHCP_PROXY, f);
}
