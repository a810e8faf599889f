/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "fleet/fleet.h"

/* An event as one line of words for people ("sent start4.elf, 2.2 MB in 0.4 s"). Text from outside is made
 * printable. Returns out. */
const char *br_event_text(const struct br_event *ev, char *out, size_t size);
