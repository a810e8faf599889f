/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pi/identity.h"

/*
 * config.txt as the firmware reads it: the settings that decide which files are asked
 * for. Lines are cut after 98 characters, unknown settings are ignored, sections in
 * brackets switch following lines on and off.
 */
#define BR_PI_CONFIG_LINE 98
#define BR_PI_CONFIG_NAME (BR_PI_CONFIG_LINE + 1)
#define BR_PI_CONFIG_LIST 32	/* overlays, initramfs files: further ones are ignored, as memory of firmware is small */
#define BR_PI_CONFIG_INCLUDES 8 /* include files in all */

/* Who reads: sections ask for it. */
struct br_pi_config_reader {
	const char *const *filters; /* "pi3", "pi3+", ended by NULL */
	uint32_t serial, revision;
	bool includes; /* bootcode.bin and old EEPROMs know no include */
};

struct br_pi_config {
	int arm_64bit; /* -1: not said */
	bool auto_initramfs, start_x, start_debug, boot_ramdisk, no_bootloader_update, upstream_kernel;
	bool has_device_tree; /* device_tree is set; empty: none wanted */
	unsigned gpu_mem;     /* 0: not said */
	char kernel[BR_PI_CONFIG_NAME], cmdline[BR_PI_CONFIG_NAME], device_tree[BR_PI_CONFIG_NAME],
		armstub[BR_PI_CONFIG_NAME], os_prefix[BR_PI_CONFIG_NAME], overlay_prefix[BR_PI_CONFIG_NAME],
		start_file[BR_PI_CONFIG_NAME], fixup_file[BR_PI_CONFIG_NAME];
	char initramfs[BR_PI_CONFIG_LIST][BR_PI_CONFIG_NAME];
	size_t n_initramfs;
	char overlays[BR_PI_CONFIG_LIST][BR_PI_CONFIG_NAME]; /* names without parameters */
	size_t n_overlays;
	/* include files that the text names and 'files' lacks: fetch them and parse again */
	char missing[BR_PI_CONFIG_INCLUDES][BR_PI_CONFIG_NAME];
	size_t n_missing;
};

struct br_pi_config_file {
	const char *name;
	const char *text; /* NULL: it was asked for and is not there */
	size_t len;
};

/* files[0] is config.txt, the others what it includes. Never fails: garbage gives defaults. */
void br_pi_config_parse(const struct br_pi_config_reader *who, const struct br_pi_config_file *files,
	size_t n_files, struct br_pi_config *ret);

/* What auto_initramfs=1 loads beside a kernel: "kernel8.img" has "initramfs8"; "" when the name is none of those. */
void br_pi_initramfs_name(const char *kernel, char out[static BR_PI_CONFIG_NAME]);

/* The names of sections that hold on this model ("pi3", "pi3+"), ended by NULL; model NULL: none. */
#define BR_PI_FILTERS_MAX 3
void br_pi_config_filters(const struct br_pi_model *model, const char *ret[static BR_PI_FILTERS_MAX]);
