/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of an image, to JSON and back; names of images. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/store.h"

#define JSON_MAX (1 << 20)

enum kind {
	STRING,
	U64, /* uint64_t or int64_t: never negative here */
	UINT,
};

struct field {
	const char *name;
	enum kind kind;
	size_t at, size;
	bool optional;
};

#define FIELD(type, name, kind, optional) \
	{ #name, kind, offsetof(type, name), sizeof(((type *)0)->name), optional }

static const struct field info_fields[] = {
	FIELD(struct br_image_info, name, STRING, false),
	FIELD(struct br_image_info, sha256, STRING, false),
	FIELD(struct br_image_info, size, U64, false),
	FIELD(struct br_image_info, allocated, U64, false),
	FIELD(struct br_image_info, imported_at, U64, false),
	FIELD(struct br_image_info, source, STRING, false),
	FIELD(struct br_image_info, source_size, U64, true),
	FIELD(struct br_image_info, source_mtime_ns, U64, true),
	FIELD(struct br_image_info, table, STRING, false),
	FIELD(struct br_image_info, os_id, STRING, true),
	FIELD(struct br_image_info, os_name, STRING, true),
	FIELD(struct br_image_info, os_version, STRING, true),
	FIELD(struct br_image_info, arch, STRING, true),
	FIELD(struct br_image_info, kernels, STRING, true),
	FIELD(struct br_image_info, models, STRING, true),
	FIELD(struct br_image_info, notes, STRING, true),
	FIELD(struct br_image_info, boot, UINT, false),
	FIELD(struct br_image_info, root, UINT, false),
	FIELD(struct br_image_info, parent, STRING, true),
	FIELD(struct br_image_info, parent_sha256, STRING, true),
	FIELD(struct br_image_info, base, STRING, true),
	FIELD(struct br_image_info, layer, STRING, true),
	FIELD(struct br_image_info, depth, UINT, true),
	FIELD(struct br_image_info, layer_bytes, U64, true),
};

static const struct field partition_fields[] = {
	FIELD(struct br_partition, number, UINT, false),
	FIELD(struct br_partition, start, U64, false),
	FIELD(struct br_partition, size, U64, false),
	FIELD(struct br_partition, fs, STRING, true),
	FIELD(struct br_partition, label, STRING, true),
	FIELD(struct br_partition, partuuid, STRING, true),
};

static int put(json_t *j, const struct field *f, const void *object)
{
	const char *p = (const char *)object + f->at;
	uint64_t u;
	unsigned v;

	if (f->kind == STRING) /* text out of an image may be no UTF-8 */
		return json_object_set_new(j, f->name, json_string(p) ?: json_string_nocheck("?"));
	if (f->kind == U64) {
		memcpy(&u, p, sizeof(u));
		return json_object_set_new(j, f->name, json_integer((json_int_t)u));
	}
	memcpy(&v, p, sizeof(v));
	return json_object_set_new(j, f->name, json_integer(v));
}

static int get(const json_t *j, const struct field *f, void *object)
{
	const json_t *v = json_object_get(j, f->name);
	char *p = (char *)object + f->at;

	if (!v)
		return f->optional ? 0 : -EBADMSG;
	if (f->kind == STRING)
		return json_is_string(v) ? br_strcpy(p, f->size, json_string_value(v)) : -EBADMSG;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EBADMSG;
	if (f->kind == U64) {
		uint64_t u = (uint64_t)json_integer_value(v);

		memcpy(p, &u, sizeof(u));
	} else {
		unsigned u = (unsigned)json_integer_value(v);

		memcpy(p, &u, sizeof(u));
	}
	return 0;
}

char *br_image_info_json(const struct br_image_info *info)
{
	br_cleanup(json_decrefp) json_t *j = json_object(), *list = json_array();
	int r = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(info_fields); i++)
		r |= put(j, &info_fields[i], info);
	for (unsigned i = 0; i < info->n_partitions; i++) {
		json_t *p = json_object();

		for (size_t k = 0; k < BR_ARRAY_SIZE(partition_fields); k++)
			r |= put(p, &partition_fields[k], &info->partitions[i]);
		r |= json_object_set_new(p, "mbr_type", json_integer(info->partitions[i].mbr_type));
		r |= json_array_append_new(list, p);
	}
	r |= json_object_set(j, "partitions", list);
	return r ? NULL : json_dumps(j, JSON_INDENT(2));
}

int br_image_info_write(const char *path, const struct br_image_info *info, struct br_error *err)
{
	br_cleanup(br_freep) char *json = br_image_info_json(info);

	if (!json)
		return br_error_set(err, ENOMEM, "%s: out of memory", path);
	return br_file_write(path, json, strlen(json), 0644, err);
}

static int get_partition(const json_t *j, struct br_partition *p, const struct br_image_info *info)
{
	int r = 0;

	for (size_t k = 0; !r && k < BR_ARRAY_SIZE(partition_fields); k++)
		r = get(j, &partition_fields[k], p);
	p->mbr_type = (uint8_t)json_integer_value(json_object_get(j, "mbr_type"));
	if (!r && (!p->number || p->start > info->size || p->size > info->size - p->start))
		r = -EBADMSG;
	return r;
}

int br_image_info_read(const char *path, struct br_image_info *ret, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	br_cleanup(br_freep) char *text = NULL;
	br_cleanup(json_decrefp) json_t *j = NULL;
	const json_t *list;
	size_t len;
	int r;

	if (!info)
		return br_error_set(err, ENOMEM, "%s: out of memory", path);
	r = br_file_read(path, JSON_MAX, &text, &len, err);
	if (r < 0)
		return r;
	j = json_loadb(text, len, 0, NULL);
	list = json_object_get(j, "partitions");
	if (!json_is_array(list) || json_array_size(list) > BR_PARTITIONS_MAX)
		r = -EBADMSG;
	for (size_t i = 0; !r && i < BR_ARRAY_SIZE(info_fields); i++)
		r = get(j, &info_fields[i], info);
	for (size_t i = 0; !r && i < json_array_size(list); i++)
		r = get_partition(json_array_get(list, i), &info->partitions[info->n_partitions++], info);
	if (r < 0)
		return br_error_set(err, EBADMSG, "%s: damaged; remove the image and add it again", path);
	*ret = *info;
	return 0;
}

/* ---- names ---- */

static bool name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (!first && (c == '.' || c == '_' || c == '-'));
}

/* A part of a name at s, up to ':' or the end. */
static bool part_ok(const char *s, size_t n, size_t max)
{
	bool good = n && n <= max;

	for (size_t i = 0; good && i < n; i++)
		good = name_char(s[i], !i);
	return good;
}

int br_image_name_check(const char *name, struct br_error *err)
{
	size_t n = strcspn(name, ":");
	char vis[80];

	if (part_ok(name, n, BR_IMAGE_NAME_PART) &&
		(!name[n] || part_ok(name + n + 1, strlen(name + n + 1), BR_IMAGE_TAG_PART)))
		return 0;
	return br_error_set(err, EINVAL,
		"'%s' cannot name an image: NAME or NAME:TAG is needed, of 1 to %d (TAG: %d) of a-z 0-9 . _ - beginning with a letter or digit",
		br_vis(vis, sizeof(vis), name, strlen(name)), BR_IMAGE_NAME_PART, BR_IMAGE_TAG_PART);
}

int br_image_name_canon(const char *name, char ret[static BR_IMAGE_NAME_MAX + 1], struct br_error *err)
{
	int r = br_image_name_check(name, err);
	size_t n;

	if (r < 0)
		return r;
	n = strlen(name);
	if (br_str_ends(name, ":latest"))
		n -= strlen(":latest");
	memmove(ret, name, n);
	ret[n] = 0;
	return 0;
}

int br_image_name_from_file(const char *file, char ret[static BR_IMAGE_NAME_MAX + 1], struct br_error *err)
{
	static const char *const ends[] = { ".xz", ".gz", ".zst", ".bz2", ".zip", ".img", ".raw", ".wic", ".rpi-sdimg" };
	const char *slash = strrchr(file, '/');
	char name[256], vis[80];
	size_t n = 0, skip = 0;
	bool again = true;

	for (const char *s = slash ? slash + 1 : file; *s && n + 1 < sizeof(name); s++)
		name[n++] = (char)tolower((unsigned char)*s);
	name[n] = 0;
	while (again) {
		again = false;
		for (size_t i = 0; i < BR_ARRAY_SIZE(ends); i++) {
			if (!br_str_ends(name, ends[i]))
				continue;
			n -= strlen(ends[i]);
			name[n] = 0;
			again = true;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (!name_char(name[i], false))
			name[i] = '-';
	while (name[skip] && !name_char(name[skip], true))
		skip++;
	if (n - skip > BR_IMAGE_NAME_PART)
		name[skip + BR_IMAGE_NAME_PART] = 0;
	if (!name[skip])
		return br_error_set(err, EINVAL, "%s: no name for the image can be made of its file name; give --name",
			br_vis(vis, sizeof(vis), file, strlen(file)));
	memcpy(ret, name + skip, strlen(name + skip) + 1);
	return 0;
}
