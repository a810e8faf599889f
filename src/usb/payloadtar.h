/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "usb/payload.h"

/*
 * A bootfiles.bin: a plain ustar archive of small files (c.5). All of it is hostile and it is read strictly: a member
 * that is neither a file nor a directory, an extended header, a name that could not be asked for, the same name twice, a
 * size outside of the file, a missing end refuse the whole. Only headers are read and kept.
 */
struct br_usb_tar;

#define BR_USB_TAR_MEMBERS_MAX 1024

struct br_usb_tar_member {
	char name[BR_USB_NAME_MAX + 1]; /* "2711/bootcode4.bin" */
	uint64_t start; /* of its bytes in the file */
	uint32_t size;
};

/* fd is only read, not kept. -EBADMSG, -EFBIG (too many members, too large a one), -ENOTSUP (links, extended headers). */
int br_usb_tar_open(int fd, struct br_usb_tar **ret, struct br_error *err);
void br_usb_tar_close(struct br_usb_tar *tar);
/* PREFIX/NAME; case counts not. NULL: none. */
const struct br_usb_tar_member *br_usb_tar_find(const struct br_usb_tar *tar, const char *prefix, const char *name);
/* In order i = 0, 1, ...; NULL at the end. */
const struct br_usb_tar_member *br_usb_tar_member(const struct br_usb_tar *tar, size_t i);
