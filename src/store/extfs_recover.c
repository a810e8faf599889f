/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: an image of a system that was not shut down. Its journal is replayed into the
 * layer, the counts of free blocks and inodes are taken from the groups (Linux keeps
 * those of the superblock only loosely), and files that were deleted while still open go.
 * And quota, which nobody keeps right here, is switched off.
 */
#include "store/extjournal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

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

static int orphan_one(struct br_extfs *fs, uint32_t ino, uint32_t *ret_next)
{
	struct ext_node *n;
	int r;

	if (ino < EXT2_FIRST_INO(fs->e2->super))
		return -EUCLEAN;
	r = ext_node_raw(fs, ino, &n);
	if (r == 0 && n->inode.i_mode == 0)
		r = -EUCLEAN;
	if (r < 0)
		return r == -ESTALE ? -EUCLEAN : r;
	*ret_next = n->inode.i_dtime;
	return orphan_end(fs, n);
}

/* The list of orphans goes through i_dtime. */
static int orphan_list(struct br_extfs *fs)
{
	uint32_t ino = fs->e2->super->s_last_orphan, left = fs->e2->super->s_inodes_count;
	int r = 0;

	while (ino && r == 0)
		r = left-- ? orphan_one(fs, ino, &ino) : -EUCLEAN;
	fs->e2->super->s_last_orphan = 0;
	ext2fs_mark_super_dirty(fs->e2);
	fs->touched = true;
	return r;
}

/* One block of the orphan file: inode numbers, 0 where there is none, and a tail with a checksum. */
static int orphan_block(struct br_extfs *fs, uint32_t file, uint32_t lblk, uint8_t *buf)
{
	struct ext4_orphan_block_tail *tail = ext2fs_orphan_block_tail(fs->e2, (char *)buf);
	size_t n = (size_t)ext2fs_inodes_per_orphan_block(fs->e2) * 4;
	struct ext_run run = { 0 };
	struct ext_node *node;
	bool any = false;
	uint32_t next;
	int r = ext_node_raw(fs, file, &node);

	if (r == 0)
		r = ext_map_find(fs, node, lblk, 1, &run);
	if (r == 0)
		r = !run.pblk || run.unwritten ? -EUCLEAN : br_cow_read(fs->cow, run.pblk << fs->bs_bits, buf, fs->bs);
	if (r == 0 && (ext2fs_le32_to_cpu(tail->ob_magic) != EXT4_ORPHAN_BLOCK_MAGIC ||
			      !ext2fs_orphan_file_block_csum_verify(fs->e2, file, run.pblk, (char *)buf)))
		r = -EUCLEAN;
	for (size_t at = 0; r == 0 && at < n; at += 4) {
		uint32_t ino = br_load_le32(buf + at);

		any |= ino != 0;
		r = ino ? orphan_one(fs, ino, &next) : 0;
	}
	if (r < 0 || !any)
		return r;
	memset(buf, 0, n);
	r = ext_errno(ext2fs_orphan_file_block_csum_set(fs->e2, file, run.pblk, (char *)buf));
	return r < 0 ? r : br_cow_write_meta(fs->cow, run.pblk << fs->bs_bits, buf, fs->bs);
}

/* orphan_file: the default of mke2fs since 1.47. orphan_present: it holds something. */
static int orphan_file(struct br_extfs *fs)
{
	br_cleanup(br_freep) uint8_t *buf = NULL;
	uint32_t ino = fs->e2->super->s_orphan_file_inum;
	struct ext_node *node;
	uint64_t n;
	int r;

	if (!ext2fs_has_feature_orphan_present(fs->e2->super))
		return 0;
	if (!ext2fs_has_feature_orphan_file(fs->e2->super) || ino < EXT2_FIRST_INO(fs->e2->super))
		return -EUCLEAN;
	r = ext_node_raw(fs, ino, &node);
	if (r < 0)
		return r == -ESTALE ? -EUCLEAN : r;
	n = ext_size(node) >> fs->bs_bits;
	if (!ext_is(node, LINUX_S_IFREG) || n > 1u << 16)
		return -EUCLEAN;
	buf = malloc(fs->bs);
	if (!buf)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = orphan_block(fs, ino, i, buf);
	ext2fs_clear_feature_orphan_present(fs->e2->super);
	ext2fs_mark_super_dirty(fs->e2);
	fs->touched = true;
	return r;
}

/* ---- quota ---- */

static int quota_file_free(struct br_extfs *fs, uint32_t ino)
{
	struct ext_node *n;
	int r;

	if (ino < EXT2_FIRST_INO(fs->e2->super) && ino != EXT4_USR_QUOTA_INO && ino != EXT4_GRP_QUOTA_INO)
		return -EUCLEAN;
	r = ext_node_raw(fs, ino, &n);
	if (r == 0 && !ext_is(n, LINUX_S_IFREG))
		r = -EUCLEAN;
	if (r < 0)
		return r == -ESTALE ? -EUCLEAN : r;
	if (ino >= EXT2_FIRST_INO(fs->e2->super))
		return ext_node_delete(fs, n);
	r = ext_map_cut(fs, n, 0);
	if (r < 0)
		return r;
	memset(&n->inode, 0, sizeof(n->inode)); /* a reserved one stays marked as used */
	return ext_node_write(fs, n, true);
}

/*
 * The counts in the quota files would have to follow every change, and no board can ask for them over NFS. So the disk's
 * own view has the feature no more, as after 'tune2fs -O ^quota'; the image keeps it.
 */
static int quota_off(struct br_extfs *fs)
{
	struct ext2_super_block *sb = fs->e2->super;
	uint32_t *const files[] = { &sb->s_usr_quota_inum, &sb->s_grp_quota_inum, &sb->s_prj_quota_inum };
	int r = 0;

	if (!ext2fs_has_feature_quota(sb))
		return 0;
	for (size_t i = 0; i < BR_ARRAY_SIZE(files) && r == 0; i++) {
		r = *files[i] ? quota_file_free(fs, *files[i]) : 0;
		*files[i] = 0;
	}
	ext2fs_clear_feature_quota(sb);
	ext2fs_mark_super_dirty(fs->e2);
	fs->touched = true;
	return r;
}

/* ---- together ---- */

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

static int orphans(struct br_extfs *fs)
{
	int r = orphan_list(fs);

	return r < 0 ? r : orphan_file(fs);
}

/* One operation. Its failure is the end of the opening: the superblock in memory needs no way back. */
static int recover_op(struct br_extfs *fs, int (*fn)(struct br_extfs *fs), struct br_error *err, const char *words)
{
	int r = ext_begin(fs);

	if (r == 0)
		r = ext_end(fs, fn(fs));
	return r < 0 ? br_error_set(err, -r, "%s (%s); run 'e2fsck -f' on the image's root partition", words,
			       strerrordesc_np(-r))
		     : 0;
}

int ext_recover_rest(struct br_extfs *fs, bool replayed, struct br_error *err)
{
	struct ext2_super_block *sb = fs->e2->super;
	bool orphaned = replayed || sb->s_last_orphan || ext2fs_has_feature_orphan_present(sb);
	int r = 0;

	if (!orphaned && !ext2fs_has_feature_quota(sb))
		return 0;
	if (replayed) {
		ext2fs_clear_feature_journal_needs_recovery(sb);
		recount(fs);
	}
	if (orphaned)
		r = recover_op(fs, orphans, err,
			"the ext4 was not unmounted, and its list of deleted open files is damaged");
	if (r == 0)
		r = recover_op(fs, quota_off, err, "the ext4's quota files are damaged");
	if (r < 0)
		return r;
	r = fs->fs.ops->commit(&fs->fs);
	if (r < 0)
		return br_error_set(err, -r, "the recovered ext4 cannot be stored: %s", strerrordesc_np(-r));
	return 0;
}
