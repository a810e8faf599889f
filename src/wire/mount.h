/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/bytes.h"

/* The MOUNT protocol, version 3 (RFC 1813, appendix I). */

enum br_mount_proc {
	BR_MOUNT_NULL = 0,
	BR_MOUNT_MNT = 1,
	BR_MOUNT_DUMP = 2,
	BR_MOUNT_UMNT = 3,
	BR_MOUNT_UMNTALL = 4,
	BR_MOUNT_EXPORT = 5,
};

enum br_mount_status {
	BR_MNT3_OK = 0,
	BR_MNT3ERR_PERM = 1,
	BR_MNT3ERR_NOENT = 2,
	BR_MNT3ERR_IO = 5,
	BR_MNT3ERR_ACCES = 13,
	BR_MNT3ERR_NOTDIR = 20,
	BR_MNT3ERR_INVAL = 22,
	BR_MNT3ERR_NAMETOOLONG = 63,
	BR_MNT3ERR_NOTSUPP = 10004,
	BR_MNT3ERR_SERVERFAULT = 10006,
};

#define BR_MOUNT_PATH_MAX 1024 /* bytes of a dirpath */

/* Arguments of MNT and UMNT, terminated. -EBADMSG: malformed, too long, or with a NUL inside. */
int br_mount_get_path(struct br_reader *r, char out[static BR_MOUNT_PATH_MAX + 1]);

/* An entry of the list that EXPORT answers: this path, for everybody. A 'false' ends the list. */
void br_mount_put_export(struct br_writer *w, const char *path);

/* Results of MNT, version 3; with status OK a handle follows, and AUTH_SYS as the only flavour. */
void br_mount_put_status(struct br_writer *w, enum br_mount_status status);
void br_mount_put_handle(struct br_writer *w, const void *fh, size_t fh_len);
