/* SPDX-License-Identifier: Apache-2.0 */
/* A second directory that holds what a disk holds, for a backup. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/cow.h"
#include "store/disk_priv.h"

#define PENDING_MAX (32u << 20)

/* The disk's words about itself, when they are still those of the view: not after a freeze between the two. */
static int state_of_view(struct br_disk *disk, pthread_mutex_t *lock, const struct br_disk *view, struct disk_state *ret)
{
	const struct disk_state *s = &disk->state;
	int r = 0;

	pthread_mutex_lock(lock);
	if (br_cow_base(disk->cow) != br_cow_base(view->cow)) {
		r = -EAGAIN;
	} else {
		*ret = *s;
		ret->n_snapshots = 0;
		ret->snapshots = s->n_snapshots ? calloc(s->n_snapshots, sizeof(*s->snapshots)) : NULL;
		if (ret->snapshots) {
			memcpy(ret->snapshots, s->snapshots, s->n_snapshots * sizeof(*s->snapshots));
			ret->n_snapshots = s->n_snapshots;
		} else if (s->n_snapshots) {
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(lock);
	br_hex(ret->layer, ret->uuid, 16); /* its layer's files lie in the directory itself */
	return r;
}

static int copy_blocks(struct br_cow *from, struct br_cow *to)
{
	uint64_t n = br_cow_size(from) / BR_COW_BLOCK;
	uint8_t block[BR_COW_BLOCK];
	int r = 0;

	for (uint64_t b = 0; b < n && r >= 0; b++) {
		if (!br_cow_changed(from, b))
			continue;
		r = br_cow_read(from, b * BR_COW_BLOCK, block, sizeof(block));
		br_cow_begin(to);
		if (r >= 0)
			r = br_cow_write_data(to, b * BR_COW_BLOCK, block, sizeof(block));
		br_cow_end(to, r >= 0);
		if (r >= 0 && b % (PENDING_MAX / BR_COW_BLOCK) == 0)
			r = br_cow_commit(to);
	}
	return r < 0 ? r : br_cow_commit(to);
}

static int copy_view(struct br_disk *view, const struct disk_state *s, const char *dir, struct br_error *err)
{
	struct br_cow *to = NULL;
	int r = br_mkdir_all(dir, 0700, err);

	if (r >= 0)
		r = br_cow_open_on(br_cow_base(view->cow), br_cow_size(view->cow), dir, s->uuid, NULL, &to, err);
	if (r < 0)
		return r;
	r = copy_blocks(view->cow, to);
	br_cow_close(to);
	if (r < 0)
		return br_error_set(err, -r, "%s: cannot be written: %s", dir, strerrordesc_np(-r));
	return disk_state_write(dir, s, err);
}

int br_disk_copy(struct br_disk *disk, pthread_mutex_t *lock, const char *dir, struct br_error *err)
{
	int r = -EAGAIN;

	for (unsigned i = 0; r == -EAGAIN && i < 10; i++) {
		struct disk_state s = { 0 };
		struct br_disk *view;

		r = br_disk_view(disk, lock, &view, err);
		if (r < 0)
			return r;
		r = state_of_view(disk, lock, view, &s);
		if (!r)
			r = copy_view(view, &s, dir, err);
		br_disk_close(view);
		disk_state_done(&s);
	}
	return r == -EAGAIN ? br_error_set(err, EBUSY, "disk %s: is frozen again and again", disk->dir) : r;
}

static int copy_file(const char *from_dir, const char *to_dir, const char *name, struct br_error *err)
{
	br_cleanup(br_freep) char *from = br_path_join(from_dir, name), *to = br_path_join(to_dir, name);
	br_cleanup(br_closep) int in = -1, out = -1;
	off_t at = 0, end;

	if (!from || !to)
		return br_error_set(err, ENOMEM, "out of memory");
	in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	end = in < 0 ? -1 : lseek(in, 0, SEEK_END);
	if (in < 0 || out < 0 || end < 0 || ftruncate(out, end) < 0)
		return br_error_set(err, errno, "%s: %s", in < 0 ? from : to, strerrordesc_np(errno));
	while ((at = lseek(in, at, SEEK_DATA)) >= 0) { /* its holes stay holes */
		off_t stop = lseek(in, at, SEEK_HOLE);

		while (at < stop) {
			ssize_t n = copy_file_range(in, &at, out, &(off_t){ at }, (size_t)(stop - at), 0);

			if (n <= 0)
				return br_error_set(err, n < 0 ? errno : EIO, "%s: cannot be copied: %s", from, strerrordesc_np(n < 0 ? errno : EIO));
		}
	}
	return errno == ENXIO ? 0 : br_error_set(err, errno, "%s: %s", from, strerrordesc_np(errno));
}

int br_disk_copy_closed(const char *from, const char *dir, struct br_error *err)
{
	br_cleanup(br_freep) char *own = NULL, *to = NULL;
	br_cleanup(br_closep) int lock = -1;
	struct disk_state s = { 0 };
	int r = disk_lock(from, &lock, err);

	if (r >= 0)
		r = disk_relaxed_check(from, err);
	if (r >= 0)
		r = disk_state_read(from, &s, err);
	if (r < 0)
		return r;
	own = disk_layer_dir(from, &s);
	to = disk_layer_dir(dir, &s);
	r = own && to ? br_mkdir_all(to, 0700, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r >= 0)
		r = copy_file(own, to, "slots", err);
	if (r >= 0)
		r = copy_file(own, to, "map", err);
	if (r >= 0)
		r = disk_state_write(dir, &s, err);
	disk_state_done(&s);
	return r;
}
