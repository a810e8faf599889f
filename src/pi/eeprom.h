/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "pi/identity.h"

/*
 * Bootloader EEPROM images of BCM2711 (512 KiB) and BCM2712 (2 MiB): a chain of sections, each eight bytes (magic and
 * length, big-endian), a payload, and up to the next multiple of eight. Magic 0 or all ones ends the chain.
 *
 * Since May 2026 images of BCM2712 have two partitions: 64 KiB that are never written again, A and B of 988 KiB each
 * with the parts that an update replaces, then journals. What people change is in A.
 */
#define BR_EEPROM_SIZE_2711 (512u << 10)
#define BR_EEPROM_SIZE_2712 (2u << 20)
#define BR_EEPROM_SCRATCH 4096u	    /* at the end: the bootloader's own */
#define BR_EEPROM_MEMBER_MAX 4076u  /* content of a file; bootcode and bootsys may have more */
#define BR_EEPROM_CODE_MAX (110u << 10) /* bootcode or bootsys with its signatures */
#define BR_EEPROM_A 0x10000u
#define BR_EEPROM_B 0x107000u
#define BR_EEPROM_JOURNALS 0x1fe000u
#define BR_EEPROM_NAME 12
#define BR_EEPROM_SIGNED_FLOOR 1632136573u /* 2021-09-20: images built before know no signed boot (systems notes d.4) */

#define BR_EEPROM_BOOTCODE "bootcode" /* the first stage, which has no name in the image */
#define BR_EEPROM_BOOTSYS "bootsys"   /* its second half, in partition A */
#define BR_EEPROM_CONFIG "bootconf.txt"
#define BR_EEPROM_CONFIG_SIG "bootconf.sig"
#define BR_EEPROM_PUBKEY "pubkey.bin"
#define BR_EEPROM_CACERT "cacert.der"
#define BR_EEPROM_TIME "updatetime"

enum br_eeprom_kind {
	BR_EEPROM_CODE,	  /* the first stage */
	BR_EEPROM_FILE,	  /* can be replaced */
	BR_EEPROM_PACKED, /* compressed by the older codec */
	BR_EEPROM_LZ4,
	BR_EEPROM_PAD,
	BR_EEPROM_OTHER, /* a magic number that we do not know */
};

struct br_eeprom_section {
	enum br_eeprom_kind kind;
	uint32_t magic, offset;
	uint32_t content, size; /* where its content is (behind header and name), and its bytes */
	uint32_t room;		/* the most bytes that a new content may have; 0: it cannot be replaced */
	char name[BR_EEPROM_NAME + 1]; /* "bootcode" for the first stage; bytes of the image: br_vis() */
};

struct br_eeprom {
	enum br_soc soc;
	bool ab;
	uint8_t *data;
	size_t len;
	struct br_eeprom_section *sections;
	size_t n_sections, cap_sections;
	uint32_t end; /* where the chain ended */
};

/*
 * Takes a copy of the image. -EBADMSG with words: the size is none of the two, a section that is none, reaches over the end or
 * is too short for its name, or no first stage at the beginning. br_eeprom_done() is right for zeros.
 */
int br_eeprom_open(const void *data, size_t len, struct br_eeprom *ret, struct br_error *err);
void br_eeprom_done(struct br_eeprom *e);

/* "bootcode", "file", "compressed", "lz4", "pad", "unknown" */
const char *br_eeprom_kind_name(enum br_eeprom_kind kind);
/* Whether anything is in a part of the image: padding and ones are nothing. */
bool br_eeprom_used(const struct br_eeprom *e, uint32_t from, uint32_t to);
/* In images with two partitions: "read-only", "A", "B" or "journal"; else "". */
const char *br_eeprom_area(const struct br_eeprom *e, uint32_t offset);

/* The section of that name that a change would change; else the first one of that name. NULL: none. */
const struct br_eeprom_section *br_eeprom_find(const struct br_eeprom *e, const char *name);
/* The content of that one; NULL: not there. Valid until the image is changed. */
const uint8_t *br_eeprom_get(const struct br_eeprom *e, const char *name, size_t *ret_len);
/* It is there, and not only zeros (room kept free) or ones. */
bool br_eeprom_has(const struct br_eeprom *e, const char *name);

/*
 * Puts a new content into a file of the image, or a new first stage, with padding by the rule that our notes have of the published
 * tool (systems notes d.1; compared with models of that rule, not with the tool). The image is read anew; when that fails nothing was changed. -ENOENT: no such file; -EFBIG: more than a file may have;
 * -ENOSPC: more than there is before the next section; -EPERM: an image whose first stage is not to be replaced.
 */
int br_eeprom_replace(struct br_eeprom *e, const char *name, const void *data, size_t len, struct br_error *err);

/* When the image was made and, separately, the time that it gives itself in comparisons of a self-update. */
struct br_eeprom_build {
	uint32_t time;	      /* BUILD_TIMESTAMP of the first stage; 0: not found */
	bool has_update_time; /* one was written into the image */
	uint32_t update_time;
	char version[41]; /* of the source, as the first stage says it; "" */
	char date[41];	  /* as the first stage says it; "" */
};
void br_eeprom_build(const struct br_eeprom *e, struct br_eeprom_build *ret);
/* "2026-08-12" from seconds since 1970; "unknown" for 0. Returns out. */
#define BR_EEPROM_DATE 16
const char *br_eeprom_date(uint32_t time, char out[static BR_EEPROM_DATE]);
/* Where the published tool does: the file updatetime in the first 64 KiB, else the last eight bytes of the image. */
void br_eeprom_set_update_time(struct br_eeprom *e, uint32_t time);

/* Signature blocks at the end of first stage and bootsys, the last one (that covers the others) first. */
#define BR_EEPROM_KEYNUM_CUSTOMER 16u
#define BR_EEPROM_SIGNATURES 8
struct br_eeprom_signature {
	const char *of; /* "bootcode", "bootsys" */
	uint32_t covers; /* bytes before the block */
	uint32_t keynum, version; /* version 0 on BCM2711, where there is none */
};
size_t br_eeprom_signatures(const struct br_eeprom *e, struct br_eeprom_signature ret[static BR_EEPROM_SIGNATURES]);
/* Whether data ends with a block of BCM2711's form; nobody but the ROM can check that one. */
bool br_eeprom_ends_as_2711(const uint8_t *data, size_t len);
/* One of them is the customer's: the image runs on fused boards only. */
bool br_eeprom_countersigned(const struct br_eeprom *e);
