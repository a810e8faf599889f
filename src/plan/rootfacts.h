/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "plan/base.h"
#include "store/fs.h"

/* Fills in what a base says about the root file system: fstab, hosts, common projections. */
int br_plan_read_root(struct br_fs *fs, struct br_plan_base *base, struct br_error *err);
