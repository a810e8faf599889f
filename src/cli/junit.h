/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* One test case; failure NULL: it went well. Texts may be any bytes. */
struct br_junit_case {
	const char *name, *class_name, *failure, *failure_type;
	uint64_t took_ns;
};

/* A file of JUnit XML with one suite, as GitLab, GitHub's actions and Jenkins read it. All or nothing. */
int br_junit_write(const char *path, const char *suite, uint64_t began_wall_ns, const struct br_junit_case *cases, size_t n,
	struct br_error *err);
/* The text of it (free()), NULL when memory is out. */
char *br_junit_text(const char *suite, uint64_t began_wall_ns, const struct br_junit_case *cases, size_t n);
