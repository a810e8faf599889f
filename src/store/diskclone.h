/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"

/*
 * Copies the stored layer of a disk from one directory to another, new one, where br_disk_open() finds a disk of its
 * own. The caller has committed the disk and keeps it from changing meanwhile. Only what the layer holds is copied
 * (shared with the first where the host's file system can do that), not the image.
 */
int br_disk_clone_files(const char *from_dir, const char *to_dir, struct br_error *err);
