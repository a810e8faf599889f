/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"

/*
 * An image file as a stream of the raw disk's bytes, whatever it is packed in: plain, xz, gz, zst, bz2 or one
 * member of a zip, told by its first bytes. Check sums of the packing are verified.
 */
struct br_source;

/* -EISDIR, -ENOTSUP (a device, another kind of disk file, several images in one zip), -ENODATA (empty). */
int br_source_open(const char *file, struct br_source **ret, struct br_error *err);
void br_source_close(struct br_source *source);

/* At least one byte, up to cap; *ret_len 0 at the end. -EBADMSG: damaged or cut off. */
int br_source_read(struct br_source *source, void *buf, size_t cap, size_t *ret_len, struct br_error *err);

const struct stat *br_source_stat(const struct br_source *source); /* of the file */
uint64_t br_source_done(const struct br_source *source); /* bytes of the file consumed */
const char *br_source_note(const struct br_source *source); /* an oddity worth a warning, or "" */
