/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/netif.h"
#include "daemon/config.h"

/* Where the daemon serves, worked out from the settings and the interface as it is. */
struct br_network {
	struct br_netif netif;
	uint32_t ip;
	unsigned prefix;
	bool address_added; /* by us: taken away again at the end */
	bool dhcp; /* in any mode but off */
	/* Everything the DHCP server is told but its operations: modes, lists, subnets. */
	struct br_dhcp_options dhcp_options;
	const char *no_give; /* with 'auto': why it would give no addresses though nobody else does; NULL: it would */
	uint32_t first_ip, last_ip; /* addresses to give */
	uint32_t lease_s;
};

/* Finds the interface and our address on it, adding it when --address asks for one it lacks. */
int br_network_open(const struct br_config *config, struct br_network *ret, struct br_error *err);
void br_network_close(struct br_network *net);
/* Room in the kernel's table of neighbours for all addresses given here, as far as we may; told in the log. */
void br_network_make_room(const struct br_network *net);
