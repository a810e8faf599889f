/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import: one pass over the source into a sparse file in a hidden directory, hashing on the way; then what the
 * image is; then one rename. Until that rename nothing of it is visible, and a directory whose owner died is swept by
 * the next one who opens the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/state.h"
#include "base/text.h"
#include "store/inspect.h"
#include "store/partition.h"
#include "store/source.h"
#include "store/store.h"

#define PIECE (1u << 20)
#define BLOCK 4096u
#define WRITEBACK (32ull << 20)	  /* hand this much to the disk at a time, so that the final fsync is short */
#define SIZE_MAX_RAW (4ull << 40) /* the largest SD card there can be is 2 TiB; a bomb of zeros ends here */
#define MORE_PIECES 64
#define FREE_MIN (64ull << 20)	  /* left to the rest of the machine */

struct import {
	struct br_store *store;
	const struct br_import_options *opt;
	const char *file;
	struct br_source *source;
	struct br_image_info *info;
	bool taken; /* the name is: only hash, to compare */
	bool heal;  /* the image there is damaged and comes from this very file */

	char *dir, *disk; /* of the directory being made; NULL while hashing only */
	int dir_fd, disk_fd;
	uint64_t written_back, checked_free;
};

/* ---- the hidden directory ---- */

static int make_dir(struct import *im, struct br_error *err)
{
	br_cleanup(br_closep) int lock = -1;
	char *dir = br_store_path(im->store, ".import-XXXXXX");
	int r = dir ? br_store_lock(im->store, &lock, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r && !mkdtemp(dir))
		r = br_error_set(err, errno, "%s: cannot make a directory: %m", im->store->images_dir);
	if (r < 0) {
		free(dir);
		return r;
	}
	im->dir = dir;
	im->disk = br_path_join(dir, "disk.img");
	if (!im->disk)
		return br_error_set(err, ENOMEM, "out of memory");
	/* locked before the store's lock goes: no sweeper sees it free */
	im->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (im->dir_fd < 0 || flock(im->dir_fd, LOCK_EX | LOCK_NB) < 0 || fchmod(im->dir_fd, 0755) < 0)
		return br_error_set(err, errno, "%s: cannot lock: %m", dir);
	im->disk_fd = open(im->disk, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (im->disk_fd < 0)
		return br_error_set(err, errno, "%s: cannot create: %m", im->disk);
	return 0;
}

static void drop_dir(struct import *im)
{
	if (im->dir)
		(void)br_remove_tree(im->dir, NULL); /* the sweep of the next open gets what is left */
	if (im->disk_fd >= 0)
		close(im->disk_fd);
	if (im->dir_fd >= 0)
		close(im->dir_fd);
	free(im->dir);
	free(im->disk);
	im->dir = im->disk = NULL;
	im->dir_fd = im->disk_fd = -1;
}

/* ---- writing ---- */

static int no_room(struct import *im, uint64_t free_bytes, struct br_error *err)
{
	char have[24], done[24];

	return br_error_set(err, ENOSPC,
		"%s: the disk of %s is full (%s left after %s of the image); free some space, or give --state a directory on a larger disk",
		im->file, im->store->images_dir, br_format_size(have, sizeof(have), free_bytes),
		br_format_size(done, sizeof(done), im->info->allocated));
}

static int free_bytes(struct import *im, uint64_t *ret, struct br_error *err)
{
	struct statvfs vfs;

	if (statvfs(im->store->images_dir, &vfs) < 0)
		return br_error_set(err, errno, "%s: cannot tell its free space: %m", im->store->images_dir);
	*ret = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return 0;
}

/* Every so often: is there room for more, and may the machine already write what there is. */
static int watch_disk(struct import *im, struct br_error *err)
{
	uint64_t left;
	int r;

	if (im->info->allocated - im->checked_free < WRITEBACK)
		return 0;
	im->checked_free = im->info->allocated;
	r = free_bytes(im, &left, err);
	if (r < 0)
		return r;
	if (left < FREE_MIN)
		return no_room(im, left, err);
	(void)sync_file_range(im->disk_fd, (off_t)im->written_back, (off_t)(im->info->size - im->written_back),
		SYNC_FILE_RANGE_WRITE); /* a hint */
	im->written_back = im->info->size;
	return 0;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	/* compared with itself one byte on: memcmp is the fastest loop there is */
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

/* Writes the runs of blocks that hold something; the others stay holes. at is a multiple of BLOCK. */
static int write_piece(struct import *im, const uint8_t *buf, size_t len, uint64_t at, struct br_error *err)
{
	for (size_t i = 0; i < len;) {
		size_t start = i, run;
		int r;

		while (i < len && !is_zero(buf + i, len - i < BLOCK ? len - i : BLOCK))
			i += BLOCK;
		i = i < len ? i : len;
		run = i - start;
		if (!run) {
			i = start + BLOCK;
			continue;
		}
		im->info->allocated += run;
		if (im->disk_fd < 0)
			continue;
		r = br_pwrite_all(im->disk_fd, buf + start, run, at + start);
		if (r == -ENOSPC || r == -EDQUOT)
			return no_room(im, 0, err);
		if (r < 0)
			return br_error_set(err, -r, "%s: cannot write: %s", im->disk, strerror(-r));
	}
	return im->disk_fd < 0 ? 0 : watch_disk(im, err);
}

/* Fills buf from the source; short only at the end. */
static int read_piece(struct import *im, uint8_t *buf, size_t *ret_len, struct br_error *err)
{
	size_t have = 0;

	while (have < PIECE) {
		size_t n;
		int r = br_source_read(im->source, buf + have, PIECE - have, &n, err);

		if (r < 0)
			return r;
		if (!n)
			break;
		have += n;
	}
	*ret_len = have;
	return 0;
}

/*
 * After the first piece: what is no disk image at all is refused now, not after the last byte. Damage in a packed
 * file shows in the bytes before the unpacker comes to the check sum: so it may go on a little to find that.
 */
static int check_start(struct import *im, uint8_t *buf, size_t len, struct br_error *err)
{
	int r = br_partitions_check_start(buf, len, err);

	for (int i = 0; r == -ENOMEDIUM && len == PIECE && i < MORE_PIECES; i++) {
		struct br_error damage = BR_ERROR_NULL;
		int k = read_piece(im, buf, &len, &damage);

		if (k < 0) {
			if (err)
				*err = damage;
			return k;
		}
	}
	if (r < 0)
		br_error_prefix(err, "%s", im->file);
	return r;
}

static int copy(struct import *im, struct br_sha256 *hash, struct br_progress *progress, struct br_error *err)
{
	br_cleanup(br_freep) uint8_t *buf = aligned_alloc(BLOCK, PIECE);

	if (!buf)
		return br_error_set(err, ENOMEM, "%s: out of memory", im->file);
	for (;;) {
		size_t len;
		int r;

		if (im->opt->cancelled && *im->opt->cancelled)
			return br_error_set(err, ECANCELED, "%s: interrupted; nothing of it was kept", im->file);
		r = read_piece(im, buf, &len, err);
		if (!r && !im->info->size)
			r = check_start(im, buf, len, err);
		if (!r && len)
			r = write_piece(im, buf, len, im->info->size, err);
		if (r < 0)
			return r;
		br_sha256_add(hash, buf, len);
		im->info->size += len;
		if (im->info->size > SIZE_MAX_RAW)
			return br_error_set(err, EFBIG, "%s: unpacks to more than 4 TiB, which is no SD card", im->file);
		br_progress_set(progress, br_source_done(im->source));
		if (len < PIECE)
			return 0;
	}
}

static int stream(struct import *im, struct br_error *err)
{
	br_cleanup(br_freep) char *what = br_asprintf("import %s", im->info->name);
	struct br_sha256 *hash = br_sha256_new();
	struct br_progress progress;
	uint8_t digest[32];
	int r;

	if (!hash || !what) {
		br_sha256_free(hash);
		return br_error_set(err, ENOMEM, "%s: out of memory", im->file);
	}
	br_progress_start(&progress, what, (uint64_t)br_source_stat(im->source)->st_size, im->opt->quiet);
	r = copy(im, hash, &progress, err);
	if (r < 0) {
		br_progress_stop(&progress, br_source_done(im->source));
		br_sha256_free(hash);
		return r;
	}
	br_progress_end(&progress, br_source_done(im->source));
	br_sha256_end(hash, digest);
	br_hex(im->info->sha256, digest, sizeof(digest));
	if (*br_source_note(im->source))
		br_inspect_note(im->info, "the file: %s", br_source_note(im->source));
	return 0;
}

/* ---- the end ---- */

static int finish_files(struct import *im, struct br_error *err)
{
	br_cleanup(br_freep) char *json = br_path_join(im->dir, "image.json");
	int r;

	if (!json)
		return br_error_set(err, ENOMEM, "%s: out of memory", im->file);
	/* a hole at the end has not been written */
	if (ftruncate(im->disk_fd, (off_t)im->info->size) < 0)
		return br_error_set(err, errno, "%s: cannot set its size: %m", im->disk);
	r = br_inspect(im->disk_fd, im->info, err);
	if (r < 0) {
		br_error_prefix(err, "%s", im->file);
		return r;
	}
	if (fchmod(im->disk_fd, 0444) < 0 || fsync(im->disk_fd) < 0)
		return br_error_set(err, errno, "%s: cannot make it stable: %m", im->disk);
	im->info->imported_at = (int64_t)time(NULL);
	r = br_image_info_write(json, im->info, err);
	if (!r)
		r = br_state_own(im->store->state_dir, im->disk, err);
	if (!r)
		r = br_state_own(im->store->state_dir, json, err);
	if (!r)
		r = br_state_own(im->store->state_dir, im->dir, err);
	return r;
}

static int name_taken(struct import *im, const char *sha256, struct br_error *err)
{
	return br_error_set(err, EEXIST,
		"there is another image named '%s' (SHA-256 %.12s..., this one %.12s...); give --replace, or --name for another name",
		im->info->name, sha256, im->info->sha256);
}

/* Positive: the same content is there already, and info tells about it. */
static int compare(struct import *im, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *old = malloc(sizeof(*old));
	int r = old ? br_store_info(im->store, im->info->name, old, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r < 0)
		return r;
	if (strcmp(old->sha256, im->info->sha256) != 0)
		return name_taken(im, old->sha256, err);
	r = br_store_look(im->store, old, err);
	if (r < 0)
		return br_error_prefix(err, "image %s is there already, but", old->name), r;
	*im->info = *old;
	return 1;
}

static int publish(struct import *im, struct br_error *err)
{
	int r = br_store_publish(im->store, im->dir, im->info->name, im->opt->replace || im->heal, err);

	if (r == -EEXIST) /* somebody was faster */
		return compare(im, err);
	if (!r)
		free(br_take(im->dir));
	return r;
}

/* ---- the start ---- */

static int choose_name(struct import *im, struct br_error *err)
{
	const char *slash = strrchr(im->file, '/');
	const struct stat *st = br_source_stat(im->source);
	int r;

	if (im->opt->name) {
		r = br_image_name_canon(im->opt->name, im->info->name, err);
	} else {
		r = br_image_name_from_file(im->file, im->info->name, err);
	}
	br_vis(im->info->source, sizeof(im->info->source), slash ? slash + 1 : im->file,
		strlen(slash ? slash + 1 : im->file));
	im->info->source_size = (uint64_t)st->st_size;
	im->info->source_mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	return r;
}

/*
 * Is the name taken? Positive: by this very file (name, size and time are the same, as make and rsync judge), so that
 * 'bramble serve FILE' does not unpack it at each start.
 */
static int look_at_old(struct import *im, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *old = malloc(sizeof(*old));
	struct br_error why = BR_ERROR_NULL;
	int r = old ? br_store_info(im->store, im->info->name, old, &why) : br_error_set(&why, ENOMEM, "out of memory");

	if (r == -ENOENT)
		return 0;
	if (r < 0 && im->opt->replace) /* a broken one is there to be replaced */
		return 0;
	if (r < 0) {
		if (err)
			*err = why;
		return r;
	}
	if (!strcmp(old->source, im->info->source) && old->source_size == im->info->source_size &&
		old->source_mtime_ns == im->info->source_mtime_ns) {
		if (br_store_look(im->store, old, NULL) == 0) {
			*im->info = *old;
			return 1;
		}
		im->heal = true; /* what is there is damaged: the same file may take its place */
	}
	im->taken = !im->opt->replace && !im->heal;
	return 0;
}

/* What is surely too large is refused before it is begun: unpacked it takes at least about as much as packed. */
static int check_room(struct import *im, struct br_error *err)
{
	const struct stat *st = br_source_stat(im->source);
	uint64_t need = (uint64_t)st->st_blocks * 512, left;
	char n[24], l[24];
	int r = free_bytes(im, &left, err);

	if (r < 0 || need < (uint64_t)1 << 20 || left > need)
		return r;
	return br_error_set(err, ENOSPC,
		"%s: at least %s are needed and the disk of %s has %s left; free some space, or give --state a directory on a larger disk",
		im->file, br_format_size(n, sizeof(n), need), im->store->images_dir, br_format_size(l, sizeof(l), left));
}

static int run(struct import *im, struct br_error *err)
{
	int r = br_source_open(im->file, &im->source, err);

	if (!r)
		r = choose_name(im, err);
	if (!r)
		r = look_at_old(im, err);
	if (r)
		return r;
	if (!im->taken) {
		r = check_room(im, err);
		if (!r)
			r = make_dir(im, err);
	}
	if (!r)
		r = stream(im, err);
	if (r < 0)
		return r;
	if (im->taken)
		return compare(im, err);
	r = finish_files(im, err);
	return r < 0 ? r : publish(im, err);
}

int br_store_import(struct br_store *store, const char *file, const struct br_import_options *opt,
	struct br_image_info *ret, struct br_error *err)
{
	struct import im = { .store = store, .opt = opt, .file = file, .dir_fd = -1, .disk_fd = -1 };
	int r;

	im.info = calloc(1, sizeof(*im.info));
	r = im.info ? run(&im, err) : br_error_set(err, ENOMEM, "%s: out of memory", file);
	if (r >= 0 && ret)
		*ret = *im.info;
	drop_dir(&im);
	br_source_close(im.source);
	free(im.info);
	return r;
}
