/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "power/driver.h"
#include "power/snmp.h"

/* Who a switch is and how it is asked: of its section, and what the URI says over it. Strings stay theirs. */
int br_power_switch_peer(const struct br_power_uri *uri, const struct br_power_section *section, uint64_t timeout_ns,
	char host[static 128], struct br_snmp_peer *ret, struct br_error *err);
