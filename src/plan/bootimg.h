/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/text.h"
#include "pi/identity.h"
#include "plan/plan.h"
#include "store/fatwrite.h"

/* boot.img: what goes into it, out of a plan's boot files, and its signature. */

/* What the firmware takes: 96 MB by the documentation, 128 MB by its release notes of 2022-03-10 (systems notes d.5). */
#define BR_BOOTIMG_MAX (128ull << 20)
#define BR_BOOTIMG_SAFE (96ull << 20)
#define BR_BOOTIMG_LARGE (20ull << 20) /* rpi-make-boot-image warns from here on: it takes long to load */

/*
 * Whether a model needs a boot file. Left out is what is known to be for other models only, and not named in
 * config.txt: other models' device trees and kernels, and the firmware on models that have it in their EEPROM
 * (BCM2712) or use the other one. BR_SOC_UNKNOWN needs all.
 */
bool br_bootimg_needs(enum br_soc soc, const char *path, const char *config);

/*
 * What a board of this processor would look for in vain, as sentences, one per line: once boot.img is used, everything
 * comes from inside (systems notes d.4, d.5). model: NULL when only the processor is known. Returns how many.
 */
size_t br_bootimg_missing(enum br_soc soc, const struct br_pi_model *model, const struct br_fatimage_entry *entries, size_t n,
	const char *config, struct br_text *words);

/* A boot.img of these files: the options of br_fatimage_new() as firmware wants them. The volume's number comes from
 * their names and sizes. */
int br_bootimg_pack(const struct br_fatimage_entry *entries, size_t n, struct br_fatimage **ret, struct br_error *err);

/* Whether a .sig is of this boot.img, by the hash in it: whose key it is, is the board's affair. -EBADMSG with words. */
int br_bootimg_check_sig(const struct br_bootfile *img, const struct br_span *sig, struct br_error *err);
/* The .sig of a boot.img, with the time of now: *ret is its text (free()). key_file: an RSA-2048 key that is not encrypted. */
int br_bootimg_sign(const struct br_bootfile *img, const char *key_file, char **ret, struct br_error *err);

/* As br_bootimg_pack(), of a plan's boot files. The image holds pointers into the plan, and lives no longer. */
int br_bootimg_new(const struct br_plan *plan, struct br_fatimage **ret, struct br_error *err);
/* br_bootimg_missing() of these, for the model of the plan's board; 0 where it has none. Negative on failure. */
int br_bootimg_plan_missing(const struct br_plan *plan, struct br_text *words, struct br_error *err);
