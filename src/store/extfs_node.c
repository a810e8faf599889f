/* SPDX-License-Identifier: Apache-2.0 */
/* ext4: making, linking, moving and removing nodes, with Linux's rules for link counts and times. */
#include "store/extfs_priv.h"

#include <errno.h>
#include <ext2fs/ext3_extents.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

#define LINK_MAX_EXT4 65000u
/* How deep a directory may lie before its ".." chain is taken for a loop. */
#define DEPTH_MAX 65536u

static int dirent_type(const struct br_extfs *fs, uint32_t mode)
{
	static const uint8_t types[16] = {
		[LINUX_S_IFREG >> 12] = EXT2_FT_REG_FILE,
		[LINUX_S_IFDIR >> 12] = EXT2_FT_DIR,
		[LINUX_S_IFCHR >> 12] = EXT2_FT_CHRDEV,
		[LINUX_S_IFBLK >> 12] = EXT2_FT_BLKDEV,
		[LINUX_S_IFIFO >> 12] = EXT2_FT_FIFO,
		[LINUX_S_IFSOCK >> 12] = EXT2_FT_SOCK,
		[LINUX_S_IFLNK >> 12] = EXT2_FT_SYMLINK,
	};

	return ext2fs_has_feature_filetype(fs->e2->super) ? types[mode >> 12 & 15] : 0;
}

/* ---- link counts: a directory with more subdirectories than fit counts 1 for ever (dir_nlink) ---- */

static int dir_link_inc(struct br_extfs *fs, struct ext_node *dir)
{
	uint32_t n = dir->inode.i_links_count;

	if (n == 1)
		return 0;
	if (n >= LINK_MAX_EXT4) {
		if (!ext2fs_has_feature_dir_nlink(fs->e2->super))
			return -EMLINK;
		n = 0;
	}
	dir->inode.i_links_count = (uint16_t)(n + 1);
	return 0;
}

static void dir_link_dec(struct ext_node *dir)
{
	if (dir->inode.i_links_count > 2)
		dir->inode.i_links_count--;
}

/* ---- new nodes ---- */

static int type_ok(const struct br_fs_new *node)
{
	size_t n;

	switch (node->mode & LINUX_S_IFMT) {
	case LINUX_S_IFREG:
	case LINUX_S_IFDIR:
	case LINUX_S_IFIFO:
	case LINUX_S_IFSOCK:
		return 0;
	case LINUX_S_IFCHR:
	case LINUX_S_IFBLK:
		return node->rdev_major > 0xfff || node->rdev_minor > 0xfffff ? -EINVAL : 0;
	case LINUX_S_IFLNK:
		n = node->target ? strlen(node->target) : 0;
		return n == 0 ? -EINVAL : n > 4095 ? -ENAMETOOLONG : 0;
	default:
		return -EINVAL;
	}
}

static void device_put(struct ext_node *n, uint32_t major, uint32_t minor)
{
	if (major < 256 && minor < 256)
		n->inode.i_block[0] = major << 8 | minor;
	else
		n->inode.i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

void ext_extent_root(struct ext_node *n)
{
	uint8_t *p = (uint8_t *)n->inode.i_block;

	n->inode.i_flags |= EXT4_EXTENTS_FL;
	br_store_le16(p, EXT3_EXT_MAGIC);
	br_store_le16(p + 4, (sizeof(n->inode.i_block) - 12) / 12);
}

/* What Linux hands down (EXT4_FL_INHERITED, ext4_mask_flags()), and the project of a +P directory. */
static void inherit(struct br_extfs *fs, const struct ext_node *dir, struct ext_node *n)
{
	const uint32_t all = EXT2_SECRM_FL | EXT2_UNRM_FL | EXT2_COMPR_FL | EXT2_SYNC_FL | EXT2_NODUMP_FL | EXT2_NOATIME_FL |
			     EXT2_NOCOMPR_FL | EXT3_JOURNAL_DATA_FL | EXT2_NOTAIL_FL | EXT2_DIRSYNC_FL | FS_DAX_FL |
			     EXT4_PROJINHERIT_FL;
	uint32_t mask = EXT2_NODUMP_FL | EXT2_NOATIME_FL;

	if (ext_is(n, LINUX_S_IFDIR))
		mask = all;
	else if (ext_is(n, LINUX_S_IFREG))
		mask = all & ~(uint32_t)(EXT2_DIRSYNC_FL | EXT4_PROJINHERIT_FL);
	n->inode.i_flags |= dir->inode.i_flags & mask;
	if (ext2fs_has_feature_project(fs->e2->super) && dir->inode.i_flags & EXT4_PROJINHERIT_FL)
		n->inode.i_projid = dir->inode.i_projid;
}

/* A +P directory takes only what is of its project. */
static int same_project(struct br_extfs *fs, const struct ext_node *dir, const struct ext_node *n)
{
	return ext2fs_has_feature_project(fs->e2->super) && dir->inode.i_flags & EXT4_PROJINHERIT_FL &&
			       dir->inode.i_projid != n->inode.i_projid ? -EXDEV : 0;
}

/* An inode number and the inode itself, written; what it holds comes next. */
static int inode_new(struct br_extfs *fs, struct ext_node *dir, const struct br_fs_new *node, struct ext_node **ret)
{
	bool is_dir = (node->mode & LINUX_S_IFMT) == LINUX_S_IFDIR;
	bool blocks = is_dir || (node->mode & LINUX_S_IFMT) == LINUX_S_IFREG ||
		      (node->target && strlen(node->target) >= sizeof((*ret)->inode.i_block));
	uint32_t mode = node->mode, gid = node->gid;
	struct ext_node *n;
	ext2_ino_t ino;
	int r;

	if (!fs->e2->super->s_free_inodes_count)
		return -ENOSPC;
	r = ext_need_bitmaps(fs);
	if (r == 0)
		r = ext_errno(ext2fs_new_inode(fs->e2, dir->ino, (int)mode, NULL, &ino));
	if (r == 0 && ino < EXT2_FIRST_INO(fs->e2->super))
		r = -EUCLEAN;
	if (r)
		return r;
	ext2fs_inode_alloc_stats2(fs->e2, ino, +1, is_dir);
	ext_log_inode(fs, ino, +1, is_dir);
	r = ext_node_fresh(fs, ino, &n);
	if (r)
		return r;
	/* BSD groups below a setgid directory (inode_init_owner of Linux) */
	if (dir->inode.i_mode & LINUX_S_ISGID) {
		gid = ext_gid(dir);
		if (is_dir)
			mode |= LINUX_S_ISGID;
	}
	n->inode.i_mode = (uint16_t)mode;
	n->inode.i_links_count = is_dir ? 2 : 1;
	ext_set_owner(n, node->uid, gid);
	if (fs->inode_size > EXT2_GOOD_OLD_INODE_SIZE)
		n->inode.i_extra_isize = sizeof(n->inode) - EXT2_GOOD_OLD_INODE_SIZE;
	do {
		br_random(&n->inode.i_generation, sizeof(n->inode.i_generation));
	} while (!n->inode.i_generation);
	inherit(fs, dir, n);
	ext_touch(fs, n, EXT_ATIME | EXT_MTIME | EXT_CTIME | EXT_CRTIME);
	if (blocks && ext2fs_has_feature_extents(fs->e2->super))
		ext_extent_root(n);
	r = ext_node_write(fs, n, true);
	if (r == 0)
		*ret = n;
	return r;
}

static int content_new(struct br_extfs *fs, struct ext_node *dir, struct ext_node *n, const struct br_fs_new *node)
{
	size_t len;
	int r = 0;

	switch (node->mode & LINUX_S_IFMT) {
	case LINUX_S_IFDIR:
		r = ext_dir_init(fs, n, dir->ino);
		break;
	case LINUX_S_IFCHR:
	case LINUX_S_IFBLK:
		device_put(n, node->rdev_major, node->rdev_minor);
		break;
	case LINUX_S_IFLNK:
		len = strlen(node->target);
		if (len < sizeof(n->inode.i_block)) {
			memcpy(n->inode.i_block, node->target, len);
			n->inode.i_size = (uint32_t)len;
		} else {
			/* the size first: libext2fs takes a long size of a link for a sign that it has blocks */
			n->inode.i_size = (uint32_t)len;
			r = ext_write_at(fs, n, 0, node->target, len);
		}
		break;
	}
	return r < 0 ? r : ext_node_write(fs, n, false);
}

static int create_do(
	struct br_extfs *fs, uint64_t dir_ino, const char *name, const struct br_fs_new *node, uint64_t *ret_ino)
{
	bool is_dir = (node->mode & LINUX_S_IFMT) == LINUX_S_IFDIR;
	struct ext_node *dir, *n = NULL;
	uint32_t old;
	int r;

	r = type_ok(node);
	if (r == 0)
		r = ext_node_dir(fs, dir_ino, &dir);
	if (r)
		return r;
	r = ext_dir_find(fs, dir, name, &old);
	if (r != -ENOENT)
		return r < 0 ? r : -EEXIST;
	r = ext_may_add(dir);
	if (r == 0)
		r = ext_need_space(fs, 2 + (node->target ? 4 : 0));
	if (r == 0)
		r = inode_new(fs, dir, node, &n);
	if (r == 0)
		r = content_new(fs, dir, n, node);
	if (r == 0)
		r = ext_acl_inherit(fs, dir, n);
	if (r == 0)
		r = ext_dir_add(fs, dir, name, n->ino, dirent_type(fs, node->mode));
	if (r == 0 && is_dir)
		r = dir_link_inc(fs, dir);
	if (r)
		return r;
	ext_touch(fs, dir, EXT_MTIME | EXT_CTIME);
	r = ext_node_write(fs, dir, false);
	if (r == 0)
		*ret_ino = n->ino;
	return r;
}

int ext_create(struct br_fs *base, uint64_t dir, const char *name, const struct br_fs_new *node, uint64_t *ret_ino)
{
	struct br_extfs *fs = ext_of(base);
	uint64_t ino = 0;
	int r = ext_begin(fs);

	if (r)
		return r;
	r = ext_end(fs, create_do(fs, dir, name, node, &ino));
	if (r == 0)
		*ret_ino = ino;
	return r;
}

/* ---- links ---- */

static int link_do(struct br_extfs *fs, uint64_t ino, uint64_t dir_ino, const char *name)
{
	struct ext_node *dir, *n;
	uint32_t old;
	int r;

	r = ext_node_dir(fs, dir_ino, &dir);
	if (r == 0)
		r = ext_node_get(fs, ino, &n);
	if (r)
		return r;
	r = ext_dir_find(fs, dir, name, &old);
	if (r != -ENOENT)
		return r < 0 ? r : -EEXIST;
	if (ext_is(n, LINUX_S_IFDIR))
		return -EPERM;
	if (n->inode.i_flags & (EXT2_IMMUTABLE_FL | EXT2_APPEND_FL) || ext_may_add(dir) < 0)
		return -EPERM;
	if (n->inode.i_links_count >= LINK_MAX_EXT4)
		return -EMLINK;
	r = same_project(fs, dir, n);
	if (r == 0)
		r = ext_need_space(fs, 2);
	if (r == 0)
		r = ext_dir_add(fs, dir, name, n->ino, dirent_type(fs, n->inode.i_mode));
	if (r)
		return r;
	n->inode.i_links_count++;
	ext_touch(fs, n, EXT_CTIME);
	ext_touch(fs, dir, EXT_MTIME | EXT_CTIME);
	r = ext_node_write(fs, n, false);
	return r < 0 ? r : ext_node_write(fs, dir, false);
}

int ext_link(struct br_fs *base, uint64_t ino, uint64_t dir, const char *name)
{
	struct br_extfs *fs = ext_of(base);
	int r = ext_begin(fs);

	return r < 0 ? r : ext_end(fs, link_do(fs, ino, dir, name));
}

/* ---- removing ---- */

static int drop_xattrs(struct br_extfs *fs, struct ext_node *n)
{
	uint64_t acl = ext2fs_file_acl_block(fs->e2, ext_small(n));

	if (!acl && !ext2fs_has_feature_ea_inode(fs->e2->super))
		return 0;
	if (acl && (acl <= fs->e2->super->s_first_data_block || acl >= fs->n_blocks))
		return -EUCLEAN;
	return ext_errno(ext2fs_free_ext_attr(fs->e2, n->ino, &n->inode));
}

int ext_node_delete(struct br_extfs *fs, struct ext_node *n)
{
	bool is_dir = ext_is(n, LINUX_S_IFDIR);
	int r;

	r = ext_need_bitmaps(fs);
	if (r)
		return r;
	fs->touched = true;
	r = drop_xattrs(fs, n);
	if (r == 0 && ext2fs_inode_has_valid_blocks2(fs->e2, ext_small(n)))
		r = ext_map_cut(fs, n, 0);
	if (r)
		return r;
	ext_dir_forget(fs, n->ino);
	n->inode.i_links_count = 0;
	n->inode.i_size = n->inode.i_size_high = 0;
	ext_touch(fs, n, EXT_CTIME);
	n->inode.i_dtime = n->inode.i_ctime;
	r = ext_node_write(fs, n, false);
	if (r)
		return r;
	ext2fs_inode_alloc_stats2(fs->e2, n->ino, -1, is_dir);
	ext_log_inode(fs, n->ino, -1, is_dir);
	ext_node_drop(fs, n->ino);
	return 0;
}

/* One name less; the last one takes the node with it. */
static int drop_link(struct br_extfs *fs, struct ext_node *n)
{
	if (ext_is(n, LINUX_S_IFDIR) || n->inode.i_links_count <= 1)
		return ext_node_delete(fs, n);
	n->inode.i_links_count--;
	ext_touch(fs, n, EXT_CTIME);
	return ext_node_write(fs, n, false);
}

/* The node of a name. A name of an inode that is not in use is damage, not a stale handle. */
static int node_of(struct br_extfs *fs, struct ext_node *dir, const char *name, struct ext_node **ret)
{
	uint32_t ino;
	int r = ext_dir_find(fs, dir, name, &ino);

	if (r == 0) {
		r = ext_node_get(fs, ino, ret);
		if (r == -ESTALE)
			r = -EUCLEAN;
	}
	return r;
}

static int may_rmdir(struct br_extfs *fs, struct ext_node *n)
{
	int r;

	if (!ext_is(n, LINUX_S_IFDIR))
		return -ENOTDIR;
	if (n->ino == EXT2_ROOT_INO)
		return -EBUSY; /* only a damaged image has a name for it */
	r = ext_dir_is_empty(fs, n);
	return r < 0 ? r : r == 0 ? -ENOTEMPTY : 0;
}

static int remove_do(struct br_extfs *fs, uint64_t dir_ino, const char *name, bool is_dir)
{
	struct ext_node *dir, *n;
	int r;

	r = ext_node_dir(fs, dir_ino, &dir);
	if (r == 0)
		r = node_of(fs, dir, name, &n);
	if (r)
		return r;
	if (is_dir)
		r = may_rmdir(fs, n);
	else if (ext_is(n, LINUX_S_IFDIR))
		r = -EISDIR;
	if (r == 0)
		r = ext_may_remove(dir, n);
	if (r == 0)
		r = ext_dir_remove(fs, dir, name);
	if (r == 0)
		r = drop_link(fs, n);
	if (r)
		return r;
	if (is_dir)
		dir_link_dec(dir);
	ext_touch(fs, dir, EXT_MTIME | EXT_CTIME);
	return ext_node_write(fs, dir, false);
}

int ext_unlink(struct br_fs *base, uint64_t dir, const char *name)
{
	struct br_extfs *fs = ext_of(base);
	int r = ext_begin(fs);

	return r < 0 ? r : ext_end(fs, remove_do(fs, dir, name, false));
}

int ext_rmdir(struct br_fs *base, uint64_t dir, const char *name)
{
	struct br_extfs *fs = ext_of(base);
	int r = ext_begin(fs);

	return r < 0 ? r : ext_end(fs, remove_do(fs, dir, name, true));
}

/* ---- rename ---- */

/* Is 'ino' the directory 'dir' or above it? -EINVAL then, as rename(2) says. */
static int check_not_below(struct br_extfs *fs, uint32_t ino, uint32_t dir)
{
	for (uint32_t i = 0; i < DEPTH_MAX; i++) {
		struct ext_node *n;
		uint32_t up;
		int r;

		if (dir == ino)
			return -EINVAL;
		if (dir == EXT2_ROOT_INO)
			return 0;
		r = ext_node_dir(fs, dir, &n);
		if (r == 0)
			r = ext_dir_find(fs, n, "..", &up);
		if (r)
			return r == -ENOENT || r == -ESTALE ? -EUCLEAN : r;
		dir = up;
	}
	return -EUCLEAN;
}

struct move {
	struct ext_node *from_dir, *to_dir;
	struct ext_node *n;   /* what moves */
	struct ext_node *old; /* what it replaces, or NULL */
	bool is_dir;
};

static int move_check(struct br_extfs *fs, const struct move *m)
{
	if (ext_may_remove(m->from_dir, m->n) < 0 ||
		(m->old ? ext_may_remove(m->to_dir, m->old) : ext_may_add(m->to_dir)) < 0)
		return -EPERM;
	if (same_project(fs, m->to_dir, m->n) < 0)
		return -EXDEV;
	if (m->old) {
		if (!m->is_dir && ext_is(m->old, LINUX_S_IFDIR))
			return -EISDIR;
		if (m->is_dir) {
			int r = may_rmdir(fs, m->old);

			if (r < 0)
				return r;
		}
		return 0;
	}
	return ext_need_space(fs, 2);
}

static int move_links(struct br_extfs *fs, struct move *m)
{
	int r = 0;

	if (m->is_dir && m->old)
		dir_link_dec(m->to_dir);
	if (m->is_dir && m->from_dir != m->to_dir) {
		int type = ext2fs_has_feature_filetype(fs->e2->super) ? EXT2_FT_DIR : 0;

		r = ext_dir_replace(fs, m->n, "..", m->to_dir->ino, type);
		if (r == -ENOENT)
			r = -EUCLEAN;
		if (r == 0) {
			dir_link_dec(m->from_dir);
			r = dir_link_inc(fs, m->to_dir);
		}
	}
	return r;
}

static int move_do(struct br_extfs *fs, struct move *m, const char *from, const char *to)
{
	int type = dirent_type(fs, m->n->inode.i_mode), r;

	if (m->old)
		r = ext_dir_replace(fs, m->to_dir, to, m->n->ino, type);
	else
		r = ext_dir_add(fs, m->to_dir, to, m->n->ino, type);
	if (r == 0)
		r = ext_dir_remove(fs, m->from_dir, from);
	if (r == 0)
		r = move_links(fs, m);
	if (r == 0 && m->old)
		r = drop_link(fs, m->old);
	if (r)
		return r;
	ext_touch(fs, m->n, EXT_CTIME);
	ext_touch(fs, m->from_dir, EXT_MTIME | EXT_CTIME);
	r = ext_node_write(fs, m->n, false);
	if (r == 0)
		r = ext_node_write(fs, m->from_dir, false);
	if (r == 0 && m->to_dir != m->from_dir) {
		ext_touch(fs, m->to_dir, EXT_MTIME | EXT_CTIME);
		r = ext_node_write(fs, m->to_dir, false);
	}
	return r;
}

static int rename_do(struct br_extfs *fs, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to)
{
	struct move m = { 0 };
	uint32_t ino = 0;
	int r;

	r = ext_node_dir(fs, from_dir, &m.from_dir);
	if (r == 0)
		r = ext_node_dir(fs, to_dir, &m.to_dir);
	if (r == 0)
		r = ext_dir_find(fs, m.from_dir, from, &ino);
	if (r)
		return r;
	if (from_dir != to_dir) {
		r = check_not_below(fs, ino, (uint32_t)to_dir);
		if (r < 0)
			return r;
		/* the walk may have pushed the two out of the cache */
		r = ext_node_dir(fs, from_dir, &m.from_dir);
		if (r == 0)
			r = ext_node_dir(fs, to_dir, &m.to_dir);
	}
	if (r == 0)
		r = node_of(fs, m.from_dir, from, &m.n);
	if (r)
		return r;
	m.is_dir = ext_is(m.n, LINUX_S_IFDIR);
	r = node_of(fs, m.to_dir, to, &m.old);
	if (r == -ENOENT)
		m.old = NULL;
	else if (r < 0)
		return r;
	if (m.old == m.n) /* two names of one file: rename(2) does nothing */
		return 0;
	r = move_check(fs, &m);
	return r < 0 ? r : move_do(fs, &m, from, to);
}

int ext_rename(struct br_fs *base, uint64_t from_dir, const char *from, uint64_t to_dir, const char *to)
{
	struct br_extfs *fs = ext_of(base);
	int r = ext_begin(fs);

	return r < 0 ? r : ext_end(fs, rename_do(fs, from_dir, from, to_dir, to));
}
