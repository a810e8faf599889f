/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4 made larger. What resize2fs does offline, for the one case that needs no block to be moved: the descriptors of
 * the new groups fit into the descriptor blocks there are and those kept in reserve behind them (resize_inode).
 */
#include "store/extgrow.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "store/extfs_priv.h"
#include "store/extio.h"

/* A last group that would have fewer free blocks than this is not worth its tables; as resize2fs judges. */
#define LAST_GROUP_MIN 50

struct grow {
	ext2_filsys e2;
	uint64_t old_blocks, blocks;
	dgrp_t old_groups, groups;
	uint32_t desc_blocks;
};

static uint64_t div_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

static int too_large(const struct grow *g, uint64_t groups_max, const char *why, struct br_error *err)
{
	char size[16];

	return br_error_set(err, ENOTSUP, "the image's ext4 can grow to %s only: %s",
		br_format_size(size, sizeof(size), groups_max * g->e2->super->s_blocks_per_group * g->e2->blocksize), why);
}

/* How many groups there will be, and that all of this is possible. */
static int plan(struct grow *g, uint64_t size, struct br_error *err)
{
	struct ext2_super_block *sb = g->e2->super;
	uint32_t per_block = EXT2_DESC_PER_BLOCK(sb);
	uint64_t groups, max, rest;

	if (ext2fs_has_feature_meta_bg(sb) || ext2fs_has_feature_sparse_super2(sb))
		return br_error_set(err, ENOTSUP, "an ext4 with %s cannot be made larger here; make the image larger itself",
			ext2fs_has_feature_meta_bg(sb) ? "meta_bg" : "sparse_super2");
	g->old_blocks = ext2fs_blocks_count(sb);
	g->old_groups = g->e2->group_desc_count;
	g->blocks = size / g->e2->blocksize;
	if (g->blocks <= g->old_blocks)
		return 0;
	if (g->blocks > UINT32_MAX && !ext2fs_has_feature_64bit(sb))
		return too_large(g, UINT32_MAX / sb->s_blocks_per_group, "it was made without 64-bit block numbers", err);
	groups = div_up(g->blocks - sb->s_first_data_block, sb->s_blocks_per_group);
	max = (uint64_t)(g->e2->desc_blocks + (ext2fs_has_feature_resize_inode(sb) ? sb->s_reserved_gdt_blocks : 0)) * per_block;
	if (groups > max)
		return too_large(g, max, "it was made with room for no more descriptors of block groups", err);
	if (groups * sb->s_inodes_per_group > UINT32_MAX)
		return too_large(g, UINT32_MAX / sb->s_inodes_per_group, "it would have more than 2^32 inodes", err);
	rest = (g->blocks - sb->s_first_data_block) % sb->s_blocks_per_group;
	if (rest && rest < g->e2->inode_blocks_per_group + 3ull + div_up(groups, per_block) + sb->s_reserved_gdt_blocks +
				   LAST_GROUP_MIN) {
		g->blocks -= rest;
		groups--;
	}
	g->groups = (dgrp_t)groups;
	g->desc_blocks = (uint32_t)div_up(groups, per_block);
	return 0;
}

/* The numbers of the superblock, and the library's memory of descriptors and bitmaps. */
static errcode_t enlarge(struct grow *g)
{
	ext2_filsys e2 = g->e2;
	struct ext2_super_block *sb = e2->super;
	uint64_t kept = ext2fs_r_blocks_count(sb);
	errcode_t e;

	e = ext2fs_resize_mem((size_t)e2->desc_blocks * e2->blocksize, (size_t)g->desc_blocks * e2->blocksize,
		(void *)&e2->group_desc);
	if (e)
		return e;
	memset((uint8_t *)e2->group_desc + (size_t)g->old_groups * EXT2_DESC_SIZE(sb), 0,
		(size_t)g->desc_blocks * e2->blocksize - (size_t)g->old_groups * EXT2_DESC_SIZE(sb));
	if (ext2fs_has_feature_resize_inode(sb))
		sb->s_reserved_gdt_blocks = (uint16_t)(sb->s_reserved_gdt_blocks - (g->desc_blocks - e2->desc_blocks));
	e2->desc_blocks = g->desc_blocks;
	e2->group_desc_count = g->groups;
	ext2fs_blocks_count_set(sb, g->blocks);
	ext2fs_r_blocks_count_set(sb, (uint64_t)((double)kept / (double)g->old_blocks * (double)g->blocks));
	sb->s_inodes_count = g->groups * sb->s_inodes_per_group;
	sb->s_free_inodes_count += (g->groups - g->old_groups) * sb->s_inodes_per_group;
	sb->s_overhead_clusters = 0; /* to be found out anew */
	e = ext2fs_resize_block_bitmap2(g->blocks - 1,
		(uint64_t)g->groups * sb->s_blocks_per_group + sb->s_first_data_block - 1, e2->block_map);
	return e ? e : ext2fs_resize_inode_bitmap2(sb->s_inodes_count, sb->s_inodes_count, e2->inode_map);
}

/* Only what lies behind the old end reads as zeros: of a table in a group that was there before, old content goes. */
static errcode_t clear_table(struct grow *g, dgrp_t group)
{
	uint8_t zeros[1 << (EXT2_MIN_BLOCK_LOG_SIZE + 2)] = { 0 };
	blk64_t at = ext2fs_inode_table_loc(g->e2, group), end = at + g->e2->inode_blocks_per_group;
	errcode_t e = 0;

	for (; !e && at < end && at < g->old_blocks; at++)
		e = io_channel_write_blk64(g->e2->io, at, 1, zeros);
	return e;
}

static errcode_t add_groups(struct grow *g)
{
	ext2_filsys e2 = g->e2;
	bool lazy = ext2fs_has_group_desc_csum(e2);

	for (dgrp_t i = g->old_groups; i < g->groups; i++) {
		errcode_t e;

		ext2fs_bg_flags_zap(e2, i);
		if (lazy)
			ext2fs_bg_flags_set(e2, i, EXT2_BG_INODE_UNINIT | EXT2_BG_INODE_ZEROED |
							(i + 1 < g->groups ? EXT2_BG_BLOCK_UNINIT : 0));
		ext2fs_bg_free_inodes_count_set(e2, i, e2->super->s_inodes_per_group);
		ext2fs_bg_itable_unused_set(e2, i, lazy ? e2->super->s_inodes_per_group : 0);
		ext2fs_bg_used_dirs_count_set(e2, i, 0);
		ext2fs_reserve_super_and_bgd(e2, i, e2->block_map);
		e = ext2fs_allocate_group_table(e2, i, e2->block_map);
		if (!e)
			e = clear_table(g, i);
		if (e)
			return e;
	}
	return 0;
}

static uint64_t count_free(ext2_filsys e2, dgrp_t group)
{
	blk64_t at = ext2fs_group_first_block2(e2, group), end = ext2fs_group_last_block2(e2, group) + 1;
	uint64_t n = 0;

	while (at < end) {
		blk64_t zero, set;

		if (ext2fs_find_first_zero_block_bitmap2(e2->block_map, at, end - 1, &zero))
			break;
		if (ext2fs_find_first_set_block_bitmap2(e2->block_map, zero, end - 1, &set))
			set = end;
		n += set - zero;
		at = set;
	}
	return n;
}

/* The library counts tables that a flexible group keeps elsewhere in one way, others in another: so all of it is counted
 * here. Tables of new groups may lie in old ones. */
static void recount(struct grow *g)
{
	ext2_filsys e2 = g->e2;
	uint64_t n_free = 0;

	for (dgrp_t i = 0; i < g->groups; i++) {
		uint64_t n = count_free(e2, i);

		n_free += n;
		if (n != ext2fs_bg_free_blocks_count(e2, i)) {
			/* with more in it than what it always has, its bitmap must be read */
			if (i < g->old_groups)
				ext2fs_bg_flags_clear(e2, i, EXT2_BG_BLOCK_UNINIT);
			ext2fs_bg_free_blocks_count_set(e2, i, (uint32_t)n);
		}
		ext2fs_group_desc_csum_set(e2, i);
	}
	ext2fs_free_blocks_count_set(e2->super, n_free);
}

/* The inode that owns the reserved descriptor blocks, made anew: some of them are in use now, and there are new groups
 * with copies. */
static errcode_t renew_resize_inode(struct grow *g)
{
	ext2_filsys e2 = g->e2;
	struct ext2_inode inode;
	uint8_t zeros[1 << (EXT2_MIN_BLOCK_LOG_SIZE + 2)] = { 0 };
	errcode_t e;

	if (!ext2fs_has_feature_resize_inode(e2->super))
		return 0;
	e = ext2fs_read_inode(e2, EXT2_RESIZE_INO, &inode);
	if (e)
		return e;
	if (inode.i_block[EXT2_DIND_BLOCK] <= e2->super->s_first_data_block || inode.i_block[EXT2_DIND_BLOCK] >= g->old_blocks)
		return EXT2_ET_RESIZE_INODE_CORRUPT;
	e = ext2fs_iblk_set(e2, &inode, 1);
	if (!e)
		e = ext2fs_write_inode(e2, EXT2_RESIZE_INO, &inode);
	if (!e)
		e = io_channel_write_blk64(e2->io, inode.i_block[EXT2_DIND_BLOCK], 1, zeros);
	return e ? e : ext2fs_create_resize_inode(e2);
}

static errcode_t grow(struct grow *g)
{
	errcode_t e;

	g->e2->default_bitmap_type = EXT2FS_BMAP64_RBTREE;
	e = ext2fs_read_bitmaps(g->e2);
	if (!e)
		e = enlarge(g);
	if (!e)
		e = add_groups(g);
	if (e)
		return e;
	recount(g);
	e = renew_resize_inode(g);
	if (e)
		return e;
	ext2fs_mark_bb_dirty(g->e2);
	ext2fs_mark_ib_dirty(g->e2);
	ext2fs_mark_super_dirty(g->e2);
	/* the new groups' copies of superblock and descriptors are to be there, and the old ones to know of the new groups */
	g->e2->flags &= ~EXT2_FLAG_MASTER_SB_ONLY;
	return ext2fs_flush2(g->e2, EXT2_FLAG_FLUSH_NO_SYNC);
}

/* g->e2 may be open also after a failure. */
static int open_and_plan(struct grow *g, struct br_cow *cow, int flags, uint64_t size, struct br_error *err)
{
	errcode_t e;
	int r = ext_check_super(cow, true, err);

	if (r < 0)
		return r;
	e = br_extio_open(cow, EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP | flags, &g->e2);
	if (e)
		return br_error_set(err, EUCLEAN, "the ext4 file system cannot be opened: %s", error_message(e));
	if (ext2fs_has_feature_journal_needs_recovery(g->e2->super))
		return br_error_set(err, EUCLEAN, "the ext4 was not unmounted; it is made larger after its journal was replayed");
	return plan(g, size, err);
}

int br_extgrow_check(struct br_cow *cow, uint64_t size, struct br_error *err)
{
	struct grow g = { 0 };
	int r = open_and_plan(&g, cow, 0, size, err);

	if (g.e2)
		ext2fs_free(g.e2);
	return r;
}

int br_extgrow(struct br_cow *cow, struct br_error *err)
{
	struct grow g = { 0 };
	errcode_t e;
	int r = open_and_plan(&g, cow, EXT2_FLAG_RW, br_cow_size(cow), err);

	if (!r && g.blocks > g.old_blocks) {
		e = grow(&g);
		if (e)
			r = br_error_set(err, -ext_errno(e), "the ext4 file system cannot be made larger: %s", error_message(e));
	}
	if (g.e2)
		ext2fs_free(g.e2);
	return r;
}
