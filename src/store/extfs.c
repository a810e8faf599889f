/* SPDX-License-Identifier: Apache-2.0 */
/* ext4: opening, the bracket around an operation, commit. */
#include "store/extfs_priv.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "store/extio.h"

/* Blocks kept for the metadata of whatever comes: index blocks, a growing directory. */
#define SPACE_RESERVE 16u

int ext_errno_of(errcode_t e)
{
	static const struct {
		errcode_t e;
		int r;
	} table[] = {
		{ EXT2_ET_NO_MEMORY, -ENOMEM },
		{ EXT2_ET_BLOCK_ALLOC_FAIL, -ENOSPC },
		{ EXT2_ET_INODE_ALLOC_FAIL, -ENOSPC },
		{ EXT2_ET_EA_NO_SPACE, -ENOSPC },
		{ EXT2_ET_FILE_TOO_BIG, -EFBIG },
		{ EXT2_ET_RO_FILSYS, -EROFS },
		{ EXT2_ET_UNIMPLEMENTED, -EOPNOTSUPP },
		{ EXT2_ET_OP_NOT_SUPPORTED, -EOPNOTSUPP },
		{ EXT2_ET_SHORT_READ, -EUCLEAN }, /* our channel: a block number beyond the end */
		{ EXT2_ET_SHORT_WRITE, -EUCLEAN },
	};

	if (e == 0)
		return 0;
	if (e == EOVERFLOW)
		return -EFBIG;
	if (e > 0 && e < 256) /* the library passes errnos of the channel through */
		return -(int)e;
	for (size_t i = 0; i < BR_ARRAY_SIZE(table); i++)
		if (table[i].e == e)
			return table[i].r;
	return -EUCLEAN; /* the many ways a structure can be wrong */
}

/* ---- the bracket ---- */

static void log_alloc(struct br_extfs *fs, struct ext_alloc a)
{
	struct ext_alloc *last = fs->n_allocs ? &fs->allocs[fs->n_allocs - 1] : NULL;

	if (fs->undoing)
		return;
	ext_bitmaps_changed(fs, &a);
	fs->touched = true;
	if (last && !a.inode && !last->inode && last->inuse == a.inuse && last->first + last->n == a.first &&
		last->n < INT32_MAX && a.n < INT32_MAX) {
		last->n += a.n;
		return;
	}
	if (br_array_reserve(&fs->allocs, &fs->cap_allocs, fs->n_allocs + 1, sizeof(*fs->allocs)) < 0) {
		fs->log_full = true;
		return;
	}
	fs->allocs[fs->n_allocs++] = a;
}

static void on_block(ext2_filsys e2, blk64_t blk, int inuse)
{
	log_alloc(e2->priv_data, (struct ext_alloc){ .first = blk, .n = 1, .inuse = (int8_t)(inuse > 0 ? 1 : -1) });
}

/* The library's callback for ranges comes after it has counted the range down to nothing (1.47), so ranges are taken
 * and logged here only. */
void ext_take_blocks(struct br_extfs *fs, uint64_t first, uint32_t n)
{
	ext2fs_block_alloc_stats_range(fs->e2, first, n, +1);
	log_alloc(fs, (struct ext_alloc){ .first = first, .n = n, .inuse = 1 });
}

void ext_log_inode(struct br_extfs *fs, uint32_t ino, int inuse, bool dir)
{
	log_alloc(fs, (struct ext_alloc){
			      .first = ino, .n = 1, .inuse = (int8_t)inuse, .inode = true, .dir = dir });
}

int ext_begin(struct br_extfs *fs)
{
	assert(!fs->in_op);
	if (!fs->writable)
		return -EROFS;
	fs->in_op = true;
	fs->touched = fs->log_full = false;
	fs->io_failed = 0;
	fs->n_allocs = 0;
	br_cow_begin(fs->cow);
	return 0;
}

static void caches_drop(struct br_extfs *fs)
{
	ext_nodes_drop(fs);
	ext_dirs_drop(fs);
	ext2fs_flush_icache(fs->e2);
}

/* Takes the allocations of a failed operation back in the library's memory, newest first. */
static void undo_allocs(struct br_extfs *fs)
{
	fs->undoing = true;
	while (fs->n_allocs) {
		const struct ext_alloc *a = &fs->allocs[--fs->n_allocs];

		if (a->inode)
			ext2fs_inode_alloc_stats2(fs->e2, (ext2_ino_t)a->first, -a->inuse, a->dir);
		else
			ext2fs_block_alloc_stats_range(fs->e2, a->first, a->n, -a->inuse);
	}
	fs->undoing = false;
}

static bool all_free(struct br_extfs *fs, uint64_t first, uint64_t n)
{
	for (uint64_t b = first; b < first + n; b++)
		if (b >= fs->n_blocks || b < fs->e2->super->s_first_data_block ||
			ext2fs_test_block_bitmap2(fs->e2->block_map, b))
			return false;
	return true;
}

/* What was freed needs no place in the layer. */
static int trim_freed(struct br_extfs *fs)
{
	uint32_t per = BR_COW_BLOCK >> fs->bs_bits;

	for (size_t i = 0; i < fs->n_allocs; i++) {
		const struct ext_alloc *a = &fs->allocs[i];

		if (a->inode || a->inuse > 0)
			continue;
		for (uint64_t b = a->first / per; b <= (a->first + a->n - 1) / per; b++) {
			int r;

			if (!br_cow_changed(fs->cow, b) || !all_free(fs, b * per, per))
				continue;
			r = br_cow_trim(fs->cow, b, 1);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int ext_end(struct br_extfs *fs, int r)
{
	if (r >= 0 && fs->log_full)
		r = -ENOMEM;
	if (r >= 0 && fs->io_failed)
		r = fs->io_failed;
	if (r >= 0)
		(void)trim_freed(fs); /* only saves space */
	if (r < 0 && fs->touched) {
		undo_allocs(fs);
		br_cow_end(fs->cow, false);
		caches_drop(fs);
	} else {
		br_cow_end(fs->cow, true);
	}
	fs->in_op = false;
	return r;
}

int ext_need_bitmaps(struct br_extfs *fs)
{
	int r;

	if (fs->bitmaps)
		return 0;
	r = ext_bitmaps_load(fs);
	fs->bitmaps = r == 0;
	return r;
}

int ext_need_space(struct br_extfs *fs, uint64_t n_blocks)
{
	/* every 300 blocks of a scattered file may need a block of its tree */
	uint64_t need = n_blocks + n_blocks / 64 + SPACE_RESERVE;

	return ext2fs_free_blocks_count(fs->e2->super) >= need ? 0 : -ENOSPC;
}

/* ---- the operations of the whole ---- */

/* What the library keeps in memory goes to the layer. */
static int flush(struct br_extfs *fs)
{
	errcode_t e = 0;

	fs->io_failed = 0;
	if (ext2fs_test_ib_dirty(fs->e2) || ext2fs_test_bb_dirty(fs->e2) || fs->e2->flags & EXT2_FLAG_DIRTY)
		e = ext2fs_flush2(fs->e2, EXT2_FLAG_FLUSH_NO_SYNC);
	return e ? ext_errno(e) : fs->io_failed;
}

static int fs_commit(struct br_fs *base)
{
	struct br_extfs *fs = ext_of(base);
	int r = fs->writable ? flush(fs) : 0;

	return r < 0 || !fs->writable ? r : br_cow_commit(fs->cow);
}

static int fs_commit_begin(struct br_fs *base, uint64_t *ret_ticket)
{
	struct br_extfs *fs = ext_of(base);
	int r = fs->writable ? flush(fs) : 0;

	return r < 0 || !fs->writable ? r : br_cow_commit_begin(fs->cow, ret_ticket);
}

static int fs_commit_sync(struct br_fs *base, uint64_t ticket)
{
	return br_cow_commit_sync(ext_of(base)->cow, ticket);
}

static int fs_commit_end(struct br_fs *base, uint64_t ticket, int r)
{
	return br_cow_commit_end(ext_of(base)->cow, ticket, r);
}

static uint64_t overhead_blocks(ext2_filsys e2)
{
	const struct ext2_super_block *sb = e2->super;
	uint64_t n = sb->s_first_data_block;

	if (sb->s_overhead_clusters)
		return sb->s_overhead_clusters;
	for (dgrp_t g = 0; g < e2->group_desc_count; g++) {
		n += 2 + e2->inode_blocks_per_group;
		if (ext2fs_bg_has_super(e2, g))
			n += 1 + e2->desc_blocks + sb->s_reserved_gdt_blocks;
	}
	if (ext2fs_has_feature_journal(e2->super) && sb->s_jnl_backup_type == EXT3_JNL_BACKUP_BLOCKS)
		n += ((uint64_t)sb->s_jnl_blocks[15] << 32 | sb->s_jnl_blocks[16]) / e2->blocksize;
	return n;
}

static int fs_statfs(struct br_fs *base, struct br_fs_statfs *ret)
{
	struct br_extfs *fs = ext_of(base);
	struct ext2_super_block *sb = fs->e2->super;
	uint64_t blocks = fs->n_blocks, over = overhead_blocks(fs->e2);
	uint64_t free_blocks = ext2fs_free_blocks_count(sb), kept = ext2fs_r_blocks_count(sb);

	if (free_blocks > blocks)
		free_blocks = blocks;
	if (over > blocks)
		over = 0;
	*ret = (struct br_fs_statfs){
		.total_bytes = (blocks - over) << fs->bs_bits,
		.free_bytes = free_blocks << fs->bs_bits,
		.avail_bytes = (free_blocks > kept ? free_blocks - kept : 0) << fs->bs_bits,
		.total_files = sb->s_inodes_count,
		.free_files = sb->s_free_inodes_count,
	};
	return 0;
}

static uint64_t fs_root(struct br_fs *base)
{
	return EXT2_ROOT_INO;
}

static void fs_close(struct br_fs *base)
{
	struct br_extfs *fs = ext_of(base);

	ext_nodes_drop(fs);
	ext_dirs_drop(fs);
	if (fs->e2)
		ext2fs_free(fs->e2);
	if (fs->on_close)
		fs->on_close(fs->close_ctx);
	free(fs->allocs);
	free(fs->dirty_groups);
	free(fs->block);
	free(fs);
}

void br_extfs_on_close(struct br_fs *fs, void (*fn)(void *ctx), void *ctx)
{
	ext_of(fs)->on_close = fn;
	ext_of(fs)->close_ctx = ctx;
}

static const struct br_fs_ops ext_ops = {
	.close = fs_close,
	.root = fs_root,
	.getattr = ext_getattr,
	.setattr = ext_setattr,
	.lookup = ext_lookup,
	.readlink = ext_readlink,
	.read = ext_read,
	.write = ext_write,
	.create = ext_create,
	.link = ext_link,
	.unlink = ext_unlink,
	.rmdir = ext_rmdir,
	.rename = ext_rename,
	.readdir = ext_readdir,
	.statfs = fs_statfs,
	.commit = fs_commit,
	.commit_begin = fs_commit_begin,
	.commit_sync = fs_commit_sync,
	.commit_end = fs_commit_end,
	.map = ext_map,
};

/* ---- opening ---- */

static void error_words(void)
{
	initialize_ext2_error_table();
}

static int open_library(struct br_extfs *fs, struct br_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int flags = EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP | (fs->writable ? EXT2_FLAG_RW : 0);
	errcode_t e = br_extio_open(fs->cow, flags, &fs->e2);

	if (e) {
		pthread_once(&once, error_words);
		fs->e2 = NULL;
		return br_error_set(err, e == EXT2_ET_NO_MEMORY ? ENOMEM : EUCLEAN,
			"the ext4 file system cannot be opened: %s; run 'e2fsck -f' on the image's root partition",
			error_message(e));
	}
	/* backups of the superblock stay as they are, as under Linux */
	fs->e2->flags |= EXT2_FLAG_MASTER_SB_ONLY;
	fs->e2->priv_data = fs;
	fs->e2->io->app_data = &fs->io_failed;
	ext2fs_set_block_alloc_stats_callback(fs->e2, on_block, NULL);
	fs->bs = fs->e2->blocksize;
	fs->bs_bits = (uint32_t)__builtin_ctz(fs->bs);
	fs->inode_size = EXT2_INODE_SIZE(fs->e2->super);
	fs->n_blocks = ext2fs_blocks_count(fs->e2->super);
	return 0;
}

/* Bitmaps and inode tables must lie within the file system: the library believes them. */
static int check_groups(struct br_extfs *fs, struct br_error *err)
{
	uint64_t first, end = fs->n_blocks;

	assert(fs->e2);
	first = fs->e2->super->s_first_data_block;

	for (dgrp_t g = 0; g < fs->e2->group_desc_count; g++) {
		uint64_t b = ext2fs_block_bitmap_loc(fs->e2, g), i = ext2fs_inode_bitmap_loc(fs->e2, g);
		uint64_t t = ext2fs_inode_table_loc(fs->e2, g);

		if (b <= first || b >= end || i <= first || i >= end || t <= first || t >= end ||
			fs->e2->inode_blocks_per_group > end - t)
			return br_error_set(err, EUCLEAN,
				"the ext4 file system is damaged: block group %u points outside of it; "
				"run 'e2fsck -f' on the image's root partition", g);
	}
	return 0;
}

static int check_root(struct br_extfs *fs, struct br_error *err)
{
	struct ext_node *root;
	int r = ext_node_dir(fs, EXT2_ROOT_INO, &root);

	if (r < 0)
		return br_error_set(err, r == -ENOMEM ? ENOMEM : EUCLEAN,
			"the ext4 file system is damaged: its root directory cannot be read (%s); "
			"run 'e2fsck -f' on the image's root partition", strerrordesc_np(-r));
	return 0;
}

/* The library and what it read of the groups; all of it damaged things are refused here. */
static int open_checked(struct br_extfs *fs, struct br_error *err)
{
	int r = ext_check_super(fs->cow, fs->writable, err);

	if (r == 0)
		r = open_library(fs, err);
	return r < 0 ? r : check_groups(fs, err);
}

static int open_recovered(struct br_extfs *fs, struct br_error *err)
{
	bool replay;
	int r = open_checked(fs, err);

	if (r < 0)
		return r;
	replay = ext2fs_has_feature_journal_needs_recovery(fs->e2->super);
	if (replay) {
		r = fs->writable ? ext_recover_journal(fs, err) : ext_recover_read_only(fs, err);
		if (r < 0)
			return r;
		ext_nodes_drop(fs);
		ext2fs_free(fs->e2);
		fs->e2 = NULL;
		r = open_checked(fs, err);
		if (r < 0)
			return r;
	}
	fs->block = calloc(1, fs->bs);
	if (!fs->block)
		return br_error_set(err, ENOMEM, "out of memory");
	r = check_root(fs, err);
	return r < 0 || !fs->writable ? r : ext_recover_rest(fs, replay, err);
}

int br_extfs_open(struct br_cow *cow, bool writable, struct br_fs **ret, struct br_error *err)
{
	struct br_extfs *fs;
	int r;

	fs = calloc(1, sizeof(*fs));
	if (!fs)
		return br_error_set(err, ENOMEM, "out of memory");
	fs->fs.ops = &ext_ops;
	fs->cow = cow;
	fs->writable = writable;
	br_random(&fs->name_seed, sizeof(fs->name_seed));
	r = open_recovered(fs, err);
	if (r < 0) {
		fs_close(&fs->fs);
		return r;
	}
	*ret = &fs->fs;
	return 0;
}
