/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "wire/mount.h"
#include "wire/nfs3.h"

/* The one place where errors become statuses of NFSv3 and MOUNT. */

/* For a status no errno stands for: what a procedure returns in place of a negative errno. */
#define BR_NFS3_ERROR(status) (-(int)(0x10000 + (status)))

/* r: negative errno or BR_NFS3_ERROR(). One of the statuses that RFC 1813 allows the procedure (or
 * that Linux sends, as status.c notes); IO for all others. */
enum br_nfs3_status br_nfs3_status(enum br_nfs3_proc proc, int r);
enum br_mount_status br_mount_status(int r);
