/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flat map: a value per block, 0: as the base, otherwise a place in the slot files, which are numbered through as
 * if they were one behind the other. Leaves of 512 values; a source shares with the one below it the leaves that its
 * own layer does not touch.
 */
#include "store/blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mapping.h"
#include "store/cow_priv.h"

struct slot_file {
	int fd;
	struct br_mapping *mapping; /* or NULL */
	uint32_t first; /* value of its slot 0 */
	dev_t dev;
	ino_t ino;
};

struct br_blocks {
	atomic_uint refs;
	struct br_blocks *below; /* has the leaves and files that are not ours */
	int base_fd;
	struct br_mapping *mapping; /* of the base file, or NULL */
	uint64_t start, base_size, size;
	dev_t dev;
	ino_t ino;
	uint32_t n_leaves;
	uint32_t **leaves; /* NULL: no layers */
	uint64_t *own;	   /* bit per leaf: allocated by this source */
	struct slot_file *files; /* all, those of 'below' first; the last one is ours */
	unsigned n_files;
};

static uint32_t leaves_for(uint64_t size)
{
	uint64_t n_blocks = (size + BR_COW_BLOCK - 1) / BR_COW_BLOCK;

	return (uint32_t)(n_blocks / COW_LEAF + 1);
}

int br_blocks_new(int fd, uint64_t start, uint64_t size, struct br_blocks **ret, struct br_error *err)
{
	struct br_blocks *b;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return br_error_set(err, errno, "cannot look at the image's file: %m");
	b = calloc(1, sizeof(*b));
	if (!b)
		return br_error_set(err, ENOMEM, "out of memory");
	b->refs = 1;
	b->base_fd = fd;
	b->mapping = br_mapping_of(fd);
	b->start = start;
	b->size = b->base_size = size;
	b->dev = st.st_dev;
	b->ino = st.st_ino;
	*ret = b;
	return 0;
}

struct br_blocks *br_blocks_ref(struct br_blocks *b)
{
	b->refs++;
	return b;
}

static bool owns(const struct br_blocks *b, uint32_t leaf)
{
	return b->own[leaf / 64] >> leaf % 64 & 1;
}

void br_blocks_unref(struct br_blocks *b)
{
	while (b && !--b->refs) {
		struct br_blocks *below = b->below;

		for (uint32_t i = 0; b->leaves && b->own && i < b->n_leaves; i++)
			if (owns(b, i))
				free(b->leaves[i]);
		if (below && b->n_files > below->n_files) {
			close(b->files[b->n_files - 1].fd);
			br_mapping_unref(b->files[b->n_files - 1].mapping);
		}
		br_mapping_unref(b->mapping);
		free(b->leaves);
		free(b->own);
		free(b->files);
		free(b);
		b = below;
	}
}

uint64_t br_blocks_size(const struct br_blocks *b)
{
	return b->size;
}

unsigned br_blocks_depth(const struct br_blocks *b)
{
	return b->n_files;
}

/* ---- a layer more ---- */

static int add_file(struct br_blocks *b, const char *dir, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "slots");
	const struct br_blocks *below = b->below;
	struct slot_file *f;
	struct stat st;
	uint64_t first = 1;

	b->files = calloc(below->n_files + 1, sizeof(*b->files));
	if (!path || !b->files)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	if (below->n_files)
		memcpy(b->files, below->files, below->n_files * sizeof(*b->files));
	if (below->n_files) {
		const struct slot_file *last = &below->files[below->n_files - 1];

		if (fstat(last->fd, &st) < 0)
			return br_error_set(err, errno, "%s: %m", dir);
		first = last->first + (uint64_t)st.st_size / BR_COW_BLOCK;
	}
	f = &b->files[below->n_files];
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd < 0)
		return br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
	b->n_files = below->n_files + 1; /* from here on unref closes it */
	if (fstat(f->fd, &st) < 0)
		return br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
	if (first + (uint64_t)st.st_size / BR_COW_BLOCK > COW_SLOTS_MAX)
		return br_error_set(err, EFBIG, "%s: its layers together hold more than 16 TiB", dir);
	f->first = (uint32_t)first;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->mapping = br_mapping_of(f->fd);
	return 0;
}

/* The leaf as one of our own, to be changed. */
static uint32_t *own_leaf(struct br_blocks *b, uint32_t i)
{
	uint32_t *leaf;

	if (owns(b, i))
		return b->leaves[i];
	leaf = calloc(COW_LEAF, sizeof(*leaf));
	if (!leaf)
		return NULL;
	if (b->leaves[i])
		memcpy(leaf, b->leaves[i], COW_LEAF * sizeof(*leaf));
	b->leaves[i] = leaf;
	b->own[i / 64] |= 1ull << i % 64;
	return leaf;
}

static int merge(struct br_blocks *b, const struct br_cow *layer)
{
	uint32_t first = b->files[b->n_files - 1].first;

	for (uint32_t i = 0; i < b->n_leaves; i++) {
		uint32_t *leaf;

		if (!layer->leaves[i])
			continue;
		leaf = own_leaf(b, i);
		if (!leaf)
			return -ENOMEM;
		for (uint32_t k = 0; k < COW_LEAF; k++)
			if (layer->leaves[i][k])
				leaf[k] = first + layer->leaves[i][k] - 1;
	}
	return 0;
}

static int over(struct br_blocks *b, const char *dir, const uint8_t uuid[16], struct br_error *err)
{
	const struct br_blocks *below = b->below;
	struct br_cow *layer;
	int r;

	b->n_leaves = leaves_for(b->size);
	b->leaves = calloc(b->n_leaves, sizeof(*b->leaves));
	b->own = calloc(b->n_leaves / 64 + 1, sizeof(*b->own));
	if (!b->leaves || !b->own)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	if (below->leaves)
		memcpy(b->leaves, below->leaves, below->n_leaves * sizeof(*b->leaves));
	r = cow_open_frozen(dir, uuid, b->size, &layer, err);
	if (r < 0)
		return r;
	r = add_file(b, dir, err);
	if (r == 0 && merge(b, layer) < 0)
		r = br_error_set(err, ENOMEM, "%s: out of memory", dir);
	br_cow_close(layer);
	return r;
}

int br_blocks_over(struct br_blocks *below, const char *dir, const uint8_t uuid[16], uint64_t size,
	struct br_blocks **ret, struct br_error *err)
{
	struct br_blocks *b;
	int r;

	if (size < below->size)
		return br_error_set(err, ESTALE, "%s: is smaller than what it lies on", dir);
	if (below->n_files >= BR_BLOCKS_LAYERS_MAX)
		return br_error_set(err, E2BIG,
			"%s: more than %d layers lie one on the other; export the disk and add that as an image of its own",
			dir, BR_BLOCKS_LAYERS_MAX);
	b = calloc(1, sizeof(*b));
	if (!b)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	*b = (struct br_blocks){ .refs = 1, .below = br_blocks_ref(below), .base_fd = below->base_fd,
		.start = below->start, .base_size = below->base_size, .size = size, .dev = below->dev, .ino = below->ino,
		.n_files = below->n_files, .mapping = below->mapping ? br_mapping_ref(below->mapping) : NULL };
	r = over(b, dir, uuid, err);
	if (r < 0) {
		br_blocks_unref(b);
		return r;
	}
	*ret = b;
	return 0;
}

/* ---- reading ---- */

static uint32_t value_of(const struct br_blocks *b, uint64_t block)
{
	const uint32_t *leaf = b->leaves ? b->leaves[block / COW_LEAF] : NULL;

	return leaf ? leaf[block % COW_LEAF] : 0;
}

static const struct slot_file *file_of(const struct br_blocks *b, uint32_t value)
{
	unsigned low = 0, high = b->n_files;

	while (high - low > 1) {
		unsigned mid = (low + high) / 2;

		if (b->files[mid].first <= value)
			low = mid;
		else
			high = mid;
	}
	return &b->files[low];
}

/* Bytes from offset whose blocks have values as the first one: all 0, or ascending by one up to 'end'. */
static size_t run_length(const struct br_blocks *b, uint64_t offset, size_t len, uint32_t value, uint64_t end)
{
	uint64_t block = offset / BR_COW_BLOCK;
	size_t n = BR_COW_BLOCK - offset % BR_COW_BLOCK;

	if (!b->leaves)
		return len;
	while (n < len) {
		uint64_t next = block + 1;

		if (!value && !b->leaves[next / COW_LEAF]) {
			n += (size_t)(COW_LEAF - next % COW_LEAF) * BR_COW_BLOCK;
			block = next | (COW_LEAF - 1);
			continue;
		}
		if (value_of(b, next) != (value ? value + 1 : 0) || (value && value + 1ull >= end))
			break;
		value += !!value;
		block = next;
		n += BR_COW_BLOCK;
	}
	return n < len ? n : len;
}

static size_t locate(const struct br_blocks *b, uint64_t offset, size_t len, const struct slot_file **ret_file,
	uint64_t *ret_at)
{
	const struct slot_file *f;
	uint32_t value;

	if (offset >= b->size || !len)
		return 0;
	if (len > b->size - offset)
		len = (size_t)(b->size - offset);
	value = value_of(b, offset / BR_COW_BLOCK);
	if (!value) {
		len = run_length(b, offset, len, 0, 0);
		*ret_file = NULL;
		*ret_at = b->start + offset;
		return offset < b->base_size && len > b->base_size - offset ? (size_t)(b->base_size - offset) : len;
	}
	f = file_of(b, value);
	*ret_file = f;
	*ret_at = (uint64_t)(value - f->first) * BR_COW_BLOCK + offset % BR_COW_BLOCK;
	return run_length(b, offset, len, value, f + 1 < b->files + b->n_files ? f[1].first : UINT64_MAX);
}

size_t br_blocks_locate(const struct br_blocks *b, uint64_t offset, size_t len, int *ret_fd, uint64_t *ret_at)
{
	const struct slot_file *f = NULL;
	size_t n = locate(b, offset, len, &f, ret_at);

	if (n)
		*ret_fd = f ? f->fd : offset < b->base_size ? b->base_fd : -1;
	return n;
}

size_t br_blocks_map(const struct br_blocks *b, uint64_t offset, size_t len, const uint8_t **ret)
{
	const struct slot_file *f = NULL;
	uint64_t at;
	size_t n = locate(b, offset, len, &f, &at);
	const uint8_t *p;
	struct stat st;

	if (!n || (!f && offset >= b->base_size))
		return 0;
	p = br_mapping_at(f ? f->mapping : b->mapping, at, n);
	/* cut meanwhile? Sending would say EFAULT again and again; reading says EIO */
	if (!p || fstat(f ? f->fd : b->base_fd, &st) < 0 || at + n > (uint64_t)st.st_size)
		return 0;
	*ret = p;
	return n;
}

int br_blocks_read(const struct br_blocks *b, uint64_t offset, void *buf, size_t len)
{
	uint8_t *p = buf;

	if (offset > b->size || len > b->size - offset)
		return -EIO;
	while (len) {
		uint64_t at = 0;
		int fd = -1, r = 0;
		size_t n = br_blocks_locate(b, offset, len, &fd, &at);

		if (fd < 0)
			memset(p, 0, n);
		else
			r = br_pread_all(fd, p, n, at);
		if (r < 0)
			return r;
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

/* Data of the base in [offset, end)? Its holes come from the host. */
static bool base_data(const struct br_blocks *b, uint64_t offset, uint64_t end, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t data, hole;

	end = end < b->base_size ? end : b->base_size;
	if (offset >= end)
		return false;
	data = lseek(b->base_fd, (off_t)(b->start + offset), SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		data = (off_t)(b->start + offset); /* a host without SEEK_DATA: all is data */
	if (data < 0 || (uint64_t)data >= b->start + end)
		return false;
	hole = lseek(b->base_fd, data, SEEK_HOLE);
	*ret_start = (uint64_t)data - b->start;
	*ret_end = hole > data && (uint64_t)hole < b->start + end ? (uint64_t)hole - b->start : end;
	return true;
}

bool br_blocks_next_data(const struct br_blocks *b, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end)
{
	const uint64_t span = (uint64_t)COW_LEAF * BR_COW_BLOCK;

	if (!b->leaves)
		return base_data(b, offset, b->size, ret_start, ret_end);
	while (offset < b->size) {
		uint64_t end = (offset / span + 1) * span;

		end = end < b->size ? end : b->size;
		if (b->leaves[offset / span]) { /* anything in it counts as data */
			*ret_start = offset;
			*ret_end = end;
			return true;
		}
		if (base_data(b, offset, end, ret_start, ret_end))
			return true;
		offset = end;
	}
	return false;
}

bool br_blocks_same(const struct br_blocks *a, const struct br_blocks *b, uint64_t block)
{
	uint64_t offset = block * BR_COW_BLOCK;
	uint32_t x, y;

	if (offset >= a->size || offset >= b->size)
		return offset >= a->size && offset >= b->size;
	x = value_of(a, block);
	y = value_of(b, block);
	if (x && y) {
		const struct slot_file *f = file_of(a, x), *g = file_of(b, y);

		return f->ino == g->ino && f->dev == g->dev && x - f->first == y - g->first;
	}
	if (x || y)
		return false;
	return a->ino == b->ino && a->dev == b->dev && a->start == b->start && a->base_size == b->base_size;
}
