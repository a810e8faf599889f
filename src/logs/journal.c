/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: lines between br_logs_put() and their segment. */
#include "logs/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"

#define MAGIC 0x4a4c5242u /* "BRLJ" */
#define FILE_MAX (64u << 20) /* what lies behind is not read */
#define FULL (32u << 20) /* nothing is added to it */

struct br_logs_journal {
	int fd[2];
	unsigned use; /* which one is written to */
	atomic_uint_least64_t size[2]; /* up to the end of the last whole slice */
	char *path;   /* for words */
};

static int fail(const struct br_logs_journal *j, int r, struct br_error *err)
{
	return br_error_set(err, -r, "log journal %s: %s", j->path, strerrordesc_np(-r));
}

int br_logs_journal_open(const char *dir, struct br_logs_journal **ret, struct br_error *err)
{
	struct br_logs_journal *j = calloc(1, sizeof(*j));
	struct stat st;
	int r = 0;

	if (!j)
		return br_error_set(err, ENOMEM, "out of memory");
	j->fd[0] = j->fd[1] = -1;
	j->path = br_path_join(dir, "journal");
	for (unsigned i = 0; j->path && i < 2 && r == 0; i++) {
		char path[4096];

		if ((size_t)snprintf(path, sizeof(path), "%s.%u", j->path, i) >= sizeof(path))
			r = -ENAMETOOLONG;
		else
			j->fd[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
		if (r == 0 && (j->fd[i] < 0 || fstat(j->fd[i], &st) < 0))
			r = -errno;
		else if (r == 0)
			atomic_store(&j->size[i], (uint64_t)st.st_size);
	}
	if (!j->path)
		r = br_error_set(err, ENOMEM, "out of memory");
	else if (r < 0)
		r = fail(j, r, err);
	if (r < 0) {
		br_logs_journal_close(j);
		return r;
	}
	*ret = j;
	return 0;
}

void br_logs_journal_close(struct br_logs_journal *j)
{
	if (!j)
		return;
	for (unsigned i = 0; i < 2; i++)
		if (j->fd[i] >= 0)
			close(j->fd[i]);
	free(j->path);
	free(j);
}

uint64_t br_logs_journal_bytes(const struct br_logs_journal *j)
{
	return atomic_load(&j->size[0]) + atomic_load(&j->size[1]);
}

/* ---- reading ---- */

int br_logs_slice_read(const uint8_t *bytes, size_t n, struct br_logs_block **ret)
{
	struct br_logs_block *b;
	uint32_t n_lines, n_meta, n_text;
	size_t size;

	if (n < BR_LOGS_SLICE_HEADER || br_load_le32(bytes) != MAGIC)
		return -EBADMSG;
	n_lines = br_load_le32(bytes + 24);
	n_meta = br_load_le32(bytes + 28);
	n_text = br_load_le32(bytes + 32);
	if (!n_lines || n_lines > n_meta || n_meta > BR_LOGS_BLOCK_MAX || n_text > BR_LOGS_BLOCK_MAX)
		return -EBADMSG;
	size = BR_LOGS_SLICE_HEADER + (size_t)n_meta + n_text;
	if (size > n || br_crc32c(0, bytes + 8, size - 8) != br_load_le32(bytes + 4))
		return -EBADMSG;
	b = br_logs_block_new(br_load_le64(bytes + 8), br_load_le64(bytes + 16));
	if (!b)
		return -ENOMEM;
	b->meta = malloc((size_t)n_meta + n_text + 1);
	if (!b->meta) {
		br_logs_block_unref(b);
		return -ENOMEM;
	}
	memcpy(b->meta, bytes + BR_LOGS_SLICE_HEADER, (size_t)n_meta + n_text);
	b->text = b->meta + n_meta;
	b->head.n = n_lines;
	b->head.n_meta = n_meta;
	b->head.n_text = n_text;
	*ret = b;
	return (int)size;
}

struct slices {
	struct br_logs_block **v;
	size_t n, cap;
};

/* Up to what is no slice, the torn end; new slices go there. */
static int read_file(const uint8_t *data, size_t n, struct slices *ret, uint64_t *ret_end)
{
	size_t at = 0;

	for (;;) {
		struct br_logs_block *b = NULL;
		int size = br_logs_slice_read(data + at, n - at, &b);

		if (size == -EBADMSG)
			break;
		if (size < 0)
			return size;
		if (br_array_reserve(&ret->v, &ret->cap, ret->n + 1, sizeof(void *)) < 0) {
			br_logs_block_unref(b);
			return -ENOMEM;
		}
		ret->v[ret->n++] = b;
		at += (size_t)size;
	}
	*ret_end = at;
	return 0;
}

static int load(int fd, uint64_t size, struct slices *ret, uint64_t *ret_end)
{
	br_cleanup(br_freep) uint8_t *data = NULL;
	int r;

	if (size > FILE_MAX)
		size = FILE_MAX;
	data = malloc(size + 1);
	if (!data)
		return -ENOMEM;
	r = br_pread_all(fd, data, size, 0);
	return r < 0 ? r : read_file(data, size, ret, ret_end);
}

static int by_number(const void *a, const void *b)
{
	const struct br_logs_block *x = *(struct br_logs_block *const *)a, *y = *(struct br_logs_block *const *)b;

	return x->head.first_seq < y->head.first_seq ? -1 : x->head.first_seq > y->head.first_seq;
}

static int give_slice(const struct br_logs_block *b, uint64_t *after,
	int (*fn)(void *ctx, const struct br_logs_line *line), void *ctx)
{
	struct br_logs_cursor c = br_logs_cursor_of(b);
	struct br_logs_line line;
	int r = 0;

	while (r == 0 && br_logs_cursor_next(&c, &line)) {
		if (line.seq <= *after)
			continue;
		r = fn(ctx, &line);
		*after = line.seq;
	}
	return r;
}

int br_logs_journal_read(struct br_logs_journal *j, uint64_t after,
	int (*fn)(void *ctx, const struct br_logs_line *line), void *ctx, struct br_error *err)
{
	struct slices slices = { 0 };
	int r = 0;

	for (unsigned i = 0; i < 2 && r == 0; i++) {
		uint64_t end = 0;

		r = load(j->fd[i], atomic_load(&j->size[i]), &slices, &end);
		if (r == 0)
			atomic_store(&j->size[i], end);
	}
	if (slices.n)
		qsort(slices.v, slices.n, sizeof(void *), by_number);
	for (size_t i = 0; i < slices.n; i++) {
		if (r == 0)
			r = give_slice(slices.v[i], &after, fn, ctx);
		br_logs_block_unref(slices.v[i]);
	}
	free(slices.v);
	return r < 0 ? fail(j, r, err) : 0;
}

/* ---- writing ---- */

static int write_slice(struct br_logs_journal *j, unsigned file, const struct br_logs_block *b)
{
	uint64_t at = atomic_load(&j->size[file]);
	size_t n = BR_LOGS_SLICE_HEADER + (size_t)b->head.n_meta + b->head.n_text;
	br_cleanup(br_freep) uint8_t *bytes = malloc(n);
	int r;

	if (!bytes)
		return -ENOMEM;
	memset(bytes, 0, BR_LOGS_SLICE_HEADER);
	br_store_le32(bytes, MAGIC);
	br_store_le64(bytes + 8, b->head.first_seq);
	br_store_le64(bytes + 16, b->head.base_us);
	br_store_le32(bytes + 24, b->head.n);
	br_store_le32(bytes + 28, b->head.n_meta);
	br_store_le32(bytes + 32, b->head.n_text);
	memcpy(bytes + BR_LOGS_SLICE_HEADER, b->meta, b->head.n_meta);
	if (b->head.n_text)
		memcpy(bytes + BR_LOGS_SLICE_HEADER + b->head.n_meta, b->text, b->head.n_text);
	br_store_le32(bytes + 4, br_crc32c(0, bytes + 8, n - 8));
	r = br_pwrite_all(j->fd[file], bytes, n, at);
	if (r == 0)
		atomic_store(&j->size[file], at + n);
	return r;
}

bool br_logs_journal_full(const struct br_logs_journal *j)
{
	return atomic_load(&j->size[j->use]) >= FULL;
}

int br_logs_journal_add(struct br_logs_journal *j, const struct br_logs_block *slice, struct br_error *err)
{
	int r = br_logs_journal_full(j) ? -EFBIG : write_slice(j, j->use, slice);

	return r < 0 ? fail(j, r, err) : 0;
}

int br_logs_journal_sync(struct br_logs_journal *j, struct br_error *err)
{
	return fdatasync(j->fd[j->use]) < 0 ? fail(j, -errno, err) : 0;
}

int br_logs_journal_turn(struct br_logs_journal *j, const struct br_logs_block *slice, struct br_error *err)
{
	unsigned other = !j->use;
	int r = 0;

	/* what a turn that failed left there is older than what lies in the one in use */
	if (ftruncate(j->fd[other], 0) < 0)
		return fail(j, -errno, err);
	atomic_store(&j->size[other], 0);
	if (slice && slice->head.n)
		r = write_slice(j, other, slice);
	if (r == 0 && slice && slice->head.n && fdatasync(j->fd[other]) < 0)
		r = -errno;
	if (r == 0 && ftruncate(j->fd[j->use], 0) < 0)
		r = -errno;
	if (r < 0)
		return fail(j, r, err);
	atomic_store(&j->size[j->use], 0);
	j->use = other;
	return 0;
}
