/* SPDX-License-Identifier: Apache-2.0 */
#include "uboot/script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "uboot/fit.h"
#include "uboot/hush.h"
#include "uboot/legacy.h"

static size_t copy_text(char *to, const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		if (text[i] != '\r' || i + 1 == len || text[i + 1] != '\n')
			to[n++] = text[i];
	if (n && to[n - 1] != '\n')
		to[n++] = '\n';
	return n;
}

int br_uboot_script_pack(const struct br_uboot_script *script, const char *text, size_t len, uint8_t **ret, size_t *ret_len,
	struct br_error *err)
{
	br_cleanup(br_freep) char *clean = malloc(len + 1);
	size_t n;
	int r;

	if (!clean)
		return br_error_set(err, ENOMEM, "out of memory");
	if (!br_hush_is_text(text, len))
		return br_error_set(err, EINVAL, "is no text, so it cannot be a script");
	n = copy_text(clean, text, len);
	if (!n)
		return br_error_set(err, EINVAL, "is empty: U-Boot takes no empty script");
	r = script->fit ? br_fit_pack_script(script->name, script->time, clean, n, ret, ret_len)
			: br_uimage_pack_script(script->name, script->time, clean, n, ret, ret_len);
	return r < 0 ? br_error_set(err, -r, "cannot become an image: %s", strerror(-r)) : 0;
}

bool br_uboot_script_is_image(const void *data, size_t len)
{
	return br_uimage_is(data, len) || br_fit_is(data, len);
}

/* The configuration's script, else the first image of that type. */
static int find_in_fit(const struct br_fdt *fdt, struct br_fit_part *ret, struct br_error *err)
{
	struct br_fit_part part;
	int r;

	for (size_t i = 0; !(r = br_fit_part(fdt, i, &part, err)); i++) {
		if (strcmp(part.type, "script") != 0)
			continue;
		*ret = part;
		return 0;
	}
	return r == -ENOENT ? br_error_set(err, EBADMSG, "FIT: has no script") : r;
}

static int unpack_fit(const void *data, size_t len, const char **ret, size_t *ret_len, struct br_error *err)
{
	struct br_fit_part part = { 0 };
	struct br_fdt fdt;
	int r = br_fit_open(data, len, &fdt, err);

	if (!r)
		r = find_in_fit(&fdt, &part, err);
	if (r < 0)
		return r;
	*ret = (const char *)part.data;
	*ret_len = part.len;
	return 0;
}

int br_uboot_script_unpack(const void *data, size_t len, const char **ret, size_t *ret_len, struct br_error *err)
{
	struct br_uimage img;
	const uint8_t *part;
	int r;

	if (br_fit_is(data, len))
		return unpack_fit(data, len, ret, ret_len, err);
	r = br_uimage_parse(data, len, &img, err);
	if (r < 0)
		return r;
	if (img.head.type != BR_UIMAGE_SCRIPT)
		return br_error_set(err, EBADMSG, "U-Boot image: of type %u, which is no script", img.head.type);
	br_uimage_part(&img, 0, &part, ret_len); /* parsing looked whether it is there */
	*ret = (const char *)part;
	return 0;
}

bool br_uboot_script_source(const char *path, char *ret_text, size_t size, bool *ret_fit)
{
	static const struct {
		const char *suffix;
		bool fit;
	} suffixes[] = { { ".scr.uimg", false }, { ".uimg", false }, { ".scr", false }, { ".itb", true } };
	size_t n = strlen(path);

	for (size_t i = 0; i < BR_ARRAY_SIZE(suffixes); i++) {
		size_t k = strlen(suffixes[i].suffix);

		if (n <= k || strcasecmp(path + n - k, suffixes[i].suffix) != 0 || path[n - k - 1] == '/')
			continue;
		if (n - k + sizeof(".cmd") > size)
			return false;
		snprintf(ret_text, size, "%.*s.cmd", (int)(n - k), path);
		*ret_fit = suffixes[i].fit;
		return true;
	}
	return false;
}
