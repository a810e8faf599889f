/* SPDX-License-Identifier: Apache-2.0 */
/* A backup being read: nothing in it is believed before the manifest, which comes last, says the same. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backup/internal.h"
#include "base/cleanup.h"
#include "base/text.h"

#define PATH_LEN_MAX 4000

BR_DEFINE_CLEANUP(struct archive *, archive_read_free);
BR_DEFINE_CLEANUP(struct br_sha256 *, br_sha256_free);

bool br_backup_path_ok(const char *path)
{
	size_t n = strlen(path);
	const char *p = path;

	if (!strcmp(path, BR_BACKUP_MANIFEST))
		return true;
	if (n > PATH_LEN_MAX || (!br_str_starts(path, "state/") && !br_str_starts(path, "config/") && !br_str_starts(path, "images/")))
		return false;
	while (*p) {
		size_t len = strcspn(p, "/");

		if (!len || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += len;
		if (*p && !*++p)
			return false; /* a slash at the end */
	}
	return true;
}

int br_backup_manifest_parse(const char *text, size_t n, json_t **ret, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *m = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *files = json_object_get(m, "files"), *f;
	json_int_t format = json_integer_value(json_object_get(m, "format"));
	size_t i;

	if (!m || !json_is_array(files) || !json_is_integer(json_object_get(m, "schema")))
		return br_error_set(err, EBADMSG, "its " BR_BACKUP_MANIFEST " is damaged");
	if (format != BR_BACKUP_FORMAT)
		return br_error_set(err, EPROTO, "it has the form %" JSON_INTEGER_FORMAT ", this bramble knows %d: a newer bramble wrote it; use that one",
			format, BR_BACKUP_FORMAT);
	json_array_foreach((json_t *)(uintptr_t)files, i, f) {
		const char *path = json_string_value(json_object_get(f, "path")), *sum = json_string_value(json_object_get(f, "sha256"));

		if (!path || !sum || strlen(sum) != 64 || !json_is_integer(json_object_get(f, "size")) || !br_backup_path_ok(path))
			return br_error_set(err, EBADMSG, "its " BR_BACKUP_MANIFEST " is damaged: entry %zu is no file", i + 1);
	}
	*ret = br_take(m);
	return 0;
}

struct reading {
	struct archive *archive;
	const struct br_backup_in *in;
	json_t *seen; /* path to "SIZE SHA256" */
	json_t *manifest;
	uint64_t bytes;
	struct br_progress progress;
};

static int broken(struct reading *rd, struct br_error *err)
{
	return br_error_set(err, EBADMSG, "it is damaged or was cut off: %s", archive_error_string(rd->archive) ?: "cannot be read");
}

/* The manifest in memory. */
static int take_manifest(struct reading *rd, int64_t size, struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;

	if (size < 0 || size > BR_BACKUP_MANIFEST_MAX)
		return br_error_set(err, EBADMSG, "its " BR_BACKUP_MANIFEST " is %lld bytes long", (long long)size);
	text = malloc((size_t)size + 1);
	if (!text)
		return br_error_set(err, ENOMEM, "out of memory");
	if (archive_read_data(rd->archive, text, (size_t)size) != size)
		return broken(rd, err);
	return br_backup_manifest_parse(text, (size_t)size, &rd->manifest, err);
}

static int add_zeros(struct br_sha256 *hash, uint64_t n)
{
	static const uint8_t zeros[4096];

	for (; n; n -= n < sizeof(zeros) ? n : sizeof(zeros))
		br_sha256_add(hash, zeros, n < sizeof(zeros) ? (size_t)n : sizeof(zeros));
	return 0;
}

static int take_data(struct reading *rd, uint64_t size, struct br_sha256 *hash, struct br_error *err)
{
	uint64_t at = 0;

	for (;;) {
		const void *data;
		size_t n;
		la_int64_t offset;
		int code = archive_read_data_block(rd->archive, &data, &n, &offset), r = 0;

		if (code == ARCHIVE_EOF)
			break;
		if (code != ARCHIVE_OK || offset < (la_int64_t)at || (uint64_t)offset > size || n > size - (uint64_t)offset)
			return broken(rd, err);
		add_zeros(hash, (uint64_t)offset - at);
		br_sha256_add(hash, data, n);
		if (rd->in->data && n)
			r = rd->in->data(rd->in->ctx, (uint64_t)offset, data, n, err);
		if (r < 0)
			return r;
		at = (uint64_t)offset + n;
		rd->bytes += n;
		br_progress_set(&rd->progress, rd->bytes);
	}
	add_zeros(hash, size - at);
	return 0;
}

static int take_file(struct reading *rd, struct archive_entry *e, const char *path, struct br_error *err)
{
	br_cleanup(br_sha256_freep) struct br_sha256 *hash = br_sha256_new();
	br_cleanup(br_freep) char *fact = NULL;
	uint64_t size = (uint64_t)archive_entry_size(e);
	char hex[BR_SHA256_HEX];
	uint8_t sum[32];
	int r = hash ? 0 : br_error_set(err, ENOMEM, "out of memory");

	if (r >= 0 && json_object_get(rd->seen, path))
		r = br_error_set(err, EBADMSG, "%s is in it twice", path);
	if (r >= 0 && rd->in->begin)
		r = rd->in->begin(rd->in->ctx, path, size, archive_entry_perm(e), err);
	if (r >= 0)
		r = take_data(rd, size, hash, err);
	if (r >= 0 && rd->in->end)
		r = rd->in->end(rd->in->ctx, path, err);
	if (r < 0)
		return r;
	br_sha256_end(br_take(hash), sum);
	br_hex(hex, sum, sizeof(sum));
	fact = br_asprintf("%llu %s", (unsigned long long)size, hex);
	if (!fact || json_object_set_new(rd->seen, path, json_string(fact)) < 0)
		return br_error_set(err, EBADMSG, "%s: its name is no text", path);
	return 0;
}

static int take_entry(struct reading *rd, struct archive_entry *e, struct br_error *err)
{
	const char *path = archive_entry_pathname(e);
	char vis[200];

	if (rd->manifest)
		return br_error_set(err, EBADMSG, "something follows its " BR_BACKUP_MANIFEST "; it is none of ours");
	if (!path || !br_backup_path_ok(path) || archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) ||
		!archive_entry_size_is_set(e) || archive_entry_size(e) < 0)
		return br_error_set(err, EBADMSG, "'%s' in it is nothing that bramble puts into a backup", br_vis(vis, sizeof(vis), path ? path : "", path ? strlen(path) : 0));
	return strcmp(path, BR_BACKUP_MANIFEST) ? take_file(rd, e, path, err) : take_manifest(rd, archive_entry_size(e), err);
}

/* Everything of the manifest was there, and nothing else. */
static int compare(struct reading *rd, struct br_error *err)
{
	const json_t *files = json_object_get(rd->manifest, "files"), *f;
	size_t i;

	if (!rd->manifest)
		return br_error_set(err, EBADMSG, "it ends before its " BR_BACKUP_MANIFEST ": it was cut off, or is no backup of bramble");
	if (json_array_size(files) != json_object_size(rd->seen))
		return br_error_set(err, EBADMSG, "it has %zu files, and %zu by its " BR_BACKUP_MANIFEST, json_object_size(rd->seen), json_array_size(files));
	json_array_foreach((json_t *)(uintptr_t)files, i, f) {
		const char *path = json_string_value(json_object_get(f, "path"));
		const char *is = json_string_value(json_object_get(rd->seen, path));
		br_cleanup(br_freep) char *should = br_asprintf("%llu %s", (unsigned long long)json_integer_value(json_object_get(f, "size")),
			json_string_value(json_object_get(f, "sha256")));

		if (!is)
			return br_error_set(err, EBADMSG, "%s is missing in it", path);
		if (!should || strcmp(is, should) != 0)
			return br_error_set(err, EBADMSG, "%s in it is not what was put in: its SHA-256 differs", path);
	}
	return 0;
}

static int read_all(struct reading *rd, struct br_error *err)
{
	struct archive_entry *e;
	int code, r = 0;

	while (r >= 0 && (code = archive_read_next_header(rd->archive, &e)) != ARCHIVE_EOF) {
		if (code != ARCHIVE_OK)
			return broken(rd, err);
		r = take_entry(rd, e, err);
	}
	return r < 0 ? r : compare(rd, err);
}

int br_backup_read(const char *file, const struct br_backup_in *in, bool quiet, json_t **ret_manifest, struct br_error *err)
{
	br_cleanup(archive_read_freep) struct archive *archive = archive_read_new();
	struct reading rd = { .archive = archive, .in = in, .seen = json_object() };
	int r = 0;

	if (!archive || !rd.seen)
		r = br_error_set(err, ENOMEM, "out of memory");
	if (r >= 0 && (archive_read_support_filter_zstd(archive) < ARCHIVE_WARN || archive_read_support_filter_xz(archive) < ARCHIVE_WARN ||
			      archive_read_support_format_tar(archive) != ARCHIVE_OK))
		r = br_error_set(err, ENOTSUP, "libarchive reads neither zstd nor xz here");
	if (r >= 0 && archive_read_open_filename(archive, file, 256 << 10) != ARCHIVE_OK)
		r = br_error_set(err, archive_errno(archive) > 0 ? archive_errno(archive) : EBADMSG, "%s",
			archive_error_string(archive) ?: "cannot be opened");
	br_progress_start(&rd.progress, "reading the backup", 0, quiet);
	if (r >= 0)
		r = read_all(&rd, err);
	if (r < 0)
		br_progress_stop(&rd.progress, rd.bytes);
	else
		br_progress_end(&rd.progress, rd.bytes);
	json_decref(rd.seen);
	if (r < 0) {
		json_decref(rd.manifest);
		return br_error_prefix(err, "backup %s", file);
	}
	if (ret_manifest)
		*ret_manifest = rd.manifest;
	else
		json_decref(rd.manifest);
	return 0;
}

int br_backup_check(const char *file, bool quiet, json_t **ret_manifest, struct br_error *err)
{
	static const struct br_backup_in nothing;

	return br_backup_read(file, &nothing, quiet, ret_manifest, err);
}
