/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relaxed disks: commits without a sync. What was acknowledged outlives the daemon, for the host's kernel has it, but not a
 * failure of the host. The file 'relaxed' in the disk's directory says so, with the boot id of the host: as long as that is
 * the same, the disk is whole; with another one, nobody knows what of it is.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "store/cow.h"
#include "store/disk_priv.h"

#define BOOT_ID	    "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX 64

static int read_words(const char *path, char **ret)
{
	int r = br_file_read(path, BOOT_ID_MAX, ret, NULL, NULL);

	if (!r)
		(*ret)[strcspn(*ret, "\n")] = 0;
	return r;
}

/* 0: not relaxed; 1: relaxed, and all of it is there; 2: lost. */
static int marker(const char *dir)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "relaxed");
	br_cleanup(br_freep) char *then = NULL, *now = NULL;
	int r = path ? read_words(path, &then) : -ENOMEM;

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0 || read_words(BOOT_ID, &now) < 0)
		return 2;
	return strcmp(then, now) ? 2 : 1;
}

static int remove_marker(const char *dir)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "relaxed");

	if (!path)
		return -ENOMEM;
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	return br_sync_dir(dir);
}

bool br_disk_lost(const char *dir)
{
	return marker(dir) == 2;
}

int disk_relaxed_check(const char *dir, struct br_error *err)
{
	if (!br_disk_lost(dir))
		return 0;
	return br_error_set(err, EUCLEAN,
		"%s: its durability was relaxed, and the host went down: what is stored of it cannot be trusted; go back to a snapshot "
		"('bramble disk rollback'), or to the image ('bramble disk reset')", dir);
}

int disk_settle(struct br_disk *disk)
{
	int r = 0;

	if (disk->relaxed || marker(disk->dir))
		r = br_cow_settle(disk->cow);
	if (!r)
		r = remove_marker(disk->dir);
	if (!r) {
		disk->relaxed = false;
		br_cow_relax(disk->cow, false);
	}
	return r;
}

int disk_forget_relaxed(const char *dir)
{
	return remove_marker(dir);
}

int br_disk_relax(struct br_disk *disk, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(disk->dir, "relaxed");
	br_cleanup(br_freep) char *id = NULL;
	int r = path ? read_words(BOOT_ID, &id) : -ENOMEM;

	if (r < 0)
		return br_error_set(err, -r, "%s: cannot read: %s", BOOT_ID, strerrordesc_np(-r));
	r = br_file_write(path, id, strlen(id), 0600, err); /* stable before the first commit that is not */
	if (r < 0)
		return r;
	disk->relaxed = true;
	br_cow_relax(disk->cow, true);
	return 0;
}
