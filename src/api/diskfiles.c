/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files into a board's disk: /v1/boards/NAME/disk/file, /mkdir, /symlink. The board may be running; each piece takes the
 * disk's lock for itself. A file is written under another name beside its place and then renamed, so that the board
 * sees the old or the new one; a link at the place is replaced, not followed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "plan/disks.h"
#include "store/names.h"

#define PATH_BYTES_MAX 4096
#define NAME_BYTES_MAX 255
#define TEMP_SIZE 32
#define TEMP_PREFIX ".bramble-cp-"
#define TEMP_LENGTH (sizeof(TEMP_PREFIX) - 1 + 16)
#define STALE_S	    3600  /* a temporary file that nobody wrote to for so long is nobody's */
#define SWEEP_MAX   10000 /* names of a directory */

/* Where something is to be: a directory and a name in it. */
struct place {
	uint64_t dir;
	char name[NAME_BYTES_MAX + 1];
};

/* What the request says of mode and owner; set: enum br_fs_set. */
struct wish {
	unsigned set;
	uint32_t mode, uid, gid;
	struct timespec mtime;
};

static int read_wish(const struct br_call *call, uint32_t mode, struct wish *ret, struct br_error *err)
{
	struct wish w = { .mode = mode };
	const char *text = br_call_param(call, "mode");
	uint64_t uid = 0, gid = 0, mtime = 0;
	char *end;
	int r;

	if (text) {
		w.mode = (uint32_t)strtoul(text, &end, 8);
		if (!text[0] || *end || w.mode > 07777)
			return br_error_set(err, EINVAL, "parameter 'mode': octal digits up to 7777 are needed");
		w.set |= BR_FS_SET_MODE;
	}
	r = br_call_number(call, "uid", UINT32_MAX, &uid, err);
	if (!r)
		r = br_call_number(call, "gid", UINT32_MAX, &gid, err);
	if (!r)
		r = br_call_number(call, "mtime", INT64_MAX, &mtime, err);
	if (r < 0)
		return r;
	w.uid = (uint32_t)uid;
	w.gid = (uint32_t)gid;
	w.mtime.tv_sec = (time_t)mtime;
	w.set |= (br_call_param(call, "uid") ? BR_FS_SET_UID : 0) | (br_call_param(call, "gid") ? BR_FS_SET_GID : 0) |
		 (br_call_param(call, "mtime") ? BR_FS_SET_MTIME : 0);
	*ret = w;
	return 0;
}

static bool name_ok(const char *s)
{
	size_t n = strlen(s);

	return n && n <= NAME_BYTES_MAX && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static bool is_dir(struct br_fs *fs, const char *path, uint64_t *ret)
{
	struct br_fs_attr a;

	return !br_fs_walk_follow(fs, path, ret) && !fs->ops->getattr(fs, *ret, &a) && S_ISDIR(a.mode);
}

static void temp_name(char out[static TEMP_SIZE])
{
	uint64_t random;

	br_random(&random, sizeof(random));
	snprintf(out, TEMP_SIZE, TEMP_PREFIX "%016" PRIx64, random);
}

/*
 * What a daemon that died left half: the names are ours alone, and one that is being written has a fresh time. Directories
 * that are too large to be looked through keep theirs.
 */
static void sweep_stale(struct br_fs *fs, uint64_t dir)
{
	struct br_names names = { 0 };
	struct br_fs_attr a;

	if (!br_names_read(fs, dir, SWEEP_MAX, &names))
		for (size_t i = 0; i < names.n; i++)
			if (br_str_starts(names.v[i].name, TEMP_PREFIX) && strlen(names.v[i].name) == TEMP_LENGTH &&
				!fs->ops->getattr(fs, names.v[i].ino, &a) && !S_ISDIR(a.mode) && a.mtime.tv_sec + STALE_S < time(NULL))
				(void)fs->ops->unlink(fs, dir, names.v[i].name); /* it stays then, which is no worse */
	br_names_done(&names);
}

/* in_dir (may be NULL): the name it gets when path is a directory. */
static int find_place(struct br_fs *fs, const char *path, const char *in_dir, struct place *ret)
{
	char dir[PATH_BYTES_MAX];
	size_t n = strlen(path);
	const char *slash;
	int r;

	if (path[0] != '/' || n >= sizeof(dir))
		return path[0] == '/' ? -ENAMETOOLONG : -EINVAL;
	if (in_dir && is_dir(fs, path, &ret->dir))
		return name_ok(in_dir) ? br_strcpy(ret->name, sizeof(ret->name), in_dir) : -EINVAL;
	while (n > 1 && path[n - 1] == '/')
		n--;
	memcpy(dir, path, n);
	dir[n] = 0;
	slash = strrchr(dir, '/');
	if (!name_ok(slash + 1))
		return -EISDIR;
	memcpy(ret->name, slash + 1, strlen(slash + 1) + 1);
	dir[slash - dir] = 0;
	r = br_fs_walk_follow(fs, dir, &ret->dir);
	if (!r && !is_dir(fs, dir, &ret->dir))
		r = -ENOTDIR;
	return r;
}

static int set_wish(struct br_fs *fs, uint64_t ino, const struct wish *w, unsigned which)
{
	struct br_fs_setattr a = { .set = w->set & which, .mode = w->mode, .uid = w->uid, .gid = w->gid, .mtime = w->mtime };

	return a.set ? fs->ops->setattr(fs, ino, &a) : 0;
}

/* ---- a file ---- */

struct file_sink {
	struct br_sink sink;
	struct br_api *api;
	struct br_disk_file file;
	struct place place;
	struct wish wish;
	char temp[TEMP_SIZE], *path;
	uint64_t size;
	bool made; /* there is a file with the name 'temp' */
};

static struct file_sink *of(struct br_sink *sink)
{
	return br_container_of(sink, struct file_sink, sink);
}

static int file_take(struct br_sink *sink, const char *data, size_t n, struct br_error *err)
{
	struct file_sink *f = of(sink);
	struct br_board_disk *disk;
	int r = br_disk_file_enter(f->api, &f->file, &disk);

	if (!r) {
		r = disk->fs->ops->write(disk->fs, f->file.ino, f->size, data, n);
		br_disk_file_leave(f->api, disk);
	}
	if (r < 0)
		return br_call_path_error(err, r, f->path);
	f->size += n;
	return 0;
}

/* Mode and owner come last: a write would take setuid away. */
static int file_place(struct file_sink *f, struct br_fs *fs)
{
	int r = set_wish(fs, f->file.ino, &f->wish, BR_FS_SET_UID | BR_FS_SET_GID | BR_FS_SET_MTIME);

	if (!r)
		r = set_wish(fs, f->file.ino, &f->wish, BR_FS_SET_MODE);
	if (!r)
		r = fs->ops->rename(fs, f->place.dir, f->temp, f->place.dir, f->place.name);
	if (!r)
		f->made = false;
	return r;
}

static int file_finish(struct br_sink *sink, struct br_call *call, struct br_error *err)
{
	struct file_sink *f = of(sink);
	struct br_board_disk *disk;
	int r = br_disk_file_enter(f->api, &f->file, &disk);

	if (!r) {
		r = file_place(f, disk->fs);
		pthread_mutex_unlock(&disk->lock);
		if (!r)
			r = br_fs_commit(disk->fs, &disk->lock);
		br_board_disk_unref(f->api->disks, disk);
	}
	if (r < 0)
		return br_call_path_error(err, r, f->path);
	call->json = json_pack("{s:I}", "size", (json_int_t)f->size);
	return 0;
}

static void file_free(struct br_sink *sink)
{
	struct file_sink *f = of(sink);
	struct br_board_disk *disk;

	if (f->made && !br_disk_file_enter(f->api, &f->file, &disk)) {
		(void)disk->fs->ops->unlink(disk->fs, f->place.dir, f->temp); /* else it is a file too many, with a telling name */
		br_disk_file_leave(f->api, disk);
	}
	free(f->path);
	free(f);
}

/* What a file at the place has is kept where the request says nothing. */
static int file_create(struct file_sink *f, struct br_board_disk *disk, const char *in_dir)
{
	struct br_fs *fs = disk->fs;
	struct br_fs_new new = { .mode = S_IFREG | 0600 };
	struct br_fs_attr old;
	uint64_t ino;
	int r = find_place(fs, f->path, in_dir, &f->place);

	if (r < 0)
		return r;
	r = fs->ops->lookup(fs, f->place.dir, f->place.name, &ino);
	if (!r)
		r = fs->ops->getattr(fs, ino, &old);
	if (!r && S_ISDIR(old.mode))
		return -EISDIR;
	if (!r && S_ISREG(old.mode)) {
		f->wish.mode = f->wish.set & BR_FS_SET_MODE ? f->wish.mode : old.mode & 07777;
		f->wish.uid = f->wish.set & BR_FS_SET_UID ? f->wish.uid : old.uid;
		f->wish.gid = f->wish.set & BR_FS_SET_GID ? f->wish.gid : old.gid;
	} else if (r != -ENOENT && r < 0) {
		return r;
	}
	f->wish.set |= BR_FS_SET_MODE | BR_FS_SET_UID | BR_FS_SET_GID;
	sweep_stale(fs, f->place.dir);
	temp_name(f->temp);
	r = fs->ops->create(fs, f->place.dir, f->temp, &new, &ino);
	f->made = !r;
	return r ? r : br_disk_file_keep(disk, ino, &f->file);
}

static int put_file(struct br_call *call, struct br_sink **ret, struct br_error *err)
{
	const char *path = br_call_param(call, "path");
	struct br_board_disk *disk;
	struct file_sink *f;
	struct br_board board;
	int r;

	if (!path)
		return br_error_set(err, EINVAL, "parameter 'path': a place for the file is needed");
	f = calloc(1, sizeof(*f));
	if (!f || !(f->path = strdup(path))) {
		free(f);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	f->sink = (struct br_sink){ file_take, file_finish, file_free };
	f->api = call->api;
	r = read_wish(call, 0644, &f->wish, err);
	if (!r)
		r = br_call_disk(call, &board, &disk, err);
	if (r < 0) {
		free(f->path);
		free(f);
		return r;
	}
	pthread_mutex_lock(&disk->lock);
	r = file_create(f, disk, br_call_param(call, "in_dir"));
	br_disk_file_leave(call->api, disk);
	if (r < 0) {
		br_call_path_error(err, r, path);
		file_free(&f->sink);
		return r;
	}
	*ret = &f->sink;
	return 0;
}

/* ---- directories and links ---- */

/* What is there is replaced by the link in one step, unless it is a directory. */
static int replace(struct br_fs *fs, const struct place *at, struct br_fs_new *new)
{
	char temp[TEMP_SIZE];
	struct br_fs_attr old;
	uint64_t ino;
	int r = fs->ops->lookup(fs, at->dir, at->name, &ino);

	if (r < 0)
		return r;
	r = fs->ops->getattr(fs, ino, &old);
	if (r < 0)
		return r;
	if (S_ISDIR(old.mode))
		return -EISDIR;
	temp_name(temp);
	r = fs->ops->create(fs, at->dir, temp, new, &ino);
	if (r < 0)
		return r;
	r = fs->ops->rename(fs, at->dir, temp, at->dir, at->name);
	if (r < 0)
		(void)fs->ops->unlink(fs, at->dir, temp); /* else it is a link too many, with a telling name */
	return r;
}

/* Makes 'new' at the path, or finds a directory there when one is to be made. Where a link leads to one it is taken too, but
 * stays what it is: mode and owner are of what was named. */
static int make(struct br_fs *fs, const char *path, struct br_fs_new *new, const struct wish *w)
{
	struct place at;
	uint64_t ino, own;
	int r = find_place(fs, path, NULL, &at);

	if (r == -EISDIR && S_ISDIR(new->mode)) /* the root */
		return 0;
	if (r < 0)
		return r;
	r = fs->ops->create(fs, at.dir, at.name, new, &ino);
	if (r == -EEXIST && S_ISLNK(new->mode))
		r = replace(fs, &at, new);
	else if (r == -EEXIST && S_ISDIR(new->mode) && is_dir(fs, path, &ino)) {
		r = fs->ops->lookup(fs, at.dir, at.name, &own);
		if (!r && own != ino)
			return 0;
	}
	if (!r && S_ISDIR(new->mode))
		r = set_wish(fs, ino, w, BR_FS_SET_MODE | BR_FS_SET_UID | BR_FS_SET_GID | BR_FS_SET_MTIME);
	return r;
}

static int make_at(struct br_call *call, struct br_fs_new *new, struct br_error *err)
{
	const char *path = br_call_param(call, "path");
	struct br_board_disk *disk;
	struct br_board board;
	struct wish w;
	int r;

	if (!path)
		return br_error_set(err, EINVAL, "parameter 'path' is needed");
	r = read_wish(call, new->mode & 07777, &w, err);
	if (!r)
		r = br_call_disk(call, &board, &disk, err);
	if (r < 0)
		return r;
	new->mode = (new->mode & S_IFMT) | w.mode;
	new->uid = w.uid;
	new->gid = w.gid;
	pthread_mutex_lock(&disk->lock);
	r = make(disk->fs, path, new, &w);
	pthread_mutex_unlock(&disk->lock);
	if (!r)
		r = br_fs_commit(disk->fs, &disk->lock);
	br_board_disk_unref(call->api->disks, disk);
	if (r < 0)
		return br_call_path_error(err, r, path);
	call->json = json_pack("{s:b}", "made", 1);
	return 0;
}

static int make_dir(struct br_call *call, struct br_error *err)
{
	struct br_fs_new new = { .mode = S_IFDIR | 0755 };

	return make_at(call, &new, err);
}

static int make_link(struct br_call *call, struct br_error *err)
{
	struct br_fs_new new = { .mode = S_IFLNK | 0777, .target = br_call_param(call, "target") };

	if (!new.target || !new.target[0] || strlen(new.target) >= PATH_BYTES_MAX)
		return br_error_set(err, EINVAL, "parameter 'target': 1 to %d bytes are needed", PATH_BYTES_MAX - 1);
	return make_at(call, &new, err);
}

const struct br_route br_api_disk_files[] = {
	{ "PUT", "/v1/boards/NAME/disk/file", .params = { "path", "in_dir", "mode", "uid", "gid", "mtime" }, .begin = put_file,
		.summary = "Writes a file on its disk: the body's bytes" },
	{ "POST", "/v1/boards/NAME/disk/mkdir", .run = make_dir, .params = { "path", "mode", "uid", "gid", "mtime" },
		.summary = "Makes a directory on its disk" },
	{ "POST", "/v1/boards/NAME/disk/symlink", .run = make_link, .params = { "path", "target", "uid", "gid" },
		.summary = "Makes a symbolic link on its disk" },
	{ 0 },
};
