/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "console/uri.h"

/* br_link_open() in a thread of its own, so that a dead name server holds up one console only. */
struct br_opener;

/* -ENOMEM, -EAGAIN: no thread. */
int br_opener_start(const struct br_console_uri *uri, struct br_opener **ret);
/* Readable when it is done. */
int br_opener_fd(const struct br_opener *o);
/* When it is: the descriptor (the caller's), or why not. Once. */
int br_opener_result(struct br_opener *o, struct br_error *err);
/* At any time; what it still opens is closed. Takes NULL. */
void br_opener_free(struct br_opener *o);
