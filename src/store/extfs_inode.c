/* SPDX-License-Identifier: Apache-2.0 */
/* ext4: inodes, their cache, attributes and times. */
#include "store/extfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

/* ---- the cache of nodes ---- */

static void lru_out(struct br_extfs *fs, struct ext_node *n)
{
	*(n->newer ? &n->newer->older : &fs->newest) = n->older;
	*(n->older ? &n->older->newer : &fs->oldest) = n->newer;
	n->newer = n->older = NULL;
}

static void lru_in(struct br_extfs *fs, struct ext_node *n)
{
	n->older = fs->newest;
	n->newer = NULL;
	*(fs->newest ? &fs->newest->newer : &fs->oldest) = n;
	fs->newest = n;
}

void ext_node_forget_runs(struct br_extfs *fs, struct ext_node *node)
{
	fs->n_runs -= node->n_runs;
	free(node->runs);
	node->runs = NULL;
	node->n_runs = node->cap_runs = 0;
	node->runs_loaded = false;
}

static void node_free(struct br_extfs *fs, struct ext_node *n)
{
	struct ext_node **p = &fs->nodes[n->ino % EXT_NODE_BUCKETS];

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	lru_out(fs, n);
	ext_node_forget_runs(fs, n);
	fs->n_nodes--;
	free(n);
}

static struct ext_node *node_find(struct br_extfs *fs, uint32_t ino)
{
	struct ext_node *n = fs->nodes[ino % EXT_NODE_BUCKETS];

	while (n && n->ino != ino)
		n = n->next;
	return n;
}

void ext_node_drop(struct br_extfs *fs, uint32_t ino)
{
	struct ext_node *n = node_find(fs, ino);

	if (n)
		node_free(fs, n);
}

void ext_nodes_drop(struct br_extfs *fs)
{
	while (fs->newest)
		node_free(fs, fs->newest);
}

static struct ext_node *node_new(struct br_extfs *fs, uint32_t ino)
{
	struct ext_node *n;

	if (fs->n_nodes >= EXT_NODES)
		node_free(fs, fs->oldest);
	/* the block maps of great files go when they are too many, oldest first, but never of the latest nodes */
	n = fs->oldest;
	for (unsigned i = fs->n_nodes; fs->n_runs > EXT_RUNS_KEEP && i > 16; i--, n = n->newer)
		ext_node_forget_runs(fs, n);
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->ino = ino;
	n->next = fs->nodes[ino % EXT_NODE_BUCKETS];
	fs->nodes[ino % EXT_NODE_BUCKETS] = n;
	lru_in(fs, n);
	fs->n_nodes++;
	return n;
}

int ext_node_raw(struct br_extfs *fs, uint64_t ino, struct ext_node **ret)
{
	struct ext_node *n;
	errcode_t e;

	if (ino == 0 || ino > fs->e2->super->s_inodes_count)
		return -ESTALE;
	n = node_find(fs, (uint32_t)ino);
	if (n) {
		if (fs->newest != n) {
			lru_out(fs, n);
			lru_in(fs, n);
		}
		*ret = n;
		return 0;
	}
	n = node_new(fs, (uint32_t)ino);
	if (!n)
		return -ENOMEM;
	e = ext2fs_read_inode_full(fs->e2, n->ino, ext_small(n), sizeof(n->inode));
	if (e) {
		node_free(fs, n);
		return ext_errno(e);
	}
	*ret = n;
	return 0;
}

int ext_node_get(struct br_extfs *fs, uint64_t ino, struct ext_node **ret)
{
	struct ext_node *n;
	int r;

	if (ino != EXT2_ROOT_INO && ino < EXT2_FIRST_INO(fs->e2->super))
		return -ESTALE;
	r = ext_node_raw(fs, ino, &n);
	if (r)
		return r;
	if (n->inode.i_links_count == 0 || n->inode.i_mode == 0)
		return -ESTALE;
	if (ext_size(n) > INT64_MAX)
		return -EUCLEAN;
	*ret = n;
	return 0;
}

int ext_node_dir(struct br_extfs *fs, uint64_t ino, struct ext_node **ret)
{
	struct ext_node *n = NULL;
	int r = ext_node_get(fs, ino, &n);

	if (r < 0)
		return r;
	if (!ext_is(n, LINUX_S_IFDIR))
		return -ENOTDIR;
	*ret = n;
	return 0;
}

int ext_node_fresh(struct br_extfs *fs, uint32_t ino, struct ext_node **ret)
{
	struct ext_node *n = node_find(fs, ino);

	/* a damaged bitmap gives away what is in use: perhaps the very directory the caller holds */
	if (n && n->inode.i_links_count)
		return -EUCLEAN;
	ext_node_drop(fs, ino);
	n = node_new(fs, ino);
	if (!n)
		return -ENOMEM;
	n->runs_loaded = true; /* no blocks */
	*ret = n;
	return 0;
}

int ext_node_write(struct br_extfs *fs, struct ext_node *node, bool fresh)
{
	br_cleanup(br_freep) void *whole = NULL;

	fs->touched = true;
	if (!fresh)
		return ext_errno(ext2fs_write_inode_full(
			fs->e2, node->ino, ext_small(node), sizeof(node->inode)));
	whole = calloc(1, fs->inode_size > sizeof(node->inode) ? fs->inode_size : sizeof(node->inode));
	if (!whole)
		return -ENOMEM;
	memcpy(whole, &node->inode, sizeof(node->inode));
	return ext_errno(ext2fs_write_inode_full(fs->e2, node->ino, whole, (int)fs->inode_size));
}

int ext_node_reload(struct br_extfs *fs, struct ext_node *node)
{
	return ext_errno(ext2fs_read_inode_full(fs->e2, node->ino, ext_small(node), sizeof(node->inode)));
}

/* ---- times ---- */

/* Does the inode on the disk have this field of the large part? */
#define HAS(fs, node, field) \
	has_field(fs, node, offsetof(struct ext2_inode_large, field) + sizeof((node)->inode.field))

static bool has_field(const struct br_extfs *fs, const struct ext_node *node, size_t end)
{
	return fs->inode_size >= end &&
	       (size_t)node->inode.i_extra_isize + EXT2_GOOD_OLD_INODE_SIZE >= end;
}

/* 34 bits of seconds and 30 of nanoseconds when there is room, else 32 bits of seconds. */
static struct timespec time_get(uint32_t sec, uint32_t extra, bool has_extra)
{
	struct timespec t = { .tv_sec = (int32_t)sec };

	if (has_extra) {
		t.tv_sec += (time_t)((uint64_t)(extra & EXT4_EPOCH_MASK) << 32);
		t.tv_nsec = extra >> EXT4_EPOCH_BITS;
		if (t.tv_nsec > 999999999)
			t.tv_nsec = 0;
	}
	return t;
}

static uint32_t time_put(struct timespec t, bool has_extra, uint32_t *extra)
{
	int64_t max = has_extra ? (int64_t)INT32_MAX + (3ll << 32) : INT32_MAX;
	int64_t sec = t.tv_sec < INT32_MIN ? INT32_MIN : t.tv_sec > max ? max : t.tv_sec;

	if (has_extra)
		*extra = (uint32_t)(((uint64_t)(sec - (int32_t)sec) >> 32) & EXT4_EPOCH_MASK) |
			 (uint32_t)t.tv_nsec << EXT4_EPOCH_BITS;
	return (uint32_t)sec;
}

void ext_set_times(struct br_extfs *fs, struct ext_node *node, unsigned which, struct timespec t)
{
	struct ext2_inode_large *i = &node->inode;

	if (which & EXT_ATIME)
		i->i_atime = time_put(t, HAS(fs, node, i_atime_extra), &i->i_atime_extra);
	if (which & EXT_MTIME)
		i->i_mtime = time_put(t, HAS(fs, node, i_mtime_extra), &i->i_mtime_extra);
	if (which & EXT_CTIME)
		i->i_ctime = time_put(t, HAS(fs, node, i_ctime_extra), &i->i_ctime_extra);
	if (which & EXT_CRTIME && HAS(fs, node, i_crtime))
		i->i_crtime = time_put(t, HAS(fs, node, i_crtime_extra), &i->i_crtime_extra);
}

void ext_touch(struct br_extfs *fs, struct ext_node *node, unsigned which)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	ext_set_times(fs, node, which, now);
	if (!++node->inode.osd1.linux1.l_i_version && HAS(fs, node, i_version_hi))
		node->inode.i_version_hi++;
}

/* ---- owner ---- */

uint32_t ext_uid(const struct ext_node *node)
{
	return inode_uid(node->inode);
}

uint32_t ext_gid(const struct ext_node *node)
{
	return inode_gid(node->inode);
}

void ext_set_owner(struct ext_node *node, uint32_t uid, uint32_t gid)
{
	node->inode.i_uid = (uint16_t)uid;
	node->inode.i_gid = (uint16_t)gid;
	ext2fs_set_i_uid_high(node->inode, (uint16_t)(uid >> 16));
	ext2fs_set_i_gid_high(node->inode, (uint16_t)(gid >> 16));
}

int ext_may_add(const struct ext_node *dir)
{
	return dir->inode.i_flags & EXT2_IMMUTABLE_FL ? -EPERM : 0;
}

int ext_may_remove(const struct ext_node *dir, const struct ext_node *n)
{
	return (dir->inode.i_flags | n->inode.i_flags) & (EXT2_IMMUTABLE_FL | EXT2_APPEND_FL) ? -EPERM : 0;
}

void ext_kill_suid(struct ext_node *node)
{
	if (ext_is(node, LINUX_S_IFDIR))
		return;
	node->inode.i_mode &= (uint16_t)~LINUX_S_ISUID;
	/* setgid without group execute marks mandatory locking; Linux leaves it */
	if (node->inode.i_mode & LINUX_S_IXGRP)
		node->inode.i_mode &= (uint16_t)~LINUX_S_ISGID;
}

/* ---- the operations ---- */

/* Two encodings: the old 8+8 bits in the first word, else 12+20 bits in the second. */
static void device_get(const struct ext2_inode_large *i, uint32_t *ret_major, uint32_t *ret_minor)
{
	uint32_t v = i->i_block[0];

	if (v) {
		*ret_major = v >> 8 & 0xff;
		*ret_minor = v & 0xff;
		return;
	}
	v = i->i_block[1];
	*ret_major = (v & 0xfff00) >> 8;
	*ret_minor = (v & 0xff) | (v >> 12 & 0xfff00);
}

int ext_getattr(struct br_fs *base, uint64_t ino, struct br_fs_attr *ret)
{
	struct br_extfs *fs = ext_of(base);
	const struct ext2_inode_large *i;
	struct ext_node *n = NULL;
	int r;

	r = ext_node_get(fs, ino, &n);
	if (r < 0)
		return r;
	i = &n->inode;
	*ret = (struct br_fs_attr){
		.ino = ino,
		.generation = i->i_generation,
		.mode = i->i_mode,
		.nlink = i->i_links_count,
		.uid = ext_uid(n),
		.gid = ext_gid(n),
		.size = ext_size(n),
		.used = ext2fs_get_stat_i_blocks(fs->e2, ext_small(n)) * 512,
		.atime = time_get(i->i_atime, i->i_atime_extra, HAS(fs, n, i_atime_extra)),
		.mtime = time_get(i->i_mtime, i->i_mtime_extra, HAS(fs, n, i_mtime_extra)),
		.ctime = time_get(i->i_ctime, i->i_ctime_extra, HAS(fs, n, i_ctime_extra)),
	};
	if (ext_is(n, LINUX_S_IFCHR) || ext_is(n, LINUX_S_IFBLK))
		device_get(i, &ret->rdev_major, &ret->rdev_minor);
	return 0;
}

/* may_setattr() of Linux; times are not told apart here from 'touch', which +a lets pass. */
static int may_set(const struct ext_node *n, unsigned set)
{
	uint32_t flags = n->inode.i_flags;

	if (flags & EXT2_IMMUTABLE_FL)
		return set ? -EPERM : 0;
	if (flags & EXT2_APPEND_FL && set & (BR_FS_SET_MODE | BR_FS_SET_UID | BR_FS_SET_GID | BR_FS_SET_SIZE))
		return -EPERM;
	return flags & EXT4_VERITY_FL && set & BR_FS_SET_SIZE ? -EPERM : 0;
}

static int setattr_do(struct br_extfs *fs, struct ext_node *n, const struct br_fs_setattr *a)
{
	int r = may_set(n, a->set);

	if (r < 0)
		return r;
	fs->touched = true; /* from here on the node may be half done */
	if (a->set & BR_FS_SET_SIZE) {
		if (ext_is(n, LINUX_S_IFDIR))
			return -EISDIR;
		if (!ext_is(n, LINUX_S_IFREG))
			return -EINVAL;
		r = ext_truncate(fs, n, a->size);
		if (r < 0)
			return r;
		ext_kill_suid(n);
		/* also when the size is the same: an NFS client asks for that in open(2) with O_TRUNC and in
		 * ftruncate(2), which mark the file, never in truncate(2), which would not */
		ext_touch(fs, n, EXT_MTIME);
	}
	if (a->set & (BR_FS_SET_UID | BR_FS_SET_GID)) {
		ext_set_owner(n, a->set & BR_FS_SET_UID ? a->uid : ext_uid(n),
			a->set & BR_FS_SET_GID ? a->gid : ext_gid(n));
		ext_kill_suid(n);
	}
	if (a->set & BR_FS_SET_MODE) {
		n->inode.i_mode = (uint16_t)((n->inode.i_mode & LINUX_S_IFMT) | (a->mode & 07777));
		r = ext_acl_chmod(fs, n);
		if (r < 0)
			return r;
	}
	if (a->set & BR_FS_SET_ATIME)
		ext_set_times(fs, n, EXT_ATIME, a->atime);
	if (a->set & BR_FS_SET_MTIME)
		ext_set_times(fs, n, EXT_MTIME, a->mtime);
	ext_touch(fs, n, EXT_CTIME);
	return ext_node_write(fs, n, false);
}

int ext_setattr(struct br_fs *base, uint64_t ino, const struct br_fs_setattr *attr)
{
	struct br_extfs *fs = ext_of(base);
	struct ext_node *n;
	int r;

	r = ext_begin(fs);
	if (r < 0)
		return r;
	r = ext_node_get(fs, ino, &n);
	if (r == 0)
		r = setattr_do(fs, n, attr);
	return ext_end(fs, r);
}

int ext_readlink(struct br_fs *base, uint64_t ino, char *buf, size_t size)
{
	struct br_extfs *fs = ext_of(base);
	struct ext_node *n;
	uint64_t len;
	size_t got;
	bool eof;
	int r;

	r = ext_node_get(fs, ino, &n);
	if (r < 0)
		return r;
	if (!ext_is(n, LINUX_S_IFLNK))
		return -EINVAL;
	len = ext_size(n);
	if (len >= 4096 || len == 0)
		return -EUCLEAN;
	if (len >= size)
		return -ENAMETOOLONG;
	if (len < sizeof(n->inode.i_block)) {
		memcpy(buf, n->inode.i_block, len);
	} else {
		r = ext_read(base, ino, 0, buf, len, &got, &eof);
		if (r < 0)
			return r;
		if (got != len)
			return -EUCLEAN;
	}
	buf[len] = 0;
	return memchr(buf, 0, len) ? -EUCLEAN : 0;
}
