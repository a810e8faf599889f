/* SPDX-License-Identifier: Apache-2.0 */
/* Two trees side by side: the names of each pair of directories are merged, what is on both sides is compared. */
#include "store/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "store/blocks.h"
#include "store/cow.h"
#include "store/disk_priv.h"
#include "store/extfs.h"
#include "store/names.h"
#include "store/view.h"

#define PIECE	  (256u << 10)
#define DEPTH_MAX 512 /* of directories: more is a damaged tree that leads into itself */

/* A directory that was read. Each has one name only: one that turns up again is a damaged or hostile tree, in which as many
 * as there are blocks could make more paths than anybody can walk. */
struct seen {
	uint64_t ino;
	UT_hash_handle hh;
};

struct diff {
	struct br_fs *fs[2];
	struct br_diff_help help;
	br_diff_fn fn;
	void *ctx;
	struct br_error *err;
	struct br_text path;
	unsigned depth;
	struct seen *seen[2];
	struct br_text attrs[2];
	uint8_t *buf[2];
};

static int failed(struct diff *d, int r)
{
	char vis[300];

	return br_error_set(d->err, -r, "%s: %s", br_vis(vis, sizeof(vis), d->path.buf ?: "/", d->path.len),
		strerrordesc_np(-r));
}

/* ---- the names of a directory ---- */

static int names_read(struct br_fs *fs, uint64_t dir, struct br_names *names)
{
	int r = br_names_read(fs, dir, SIZE_MAX, names);

	for (size_t i = 0; !r && i < names->n; i++) /* by lookup: what covers a name counts */
		r = fs->ops->lookup(fs, dir, names->v[i].name, &names->v[i].ino);
	return r > 0 ? -EUCLEAN : r;
}

/* ---- two files ---- */

static int content_differs(struct diff *d, const struct br_fs_attr a[2])
{
	uint64_t at = 0;

	if (a[0].size != a[1].size)
		return 1;
	while (at < a[0].size) {
		size_t n[2] = { 0, 0 };
		bool eof;

		for (int i = 0; i < 2; i++) {
			int r = d->fs[i]->ops->read(d->fs[i], a[i].ino, at, d->buf[i], PIECE, &n[i], &eof);

			if (r < 0)
				return r;
		}
		if (n[0] != n[1] || !n[0] || memcmp(d->buf[0], d->buf[1], n[0]) != 0)
			return 1;
		at += n[0];
	}
	return 0;
}

static int target_differs(struct diff *d, const struct br_fs_attr a[2])
{
	for (int i = 0; i < 2; i++) {
		int r = d->fs[i]->ops->readlink(d->fs[i], a[i].ino, (char *)d->buf[i], PIECE);

		if (r < 0)
			return r;
	}
	return strcmp((char *)d->buf[0], (char *)d->buf[1]) != 0;
}

/* What two of one type hold: 0 or a bit. */
static int differs(struct diff *d, const struct br_fs_attr a[2])
{
	int r;

	switch (a[0].mode & S_IFMT) {
	case S_IFREG:
		r = d->help.same && a[0].ino == a[1].ino && a[0].size == a[1].size ? d->help.same(d->help.ctx, a[0].ino) : 0;
		if (r)
			return r < 0 ? r : 0;
		r = content_differs(d, a);
		return r < 0 ? r : r ? BR_DIFF_CONTENT : 0;
	case S_IFLNK:
		r = target_differs(d, a);
		return r < 0 ? r : r ? BR_DIFF_TARGET : 0;
	case S_IFCHR:
	case S_IFBLK:
		return a[0].rdev_major != a[1].rdev_major || a[0].rdev_minor != a[1].rdev_minor ? BR_DIFF_DEVICE : 0;
	default:
		return 0;
	}
}

static int attrs_differ(struct diff *d, const struct br_fs_attr a[2])
{
	struct br_text *t = d->attrs;

	if (!d->help.attrs)
		return 0;
	for (int i = 0; i < 2; i++) {
		int r;

		t[i].len = 0;
		r = d->help.attrs(d->help.ctx, i, a[i].ino, &t[i]);
		if (r < 0)
			return r;
	}
	return t[0].len != t[1].len || (t[0].len && memcmp(t[0].buf, t[1].buf, t[0].len) != 0);
}

/* What an entry differs in that is there on both sides. */
static int what_differs(struct diff *d, const struct br_fs_attr a[2])
{
	bool dir = (a[0].mode & S_IFMT) == S_IFDIR && (a[1].mode & S_IFMT) == S_IFDIR;
	unsigned what = BR_DIFF_TYPE;
	int r;

	if (!((a[0].mode ^ a[1].mode) & S_IFMT)) {
		r = differs(d, a);
		if (r < 0)
			return r;
		what = (unsigned)r;
	}
	if ((a[0].mode ^ a[1].mode) & 07777)
		what |= BR_DIFF_MODE;
	if (a[0].uid != a[1].uid || a[0].gid != a[1].gid)
		what |= BR_DIFF_OWNER;
	if (!dir && (a[0].mtime.tv_sec != a[1].mtime.tv_sec || a[0].mtime.tv_nsec != a[1].mtime.tv_nsec))
		what |= BR_DIFF_TIME;
	r = attrs_differ(d, a);
	if (r < 0)
		return r;
	return (int)(what | (r ? BR_DIFF_XATTR : 0));
}

static int tell(struct diff *d, const struct br_fs_attr *before, const struct br_fs_attr *after, unsigned what)
{
	struct br_diff x = { d->path.buf, before, after, what };

	return d->fn(d->ctx, &x);
}

static int dir_pair(struct diff *d, const uint64_t *before, const uint64_t *after);

/* One side only, with all that is in it. */
static int one_side(struct diff *d, int side, uint64_t ino)
{
	struct br_fs_attr a;
	int r = d->fs[side]->ops->getattr(d->fs[side], ino, &a);

	if (r < 0)
		return failed(d, r);
	r = tell(d, side ? NULL : &a, side ? &a : NULL, 0);
	if (r || (a.mode & S_IFMT) != S_IFDIR)
		return r;
	return dir_pair(d, side ? NULL : &ino, side ? &ino : NULL);
}

static int both_sides(struct diff *d, uint64_t before, uint64_t after)
{
	struct br_fs_attr a[2];
	int r = d->fs[0]->ops->getattr(d->fs[0], before, &a[0]);

	if (!r)
		r = d->fs[1]->ops->getattr(d->fs[1], after, &a[1]);
	if (!r)
		r = what_differs(d, a);
	if (r < 0)
		return failed(d, r);
	if (r)
		r = tell(d, &a[0], &a[1], (unsigned)r);
	if (!r && (a[0].mode & S_IFMT) == S_IFDIR && (a[1].mode & S_IFMT) == S_IFDIR)
		return dir_pair(d, &before, &after);
	/* a directory that became something else, or the other way round: its entries went, or came */
	if (!r && (a[0].mode & S_IFMT) == S_IFDIR)
		r = dir_pair(d, &before, NULL);
	if (!r && (a[1].mode & S_IFMT) == S_IFDIR)
		r = dir_pair(d, NULL, &after);
	return r;
}

static int merge(struct diff *d, const struct br_names l[2])
{
	size_t i = 0, k = 0, len = d->path.len;
	int r = 0;

	while (!r && (i < l[0].n || k < l[1].n)) {
		int c = i == l[0].n ? 1 : k == l[1].n ? -1 : strcmp(l[0].v[i].name, l[1].v[k].name);
		const struct br_name *x = c <= 0 ? &l[0].v[i] : &l[1].v[k];

		br_text_addf(&d->path, "/%s", x->name);
		if (d->path.failed)
			return br_error_set(d->err, ENOMEM, "out of memory");
		if (c)
			r = one_side(d, c > 0, x->ino);
		else
			r = both_sides(d, l[0].v[i].ino, l[1].v[k].ino);
		d->path.len = len;
		d->path.buf[len] = 0;
		i += c <= 0;
		k += c >= 0;
	}
	return r;
}

static int see(struct diff *d, int side, uint64_t ino)
{
	struct seen *s;

	HASH_FIND(hh, d->seen[side], &ino, sizeof(ino), s);
	if (s)
		return -ELOOP;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ino = ino;
	HASH_ADD(hh, d->seen[side], ino, sizeof(s->ino), s);
	return 0;
}

static void seen_done(struct diff *d)
{
	struct seen *s, *next;

	for (int side = 0; side < 2; side++)
		HASH_ITER(hh, d->seen[side], s, next)
		{
			HASH_DEL(d->seen[side], s);
			free(s);
		}
}

/* NULL: not on that side. */
static int dir_pair(struct diff *d, const uint64_t *before, const uint64_t *after)
{
	struct br_names l[2] = { 0 };
	int r = 0;

	if (d->depth >= DEPTH_MAX)
		return failed(d, -ELOOP);
	d->depth++;
	if (before)
		r = see(d, 0, *before);
	if (!r && after)
		r = see(d, 1, *after);
	if (!r && before)
		r = names_read(d->fs[0], *before, &l[0]);
	if (!r && after)
		r = names_read(d->fs[1], *after, &l[1]);
	r = r < 0 ? failed(d, r) : merge(d, l);
	br_names_done(&l[0]);
	br_names_done(&l[1]);
	d->depth--;
	return r;
}

int br_fs_diff(struct br_fs *before, struct br_fs *after, const struct br_diff_help *help, br_diff_fn fn, void *ctx,
	struct br_error *err)
{
	struct diff d = { .fs = { before, after }, .fn = fn, .ctx = ctx, .err = err };
	uint64_t roots[2] = { before->ops->root(before), after->ops->root(after) };
	int r = 0;

	if (help)
		d.help = *help;
	br_text_add(&d.path, ""); /* so that there is a buffer */
	for (int i = 0; i < 2; i++)
		if (!(d.buf[i] = malloc(PIECE)))
			r = br_error_set(err, ENOMEM, "out of memory");
	if (!r)
		r = dir_pair(&d, &roots[0], &roots[1]);
	seen_done(&d);
	for (int i = 0; i < 2; i++) {
		br_text_done(&d.attrs[i]);
		free(d.buf[i]);
	}
	br_text_done(&d.path);
	return r;
}

/* ---- what blocks say ---- */

/* Two ext4 on block sources that may share. */
struct pair {
	struct br_fs *fs[2];
	const struct br_blocks *blocks[2];
	const struct br_cow *cow; /* over the second one, NULL: none */
};

struct extents {
	struct extent {
		uint64_t offset, at, len;
	} *v;
	size_t n, cap;
};

static int add_extent(void *ctx, uint64_t offset, uint64_t at, uint64_t len)
{
	struct extents *x = ctx;

	if (br_array_reserve(&x->v, &x->cap, x->n + 1, sizeof(*x->v)) < 0)
		return -ENOMEM;
	x->v[x->n++] = (struct extent){ offset, at, len };
	return 0;
}

static bool same_blocks(const struct pair *p, const struct extent *e)
{
	for (uint64_t b = e->at / BR_COW_BLOCK; b <= (e->at + e->len - 1) / BR_COW_BLOCK; b++)
		if ((p->cow && br_cow_changed(p->cow, b)) || !br_blocks_same(p->blocks[0], p->blocks[1], b))
			return false;
	return true;
}

/* The content is in the same places, and nobody wrote there. */
static int same_content(void *ctx, uint64_t ino)
{
	const struct pair *p = ctx;
	struct extents x[2] = { 0 };
	bool same = false;
	int r = 0;

	for (int i = 0; !r && i < 2; i++)
		r = br_extfs_extents(p->fs[i], ino, add_extent, &x[i]);
	if (!r)
		same = x[0].n == x[1].n && (!x[0].n || !memcmp(x[0].v, x[1].v, x[0].n * sizeof(*x[0].v)));
	for (size_t i = 0; same && i < x[0].n; i++)
		same = same_blocks(p, &x[0].v[i]);
	free(x[0].v);
	free(x[1].v);
	/* content that is in no blocks, or a map that cannot be read: compare */
	return r == -ENOMEM ? r : same;
}

/* Files of a boot partition have none: their numbers in a view (view.h) are beyond those of ext4, which have 32 bits. */
static int attrs(void *ctx, int side, uint64_t ino, struct br_text *ret)
{
	const struct pair *p = ctx;

	return ino > UINT32_MAX ? 0 : br_extfs_attrs(p->fs[side], ino, ret);
}

static void fs_close(struct br_fs *fs)
{
	fs->ops->close(fs);
}
BR_DEFINE_CLEANUP(struct br_fs *, fs_close);

int br_image_diff(struct br_image *before, struct br_image *after, br_diff_fn fn, void *ctx, struct br_error *err)
{
	struct br_image *image[2] = { before, after };
	br_cleanup(fs_closep) struct br_fs *a = NULL, *b = NULL;
	struct pair p = { 0 };
	const struct br_diff_help help = { &p, same_content, attrs };
	int r = br_view_open(before, &a, err);

	if (!r)
		r = br_view_open(after, &b, err);
	if (r)
		return r;
	p.fs[0] = br_view_root_fs(a);
	p.fs[1] = br_view_root_fs(b);
	for (int i = 0; i < 2; i++)
		p.blocks[i] = br_image_blocks(image[i]);
	return br_fs_diff(a, b, p.fs[0] && p.fs[1] ? &help : NULL, fn, ctx, err);
}

int br_disk_diff(struct br_disk *disk, br_diff_fn fn, void *ctx, struct br_error *err)
{
	br_cleanup(fs_closep) struct br_fs *base = NULL;
	struct pair p = { .blocks = { br_image_blocks(disk->image), br_cow_base(disk->cow) }, .cow = disk->cow };
	const struct br_diff_help help = { &p, same_content, attrs };
	int r = br_image_fs(disk->image, &base, err);

	if (r < 0)
		return r;
	p.fs[0] = base;
	p.fs[1] = disk->fs;
	return br_fs_diff(base, disk->fs, &help, fn, ctx, err);
}
