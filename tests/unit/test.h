/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every unit test includes first: cmocka and a scratch directory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A directory of this process under $TMPDIR, made at first use and named anew after br_remove_tree(). */
static inline const char *test_dir(void)
{
	static char path[256];

	if (!path[0]) {
		const char *tmp = getenv("TMPDIR");

		snprintf(path, sizeof(path), "%s/bramble-test.XXXXXX", tmp ? tmp : "/tmp");
		if (!mkdtemp(path))
			abort();
	}
	return path;
}
