/* SPDX-License-Identifier: Apache-2.0 */
/* Is an image's disk.img still what was taken into the store? */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/text.h"
#include "store/store.h"

#define PIECE (1u << 20)
/* image.json is written after disk.img; host clocks and file systems may be coarse. */
#define SLACK_S 2

static int stat_of(struct br_store *store, const char *name, const char *file, struct stat *ret, char **ret_path, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_store_path(store, name), *path = dir ? br_path_join(dir, file) : NULL;

	if (!path)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	if (lstat(path, ret) < 0)
		return br_error_set(err, errno, "image %s: %s: %m; remove the image and add it again", name, path);
	if (ret_path)
		*ret_path = br_take(path);
	return 0;
}

int br_store_look(struct br_store *store, const struct br_image_info *info, struct br_error *err)
{
	struct stat disk, json;
	int r = stat_of(store, info->name, "disk.img", &disk, NULL, err);

	if (r == 0)
		r = stat_of(store, info->name, "image.json", &json, NULL, err);
	if (r < 0)
		return r;
	if (!S_ISREG(disk.st_mode) || (uint64_t)disk.st_size != info->size)
		return br_error_set(err, EBADMSG,
			"its disk.img has %lld bytes and should have %" PRIu64 ": somebody changed it; remove the image and add it again",
			(long long)disk.st_size, info->size);
	if (disk.st_mtim.tv_sec > json.st_mtim.tv_sec + SLACK_S)
		return br_error_set(err, EBADMSG,
			"its disk.img was written to after it was taken in; 'bramble image check %s' reads all of it", info->name);
	return 0;
}

static int read_all(int fd, uint64_t size, struct br_progress *p, const bool *cancelled, struct br_sha256 *h)
{
	br_cleanup(br_freep) uint8_t *buf = malloc(PIECE);

	if (!buf)
		return -ENOMEM;
	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
		ssize_t k = pread(fd, buf, n, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? br_error_negative(-errno) : -EIO;
		if (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED))
			return -ECANCELED;
		br_sha256_add(h, buf, (size_t)k);
		at += (uint64_t)k;
		br_progress_set(p, at);
	}
	return 0;
}

/* The id of the file's content. */
static int sum(const char *path, const struct br_image_info *info, bool quiet, const bool *cancelled, char ret[static BR_SHA256_HEX],
	struct br_error *err)
{
	br_cleanup(br_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct br_sha256 *h = br_sha256_new();
	struct br_progress p;
	uint8_t out[32];
	int r;

	if (fd < 0 || !h) {
		r = br_error_set(err, h ? errno : ENOMEM, "image %s: %s cannot be read: %m", info->name, path);
		br_sha256_free(h);
		return r;
	}
	br_progress_start(&p, info->name, info->size, quiet);
	r = read_all(fd, info->size, &p, cancelled, h);
	if (r < 0) {
		br_progress_stop(&p, 0);
		br_sha256_free(h);
		return br_error_set(err, -r, "image %s: %s cannot be read: %s", info->name, path, strerrordesc_np(-r));
	}
	br_progress_end(&p, info->size);
	br_sha256_end(h, out);
	for (size_t i = 0; i < sizeof(out); i++)
		snprintf(ret + 2 * i, 3, "%02x", out[i]);
	return 0;
}

int br_store_check(struct br_store *store, const char *name, bool quiet, const bool *cancelled, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	br_cleanup(br_freep) char *path = NULL, *json = NULL;
	char have[BR_SHA256_HEX];
	const char *want;
	struct stat st;
	int r = info ? br_store_info(store, name, info, err) : br_error_set(err, ENOMEM, "image %s: out of memory", name);

	if (r == 0)
		r = stat_of(store, info->name, "disk.img", &st, &path, err);
	if (r == 0)
		r = stat_of(store, info->name, "image.json", &st, &json, err);
	if (r < 0)
		return r;
	assert(path && json);
	if (br_store_look(store, info, err) < 0 && stat(path, &st) == 0 && (uint64_t)st.st_size != info->size)
		return br_error_prefix(err, "image %s", info->name), -EBADMSG;
	r = sum(path, info, quiet, cancelled, have, err);
	if (r < 0)
		return r;
	want = info->base[0] ? info->base : info->sha256;
	if (strcmp(have, want) != 0)
		return br_error_set(err, EBADMSG,
			"image %s: its disk.img is not what was taken in (SHA-256 %.12s... instead of %.12s...); remove the image and add it again",
			info->name, have, want);
	(void)utimensat(AT_FDCWD, json, NULL, AT_SYMLINK_NOFOLLOW); /* so that the list has nothing to say against it */
	*err = BR_ERROR_NULL;
	return 0;
}
