/* SPDX-License-Identifier: Apache-2.0 */
/* What each entry of a projection is just now, and how it becomes a file of the board's own. */
#include "store/projfs_priv.h"

#include <errno.h>
#include <stdio.h>

#define SPACE_SLACK (64u << 10) /* free bytes beside the content before a copy is begun */

/* ---- what an entry is just now ---- */

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool still_images(const struct br_projfs_entry *e, const struct br_fs_attr *attr)
{
	if (!e->base.ino || attr->ino != e->base.ino || attr->generation != e->base.generation)
		return false;
	return e->half || (same_time(attr->mtime, e->base.mtime) && same_time(attr->ctime, e->base.ctime));
}

/* Regular over regular shows through the image's inode; everything else needs a number of its own. */
static bool keeps_inode(const struct br_projfs_entry *e)
{
	return e->data && br_projfs_is_type(e->mode, S_IFREG) && br_projfs_is_type(e->base.mode, S_IFREG);
}

int br_projfs_look(struct br_projfs *p, struct br_projfs_entry *e)
{
	struct br_fs_attr attr = { 0 };
	int r = p->below->ops->lookup(p->below, e->dir, e->name, &e->ino);

	if (r == -ENOENT) {
		/* what the image had and the board has not was removed by the board */
		e->now = e->data && !e->removed && !e->base.ino ? VIRTUAL : ABSENT;
		e->ino = 0;
		return 0;
	}
	if (!r)
		r = p->below->ops->getattr(p->below, e->ino, &attr);
	if (r < 0)
		return r;
	if (!still_images(e, &attr))
		e->now = OWN;
	else if (!e->data)
		e->now = HIDDEN;
	else
		e->now = keeps_inode(e) ? REPLACED : VIRTUAL;
	return 0;
}

int br_projfs_find(struct br_projfs *p, uint64_t dir, const char *name, struct br_projfs_entry **ret)
{
	*ret = NULL;
	for (size_t i = 0; i < p->n; i++) {
		if (p->entries[i].dir != dir || strcmp(p->entries[i].name, name) != 0)
			continue;
		*ret = &p->entries[i];
		return br_projfs_look(p, *ret);
	}
	return 0;
}

uint64_t br_projfs_outside(struct br_projfs *p, uint64_t ino)
{
	struct br_fs_attr attr = { 0 };

	for (size_t i = 0; i < p->n; i++) {
		struct br_projfs_entry *e = &p->entries[i];

		if (e->real != ino || !ino)
			continue;
		if (!p->below->ops->getattr(p->below, ino, &attr) && attr.generation == e->real_generation)
			return br_projfs_number(p, e);
		e->real = 0; /* gone, its number used again */
	}
	return ino;
}

/* The real file a virtual number stands for since the copy, also when that was before a restart. */
static int target_of_moved(struct br_projfs *p, struct br_projfs_entry *e, struct br_projfs_target *ret)
{
	struct br_fs_attr attr = { 0 };
	uint64_t ino = e->real;
	int r;

	if (!ino && e->now != OWN)
		return -ESTALE;
	if (!ino)
		ino = e->ino;
	r = p->below->ops->getattr(p->below, ino, &attr);
	if (r < 0)
		return r;
	if (e->real && attr.generation != e->real_generation)
		return -ESTALE;
	*ret = (struct br_projfs_target){ .ino = ino, .shown = br_projfs_number(p, e), .moved = e };
	return 0;
}

int br_projfs_target(struct br_projfs *p, uint64_t ino, struct br_projfs_target *ret)
{
	struct br_fs_attr attr = { 0 };
	int r;

	*ret = (struct br_projfs_target){ .ino = ino, .shown = ino };
	if (!ino) /* nobody's, and 0 says VIRTUAL here */
		return -ESTALE;
	if (ino >= BR_PROJFS_INO) {
		struct br_projfs_entry *e;

		if (ino - BR_PROJFS_INO >= p->n)
			return -ESTALE;
		e = &p->entries[ino - BR_PROJFS_INO];
		r = e->dir ? br_projfs_look(p, e) : -ESTALE;
		if (r < 0)
			return r;
		if (e->now != VIRTUAL || e->real)
			return target_of_moved(p, e, ret);
		*ret = (struct br_projfs_target){ .e = e, .shown = ino };
		return 0;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct br_projfs_entry *e = &p->entries[i];

		if (e->base.ino != ino || !e->dir || !keeps_inode(e))
			continue;
		r = p->below->ops->getattr(p->below, ino, &attr);
		if (r < 0)
			return r;
		if (still_images(e, &attr))
			ret->e = e;
		return 0;
	}
	return 0;
}

/* ---- copying up ---- */

static int room_for(struct br_projfs *p, size_t len)
{
	struct br_fs_statfs st;
	int r = p->below->ops->statfs(p->below, &st);

	return r < 0 ? r : st.avail_bytes < len + SPACE_SLACK ? -ENOSPC : 0;
}

static int fill(struct br_projfs *p, uint64_t ino, const struct br_projfs_entry *e)
{
	const struct br_fs_setattr attr = {
		.set = BR_FS_SET_SIZE | BR_FS_SET_UID | BR_FS_SET_GID,
		.size = e->len,
		.uid = e->uid,
		.gid = e->gid,
	};
	/* apart and last: changing the owner takes setuid away */
	const struct br_fs_setattr mode = { .set = BR_FS_SET_MODE, .mode = e->mode & 07777 };
	int r = 0;

	if (e->len)
		r = p->below->ops->write(p->below, ino, 0, e->data, e->len);
	if (!r)
		r = p->below->ops->setattr(p->below, ino, &attr);
	if (!r)
		r = p->below->ops->setattr(p->below, ino, &mode);
	return r;
}

static int copy_replaced(struct br_projfs *p, struct br_projfs_entry *e)
{
	int r = room_for(p, e->len);

	if (r < 0)
		return r;
	/* should it fail midway the file goes on to show the projection, and the next try writes it anew */
	e->half = true;
	r = fill(p, e->base.ino, e);
	if (!r)
		e->half = false;
	return r;
}

/* Makes the real file, under another name first when there is something to take the place of. */
static int copy_virtual(struct br_projfs *p, struct br_projfs_entry *e)
{
	struct br_fs *below = p->below;
	const struct br_fs_new node = {
		.mode = e->mode,
		.uid = e->uid,
		.gid = e->gid,
		.target = br_projfs_is_type(e->mode, S_IFLNK) ? (const char *)e->data : NULL,
	};
	char tmp[48];
	const char *name = e->name;
	struct br_fs_attr attr = { 0 };
	uint64_t ino = 0;
	int r = room_for(p, e->len);

	if (e->ino) {
		snprintf(tmp, sizeof(tmp), ".bramble-projection-%zu", (size_t)(e - p->entries));
		name = tmp;
	}
	if (!r)
		r = below->ops->create(below, e->dir, name, &node, &ino);
	if (r < 0)
		return r;
	if (br_projfs_is_type(e->mode, S_IFREG))
		r = fill(p, ino, e);
	if (!r)
		r = below->ops->getattr(below, ino, &attr);
	if (!r && e->ino)
		r = below->ops->rename(below, e->dir, name, e->dir, e->name);
	if (r < 0) {
		(void)below->ops->unlink(below, e->dir, name);
		return r;
	}
	e->real = ino;
	e->real_generation = attr.generation;
	return 0;
}

int br_projfs_make_real(struct br_projfs *p, struct br_projfs_target *t)
{
	int r;

	if (!t->e)
		return 0;
	if (t->ino) {
		r = copy_replaced(p, t->e);
	} else {
		r = copy_virtual(p, t->e);
		if (!r)
			t->ino = t->e->real;
	}
	if (!r)
		t->e = NULL;
	return r;
}
