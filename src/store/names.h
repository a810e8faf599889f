/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "store/fs.h"

/* The names in a directory, sorted by their bytes, without "." and "..". Zero-initialise; br_names_done() also after a failure. */
struct br_names {
	struct br_name {
		uint64_t ino; /* as the directory says; what covers a name (a projection) is found by lookup */
		char *name;
	} *v;
	size_t n, cap;
	/* while it is read */
	size_t max;
	uint64_t cookie;
	int r;
};

/* Collects, so that the file system can be asked about each afterwards: not from within its readdir. 0; 1: the directory never
 * ends; -EFBIG: more than max names; -ENOMEM, or what the file system says. */
int br_names_read(struct br_fs *fs, uint64_t dir, size_t max, struct br_names *ret);
void br_names_done(struct br_names *names);
