/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Where 'bramble sign' writes: never over a key, its own input or a file of another kind, and two files together or none. */

enum br_sign_kind {
	BR_SIGN_ANY,	/* an image, boot code, a public key */
	BR_SIGN_SIG,	/* a .sig: what is there already must be one, too */
};

/*
 * Whether path may be written: it is not there yet, or a file that is none of the inputs (n of them, NULLs are passed over,
 * what is no file, too), holds no private key and, for a .sig, is one. -EEXIST with words.
 */
int br_sign_may_write(const char *path, enum br_sign_kind kind, const char *const *inputs, size_t n, struct br_error *err);

/* Files that belong together: written beside their places, then put there in turn. Zeros to begin with. */
struct br_sign_out {
	struct {
		char *tmp, *path;
	} files[2];
	size_t n;
};
/* A temporary file for path; *ret_fd is the caller's to fill and close. */
int br_sign_out_open(struct br_sign_out *o, const char *path, int *ret_fd, struct br_error *err);
/* The same for bytes. */
int br_sign_out_add(struct br_sign_out *o, const char *path, const void *data, size_t len, struct br_error *err);
/* All of them into their places, in the order they came. */
int br_sign_out_commit(struct br_sign_out *o, struct br_error *err);
/* What was not put into its place is removed. */
void br_sign_out_done(struct br_sign_out *o);
