/* SPDX-License-Identifier: Apache-2.0 */
/* Errors with words: see the rule in error.h. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int br_error_write(struct br_error *err, int code, const char *fmt, ...)
{
	if (code <= 0)
		code = EIO;
	if (err) {
		va_list ap;

		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
	}
	return -code;
}

int br_error_prefix(struct br_error *err, const char *fmt, ...)
{
	char old[sizeof(err->text)];
	va_list ap;
	size_t n;

	if (!err)
		return -EIO; /* the caller holds the code; this value is never looked at */
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	snprintf(err->text + n, sizeof(err->text) - n, ": %s", old);
	return -err->code;
}

const char *br_error_text(const struct br_error *err, int r)
{
	if (err && err->text[0])
		return err->text;
	return strerrordesc_np(r < 0 ? -r : r) ?: "unknown error";
}
