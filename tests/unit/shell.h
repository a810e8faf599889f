/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs a shell command with the administration tools in the path; its exit status. */
__attribute__((format(printf, 1, 2))) static inline int test_sh(const char *fmt, ...)
{
	static const char path[] = "PATH=$PATH:/usr/sbin:/sbin; ";
	char cmd[4096];
	va_list ap;
	int n;

	memcpy(cmd, path, sizeof(path));
	va_start(ap, fmt);
	n = vsnprintf(cmd + sizeof(path) - 1, sizeof(cmd) - sizeof(path), fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= sizeof(cmd) - sizeof(path) ? -1 : system(cmd);
}

/* Skips the running test, saying why, when one of these programs (separated by blanks) is missing. */
#define test_needs(tools)                                                                          \
	do {                                                                                       \
		if (test_sh("for t in %s; do command -v $t >/dev/null || exit 1; done", tools)) {  \
			print_message("skipped: needs " tools "\n");                               \
			skip();                                                                    \
		}                                                                                  \
	} while (0)
