/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of the ext4 implementation: shared by extfs*.c, nobody else. */
#include <ext2fs/ext2fs.h>

#include "store/cow.h"
#include "store/extfs.h"

/* Blocks of a file that lie one behind the other. len is at most 2^32 - 1 blocks. */
struct ext_run {
	uint32_t lblk, len;
	uint64_t pblk : 48;	/* 0: a hole (only in answers, never stored) */
	uint64_t unwritten : 1; /* allocated, reads as zeros */
};

/*
 * An inode in use: its content and the map of its blocks. Kept in a table of limited size; the one
 * used longest ago goes first. A pointer stays good until 16 other inodes have been asked for.
 */
struct ext_node {
	uint32_t ino;
	struct ext_node *next;		 /* hash chain */
	struct ext_node *newer, *older; /* by use */
	struct ext2_inode_large inode;
	struct ext_run *runs; /* sorted by lblk; extent files only */
	uint32_t n_runs, cap_runs;
	bool runs_loaded;
	uint8_t xattrs; /* enum ext_xattrs */
};

/* Does the inode have extended attributes? Those of an inode in the cache are made by us only: extfs_acl.c. */
enum ext_xattrs { EXT_XATTRS_UNKNOWN, EXT_XATTRS_NONE, EXT_XATTRS_SOME };

#define EXT_NODES	 128u
#define EXT_NODE_BUCKETS 128u
#define EXT_RUNS_KEEP	 65536u	  /* runs cached per file system before old ones go */
#define EXT_RUNS_MAX	 4194304u /* per file: more is damage */

/* One directory's names: see extfs_dir.c. */
struct ext_dirindex;

struct ext_alloc { /* blocks or an inode taken (+1) or given back (-1) by this operation */
	uint64_t first;
	uint32_t n;
	int8_t inuse;
	bool inode, dir;
};

struct br_extfs {
	struct br_fs fs;
	ext2_filsys e2;
	struct br_cow *cow;
	bool writable;
	bool bitmaps;  /* loaded, at the first allocation */
	uint8_t *dirty_groups; /* extfs_bitmaps.c; NULL: not loaded, or the library writes them all */
	bool in_op;
	bool undoing;  /* allocations are not logged */
	bool log_full; /* the allocation log ran out of memory: the operation must fail */
	bool touched;  /* this operation changed something */
	int io_failed; /* the first failure of the layer in this operation, whatever the library made of it */
	uint32_t bs, bs_bits;
	uint32_t inode_size;
	uint64_t n_blocks;

	struct ext_node *nodes[EXT_NODE_BUCKETS];
	struct ext_node *newest, *oldest;
	uint32_t n_nodes;
	uint64_t n_runs; /* of all nodes */

	struct ext_dirindex *indexes; /* most recently used first */
	size_t index_bytes;
	uint64_t name_seed;

	struct ext_alloc *allocs;
	size_t n_allocs, cap_allocs;

	void (*on_close)(void *ctx);
	void *close_ctx;

	uint8_t *block; /* one block of scratch for directory operations */
};

static inline struct br_extfs *ext_of(struct br_fs *fs)
{
	return (struct br_extfs *)fs;
}

static inline struct ext2_inode *ext_small(struct ext_node *node)
{
	return (struct ext2_inode *)&node->inode;
}

static inline uint64_t ext_size(const struct ext_node *node)
{
	return node->inode.i_size | (uint64_t)node->inode.i_size_high << 32;
}

static inline bool ext_is(const struct ext_node *node, uint32_t type)
{
	return (node->inode.i_mode & LINUX_S_IFMT) == type;
}

/* libext2fs's error as a negative errno; 0 stays 0. */
int ext_errno_of(errcode_t e);

/* Negative for every error, and known to be so. */
static inline int ext_errno(errcode_t e)
{
	return e ? br_error_negative(ext_errno_of(e)) : 0;
}

/* extfs_super.c: is this an ext4 that can be served? */
int ext_check_super(struct br_cow *cow, bool writable, struct br_error *err);

/* extfs_recover.c: after these two the library must be opened anew. */
int ext_recover_journal(struct br_extfs *fs, struct br_error *err);
int ext_recover_read_only(struct br_extfs *fs, struct br_error *err); /* in memory only */
/* Counts and orphans, then a commit. */
int ext_recover_rest(struct br_extfs *fs, bool replayed, struct br_error *err);

/* extfs_bitmaps.c */
int ext_bitmaps_load(struct br_extfs *fs);
/* A bit or more of these will differ. */
void ext_bitmaps_changed(struct br_extfs *fs, const struct ext_alloc *a);

/* extfs.c: every changing operation runs between these. end returns r, or why it could not be kept. */
int ext_begin(struct br_extfs *fs);
int ext_end(struct br_extfs *fs, int r);
/* Loads the bitmaps if they are not. */
int ext_need_bitmaps(struct br_extfs *fs);
/* -ENOSPC unless n blocks and a reserve for metadata are free. */
int ext_need_space(struct br_extfs *fs, uint64_t n_blocks);
void ext_take_blocks(struct br_extfs *fs, uint64_t first, uint32_t n); /* marks free blocks used */
void ext_log_inode(struct br_extfs *fs, uint32_t ino, int inuse, bool dir);

/* extfs_inode.c. get: -ESTALE when there is no such inode in use. */
int ext_node_get(struct br_extfs *fs, uint64_t ino, struct ext_node **ret);
/* As get, whatever its link count. */
int ext_node_raw(struct br_extfs *fs, uint64_t ino, struct ext_node **ret);
int ext_node_dir(struct br_extfs *fs, uint64_t ino, struct ext_node **ret); /* -ENOTDIR */
/* A node for an inode that was just allocated, all zeros. -EUCLEAN when it is known to be in use. */
int ext_node_fresh(struct br_extfs *fs, uint32_t ino, struct ext_node **ret);
/* Writes the inode. fresh: the whole on-disk inode, nothing of the old one kept. */
int ext_node_write(struct br_extfs *fs, struct ext_node *node, bool fresh);
/* After libext2fs changed it on its own. The map of blocks is as before. */
int ext_node_reload(struct br_extfs *fs, struct ext_node *node);
void ext_node_forget_runs(struct br_extfs *fs, struct ext_node *node);
void ext_node_drop(struct br_extfs *fs, uint32_t ino);
void ext_nodes_drop(struct br_extfs *fs);

enum ext_time { EXT_ATIME = 1, EXT_MTIME = 2, EXT_CTIME = 4, EXT_CRTIME = 8 };
void ext_set_times(struct br_extfs *fs, struct ext_node *node, unsigned which, struct timespec t);
void ext_touch(struct br_extfs *fs, struct ext_node *node, unsigned which); /* now */
void ext_set_owner(struct ext_node *node, uint32_t uid, uint32_t gid);
uint32_t ext_uid(const struct ext_node *node);
uint32_t ext_gid(const struct ext_node *node);
/* chattr +i and +a, which bind root too, and verity. -EPERM as Linux: a name to be made below; a name of n to be removed. */
int ext_may_add(const struct ext_node *dir);
int ext_may_remove(const struct ext_node *dir, const struct ext_node *n);
/* What a write or a new owner does to setuid and setgid. */
void ext_kill_suid(struct ext_node *node);

int ext_getattr(struct br_fs *base, uint64_t ino, struct br_fs_attr *ret);
int ext_setattr(struct br_fs *base, uint64_t ino, const struct br_fs_setattr *attr);
int ext_readlink(struct br_fs *base, uint64_t ino, char *buf, size_t size);

/* An empty tree. */
void ext_extent_root(struct ext_node *node);

/* extfs_map.c: where the blocks of a file are. find: the run (or hole) that contains lblk, cut to begin at it and to
 * be no longer than max blocks. */
int ext_map_find(struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t max, struct ext_run *ret);
/* Whether the node's map has room for another run; false: no memory. */
bool ext_runs_room(struct ext_node *node);
/* Loads and checks the whole map of an extent file. */
int ext_map_load(struct br_extfs *fs, struct ext_node *node);
/* Allocates up to max blocks for the hole at lblk; ret is what was mapped. Neither zeroed nor written. */
int ext_map_alloc(struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t max, struct ext_run *ret);
/* Makes len unwritten blocks at lblk written ones. */
int ext_map_written(struct br_extfs *fs, struct ext_node *node, uint32_t lblk, uint32_t len);
/* Frees all blocks from lblk on. */
int ext_map_cut(struct br_extfs *fs, struct ext_node *node, uint32_t lblk);

/* extfs_data.c */
int ext_read(struct br_fs *base, uint64_t ino, uint64_t offset, void *buf, size_t len, size_t *ret_len,
	bool *ret_eof);
int ext_map(struct br_fs *base, uint64_t ino, uint64_t offset, size_t len, struct br_fs_map *ret);
int ext_write(struct br_fs *base, uint64_t ino, uint64_t offset, const void *buf, size_t len);
/* Inside of an operation: no times, no setuid. */
int ext_truncate(struct br_extfs *fs, struct ext_node *node, uint64_t size);
int ext_write_at(struct br_extfs *fs, struct ext_node *node, uint64_t offset, const void *buf, size_t len);

/* extfs_inline.c: content in the inode. All but read and fits are inside of an operation. */
int ext_inline_read(struct br_extfs *fs, struct ext_node *node, void *buf, size_t size, size_t *ret_len);
/* len: what read said; the library's errors for more. */
int ext_inline_store(struct br_extfs *fs, struct ext_node *node, void *buf, size_t len);
int ext_inline_fits(struct br_extfs *fs, struct ext_node *node, uint64_t size); /* 1: in place */
/* Bytes of a file that fits, and its new size. */
int ext_inline_change(
	struct br_extfs *fs, struct ext_node *node, uint64_t offset, const void *buf, size_t len, uint64_t size);
int ext_inline_leave(struct br_extfs *fs, struct ext_node *node); /* a file, to blocks */
/* A directory, to one block with this content. */
int ext_inline_leave_dir(struct br_extfs *fs, struct ext_node *dir, const uint8_t *block);

/* extfs_acl.c. Both are inside of an operation, of a node that was written. inherit: n is new and has its content. */
int ext_acl_inherit(struct br_extfs *fs, struct ext_node *dir, struct ext_node *n);
int ext_acl_chmod(struct br_extfs *fs, struct ext_node *n);

/* extfs_dir.c: names. find: -ENOENT. All but find are inside of an operation. */
int ext_dir_find(struct br_extfs *fs, struct ext_node *dir, const char *name, uint32_t *ret_ino);
/* type: EXT2_FT_*. The name is known to be new. May grow the directory. */
int ext_dir_add(struct br_extfs *fs, struct ext_node *dir, const char *name, uint32_t ino, int type);
int ext_dir_remove(struct br_extfs *fs, struct ext_node *dir, const char *name);
/* Makes the entry (".." too) point to another inode. */
int ext_dir_replace(struct br_extfs *fs, struct ext_node *dir, const char *name, uint32_t ino, int type);
/* 1: no names but "." and "..". */
int ext_dir_is_empty(struct br_extfs *fs, struct ext_node *dir);
/* First block of a new directory. */
int ext_dir_init(struct br_extfs *fs, struct ext_node *dir, uint32_t parent);
void ext_dir_forget(struct br_extfs *fs, uint32_t ino);
void ext_dirs_drop(struct br_extfs *fs);
int ext_lookup(struct br_fs *base, uint64_t dir, const char *name, uint64_t *ret_ino);
int ext_readdir(struct br_fs *base, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx, bool *ret_eof);

/* extfs_node.c */
int ext_create(struct br_fs *base, uint64_t dir, const char *name, const struct br_fs_new *node, uint64_t *ret_ino);
int ext_link(struct br_fs *base, uint64_t ino, uint64_t dir, const char *name);
int ext_unlink(struct br_fs *base, uint64_t dir, const char *name);
int ext_rmdir(struct br_fs *base, uint64_t dir, const char *name);
int ext_rename(struct br_fs *base, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to);
/* Frees the inode and all it has. Inside of an operation. */
int ext_node_delete(struct br_extfs *fs, struct ext_node *node);
