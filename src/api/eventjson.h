/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "fleet/fleet.h"

/* An event as JSON: seq, time, board (name or null), boot (or null), type, fields. NULL when memory is out. */
json_t *br_event_to_json(const struct br_event *ev);
/* ... and "text": it in words, where there is somebody who has them. */
json_t *br_event_json_with_text(const struct br_event *ev, const char *(*event_text)(const struct br_event *ev, char *out, size_t size));
