/* SPDX-License-Identifier: Apache-2.0 */
/* A table of names, sizes and checksums of a tree of boot files. */
#include "sim/expect.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

#define FILE_LIMIT (1u << 30) /* no boot file is larger */

struct entry {
	char *name;
	uint64_t size;
	uint32_t crc;
};

struct br_sim_expect {
	struct entry *v;
	size_t n, cap;
};

static int add(struct br_sim_expect *e, const char *name, const void *data, size_t len, struct br_error *err)
{
	if (e->n == e->cap) {
		size_t cap = e->cap ? 2 * e->cap : 64;
		struct entry *v = realloc(e->v, cap * sizeof(*v));

		if (!v)
			return br_error_set(err, ENOMEM, "expected files: out of memory");
		e->v = v;
		e->cap = cap;
	}
	e->v[e->n] = (struct entry){ .name = strdup(name), .size = len, .crc = br_crc32c(0, data, len) };
	if (!e->v[e->n].name)
		return br_error_set(err, ENOMEM, "expected files: out of memory");
	e->n++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcasecmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

int br_sim_expect_dir(const char *dir, struct br_sim_expect **ret, struct br_error *err)
{
	char *const paths[] = { (char *)dir, NULL };
	struct br_sim_expect *e = calloc(1, sizeof(*e));
	FTS *fts = e ? fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, NULL) : NULL;
	FTSENT *f;
	int r = fts ? 0 : br_error_set(err, ENOMEM, "%s: cannot walk", dir);

	while (!r && (f = fts_read(fts))) {
		br_cleanup(br_freep) char *data = NULL;
		size_t len;

		if (f->fts_info == FTS_DNR || f->fts_info == FTS_ERR || f->fts_info == FTS_NS)
			r = br_error_set(err, f->fts_errno, "%s: %s", f->fts_path, strerror(f->fts_errno));
		if (f->fts_info != FTS_F || f->fts_pathlen <= strlen(dir))
			continue;
		r = br_file_read(f->fts_path, FILE_LIMIT, &data, &len, err);
		if (!r)
			r = add(e, f->fts_path + strlen(dir) + strspn(f->fts_path + strlen(dir), "/"), data, len, err);
	}
	if (fts)
		fts_close(fts);
	if (r < 0) {
		br_sim_expect_free(e);
		return r;
	}
	if (e->n)
		qsort(e->v, e->n, sizeof(e->v[0]), compare);
	*ret = e;
	return 0;
}

void br_sim_expect_free(struct br_sim_expect *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->n; i++)
		free(e->v[i].name);
	free(e->v);
	free(e);
}

int br_sim_expect_find(const struct br_sim_expect *e, const char *name, uint64_t *ret_size, uint32_t *ret_crc)
{
	struct entry key = { .name = (char *)name };
	struct entry *found = e && e->n ? bsearch(&key, e->v, e->n, sizeof(key), compare) : NULL;

	if (!found)
		return 0;
	*ret_size = found->size;
	*ret_crc = found->crc;
	return 1;
}
