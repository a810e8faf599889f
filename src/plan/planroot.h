/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "plan/overrides.h"
#include "plan/plan.h"
#include "plan/rootfiles.h"

/* Inside of the plan: the files of a board's root, out of the image, what people give, and the boot files of the plan,
 * which are made by then. extra: people's files, which must outlive 'ret'. */
int br_plan_make_root(const struct br_plan *plan, const struct br_override_set *extra, struct br_root_files *ret,
	struct br_error *err);
