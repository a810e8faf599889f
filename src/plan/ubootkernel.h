/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pi/configtxt.h"
#include "plan/ubootfiles.h"
#include "uboot/stages.h"

/* The names by which a board's firmware would load kernel and initramfs, for U-Boot to load them in its place. */
struct br_uboot_names {
	struct br_uboot_kernel arm64, arm; /* point into this struct; kernel NULL: there is none */
	struct br_pi_config config;
	char kernel[2][2 * BR_PI_CONFIG_NAME], initramfs[2][BR_UBOOT_INITRAMFS_MAX][2 * BR_PI_CONFIG_NAME];
};

/*
 * As config.txt says it for this model (kernel, initramfs, auto_initramfs, os_prefix), else the firmware's own names. Only
 * files that are there. The config.txt of the overrides counts unless its kernel is U-Boot; then it is the image's.
 */
int br_uboot_find_kernels(const struct br_uboot_context *ctx, struct br_uboot_names *ret);
