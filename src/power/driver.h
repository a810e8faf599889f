/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>

#include "fleet/fleet.h"
#include "power/conf.h"
#include "power/power.h"
#include "power/queue.h"

/*
 * What drivers are given and give. They are called from many threads at once, wait for their device themselves, and must
 * be back after timeout_ns, whatever the device does. What devices answer is hostile.
 */
struct br_power_target {
	struct br_power_uri uri;
	const struct br_power_section *section; /* NULL: none */
	const char *command;			/* the default one, NULL: none */
	const char *board, *mac, *serial, *notes;
	uint64_t timeout_ns;
	const atomic_bool *stop; /* set: end soon */
};

struct br_power_reading {
	enum br_power_state state; /* UNKNOWN: the device has no answer to this */
	char detail[160];	   /* what else there is to say, "" : nothing */
};

struct br_power_driver {
	bool (*can_status)(const struct br_power_target *t); /* NULL: always, when there is get */
	bool (*can_reset)(const struct br_power_target *t);  /* NULL: never */
	/* op: ON, OFF, RESET */
	int (*set)(const struct br_power_target *t, enum br_power_op op, struct br_error *err);
	/* NULL: it cannot tell. -EIO: the device told of a fault of this outlet */
	int (*get)(const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err);
};

extern const struct br_power_driver br_power_snmp, br_power_gpio, br_power_usbhub, br_power_tasmota, br_power_shelly, br_power_http,
	br_power_pdudaemon, br_power_command;

const struct br_power_driver *br_power_driver_of(enum br_power_scheme scheme);
bool br_power_driver_can_status(const struct br_power_target *t);
bool br_power_driver_can_reset(const struct br_power_target *t);
const char *br_power_op_name(enum br_power_op op); /* "on", "off", "reset", "status" */
