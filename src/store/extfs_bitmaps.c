/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: the bitmaps on their way to the layer. libext2fs writes those of all block groups whenever one bit changed;
 * a commit of one small file on a large image would mostly be that. Here only the groups that allocated or freed
 * since the last time are written.
 */
#include "store/extfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 1, INODES = 2 };

void ext_bitmaps_changed(struct br_extfs *fs, const struct ext_alloc *a)
{
	const struct ext2_super_block *sb = fs->e2->super;
	uint64_t first, last;

	if (!fs->dirty_groups)
		return;
	if (a->inode) {
		first = last = (a->first - 1) / sb->s_inodes_per_group;
	} else {
		first = (a->first - sb->s_first_data_block) / sb->s_blocks_per_group;
		last = (a->first + (a->n ? a->n - 1 : 0) - sb->s_first_data_block) / sb->s_blocks_per_group;
	}
	for (uint64_t g = first; g <= last && g < fs->e2->group_desc_count; g++)
		fs->dirty_groups[g] |= a->inode ? INODES : BLOCKS;
}

/* The bits behind the last block of the file system are set. */
static void pad_last(struct br_extfs *fs, dgrp_t group, uint8_t *buf)
{
	const struct ext2_super_block *sb = fs->e2->super;
	uint64_t blocks = (fs->n_blocks - sb->s_first_data_block) % sb->s_blocks_per_group;
	size_t bit = (size_t)blocks;

	if (group != fs->e2->group_desc_count - 1 || !blocks)
		return;
	for (; bit % 8; bit++)
		buf[bit / 8] |= (uint8_t)(1u << bit % 8);
	memset(buf + bit / 8, 0xff, fs->bs - bit / 8);
}

static errcode_t write_blocks(struct br_extfs *fs, dgrp_t group, uint8_t *buf)
{
	ext2_filsys e2 = fs->e2;
	uint64_t per = e2->super->s_blocks_per_group, start = e2->super->s_first_data_block + group * per;
	errcode_t e;

	memset(buf, 0xff, fs->bs);
	e = ext2fs_get_block_bitmap_range2(e2->block_map, start, per, buf);
	if (e)
		return e;
	pad_last(fs, group, buf);
	e = ext2fs_block_bitmap_csum_set(e2, group, (char *)buf, (int)(per / 8));
	if (e)
		return e;
	ext2fs_group_desc_csum_set(e2, group);
	e2->flags |= EXT2_FLAG_DIRTY;
	return io_channel_write_blk64(e2->io, ext2fs_block_bitmap_loc(e2, group), 1, buf);
}

static errcode_t write_inodes(struct br_extfs *fs, dgrp_t group, uint8_t *buf)
{
	ext2_filsys e2 = fs->e2;
	uint32_t per = e2->super->s_inodes_per_group;
	errcode_t e;

	memset(buf, 0xff, fs->bs);
	e = ext2fs_get_inode_bitmap_range2(e2->inode_map, (uint64_t)group * per + 1, per, buf);
	if (e)
		return e;
	e = ext2fs_inode_bitmap_csum_set(e2, group, (char *)buf, (int)(per / 8));
	if (e)
		return e;
	ext2fs_group_desc_csum_set(e2, group);
	e2->flags |= EXT2_FLAG_DIRTY;
	return io_channel_write_blk64(e2->io, ext2fs_inode_bitmap_loc(e2, group), 1, buf);
}

static bool uninit(ext2_filsys e2, dgrp_t group, uint16_t flag)
{
	return ext2fs_has_group_desc_csum(e2) && ext2fs_bg_flags_test(e2, group, flag);
}

/* In the library's place: called by its flush. */
static errcode_t write_changed(ext2_filsys e2)
{
	struct br_extfs *fs = e2->priv_data;
	uint8_t *buf = malloc(fs->bs);
	errcode_t e = 0;

	if (!buf)
		return EXT2_ET_NO_MEMORY;
	for (dgrp_t g = 0; !e && g < e2->group_desc_count; g++) {
		if (fs->dirty_groups[g] & BLOCKS && !uninit(e2, g, EXT2_BG_BLOCK_UNINIT))
			e = write_blocks(fs, g, buf);
		if (!e && fs->dirty_groups[g] & INODES && !uninit(e2, g, EXT2_BG_INODE_UNINIT))
			e = write_inodes(fs, g, buf);
		if (!e)
			fs->dirty_groups[g] = 0;
	}
	free(buf);
	if (!e)
		e2->flags &= ~(EXT2_FLAG_BB_DIRTY | EXT2_FLAG_IB_DIRTY);
	return e;
}

int ext_bitmaps_load(struct br_extfs *fs)
{
	errcode_t e;

	fs->e2->default_bitmap_type = EXT2FS_BMAP64_RBTREE;
	e = ext2fs_read_bitmaps(fs->e2);
	if (e)
		return ext_errno(e);
	/* clusters and odd group sizes stay the library's */
	if (ext2fs_has_feature_bigalloc(fs->e2->super) || fs->e2->super->s_inodes_per_group % 8 ||
		fs->e2->super->s_blocks_per_group % 8 || fs->e2->super->s_blocks_per_group > fs->bs * 8 ||
		fs->e2->super->s_inodes_per_group > fs->bs * 8)
		return 0;
	free(fs->dirty_groups);
	fs->dirty_groups = malloc(fs->e2->group_desc_count);
	if (!fs->dirty_groups)
		return -ENOMEM;
	/* the first time all: what was done before is not known here */
	memset(fs->dirty_groups, BLOCKS | INODES, fs->e2->group_desc_count);
	fs->e2->write_bitmaps = write_changed;
	return 0;
}

int br_extfs_in_use(struct br_fs *base, int (*fn)(void *ctx, uint64_t offset, uint64_t len), void *ctx)
{
	struct br_extfs *fs = ext_of(base);
	uint64_t first = fs->e2->super->s_first_data_block, last = fs->n_blocks - 1, at = 0;
	errcode_t e = fs->e2->block_map ? 0 : ext2fs_read_block_bitmap(fs->e2);

	if (e)
		return ext_errno(e);
	/* block 0 of a file system of small blocks is in no bitmap, and is the boot sector */
	for (uint64_t b = first; b <= last;) {
		blk64_t used, end;
		int r;

		e = ext2fs_find_first_set_block_bitmap2(fs->e2->block_map, b, last, &used);
		if (e == ENOENT)
			break;
		if (!e)
			e = ext2fs_find_first_zero_block_bitmap2(fs->e2->block_map, used, last, &end);
		if (e == ENOENT)
			end = last + 1;
		else if (e)
			return ext_errno(e);
		at = used == first ? 0 : (uint64_t)used << fs->bs_bits;
		r = fn(ctx, at, ((uint64_t)end << fs->bs_bits) - at);
		if (r)
			return r;
		b = end;
	}
	return 0;
}
