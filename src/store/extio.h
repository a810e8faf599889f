/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <ext2fs/ext2fs.h>

#include "store/cow.h"

/*
 * libext2fs reading and writing through a copy-on-write layer. Everything it writes is
 * metadata; file data goes past it (extfs_data.c). The manager's open() takes no
 * pointer, so opening goes through here. cow must outlive the handle. An int at (*ret)->io->app_data, when one is set,
 * gets the first failure of a read or write of the layer, as a negative errno.
 */
errcode_t br_extio_open(struct br_cow *cow, int flags, ext2_filsys *ret);
