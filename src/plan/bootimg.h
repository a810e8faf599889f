/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pi/identity.h"
#include "plan/plan.h"
#include "store/fatwrite.h"

/* Private to src/plan: boot.img out of a plan's boot files. */

/* What the firmware takes: 96 MB by the documentation, 128 MB by its release notes of 2022-03-10 (systems notes d.5). */
#define BR_BOOTIMG_MAX (128ull << 20)

/*
 * Whether a model needs a boot file. Left out is what is known to be for other models only, and not named in
 * config.txt: other models' device trees and kernels, and the firmware on models that have it in their EEPROM
 * (BCM2712) or use the other one. BR_SOC_UNKNOWN needs all.
 */
bool br_bootimg_needs(enum br_soc soc, const char *path, const char *config);

/* The image holds pointers into the plan, and lives no longer. */
int br_bootimg_new(const struct br_plan *plan, struct br_fatimage **ret, struct br_error *err);
