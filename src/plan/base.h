/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "plan/plan.h"

/* Private to src/plan: what an image means for every plan on it. */

#define BR_PLAN_MAX_PROJECTIONS 64

struct br_plan_base {
	atomic_uint refs;
	struct br_image *image;
	char *cmdline;	 /* cmdline.txt of the image, or the firmware's default */
	char *config;	 /* projected config.txt, NULL: the image's own will do */
	char *fstab;	 /* projected, NULL: the image has none */
	char *hosts;	 /* without a line for 127.0.1.1, NULL: the image has none */
	bool has_ssh_dir;
	uint64_t largest; /* bytes of the largest boot file: a kernel or an initramfs */
	/* the same for every board: units that must not run, host keys of the image that must not be shared */
	struct br_projection common[BR_PLAN_MAX_PROJECTIONS];
	size_t n_common;
};
