/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "usb/session.h"

/*
 * A session as the command line prints it and the daemon is told:
 *   { path, port, chip, serial, verdict ("done" ...), ok, reason, files, bytes, metadata: { KEY: VALUE },
 *     steps: [ { t (s since the first), step, name, detail, bytes, took (s) } ] }
 * NULL when memory is out.
 */
json_t *br_usb_session_json(const struct br_usb_session *s);
/* Only the metadata, in the order of arrival. */
json_t *br_usb_metadata_json(const struct br_usb_session *s);
