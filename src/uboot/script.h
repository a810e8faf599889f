/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Scripts of U-Boot between text and image, whichever of the two kinds the image is. */
struct br_uboot_script {
	const char *name; /* in the image; of a legacy one the first 32 bytes */
	uint32_t time;	  /* s since 1970 */
	bool fit;	  /* a FIT instead of a legacy image */
};

/* Line ends of other systems (CR LF) become those U-Boot reads. *ret: free(). -EINVAL: empty, or no text. */
int br_uboot_script_pack(const struct br_uboot_script *script, const char *text, size_t len, uint8_t **ret, size_t *ret_len,
	struct br_error *err);
/* Its magic number says that it is one of the two. */
bool br_uboot_script_is_image(const void *data, size_t len);
/* The (first) script in an image. Points into data. -EBADMSG: damaged, or no script. */
int br_uboot_script_unpack(const void *data, size_t len, const char **ret, size_t *ret_len, struct br_error *err);

/*
 * Names that are requests for a script: "boot.scr", "x/boot.scr.uimg", "flash.uimg", "stage2.itb". ret_text (of the same
 * size as a boot path) gets the name of the text it is made of: "boot.cmd". false: no such name.
 */
bool br_uboot_script_source(const char *path, char *ret_text, size_t size, bool *ret_fit);
