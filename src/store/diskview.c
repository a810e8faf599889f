/* SPDX-License-Identifier: Apache-2.0 */
/* A disk as it was at one moment, to be read while its board goes on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/cow.h"
#include "store/disk_priv.h"
#include "store/extfs.h"

/* Once a commit has begun, all that was done is in the layer's map; its sync is waited for without the lock. */
static int take(struct br_disk *disk, pthread_mutex_t *lock, struct br_cow **ret)
{
	struct br_fs *fs = disk->fs;
	struct br_cow *cow = NULL;
	uint64_t ticket;
	int begun, r;

	pthread_mutex_lock(lock);
	begun = fs->ops->commit_begin(fs, &ticket);
	r = begun < 0 ? begun : br_cow_snapshot(disk->cow, &cow);
	pthread_mutex_unlock(lock);
	if (begun > 0) {
		int s = fs->ops->commit_sync(fs, ticket);

		pthread_mutex_lock(lock);
		s = fs->ops->commit_end(fs, ticket, s);
		pthread_mutex_unlock(lock);
		r = r < 0 ? r : s;
	}
	if (r < 0)
		br_cow_close(cow);
	else
		*ret = cow;
	return r;
}

int br_disk_view(struct br_disk *disk, pthread_mutex_t *lock, struct br_disk **ret, struct br_error *err)
{
	struct br_disk *view = calloc(1, sizeof(*view));
	int r;

	if (!view || !(view->dir = strdup(disk->dir))) {
		free(view);
		return br_error_set(err, ENOMEM, "%s: out of memory", disk->dir);
	}
	view->lock_fd = -1;
	view->image = br_image_ref(disk->image);
	memcpy(view->state.uuid, disk->state.uuid, sizeof(view->state.uuid));
	r = take(disk, lock, &view->cow);
	if (r < 0)
		br_error_set(err, -r, "the disk's changes cannot be made stable: %s", strerrordesc_np(-r));
	else
		r = br_extfs_open(view->cow, false, &view->fs, err);
	if (r < 0) {
		disk_free(view);
		return br_error_prefix(err, "disk %s", disk->dir);
	}
	*ret = view;
	return 0;
}
