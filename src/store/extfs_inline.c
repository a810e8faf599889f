/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: content that lies in the inode (inline_data): 60 bytes where the map of blocks would be, the rest in the attribute
 * system.data. What fits into that is changed in place; what grows beyond moves to blocks. New nodes get blocks at once.
 */
#include "store/extfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

int ext_inline_read(struct br_extfs *fs, struct ext_node *node, void *buf, size_t size, size_t *ret_len)
{
	br_cleanup(br_freep) uint8_t *data = calloc(1, (size_t)fs->bs + sizeof(node->inode.i_block));
	size_t len = 0;
	errcode_t e;

	if (!data)
		return -ENOMEM;
	/* asked first: get() writes as much as the attribute says */
	e = ext2fs_inline_data_size(fs->e2, node->ino, &len);
	if (!e && len > fs->bs)
		return -EUCLEAN;
	if (!e)
		e = ext2fs_inline_data_get(fs->e2, node->ino, ext_small(node), data, &len);
	if (e)
		return ext_errno(e);
	if (len > size)
		len = size;
	memcpy(buf, data, len);
	*ret_len = len;
	return 0;
}

int ext_inline_store(struct br_extfs *fs, struct ext_node *node, void *buf, size_t len)
{
	int r = ext_node_write(fs, node, false);

	if (r == 0)
		r = ext_need_bitmaps(fs);
	if (r == 0)
		r = ext_errno(ext2fs_inline_data_set(fs->e2, node->ino, ext_small(node), buf, len));
	return r < 0 ? r : ext_node_reload(fs, node);
}

int ext_inline_fits(struct br_extfs *fs, struct ext_node *node, uint64_t size)
{
	size_t have = 0;
	int r = ext_errno(ext2fs_inline_data_size(fs->e2, node->ino, &have));

	return r < 0 ? r : size <= have;
}

int ext_inline_change(struct br_extfs *fs, struct ext_node *node, uint64_t offset, const void *buf, size_t len, uint64_t size)
{
	br_cleanup(br_freep) uint8_t *data = calloc(1, fs->bs);
	uint64_t old = ext_size(node), keep = old < size ? old : size;
	size_t have = 0;
	int r;

	if (!data)
		return -ENOMEM;
	r = ext_inline_read(fs, node, data, fs->bs, &have);
	if (r < 0)
		return r;
	if (size > have || offset + len > size)
		return -EUCLEAN;
	/* what lies behind the end is not ours to show */
	if (keep < have)
		memset(data + keep, 0, have - (size_t)keep);
	if (len)
		memcpy(data + offset, buf, len);
	node->inode.i_size = (uint32_t)size;
	return ext_inline_store(fs, node, data, have);
}

/* The attribute goes; the inode has an empty map then. */
static int become_mapped(struct br_extfs *fs, struct ext_node *node)
{
	struct ext2_xattr_handle *h;
	errcode_t e;
	int r = ext_node_write(fs, node, false);

	if (r == 0)
		r = ext_need_bitmaps(fs);
	if (r < 0)
		return r;
	e = ext2fs_xattrs_open(fs->e2, node->ino, &h);
	if (e)
		return ext_errno(e);
	e = ext2fs_xattrs_read(h);
	if (!e)
		e = ext2fs_xattr_remove(h, "system.data");
	ext2fs_xattrs_close(&h);
	if (e && e != EXT2_ET_EA_KEY_NOT_FOUND)
		return ext_errno(e);
	r = ext_node_reload(fs, node);
	if (r < 0)
		return r;
	node->inode.i_flags &= ~(uint32_t)EXT4_INLINE_DATA_FL;
	memset(node->inode.i_block, 0, sizeof(node->inode.i_block));
	ext_node_forget_runs(fs, node);
	if (ext2fs_has_feature_extents(fs->e2->super))
		ext_extent_root(node);
	node->inode.i_size = node->inode.i_size_high = 0;
	return ext_node_write(fs, node, false);
}

int ext_inline_leave(struct br_extfs *fs, struct ext_node *node)
{
	br_cleanup(br_freep) uint8_t *data = malloc(fs->bs);
	uint64_t size = ext_size(node);
	size_t have = 0;
	int r;

	if (!data)
		return -ENOMEM;
	r = ext_inline_read(fs, node, data, fs->bs, &have);
	if (r == 0)
		r = become_mapped(fs, node);
	if (r == 0 && size)
		r = ext_write_at(fs, node, 0, data, size < have ? (size_t)size : have);
	if (r == 0 && size > have) /* mke2fs -d leaves files of zeros in the inode, whatever their size: a hole */
		r = ext_errno(ext2fs_inode_size_set(fs->e2, ext_small(node), (ext2_off64_t)size));
	return r;
}

int ext_inline_leave_dir(struct br_extfs *fs, struct ext_node *dir, const uint8_t *block)
{
	struct ext_run run = { 0 };
	int r = become_mapped(fs, dir);

	if (r == 0)
		r = ext_map_alloc(fs, dir, 0, 1, &run);
	if (r == 0)
		r = ext_errno(ext2fs_inode_size_set(fs->e2, ext_small(dir), fs->bs));
	if (r == 0)
		r = ext_node_write(fs, dir, false);
	return r < 0 ? r
		     : ext_errno(ext2fs_write_dir_block4(
			       fs->e2, run.pblk, (void *)(uintptr_t)block, 0, dir->ino));
}
