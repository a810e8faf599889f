/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/table.h"

/* text, of at most max bytes: a longer one ends with "..." and is cut between letters. free(); NULL: out of memory. */
char *br_audit_cut(const char *text, size_t max);

/*
 * Writes down what cannot be undone, or was done against advice ("fuse", "force"): as an event of the daemon when one answers,
 * else as a line of STATE/audit.log. board, serial: may be NULL. Who did it and when is added;
 * of a very long text the end is left out.
 */
int br_audit(const struct br_common *common, const char *action, const char *board, const char *serial, const char *text,
	struct br_error *err);
