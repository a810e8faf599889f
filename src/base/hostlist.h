/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define BR_HOSTLIST_MAX 65536 /* names one expression may give: as many as a /16 has addresses */

/* "pi[01-24,30],lab-x" to names, in order, duplicates kept. The array and each name are the caller's. */
int br_hostlist_expand(const char *text, char ***ret, size_t *ret_n, struct br_error *err);
void br_hostlist_free(char **names, size_t n);

/* The other way: "pi[01-03,07],lab-x" for names in any order, each shown once; free(), NULL when memory is out. */
char *br_hostlist_fold(const char *const *names, size_t n);
