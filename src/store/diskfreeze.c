/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freezing a disk's layer, and what follows from it: snapshots and the way back.
 *
 * The steps of a freeze, so that the process may die between any two of them: the layer's files get second names as a
 * frozen layer that nobody knows yet; an empty layer over that is made in a directory that nobody knows yet; disk.json
 * names both, by one rename; the first names of the files go. The store stays locked until disk.json is written, for
 * br_store_gc() would take the frozen layer for nobody's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/cow.h"
#include "store/disk_priv.h"
#include "store/extgrow.h"
#include "store/store.h"

BR_DEFINE_CLEANUP(struct br_cow *, br_cow_close);
BR_DEFINE_CLEANUP(struct br_blocks *, br_blocks_unref);

/* A state with another own layer over 'parent'; snapshots are copied. */
static int state_next(const struct disk_state *old, const char *parent, struct disk_state *ret, uint8_t id[16])
{
	*ret = *old;
	ret->snapshots = calloc(old->n_snapshots + 2, sizeof(*ret->snapshots)); /* room for one more */
	if (!ret->snapshots)
		return -ENOMEM;
	if (old->n_snapshots)
		memcpy(ret->snapshots, old->snapshots, old->n_snapshots * sizeof(*ret->snapshots));
	br_random(id, 16);
	br_hex(ret->layer, id, 16);
	br_strcpy(ret->parent, sizeof(ret->parent), parent);
	return 0;
}

/* An empty layer in its own directory. */
static int layer_new(const char *dir, const struct disk_state *s, struct br_blocks *base, struct br_cow **ret,
	struct br_error *err)
{
	br_cleanup(br_freep) char *own = disk_layer_dir(dir, s);
	int r = own ? br_mkdir_all(own, 0700, err) : br_error_set(err, ENOMEM, "%s: out of memory", dir);

	if (!r)
		r = disk_cow(dir, s, base, ret, err);
	if (!r && br_sync_dir(dir) < 0)
		r = br_error_set(err, EIO, "%s: cannot make it stable", dir);
	return r;
}

static int publish(struct br_disk *disk, const char *own, struct br_error *err)
{
	const struct br_image_info *info = br_image_info(disk->image);
	struct br_layer l = { .size = br_cow_size(disk->cow), .frozen_at = (int64_t)time(NULL),
		.map_bytes = br_cow_log_bytes(disk->cow) };

	memcpy(l.id, disk->state.layer, sizeof(l.id));
	memcpy(l.parent, disk->state.parent, sizeof(l.parent));
	memcpy(l.base, info->layer[0] ? info->base : info->sha256, sizeof(l.base));
	return br_layer_publish(br_image_store(disk->image), own, &l, err);
}

/* The frozen layer over what it lay on. */
static int stack(struct br_disk *disk, struct br_blocks **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_layer_path(br_image_store(disk->image), disk->state.layer);

	if (!dir)
		return br_error_set(err, ENOMEM, "%s: out of memory", disk->dir);
	return br_blocks_over(br_cow_base(disk->cow), dir, disk->layer_id, br_cow_size(disk->cow), ret, err);
}

static bool state_stands(const struct br_disk *disk)
{
	struct disk_state now = { 0 };
	bool stands = !disk_state_read(disk->dir, &now, NULL) && !strcmp(now.layer, disk->state.layer) &&
		      now.n_snapshots == disk->state.n_snapshots;

	disk_state_done(&now);
	return stands;
}

/* disk.json as 'next'. A failure may have come after the rename: then what was before is written once more. */
static int commit_state(struct br_disk *disk, const struct disk_state *next, struct br_error *err)
{
	int r = disk_state_write(disk->dir, next, err);

	/* nobody can tell which one stays (what can be read now says nothing of after a crash): nothing more may be written */
	if (r < 0 && !state_stands(disk) && disk_state_write(disk->dir, &disk->state, NULL) < 0)
		br_cow_break(disk->cow);
	return r;
}

/* Store locked. next: what disk.json is to say; its layer's id. */
static int freeze_locked(struct br_disk *disk, struct disk_state *next, const uint8_t id[16], struct br_error *err)
{
	br_cleanup(br_freep) char *own = disk_layer_dir(disk->dir, &disk->state);
	br_cleanup(br_blocks_unrefp) struct br_blocks *base = NULL;
	br_cleanup(br_cow_closep) struct br_cow *fresh = NULL;
	struct disk_state old;
	int r = own ? 0 : br_error_set(err, ENOMEM, "%s: out of memory", disk->dir);

	if (!r && br_blocks_depth(br_cow_base(disk->cow)) >= BR_BLOCKS_LAYERS_MAX) /* said here, before anything is made */
		r = br_error_set(err, E2BIG,
			"%d layers lie one on the other already; 'bramble disk export' the disk, add that with 'bramble image add' and let the "
			"board begin anew on it", BR_BLOCKS_LAYERS_MAX);
	if (!r && disk->relaxed && br_cow_settle(disk->cow) < 0)
		r = br_error_set(err, EIO, "the disk's changes cannot be made stable");
	if (!r)
		r = publish(disk, own, err);
	if (!r)
		r = stack(disk, &base, err);
	if (!r)
		r = layer_new(disk->dir, next, base, &fresh, err);
	if (!r)
		r = commit_state(disk, next, err);
	if (r < 0)
		return r;
	br_cow_relax(fresh, disk->relaxed);
	br_cow_exchange(disk->cow, fresh);
	old = disk->state;
	disk->state = *next;
	*next = old;
	memcpy(disk->layer_id, id, 16);
	disk_sweep(disk->dir, &disk->state);
	return 0;
}

static int commit_fs(struct br_disk *disk, struct br_error *err)
{
	int r = disk->fs->ops->commit(disk->fs);

	return r < 0 ? br_error_set(err, -r, "the disk's changes cannot be made stable: %s", strerrordesc_np(-r)) : 0;
}

static bool unchanged(const struct br_disk *disk)
{
	struct br_cow_usage u;

	br_cow_usage(disk->cow, &u);
	return !u.changed;
}

/* Freezes, with one snapshot more when 'snapshot' is not NULL (its layer is filled in). */
static int freeze(struct br_disk *disk, struct br_disk_snapshot *snapshot, struct br_error *err)
{
	br_cleanup(br_closep) int lock = -1;
	struct disk_state next = { 0 };
	uint8_t id[16];
	int r = commit_fs(disk, err);

	if (r < 0)
		return r;
	if (unchanged(disk) && !snapshot)
		return 0;
	br_cow_punch(disk->cow);
	if (state_next(&disk->state, unchanged(disk) ? disk->state.parent : disk->state.layer, &next, id) < 0)
		return br_error_set(err, ENOMEM, "%s: out of memory", disk->dir);
	if (snapshot) {
		memcpy(snapshot->layer, next.parent, sizeof(snapshot->layer));
		next.snapshots[next.n_snapshots++] = *snapshot;
	}
	r = br_store_lock(br_image_store(disk->image), &lock, err);
	if (r < 0) {
		disk_state_done(&next);
		return r;
	}
	if (!unchanged(disk)) {
		r = freeze_locked(disk, &next, id, err);
	} else {
		memcpy(next.layer, disk->state.layer, sizeof(next.layer));
		r = commit_state(disk, &next, err);
		if (!r) {
			struct disk_state old = disk->state;

			disk->state = next;
			next = old;
		}
	}
	disk_state_done(&next);
	return r;
}

int br_disk_freeze(struct br_disk *disk, char ret[static 33], struct br_error *err)
{
	int r = freeze(disk, NULL, err);

	if (!r)
		memcpy(ret, disk->state.parent, BR_LAYER_ID);
	return r;
}

/* ---- snapshots ---- */

static struct br_disk_snapshot *find_snapshot(struct disk_state *s, const char *name)
{
	for (size_t i = 0; i < s->n_snapshots; i++)
		if (!strcmp(s->snapshots[i].name, name))
			return &s->snapshots[i];
	return NULL;
}

int br_disk_snapshot(struct br_disk *disk, const char *name, struct br_disk_snapshot *ret, struct br_error *err)
{
	struct br_disk_snapshot s = { .taken_at = (int64_t)time(NULL) };
	int r = name ? disk_snapshot_name_check(name, err) : 0;

	if (r < 0)
		return r;
	if (name && find_snapshot(&disk->state, name))
		return br_error_set(err, EEXIST, "there is a snapshot '%s' already; remove it first, or give another name", name);
	if (disk->state.n_snapshots >= 1000)
		return br_error_set(err, E2BIG, "there are 1000 snapshots of this disk; remove some first");
	if (name)
		br_strcpy(s.name, sizeof(s.name), name);
	for (unsigned i = 1; !s.name[0]; i++) {
		snprintf(s.name, sizeof(s.name), "%u", i);
		if (find_snapshot(&disk->state, s.name))
			s.name[0] = 0;
	}
	r = freeze(disk, &s, err);
	if (!r && ret)
		*ret = s;
	return r;
}

const struct br_disk_snapshot *br_disk_snapshots(const struct br_disk *disk, size_t *ret_n)
{
	*ret_n = disk->state.n_snapshots;
	return disk->state.snapshots;
}

static int no_snapshot(const char *name, struct br_error *err)
{
	char vis[80];

	return br_error_set(err, ENOENT, "the disk has no snapshot '%s'; 'bramble disk snapshots' shows them",
		br_vis(vis, sizeof(vis), name, strlen(name)));
}

int br_disk_snapshot_remove(struct br_disk *disk, const char *name, struct br_error *err)
{
	struct br_disk_snapshot *x = find_snapshot(&disk->state, name), gone;
	struct disk_state *s = &disk->state;
	size_t i;
	int r;

	if (!x)
		return no_snapshot(name, err);
	i = (size_t)(x - s->snapshots);
	gone = *x;
	memmove(x, x + 1, (s->n_snapshots - i - 1) * sizeof(*x));
	s->n_snapshots--;
	r = disk_state_write(disk->dir, s, err);
	if (r < 0) { /* as it was */
		memmove(x + 1, x, (s->n_snapshots - i) * sizeof(*x));
		*x = gone;
		s->n_snapshots++;
	}
	return r;
}

/* ---- the way back ---- */

static int rollback_locked(struct br_image *image, const char *dir, const char *name, struct disk_state *s,
	struct br_error *err)
{
	br_cleanup(br_blocks_unrefp) struct br_blocks *base = NULL;
	br_cleanup(br_cow_closep) struct br_cow *fresh = NULL;
	struct br_disk_snapshot *x = find_snapshot(s, name);
	struct disk_state next = { 0 };
	uint8_t id[16];
	int r;

	if (!x)
		return no_snapshot(name, err);
	if (strcmp(s->sha256, br_image_info(image)->sha256) != 0)
		return br_error_set(err, ESTALE, "the disk was made on image %s with another content; reset it", s->image);
	if (state_next(s, x->layer, &next, id) < 0)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	br_random(next.uuid, 16);
	next.size = 0; /* what it lies on then may be smaller; who opens it makes it larger again */
	r = disk_base(image, &next, &base, err);
	if (!r)
		r = layer_new(dir, &next, base, &fresh, err);
	if (!r)
		r = disk_state_write(dir, &next, err);
	if (!r && disk_forget_relaxed(dir) < 0)
		r = br_error_set(err, EIO, "%s/relaxed: cannot be removed", dir);
	if (!r)
		disk_sweep(dir, &next);
	disk_state_done(&next);
	return r;
}

int br_disk_rollback(struct br_image *image, const char *dir, const char *name, struct br_error *err)
{
	br_cleanup(br_closep) int lock = -1;
	struct disk_state s = { 0 };
	int r = disk_lock(dir, &lock, err);

	if (r == -ENOENT)
		return no_snapshot(name, err);
	if (!r)
		r = disk_state_read(dir, &s, err);
	if (r == -ENOENT)
		return no_snapshot(name, err);
	if (!r)
		r = rollback_locked(image, dir, name, &s, err);
	disk_state_done(&s);
	return r;
}

/* ---- larger ---- */

/* The disk's own layer once more, larger, in a directory of its own: its slots have second names there. */
static int layer_larger(struct br_disk *disk, const struct disk_state *next, const uint8_t id[16], struct br_error *err)
{
	br_cleanup(br_freep) char *own = disk_layer_dir(disk->dir, next);
	int r = own ? br_mkdir_all(own, 0700, err) : br_error_set(err, ENOMEM, "%s: out of memory", disk->dir);

	return r < 0 ? r : br_cow_fork(disk->cow, own, id, next->size, err);
}

/* The disk is as it was until disk.json names the new layer: what is written for that goes to slots that the old one does not use. */
static int grow(struct br_disk *disk, uint64_t size, struct br_error *err)
{
	br_cleanup(br_cow_closep) struct br_cow *fresh = NULL;
	struct disk_state next = { 0 };
	uint8_t id[16];
	int r;

	if (state_next(&disk->state, disk->state.parent, &next, id) < 0)
		return br_error_set(err, ENOMEM, "%s: out of memory", disk->dir);
	next.size = size;
	r = layer_larger(disk, &next, id, err);
	if (!r)
		r = layer_new(disk->dir, &next, br_cow_base(disk->cow), &fresh, err);
	if (!r)
		r = br_extgrow(fresh, err);
	if (!r) {
		r = br_cow_commit(fresh);
		if (r < 0)
			br_error_set(err, -r, "the larger ext4 cannot be stored: %s", strerrordesc_np(-r));
	}
	if (!r)
		r = disk_state_write(disk->dir, &next, err);
	if (!r)
		disk_sweep(disk->dir, &next);
	disk_state_done(&next);
	return r;
}

int br_disk_grow(struct br_image *image, const char *dir, uint64_t size, struct br_error *err)
{
	struct br_disk *disk;
	int r = br_disk_open(image, dir, &disk, err);

	if (r < 0)
		return r;
	size -= size % BR_COW_BLOCK;
	if (size > br_cow_size(disk->cow)) {
		/* no layer is frozen for it: a volatile disk that replayed its image's journal would leave one behind at each boot */
		r = commit_fs(disk, err);
		if (!r)
			r = br_extgrow_check(disk->cow, size, err);
		if (!r)
			r = grow(disk, size, err);
	}
	br_disk_close(disk);
	return r < 0 ? br_error_prefix(err, "disk %s", dir) : 0;
}
