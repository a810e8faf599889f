/* SPDX-License-Identifier: Apache-2.0 */
/* Finding boards behind the ports of switches. */
#include "power/find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "power/poe.h"

/* ---- what a switch tells ---- */

static const br_oid fdb_port[] = { 1, 3, 6, 1, 2, 1, 17, 4, 3, 1, 2 };	  /* dot1dTpFdbPort.MAC */
static const br_oid q_fdb_port[] = { 1, 3, 6, 1, 2, 1, 17, 7, 1, 2, 2, 1, 2 }; /* dot1qTpFdbPort.FDB.MAC */
static const br_oid base_ifindex[] = { 1, 3, 6, 1, 2, 1, 17, 1, 4, 1, 2 };	  /* dot1dBasePortIfIndex.PORT */
static const br_oid poe_admin[] = { 1, 3, 6, 1, 2, 1, 105, 1, 1, 1, 3 };	  /* pethPsePortAdminEnable.GROUP.PORT */
static const br_oid lldp_chassis[] = { 1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 5 };	  /* lldpRemChassisId.TIME.PORT.INDEX */
static const br_oid lldp_port[] = { 1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 7 };	  /* lldpRemPortId.TIME.PORT.INDEX */

static int add_seen(struct br_power_view *v, struct br_mac mac, int64_t port, bool lldp)
{
	if (port <= 0 || port > UINT32_MAX) /* 0: learned, and nobody knows where (RFC 4188) */
		return 0;
	if (v->n_seen == BR_POWER_SEEN_MAX || br_array_reserve(&v->seen, &v->cap_seen, v->n_seen + 1, sizeof(v->seen[0])) < 0)
		return -ENOMEM;
	v->seen[v->n_seen++] = (struct br_power_seen){ mac, (uint32_t)port, lldp };
	return 0;
}

/* The last six parts of an index are the address. */
static bool mac_of(const br_oid *oid, struct br_mac *ret)
{
	for (size_t i = 0; i < 6; i++) {
		if (oid[i] > 255)
			return false;
		ret->b[i] = (uint8_t)oid[i];
	}
	return true;
}

static int take_fdb(void *ctx, const struct br_snmp_value *v)
{
	struct br_mac mac;

	if (v->bytes || v->n_oid < BR_ARRAY_SIZE(fdb_port) + 6 || !mac_of(v->oid + v->n_oid - 6, &mac))
		return 0;
	return add_seen(ctx, mac, v->number, false);
}

/* Who has its MAC as chassis or port id; others (a name, an address) say nothing that we know boards by. */
static int take_lldp(void *ctx, const struct br_snmp_value *v)
{
	struct br_mac mac;

	if (!v->bytes || v->n_bytes != 6 || v->n_oid != BR_ARRAY_SIZE(lldp_chassis) + 3)
		return 0;
	memcpy(mac.b, v->bytes, 6);
	return add_seen(ctx, mac, (int64_t)(v->oid[v->n_oid - 2] & UINT32_MAX), true);
}

static int take_poe(void *ctx, const struct br_snmp_value *v)
{
	struct br_power_view *w = ctx;
	br_oid group, port;

	if (v->bytes || v->n_oid != BR_ARRAY_SIZE(poe_admin) + 2)
		return 0;
	group = v->oid[v->n_oid - 2];
	port = v->oid[v->n_oid - 1];
	if (group > UINT32_MAX || port > UINT32_MAX)
		return 0;
	if (br_array_reserve(&w->ports, &w->cap_ports, w->n_ports + 1, sizeof(w->ports[0])) < 0)
		return -ENOMEM;
	w->ports[w->n_ports++] = (struct br_power_port){ (uint32_t)group, (uint32_t)port };
	return 0;
}

static int take_interface(void *ctx, const struct br_snmp_value *v)
{
	struct br_power_view *w = ctx;
	br_oid port = v->oid[v->n_oid - 1];

	if (v->bytes || v->n_oid != BR_ARRAY_SIZE(base_ifindex) + 1 || port > UINT32_MAX || v->number <= 0 || v->number > UINT32_MAX)
		return 0;
	if (br_array_reserve(&w->interfaces, &w->cap_interfaces, w->n_interfaces + 1, sizeof(w->interfaces[0])) < 0)
		return -ENOMEM;
	w->interfaces[w->n_interfaces].port = (uint32_t)port;
	w->interfaces[w->n_interfaces++].ifindex = (uint32_t)v->number;
	return 0;
}

static const struct {
	const br_oid *root;
	size_t n, max;
	int (*take)(void *ctx, const struct br_snmp_value *v);
} tables[] = {
	{ poe_admin, BR_ARRAY_SIZE(poe_admin), BR_POWER_PORTS_MAX, take_poe },
	{ base_ifindex, BR_ARRAY_SIZE(base_ifindex), BR_POWER_PORTS_MAX, take_interface },
	{ q_fdb_port, BR_ARRAY_SIZE(q_fdb_port), BR_POWER_SEEN_MAX, take_fdb },
	{ fdb_port, BR_ARRAY_SIZE(fdb_port), BR_POWER_SEEN_MAX, take_fdb },
	{ lldp_chassis, BR_ARRAY_SIZE(lldp_chassis), BR_POWER_PORTS_MAX, take_lldp },
	{ lldp_port, BR_ARRAY_SIZE(lldp_port), BR_POWER_PORTS_MAX, take_lldp },
};

void br_power_view_read(const struct br_power_conf *conf, const struct br_power_section *section, struct br_power_view *v)
{
	struct br_power_uri uri = { .scheme = section->user ? BR_POWER_SNMPV3 : BR_POWER_SNMP };
	struct br_power_limits limits = br_power_conf_limits(conf, section, uri.scheme);
	struct br_snmp_peer peer;
	struct br_snmp *s = NULL;
	char host[128];

	*v = (struct br_power_view){ .section = section };
	(void)br_strcpy(uri.host, sizeof(uri.host), section->name); /* shorter */
	v->r = br_power_switch_peer(&uri, section, limits.timeout_ns, host, &peer, &v->err);
	if (!v->r)
		v->r = br_snmp_open(&peer, &s, &v->err);
	for (size_t i = 0; !v->r && i < BR_ARRAY_SIZE(tables); i++)
		v->r = br_snmp_walk(s, tables[i].root, tables[i].n, tables[i].max, tables[i].take, v, &v->err);
	br_snmp_close(s);
	if (!v->r && !v->n_ports)
		v->r = br_error_set(&v->err, ENOENT, "switch %s has no table of PoE ports (RFC 3621)", section->name);
}

void br_power_view_done(struct br_power_view *v)
{
	free(v->seen);
	free(v->ports);
	free(v->interfaces);
	*v = (struct br_power_view){ 0 };
}

/* ---- where a board is ---- */

/* Different addresses behind a port; the same one may stand in two tables. */
static size_t count_behind(const struct br_power_view *v, uint32_t port)
{
	struct br_mac known[BR_POWER_UPLINK];
	size_t n = 0;

	for (size_t i = 0; i < v->n_seen && n < BR_POWER_UPLINK; i++) {
		size_t k = 0;

		if (v->seen[i].port != port)
			continue;
		while (k < n && !br_mac_equal(known[k], v->seen[i].mac))
			k++;
		if (k == n)
			known[n++] = v->seen[i].mac;
	}
	return n;
}

static bool behind(const struct br_power_view *v, uint32_t port, struct br_mac mac)
{
	for (size_t i = 0; i < v->n_seen; i++)
		if (v->seen[i].port == port && br_mac_equal(v->seen[i].mac, mac))
			return true;
	return false;
}

static size_t others_behind(const struct br_power_view *v, uint32_t port, struct br_mac mac, const struct br_mac *others, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += !br_mac_equal(others[i], mac) && behind(v, port, others[i]);
	return count;
}

/* Its PoE port: of the bridge port's number, or of its interface's. */
static bool power_of(const struct br_power_view *v, uint32_t port, struct br_power_port *ret)
{
	uint32_t ifindex = 0;

	for (size_t i = 0; i < v->n_ports; i++)
		if (v->ports[i].port == port) {
			*ret = v->ports[i];
			return true;
		}
	for (size_t i = 0; i < v->n_interfaces; i++)
		if (v->interfaces[i].port == port)
			ifindex = v->interfaces[i].ifindex;
	for (size_t i = 0; ifindex && i < v->n_ports; i++)
		if (v->ports[i].port == ifindex) {
			*ret = v->ports[i];
			return true;
		}
	return false;
}

/* One sighting weighed; better ones replace what is there. */
static void weigh(const struct br_power_view *v, const struct br_power_seen *s, const struct br_mac *others, size_t n_others,
	struct br_power_place *best)
{
	size_t shared = others_behind(v, s->port, s->mac, others, n_others);
	struct br_power_port port = { 0 };

	if (best->view)
		return; /* a board has one place; the first switch that has it behind a port of its own is it */
	if (count_behind(v, s->port) >= BR_POWER_UPLINK)
		snprintf(best->why, sizeof(best->why), "seen by switch %s behind port %u, which leads to many others (an uplink)", v->section->name,
			s->port);
	else if (shared)
		snprintf(best->why, sizeof(best->why), "port %u of switch %s has %zu other boards, too: is there a switch in between?", s->port,
			v->section->name, shared);
	else if (!power_of(v, s->port, &port))
		snprintf(best->why, sizeof(best->why), "port %u of switch %s is none of its PoE ports", s->port, v->section->name);
	else
		*best = (struct br_power_place){ .view = v, .port = port, .lldp = s->lldp };
}

void br_power_place_find(const struct br_power_view *views, size_t n, struct br_mac mac, const struct br_mac *others, size_t n_others,
	struct br_power_place *ret)
{
	struct br_power_place best = { 0 };

	snprintf(best.why, sizeof(best.why), "no switch knows its MAC address: is it on, and was it heard lately?");
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < views[i].n_seen; k++)
			if (br_mac_equal(views[i].seen[k].mac, mac))
				weigh(&views[i], &views[i].seen[k], others, n_others, &best);
	*ret = best;
}
