/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A tree of files in the input, for the readers of src/import: parts separated by lines "@@@", each with its path in its first line.
 * The first is the one that is read.
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "import/internal.h"

#define RIG_FILES 32

struct rig {
	struct {
		const char *path, *text;
		size_t path_len, len;
	} files[RIG_FILES];
	size_t n;
};

static inline void rig_parse(struct rig *rig, const char *p, size_t size)
{
	const char *end = p + size;

	while (p < end && rig->n < RIG_FILES) {
		const char *stop = memmem(p, (size_t)(end - p), "\n@@@\n", 5), *line;

		stop = stop ? stop : end;
		line = memchr(p, '\n', (size_t)(stop - p));
		line = line ? line : stop;
		rig->files[rig->n].path = p;
		rig->files[rig->n].path_len = (size_t)(line - p);
		rig->files[rig->n].text = line < stop ? line + 1 : stop;
		rig->files[rig->n].len = line < stop ? (size_t)(stop - line - 1) : 0;
		rig->n++;
		p = stop < end ? stop + 5 : end;
	}
}

static inline int rig_read(void *ctx, const char *path, char **ret, size_t *ret_len, struct br_error *err)
{
	struct rig *rig = ctx;

	for (size_t i = 0; i < rig->n; i++) {
		if (strlen(path) != rig->files[i].path_len || memcmp(path, rig->files[i].path, rig->files[i].path_len) != 0)
			continue;
		*ret = malloc(rig->files[i].len + 1);
		if (!*ret)
			return -ENOMEM;
		memcpy(*ret, rig->files[i].text, rig->files[i].len);
		(*ret)[rig->files[i].len] = 0;
		*ret_len = rig->files[i].len;
		return 0;
	}
	return br_error_set(err, ENOENT, "%s: there is none", path);
}

static inline int rig_list(void *ctx, const char *dir, char ***ret, size_t *ret_n, struct br_error *err)
{
	struct rig *rig = ctx;
	size_t len = strcmp(dir, "/") ? strlen(dir) : 0, n = 0;
	char **names = calloc(RIG_FILES, sizeof(*names));

	for (size_t i = 0; names && i < rig->n; i++) {
		const char *p = rig->files[i].path, *end = p + rig->files[i].path_len, *slash;
		bool there = false;
		char *name;

		if ((size_t)(end - p) <= len + 1 || memcmp(p, dir, len) != 0 || p[len] != '/')
			continue;
		p += len + 1;
		slash = memchr(p, '/', (size_t)(end - p));
		name = br_asprintf("%.*s", (int)((slash ? slash : end) - p), p); /* what is behind it is no text */
		for (size_t k = 0; name && k < n; k++)
			there |= !strcmp(names[k], name);
		if (name && name[0] && !there)
			names[n++] = name;
		else
			free(name);
	}
	if (!n) {
		free(names);
		return br_error_set(err, ENOTDIR, "%s: is no directory", dir);
	}
	*ret = names;
	*ret_n = n;
	return 0;
}

static inline char *rig_real(void *ctx, const char *path)
{
	return NULL;
}

/* reader NULL: the directory "/". A plan is made of whatever was read. */
static inline void rig_run(const uint8_t *data, size_t size, br_import_reader reader, const char *format)
{
	struct rig rig = { .n = 0 };
	struct br_import_io io = { &rig, rig_read, rig_list, rig_real };
	struct br_import_how how = { .io = &io };
	struct br_error err = BR_ERROR_NULL;
	struct br_import *im = NULL;
	char path[256] = "";
	json_t *plan = NULL;
	int r;

	rig_parse(&rig, (const char *)data, size);
	if (br_import_new(&how, &im, &err) < 0)
		return;
	if (rig.n && rig.files[0].path_len < sizeof(path))
		memcpy(path, rig.files[0].path, rig.files[0].path_len);
	if (!reader)
		r = br_import_path(im, "/", &err);
	else
		r = br_import_include(im, (struct br_import_place){ 0 }, path, format, reader, NULL, true, &err);
	if (r < 0 && !err.text[0])
		abort(); /* a refusal has words */
	if (br_import_plan(im, &plan, &err) >= 0 && !json_is_array(json_object_get(plan, "boards")))
		abort();
	json_decref(plan);
	br_import_free(im);
}
