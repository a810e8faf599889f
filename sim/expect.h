/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* The boot files as they should arrive: a directory, the boot partition of an image, a tar. Read once, shared by all boards. */
struct br_sim_expect;

int br_sim_expect_dir(const char *dir, struct br_sim_expect **ret, struct br_error *err);
/* An uncompressed image: its first FAT partition. */
int br_sim_expect_image(const char *file, struct br_sim_expect **ret, struct br_error *err);
/* A tar's ordinary files, as libarchive reads it. */
int br_sim_expect_tar(const char *file, struct br_sim_expect **ret, struct br_error *err);
void br_sim_expect_free(struct br_sim_expect *e);
/* 1 and size, CRC-32C of the file 'name' (case ignored); 0 when there is none. e may be NULL. */
int br_sim_expect_find(const struct br_sim_expect *e, const char *name, uint64_t *ret_size, uint32_t *ret_crc);
