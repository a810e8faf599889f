/* SPDX-License-Identifier: Apache-2.0 */
/* A state directory into a tar, while its daemon goes on. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backup/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "base/waiting.h"
#include "fleet/fleet.h"
#include "store/image.h"

BR_DEFINE_CLEANUP(struct br_store *, br_store_close);

struct backup {
	const struct br_backup_options *opt;
	struct br_backup_out out;
	json_t *images;
	struct br_error *err;
};

/* ---- the database ---- */

/* All of it in one read transaction: who writes meanwhile writes to the log beside it. */
static int copy_database(const char *from, const char *to, struct br_error *err)
{
	sqlite3 *a = NULL, *b = NULL;
	sqlite3_backup *copy = NULL;
	int code = sqlite3_open_v2(from, &a, SQLITE_OPEN_READWRITE, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(a, 10000);
	if (code == SQLITE_OK)
		code = sqlite3_open_v2(to, &b, SQLITE_OPEN_READWRITE, NULL);
	copy = code == SQLITE_OK ? sqlite3_backup_init(b, "main", a, "main") : NULL;
	if (copy) {
		code = sqlite3_backup_step(copy, -1);
		code = sqlite3_backup_finish(copy) != SQLITE_OK || code != SQLITE_DONE ? SQLITE_ERROR : SQLITE_OK;
	}
	if (code == SQLITE_OK && copy)
		code = sqlite3_exec(b, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	if (code != SQLITE_OK || !copy)
		br_error_set(err, EIO, "database %s: cannot be copied: %s", from, copy && b ? sqlite3_errmsg(b) : sqlite3_errmsg(b ? b : a));
	sqlite3_close(b);
	sqlite3_close(a);
	return code == SQLITE_OK && copy ? 0 : br_error_negative(err->code ? -err->code : -EIO);
}

static int add_database(struct backup *k, struct br_error *err)
{
	br_cleanup(br_freep) char *from = br_path_join(k->opt->state, "bramble.db"), *to = br_asprintf("%s.%d.db", k->out.name, (int)getpid());
	struct br_waiting *w;
	int fd, r;

	if (!from || !to)
		return br_error_set(err, ENOMEM, "out of memory");
	if (access(from, R_OK) < 0)
		return br_error_set(err, errno, "database %s: %s%s", from, strerrordesc_np(errno),
			errno == EACCES ? "; be root, or the user that bramble runs as" : errno == ENOENT ? "; there is no state here to back up" : "");
	fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return br_error_set(err, errno, "file %s: %s", to, strerrordesc_np(errno));
	close(fd);
	w = br_waiting_start("copying the database", k->opt->quiet);
	r = copy_database(from, to, err);
	if (r >= 0) {
		r = br_backup_check_database(to, err);
		if (r < 0)
			br_error_prefix(err, "database %s", from);
	}
	br_waiting_end(w);
	if (r >= 0)
		r = br_backup_out_file(&k->out, to, "state/bramble.db", err);
	unlink(to);
	return r < 0 ? r : 0;
}

/* ---- files of the state ---- */

static bool is_one_of(const char *path, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(path, *names))
			return true;
	return false;
}

/* Taken in their own way, or not at all: locks, sockets, what is under way, logs (they are many, and made anew). */
static bool skip_state(const char *path)
{
	static const char *const names[] = { "state/bramble.db", "state/bramble.db-wal", "state/bramble.db-shm", "state/bramble.db-journal",
		"state/daemon.lock", "state/api.sock", "state/images", "state/layers", "state/disks", "state/logs", "state/.restore",
		"state/.restoring", NULL };

	return is_one_of(path, names);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* ".lock", ".tmp-..." of imports under way; "lock" of a disk */
static bool skip_hidden(const char *path)
{
	return base_name(path)[0] == '.' || !strcmp(base_name(path), "lock");
}

/* Below state/disks of a state that nobody serves: what outlives a boot. */
static bool skip_disks(const char *path)
{
	const char *name = base_name(path);

	return !strcmp(name, "volatile") || !strcmp(name, "ram") || br_str_starts(name, "copy-") || br_str_starts(name, "shell-") ||
	       skip_hidden(path);
}

static int add_below(struct backup *k, const char *name, bool (*skip)(const char *path), struct br_error *err)
{
	br_cleanup(br_freep) char *from = br_path_join(k->opt->state, name), *to = br_path_join("state", name);

	return from && to ? br_backup_out_tree(&k->out, from, to, skip, err) : br_error_set(err, ENOMEM, "out of memory");
}

/* ---- images ---- */

static int add_image(void *ctx, const struct br_image_info *info, const char *err_text)
{
	struct backup *k = ctx;
	br_cleanup(br_freep) char *from = NULL, *to = NULL;

	if (!info || err_text)
		return 0; /* a damaged one is not for others */
	json_array_append_new(k->images, json_pack("{s:s, s:s, s:s}", "name", info->name, "sha256", info->sha256, "source", info->source));
	if (k->opt->images)
		return 0;
	from = br_asprintf("%s/images/%s/image.json", k->opt->state, info->name);
	to = br_asprintf("images/%s.json", info->name);
	return from && to ? br_backup_out_file(&k->out, from, to, k->err) : br_error_set(k->err, ENOMEM, "out of memory");
}

static int add_images(struct backup *k, struct br_error *err)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	int r = br_store_open(k->opt->state, &store, err);

	k->err = err;
	if (r >= 0)
		r = br_store_list(store, add_image, k, err);
	if (r >= 0 && k->opt->images)
		r = add_below(k, "images", skip_hidden, err);
	if (r >= 0 && (k->opt->images || k->opt->disks))
		r = add_below(k, "layers", skip_hidden, err);
	return r < 0 ? r : 0;
}

/* ---- disks ---- */

/* Frozen by the daemon in a directory beside, which is removed again whatever happens. */
static int add_staged(struct backup *k, const char *board, struct br_error *err)
{
	br_cleanup(br_freep) char *name = br_client_escape(board), *path = NULL, *drop = NULL;
	json_t *staged = NULL, *part;
	size_t i;
	int r;

	path = name ? br_asprintf("/v1/backup/disks?board=%s", name) : NULL;
	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_client_call(k->opt->client, "POST", path, NULL, &staged, err);
	if (r < 0)
		return br_error_prefix(err, "disk of %s", board);
	json_array_foreach(json_object_get(staged, "parts"), i, part) {
		const char *dir = json_string_value(json_object_get(part, "dir"));
		br_cleanup(br_freep) char *to = br_path_join("state", json_string_value(json_object_get(part, "place")) ?: "");

		if (r >= 0)
			r = dir && to ? br_backup_out_tree(&k->out, dir, to, skip_hidden, err) : br_error_set(err, EIO, "the daemon's answer is none");
	}
	drop = br_asprintf("%s&name=%s", path, json_string_value(json_object_get(staged, "name")) ?: "");
	if (drop)
		(void)br_client_call(k->opt->client, "DELETE", drop, NULL, NULL, NULL); /* else the next start sweeps it */
	json_decref(staged);
	return r;
}

static int add_live_disks(struct backup *k, struct br_error *err)
{
	json_t *disks = NULL, *done = json_object(), *d;
	size_t i;
	int r = br_client_call(k->opt->client, "GET", "/v1/disks", NULL, &disks, err);

	json_array_foreach(disks, i, d) {
		const char *board = json_string_value(json_object_get(d, "board")), *kind = json_string_value(json_object_get(d, "disk"));

		if (r < 0 || !board || !kind || (strcmp(kind, "persistent") && strcmp(kind, "persist")) || json_object_get(done, board))
			continue;
		json_object_set_new(done, board, json_true());
		r = add_staged(k, board, err);
	}
	json_decref(disks);
	json_decref(done);
	return r < 0 ? r : add_below(k, "disks/persist-base", skip_hidden, err);
}

/* ---- all ---- */

static int add_manifest(struct backup *k, struct br_error *err)
{
	char host[256] = "", when[40];
	time_t now = time(NULL);
	br_cleanup(br_freep) char *text = NULL;
	json_t *m;
	int r;

	(void)gethostname(host, sizeof(host) - 1);
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
	m = json_pack("{s:i, s:s, s:i, s:s, s:s?, s:{s:b, s:b, s:b}, s:O, s:O}", "format", BR_BACKUP_FORMAT, "bramble", BRAMBLE_VERSION, "schema",
		br_fleet_schema(), "made_at", when, "host", host, "with", "images", k->opt->images, "disks", k->opt->disks, "config",
		k->opt->config != NULL, "images", k->images, "files", k->out.files);
	text = m ? json_dumps(m, JSON_INDENT(1)) : NULL;
	json_decref(m);
	if (!text)
		return br_error_set(err, ENOMEM, "out of memory, or this host's name is no text");
	r = br_backup_out_bytes(&k->out, BR_BACKUP_MANIFEST, text, strlen(text), err);
	return r < 0 ? r : br_backup_out_close(&k->out, err);
}

static int add_all(struct backup *k, struct br_error *err)
{
	const struct br_backup_options *opt = k->opt;
	int r = add_database(k, err);

	if (r >= 0)
		r = br_backup_out_tree(&k->out, opt->state, "state", skip_state, err);
	if (r >= 0 && opt->disks)
		r = opt->client ? add_live_disks(k, err) : add_below(k, "disks", skip_disks, err);
	if (r >= 0)
		r = add_images(k, err);
	if (r >= 0 && opt->config)
		r = br_backup_out_tree(&k->out, opt->config, "config", NULL, err);
	return r < 0 ? r : add_manifest(k, err);
}

static int measure(const char *file, struct br_backup_result *ret, struct br_error *err)
{
	struct br_sha256 *hash = br_sha256_new();
	br_cleanup(br_closep) int fd = open(file, O_RDONLY | O_CLOEXEC);
	br_cleanup(br_freep) uint8_t *buf = malloc(1 << 20);
	uint8_t sum[32];
	ssize_t n;

	if (!hash || !buf || fd < 0) {
		br_sha256_free(hash);
		return br_error_set(err, fd < 0 ? errno : ENOMEM, "file %s: %s", file, strerrordesc_np(fd < 0 ? errno : ENOMEM));
	}
	while ((n = read(fd, buf, 1 << 20)) > 0) {
		br_sha256_add(hash, buf, (size_t)n);
		ret->stored += (uint64_t)n;
	}
	br_sha256_end(hash, sum);
	br_hex(ret->sha256, sum, sizeof(sum));
	return n < 0 ? br_error_set(err, errno, "file %s: %s", file, strerrordesc_np(errno)) : 0;
}

static int write_to(const char *partial, const char *file, struct backup *k, struct br_error *err)
{
	br_cleanup(br_closep) int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return br_error_set(err, errno, "file %s: %s", partial, strerrordesc_np(errno));
	br_progress_start(&k->out.progress, "writing the backup", 0, k->opt->quiet);
	r = br_backup_out_open(&k->out, fd, file, err);
	if (r >= 0)
		r = add_all(k, err);
	if (r < 0)
		br_progress_stop(&k->out.progress, k->out.bytes);
	else
		br_progress_end(&k->out.progress, k->out.bytes);
	archive_write_free(k->out.archive);
	return r;
}

/* The directory that a name is in, synced: the name lasts. */
static void sync_parent(const char *file)
{
	br_cleanup(br_freep) char *dir = strdup(file);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (slash)
		slash[slash == dir] = 0;
	if (dir)
		(void)br_sync_dir(slash ? dir : ".");
}

/* Not over what came meanwhile, where the file system can tell. */
static int give_name(const char *partial, const char *file)
{
	if (!renameat2(AT_FDCWD, partial, AT_FDCWD, file, RENAME_NOREPLACE))
		return 0;
	return errno == EINVAL || errno == ENOSYS ? rename(partial, file) : -1;
}

int br_backup_write(const char *file, const struct br_backup_options *opt, struct br_backup_result *ret, struct br_error *err)
{
	struct backup k = { .opt = opt, .images = json_array(), .out = { .cancelled = opt->cancelled } };
	br_cleanup(br_freep) char *partial = br_asprintf("%s.%d.part", file, (int)getpid());
	struct br_backup_result res = { 0 };
	int r;

	if (!partial || !k.images)
		r = br_error_set(err, ENOMEM, "out of memory");
	else if (!access(file, F_OK))
		r = br_error_set(err, EEXIST, "file %s: is there already; a backup replaces nothing", file);
	else
		r = write_to(partial, file, &k, err);
	if (r >= 0)
		r = br_backup_check(partial, opt->quiet, NULL, err);
	if (r >= 0)
		r = measure(partial, &res, err);
	if (r >= 0 && give_name(partial, file) < 0)
		r = br_error_set(err, errno, "file %s: %s", file, strerrordesc_np(errno));
	if (r >= 0)
		sync_parent(file);
	if (partial)
		unlink(partial); /* not there any more when all went well */
	res.files = k.out.n;
	res.bytes = k.out.bytes;
	json_decref(k.images);
	json_decref(k.out.files);
	if (r < 0)
		return r;
	*ret = res;
	return 0;
}
