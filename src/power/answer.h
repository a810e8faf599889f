/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "power/power.h"

/* What plugs answer, decoded. All -EPROTO with words for answers that say nothing of use. */

/* {"POWER2":"ON"}, {"POWER":"OFF"} of a device with one relay. */
int br_power_answer_tasmota(const json_t *answer, const char *outlet, enum br_power_state *ret, struct br_error *err);
/* Of /shelly: 1, 2, 3 ... */
int br_power_answer_shelly_generation(const json_t *about, struct br_error *err);
/* Of /relay/N, or of Switch.GetStatus. detail: what it measures, "" when it does not. */
int br_power_answer_shelly(const json_t *answer, int generation, enum br_power_state *ret, char *detail, size_t size,
	struct br_error *err);
/* "on", "1", "true", {"power": "on"}, {"state": true} ... False: neither on nor off. */
bool br_power_answer_plain(const char *text, size_t n, enum br_power_state *ret);
