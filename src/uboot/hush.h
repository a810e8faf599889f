/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * What U-Boot's shell (hush of 2000, before "modern hush") would not understand, or would understand otherwise than a
 * person who knows other shells: quotes, if ... fi, for and while ... done, what it does not have at all.
 */
struct br_hush_problem {
	unsigned line; /* from 1 */
	bool error;    /* it will not run as written; else a warning */
	char text[200]; /* safe to print */
};

#define BR_HUSH_PROBLEMS_MAX 100 /* it stops there */

/* Calls fn (may be NULL) for each, in order of lines. Returns how many errors, and in *ret_warnings (may be NULL) warnings. */
unsigned br_hush_check(const char *text, size_t len, void (*fn)(void *ctx, const struct br_hush_problem *p), void *ctx,
	unsigned *ret_warnings);

/* Whether bytes can be the text of a script: no NUL, not binary. */
bool br_hush_is_text(const void *data, size_t len);
