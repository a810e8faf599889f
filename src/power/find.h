/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/addr.h"
#include "power/conf.h"

/*
 * Which PoE port a board hangs at, from what switches know: who they learned behind which port (BRIDGE-MIB, Q-BRIDGE-MIB), who
 * told his name there (LLDP-MIB), and which ports give power (RFC 3621).
 */
#define BR_POWER_SEEN_MAX 65536 /* addresses of one switch */
#define BR_POWER_PORTS_MAX 4096
#define BR_POWER_UPLINK 4 /* a port with so many addresses leads to other switches */

struct br_power_seen { /* an address, and the bridge port it was learned behind */
	struct br_mac mac;
	uint32_t port;
	bool lldp; /* it told so itself */
};

struct br_power_port { /* one with power */
	uint32_t group, port;
};

struct br_power_view { /* what one switch told */
	const struct br_power_section *section;
	struct br_power_seen *seen;
	size_t n_seen, cap_seen;
	struct br_power_port *ports;
	size_t n_ports, cap_ports;
	struct { /* dot1dBasePortIfIndex */
		uint32_t port, ifindex;
	} *interfaces;
	size_t n_interfaces, cap_interfaces;
	int r; /* how asking it went */
	struct br_error err;
};

/* Asks one; r and err tell how it went. */
void br_power_view_read(const struct br_power_conf *conf, const struct br_power_section *section, struct br_power_view *view);
void br_power_view_done(struct br_power_view *view);

struct br_power_place {
	const struct br_power_view *view; /* NULL: not found */
	struct br_power_port port;
	bool lldp;
	char why[200]; /* when there is none to propose */
};

/*
 * The place of a board among what all switches told. others: addresses of other boards; a port that has one of them, too, is
 * shared, and nobody's.
 */
void br_power_place_find(const struct br_power_view *views, size_t n, struct br_mac mac, const struct br_mac *others, size_t n_others,
	struct br_power_place *ret);
