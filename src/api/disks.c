/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/boards/NAME/disk: what is on a board's disk, as the board sees it, through the plan in force. The board may be
 * running: each look takes the disk's lock for one call only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/diskexport.h"
#include "api/filejson.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "fleet/event.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "store/names.h"

#define PATH_BYTES_MAX 4096
#define ENTRIES_MAX 100000 /* of one listing */

int br_call_disk(struct br_call *call, struct br_board *board, struct br_board_disk **ret, struct br_error *err)
{
	struct br_plan *plan = NULL;
	int r = br_call_board(call, board, err);

	if (r >= 0)
		r = br_boots_plan(call->api->boots, board, &plan, err);
	if (r < 0)
		return r;
	r = br_disks_open(call->api->disks, plan, ret, err);
	br_plan_unref(plan);
	return r;
}

int br_disk_file_keep(struct br_board_disk *disk, uint64_t ino, struct br_disk_file *ret)
{
	struct br_fs_attr a = { 0 };
	int r = disk->fs->ops->getattr(disk->fs, ino, &a);

	*ret = (struct br_disk_file){ .board_id = disk->board_id, .ino = ino, .generation = a.generation };
	memcpy(ret->disk_id, disk->id, sizeof(ret->disk_id));
	return r;
}

int br_disk_file_enter(struct br_api *api, const struct br_disk_file *f, struct br_board_disk **ret)
{
	struct br_board_disk *disk = br_disks_again(api->disks, f->board_id, f->disk_id);
	struct br_fs_attr a = { 0 };
	int r;

	if (!disk)
		return -ESTALE;
	pthread_mutex_lock(&disk->lock);
	r = disk->fs->ops->getattr(disk->fs, f->ino, &a);
	if (r == -ENOENT || (!r && a.generation != f->generation))
		r = -ESTALE;
	if (r < 0)
		br_disk_file_leave(api, disk);
	else
		*ret = disk;
	return r;
}

void br_disk_file_leave(struct br_api *api, struct br_board_disk *disk)
{
	pthread_mutex_unlock(&disk->lock);
	br_board_disk_unref(api->disks, disk);
}

int br_call_path_error(struct br_error *err, int r, const char *path)
{
	char vis[300];

	return br_error_set(err, -r, "%s: %s", br_vis(vis, sizeof(vis), path, strlen(path)), strerrordesc_np(-r));
}

static int usage(struct br_call *call, struct br_error *err)
{
	struct br_disk_usage u = { 0 };
	struct br_fs_statfs fs = { 0 };
	struct br_board_disk *disk;
	struct br_board board;
	int r = br_call_disk(call, &board, &disk, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&disk->lock);
	br_disk_usage(disk->disk, &u);
	r = disk->fs->ops->statfs(disk->fs, &fs);
	pthread_mutex_unlock(&disk->lock);
	if (r < 0)
		br_error_set(err, -r, "disk of board %s: %s", board.name, strerrordesc_np(-r));
	else
		call->json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:s*}", "board", board.name, "disk",
			br_plan_input(disk->plan)->disk, "boot", (json_int_t)disk->boot, "base_bytes",
			(json_int_t)u.base_bytes, "changed_bytes", (json_int_t)u.changed_bytes, "stored_bytes",
			(json_int_t)u.stored_bytes, "layers", (int)u.layers, "fs_bytes", (json_int_t)fs.total_bytes, "fs_free_bytes",
			(json_int_t)fs.avail_bytes, "fs_free_files", (json_int_t)fs.free_files, "problem",
			disk->problem[0] ? disk->problem : NULL);
	br_board_disk_unref(call->api->disks, disk);
	return r;
}

static int add_entry(struct br_fs *fs, json_t *out, const char *name, uint64_t ino)
{
	char target[PATH_BYTES_MAX];
	struct br_fs_attr a;
	json_t *e;
	int r = fs->ops->getattr(fs, ino, &a);

	if (r < 0)
		return r;
	e = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "type", br_file_type_name(a.mode), "mode",
		(json_int_t)(a.mode & 07777), "nlink", (json_int_t)a.nlink, "uid", (json_int_t)a.uid, "gid",
		(json_int_t)a.gid, "size", (json_int_t)a.size, "inode", (json_int_t)a.ino, "mtime",
		a.mtime.tv_sec > 0 ? br_api_time((uint64_t)a.mtime.tv_sec * 1000000000ull) : json_null());
	if (!e)
		return -ENOMEM;
	br_json_set_bytes(e, "name", name);
	if (S_ISLNK(a.mode) && fs->ops->readlink(fs, ino, target, sizeof(target)) >= 0)
		br_json_set_bytes(e, "target", target);
	if (S_ISCHR(a.mode) || S_ISBLK(a.mode))
		json_object_set_new(e, "rdev", json_pack("[i, i]", (int)a.rdev_major, (int)a.rdev_minor));
	return json_array_append_new(out, e) < 0 ? -ENOMEM : 0;
}

static int list_dir(struct br_fs *fs, uint64_t dir, json_t *out)
{
	struct br_names names = { 0 };
	int r = br_names_read(fs, dir, ENTRIES_MAX, &names);

	if (r > 0)
		r = -EIO;
	for (size_t i = 0; r >= 0 && i < names.n; i++)
		r = add_entry(fs, out, names.v[i].name, names.v[i].ino);
	br_names_done(&names);
	return r;
}

/* A directory's entries; of anything else, the one itself. */
static int list_path(struct br_fs *fs, const char *path, json_t *out)
{
	const char *slash = strrchr(path, '/');
	struct br_fs_attr a;
	uint64_t ino;
	int r = br_fs_walk(fs, path, &ino);

	if (r >= 0)
		r = fs->ops->getattr(fs, ino, &a);
	if (r < 0)
		return r;
	return S_ISDIR(a.mode) ? list_dir(fs, ino, out) : add_entry(fs, out, slash ? slash + 1 : path, ino);
}

static int ls(struct br_call *call, struct br_error *err)
{
	const char *path = br_call_param(call, "path");
	struct br_board_disk *disk;
	struct br_board board;
	json_t *entries;
	int r = br_call_disk(call, &board, &disk, err);

	if (r < 0)
		return r;
	path = path && path[0] ? path : "/";
	entries = json_array();
	pthread_mutex_lock(&disk->lock);
	r = list_path(disk->fs, path, entries);
	pthread_mutex_unlock(&disk->lock);
	br_board_disk_unref(call->api->disks, disk);
	if (r < 0) {
		json_decref(entries);
		return br_call_path_error(err, r, path);
	}
	call->json = json_pack("{s:o}", "entries", entries);
	br_json_set_bytes(call->json, "path", path);
	return 0;
}

/* Bytes on their way: of a file on the board's disk, or of a whole copy of it. */
struct stream {
	struct br_api *api;
	struct br_disk *copy; /* NULL: file */
	struct br_disk_file file;
	uint64_t size;
};

static void stream_free(void *cls)
{
	struct stream *s = cls;

	br_disk_close(s->copy);
	free(s);
}

static int read_file(struct stream *s, uint64_t pos, char *buf, size_t n, size_t *ret)
{
	struct br_board_disk *disk;
	bool eof;
	int r = br_disk_file_enter(s->api, &s->file, &disk);

	if (r < 0)
		return r;
	r = disk->fs->ops->read(disk->fs, s->file.ino, pos, buf, n, ret, &eof);
	br_disk_file_leave(s->api, disk);
	return r;
}

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct stream *s = cls;
	size_t n, got;
	int r;

	if (pos >= s->size)
		return MHD_CONTENT_READER_END_OF_STREAM;
	got = n = s->size - pos < max ? (size_t)(s->size - pos) : max;
	r = s->copy ? br_disk_read(s->copy, pos, buf, n) : read_file(s, pos, buf, n, &got);
	/* a file that the board cut or removed meanwhile: the client sees that bytes are missing */
	return r < 0 || !got ? MHD_CONTENT_READER_END_WITH_ERROR : (ssize_t)got;
}

#define BYTES_TYPE "application/octet-stream"

/* Takes over what it holds. */
static int start_stream(struct br_call *call, struct stream *from, struct br_error *err)
{
	struct stream *s;

	if (!from->size) {
		br_disk_close(from->copy);
		call->response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
		if (call->response)
			MHD_add_response_header(call->response, MHD_HTTP_HEADER_CONTENT_TYPE, BYTES_TYPE);
		return 0;
	}
	s = malloc(sizeof(*s));
	if (!s) {
		br_disk_close(from->copy);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	*s = *from;
	return br_call_stream(call, s->size, BYTES_TYPE, stream_read, stream_free, s, err);
}

static int cat(struct br_call *call, struct br_error *err)
{
	const char *path = br_call_param(call, "path");
	struct stream s = { .api = call->api };
	struct br_board_disk *disk;
	struct br_fs_attr a = { 0 };
	struct br_board board;
	uint64_t ino;
	int r;

	if (!path || !path[0])
		return br_error_set(err, EINVAL, "parameter 'path': a file is needed");
	r = br_call_disk(call, &board, &disk, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&disk->lock);
	r = br_fs_walk_follow(disk->fs, path, &ino);
	if (r >= 0)
		r = disk->fs->ops->getattr(disk->fs, ino, &a);
	if (r >= 0)
		r = br_disk_file_keep(disk, ino, &s.file);
	br_disk_file_leave(call->api, disk);
	if (r >= 0 && !S_ISREG(a.mode))
		r = S_ISDIR(a.mode) ? -EISDIR : -EINVAL;
	if (r < 0)
		return r == -EINVAL ? br_error_set(err, EINVAL, "the path is no plain file") : br_call_path_error(err, r, path);
	s.size = a.size;
	return start_stream(call, &s, err);
}

static int export_disk(struct br_call *call, struct br_error *err)
{
	const char *form = br_call_param(call, "form");
	struct stream s = { .api = call->api };
	struct br_board_disk *disk;
	struct br_disk_usage u;
	struct br_board board;
	int r;

	if (form && strcmp(form, "pieces") != 0)
		return br_error_set(err, EINVAL, "parameter 'form': 'pieces' is the only one beside none");
	r = br_call_disk(call, &board, &disk, err);
	if (r < 0)
		return r;
	r = br_disk_view(disk->disk, &disk->lock, &s.copy, err);
	br_board_disk_unref(call->api->disks, disk);
	if (r < 0)
		return r;
	if (form)
		return br_call_send_pieces(call, s.copy, err);
	br_disk_usage(s.copy, &u);
	s.size = u.base_bytes;
	return start_stream(call, &s, err);
}

/* Of a copy: comparing may take long, and the board goes on meanwhile. */
static int diff(struct br_call *call, struct br_error *err)
{
	struct br_board_disk *disk;
	struct br_board board;
	struct br_disk *copy;
	int r = br_call_disk(call, &board, &disk, err);

	if (r < 0)
		return r;
	r = br_disk_view(disk->disk, &disk->lock, &copy, err);
	br_board_disk_unref(call->api->disks, disk);
	if (r < 0)
		return r;
	call->json = json_array();
	r = br_disk_diff(copy, br_json_add_diff, call->json, err);
	br_disk_close(copy);
	return r < 0 ? br_error_prefix(err, "disk of board %s", board.name) : 0;
}

const struct br_route br_api_disks[] = {
	{ "GET", "/v1/boards/NAME/disk", .run = usage,
		.summary = "Size and use of its disk" },
	{ "GET", "/v1/boards/NAME/disk/ls", .run = ls, .params = { "path" }, .scope = BR_SCOPE_OPERATE,
		.summary = "A directory of its disk" },
	{ "GET", "/v1/boards/NAME/disk/cat", .run = cat, .params = { "path" }, .scope = BR_SCOPE_OPERATE,
		.summary = "The bytes of a file of its disk" },
	{ "GET", "/v1/boards/NAME/disk/export", .run = export_disk, .params = { "form" }, .scope = BR_SCOPE_OPERATE,
		.summary = "Its root file system, raw" },
	{ "GET", "/v1/boards/NAME/disk/diff", .run = diff, .scope = BR_SCOPE_OPERATE,
		.summary = "What differs from the image" },
	{ 0 },
};
