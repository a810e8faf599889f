/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "store/cow.h"

/*
 * Makes the ext4 of a layer as large as the layer is: whole block groups are added behind the last one, and the inode tables
 * of these are the zeros that a layer beyond its base reads as. Nothing is moved. The caller commits, and opens the file
 * system afterwards. -ENOTSUP: it cannot become that large, with how large it can.
 */
int br_extgrow(struct br_cow *cow, struct br_error *err);

/* Could the ext4 of this layer, as it is stored now, become that large (bytes)? Changes nothing. Errors as above. */
int br_extgrow_check(struct br_cow *cow, uint64_t size, struct br_error *err);
