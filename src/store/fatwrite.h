/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/fat.h"

/*
 * A FAT file system made from a list of files, as the firmware of a Raspberry Pi takes it for boot.img: bare, without a
 * partition table, one sector per cluster, FAT12, FAT16 or FAT32 as the number of clusters asks for. Only the tables and
 * directories are made in memory; file data stays where it is. The same list and options give the same bytes.
 */
struct br_fatimage;

#define BR_FATIMAGE_ENTRIES_MAX 20000

struct br_fatimage_entry {
	const char *path; /* UTF-8, '/' between parts; directories come by themselves */
	const struct br_span *spans; /* together 'size' bytes at least; live as long as the image */
	size_t n_spans;
	uint64_t size;
};

struct br_fatimage_options {
	const char *label;  /* up to 11 characters of A-Z 0-9 _ -; NULL: none */
	uint32_t volume_id;
	uint64_t spare;	    /* free bytes at least */
	uint64_t max_size;  /* of the whole; 0: what FAT allows */
};

/* Entries in any order. With words: -EEXIST: two of one name; -ENOTDIR: a file as a directory; -EINVAL, -EILSEQ,
 * -ENAMETOOLONG: a name FAT cannot hold; -EFBIG: too large, or too many. */
int br_fatimage_new(const struct br_fatimage_entry *entries, size_t n, const struct br_fatimage_options *opt,
	struct br_fatimage **ret, struct br_error *err);
void br_fatimage_free(struct br_fatimage *img);

/* All from any thread. */
uint64_t br_fatimage_size(const struct br_fatimage *img); /* a multiple of 512 */
unsigned br_fatimage_bits(const struct br_fatimage *img); /* 12, 16 or 32 */
/* The whole image in pieces, for writev(2) and the like; as long as the image. */
const struct br_span *br_fatimage_spans(const struct br_fatimage *img, size_t *ret_n);
/* Copies up to len bytes; returns how many: fewer only at the end. */
size_t br_fatimage_read(const struct br_fatimage *img, uint64_t offset, void *buf, size_t len);
