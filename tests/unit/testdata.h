/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Real files that are not of this tree (stock EEPROM images, a stock bootfiles.bin): in $BRAMBLE_TEST_DATA, else in
 * shared/data beside the tree or one folder up. NULL: not there, which is said; the test skips (before it owns anything).
 */
static inline const char *test_data(const char *name)
{
	static char path[PATH_MAX];
	const char *dir = getenv("BRAMBLE_TEST_DATA"), *root = getenv("SOURCE_ROOT");

	if (dir)
		snprintf(path, sizeof(path), "%s/%s", dir, name);
	else
		snprintf(path, sizeof(path), "%s/../shared/data/%s", root ? root : ".", name);
	if (!dir && access(path, R_OK))
		snprintf(path, sizeof(path), "%s/../../shared/data/%s", root ? root : ".", name);
	if (!access(path, R_OK))
		return path;
	printf("# skipped: shared/data/%s is not beside the source, nor in $BRAMBLE_TEST_DATA\n", name);
	return NULL;
}
