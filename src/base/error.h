/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Errors. The rule of the whole tree:
 *
 *   - A function that can fail returns 0 (or a count) on success and a negative
 *     errno on failure. Outputs are untouched on failure.
 *   - One that knows words a person needs takes 'struct br_error *err' last. It
 *     may be NULL. The words name the thing, the cause and the cure:
 *         return br_error_set(err, ENOSPC, "state directory %s: full (%s free, "
 *                 "%s needed); free some space or give --state", ...);
 *   - The code travels up unchanged; who adds context uses br_error_prefix().
 *   - Libraries never log and never exit. The daemon and the CLI do, once.
 */
struct br_error {
	int code; /* positive errno, 0 when nothing is wrong */
	char text[1000];
};

#define BR_ERROR_NULL ((struct br_error){ 0 })

/*
 * br_error_set(err, code, fmt, ...): sets code and text; returns -code, so that 'return br_error_set(...)' is one
 * line. A code that is not positive becomes EIO: the result is always negative, and the compiler and the
 * analyzers are told so, or they take every caller's "r < 0" for a maybe.
 */
#define br_error_set(...) br_error_negative(br_error_write(__VA_ARGS__))
__attribute__((format(printf, 3, 4))) int br_error_write(
	struct br_error *err, int code, const char *fmt, ...);

static inline int br_error_negative(int r)
{
	if (r >= 0)
		__builtin_unreachable();
	return r;
}

/* Puts "prefix: " before the text that is there. Returns -err->code. */
__attribute__((format(printf, 2, 3))) int br_error_prefix(
	struct br_error *err, const char *fmt, ...);

/* The words, or those of the errno when none were set. r: a negative errno. */
const char *br_error_text(const struct br_error *err, int r);
