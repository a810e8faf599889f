/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup into a state directory. It is extracted into STATE/.restore first; then what is in there moves up by renames, the database
 * last: without that there is no state. A crash in between leaves the mark STATE/.restoring, with which no daemon starts, and the same
 * command again begins anew.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backup/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "fleet/fleet.h"

#define BLOCK 4096

BR_DEFINE_CLEANUP(DIR *, closedir);

struct restore {
	const struct br_restore_options *opt;
	char *staging, *config_staging; /* of state/ and config/ */
	int fd;				/* of the file in hand, -1: it is not wanted */
	char *path;
	uint64_t size;
	mode_t mode; /* of a file of the configuration; 0: of the state */
};

/* ---- extracting ---- */

/* Where a path of the tar goes; *ret NULL: it stays in there. */
static int place(struct restore *rs, const char *path, char **ret)
{
	*ret = NULL;
	if (br_str_starts(path, "state/"))
		*ret = br_path_join(rs->staging, path + strlen("state/"));
	else if (br_str_starts(path, "config/") && rs->config_staging)
		*ret = br_path_join(rs->config_staging, path + strlen("config/"));
	else
		return 0;
	return *ret ? 0 : -ENOMEM;
}

static int begin(void *ctx, const char *path, uint64_t size, unsigned mode, struct br_error *err)
{
	struct restore *rs = ctx;
	br_cleanup(br_freep) char *dir = NULL;
	bool config = br_str_starts(path, "config/");
	int r = place(rs, path, &rs->path);

	rs->fd = -1;
	rs->size = size;
	rs->mode = config ? (mode & 0777) | 0400 : 0;
	if (r < 0 || !rs->path)
		return r < 0 ? br_error_set(err, ENOMEM, "out of memory") : 0;
	dir = strdup(rs->path);
	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	*strrchr(dir, '/') = 0;
	r = br_mkdir_all(dir, config ? 0755 : 0750, err);
	if (r < 0)
		return r;
	rs->fd = open(rs->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return rs->fd < 0 ? br_error_set(err, errno, "%s: %s", rs->path, strerrordesc_np(errno)) : 0;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/* Blocks of zeros stay holes. */
static int data(void *ctx, uint64_t at, const void *bytes, size_t n, struct br_error *err)
{
	const uint8_t *p = bytes;
	struct restore *rs = ctx;

	while (rs->fd >= 0 && n) {
		size_t part = BLOCK - at % BLOCK;
		int r = 0;

		part = part < n ? part : n;
		if (!is_zero(p, part))
			r = br_pwrite_all(rs->fd, p, part, at);
		if (r < 0)
			return br_error_set(err, -r, "%s: %s", rs->path, strerrordesc_np(-r));
		p += part;
		at += part;
		n -= part;
	}
	return 0;
}

static int end(void *ctx, const char *path, struct br_error *err)
{
	struct restore *rs = ctx;
	br_cleanup(br_freep) char *name = br_take(rs->path);
	br_cleanup(br_closep) int fd = br_take_fd(rs->fd);

	if (fd < 0)
		return 0;
	if (ftruncate(fd, (off_t)rs->size) < 0 || (br_str_ends(path, "/disk.img") && fchmod(fd, 0444) < 0) ||
		(rs->mode && fchmod(fd, rs->mode) < 0) || fsync(fd) < 0)
		return br_error_set(err, errno, "%s: %s", name, strerrordesc_np(errno));
	if (rs->opt->uid && !geteuid() && br_str_starts(path, "state/") && fchown(fd, rs->opt->uid, rs->opt->gid) < 0)
		return br_error_set(err, errno, "%s: %s", name, strerrordesc_np(errno));
	return 0;
}

/* ---- directories: whose they are, and that they last ---- */

static int settle_dirs(const struct br_restore_options *opt, const char *dir, struct br_error *err)
{
	br_cleanup(closedirp) DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return br_error_set(err, errno, "directory %s: %s", dir, strerrordesc_np(errno));
	while (r >= 0 && (e = readdir(d))) {
		br_cleanup(br_freep) char *path = e->d_type == DT_DIR && strcmp(e->d_name, ".") && strcmp(e->d_name, "..") ? br_path_join(dir, e->d_name) : NULL;

		if (path)
			r = settle_dirs(opt, path, err);
	}
	if (r >= 0 && opt->uid && !geteuid() && fchown(dirfd(d), opt->uid, opt->gid) < 0)
		r = br_error_set(err, errno, "directory %s: %s", dir, strerrordesc_np(errno));
	if (r >= 0 && fsync(dirfd(d)) < 0)
		r = br_error_set(err, errno, "directory %s: %s", dir, strerrordesc_np(errno));
	return r;
}

/* ---- checks before anything is written ---- */

static int check_schema(const json_t *manifest, struct br_error *err)
{
	json_int_t schema = json_integer_value(json_object_get(manifest, "schema"));

	if (schema > br_fleet_schema())
		return br_error_set(err, EPROTO, "the backup's database has schema %" JSON_INTEGER_FORMAT ", this bramble knows up to %d: a newer bramble "
			"wrote it; use that one", schema, br_fleet_schema());
	return 0;
}

static int check_room(const struct br_restore_options *opt, const json_t *manifest, struct br_error *err)
{
	const json_t *files = json_object_get(manifest, "files"), *f;
	char need[16], free_text[16];
	struct statvfs st;
	uint64_t bytes = 0;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)files, i, f)
		bytes += (uint64_t)json_integer_value(json_object_get(f, "size"));
	/* images are mostly holes: what they need is not known before; the rest must fit for sure */
	if (json_is_true(json_object_get(json_object_get(manifest, "with"), "images")) || statvfs(opt->state, &st) < 0 ||
		(uint64_t)st.f_bavail * st.f_frsize > bytes)
		return 0;
	return br_error_set(err, ENOSPC, "state directory %s: full (%s free, %s needed); free some space or give --state", opt->state,
		br_format_size(free_text, sizeof(free_text), (uint64_t)st.f_bavail * st.f_frsize), br_format_size(need, sizeof(need), bytes));
}

int br_backup_check_database(const char *path, struct br_error *err)
{
	sqlite3_stmt *s = NULL;
	sqlite3 *db = NULL;
	int r = 0;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
		sqlite3_prepare_v2(db, "SELECT quick_check, (SELECT user_version FROM pragma_user_version) FROM pragma_quick_check", -1, &s, NULL) != SQLITE_OK ||
		sqlite3_step(s) != SQLITE_ROW || strcmp((const char *)sqlite3_column_text(s, 0) ?: "", "ok") != 0)
		r = br_error_set(err, EBADMSG, "the copy of the database is damaged: %s",
			s && sqlite3_column_count(s) && sqlite3_column_text(s, 0) ? (const char *)sqlite3_column_text(s, 0) : sqlite3_errmsg(db));
	else if (sqlite3_column_int(s, 1) > br_fleet_schema())
		r = br_error_set(err, EPROTO, "the backup's database has schema %d, this bramble knows up to %d: a newer bramble wrote it; use that one",
			sqlite3_column_int(s, 1), br_fleet_schema());
	sqlite3_finalize(s);
	sqlite3_close(db);
	return r;
}

/* ---- moving into place ---- */

/* Directories of many owners: entries are added to those that are there. */
static bool is_shared(const char *name)
{
	return !strcmp(name, "images") || !strcmp(name, "layers") || !strcmp(name, "disks");
}

static bool same_image(const char *a, const char *b)
{
	br_cleanup(br_freep) char *pa = br_path_join(a, "image.json"), *pb = br_path_join(b, "image.json"), *ta = NULL, *tb = NULL;
	json_t *ja = NULL, *jb = NULL;
	bool same = false;

	if (pa && pb && br_file_read(pa, 1 << 20, &ta, NULL, NULL) >= 0 && br_file_read(pb, 1 << 20, &tb, NULL, NULL) >= 0) {
		ja = json_loads(ta, 0, NULL);
		jb = json_loads(tb, 0, NULL);
		same = ja && jb && json_object_get(ja, "sha256") && json_equal(json_object_get(ja, "sha256"), json_object_get(jb, "sha256"));
	}
	json_decref(ja);
	json_decref(jb);
	return same;
}

/* resumed: what is in the way came from a restore before, which was interrupted. apply false: only looked at. */
static int move_up(const char *from, const char *to, bool shared, bool resumed, bool apply, struct br_error *err)
{
	br_cleanup(closedirp) DIR *d = opendir(from);
	struct dirent *e;
	int r = 0;

	if (!d)
		return br_error_set(err, errno, "directory %s: %s", from, strerrordesc_np(errno));
	while (r >= 0 && (e = readdir(d))) {
		br_cleanup(br_freep) char *a = br_path_join(from, e->d_name), *b = br_path_join(to, e->d_name);
		bool there;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || (!shared && !strcmp(e->d_name, "bramble.db")))
			continue;
		if (!a || !b)
			return br_error_set(err, ENOMEM, "out of memory");
		there = !access(b, F_OK);
		if (there && !shared && is_shared(e->d_name)) {
			r = move_up(a, b, true, resumed, apply, err);
			continue;
		}
		if (there && shared && same_image(a, b))
			continue;
		if (there && !resumed)
			return br_error_set(err, EEXIST, "%s: is there already; a restore replaces nothing: move it away, or give another --state", b);
		if (apply && there)
			r = br_remove_tree(b, err);
		if (apply && r >= 0 && rename(a, b) < 0)
			r = br_error_set(err, errno, "%s: %s", b, strerrordesc_np(errno));
	}
	return r < 0 || !apply || br_sync_dir(to) >= 0 ? r : br_error_set(err, EIO, "directory %s: cannot be made stable", to);
}

/* With the mode it had; what its group alone might read is the daemon's group's. */
static int put_config(const struct br_restore_options *opt, const char *from, const char *to, const void *text, size_t n, struct br_error *err)
{
	struct stat st;
	int r;

	if (stat(from, &st) < 0)
		return br_error_set(err, errno, "%s: %s", from, strerrordesc_np(errno));
	r = br_file_write(to, text, n, st.st_mode & 0755, err);
	if (r >= 0 && opt->gid && !geteuid() && (st.st_mode & 0044) == 0040 && chown(to, (uid_t)-1, opt->gid) < 0)
		r = br_error_set(err, errno, "%s: %s", to, strerrordesc_np(errno));
	return r;
}

/* Files of the configuration, one by one: an equal one is left, another is in the way. */
static int move_config(const struct br_restore_options *opt, const char *from, const char *to, bool apply, struct br_error *err)
{
	br_cleanup(closedirp) DIR *d = opendir(from);
	struct dirent *e;
	int r = d ? 0 : errno == ENOENT ? 0 : br_error_set(err, errno, "directory %s: %s", from, strerrordesc_np(errno));

	if (d && apply)
		r = br_mkdir_all(to, 0755, err);
	while (d && r >= 0 && (e = readdir(d))) {
		br_cleanup(br_freep) char *a = br_path_join(from, e->d_name), *b = br_path_join(to, e->d_name), *ta = NULL, *tb = NULL;
		size_t na, nb;
		int there;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!a || !b)
			return br_error_set(err, ENOMEM, "out of memory");
		if (e->d_type == DT_DIR) {
			r = move_config(opt, a, b, apply, err);
			continue;
		}
		r = br_file_read(a, 256u << 20, &ta, &na, err);
		there = r < 0 ? r : br_file_read(b, 256u << 20, &tb, &nb, NULL);
		if (there < 0 && there != -ENOENT) {
			r = br_error_set(err, -there, "%s: is there and cannot be read (%s), so it is not replaced; move it away, or give another --config", b,
				strerrordesc_np(-there));
		} else if (there >= 0) {
			if (na != nb || memcmp(ta, tb, na) != 0)
				r = br_error_set(err, EEXIST, "%s: there is another one; move it away, or give another --config", b);
		} else if (apply) {
			r = put_config(opt, a, b, ta, na, err);
		}
	}
	return r;
}

static int commit(struct restore *rs, const char *manifest, bool resumed, struct br_error *err)
{
	const char *state = rs->opt->state;
	br_cleanup(br_freep) char *from = br_path_join(rs->staging, "bramble.db"), *to = br_path_join(state, "bramble.db");
	br_cleanup(br_freep) char *mark = br_path_join(state, BR_FLEET_RESTORING);
	int r = from && to && mark ? br_backup_check_database(from, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r >= 0)
		r = settle_dirs(rs->opt, rs->staging, err);
	if (r >= 0)
		r = move_up(rs->staging, state, false, resumed, false, err);
	if (r >= 0 && rs->config_staging)
		r = move_config(rs->opt, rs->config_staging, rs->opt->config, false, err);
	if (r >= 0)
		r = br_file_write(mark, manifest, strlen(manifest), 0600, err);
	if (r >= 0)
		r = move_up(rs->staging, state, false, resumed, true, err);
	if (r >= 0 && rs->config_staging)
		r = move_config(rs->opt, rs->config_staging, rs->opt->config, true, err);
	if (r >= 0 && rename(from, to) < 0)
		r = br_error_set(err, errno, "%s: %s", to, strerrordesc_np(errno));
	if (r >= 0 && (unlink(mark) < 0 || br_sync_dir(state) < 0))
		r = br_error_set(err, errno ? errno : EIO, "%s: cannot be removed", mark);
	return r;
}

static int extract(struct restore *rs, const char *file, struct br_error *err)
{
	struct br_backup_in in = { .ctx = rs, .begin = begin, .data = data, .end = end };
	int r = br_remove_tree(rs->staging, err);

	if (r >= 0 && rs->config_staging)
		r = br_remove_tree(rs->config_staging, err);
	if (r >= 0)
		r = br_mkdir_all(rs->staging, 0700, err);
	if (r >= 0)
		r = br_backup_read(file, &in, rs->opt->quiet, NULL, err);
	if (rs->fd >= 0)
		close(rs->fd);
	free(br_take(rs->path));
	return r;
}

/* Whether a restore of just this backup was interrupted here. */
static bool was_interrupted(const char *mark, const char *manifest)
{
	br_cleanup(br_freep) char *text = NULL;
	size_t n;

	return br_file_read(mark, 256u << 20, &text, &n, NULL) >= 0 && n == strlen(manifest) && !memcmp(text, manifest, n);
}

/* The database is moved last: when it is in its place and the mark still there, only that is left to do. */
static bool is_in_place(const struct restore *rs, const char *db)
{
	br_cleanup(br_freep) char *staged = br_path_join(rs->staging, "bramble.db");

	return staged && !access(db, F_OK) && access(staged, F_OK) < 0;
}

static int restore_here(struct restore *rs, const char *file, const json_t *manifest, struct br_error *err)
{
	const char *state = rs->opt->state;
	br_cleanup(br_freep) char *db = br_path_join(state, "bramble.db"), *mark = br_path_join(state, BR_FLEET_RESTORING);
	br_cleanup(br_freep) char *text = json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS);
	bool resumed;
	int r;

	if (!db || !mark || !text)
		return br_error_set(err, ENOMEM, "out of memory");
	resumed = was_interrupted(mark, text);
	if (resumed && is_in_place(rs, db)) {
		if (unlink(mark) < 0 || br_sync_dir(state) < 0)
			return br_error_set(err, errno ? errno : EIO, "%s: cannot be removed", mark);
		return 0;
	}
	if (!access(db, F_OK))
		return br_error_set(err, EEXIST, "state directory %s: has a database already; a restore replaces nothing: move it away, or give another "
			"--state", state);
	r = check_room(rs->opt, manifest, err);
	if (r >= 0)
		r = extract(rs, file, err);
	return r < 0 ? r : commit(rs, text, resumed, err);
}

static int restore_locked(const char *file, const struct br_restore_options *opt, const json_t *manifest, struct br_error *err)
{
	struct restore rs = { .opt = opt, .fd = -1, .staging = br_path_join(opt->state, ".restore"),
		.config_staging = opt->config ? br_path_join(opt->state, ".restore-config") : NULL };
	int r;

	if (!rs.staging || (opt->config && !rs.config_staging))
		r = br_error_set(err, ENOMEM, "out of memory");
	else
		r = restore_here(&rs, file, manifest, err);
	/* what is left of it is in nobody's way; the next restore removes it, too */
	if (rs.staging)
		(void)br_remove_tree(rs.staging, NULL);
	if (rs.config_staging)
		(void)br_remove_tree(rs.config_staging, NULL);
	free(rs.staging);
	free(rs.config_staging);
	return r;
}

int br_backup_restore(const char *file, const struct br_restore_options *opt, json_t **ret_manifest, struct br_error *err)
{
	br_cleanup(br_closep) int lock = -1;
	json_t *manifest = NULL;
	bool fresh = access(opt->state, F_OK) < 0;
	int r = br_backup_check(file, opt->quiet, &manifest, err);

	if (r >= 0)
		r = check_schema(manifest, err);
	if (r >= 0)
		r = br_mkdir_all(opt->state, 0750, err);
	if (r >= 0 && fresh && opt->uid && !geteuid() && chown(opt->state, opt->uid, opt->gid) < 0)
		r = br_error_set(err, errno, "state directory %s: %s", opt->state, strerrordesc_np(errno));
	if (r >= 0)
		r = br_fleet_lock(opt->state, &lock, err);
	if (r >= 0 && opt->uid && !geteuid() && fchown(lock, opt->uid, opt->gid) < 0)
		r = br_error_set(err, errno, "state directory %s: its lock: %s", opt->state, strerrordesc_np(errno));
	if (r >= 0)
		r = restore_locked(file, opt, manifest, err);
	if (r < 0) {
		json_decref(manifest);
		return r;
	}
	*ret_manifest = manifest;
	return 0;
}
