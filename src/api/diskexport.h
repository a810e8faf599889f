/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "api/call.h"
#include "store/disk.h"

/* Answers with the disk as pieces. Takes over the view (br_disk_view()), also on failure. */
int br_call_send_pieces(struct br_call *call, struct br_disk *view, struct br_error *err);
