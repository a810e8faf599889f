/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "store/fs.h"

/* Texts of U-Boot scripts that an image brings along in its root file system: /boot/bramble/NAME.cmd. */
#define BR_IMAGE_SCRIPTS_MAX	 32
#define BR_IMAGE_SCRIPT_MAX	 (64u << 10) /* bytes of one; larger ones are passed over */
#define BR_IMAGE_SCRIPT_NAME_MAX 64

struct br_image_scripts {
	struct br_image_script {
		char name[BR_IMAGE_SCRIPT_NAME_MAX]; /* "boot.cmd" */
		char *text;
		size_t len;
	} scripts[BR_IMAGE_SCRIPTS_MAX];
	size_t n;
};

/* A directory that is not there has none. What may not be a script (no plain file, too large, a long name) is left out. */
int br_image_scripts_read(struct br_fs *fs, struct br_image_scripts *ret, struct br_error *err);
void br_image_scripts_done(struct br_image_scripts *scripts);
/* Without case. NULL: none. */
const struct br_image_script *br_image_script_find(const struct br_image_scripts *scripts, const char *name);
