/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "plan/imagescripts.h"
#include "plan/plan.h"
#include "plan/rootfacts.h"

/* Private to src/plan: what an image means for every plan on it. */

struct br_plan_base {
	atomic_uint refs;
	struct br_image *image;
	char *cmdline;	 /* cmdline.txt of the image, or the firmware's default */
	char *config;	 /* projected config.txt, NULL: the image's own will do */
	struct br_image_scripts scripts; /* for U-Boot */
	uint64_t largest; /* bytes of the largest boot file: a kernel or an initramfs */
	bool initramfs; /* has one */
	struct br_root_facts root;
};
