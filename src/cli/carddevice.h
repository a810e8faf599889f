/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "base/error.h"

/*
 * Whether a block device is a card or stick that somebody put in, all of it, and nothing of it is in use. Decided by what the
 * kernel says of the device itself, not by its name: that may be any link. name is for words only. sys: "/sys"; mounts:
 * "/proc/self/mountinfo". -EPERM: a disk of the host; -EINVAL: a partition; -EBUSY: mounted.
 */
int br_card_device_check(const char *name, dev_t device, const char *sys, const char *mounts, struct br_error *err);
