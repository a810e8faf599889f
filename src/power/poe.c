/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of PoE switches: the table of RFC 3621 over SNMP. */
#include "power/poe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* pethPsePortTable: pethPsePortAdminEnable (3), pethPsePortDetectionStatus (6), by group and port */
#define ENTRY	  1, 3, 6, 1, 2, 1, 105, 1, 1, 1
#define ADMIN	  3
#define DETECTION 6
#define ENABLED	  1
#define DISABLED  2

struct port {
	br_oid id[13];
};

static struct port port_of(const struct br_power_target *t, br_oid column)
{
	const char *dot = strchr(t->uri.outlet, '.');
	uint64_t group = 1, port = 0;
	char text[32];

	/* both were checked with the URI */
	if (dot) {
		snprintf(text, sizeof(text), "%.*s", (int)(dot - t->uri.outlet), t->uri.outlet);
		(void)br_parse_u64(text, 0, UINT32_MAX, &group);
	}
	(void)br_parse_u64(dot ? dot + 1 : t->uri.outlet, 0, UINT32_MAX, &port);
	return (struct port){ { ENTRY, column, group, port } };
}

#define N_OID 13

int br_power_switch_peer(const struct br_power_uri *uri, const struct br_power_section *section, uint64_t timeout_ns,
	char host[static 128], struct br_snmp_peer *ret, struct br_error *err)
{
	static const struct br_power_section none;
	const struct br_power_section *s = section ?: &none;
	const char *address = s->address ?: uri->host, *colon = strchr(address, ':');
	uint64_t port = uri->port;
	size_t n = strlen(address);

	/* "10.0.0.2:1161"; an IPv6 address has more colons */
	if (s->address && colon && !strchr(colon + 1, ':')) {
		if (br_parse_u64(colon + 1, 1, 65535, &port) < 0)
			return br_error_set(err, EINVAL, "section [switch %s]: address '%s': must be ADDRESS or ADDRESS:PORT", s->name, address);
		n = (size_t)(colon - address);
	}
	if (n >= 128)
		return br_error_set(err, EINVAL, "switch %s: its address is too long", uri->host);
	memcpy(host, address, n);
	host[n] = 0;
	*ret = (struct br_snmp_peer){ .host = host, .port = (uint16_t)port, .timeout_ns = timeout_ns };
	if (uri->scheme == BR_POWER_SNMP && !s->user) {
		ret->community = uri->user[0] ? uri->user : s->community ?: "private";
		return 0;
	}
	ret->user = uri->user[0] ? uri->user : s->user;
	if (!ret->user || !s->auth_password)
		return br_error_set(err, ENOENT, "switch %s: SNMP v3 needs a section [switch %s] with 'user' and 'secrets' in bramble.conf",
			uri->host, uri->host);
	ret->auth_protocol = s->auth_protocol;
	ret->auth_password = s->auth_password;
	ret->priv_protocol = s->priv_protocol;
	ret->priv_password = s->priv_password;
	return 0;
}

static int open_switch(const struct br_power_target *t, struct br_snmp **ret, struct br_error *err)
{
	struct br_snmp_peer peer;
	char host[128];
	int r = br_power_switch_peer(&t->uri, t->section, t->timeout_ns, host, &peer, err);

	return r < 0 ? r : br_snmp_open(&peer, ret, err);
}

static int set(const struct br_power_target *t, enum br_power_op op, struct br_error *err)
{
	struct port admin = port_of(t, ADMIN);
	struct br_snmp *s;
	int r = open_switch(t, &s, err);

	if (r < 0)
		return r;
	r = br_snmp_set(s, admin.id, N_OID, op == BR_POWER_OP_ON ? ENABLED : DISABLED, err);
	br_snmp_close(s);
	return r < 0 ? br_error_prefix(err, "PoE port %s", t->uri.outlet) : 0;
}

static int read_detection(struct br_snmp *s, const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err)
{
	static const char *const words[] = { [1] = "the port is disabled", [2] = "nothing at the port takes power",
		[3] = "delivers power", [4] = "the switch tells of a fault at the port", [5] = "the port is in test mode",
		[6] = "the switch tells of a fault at the port" };
	struct port detection = port_of(t, DETECTION);
	int64_t v = 0;
	int r = br_snmp_get(s, detection.id, N_OID, &v, err);

	if (r == -ENOENT) { /* older switches: then the admin state is all there is */
		*err = BR_ERROR_NULL;
		return 0;
	}
	if (r < 0)
		return r;
	if (v == 4 || v == 6)
		return br_error_set(err, EIO, "%s (pethPsePortDetectionStatus %d): too much current, or a broken cable", words[v], (int)v);
	snprintf(ret->detail, sizeof(ret->detail), "%s", v >= 1 && v <= 5 ? words[v] : "");
	return 0;
}

static int get(const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err)
{
	struct port admin = port_of(t, ADMIN);
	struct br_error own = BR_ERROR_NULL;
	struct br_snmp *s;
	int64_t v = 0;
	int r = open_switch(t, &s, &own);

	if (r >= 0) {
		r = br_snmp_get(s, admin.id, N_OID, &v, &own);
		if (r >= 0 && v != ENABLED && v != DISABLED)
			r = br_error_set(&own, EPROTO, "pethPsePortAdminEnable is %lld: the switch answers nonsense", (long long)v);
		if (r >= 0 && v == ENABLED)
			r = read_detection(s, t, ret, &own);
		br_snmp_close(s);
	}
	if (r < 0)
		return br_error_set(err, -r, "PoE port %s: %s", t->uri.outlet, own.text);
	ret->state = v == ENABLED ? BR_POWER_IS_ON : BR_POWER_IS_OFF;
	return 0;
}

const struct br_power_driver br_power_snmp = { .set = set, .get = get };
