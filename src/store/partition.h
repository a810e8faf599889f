/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/image.h"

/* A partition table as it was read: only partitions that lie wholly inside of the disk. */
struct br_partitions {
	char table[8]; /* "mbr" or "gpt" */
	unsigned n;
	struct br_partition p[BR_PARTITIONS_MAX];
};

/*
 * Reads the table of a raw disk of 'size' bytes and looks what is in each partition (label, file system).
 * Extended partitions themselves are left out, the logical ones in them are not.
 * -ENOMEDIUM: there is no partition table. -EBADMSG: a partition lies outside of the disk.
 */
int br_partitions_read(int fd, uint64_t size, struct br_partitions *ret, struct br_error *err);

/* Whether the first bytes of a disk (at least the first sector is looked at) can be those of a partitioned one, so
 * that others are refused early. 0 or -ENOMEDIUM with words. */
int br_partitions_check_start(const void *data, size_t len, struct br_error *err);

/* What the bytes at 'offset' hold, by magic number: "vfat", "ext4", "btrfs", ...; "" when not known.
 * label (64 bytes) is set for ext2/3/4. */
const char *br_fs_probe(int fd, uint64_t offset, uint64_t size, char *label);
