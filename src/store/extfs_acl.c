/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: POSIX access lists, as far as a server without NFSACL must keep them right: what is made below a directory with
 * a default list gets it (posix_acl_create() of Linux), and chmod changes a file's list too (posix_acl_chmod()).
 */
#include "store/extfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define ACCESS_KEY  "system.posix_acl_access"
#define DEFAULT_KEY "system.posix_acl_default"

/* The form in which libext2fs gives and takes a list, whatever it is on the disk: a version, then entries of 8 bytes: tag,
 * permissions, id. */
#define ACL_VERSION 2u
#define ACL_HEAD    4u
#define ACL_ENTRY   8u

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

struct acl {
	uint8_t *data;
	size_t len;
};

static void acl_done(struct acl *a)
{
	free(a->data);
}

static uint8_t *entry(const struct acl *a, size_t i)
{
	return a->data + ACL_HEAD + i * ACL_ENTRY;
}

static size_t n_entries(const struct acl *a)
{
	return (a->len - ACL_HEAD) / ACL_ENTRY;
}

/* The entry of a tag that comes once; NULL: none. */
static uint8_t *find(const struct acl *a, unsigned tag)
{
	for (size_t i = 0; i < n_entries(a); i++)
		if (br_load_le16(entry(a, i)) == tag)
			return entry(a, i);
	return NULL;
}

/* Anything but exactly one each for owner, group and others (and at most one mask) is damage. */
static bool sound(const struct acl *a)
{
	unsigned seen = 0;

	if (a->len < ACL_HEAD || (a->len - ACL_HEAD) % ACL_ENTRY || br_load_le32(a->data) != ACL_VERSION)
		return false;
	for (size_t i = 0; i < n_entries(a); i++) {
		unsigned tag = br_load_le16(entry(a, i));

		if (!tag || tag & (tag - 1) || tag > OTHER || br_load_le16(entry(a, i) + 2) > 7 ||
			(seen & tag && tag != USER && tag != GROUP))
			return false;
		seen |= tag;
	}
	return (seen & (USER_OBJ | GROUP_OBJ | OTHER)) == (USER_OBJ | GROUP_OBJ | OTHER) &&
	       (seen & MASK || !(seen & (USER | GROUP)));
}

/* Most inodes have no attributes: that is seen without the library, and remembered. */
static int has_any(struct br_extfs *fs, struct ext_node *n)
{
	br_cleanup(br_freep) void *whole = NULL;
	size_t at = EXT2_GOOD_OLD_INODE_SIZE + (size_t)n->inode.i_extra_isize;
	errcode_t e;

	if (n->xattrs != EXT_XATTRS_UNKNOWN)
		return n->xattrs == EXT_XATTRS_SOME;
	n->xattrs = EXT_XATTRS_SOME;
	if (ext2fs_file_acl_block(fs->e2, ext_small(n)))
		return 1;
	if (fs->inode_size > EXT2_GOOD_OLD_INODE_SIZE && at + 4 <= fs->inode_size) {
		whole = malloc(fs->inode_size);
		if (!whole)
			return -ENOMEM;
		e = ext2fs_read_inode_full(fs->e2, n->ino, whole, (int)fs->inode_size);
		if (e)
			return ext_errno(e);
		if (br_load_le32((const uint8_t *)whole + at) == EXT2_EXT_ATTR_MAGIC)
			return 1;
	}
	n->xattrs = EXT_XATTRS_NONE;
	return 0;
}

/* 1: there is one; acl_done() it. */
static int acl_get(struct br_extfs *fs, struct ext_node *n, const char *key, struct acl *ret)
{
	struct ext2_xattr_handle *h;
	void *value = NULL;
	errcode_t e;
	int r = has_any(fs, n);

	if (r <= 0)
		return r;
	e = ext2fs_xattrs_open(fs->e2, n->ino, &h);
	if (e)
		return ext_errno(e);
	e = ext2fs_xattrs_read(h);
	if (!e)
		e = ext2fs_xattr_get(h, key, &value, &ret->len);
	ext2fs_xattrs_close(&h);
	if (e)
		return e == EXT2_ET_EA_KEY_NOT_FOUND ? 0 : ext_errno(e);
	ret->data = value;
	if (!sound(ret)) {
		acl_done(ret);
		return -EUCLEAN;
	}
	return 1;
}

/* The inode must be written; it is read again. */
static int acl_set(struct br_extfs *fs, struct ext_node *n, const char *key, const struct acl *a)
{
	struct ext2_xattr_handle *h;
	errcode_t e;
	int r = ext_need_bitmaps(fs);

	if (r < 0)
		return r;
	fs->touched = true;
	e = ext2fs_xattrs_open(fs->e2, n->ino, &h);
	if (e)
		return ext_errno(e);
	e = ext2fs_xattrs_read(h);
	if (!e)
		e = ext2fs_xattr_set(h, key, a->data, a->len);
	ext2fs_xattrs_close(&h);
	return e ? ext_errno(e) : ext_node_reload(fs, n);
}

/* Both ways: what the list does not grant goes from the mode, and the other way around. */
static void limit(uint8_t *e, uint32_t *mode, unsigned shift)
{
	uint32_t perm = br_load_le16(e + 2) & (*mode >> shift & 7);

	br_store_le16(e + 2, (uint16_t)perm);
	*mode &= perm << shift | ~(7u << shift);
}

int ext_acl_inherit(struct br_extfs *fs, struct ext_node *dir, struct ext_node *n)
{
	uint32_t mode = n->inode.i_mode;
	struct acl a = { 0 };
	uint8_t *mask;
	int r;

	if (ext_is(n, LINUX_S_IFLNK))
		return 0;
	r = acl_get(fs, dir, DEFAULT_KEY, &a);
	if (r <= 0)
		return r;
	r = ext_is(n, LINUX_S_IFDIR) ? acl_set(fs, n, DEFAULT_KEY, &a) : 0;
	mask = find(&a, MASK);
	limit(find(&a, USER_OBJ), &mode, 6);
	limit(mask ? mask : find(&a, GROUP_OBJ), &mode, 3);
	limit(find(&a, OTHER), &mode, 0);
	n->inode.i_mode = (uint16_t)mode;
	if (r == 0)
		r = ext_node_write(fs, n, false);
	if (r == 0 && mask) /* else it says what the mode says */
		r = acl_set(fs, n, ACCESS_KEY, &a);
	n->xattrs = EXT_XATTRS_UNKNOWN;
	acl_done(&a);
	return r;
}

int ext_acl_chmod(struct br_extfs *fs, struct ext_node *n)
{
	uint32_t mode = n->inode.i_mode;
	struct acl a = { 0 };
	uint8_t *mask;
	int r;

	if (ext_is(n, LINUX_S_IFLNK))
		return 0;
	r = acl_get(fs, n, ACCESS_KEY, &a);
	if (r <= 0)
		return r;
	mask = find(&a, MASK);
	br_store_le16(find(&a, USER_OBJ) + 2, mode >> 6 & 7);
	br_store_le16((mask ? mask : find(&a, GROUP_OBJ)) + 2, mode >> 3 & 7);
	br_store_le16(find(&a, OTHER) + 2, mode & 7);
	r = ext_node_write(fs, n, false);
	if (r == 0)
		r = acl_set(fs, n, ACCESS_KEY, &a);
	acl_done(&a);
	return r;
}
