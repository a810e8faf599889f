/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "store/fs.h"

/*
 * Does the same random operations on two file systems that look the same and fails the running test when an answer or
 * what they look like afterwards differs. The tree should be that of test_projfs.c, whose names are used.
 * Sizes of directories, times and lost+found are not compared.
 */
void fsdiff_run(struct br_fs *fs, struct br_fs *want, uint32_t seed, unsigned n_steps);
