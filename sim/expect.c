/* SPDX-License-Identifier: Apache-2.0 */
/* A table of names, sizes and checksums of a tree of boot files. */
#include "sim/expect.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "sim/card.h"
#include "store/fat.h"

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
	if (br_array_reserve(&e->v, &e->cap, e->n + 1, sizeof(*e->v)) < 0)
		return br_error_set(err, ENOMEM, "expected files: out of memory");
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

/* The end of every making: the table, sorted, or r. */
static int give(struct br_sim_expect *e, int r, struct br_sim_expect **ret)
{
	if (r < 0) {
		br_sim_expect_free(e);
		return r;
	}
	if (e->n)
		qsort(e->v, e->n, sizeof(e->v[0]), compare);
	*ret = e;
	return 0;
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
	return give(e, r, ret);
}

static int add_fat(struct br_sim_expect *e, const struct br_fat *fat, struct br_error *err)
{
	const struct br_fat_entry *f;
	int r = 0;

	for (size_t i = 0; !r && (f = br_fat_walk(fat, i)); i++) {
		if (f->is_dir)
			continue;
		r = add(e, f->path, NULL, 0, err);
		for (size_t k = 0; !r && k < f->n_spans; k++) {
			struct entry *x = &e->v[e->n - 1];

			x->crc = br_crc32c(x->crc, f->spans[k].data, f->spans[k].len);
			x->size += f->spans[k].len;
		}
	}
	return r;
}

int br_sim_expect_image(const char *file, struct br_sim_expect **ret, struct br_error *err)
{
	struct br_sim_expect *e = calloc(1, sizeof(*e));
	struct br_sim_card *card = NULL;
	struct br_fat *fat = NULL;
	int r = e ? br_sim_card_open(file, &card, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r) {
		struct br_span boot = br_sim_card_boot(card);

		r = br_fat_open(boot.data, boot.len, &fat, err);
		if (!r)
			r = add_fat(e, fat, err);
		if (r < 0)
			br_error_prefix(err, "%s", file);
	}
	br_fat_close(fat);
	br_sim_card_close(card);
	return give(e, r, ret);
}

static int add_member(struct br_sim_expect *e, struct archive *a, struct archive_entry *member, struct br_error *err)
{
	const char *name = archive_entry_pathname(member);
	uint64_t size = (uint64_t)archive_entry_size(member);
	br_cleanup(br_freep) char *data = NULL;

	if (archive_entry_filetype(member) != AE_IFREG || !name)
		return 0;
	if (size > FILE_LIMIT)
		return br_error_set(err, EFBIG, "%s: too large for a boot file", name);
	data = malloc(size + 1);
	if (!data)
		return br_error_set(err, ENOMEM, "expected files: out of memory");
	if (archive_read_data(a, data, size) != (la_ssize_t)size)
		return br_error_set(err, EIO, "%s: cannot be read: %s", name, archive_error_string(a));
	return add(e, name, data, size, err);
}

static int add_members(struct br_sim_expect *e, struct archive *a, const char *file, struct br_error *err)
{
	struct archive_entry *member;
	int status, r = 0;

	archive_read_support_format_tar(a);
	if (archive_read_open_filename(a, file, 65536) != ARCHIVE_OK)
		return br_error_set(err, EIO, "%s: %s", file, archive_error_string(a));
	while (!r && (status = archive_read_next_header(a, &member)) == ARCHIVE_OK)
		r = add_member(e, a, member, err);
	if (!r && status != ARCHIVE_EOF)
		r = br_error_set(err, EIO, "%s: %s", file, archive_error_string(a));
	return r;
}

int br_sim_expect_tar(const char *file, struct br_sim_expect **ret, struct br_error *err)
{
	struct br_sim_expect *e = calloc(1, sizeof(*e));
	struct archive *a = archive_read_new();
	int r = e && a ? add_members(e, a, file, err) : br_error_set(err, ENOMEM, "expected files: out of memory");

	archive_read_free(a);
	return give(e, r, ret);
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
