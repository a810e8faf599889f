/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* The name of n closest to what was typed, NULL when none is close. Names of NULL are passed over. */
const char *br_nearest(const char *typed, const char *const *names, size_t n);
