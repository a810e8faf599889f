/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * What switches a board's power, as people write it in 'bramble board edit --power':
 *
 *   snmp://[COMMUNITY@]SWITCH[:PORT]/[GROUP.]PORT       PoE port by SNMP v2c (RFC 3621); SWITCH may be a [switch NAME]
 *   snmpv3://[USER@]SWITCH[:PORT]/[GROUP.]PORT          by SNMP v3; its secrets are in the section [switch SWITCH]
 *   gpio://CHIP/LINE[?active-low][&pulse=DURATION]      a line of this host at the board's RUN pin, or a relay
 *   usbhub:LOCATION:PORT                                a port of a USB hub of this host, as usbhub:1-1.4:2
 *   tasmota://[USER:PASSWORD@]HOST[:PORT]/OUTLET
 *   shelly://[USER:PASSWORD@]HOST[:PORT]/OUTLET         first and second generation, told apart by asking
 *   http://HOST/PATH or https://...                     with {action} in it, which becomes on, off, status
 *   http:NAME/OUTLET                                    as the section [power NAME] says
 *   pdudaemon://HOST[:PORT]/PDU/OUTLET
 *   command:[NAME[/OUTLET]]                             command of [power NAME]; without a name that of [serve]
 *
 * No program and no secret's file is named here: who may edit a board must not run programs or read files with it.
 */
enum br_power_scheme {
	BR_POWER_SNMP,
	BR_POWER_SNMPV3,
	BR_POWER_GPIO,
	BR_POWER_USBHUB,
	BR_POWER_TASMOTA,
	BR_POWER_SHELLY,
	BR_POWER_HTTP,
	BR_POWER_HTTPS,
	BR_POWER_PDUDAEMON,
	BR_POWER_COMMAND,
	BR_POWER_N_SCHEMES,
};

#define BR_POWER_URI_MAX 255
#define BR_POWER_DEVICE_MAX 200

struct br_power_uri {
	enum br_power_scheme scheme;
	char user[64], password[64]; /* decoded; of SNMP v2c the community. "" : none given */
	char host[128];	 /* or the section's name; of GPIO the chip ("gpiochip0"), of a hub its location ("1-1.4") */
	uint16_t port;	 /* 0: that of the scheme */
	char pdu[64];	 /* of PDUDaemon */
	char outlet[64]; /* decoded: "7", "1.7", "17" */
	char url[BR_POWER_URI_MAX + 1]; /* of HTTP with an address in it: all of it, without user and password; else "" */
	bool active_low;
	uint64_t pulse_ns; /* 0: not given */
};

/* -EINVAL with words. */
int br_power_uri_parse(const char *text, struct br_power_uri *ret, struct br_error *err);
/* The same for who only wants to know: 0 or -EINVAL with words. "" is right: the default. */
int br_power_uri_ok(const char *text, struct br_error *err);
/* Without what is secret in it ("snmp://XXX@sw1/7" with stars for XXX). Returns out. */
const char *br_power_uri_public(char *out, size_t size, const char *text);
/* What is one device with a queue of its own: "snmp://sw1", "gpio://gpiochip0". Returns out. */
const char *br_power_uri_device(char out[static BR_POWER_DEVICE_MAX], const struct br_power_uri *uri);
/* "snmp" */
const char *br_power_scheme_name(enum br_power_scheme scheme);
