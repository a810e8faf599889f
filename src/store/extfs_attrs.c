/* SPDX-License-Identifier: Apache-2.0 */
/* ext4: the extended attributes of an inode as one text, for comparing. */
#include "store/extfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "store/extfs_priv.h"

/* The content of a small file or directory is kept as an attribute, but is none. */
#define INLINE_DATA "system.data"

struct one {
	char *name;
	char *value;
	size_t len;
};

struct list {
	struct one *v;
	size_t n, cap;
};

static int take(char *name, char *value, size_t len, void *ctx)
{
	struct list *l = ctx;

	if (!strcmp(name, INLINE_DATA))
		return 0;
	if (br_array_reserve(&l->v, &l->cap, l->n + 1, sizeof(*l->v)) < 0)
		return XATTR_ABORT;
	l->v[l->n++] = (struct one){ name, value, len };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct one *)a)->name, ((const struct one *)b)->name);
}

/* Seen without the library, which would cost ten times as much: most inodes have none. */
static int has_any(struct br_extfs *fs, ext2_ino_t ino)
{
	br_cleanup(br_freep) struct ext2_inode_large *inode = malloc(fs->inode_size > sizeof(*inode) ? fs->inode_size : sizeof(*inode));
	size_t at;
	errcode_t e;

	if (!inode)
		return -ENOMEM;
	e = ext2fs_read_inode_full(fs->e2, ino, (struct ext2_inode *)inode, (int)fs->inode_size);
	if (e)
		return ext_errno(e);
	if (ext2fs_file_acl_block(fs->e2, (struct ext2_inode *)inode))
		return 1;
	if (fs->inode_size <= EXT2_GOOD_OLD_INODE_SIZE)
		return 0;
	at = EXT2_GOOD_OLD_INODE_SIZE + (size_t)inode->i_extra_isize;
	return at + 4 <= fs->inode_size && br_load_le32((const uint8_t *)inode + at) == EXT2_EXT_ATTR_MAGIC;
}

int br_extfs_attrs(struct br_fs *fs, uint64_t ino, struct br_text *ret)
{
	struct br_extfs *x = ext_of(fs);
	struct ext2_xattr_handle *h;
	struct list l = { 0 };
	errcode_t e;
	int r = has_any(x, (ext2_ino_t)ino);

	if (r <= 0)
		return r;
	e = ext2fs_xattrs_open(x->e2, (ext2_ino_t)ino, &h);
	if (e)
		return ext_errno(e);
	e = ext2fs_xattrs_read(h);
	if (!e)
		e = ext2fs_xattrs_iterate(h, take, &l);
	r = ext_errno(e);
	if (!r && l.n)
		qsort(l.v, l.n, sizeof(*l.v), by_name);
	for (size_t i = 0; !r && i < l.n; i++) {
		br_text_addf(ret, "%s=%zu:", l.v[i].name, l.v[i].len);
		if (l.v[i].len)
			br_text_add_bytes(ret, l.v[i].value, l.v[i].len);
	}
	free(l.v);
	ext2fs_xattrs_close(&h);
	return r ? r : ret->failed ? -ENOMEM : 0;
}
