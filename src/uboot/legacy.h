/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * U-Boot's legacy image: a header of 64 bytes with two CRCs before the data, as mkimage makes it. Scripts and 'multi'
 * images hold several files: a list of their sizes, ended by 0, then each, padded to four bytes.
 */
#define BR_UIMAGE_HEADER 64
#define BR_UIMAGE_NAME	 32 /* bytes in the header; terminated only when shorter */
#define BR_UIMAGE_PARTS_MAX 64

enum br_uimage_type { /* of the many, those that matter here; others are carried as numbers */
	BR_UIMAGE_KERNEL = 2,
	BR_UIMAGE_RAMDISK = 3,
	BR_UIMAGE_MULTI = 4,
	BR_UIMAGE_FIRMWARE = 5,
	BR_UIMAGE_SCRIPT = 6,
	BR_UIMAGE_FLAT_DT = 8,
};
enum { BR_UIMAGE_OS_LINUX = 5, BR_UIMAGE_ARCH_ARM = 2, BR_UIMAGE_ARCH_ARM64 = 22, BR_UIMAGE_COMP_NONE = 0 };

struct br_uimage_head {
	uint8_t os, arch, type, comp;
	uint32_t time, load, entry;
	char name[BR_UIMAGE_NAME + 1]; /* any bytes but NUL; not safe to print */
};

struct br_uimage {
	struct br_uimage_head head;
	const uint8_t *data; /* behind the header: of scripts and multi images with the list of sizes */
	size_t len;
};

/* Whether the first bytes are such a header's: the magic number. */
bool br_uimage_is(const void *data, size_t len);

/* Points into data. Bytes behind the image are no error (a partition, a padded file). -EBADMSG with words: cut off, a CRC
 * that is wrong, no such image, a list of sizes that does not fit. */
int br_uimage_parse(const void *data, size_t len, struct br_uimage *ret, struct br_error *err);

/* File i of a script or multi image, the data itself of any other (i = 0). -ENOENT: it has no more. */
int br_uimage_part(const struct br_uimage *img, size_t i, const uint8_t **ret, size_t *ret_len);

/* The data as they are behind a header. *ret: free(). -EFBIG, -ENOMEM. */
int br_uimage_pack(const struct br_uimage_head *head, const void *data, size_t len, uint8_t **ret, size_t *ret_len);

struct br_uimage_file {
	const void *data;
	size_t len;
};
/* The files with the list of their sizes, as a script or multi image wants them. -EINVAL: none, too many, an empty one. */
int br_uimage_pack_files(const struct br_uimage_head *head, const struct br_uimage_file *files, size_t n, uint8_t **ret,
	size_t *ret_len);
/* One script. name is cut to what the header holds. */
int br_uimage_pack_script(const char *name, uint32_t time, const char *text, size_t len, uint8_t **ret, size_t *ret_len);
