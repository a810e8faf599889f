/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: changing block maps. Trees are changed by libext2fs, after our own reader has
 * found them sound: it follows pointers of a damaged tree without end.
 */
#include "store/extfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

/* Most blocks one extent can have. */
#define EXTENT_LEN 32768u

/* Puts a run into the sorted array, joined with its neighbour when they meet. */
static int runs_insert(struct br_extfs *fs, struct ext_node *node, struct ext_run run)
{
	uint32_t i = 0, hi = node->n_runs;

	while (i < hi) {
		uint32_t mid = i + (hi - i) / 2;

		if (node->runs[mid].lblk > run.lblk)
			hi = mid;
		else
			i = mid + 1;
	}
	if (i > 0) {
		struct ext_run *prev = &node->runs[i - 1];

		if ((uint64_t)prev->lblk + prev->len == run.lblk && prev->pblk + prev->len == run.pblk &&
			!prev->unwritten) {
			prev->len += run.len;
			return 0;
		}
	}
	if (!ext_runs_room(node))
		return -ENOMEM;
	memmove(&node->runs[i + 1], &node->runs[i], (node->n_runs - i) * sizeof(*node->runs));
	node->runs[i] = run;
	node->n_runs++;
	fs->n_runs++;
	return 0;
}

/* Adds the run to the extent tree: to the extent before it when it continues that one. */
static errcode_t tree_add(ext2_extent_handle_t h, const struct ext_run *run)
{
	struct ext2fs_extent cur, add = { .e_lblk = run->lblk, .e_pblk = run->pblk, .e_len = run->len };
	errcode_t e;

	e = ext2fs_extent_goto(h, run->lblk);
	if (e && e != EXT2_ET_EXTENT_NOT_FOUND && e != EXT2_ET_NO_CURRENT_NODE)
		return e;
	e = ext2fs_extent_get(h, EXT2_EXTENT_CURRENT, &cur);
	if (e == EXT2_ET_NO_CURRENT_NODE)
		return ext2fs_extent_insert(h, 0, &add);
	if (e)
		return e;
	if (cur.e_lblk + cur.e_len == run->lblk && cur.e_pblk + cur.e_len == run->pblk &&
		!(cur.e_flags & EXT2_EXTENT_FLAGS_UNINIT) && cur.e_len + run->len <= EXTENT_LEN) {
		cur.e_len += run->len;
		return ext2fs_extent_replace(h, 0, &cur);
	}
	e = ext2fs_extent_insert(h, cur.e_lblk < run->lblk ? EXT2_EXTENT_INSERT_AFTER : 0, &add);
	return e ? e : ext2fs_extent_fix_parents(h);
}

/* Where a new block had best be: behind the run before it, else where the inode's group says. */
static uint64_t goal_of(struct br_extfs *fs, struct ext_node *node, uint32_t lblk)
{
	const struct ext_run *best = NULL;
	uint32_t lo = 0, hi = node->n_runs;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (node->runs[mid].lblk < lblk) {
			best = &node->runs[mid];
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	if (best && best->pblk + best->len < fs->n_blocks)
		return best->pblk + best->len;
	return ext2fs_find_inode_goal(fs->e2, node->ino, ext_small(node), lblk);
}

static int alloc_extent(
	struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t max, struct ext_run *ret)
{
	ext2_extent_handle_t h;
	struct ext_run run = { .lblk = lblk };
	blk64_t pblk, n;
	errcode_t e;
	int r;

	r = ext_map_load(fs, node);
	if (r < 0)
		return r;
	e = ext2fs_new_range(fs->e2, 0, goal_of(fs, node, lblk), max < EXTENT_LEN ? max : EXTENT_LEN, NULL,
		&pblk, &n);
	if (e)
		return ext_errno(e);
	run.pblk = pblk;
	run.len = (uint32_t)n;
	fs->touched = true;
	ext_take_blocks(fs, pblk, run.len);
	e = ext2fs_extent_open2(fs->e2, node->ino, ext_small(node), &h);
	if (!e) {
		e = tree_add(h, &run);
		ext2fs_extent_free(h);
	}
	if (!e)
		e = ext2fs_iblk_add_blocks(fs->e2, ext_small(node), n);
	r = e ? ext_errno(e) : runs_insert(fs, node, run);
	if (r == 0)
		*ret = run;
	return r;
}

int ext_map_alloc(struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t max, struct ext_run *ret)
{
	blk64_t pblk = 0;
	int r = ext_need_bitmaps(fs);

	if (r < 0)
		return r;
	if (node->inode.i_flags & EXT4_EXTENTS_FL)
		return alloc_extent(fs, node, lblk, max, ret);
	fs->touched = true;
	r = ext_errno(ext2fs_bmap2(
		fs->e2, node->ino, ext_small(node), NULL, BMAP_ALLOC, lblk, NULL, &pblk));
	if (r < 0)
		return r;
	*ret = (struct ext_run){ .lblk = lblk, .len = 1, .pblk = pblk };
	return 0;
}

int ext_map_written(struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t len)
{
	ext2_extent_handle_t h;
	struct ext_run run;
	errcode_t e;
	int r;

	r = ext_need_bitmaps(fs);
	if (r == 0)
		r = ext_map_find(fs, node, lblk, len, &run);
	if (r)
		return r;
	if (!run.unwritten || run.len != len)
		return -EIO; /* our own mistake, but not worth a crash */
	fs->touched = true;
	e = ext2fs_extent_open2(fs->e2, node->ino, ext_small(node), &h);
	if (e)
		return ext_errno(e);
	for (uint32_t i = 0; i < len && !e; i++)
		e = ext2fs_extent_set_bmap(h, lblk + i, run.pblk + i, 0);
	ext2fs_extent_free(h);
	ext_node_forget_runs(fs, node);
	return ext_errno(e);
}

/* ---- freeing ---- */

struct ind_check {
	struct br_extfs *fs;
	uint64_t left; /* blocks the file may still have: a loop runs out of them */
};

static int ind_sound(struct ind_check *c, uint32_t pblk, int level)
{
	br_cleanup(br_freep) uint8_t *buf = NULL;
	int r;

	if (!pblk)
		return 0;
	if (pblk <= c->fs->e2->super->s_first_data_block || pblk >= c->fs->n_blocks || c->left-- == 0)
		return -EUCLEAN;
	if (level == 0)
		return 0;
	buf = malloc(c->fs->bs);
	if (!buf)
		return -ENOMEM;
	r = br_cow_read(c->fs->cow, (uint64_t)pblk << c->fs->bs_bits, buf, c->fs->bs);
	for (uint32_t i = 0; i < c->fs->bs / 4 && r == 0; i++)
		r = ind_sound(c, br_load_le32(buf + (size_t)i * 4), level - 1);
	return r;
}

static int map_sound(struct br_extfs *fs, struct ext_node *node)
{
	struct ind_check c = { .fs = fs, .left = fs->n_blocks };
	int r = 0;

	if (node->inode.i_flags & EXT4_EXTENTS_FL)
		return ext_map_load(fs, node);
	for (int i = 0; i < EXT2_N_BLOCKS && r == 0; i++)
		r = ind_sound(&c, node->inode.i_block[i], i < EXT2_NDIR_BLOCKS ? 0 : i - EXT2_NDIR_BLOCKS + 1);
	return r;
}

int ext_map_cut(struct br_extfs *fs, struct ext_node *node, uint32_t lblk)
{
	int r;

	if (node->inode.i_flags & EXT4_INLINE_DATA_FL)
		return lblk == 0 ? 0 : -EOPNOTSUPP;
	r = map_sound(fs, node);
	if (r < 0)
		return r;
	if (node->inode.i_flags & EXT4_EXTENTS_FL) {
		const struct ext_run *last = node->n_runs ? &node->runs[node->n_runs - 1] : NULL;

		if (!last || (uint64_t)last->lblk + last->len <= lblk)
			return 0;
	}
	r = ext_need_bitmaps(fs);
	if (r < 0)
		return r;
	fs->touched = true;
	r = ext_errno(ext2fs_punch(fs->e2, node->ino, ext_small(node), NULL, lblk, ~0ull));
	ext_node_forget_runs(fs, node);
	return r;
}
