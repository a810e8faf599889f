/* SPDX-License-Identifier: Apache-2.0 */
/* Which driver switches what. */
#include "power/driver.h"

static const struct br_power_driver *const drivers[BR_POWER_N_SCHEMES] = {
	[BR_POWER_SNMP] = &br_power_snmp,
	[BR_POWER_SNMPV3] = &br_power_snmp,
	[BR_POWER_GPIO] = &br_power_gpio,
	[BR_POWER_USBHUB] = &br_power_usbhub,
	[BR_POWER_TASMOTA] = &br_power_tasmota,
	[BR_POWER_SHELLY] = &br_power_shelly,
	[BR_POWER_HTTP] = &br_power_http,
	[BR_POWER_HTTPS] = &br_power_http,
	[BR_POWER_PDUDAEMON] = &br_power_pdudaemon,
	[BR_POWER_COMMAND] = &br_power_command,
};

const struct br_power_driver *br_power_driver_of(enum br_power_scheme scheme)
{
	return drivers[scheme];
}

bool br_power_driver_can_status(const struct br_power_target *t)
{
	const struct br_power_driver *d = drivers[t->uri.scheme];

	return d->get && (!d->can_status || d->can_status(t));
}

bool br_power_driver_can_reset(const struct br_power_target *t)
{
	const struct br_power_driver *d = drivers[t->uri.scheme];

	return d->can_reset && d->can_reset(t);
}

const char *br_power_op_name(enum br_power_op op)
{
	static const char *const names[] = {
		[BR_POWER_OP_ON] = "on",
		[BR_POWER_OP_OFF] = "off",
		[BR_POWER_OP_RESET] = "reset",
		[BR_POWER_OP_GET] = "status",
		[BR_POWER_OP_SOFT] = "soft",
	};

	return names[op];
}
