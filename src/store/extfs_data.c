/* SPDX-License-Identifier: Apache-2.0 */
/* ext4: the bytes of files. They go past libext2fs, in whole runs. */
#include "store/extfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* Blocks of a file end below 2^32 - 1. */
#define LBLK_END UINT32_MAX

static int read_inline(struct br_extfs *fs, struct ext_node *node, uint64_t offset, uint8_t *buf, size_t len)
{
	br_cleanup(br_freep) uint8_t *data = malloc(fs->bs);
	size_t have = 0;
	int r;

	if (!data)
		return -ENOMEM;
	r = ext_inline_read(fs, node, data, fs->bs, &have);
	if (r < 0)
		return r;
	memset(buf, 0, len);
	if (offset < have)
		memcpy(buf, data + offset, have - offset < len ? have - (size_t)offset : len);
	return 0;
}

/* All of len lies before the end of the file. */
static int read_runs(struct br_extfs *fs, struct ext_node *node, uint64_t offset, uint8_t *buf, size_t len)
{
	while (len) {
		uint64_t lblk = offset >> fs->bs_bits;
		uint32_t at = (uint32_t)offset & (fs->bs - 1);
		uint64_t want = ((uint64_t)at + len + fs->bs - 1) >> fs->bs_bits;
		struct ext_run run;
		size_t n;
		int r;

		if (lblk >= LBLK_END) { /* a size beyond what blocks can be: a hole */
			memset(buf, 0, len);
			return 0;
		}
		r = ext_map_find(fs, node, (uint32_t)lblk, want < LBLK_END ? (uint32_t)want : LBLK_END, &run);
		if (r < 0)
			return r;
		n = ((uint64_t)run.len << fs->bs_bits) - at < len ? ((size_t)run.len << fs->bs_bits) - at : len;
		if (run.pblk && !run.unwritten)
			r = br_cow_read(fs->cow, ((uint64_t)run.pblk << fs->bs_bits) + at, buf, n);
		else
			memset(buf, 0, n);
		if (r < 0)
			return r;
		buf += n;
		offset += n;
		len -= n;
	}
	return 0;
}

/* A file that can be read, and how much of len there is before its end. */
static int readable(struct br_extfs *fs, uint64_t ino, uint64_t offset, size_t *len, struct ext_node **ret, bool *ret_eof)
{
	uint64_t size;
	int r = ext_node_get(fs, ino, ret);

	if (r < 0)
		return r;
	if (ext_is(*ret, LINUX_S_IFDIR))
		return -EISDIR;
	if (!ext_is(*ret, LINUX_S_IFREG) && !ext_is(*ret, LINUX_S_IFLNK))
		return -EINVAL;
	size = ext_size(*ret);
	if (offset >= size)
		*len = 0;
	else if (*len > size - offset)
		*len = (size_t)(size - offset);
	*ret_eof = offset >= size || *len == size - offset;
	return 0;
}

int ext_read(struct br_fs *base, uint64_t ino, uint64_t offset, void *buf, size_t len, size_t *ret_len,
	bool *ret_eof)
{
	struct br_extfs *fs = ext_of(base);
	struct ext_node *node;
	bool eof;
	int r;

	r = readable(fs, ino, offset, &len, &node, &eof);
	if (r < 0)
		return r;
	if (len && node->inode.i_flags & EXT4_INLINE_DATA_FL)
		r = read_inline(fs, node, offset, buf, len);
	else
		r = read_runs(fs, node, offset, buf, len);
	if (r < 0)
		return r;
	*ret_len = len;
	*ret_eof = eof;
	return 0;
}

/* The pieces of a run that lie in the image, behind those there are. */
static int map_run(struct br_extfs *fs, uint64_t at, size_t len, struct br_fs_map *map)
{
	while (len) {
		const uint8_t *p;
		size_t n = map->n < BR_FS_PIECES ? br_cow_map(fs->cow, at, len, &p) : 0;

		if (!n)
			return -EOPNOTSUPP; /* changed, a hole, or in too many pieces */
		map->pieces[map->n].p = p;
		map->pieces[map->n++].len = n;
		map->len += n;
		at += n;
		len -= n;
	}
	return 0;
}

int ext_map(struct br_fs *base, uint64_t ino, uint64_t offset, size_t len, struct br_fs_map *ret)
{
	struct br_extfs *fs = ext_of(base);
	struct br_fs_map map = { 0 };
	struct ext_node *node;
	int r = readable(fs, ino, offset, &len, &node, &map.eof);

	if (r < 0)
		return r;
	if (node->inode.i_flags & EXT4_INLINE_DATA_FL || (offset + len) >> fs->bs_bits >= LBLK_END)
		return -EOPNOTSUPP;
	while (len) {
		uint32_t lblk = (uint32_t)(offset >> fs->bs_bits), at = (uint32_t)offset & (fs->bs - 1);
		uint64_t want = ((uint64_t)at + len + fs->bs - 1) >> fs->bs_bits;
		struct ext_run run;
		size_t n;

		r = ext_map_find(fs, node, lblk, (uint32_t)want, &run);
		if (r < 0)
			return r;
		n = ((uint64_t)run.len << fs->bs_bits) - at < len ? ((size_t)run.len << fs->bs_bits) - at : len;
		r = run.pblk && !run.unwritten ? map_run(fs, ((uint64_t)run.pblk << fs->bs_bits) + at, n, &map)
					       : -EOPNOTSUPP;
		if (r < 0)
			return r;
		offset += n;
		len -= n;
	}
	map.blocks = br_blocks_ref(br_cow_base(fs->cow));
	*ret = map;
	return 0;
}

int br_extfs_extents(struct br_fs *base, uint64_t ino, int (*fn)(void *ctx, uint64_t offset, uint64_t at, uint64_t len),
	void *ctx)
{
	struct br_extfs *fs = ext_of(base);
	struct ext_node *node;
	uint64_t n_blocks;
	int r = ext_node_get(fs, ino, &node);

	if (r < 0)
		return r;
	if (!ext_is(node, LINUX_S_IFREG) || node->inode.i_flags & EXT4_INLINE_DATA_FL)
		return -EOPNOTSUPP;
	n_blocks = (ext_size(node) + fs->bs - 1) >> fs->bs_bits;
	n_blocks = n_blocks < LBLK_END ? n_blocks : LBLK_END;
	for (uint64_t b = 0; b < n_blocks;) {
		struct ext_run run;

		r = ext_map_find(fs, node, (uint32_t)b, (uint32_t)(n_blocks - b), &run);
		if (!r && run.pblk && !run.unwritten)
			r = fn(ctx, b << fs->bs_bits, (uint64_t)run.pblk << fs->bs_bits, (uint64_t)run.len << fs->bs_bits);
		if (r)
			return r;
		b += run.len;
	}
	return 0;
}

/* ---- writing ---- */

/* Bytes [at, at + n) of a block that had no content: the rest becomes zeros. */
static int write_part(struct br_extfs *fs, uint64_t pblk, uint32_t at, const uint8_t *buf, uint32_t n)
{
	uint8_t block[1 << (EXT2_MIN_BLOCK_LOG_SIZE + 2)] = { 0 };

	memcpy(block + at, buf, n);
	return br_cow_write_data(fs->cow, pblk << fs->bs_bits, block, fs->bs);
}

/* Bytes to a run whose blocks had no content. The data begins 'at' bytes into it and ends in its last block. */
static int write_fresh(struct br_extfs *fs, const struct ext_run *run, uint32_t at, const uint8_t *buf, size_t n)
{
	uint64_t pblk = run->pblk;
	int r = 0;

	if (at || n < fs->bs) {
		uint32_t k = n < fs->bs - at ? (uint32_t)n : fs->bs - at;

		r = write_part(fs, pblk++, at, buf, k);
		buf += k;
		n -= k;
	}
	if (r == 0 && n >= fs->bs) {
		size_t whole = n & ~((size_t)fs->bs - 1);

		r = br_cow_write_data(fs->cow, pblk << fs->bs_bits, buf, whole);
		pblk += whole >> fs->bs_bits;
		buf += whole;
		n -= whole;
	}
	if (r == 0 && n)
		r = write_part(fs, pblk, 0, buf, (uint32_t)n);
	return r;
}

/* What lies behind the end of the file in its last block becomes zeros. */
static int zero_tail(struct br_extfs *fs, struct ext_node *node, uint64_t size)
{
	static const uint8_t zeros[4096];
	uint32_t at = (uint32_t)size & (fs->bs - 1);
	struct ext_run run;
	int r;

	if (!at || size >> fs->bs_bits >= LBLK_END)
		return 0;
	r = ext_map_find(fs, node, (uint32_t)(size >> fs->bs_bits), 1, &run);
	if (r < 0 || !run.pblk || run.unwritten)
		return r;
	fs->touched = true;
	return br_cow_write_data(fs->cow, ((uint64_t)run.pblk << fs->bs_bits) + at, zeros, fs->bs - at);
}

static bool too_big(struct br_extfs *fs, const struct ext_node *node, uint64_t end)
{
	uint64_t per = fs->bs / 4, blocks = LBLK_END;

	if (!(node->inode.i_flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL)))
		blocks = EXT2_NDIR_BLOCKS + per + per * per + per * per * per;
	if (blocks > LBLK_END)
		blocks = LBLK_END;
	return end > blocks << fs->bs_bits;
}

/* One piece within one run; returns its length in *ret. */
static int write_piece(
	struct br_extfs *fs, struct ext_node *node, uint64_t offset, const uint8_t *buf, size_t len, size_t *ret)
{
	uint32_t lblk = (uint32_t)(offset >> fs->bs_bits), at = (uint32_t)offset & (fs->bs - 1);
	uint64_t want = ((uint64_t)at + len + fs->bs - 1) >> fs->bs_bits;
	struct ext_run run;
	bool fresh;
	size_t n;
	int r;

	r = ext_map_find(fs, node, lblk, (uint32_t)want, &run);
	if (r < 0)
		return r;
	fresh = !run.pblk || run.unwritten;
	if (!run.pblk)
		r = ext_map_alloc(fs, node, lblk, run.len, &run);
	if (r < 0)
		return r;
	n = ((size_t)run.len << fs->bs_bits) - at < len ? ((size_t)run.len << fs->bs_bits) - at : len;
	if (fresh)
		r = write_fresh(fs, &run, at, buf, n);
	else
		r = br_cow_write_data(fs->cow, ((uint64_t)run.pblk << fs->bs_bits) + at, buf, n);
	if (r == 0 && run.unwritten)
		r = ext_map_written(fs, node, lblk, run.len);
	*ret = n;
	return r;
}

int ext_write_at(struct br_extfs *fs, struct ext_node *node, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint64_t size = ext_size(node), end = offset + len;
	int r;

	if (end < offset || too_big(fs, node, end))
		return -EFBIG;
	fs->touched = true;
	if (node->inode.i_flags & EXT4_INLINE_DATA_FL) {
		/* the size may be beyond what is inline: zeros that mke2fs -d left out */
		r = ext_inline_fits(fs, node, end > size ? end : size);
		if (r)
			return r < 0 ? r : ext_inline_change(fs, node, offset, buf, len, end > size ? end : size);
		r = ext_inline_leave(fs, node);
		if (r < 0)
			return r;
	}
	r = offset > size ? zero_tail(fs, node, size) : 0;
	while (r == 0 && len) {
		size_t n = 0;

		r = write_piece(fs, node, offset, p, len, &n);
		p += n;
		offset += n;
		len -= n;
	}
	if (r == 0 && end > size)
		r = ext_errno(ext2fs_inode_size_set(fs->e2, ext_small(node), (ext2_off64_t)end));
	return r;
}

/* How many blocks a write will take? */
static int holes_in(struct br_extfs *fs, struct ext_node *node, uint64_t offset, size_t len, uint64_t *ret)
{
	uint64_t lblk = offset >> fs->bs_bits, end = (offset + len + fs->bs - 1) >> fs->bs_bits, n = 0;

	if (node->inode.i_flags & EXT4_INLINE_DATA_FL) {
		uint64_t size = ext_size(node);
		int r = ext_inline_fits(fs, node, offset + len > size ? offset + len : size);

		*ret = r == 0 ? end - lblk + 1 : 0;
		return r < 0 ? r : 0;
	}
	while (lblk < end) {
		struct ext_run run;
		int r = ext_map_find(fs, node, (uint32_t)lblk, (uint32_t)(end - lblk), &run);

		if (r < 0)
			return r;
		n += run.pblk ? 0 : run.len;
		lblk += run.len;
	}
	*ret = n;
	return 0;
}

static int write_do(struct br_extfs *fs, uint64_t ino, uint64_t offset, const void *buf, size_t len)
{
	struct ext_node *node;
	uint64_t need = 0;
	int r;

	r = ext_node_get(fs, ino, &node);
	if (r < 0)
		return r;
	if (ext_is(node, LINUX_S_IFDIR))
		return -EISDIR;
	if (!ext_is(node, LINUX_S_IFREG))
		return -EINVAL;
	if (len == 0)
		return 0;
	if (node->inode.i_flags & (EXT2_IMMUTABLE_FL | EXT4_VERITY_FL) ||
		(node->inode.i_flags & EXT2_APPEND_FL && offset < ext_size(node)))
		return -EPERM;
	if (offset + len < offset || too_big(fs, node, offset + len))
		return -EFBIG;
	r = holes_in(fs, node, offset, len, &need);
	if (r == 0 && need)
		r = ext_need_space(fs, need);
	if (r == 0)
		r = ext_write_at(fs, node, offset, buf, len);
	if (r < 0)
		return r;
	ext_kill_suid(node);
	ext_touch(fs, node, EXT_MTIME | EXT_CTIME);
	return ext_node_write(fs, node, false);
}

int ext_write(struct br_fs *base, uint64_t ino, uint64_t offset, const void *buf, size_t len)
{
	struct br_extfs *fs = ext_of(base);
	int r = ext_begin(fs);

	if (r < 0)
		return r;
	return ext_end(fs, write_do(fs, ino, offset, buf, len));
}

int ext_truncate(struct br_extfs *fs, struct ext_node *node, uint64_t size)
{
	uint64_t old = ext_size(node);
	int r;

	if (size == old)
		return 0;
	if (too_big(fs, node, size))
		return -EFBIG;
	fs->touched = true;
	if (node->inode.i_flags & EXT4_INLINE_DATA_FL) {
		r = ext_inline_fits(fs, node, size);
		if (r)
			return r < 0 ? r : ext_inline_change(fs, node, 0, NULL, 0, size);
		r = ext_inline_leave(fs, node);
		if (r < 0)
			return r;
	}
	r = zero_tail(fs, node, size < old ? size : old);
	if (r == 0 && size < old)
		r = ext_map_cut(fs, node, (uint32_t)((size + fs->bs - 1) >> fs->bs_bits));
	if (r == 0)
		r = ext_errno(ext2fs_inode_size_set(fs->e2, ext_small(node), (ext2_off64_t)size));
	return r;
}
