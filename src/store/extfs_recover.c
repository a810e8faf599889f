/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: an image of a system that was not shut down. Its journal is replayed into the
 * layer, the counts of free blocks and inodes are taken from the groups (Linux keeps
 * those of the superblock only loosely), and files that were deleted while still open go.
 */
#include "store/extjournal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static void recount(struct br_extfs *fs)
{
	uint64_t blocks = 0, inodes = 0;

	for (dgrp_t g = 0; g < fs->e2->group_desc_count; g++) {
		blocks += ext2fs_bg_free_blocks_count(fs->e2, g);
		inodes += ext2fs_bg_free_inodes_count(fs->e2, g);
	}
	ext2fs_free_blocks_count_set(fs->e2->super, blocks);
	fs->e2->super->s_free_inodes_count = (uint32_t)inodes;
	ext2fs_mark_super_dirty(fs->e2);
}

/* No name: it goes. A name: it was being cut to its size. */
static int orphan_end(struct br_extfs *fs, struct ext_node *n)
{
	uint64_t size = ext_size(n);
	int r;

	if (n->inode.i_links_count == 0)
		return ext_node_delete(fs, n);
	n->inode.i_dtime = 0;
	if (size >> fs->bs_bits >= UINT32_MAX)
		return -EUCLEAN;
	r = ext2fs_inode_has_valid_blocks2(fs->e2, ext_small(n)) ?
		    ext_map_cut(fs, n, (uint32_t)((size + fs->bs - 1) >> fs->bs_bits)) : 0;
	return r < 0 ? r : ext_node_write(fs, n, false);
}

/* The list of orphans goes through i_dtime. */
static int orphans(struct br_extfs *fs)
{
	uint32_t ino = fs->e2->super->s_last_orphan, left = fs->e2->super->s_inodes_count;
	int r = 0;

	while (ino && r == 0) {
		struct ext_node *n;

		if (ino < EXT2_FIRST_INO(fs->e2->super) || left-- == 0)
			return -EUCLEAN;
		r = ext_node_raw(fs, ino, &n);
		if (r == 0 && n->inode.i_mode == 0)
			r = -EUCLEAN;
		if (r < 0)
			return r;
		ino = n->inode.i_dtime;
		r = orphan_end(fs, n);
	}
	fs->e2->super->s_last_orphan = 0;
	ext2fs_mark_super_dirty(fs->e2);
	fs->touched = true;
	return r;
}

int ext_recover_read_only(struct br_extfs *fs, struct br_error *err)
{
	int r;

	br_cow_memory(fs->cow, true);
	r = br_extjournal_replay(fs, false, err);
	br_cow_memory(fs->cow, false);
	return r;
}

int ext_recover_journal(struct br_extfs *fs, struct br_error *err)
{
	return br_extjournal_replay(fs, true, err);
}

int ext_recover_rest(struct br_extfs *fs, bool replayed, struct br_error *err)
{
	int r;

	if (!replayed && !fs->e2->super->s_last_orphan)
		return 0;
	if (replayed) {
		ext2fs_clear_feature_journal_needs_recovery(fs->e2->super);
		recount(fs);
	}
	r = ext_begin(fs);
	if (r == 0)
		r = ext_end(fs, orphans(fs));
	if (r < 0)
		return br_error_set(err, -r,
			"the ext4 was not unmounted, and its list of deleted open files is damaged (%s); "
			"run 'e2fsck -f' on the image's root partition", strerrordesc_np(-r));
	r = fs->fs.ops->commit(&fs->fs);
	if (r < 0)
		return br_error_set(err, -r, "the recovered ext4 cannot be stored: %s", strerrordesc_np(-r));
	return 0;
}
