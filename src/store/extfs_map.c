/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: where the blocks of a file are. Reading is our own (strict, bounded, and the
 * whole extent tree at once, so that later reads only search an array); changing trees
 * is libext2fs's.
 */
#include "store/extfs_priv.h"

#include <errno.h>
#include <ext2fs/ext3_extents.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

/* ---- extent trees ---- */

static bool block_ok(const struct br_extfs *fs, uint64_t pblk, uint64_t n)
{
	uint64_t first = fs->e2->super->s_first_data_block;

	return pblk > first && pblk < fs->n_blocks && n <= fs->n_blocks - pblk;
}

/* Starts small: most files have one run, and the nodes of a thousand boards stay in memory. */
bool ext_runs_room(struct ext_node *node)
{
	uint32_t cap = node->cap_runs ? node->cap_runs * 2 : 4;
	struct ext_run *p;

	if (node->runs && node->n_runs < node->cap_runs)
		return true;
	p = realloc(node->runs, cap * sizeof(*p));
	if (!p)
		return false;
	node->runs = p;
	node->cap_runs = cap;
	return true;
}

static int run_push(struct br_extfs *fs, struct ext_node *node, struct ext_run run)
{
	struct ext_run *last = node->n_runs ? &node->runs[node->n_runs - 1] : NULL;

	if (last && (uint64_t)last->lblk + last->len == run.lblk && last->pblk + last->len == run.pblk &&
		last->unwritten == run.unwritten) {
		last->len += run.len;
		return 0;
	}
	if (node->n_runs == EXT_RUNS_MAX)
		return -EUCLEAN;
	if (!ext_runs_room(node))
		return -ENOMEM;
	node->runs[node->n_runs++] = run;
	fs->n_runs++;
	return 0;
}

struct tree_walk {
	struct br_extfs *fs;
	struct ext_node *node;
	uint64_t next; /* first logical block that may come: they ascend, so a loop cannot last */
};

static int leaf_load(struct tree_walk *w, const uint8_t *entries, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *x = entries + i * 12;
		uint32_t lblk = br_load_le32(x), len = br_load_le16(x + 4);
		uint64_t pblk = br_load_le32(x + 8) | (uint64_t)br_load_le16(x + 6) << 32;
		bool unwritten = len > 32768;
		int r;

		if (unwritten)
			len -= 32768;
		if (len == 0 || lblk < w->next || (uint64_t)lblk + len > UINT32_MAX ||
			!block_ok(w->fs, pblk, len))
			return -EUCLEAN;
		w->next = (uint64_t)lblk + len;
		r = run_push(w->fs, w->node,
			(struct ext_run){ .lblk = lblk, .len = len, .pblk = pblk, .unwritten = unwritten });
		if (r < 0)
			return r;
	}
	return 0;
}

static int tree_load(struct tree_walk *w, const uint8_t *data, size_t size, int depth);

static int child_load(struct tree_walk *w, uint64_t pblk, int depth)
{
	br_cleanup(br_freep) uint8_t *buf = malloc(w->fs->bs);
	uint64_t before = w->next;
	int r;

	if (!buf)
		return -ENOMEM;
	if (!block_ok(w->fs, pblk, 1))
		return -EUCLEAN;
	r = br_cow_read(w->fs->cow, pblk << w->fs->bs_bits, buf, w->fs->bs);
	if (r < 0)
		return r;
	r = tree_load(w, buf, w->fs->bs, depth);
	/* an empty child is not made by Linux and would let a loop of index blocks last */
	return r < 0 ? r : w->next == before ? -EUCLEAN : 0;
}

/* depth: what the header must say; -1 for the root, which may say up to 5. */
static int tree_load(struct tree_walk *w, const uint8_t *data, size_t size, int depth)
{
	unsigned n = br_load_le16(data + 2), max = br_load_le16(data + 4), d = br_load_le16(data + 6);

	if (br_load_le16(data) != EXT3_EXT_MAGIC || n > max || max > (size - 12) / 12 || d > 5 ||
		(depth >= 0 && d != (unsigned)depth))
		return -EUCLEAN;
	if (depth >= 0 && !ext2fs_extent_block_csum_verify(
				  w->fs->e2, w->node->ino, (struct ext3_extent_header *)(uintptr_t)data))
		return -EUCLEAN;
	if (d == 0)
		return leaf_load(w, data + 12, n);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *x = data + 12 + i * 12;
		uint64_t pblk = br_load_le32(x + 4) | (uint64_t)br_load_le16(x + 8) << 32;
		int r = br_load_le32(x) < w->next ? -EUCLEAN : child_load(w, pblk, (int)d - 1);

		if (r < 0)
			return r;
	}
	return 0;
}

int ext_map_load(struct br_extfs *fs, struct ext_node *node)
{
	struct tree_walk w = { .fs = fs, .node = node };
	int r;

	if (node->runs_loaded)
		return 0;
	r = tree_load(&w, (const uint8_t *)node->inode.i_block, sizeof(node->inode.i_block), -1);
	if (r < 0) {
		ext_node_forget_runs(fs, node);
		return r;
	}
	node->runs_loaded = true;
	return 0;
}

/* Index of the first run that ends behind lblk. */
static uint32_t run_search(const struct ext_node *node, uint32_t lblk)
{
	uint32_t lo = 0, hi = node->n_runs;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if ((uint64_t)node->runs[mid].lblk + node->runs[mid].len > lblk)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static int find_extent(
	struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t max, struct ext_run *ret)
{
	uint32_t i, skip;
	int r;

	r = ext_map_load(fs, node);
	if (r < 0)
		return r;
	i = run_search(node, lblk);
	if (i == node->n_runs || node->runs[i].lblk > lblk) {
		*ret = (struct ext_run){ .lblk = lblk, .len = max };
		if (i < node->n_runs && node->runs[i].lblk - lblk < max)
			ret->len = node->runs[i].lblk - lblk;
		return 0;
	}
	skip = lblk - node->runs[i].lblk;
	*ret = node->runs[i];
	ret->lblk += skip;
	ret->pblk += skip;
	ret->len -= skip;
	if (ret->len > max)
		ret->len = max;
	return 0;
}

/* ---- block maps (ext2, ext3) ---- */

struct ind_cache { /* the last indirect block of each level */
	uint64_t pblk[3];
	uint8_t *buf[3];
};

static void ind_done(struct ind_cache *c)
{
	for (int i = 0; i < 3; i++)
		free(c->buf[i]);
}

static int ind_read(struct br_extfs *fs, struct ind_cache *c, int level, uint32_t pblk, uint32_t index, uint32_t *ret)
{
	int r;

	if (!pblk) {
		*ret = 0;
		return 0;
	}
	if (!block_ok(fs, pblk, 1))
		return -EUCLEAN;
	if (!c->buf[level]) {
		c->buf[level] = malloc(fs->bs);
		if (!c->buf[level])
			return -ENOMEM;
	}
	if (c->pblk[level] != pblk) {
		c->pblk[level] = 0;
		r = br_cow_read(fs->cow, (uint64_t)pblk << fs->bs_bits, c->buf[level], fs->bs);
		if (r < 0)
			return r;
		c->pblk[level] = pblk;
	}
	*ret = br_load_le32(c->buf[level] + (size_t)index * 4);
	return 0;
}

static int ind_block(struct br_extfs *fs, struct ext_node *node, struct ind_cache *c, uint64_t lblk, uint32_t *ret)
{
	uint64_t per = fs->bs / 4, span = per;
	uint32_t p;
	int r = 0, depth;

	if (lblk < EXT2_NDIR_BLOCKS) {
		*ret = node->inode.i_block[lblk];
		return 0;
	}
	lblk -= EXT2_NDIR_BLOCKS;
	for (depth = 1; depth <= 3 && lblk >= span; depth++) {
		lblk -= span;
		span *= per;
	}
	if (depth > 3)
		return -EFBIG;
	p = node->inode.i_block[EXT2_IND_BLOCK + depth - 1];
	for (int level = depth - 1; level >= 0 && r == 0; level--) {
		span /= per;
		r = ind_read(fs, c, level, p, (uint32_t)(lblk / span), &p);
		lblk %= span;
	}
	if (r == 0)
		*ret = p;
	return r;
}

static int find_indirect(
	struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t max, struct ext_run *ret)
{
	struct ind_cache c = { 0 };
	uint32_t n, first = 0, p = 0;
	int r;

	if (max > 4096)
		max = 4096;
	r = ind_block(fs, node, &c, lblk, &first);
	if (r == -EFBIG) { /* behind the end of what the map can hold */
		first = 0;
		r = 0;
	}
	if (r == 0 && first && !block_ok(fs, first, 1))
		r = -EUCLEAN;
	for (n = 1; r == 0 && n < max; n++) {
		if (ind_block(fs, node, &c, (uint64_t)lblk + n, &p) < 0 || p != (first ? first + n : 0) ||
			(p && !block_ok(fs, p, 1)))
			break;
	}
	ind_done(&c);
	if (r == 0)
		*ret = (struct ext_run){ .lblk = lblk, .len = n, .pblk = first };
	return r;
}

int ext_map_find(struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t max, struct ext_run *ret)
{
	if (node->inode.i_flags & EXT4_INLINE_DATA_FL)
		return -EOPNOTSUPP;
	if (node->inode.i_flags & EXT4_EXTENTS_FL)
		return find_extent(fs, node, lblk, max, ret);
	return find_indirect(fs, node, lblk, max, ret);
}
