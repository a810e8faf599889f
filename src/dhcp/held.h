/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * Requests whose answer waits for the client's turn, for as long as the client listens for one: the last of each client. A
 * table of a fixed size; when it is full, the client asks again.
 */
struct br_dhcp_held;

#define BR_DHCP_HELD_MAX 400 /* bytes: a firmware's DISCOVER has 320 to 364 */

/* Both EEPROM and ROM repeat themselves after four seconds or more, and then under what may be another xid. */
#define BR_DHCP_HELD_NS 3500000000ull

struct br_dhcp_held *br_dhcp_held_new(void);
void br_dhcp_held_free(struct br_dhcp_held *h);
/* Longer ones are passed over. */
void br_dhcp_held_put(struct br_dhcp_held *h, struct br_mac mac, const uint8_t *packet, size_t len, uint64_t now_ns);
/* Takes it out: its length, 0 when there is none that is young enough. */
size_t br_dhcp_held_take(struct br_dhcp_held *h, struct br_mac mac, uint64_t now_ns,
	uint8_t out[static BR_DHCP_HELD_MAX]);
