/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot files from a directory. Every open goes through openat2(2) with RESOLVE_BENEATH: the kernel sees to it that
 * nothing leads out of the directory, also while somebody renames things in it.
 */
#include "plan/overrides.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "plan/bootpath.h"
#include "plan/plan.h"

#define PROBLEMS_TOLD 3

/* Which state of which file: the same key means the same bytes. */
struct key {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct content {
	struct content *next; /* of the cache, under its lock */
	struct cache *cache;
	unsigned refs; /* under the cache's lock */
	struct key key;
	uint8_t bytes[];
};

struct cache {
	pthread_mutex_t lock;
	unsigned refs; /* the overrides, and each content */
	struct content *contents;
};

struct br_overrides {
	char *dir;
	bool root; /* files of a root file system, not boot files */
	struct cache *cache;
};

struct entry {
	struct br_override o;
	struct content *content;
	size_t rank; /* of its layer, 0 the strongest */
};

struct br_override_set {
	bool root;
	struct entry *entries;
	size_t n, cap;
	uint64_t bytes;
	size_t n_problems;
	struct br_text problems;
};

BR_DEFINE_CLEANUP(struct br_override_set *, br_override_set_free);

/* One reading. */
struct reading {
	struct br_overrides *overrides;
	struct br_override_set *set;
	int root_fd;
	const char *layer;
	size_t rank;
	unsigned n_dirs; /* links can make a few directories many */
};

/* ---- contents, shared ---- */

static void cache_unref(struct cache *cache)
{
	unsigned left;

	pthread_mutex_lock(&cache->lock);
	left = --cache->refs;
	pthread_mutex_unlock(&cache->lock);
	if (left)
		return;
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static void content_unref(struct content *c)
{
	struct cache *cache = c->cache;
	bool last;

	pthread_mutex_lock(&cache->lock);
	last = !--c->refs;
	for (struct content **p = &cache->contents; last && *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	pthread_mutex_unlock(&cache->lock);
	if (!last)
		return;
	free(c);
	cache_unref(cache);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_key(const struct key *a, const struct key *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && same_time(&a->mtime, &b->mtime) &&
	       same_time(&a->ctime, &b->ctime);
}

static struct key key_of(const struct stat *st)
{
	return (struct key){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static struct content *find_content(struct cache *cache, const struct key *key)
{
	struct content *c;

	pthread_mutex_lock(&cache->lock);
	for (c = cache->contents; c && !same_key(&c->key, key); c = c->next)
		;
	if (c)
		c->refs++;
	pthread_mutex_unlock(&cache->lock);
	return c;
}

/* A new reference to the content of an open plain file. -EAGAIN: it changed while it was read. */
static int take_content(struct cache *cache, int fd, const struct stat *st, struct content **ret)
{
	struct key key = key_of(st);
	struct content *c = find_content(cache, &key);
	struct stat after;
	int r;

	if (c) {
		*ret = c;
		return 0;
	}
	c = malloc(sizeof(*c) + (size_t)st->st_size);
	if (!c)
		return -ENOMEM;
	*c = (struct content){ .cache = cache, .refs = 1, .key = key };
	if (S_ISLNK(st->st_mode))
		r = readlinkat(fd, "", (char *)c->bytes, (size_t)st->st_size) == st->st_size ? 0 : -EAGAIN;
	else
		r = br_pread_all(fd, c->bytes, (size_t)st->st_size, 0);
	if (!r && fstat(fd, &after) < 0)
		r = -errno;
	if (!r) {
		struct key now = key_of(&after);

		if (!same_key(&now, &key))
			r = -EAGAIN;
	}
	if (r < 0) {
		free(c);
		return r;
	}
	pthread_mutex_lock(&cache->lock);
	cache->refs++;
	c->next = cache->contents;
	cache->contents = c;
	pthread_mutex_unlock(&cache->lock);
	*ret = c;
	return 0;
}

/* ---- reading ---- */

static void problem(struct reading *rd, const char *path, const char *words)
{
	struct br_text *t = &rd->set->problems;

	if (rd->set->n_problems++ >= PROBLEMS_TOLD)
		return;
	if (t->len)
		br_text_add(t, "; ");
	br_text_addf(t, "%s/", rd->overrides->dir);
	br_text_add_vis(t, path, strlen(path));
	br_text_addf(t, ": %s", words);
}

static const char *words_of(int r)
{
	switch (-r) {
	case EXDEV:
		return "leads out of the overrides directory";
	case ELOOP:
		return "too many symbolic links";
	case EACCES:
	case EPERM:
		return "the daemon's user may not read it";
	case ENOSYS:
		return "this kernel has no openat2(2), which keeps links inside; Linux 5.6 has";
	case EAGAIN:
		return "changes all the time";
	}
	return strerror(-r);
}

/* path: below the root. O_NONBLOCK: a FIFO must not hold us up. */
static int open_beneath(int root_fd, const char *path, int flags)
{
	return br_open_resolved(root_fd, path, flags | (flags & O_PATH ? 0 : O_RDONLY | O_NONBLOCK | O_NOCTTY), 0,
		RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

static int add_entry(struct reading *rd, const char *path, struct content *content, mode_t mode)
{
	struct br_override_set *set = rd->set;
	struct entry *e;
	char *copy;

	if (br_array_reserve(&set->entries, &set->cap, set->n + 1, sizeof(*set->entries)) < 0)
		return -ENOMEM;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	e = &set->entries[set->n++];
	*e = (struct entry){
		.o = {
			.path = copy,
			.layer = rd->layer,
			.span = { content->bytes, (size_t)content->key.size },
			.mode = mode & 07777,
			.symlink = S_ISLNK(mode),
		},
		.content = content,
		.rank = rd->rank,
	};
	set->bytes += (uint64_t)content->key.size;
	return 0;
}

/* A plain file, or in a root a link too; full: its path with the layer in front, path: without. */
static int read_file(struct reading *rd, int fd, const struct stat *st, const char *full, const char *path)
{
	struct content *content;
	char clean[BR_BOOT_PATH_MAX];
	int r;

	if (!rd->set->root && (br_boot_path_clean(path, clean, sizeof(clean)) < 0 || strcmp(clean, path))) {
		problem(rd, full, "no firmware can ask for such a name");
		return 0;
	}
	if (rd->set->n >= BR_OVERRIDES_FILES_MAX) {
		problem(rd, full, "too many files for one board");
		return 0;
	}
	if (st->st_size < 0 || (uint64_t)st->st_size > BR_OVERRIDES_BYTES_MAX - rd->set->bytes) {
		problem(rd, full, "too large together with the other files");
		return 0;
	}
	r = take_content(rd->overrides->cache, fd, st, &content);
	if (r < 0 && r != -ENOMEM) {
		problem(rd, full, words_of(r));
		return 0;
	}
	if (!r) {
		r = add_entry(rd, path, content, st->st_mode);
		if (r < 0)
			content_unref(content);
	}
	return r;
}

static int read_dir(struct reading *rd, int fd, const char *full, unsigned depth);

static int read_one(struct reading *rd, const char *full, unsigned depth, bool link)
{
	br_cleanup(br_closep) int fd = open_beneath(rd->root_fd, full, link ? O_PATH | O_NOFOLLOW : 0);
	struct stat st;

	if (fd == -ENOENT) /* taken away meanwhile, or a link to nothing */
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		problem(rd, full, words_of(fd < 0 ? fd : -errno));
		return 0;
	}
	if (S_ISDIR(st.st_mode) && (depth >= BR_OVERRIDES_DEPTH_MAX || rd->n_dirs >= BR_OVERRIDES_FILES_MAX)) {
		problem(rd, full, "too many directories, or a link to one above it");
		return 0;
	}
	if (S_ISDIR(st.st_mode)) {
		rd->n_dirs++;
		return read_dir(rd, br_take_fd(fd), full, depth + 1);
	}
	if (!S_ISREG(st.st_mode) && !(link && S_ISLNK(st.st_mode))) {
		problem(rd, full, "is no plain file");
		return 0;
	}
	return read_file(rd, fd, &st, full, strchr(full, '/') + 1);
}

static bool passed_over(const struct reading *rd, const char *name)
{
	if (!strcmp(name, ".") || !strcmp(name, "..") || br_str_ends(name, "~"))
		return true;
	/* an editor's swap file in any case */
	return name[0] == '.' && (!rd->set->root || br_str_ends(name, ".swp"));
}

static bool is_link(DIR *dir, const char *name)
{
	struct stat st;

	return !fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode);
}

/* Takes fd. */
static int read_dir(struct reading *rd, int fd, const char *full, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!dir) {
		problem(rd, full, words_of(-errno));
		close(fd);
		return 0;
	}
	while (!r && (errno = 0, e = readdir(dir))) {
		char path[BR_BOOT_PATH_MAX + 64];
		int n;

		if (passed_over(rd, e->d_name))
			continue;
		n = snprintf(path, sizeof(path), "%s/%s", full, e->d_name);
		if (n < 0 || (size_t)n >= sizeof(path))
			problem(rd, full, "has a name that is too long");
		else
			r = read_one(rd, path, depth, rd->set->root && is_link(dir, e->d_name));
	}
	if (!r && errno)
		problem(rd, full, words_of(-errno));
	closedir(dir);
	return r;
}

static int read_layer(struct reading *rd)
{
	int fd = open_beneath(rd->root_fd, rd->layer, O_DIRECTORY);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0) {
		problem(rd, rd->layer, words_of(fd));
		return 0;
	}
	return read_dir(rd, fd, rd->layer, 0);
}

/* ---- sets ---- */

static int compare(const void *a, const void *b, bool exact)
{
	const struct entry *x = a, *y = b;
	int c = exact ? strcmp(x->o.path, y->o.path) : strcasecmp(x->o.path, y->o.path);

	if (!c)
		c = (x->rank > y->rank) - (x->rank < y->rank);
	return c ?: strcmp(x->o.path, y->o.path); /* two spellings in one directory: always the same one wins */
}

static int by_path_and_rank(const void *a, const void *b)
{
	return compare(a, b, false);
}

static int by_exact_path_and_rank(const void *a, const void *b)
{
	return compare(a, b, true);
}

static bool same_path(const struct br_override_set *set, const char *a, const char *b)
{
	return set->root ? !strcmp(a, b) : !strcasecmp(a, b);
}

static void drop_entry(struct entry *e)
{
	content_unref(e->content);
	free((char *)(uintptr_t)e->o.path);
}

/* Of one path only the strongest stays. */
static void settle(struct br_override_set *set)
{
	size_t n = 0;

	if (set->n)
		qsort(set->entries, set->n, sizeof(*set->entries), set->root ? by_exact_path_and_rank : by_path_and_rank);
	for (size_t i = 0; i < set->n; i++) {
		if (n && same_path(set, set->entries[n - 1].o.path, set->entries[i].o.path))
			drop_entry(&set->entries[i]);
		else
			set->entries[n++] = set->entries[i];
	}
	set->n = n;
}

int br_overrides_read(struct br_overrides *overrides, const char *const *layers, size_t n_layers,
	struct br_override_set **ret, struct br_error *err)
{
	br_cleanup(br_override_set_freep) struct br_override_set *set = calloc(1, sizeof(*set));
	br_cleanup(br_closep) int root_fd = open(overrides->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct reading rd = { .overrides = overrides, .set = set, .root_fd = root_fd };
	int r = root_fd < 0 ? -errno : 0;

	if (!set)
		return br_error_set(err, ENOMEM, "out of memory");
	set->root = overrides->root;
	if (r < 0 && r != -ENOENT)
		problem(&rd, "", words_of(r));
	for (; !r && rd.rank < n_layers; rd.rank++) {
		rd.layer = layers[rd.rank];
		r = read_layer(&rd);
	}
	if (r == -ENOMEM)
		return br_error_set(err, ENOMEM, "overrides directory %s: out of memory", overrides->dir);
	if (set->n_problems > PROBLEMS_TOLD)
		br_text_addf(&set->problems, "; and %zu more", set->n_problems - PROBLEMS_TOLD);
	settle(set);
	*ret = br_take(set);
	return 0;
}

void br_override_set_free(struct br_override_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n; i++)
		drop_entry(&set->entries[i]);
	free(set->entries);
	br_text_done(&set->problems);
	free(set);
}

static int by_path(const void *key, const void *entry)
{
	const struct entry *e = entry;

	return strcasecmp(key, e->o.path);
}

static int by_exact_path(const void *key, const void *entry)
{
	const struct entry *e = entry;

	return strcmp(key, e->o.path);
}

const struct br_override *br_override_find(const struct br_override_set *set, const char *path)
{
	const struct entry *e = NULL;

	if (set && set->n)
		e = bsearch(path, set->entries, set->n, sizeof(*set->entries), set->root ? by_exact_path : by_path);
	return e ? &e->o : NULL;
}

const struct br_override *br_override_at(const struct br_override_set *set, size_t i)
{
	return set && i < set->n ? &set->entries[i].o : NULL;
}

const char *br_override_set_problem(const struct br_override_set *set)
{
	return set ? set->problems.buf : NULL;
}

int br_overrides_new(const char *dir, bool root, struct br_overrides **ret, struct br_error *err)
{
	struct br_overrides *o = calloc(1, sizeof(*o));
	struct cache *cache = calloc(1, sizeof(*cache));
	char *copy = strdup(dir);

	if (!o || !cache || !copy) {
		free(o);
		free(cache);
		free(copy);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	pthread_mutex_init(&cache->lock, NULL);
	cache->refs = 1;
	*o = (struct br_overrides){ .dir = copy, .root = root, .cache = cache };
	*ret = o;
	return 0;
}

void br_overrides_free(struct br_overrides *o)
{
	if (!o)
		return;
	cache_unref(o->cache);
	free(o->dir);
	free(o);
}
