/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a disk's layer, so that it can be read at leisure while its board goes on writing. */
#include "store/diskclone.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "store/disk_priv.h"

/* One range that holds data. */
static int copy_range(int from, int to, off_t at, off_t end)
{
	char buf[65536];
	bool by_kernel = true;

	while (at < end) {
		size_t n = (size_t)(end - at);
		off_t in = at, out = at;
		ssize_t k = by_kernel ? copy_file_range(from, &in, to, &out, n, 0) : 0;

		if (k <= 0) {
			/* not between these file systems: by hand */
			by_kernel = false;
			k = pread(from, buf, n < sizeof(buf) ? n : sizeof(buf), at);
			if (k <= 0)
				return k < 0 ? -errno : -EIO;
			int r = br_pwrite_all(to, buf, (size_t)k, (uint64_t)at);
			if (r < 0)
				return r;
		}
		at += k;
	}
	return 0;
}

static int copy_sparse(int from, int to)
{
	struct stat st;
	off_t at = 0;

	if (!ioctl(to, FICLONE, from))
		return 0;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return -errno;
	for (;;) {
		off_t start = lseek(from, at, SEEK_DATA), end;
		int r;

		if (start < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(from, start, SEEK_HOLE);
		if (end < 0)
			return -errno;
		r = copy_range(from, to, start, end);
		if (r < 0)
			return r;
		at = end;
	}
}

static int copy_file(const char *from_dir, const char *to_dir, const char *name, struct br_error *err)
{
	br_cleanup(br_freep) char *from_path = br_path_join(from_dir, name);
	br_cleanup(br_freep) char *to_path = br_path_join(to_dir, name);
	br_cleanup(br_closep) int from = -1;
	br_cleanup(br_closep) int to = -1;
	int r;

	if (!from_path || !to_path)
		return br_error_set(err, ENOMEM, "out of memory");
	from = open(from_path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return br_error_set(err, errno, "disk %s: %s: %s", from_dir, name, strerrordesc_np(errno));
	to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return br_error_set(err, errno, "disk %s: %s: %s", to_dir, name, strerrordesc_np(errno));
	r = copy_sparse(from, to);
	if (r < 0)
		return br_error_set(err, -r, "disk %s: cannot copy its %s: %s", from_dir, name, strerrordesc_np(-r));
	return 0;
}

/* In one step: half a disk.json would keep br_store_gc() from everything. */
static int copy_state(const char *from_dir, const char *to_dir, struct br_error *err)
{
	br_cleanup(br_freep) char *from = br_path_join(from_dir, "disk.json");
	br_cleanup(br_freep) char *to = br_path_join(to_dir, "disk.json");
	br_cleanup(br_freep) char *text = NULL;
	size_t len;
	int r;

	if (!from || !to)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_file_read(from, DISK_JSON_MAX, &text, &len, err);
	return r < 0 ? r : br_file_write(to, text, len, 0600, err);
}

int br_disk_clone_files(const char *from_dir, const char *to_dir, struct br_error *err)
{
	static const char *const names[] = { "slots", "map" };
	struct disk_state s = { 0 };
	br_cleanup(br_freep) char *from = NULL, *to = NULL;
	int r = disk_state_read(from_dir, &s, err);

	if (r < 0)
		return r;
	from = disk_layer_dir(from_dir, &s);
	to = disk_layer_dir(to_dir, &s);
	disk_state_done(&s);
	r = from && to ? br_mkdir_all(to, 0700, err) : br_error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < BR_ARRAY_SIZE(names) && r >= 0; i++)
		r = copy_file(from, to, names[i], err);
	/* last: it is what makes a disk of a directory */
	return r < 0 ? r : copy_state(from_dir, to_dir, err);
}
