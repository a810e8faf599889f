/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "store/fatwrite.h"

/*
 * The recovery card: partition 1 is a FAT with the Raspberry Pi's firmware, Debian's U-Boot and stage 1, never written
 * again; behind it is room for an image (docs/uboot.md, docs/flash.md). Made in memory; who writes it gives a descriptor.
 */
struct br_card_options {
	const char *models;   /* "3b+", "4", "5", several with commas, or "all": those there are files for */
	const char *firmware; /* directory with bootcode.bin, start.elf ...; NULL: where Debian has it */
	const char *dtb;      /* directory with device trees; NULL: firmware's, else Debian's kernel */
	const char *uboot;    /* directory with rpi_arm64/u-boot.bin; NULL: /usr/lib/u-boot */
	const char *stage1;   /* its text */
	uint64_t size;	      /* of the whole; multiple of 512 */
	uint64_t boot_size;   /* of partition 2; 0: 512 MiB */
	uint32_t disk_id;
};

struct br_card;

/* -ENOENT: a file is missing, with what it is for and where it comes from. -ENOSPC: size is too small. */
int br_card_new(const struct br_card_options *opt, struct br_card **ret, struct br_error *err);
void br_card_free(struct br_card *card);
/* What is on it, and what "all" left out: lines for people. */
const char *br_card_notes(const struct br_card *card);
/* Writes partition table and partition 1, and zeros where the file systems of the others would begin. */
int br_card_write(const struct br_card *card, int fd, struct br_error *err);
