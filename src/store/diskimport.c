/* SPDX-License-Identifier: Apache-2.0 */
/* A closed disk becomes what a raw file holds: blocks that differ are written, all others stay shared. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/progress.h"
#include "store/cow.h"
#include "store/disk_priv.h"

#define PIECE (1u << 20)

struct import {
	struct br_cow *cow;
	int fd;
	uint8_t *ours, *theirs; /* PIECE each */
	uint64_t written;
};

/* Blocks of one piece; n is a multiple of BR_COW_BLOCK. */
static int import_piece(struct import *im, uint64_t at, size_t n)
{
	int r = br_pread_all(im->fd, im->theirs, n, at);

	if (!r)
		r = br_cow_read(im->cow, at, im->ours, n);
	for (size_t o = 0; !r && o < n; o += BR_COW_BLOCK) {
		if (!memcmp(im->ours + o, im->theirs + o, BR_COW_BLOCK))
			continue;
		r = br_cow_write_data(im->cow, at + o, im->theirs + o, BR_COW_BLOCK);
		im->written += BR_COW_BLOCK;
	}
	return r;
}

static int import_all(struct import *im, uint64_t size, bool quiet)
{
	struct br_progress progress;
	uint64_t at = 0;
	int r = 0;

	br_progress_start(&progress, "comparing", size, quiet);
	while (!r && at < size) {
		size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;

		br_cow_begin(im->cow);
		r = import_piece(im, at, n);
		br_cow_end(im->cow, !r);
		at += n;
		/* what is pending is held in memory */
		if (!r && br_cow_pending_memory(im->cow) > 32u << 20)
			r = br_cow_commit(im->cow);
		br_progress_set(&progress, at);
	}
	if (!r)
		r = br_cow_commit(im->cow);
	if (r < 0)
		br_progress_stop(&progress, at);
	else
		br_progress_end(&progress, at);
	return r;
}

static int open_cow(struct br_image *image, const char *dir, struct br_cow **ret, struct br_error *err)
{
	struct disk_state s = { 0 };
	struct br_blocks *base;
	int r = disk_state_read(dir, &s, err);

	if (r < 0)
		return r;
	r = disk_base(image, &s, &base, err);
	if (!r) {
		r = disk_cow(dir, &s, base, ret, err);
		br_blocks_unref(base);
	}
	disk_state_done(&s);
	return r;
}

int br_disk_import(struct br_image *image, const char *dir, int raw_fd, bool quiet, uint64_t *ret_written, struct br_error *err)
{
	struct import im = { .fd = raw_fd, .ours = malloc(PIECE), .theirs = malloc(PIECE) };
	br_cleanup(br_closep) int lock = -1;
	uint64_t size = 0;
	struct stat st;
	int r = im.ours && im.theirs ? disk_lock(dir, &lock, err) : br_error_set(err, ENOMEM, "%s: out of memory", dir);

	if (!r)
		r = open_cow(image, dir, &im.cow, err);
	if (!r) {
		size = br_cow_size(im.cow) & ~(uint64_t)(BR_COW_BLOCK - 1);
		if (fstat(raw_fd, &st) < 0 || (uint64_t)st.st_size < size)
			r = br_error_set(err, EINVAL, "disk %s: what it is to become is smaller than it", dir);
	}
	if (!r) {
		r = import_all(&im, size, quiet);
		if (r < 0)
			br_error_set(err, -r, "disk %s: cannot take what changed: %s", dir, strerrordesc_np(-r));
	}
	if (!r)
		*ret_written = im.written;
	br_cow_close(im.cow);
	free(im.ours);
	free(im.theirs);
	return r;
}
