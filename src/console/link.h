/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "console/uri.h"

/*
 * Opening what a console URI names: a descriptor that does not block, closed at exec. This may take as long as a name server
 * does and 5 s more, so not in a thread that serves others. Errors say what to do. Not for netconsole.
 */
int br_link_open(const struct br_console_uri *uri, struct br_error *err);

/* Whether a serial line can have this speed at all. */
bool br_link_speed_ok(uint32_t speed);
