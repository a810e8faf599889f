/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "plan/plan.h"

/*
 * The kernel command line of a board on the network root: the image's own arguments without
 * those that name a local root or change it, and ours. ram: the root is read-only, changes go to memory (raminit.h). Fresh memory (free()), no newline; NULL when
 * memory is out.
 */
char *br_plan_make_cmdline(const char *image_cmdline, const struct br_plan_server *server,
	const char *root_path, bool ram);
