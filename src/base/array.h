/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/*
 * Makes room for 'need' elements of 'size' bytes in an array that grows by doubling. array: address of the pointer to
 * its first element (NULL before the first call; the caller frees it with free()). cap: elements there is room for.
 * 0, or -ENOMEM with both untouched. The pointer may move; new elements are not initialised.
 */
int br_array_reserve(void *array, size_t *cap, size_t need, size_t size);
