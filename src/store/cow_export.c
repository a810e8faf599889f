/* SPDX-License-Identifier: Apache-2.0 */
/* A sparse copy of a base with its layer. */
#include "store/cow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/progress.h"

static int copy_range(struct br_cow *cow, int fd, uint64_t at, uint64_t end, uint8_t *buf, size_t size)
{
	static const uint8_t zeros[BR_COW_BLOCK];

	while (at < end) {
		size_t n = end - at < size ? (size_t)(end - at) : size;
		int r = br_cow_read(cow, at, buf, n);

		for (size_t o = 0; r == 0 && o < n; o += BR_COW_BLOCK) {
			size_t k = n - o < BR_COW_BLOCK ? n - o : BR_COW_BLOCK;

			if (memcmp(buf + o, zeros, k) != 0)
				r = br_pwrite_all(fd, buf + o, k, at + o);
		}
		if (r < 0)
			return r;
		at += n;
	}
	return 0;
}

int br_cow_export(struct br_cow *cow, const char *path, bool quiet, struct br_error *err)
{
	enum { PIECE = 1 << 20 };
	br_cleanup(br_freep) uint8_t *buf = malloc(PIECE);
	br_cleanup(br_closep) int fd = -1;
	struct br_progress progress;
	uint64_t start, end = 0, size = br_cow_size(cow);
	int r = 0;

	if (!buf)
		return br_error_set(err, ENOMEM, "%s: out of memory", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return br_error_set(err, errno, "%s: %s%s", path, strerrordesc_np(errno),
			errno == EEXIST ? "; remove it or give another name" : "");
	if (ftruncate(fd, (off_t)size) < 0)
		r = -errno;
	br_progress_start(&progress, "exporting", size, quiet);
	while (r == 0 && br_cow_next_data(cow, end, &start, &end)) {
		r = copy_range(cow, fd, start, end, buf, PIECE);
		br_progress_set(&progress, end);
	}
	if (r == 0)
		br_progress_end(&progress, size);
	else
		br_progress_stop(&progress, end);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0) {
		unlink(path);
		return br_error_set(err, -r, "%s: %s%s", path, strerrordesc_np(-r),
			r == -ENOSPC ? "; free some space or write elsewhere" : "");
	}
	return 0;
}
