/* SPDX-License-Identifier: Apache-2.0 */
#include "api/filejson.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

const char *br_file_type_name(uint32_t mode)
{
	static const struct {
		uint32_t type;
		const char *name;
	} names[] = {
		{ S_IFREG, "file" }, { S_IFDIR, "directory" }, { S_IFLNK, "link" }, { S_IFCHR, "char" },
		{ S_IFBLK, "block" }, { S_IFIFO, "fifo" }, { S_IFSOCK, "socket" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++) {
		if (names[i].type == (mode & S_IFMT))
			return names[i].name;
	}
	return "unknown";
}

static json_t *diff_to_json(const struct br_diff *d)
{
	static const struct {
		unsigned bit;
		const char *name;
	} whats[] = {
		{ BR_DIFF_TYPE, "type" }, { BR_DIFF_CONTENT, "content" }, { BR_DIFF_MODE, "mode" },
		{ BR_DIFF_OWNER, "owner" }, { BR_DIFF_TIME, "time" }, { BR_DIFF_TARGET, "target" }, { BR_DIFF_DEVICE, "device" },
		{ BR_DIFF_XATTR, "xattr" },
	};
	const struct br_fs_attr *a = d->after ? d->after : d->before;
	json_t *what, *o;

	if (!a) /* on neither side: nobody says that */
		return NULL;
	what = json_array();
	o = json_pack("{s:s, s:s}", "change", !d->before ? "added" : !d->after ? "removed" : "changed", "type",
		br_file_type_name(a->mode));
	if (!o || !what)
		return NULL;
	br_json_set_bytes(o, "path", d->path);
	if (d->before)
		json_object_set_new(o, "size_before", json_integer((json_int_t)d->before->size));
	if (d->after)
		json_object_set_new(o, "size", json_integer((json_int_t)d->after->size));
	for (size_t i = 0; i < BR_ARRAY_SIZE(whats); i++)
		if (d->what & whats[i].bit)
			json_array_append_new(what, json_string(whats[i].name));
	json_object_set_new(o, "what", what);
	return o;
}

int br_json_add_diff(void *rows, const struct br_diff *d)
{
	return json_array_append_new(rows, diff_to_json(d)) < 0 ? -ENOMEM : 0;
}

void br_json_add_garbage(void *rows, const char *what, uint64_t bytes)
{
	json_array_append_new(rows, json_pack("{s:s, s:I}", "path", what, "bytes", (json_int_t)bytes));
}
