/* SPDX-License-Identifier: Apache-2.0 */
/* The tar being written: each file is hashed as its bytes go in. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define PIECE (256u << 10)
#define DEPTH_MAX 32

BR_DEFINE_CLEANUP(struct br_sha256 *, br_sha256_free);
BR_DEFINE_CLEANUP(struct archive_entry *, archive_entry_free);

static int cannot(struct br_backup_out *out, struct br_error *err)
{
	int code = archive_errno(out->archive);

	return br_error_set(err, code > 0 ? code : EIO, "file %s: %s%s", out->name, archive_error_string(out->archive) ?: "cannot be written",
		code == ENOSPC ? "; free some space or write elsewhere" : "");
}

static const struct {
	const char *ending, *filter;
} forms[] = { { ".tar.zst", "zstd" }, { ".tar.xz", "xz" }, { ".tar", NULL } };

int br_backup_out_open(struct br_backup_out *out, int fd, const char *name, struct br_error *err)
{
	size_t i = 0;

	while (i < BR_ARRAY_SIZE(forms) && !br_str_ends(name, forms[i].ending))
		i++;
	if (i == BR_ARRAY_SIZE(forms))
		return br_error_set(err, EINVAL, "file %s: its name is to end in .tar.zst, .tar.xz or .tar", name);
	out->fd = fd;
	out->name = name;
	out->archive = archive_write_new();
	out->files = json_array();
	if (!out->archive || !out->files)
		return br_error_set(err, ENOMEM, "out of memory");
	if ((forms[i].filter && archive_write_add_filter_by_name(out->archive, forms[i].filter) != ARCHIVE_OK) ||
		archive_write_set_format_pax_restricted(out->archive) != ARCHIVE_OK)
		return cannot(out, err);
	(void)archive_write_set_filter_option(out->archive, NULL, "threads", "0"); /* all cores, where the library can */
	return archive_write_open_fd(out->archive, fd) == ARCHIVE_OK ? 0 : cannot(out, err);
}

static int begin(struct br_backup_out *out, const char *path, uint64_t size, time_t mtime, mode_t mode, struct br_error *err)
{
	br_cleanup(archive_entry_freep) struct archive_entry *e = archive_entry_new();

	if (!e)
		return br_error_set(err, ENOMEM, "out of memory");
	archive_entry_set_pathname(e, path);
	archive_entry_set_size(e, (int64_t)size);
	archive_entry_set_filetype(e, AE_IFREG);
	/* the state has secrets, and who extracts it by hand is not to spread these; of the configuration people chose who may read it */
	archive_entry_set_perm(e, br_str_starts(path, "config/") ? mode & 0777 : 0600);
	archive_entry_set_mtime(e, mtime, 0);
	return archive_write_header(out->archive, e) == ARCHIVE_OK ? 0 : cannot(out, err);
}

static int piece(struct br_backup_out *out, struct br_sha256 *hash, const void *data, size_t n, struct br_error *err)
{
	if (out->cancelled && __atomic_load_n(out->cancelled, __ATOMIC_RELAXED))
		return br_error_set(err, ECANCELED, "interrupted; nothing was left behind");
	br_sha256_add(hash, data, n);
	if (archive_write_data(out->archive, data, n) != (la_ssize_t)n)
		return cannot(out, err);
	out->bytes += n;
	br_progress_set(&out->progress, out->bytes);
	return 0;
}

static int end(struct br_backup_out *out, const char *path, uint64_t size, struct br_sha256 *hash, struct br_error *err)
{
	char hex[BR_SHA256_HEX];
	uint8_t sum[32];

	br_sha256_end(hash, sum);
	br_hex(hex, sum, sizeof(sum));
	out->n++;
	if (json_array_append_new(out->files, json_pack("{s:s, s:I, s:s}", "path", path, "size", (json_int_t)size, "sha256", hex)) < 0)
		return br_error_set(err, EINVAL, "file %s: its name is no UTF-8 text; rename it", path);
	return 0;
}

int br_backup_out_bytes(struct br_backup_out *out, const char *path, const void *data, size_t n, struct br_error *err)
{
	br_cleanup(br_sha256_freep) struct br_sha256 *hash = br_sha256_new();
	int r = hash ? begin(out, path, n, 0, 0600, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r >= 0 && n)
		r = piece(out, hash, data, n, err);
	return r < 0 ? r : end(out, path, n, br_take(hash), err);
}

/* As long as it was at first: what grows meanwhile (a log) is cut there, what shrinks is an error. */
static int copy(struct br_backup_out *out, int fd, const char *from, uint64_t size, struct br_sha256 *hash, struct br_error *err)
{
	br_cleanup(br_freep) uint8_t *buf = malloc(PIECE);
	int r = buf ? 0 : br_error_set(err, ENOMEM, "out of memory");

	for (uint64_t at = 0; at < size && r >= 0;) {
		size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

		r = br_pread_all(fd, buf, n, at);
		if (r < 0)
			return br_error_set(err, -r, "%s: %s", from, r == -EIO ? "cannot be read, or became shorter meanwhile" : strerrordesc_np(-r));
		r = piece(out, hash, buf, n, err);
		at += n;
	}
	return r;
}

int br_backup_out_file(struct br_backup_out *out, const char *from, const char *path, struct br_error *err)
{
	br_cleanup(br_sha256_freep) struct br_sha256 *hash = br_sha256_new();
	br_cleanup(br_closep) int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int r;

	if (!hash)
		return br_error_set(err, ENOMEM, "out of memory");
	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0 || fstat(fd, &st) < 0)
		return br_error_set(err, errno, "%s: %s", from, strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return 1;
	r = begin(out, path, (uint64_t)st.st_size, st.st_mtime, st.st_mode, err);
	if (r >= 0)
		r = copy(out, fd, from, (uint64_t)st.st_size, hash, err);
	return r < 0 ? r : end(out, path, (uint64_t)st.st_size, br_take(hash), err);
}

static int tree(struct br_backup_out *out, const char *from, const char *path, bool (*skip)(const char *path), unsigned depth,
	struct br_error *err)
{
	struct dirent **names = NULL;
	struct stat st;
	int n, r = 0;

	if (skip && skip(path))
		return 0;
	if (lstat(from, &st) < 0)
		return errno == ENOENT ? 0 : br_error_set(err, errno, "%s: %s", from, strerrordesc_np(errno));
	if (!S_ISDIR(st.st_mode)) {
		r = S_ISREG(st.st_mode) ? br_backup_out_file(out, from, path, err) : 0;
		return r < 0 ? r : 0;
	}
	if (depth > DEPTH_MAX)
		return br_error_set(err, ELOOP, "%s: more than %d directories deep", from, DEPTH_MAX);
	n = scandir(from, &names, NULL, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : br_error_set(err, errno, "directory %s: %s", from, strerrordesc_np(errno));
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		br_cleanup(br_freep) char *below = br_path_join(from, name), *to = br_path_join(path, name);

		if (r >= 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			r = below && to ? tree(out, below, to, skip, depth + 1, err) : br_error_set(err, ENOMEM, "out of memory");
		free(names[i]);
	}
	free(names);
	return r;
}

int br_backup_out_tree(struct br_backup_out *out, const char *from, const char *path, bool (*skip)(const char *path), struct br_error *err)
{
	return tree(out, from, path, skip, 0, err);
}

int br_backup_out_close(struct br_backup_out *out, struct br_error *err)
{
	if (archive_write_close(out->archive) != ARCHIVE_OK)
		return cannot(out, err);
	return fsync(out->fd) < 0 ? br_error_set(err, errno, "file %s: %s", out->name, strerrordesc_np(errno)) : 0;
}
