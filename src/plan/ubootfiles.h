/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "plan/plan.h"

/*
 * The files that U-Boot asks for and nobody put there as they are: scripts, made of their text when they are asked for,
 * and a boot menu. A name "P.scr", "P.scr.uimg" or "P.uimg" is a legacy image, "P.itb" a FIT, of the text found first:
 *
 *   overrides        P.cmd, bramble/P.cmd; or a text that has the script's own name
 *   the image        bramble/P.cmd on its boot partition, /boot/bramble/P.cmd in its root
 *   built in         bramble/stage1, bramble/stage2; boot and start, which are stage 2, too; pxelinux.cfg/...
 *
 * (A leading "bramble/" of P is no other name.) Files that exist under the very name come before the last two.
 */
struct br_uboot_files;

/* What it needs to know of a plan; all of it lives as long as the plan. */
struct br_uboot_context {
	const struct br_plan_input *in;
	const struct br_override_set *overrides; /* may be NULL */
	const char *cmdline;			 /* as the kernel is to get it; NULL: no board's plan */
	const char *root_path;
};

/* One per plan; thread-safe. NULL when memory is out. */
struct br_uboot_files *br_uboot_files_new(void);
void br_uboot_files_free(struct br_uboot_files *files);

/* From a text among the overrides; path is clean. -ENOENT: none. Spans live as long as files. */
int br_uboot_files_override(struct br_uboot_files *files, const struct br_uboot_context *ctx, const char *path,
	struct br_bootfile *ret);
/* From the image's texts, or built in. */
int br_uboot_files_other(struct br_uboot_files *files, const struct br_uboot_context *ctx, const char *path,
	struct br_bootfile *ret);

/* Stage 2 of boards that boot what they have, without any image of ours: by its own name, and by the one that U-Boot asks for in
 * its network boot. flashed->target "" : whichever disk. *ret: free(). -ENOENT: not that name. */
int br_uboot_local_file(const char *path, const char *board, const struct br_plan_flashed *flashed, uint8_t **ret, size_t *ret_len);

/* A name of PXELINUX's menus, all of which mean the one. path is clean. */
bool br_uboot_is_menu(const char *path);

/* What U-Boot would not understand in the scripts among these overrides, as words; NULL: nothing. free(). */
char *br_uboot_problems(const struct br_override_set *overrides);
