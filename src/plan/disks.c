/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The open disks of boards. An entry stays open from its first use until another boot's plan asks for the
 * board's disk, or the daemon stops. A volatile disk's directory carries the number of the boot it belongs to, so
 * that a restarted daemon knows whether it is still that boot's.
 *
 * Opening and closing take long (files, a journal, a sync) and are done without the registry's lock: meanwhile the
 * entry stands in the registry as busy, those who want the same board's disk wait for it, all others go on.
 *
 * Locks: the registry's before an entry's, never the other way round.
 */
#include "plan/disks.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/cow.h"
#include "store/projfs.h"

#define PATIENCE 300 /* naps until requests of the last boot are said to keep its disk: three seconds */

struct entry {
	struct br_board_disk d; /* first: the public part */
	atomic_uint refs;	/* the registry's own one among them */
	int64_t board_id;	/* key */
	int64_t opened_at;	/* s since 1970 */
	bool busy;		/* being opened or closed, by one thread, which alone touches it */
	struct br_fs *proj;
	UT_hash_handle hh;
};

struct br_disks {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* an entry is no more busy */
	char *dir;		/* STATE/disks */
	bool relaxed;
	struct entry *entries;
};

/* Copies for readers that an older daemon did not get to remove (now they are in memory). They would keep the layers they name. */
static void sweep_copies(const char *dir)
{
	br_cleanup(br_freep) char *pattern = br_asprintf("%s/*/copy-*", dir);
	glob_t found;

	if (!pattern || strpbrk(dir, "*?[\\") || glob(pattern, GLOB_NOSORT, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		(void)br_remove_tree(found.gl_pathv[i], NULL); /* what stays takes room only */
	globfree(&found);
}

void br_disks_relax(struct br_disks *disks)
{
	disks->relaxed = true;
}

int br_disks_new(const char *state_dir, struct br_disks **ret, struct br_error *err)
{
	struct br_disks *disks = calloc(1, sizeof(*disks));
	int r;

	if (!disks || !(disks->dir = br_path_join(state_dir, "disks"))) {
		free(disks);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	r = br_mkdir_all(disks->dir, 0700, err);
	if (r < 0) {
		free(disks->dir);
		free(disks);
		return r;
	}
	pthread_mutex_init(&disks->lock, NULL);
	pthread_cond_init(&disks->changed, NULL);
	sweep_copies(disks->dir);
	*ret = disks;
	return 0;
}

static void entry_done(struct entry *e)
{
	if (e->proj)
		e->proj->ops->close(e->proj);
	br_disk_close(e->d.disk);
	br_plan_unref(e->d.plan);
	pthread_mutex_destroy(&e->d.lock);
}

void br_disks_free(struct br_disks *disks)
{
	struct entry *e, *tmp;

	if (!disks)
		return;
	HASH_ITER(hh, disks->entries, e, tmp)
	{
		HASH_DEL(disks->entries, e);
		entry_done(e);
		free(e);
	}
	pthread_mutex_destroy(&disks->lock);
	pthread_cond_destroy(&disks->changed);
	free(disks->dir);
	free(disks);
}

/* The number in DIR/boot, 0 when there is none. */
static uint64_t stored_boot(const char *dir)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "boot");
	br_cleanup(br_freep) char *text = NULL;
	uint64_t boot;

	if (!path || br_file_read(path, 32, &text, NULL, NULL) < 0 ||
		br_parse_u64(text, 1, UINT64_MAX, &boot) < 0)
		return 0;
	return boot;
}

static int store_boot(const char *dir, uint64_t boot, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "boot");
	char text[24];

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	snprintf(text, sizeof(text), "%" PRIu64, boot);
	return br_file_write(path, text, strlen(text), 0600, err);
}

char *br_disks_path(const struct br_disks *disks, int64_t board_id, const char *disk)
{
	return br_asprintf("%s/%" PRId64 "/%s", disks->dir, board_id, disk);
}

int br_disks_room(const struct br_disks *disks, uint64_t *ret)
{
	struct statvfs st;

	if (statvfs(disks->dir, &st) < 0)
		return br_error_negative(-errno);
	*ret = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static char *stored_dir(const struct br_disks *disks, const struct br_plan_input *in)
{
	return br_disks_path(disks, in->board.id, in->disk);
}

/* A board that is to have a larger disk gets it when the disk is opened. */
static int open_sized(const struct br_plan_input *in, const char *dir, struct br_board_disk *d, struct br_error *err)
{
	struct br_image *image = br_plan_base_image(in->base);
	struct br_error why = BR_ERROR_NULL;
	struct br_disk_usage u;
	struct br_disk *disk;
	int r = br_disk_open(image, dir, &disk, err);

	if (r < 0)
		return r;
	br_disk_usage(disk, &u);
	if (in->board.disk_size > u.base_bytes + BR_COW_BLOCK) {
		br_disk_close(disk);
		r = br_disk_grow(image, dir, in->board.disk_size, &why);
		/* a disk that cannot grow still boots, as it is */
		if (r < 0)
			snprintf(d->problem, sizeof(d->problem), "%.*s", (int)sizeof(d->problem) - 1, br_error_text(&why, r));
		r = br_disk_open(image, dir, &disk, err);
	}
	if (!r)
		d->disk = disk;
	return r;
}

/* Opens the stored disk of a plan, dropping a volatile one of another boot. */
static int open_stored(struct br_disks *disks, const struct br_plan_input *in, struct br_board_disk *d,
	struct br_error *err)
{
	bool is_volatile = strcmp(in->disk, "persistent") != 0; /* a board with changes in RAM has the image, at each boot */
	br_cleanup(br_freep) char *dir = stored_dir(disks, in);
	struct stat st;
	int r = 0;

	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	if (is_volatile && !stat(dir, &st) && (stored_boot(dir) != in->boot || br_disk_lost(dir)))
		r = br_remove_tree(dir, err);
	if (!r)
		r = br_mkdir_all(dir, 0700, err);
	if (!r)
		r = open_sized(in, dir, d, err);
	if (!r && is_volatile && stored_boot(dir) != in->boot) {
		r = store_boot(dir, in->boot, err);
		if (r < 0)
			br_disk_close(br_take(d->disk));
	}
	if (!r && is_volatile && disks->relaxed)
		(void)br_disk_relax(d->disk, NULL); /* else it is more durable than it need be */
	return r;
}

static int entry_open(struct br_disks *disks, struct br_plan *plan, struct entry *e, struct br_error *err)
{
	const struct br_plan_input *in = br_plan_input(plan);
	const struct br_projection *proj;
	struct br_fs *base = NULL;
	size_t n_proj;
	int r;

	pthread_mutex_init(&e->d.lock, NULL);
	e->d.board_id = in->board.id;
	e->d.boot = in->boot;
	e->opened_at = (int64_t)(br_wall_ns() / BR_S);
	e->d.plan = br_plan_ref(plan);
	r = open_stored(disks, in, &e->d, err);
	if (!r) {
		memcpy(e->d.id, br_disk_uuid(e->d.disk), sizeof(e->d.id));
		r = br_image_fs(br_plan_base_image(in->base), &base, err);
	}
	if (!r) {
		proj = br_plan_root(plan, &n_proj);
		r = br_projfs_open(br_disk_fs(e->d.disk), base, proj, n_proj, &e->proj, err);
		base->ops->close(base); /* 15 KB of each board's memory otherwise */
		e->d.fs = e->proj;
	}
	if (r < 0) {
		entry_done(e);
		br_error_prefix(err, "board %s: its disk", in->board.name);
	}
	return r;
}

/* Same boot, or the same in all that matters to the disk. */
static bool still_serves(const struct entry *e, const struct br_plan *plan)
{
	return e->d.boot == br_plan_input(plan)->boot;
}

/* The board's entry, when nobody opens or closes it any more. With the lock, which is let go while waiting. */
static struct entry *settled(struct br_disks *disks, int64_t board_id)
{
	struct entry *e;

	for (;;) {
		HASH_FIND(hh, disks->entries, &board_id, sizeof(board_id), e);
		if (!e || !e->busy)
			return e;
		pthread_cond_wait(&disks->changed, &disks->lock);
	}
}

/* With the lock; it is let go for the work. The entry is gone then. */
static void close_entry(struct br_disks *disks, struct entry *e)
{
	e->busy = true;
	pthread_mutex_unlock(&disks->lock);
	entry_done(e);
	pthread_mutex_lock(&disks->lock);
	HASH_DEL(disks->entries, e);
	free(e);
	pthread_cond_broadcast(&disks->changed);
}

/* The same. */
static int open_entry(struct br_disks *disks, struct br_plan *plan, struct entry **ret, struct br_error *err)
{
	struct entry *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return br_error_set(err, ENOMEM, "out of memory");
	e->board_id = br_plan_input(plan)->board.id;
	e->refs = 1;
	e->busy = true;
	HASH_ADD(hh, disks->entries, board_id, sizeof(e->board_id), e);
	pthread_mutex_unlock(&disks->lock);
	r = entry_open(disks, plan, e, err);
	pthread_mutex_lock(&disks->lock);
	e->busy = false;
	pthread_cond_broadcast(&disks->changed);
	if (r < 0) {
		HASH_DEL(disks->entries, e);
		free(e);
		return r;
	}
	*ret = e;
	return 0;
}

/* Requests and commits of the boot before are still at work: they end by themselves, and soon. */
static void let_others_finish(struct br_disks *disks)
{
	static const struct timespec nap = { .tv_nsec = 10 * 1000 * 1000 };

	pthread_mutex_unlock(&disks->lock);
	nanosleep(&nap, NULL);
	pthread_mutex_lock(&disks->lock);
}

int br_disks_open(struct br_disks *disks, struct br_plan *plan, struct br_board_disk **ret, struct br_error *err)
{
	int64_t id = br_plan_input(plan)->board.id;
	unsigned waits = 0;
	struct entry *e;
	int r = 0;

	pthread_mutex_lock(&disks->lock);
	for (e = settled(disks, id); !r && e && !still_serves(e, plan); e = settled(disks, id)) {
		if (e->refs == 1)
			close_entry(disks, e);
		else if (waits++ < PATIENCE)
			let_others_finish(disks);
		else
			r = br_error_set(err, EBUSY, "board %s: the disk of its last boot is still in use",
				br_plan_input(plan)->board.name);
	}
	if (!r && !e)
		r = open_entry(disks, plan, &e, err);
	if (!r) {
		e->refs++;
		*ret = &e->d;
	}
	pthread_mutex_unlock(&disks->lock);
	return r;
}

struct br_board_disk *br_disks_by_id(struct br_disks *disks, int64_t board_id, const uint8_t id[static 16])
{
	struct entry *e;

	pthread_mutex_lock(&disks->lock);
	HASH_FIND(hh, disks->entries, &board_id, sizeof(board_id), e);
	if (e && (e->busy || memcmp(e->d.id, id, sizeof(e->d.id))))
		e = NULL;
	if (e)
		e->refs++;
	pthread_mutex_unlock(&disks->lock);
	return e ? &e->d : NULL;
}

struct br_board_disk *br_disks_again(struct br_disks *disks, int64_t board_id, const uint8_t id[static 16])
{
	struct entry *e;

	pthread_mutex_lock(&disks->lock);
	e = settled(disks, board_id);
	if (e && memcmp(e->d.id, id, sizeof(e->d.id)))
		e = NULL;
	if (e)
		e->refs++;
	pthread_mutex_unlock(&disks->lock);
	return e ? &e->d : NULL;
}

void br_board_disk_unref(struct br_disks *disks, struct br_board_disk *disk)
{
	if (disk) /* the registry has one of its own: this is never the last */
		br_container_of(disk, struct entry, d)->refs--;
}

int br_disks_status(struct br_disks *disks, int64_t board_id, struct br_disks_status *ret)
{
	struct entry *e;

	pthread_mutex_lock(&disks->lock);
	HASH_FIND(hh, disks->entries, &board_id, sizeof(board_id), e);
	if (e && e->busy) {
		*ret = (struct br_disks_status){ .busy = true };
	} else if (e) {
		*ret = (struct br_disks_status){ .boot = e->d.boot, .opened_at = e->opened_at };
		br_strcpy(ret->disk, sizeof(ret->disk), br_plan_input(e->d.plan)->disk);
	}
	pthread_mutex_unlock(&disks->lock);
	return e ? 0 : -ENOENT;
}

int br_disks_close(struct br_disks *disks, int64_t board_id)
{
	struct entry *e;
	int r = 0;

	pthread_mutex_lock(&disks->lock);
	e = settled(disks, board_id);
	if (e && e->refs > 1)
		r = -EBUSY;
	else if (e)
		close_entry(disks, e);
	pthread_mutex_unlock(&disks->lock);
	return r;
}

/*
 * Runs fn while the board's disk is closed and cannot be opened. Requests at work get a moment to end; a board that goes
 * on asking waits, and finds what fn left.
 */
static int alone(struct br_disks *disks, int64_t board_id, int (*fn)(void *ctx, struct br_error *err), void *ctx,
	struct br_error *err)
{
	struct entry *e, *mine = calloc(1, sizeof(*mine));
	unsigned waits = 0;
	int r = 0;

	if (!mine)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_lock(&disks->lock);
	for (e = settled(disks, board_id); !r && e; e = settled(disks, board_id)) {
		if (e->refs == 1)
			close_entry(disks, e);
		else if (waits++ < PATIENCE)
			let_others_finish(disks);
		else
			r = br_error_set(err, EBUSY, "the disk is being read or written just now; try again, or stop the board first");
	}
	if (!r) {
		mine->board_id = board_id;
		mine->refs = 1;
		mine->busy = true;
		HASH_ADD(hh, disks->entries, board_id, sizeof(mine->board_id), mine);
		pthread_mutex_unlock(&disks->lock);
		r = fn(ctx, err);
		pthread_mutex_lock(&disks->lock);
		HASH_DEL(disks->entries, mine);
		pthread_cond_broadcast(&disks->changed);
	}
	pthread_mutex_unlock(&disks->lock);
	free(mine);
	return r;
}

static int remove_tree(void *ctx, struct br_error *err)
{
	return br_remove_tree(ctx, err);
}

int br_disks_remove(struct br_disks *disks, int64_t board_id, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_asprintf("%s/%" PRId64, disks->dir, board_id);

	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	return alone(disks, board_id, remove_tree, dir, err);
}

size_t br_disks_count_snapshots(struct br_disks *disks, struct br_plan *plan)
{
	br_cleanup(br_freep) char *dir = stored_dir(disks, br_plan_input(plan));

	return dir ? br_disk_count_snapshots(dir) : 0;
}

struct rollback {
	struct br_image *image;
	const char *dir, *name;
};

static int roll_back(void *ctx, struct br_error *err)
{
	const struct rollback *rb = ctx;

	return br_disk_rollback(rb->image, rb->dir, rb->name, err);
}

int br_disks_rollback(struct br_disks *disks, struct br_plan *plan, const char *name, struct br_error *err)
{
	const struct br_plan_input *in = br_plan_input(plan);
	br_cleanup(br_freep) char *dir = stored_dir(disks, in);
	struct rollback rb = { br_plan_base_image(in->base), dir, name };

	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	return alone(disks, in->board.id, roll_back, &rb, err);
}

/* Is there something else at this path than the image has? */
static int own_file(struct br_fs *below, struct br_fs *base, const char *path)
{
	struct br_fs_attr x = { 0 }, y = { 0 };
	uint64_t ino;
	int r = br_fs_walk(below, path, &ino);

	if (!r)
		r = below->ops->getattr(below, ino, &x);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR || r == -ELOOP ? 0 : r;
	if (br_fs_walk(base, path, &ino) < 0 || base->ops->getattr(base, ino, &y) < 0)
		return 1;
	return x.ino != y.ino || x.generation != y.generation || x.mtime.tv_sec != y.mtime.tv_sec ||
	       x.mtime.tv_nsec != y.mtime.tv_nsec || x.ctime.tv_sec != y.ctime.tv_sec || x.ctime.tv_nsec != y.ctime.tv_nsec;
}

int br_disks_own_files(struct br_board_disk *disk, int (*fn)(void *ctx, const char *path), void *ctx)
{
	struct br_error err = BR_ERROR_NULL;
	const struct br_projection *p;
	struct br_fs *base;
	size_t n;
	int r = br_image_fs(br_plan_base_image(br_plan_input(disk->plan)->base), &base, &err);

	if (r < 0)
		return r;
	p = br_plan_root(disk->plan, &n);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = own_file(br_disk_fs(disk->disk), base, p[i].path);
		if (r > 0)
			r = fn(ctx, p[i].path);
	}
	base->ops->close(base);
	return r;
}
