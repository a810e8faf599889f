/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/fs.h"
#include "store/image.h"

/*
 * What an import finds out about a raw disk: fills table, partitions, boot, root, models, OS, architecture,
 * kernels and notes of info, whose 'size' is set. An image needs a partition table and a FAT boot partition or an
 * ext4 root; what else is missing becomes a note. -ENOMEDIUM, -EBADMSG.
 */
int br_inspect(int fd, struct br_image_info *info, struct br_error *err);

/* Adds to info->notes; what does not fit any more is dropped. */
__attribute__((format(printf, 2, 3))) void br_inspect_note(struct br_image_info *info, const char *fmt, ...);

/* Models whose files are in the boot partition, ids separated by blanks. */
void br_inspect_models(const struct br_fat *fat, char *ret, size_t size);
/* The number of the partition that a kernel command line's root= means, 0 when it cannot be told. */
unsigned br_inspect_root_of_cmdline(const struct br_image_info *info, const char *cmdline);
/* OS, architecture and kernels out of the root file system. */
void br_inspect_root(struct br_fs *fs, struct br_image_info *info);
