/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/fs.h"
#include "store/image.h"

/*
 * An image as its booted system sees it, read-only: the ext4 root with the FAT boot partition at the place where
 * etc/fstab mounts it ("/boot/firmware", on older systems "/boot"). Without a root partition the boot partition is
 * the root. Every change is -EROFS. Holds a reference to the image; end with ops->close.
 */
int br_view_open(struct br_image *image, struct br_fs **ret, struct br_error *err);
/* Where the boot partition is: "/boot/firmware", "/" ...; "" when there is none to see. */
const char *br_view_boot_path(const struct br_fs *view);
/* The ext4 of the root partition in it, NULL when there is none; its inode numbers are the view's too. Not given away. */
struct br_fs *br_view_root_fs(const struct br_fs *view);
