/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/shares.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "store/hostfs.h"

struct opened {
	struct br_open_share o; /* first: the public part */
	atomic_uint refs;
};

struct entry {
	struct br_share s;
	char **boards; /* s.boards expanded */
	size_t n_boards;
	struct opened *opened; /* NULL: not open; a reference of ours */
	struct entry *next;
};

struct br_shares {
	pthread_mutex_t lock;	   /* entries; never held while a directory is opened */
	pthread_mutex_t open_lock; /* one opens at a time */
	struct br_fleet *fleet;
	struct entry *entries; /* by name */
};

/* ---- entries ---- */

void br_open_share_unref(struct br_open_share *share)
{
	struct opened *o = share ? br_container_of(share, struct opened, o) : NULL;

	if (!o || --o->refs)
		return;
	o->o.fs->ops->close(o->o.fs);
	pthread_mutex_destroy(&o->o.lock);
	free(o);
}

static void entry_free(struct entry *e)
{
	if (!e)
		return;
	if (e->opened)
		br_open_share_unref(&e->opened->o);
	br_hostlist_free(e->boards, e->n_boards);
	free(e);
}
BR_DEFINE_CLEANUP(struct entry *, entry_free);

static int by_name(const struct entry *a, const struct entry *b)
{
	return strcmp(a->s.name, b->s.name);
}

static int entry_new(const struct br_share *s, struct entry **ret, struct br_error *err)
{
	br_cleanup(entry_freep) struct entry *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return br_error_set(err, ENOMEM, "out of memory");
	e->s = *s;
	r = s->boards[0] ? br_hostlist_expand(s->boards, &e->boards, &e->n_boards, err) : 0;
	if (r < 0)
		return br_error_prefix(err, "share %s: boards", s->name);
	*ret = br_take(e);
	return 0;
}

/* With the lock. */
static struct entry *find(struct br_shares *shares, const char *name)
{
	struct entry *e;

	LL_FOREACH(shares->entries, e)
	if (!strcmp(e->s.name, name))
		return e;
	return NULL;
}

static struct entry *find_id(struct br_shares *shares, const uint8_t id[static 16])
{
	struct entry *e;

	LL_FOREACH(shares->entries, e)
	if (!memcmp(e->s.id, id, sizeof(e->s.id)))
		return e;
	return NULL;
}

static bool allows(const struct entry *e, const char *board)
{
	for (size_t i = 0; i < e->n_boards; i++)
		if (!strcmp(e->boards[i], board))
			return true;
	return !e->s.boards[0];
}

/* Takes fresh; one of the same name goes. */
static void put_entry(struct br_shares *shares, struct entry *fresh)
{
	struct entry *old;

	pthread_mutex_lock(&shares->lock);
	old = find(shares, fresh->s.name);
	if (old)
		LL_DELETE(shares->entries, old);
	LL_INSERT_INORDER(shares->entries, fresh, by_name);
	pthread_mutex_unlock(&shares->lock);
	entry_free(old);
}

/* ---- opening ---- */

static int open_dir(const struct br_share *s, struct br_fs **ret, struct br_error *err)
{
	const struct br_hostfs_options opt = { .dir = s->dir, .uid = s->uid, .gid = s->gid };
	struct br_fs *fs;
	int r = br_hostfs_open(&opt, &fs, err);

	if (r < 0)
		return br_error_prefix(err, "share %s", s->name);
	if (!s->read_only && !br_hostfs_writable(fs)) {
		fs->ops->close(fs);
		return br_error_set(err, EACCES,
			"share %s: user %u, as which bramble runs, may not write into %s: change its owner or mode, or share it "
			"--ro (under systemd it must also be among ReadWritePaths=)", s->name, geteuid(), s->dir);
	}
	*ret = fs;
	return 0;
}

/* Whether it can be served now. */
static int check_dir(const struct br_share *s, struct br_error *err)
{
	struct br_fs *fs = NULL;
	int r = open_dir(s, &fs, err);

	if (fs)
		fs->ops->close(fs);
	return r;
}

static int open_new(const struct br_share *s, bool learn, struct opened **ret, struct br_error *err)
{
	struct opened *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return br_error_set(err, ENOMEM, "out of memory");
	r = open_dir(s, &o->o.fs, err);
	if (r < 0) {
		free(o);
		return r;
	}
	if (learn)
		br_hostfs_learn(o->o.fs);
	memcpy(o->o.id, s->id, sizeof(o->o.id));
	o->o.read_only = s->read_only;
	pthread_mutex_init(&o->o.lock, NULL);
	o->refs = 1;
	*ret = o;
	return 0;
}

/* The entry's, when it is open; a new reference. */
static struct opened *ref_opened(struct entry *e)
{
	if (e && e->opened)
		e->opened->refs++;
	return e ? e->opened : NULL;
}

/* The open one, unless something else is at its path now and a board mounts it anew. A new reference, or NULL. */
static struct opened *still_opened(struct br_shares *shares, const struct br_share *s, bool mounts)
{
	struct opened *o;

	pthread_mutex_lock(&shares->lock);
	o = ref_opened(find_id(shares, s->id));
	pthread_mutex_unlock(&shares->lock);
	if (!o || !mounts || !br_hostfs_elsewhere(o->o.fs, s->dir))
		return o;
	br_open_share_unref(&o->o);
	return NULL;
}

/* An entry keeps this one from now on, another one before it goes. False: there is no entry any more. */
static bool keep_opened(struct br_shares *shares, const struct br_share *s, struct opened *o)
{
	struct opened *old = NULL;
	struct entry *e;

	pthread_mutex_lock(&shares->lock);
	e = find_id(shares, s->id);
	if (e) {
		old = e->opened;
		e->opened = o;
		o->refs++;
	}
	pthread_mutex_unlock(&shares->lock);
	if (old)
		br_open_share_unref(&old->o);
	return e;
}

/*
 * With open_lock: nobody else opens it meanwhile, but it may be removed. learn: a board that has it mounted waits for what may be
 * put right: a directory that is not there yet, rights, descriptors.
 */
static int open_one(struct br_shares *shares, const struct br_share *s, bool learn, struct br_open_share **ret,
	struct br_error *err)
{
	struct opened *o = still_opened(shares, s, !learn);
	int r;

	if (!o) {
		r = open_new(s, learn, &o, err);
		if (r < 0)
			return learn ? -EAGAIN : r;
		if (!keep_opened(shares, s, o)) {
			br_open_share_unref(&o->o);
			return br_error_set(err, ESTALE, "share %s: it was removed", s->name);
		}
	}
	*ret = &o->o;
	return 0;
}

static int open_for(struct br_shares *shares, struct entry *(*look)(struct br_shares *, const void *), const void *key,
	const char *board, bool learn, struct br_open_share **ret, struct br_error *err)
{
	struct br_share *s = malloc(sizeof(*s));
	struct entry *e;
	int r = -ENOMEM;

	if (s) {
		pthread_mutex_lock(&shares->lock);
		e = look(shares, key);
		r = !e ? -ENOENT : allows(e, board) ? 0 : -EACCES;
		if (!r)
			*s = e->s;
		pthread_mutex_unlock(&shares->lock);
	}
	if (r == -ENOENT)
		br_error_set(err, ENOENT, "there is no such share; 'bramble share list' shows them");
	else if (r == -EACCES)
		br_error_set(err, EACCES, "this share is not for board %s", board);
	if (!r) {
		pthread_mutex_lock(&shares->open_lock);
		r = open_one(shares, s, learn, ret, err);
		pthread_mutex_unlock(&shares->open_lock);
	}
	free(s);
	return r;
}

static struct entry *look_name(struct br_shares *shares, const void *key)
{
	return find(shares, key);
}

static struct entry *look_id(struct br_shares *shares, const void *key)
{
	return find_id(shares, key);
}

int br_shares_open(struct br_shares *shares, const char *name, const char *board, struct br_open_share **ret,
	struct br_error *err)
{
	return open_for(shares, look_name, name, board, false, ret, err);
}

int br_shares_again(struct br_shares *shares, const uint8_t id[static 16], const char *board, struct br_open_share **ret,
	struct br_error *err)
{
	int r = open_for(shares, look_id, id, board, true, ret, err);

	return r == -ENOENT ? -ESTALE : r;
}

struct br_open_share *br_shares_by_id(struct br_shares *shares, const uint8_t id[static 16])
{
	struct opened *o;

	pthread_mutex_lock(&shares->lock);
	o = ref_opened(find_id(shares, id));
	pthread_mutex_unlock(&shares->lock);
	return o ? &o->o : NULL;
}

bool br_shares_name(struct br_shares *shares, const uint8_t id[static 16], char ret[static BR_SHARE_NAME_MAX + 1])
{
	const struct entry *e;

	pthread_mutex_lock(&shares->lock);
	e = find_id(shares, id);
	if (e)
		memcpy(ret, e->s.name, sizeof(e->s.name));
	pthread_mutex_unlock(&shares->lock);
	return e;
}

bool br_shares_known(struct br_shares *shares, const uint8_t id[static 16])
{
	char name[BR_SHARE_NAME_MAX + 1];

	return br_shares_name(shares, id, name);
}

/* ---- what is set ---- */

static int check(const struct br_share *s, struct br_error *err)
{
	char vis[100];

	if (!br_share_name_ok(s->name))
		return br_error_set(err, EINVAL, "'%s' cannot name a share: use 1 to %d of a-z, 0-9, '.', '_', '-' and begin with a "
			"letter or digit", br_vis(vis, sizeof(vis), s->name, strlen(s->name)), BR_SHARE_NAME_MAX);
	if (s->dir[0] != '/')
		return br_error_set(err, EINVAL, "share %s: the directory must be an absolute path", s->name);
	return 0;
}

static int store(struct br_shares *shares, struct br_share *s, struct br_error *err)
{
	br_cleanup(entry_freep) struct entry *e = NULL;
	int r = entry_new(s, &e, err);

	if (!r)
		r = br_share_put(shares->fleet, s, err);
	if (!r)
		put_entry(shares, br_take(e));
	return r;
}

int br_shares_add(struct br_shares *shares, struct br_share *share, struct br_error *err)
{
	bool there;
	int r = check(share, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&shares->lock);
	there = find(shares, share->name) != NULL;
	pthread_mutex_unlock(&shares->lock);
	if (there)
		return br_error_set(err, EEXIST, "share %s: there is one of this name; 'bramble share rm %s' first", share->name,
			share->name);
	r = check_dir(share, err);
	if (r < 0)
		return r;
	br_random(share->id, sizeof(share->id));
	share->configured = false;
	return store(shares, share, err);
}

static int remove_entry(struct br_shares *shares, const char *name, struct br_error *err)
{
	struct entry *e;
	int r = br_share_remove(shares->fleet, name, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&shares->lock);
	e = find(shares, name);
	if (e)
		LL_DELETE(shares->entries, e);
	pthread_mutex_unlock(&shares->lock);
	entry_free(e);
	return 0;
}

int br_shares_remove(struct br_shares *shares, const char *name, struct br_error *err)
{
	bool configured = false;
	struct entry *e;

	pthread_mutex_lock(&shares->lock);
	e = find(shares, name);
	configured = e && e->s.configured;
	pthread_mutex_unlock(&shares->lock);
	if (configured)
		return br_error_set(err, EBUSY, "share %s comes from bramble.conf: take its section out there, and restart bramble",
			name);
	return remove_entry(shares, name, err);
}

static bool listed(const struct br_share *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].name, name))
			return true;
	return false;
}

/* Those that are not configured any more, one at a time. */
static int drop_unlisted(struct br_shares *shares, const struct br_share *list, size_t n, struct br_error *err)
{
	char name[BR_SHARE_NAME_MAX + 1];
	struct entry *e;
	int r = 0;

	do {
		pthread_mutex_lock(&shares->lock);
		LL_FOREACH(shares->entries, e)
		if (e->s.configured && !listed(list, n, e->s.name))
			break;
		if (e)
			memcpy(name, e->s.name, sizeof(name));
		pthread_mutex_unlock(&shares->lock);
		if (e)
			r = remove_entry(shares, name, err);
	} while (e && !r);
	return r;
}

static bool same(const struct br_share *a, const struct br_share *b)
{
	return !strcmp(a->dir, b->dir) && !strcmp(a->boards, b->boards) && a->read_only == b->read_only && a->uid == b->uid &&
	       a->gid == b->gid && a->configured == b->configured;
}

int br_shares_configure(struct br_shares *shares, const struct br_share *list, size_t n, struct br_error *err)
{
	int r = drop_unlisted(shares, list, n, err);

	for (size_t i = 0; !r && i < n; i++) {
		struct br_share s = list[i];
		struct entry *old;
		bool unchanged = false;

		s.configured = true;
		r = check(&s, err);
		br_random(s.id, sizeof(s.id));
		pthread_mutex_lock(&shares->lock);
		old = find(shares, s.name);
		if (old && !strcmp(old->s.dir, s.dir)) /* handles stay good over a restart */
			memcpy(s.id, old->s.id, sizeof(s.id));
		unchanged = old && same(&old->s, &s);
		pthread_mutex_unlock(&shares->lock);
		if (!r && !unchanged)
			r = store(shares, &s, err);
	}
	return r;
}

/* Copies of what there is, so that fn is called without the lock. */
static int copy_all(struct br_shares *shares, const char *board, struct br_share **ret, size_t *ret_n)
{
	struct br_share *v;
	struct entry *e;
	size_t n = 0;

	pthread_mutex_lock(&shares->lock);
	LL_COUNT(shares->entries, e, n);
	v = calloc(n + 1, sizeof(*v));
	n = 0;
	LL_FOREACH(shares->entries, e)
	if (v && (!board || allows(e, board)))
		v[n++] = e->s;
	pthread_mutex_unlock(&shares->lock);
	*ret = v;
	*ret_n = n;
	return v ? 0 : -ENOMEM;
}

int br_shares_list(struct br_shares *shares, int (*fn)(void *ctx, const struct br_share *share, const char *problem), void *ctx)
{
	br_cleanup(br_freep) struct br_share *v = NULL;
	size_t n;
	int r = copy_all(shares, NULL, &v, &n);

	for (size_t i = 0; !r && i < n; i++) {
		struct br_error why = BR_ERROR_NULL;
		int checked = check_dir(&v[i], &why);

		r = fn(ctx, &v[i], checked ? br_error_text(&why, checked) : NULL);
	}
	return r;
}

int br_shares_for(struct br_shares *shares, const char *board, int (*fn)(void *ctx, const struct br_share *share), void *ctx)
{
	br_cleanup(br_freep) struct br_share *v = NULL;
	size_t n;
	int r = copy_all(shares, board, &v, &n);

	for (size_t i = 0; !r && i < n; i++)
		r = fn(ctx, &v[i]);
	return r;
}

static int load(void *ctx, const struct br_share *share)
{
	struct br_shares *shares = ctx;
	struct entry *e = NULL;
	int r = entry_new(share, &e, NULL);

	if (!r && e)
		put_entry(shares, e);
	return r;
}

int br_shares_new(struct br_fleet *fleet, struct br_shares **ret, struct br_error *err)
{
	struct br_shares *shares = calloc(1, sizeof(*shares));
	int r;

	if (!shares)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&shares->lock, NULL);
	pthread_mutex_init(&shares->open_lock, NULL);
	shares->fleet = fleet;
	r = br_share_list(fleet, load, shares);
	if (r < 0) {
		br_shares_free(shares);
		return br_error_set(err, -r, "the shares cannot be read: %s", strerrordesc_np(-r));
	}
	*ret = shares;
	return 0;
}

void br_shares_free(struct br_shares *shares)
{
	struct entry *e, *tmp;

	if (!shares)
		return;
	LL_FOREACH_SAFE(shares->entries, e, tmp)
	entry_free(e);
	pthread_mutex_destroy(&shares->lock);
	pthread_mutex_destroy(&shares->open_lock);
	free(shares);
}
