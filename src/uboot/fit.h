/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/fat.h" /* struct br_span */
#include "wire/fdt.h"

/*
 * U-Boot's FIT: a device tree whose nodes hold images and their hashes. U-Boot checks them before it uses an image
 * ('source ADDR:script', 'imxtract ADDR NAME DEST', 'iminfo'), so a download of one proves itself.
 */

#define BR_FIT_CRC32  1u
#define BR_FIT_SHA256 2u

struct br_fit_image {
	const char *name; /* of its node: letters, digits, '-', '_', '.'; "script", "chunk-1" */
	const char *type; /* "script", "kernel", "ramdisk", "flat_dt", "firmware" */
	/* may be NULL: left out */
	const char *description, *arch, *os;
	const char *compression; /* NULL: "none" */
	bool has_load, has_entry;
	uint32_t load, entry;
	const struct br_span *spans; /* its data, not copied */
	size_t n_spans;
	unsigned hashes; /* BR_FIT_... */
};

struct br_fit_config { /* names of images, NULL: none */
	const char *name, *description;
	const char *kernel, *ramdisk, *fdt, *firmware, *script;
};

struct br_fit_options {
	const char *description;
	uint32_t time;
	const struct br_fit_image *images;
	size_t n_images;
	const struct br_fit_config *configs; /* the first is the default one */
	size_t n_configs;
};

#define BR_FIT_IMAGES_MAX 1024

/* A FIT as spans: what describes it is its own memory, the data are the spans that were given. They must outlive it. */
struct br_fit;
/* -EINVAL: a name that may not be, or one that a configuration has and no image. -EFBIG: beyond 4 GiB. */
int br_fit_new(const struct br_fit_options *opt, struct br_fit **ret, struct br_error *err);
void br_fit_free(struct br_fit *fit);
const struct br_span *br_fit_spans(const struct br_fit *fit, size_t *ret_n);
uint64_t br_fit_size(const struct br_fit *fit);

/* One script named "script", which is also what the default configuration means. *ret: free(). */
int br_fit_pack_script(const char *description, uint32_t time, const char *text, size_t len, uint8_t **ret,
	size_t *ret_len);

/* Reading. */
bool br_fit_is(const void *data, size_t len);

struct br_fit_part {
	const char *name;
	const char *type, *arch, *os, *compression, *description; /* "" when missing */
	const uint8_t *data;
	size_t len;
	bool has_load;
	uint32_t load;
	unsigned hashes; /* those that were there and right */
};

/* Checks the tree, and that it has images. fdt points into data. -EBADMSG. */
int br_fit_open(const void *data, size_t len, struct br_fdt *ret, struct br_error *err);
/* Image i, its hashes checked. -ENOENT: no more; -EBADMSG: without data, a hash that is wrong or cannot be checked
 * because it is none of the two and there is no other. */
int br_fit_part(const struct br_fdt *fdt, size_t i, struct br_fit_part *ret, struct br_error *err);
/* The same by name. */
int br_fit_find(const struct br_fdt *fdt, const char *name, struct br_fit_part *ret, struct br_error *err);
