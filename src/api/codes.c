/* SPDX-License-Identifier: Apache-2.0 */
/* The table of error codes of the API, for both of its ends. */
#include "api/codes.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

static const struct br_api_code codes[] = {
	{ EIO, 500, "failed" }, /* first: the answer for all others */
	{ ENOENT, 404, "not-found" },
	{ EINVAL, 400, "invalid" },
	{ EEXIST, 409, "exists" },
	{ EBUSY, 409, "busy" },
	{ EACCES, 403, "denied" },
	{ EISDIR, 409, "is-a-directory" },
	{ ENOTDIR, 409, "not-a-directory" },
	{ ELOOP, 409, "too-many-links" },
	{ ESTALE, 409, "stale" },
	{ EFBIG, 413, "too-large" },
	{ EOPNOTSUPP, 405, "method" },
	{ ENOMEM, 503, "no-memory" },
	{ ENOSPC, 507, "no-space" },
	{ ENOLCK, 409, "reserved" },
	{ ENOTCONN, 409, "away" },
	{ ENODEV, 404, "no-console" },
	{ EPERM, 403, "not-permitted" },
	{ ETIMEDOUT, 504, "timeout" },
	{ ENOKEY, 401, "unauthorized" },
	{ EREMOTE, 403, "cross-site" },
	{ EADDRNOTAVAIL, 421, "wrong-host" },
	{ EAGAIN, 503, "try-again" },
};

const struct br_api_code *br_api_code_of(int code)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(codes); i++) {
		if (codes[i].code == code)
			return &codes[i];
	}
	return &codes[0];
}

const struct br_api_code *br_api_code_by_word(const char *word)
{
	for (size_t i = 0; word && i < BR_ARRAY_SIZE(codes); i++) {
		if (!strcmp(codes[i].word, word))
			return &codes[i];
	}
	return &codes[0];
}
