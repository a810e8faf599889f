/* SPDX-License-Identifier: Apache-2.0 */
/* The names in a directory. */
#include "base/array.h"
#include "store/names.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int add_name(void *ctx, const struct br_fs_dirent *e)
{
	struct br_names *names = ctx;

	names->cookie = e->cookie;
	if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
		return 0;
	if (names->n == names->max)
		names->r = -EFBIG;
	else
		names->r = br_array_reserve(&names->v, &names->cap, names->n + 1, sizeof(*names->v));
	if (names->r < 0)
		return 1;
	names->v[names->n] = (struct br_name){ .ino = e->ino, .name = strdup(e->name) };
	if (!names->v[names->n].name) {
		names->r = -ENOMEM;
		return 1;
	}
	names->n++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct br_name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int br_names_read(struct br_fs *fs, uint64_t dir, size_t max, struct br_names *ret)
{
	bool eof = false;

	ret->max = max;
	while (!eof) {
		uint64_t before = ret->cookie;
		int r = fs->ops->readdir(fs, dir, ret->cookie, add_name, ret, &eof);

		if (r >= 0)
			r = ret->r;
		if (r < 0)
			return r;
		if (!eof && ret->cookie == before)
			return 1;
	}
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
	return 0;
}

void br_names_done(struct br_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i].name);
	free(names->v);
}
