/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays that grow by doubling. */
#include "base/array.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 16

int br_array_reserve(void *array, size_t *cap, size_t need, size_t size)
{
	size_t n = *cap ? *cap : FIRST_CAP;
	void *p, *grown;

	if (need <= *cap)
		return 0;
	if (need > PTRDIFF_MAX / 2 / size)
		return -ENOMEM;
	while (n < need)
		n *= 2;
	/* a pointer to any type: copied, since a 'void **' may not alias it */
	memcpy(&p, array, sizeof(p));
	grown = realloc(p, n * size);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*cap = n;
	return 0;
}
