/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of images: opening, listing, removing, sweeping. */
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"

static void dir_close(DIR *d)
{
	closedir(d);
}
BR_DEFINE_CLEANUP(DIR *, dir_close);

char *br_store_path(const struct br_store *store, const char *name)
{
	return br_path_join(store->images_dir, name);
}

int br_store_lock(struct br_store *store, int *ret_fd, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_store_path(store, ".lock");
	br_cleanup(br_closep) int fd = -1;

	if (!path)
		return br_error_set(err, ENOMEM, "image store: out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return br_error_set(err, errno, "%s: cannot open: %m; run as root or as the owner of %s", path,
			store->state_dir);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return br_error_set(err, errno, "%s: cannot lock: %m", path);
	(void)br_state_own(store->state_dir, path, NULL); /* at worst the next one must be root too */
	*ret_fd = br_take_fd(fd);
	return 0;
}

/* Leftovers of an import that ended without cleaning up. One that still runs holds its directory's lock. */
static void sweep_one(struct br_store *store, const char *name)
{
	br_cleanup(br_freep) char *path = br_store_path(store, name);
	br_cleanup(br_closep) int fd = -1;

	if (!path)
		return;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)br_remove_tree(path, NULL); /* what cannot go now is tried again next time */
}

/* Layers are made under the store's lock: a half one seen with the lock held is nobody's. */
static void sweep_layers(struct br_store *store)
{
	br_cleanup(br_freep) char *layers = br_path_join(store->state_dir, "layers");
	br_cleanup(dir_closep) DIR *d = layers ? opendir(layers) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		br_cleanup(br_freep) char *path = NULL;

		if (!br_str_starts(e->d_name, ".new-"))
			continue;
		path = br_path_join(layers, e->d_name);
		if (path)
			(void)br_remove_tree(path, NULL);
	}
}

/* Tidying is no reason to fail: who may only read the store still may list it. */
static void sweep(struct br_store *store)
{
	br_cleanup(br_closep) int lock = -1;
	br_cleanup(dir_closep) DIR *d = NULL;
	struct dirent *e;

	if (access(store->images_dir, W_OK) < 0 || br_store_lock(store, &lock, NULL) < 0)
		return;
	d = opendir(store->images_dir);
	if (!d)
		return;
	while ((e = readdir(d)))
		if (br_str_starts(e->d_name, ".import-") || br_str_starts(e->d_name, ".remove-"))
			sweep_one(store, e->d_name);
	sweep_layers(store);
}

static void store_unref(struct br_store *store)
{
	bool last;

	pthread_mutex_lock(&store->lock);
	last = !--store->refs;
	pthread_mutex_unlock(&store->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&store->lock);
	free(store->state_dir);
	free(store->images_dir);
	free(store);
}
BR_DEFINE_CLEANUP(struct br_store *, store_unref);

struct br_store *br_store_ref(struct br_store *store)
{
	pthread_mutex_lock(&store->lock);
	store->refs++;
	pthread_mutex_unlock(&store->lock);
	return store;
}

int br_store_open(const char *dir, struct br_store **ret, struct br_error *err)
{
	br_cleanup(store_unrefp) struct br_store *store = calloc(1, sizeof(*store));
	bool made;
	int r;

	if (!store)
		return br_error_set(err, ENOMEM, "image store: out of memory");
	store->refs = 1;
	pthread_mutex_init(&store->lock, NULL);
	store->state_dir = strdup(dir);
	store->images_dir = br_path_join(dir, "images");
	if (!store->state_dir || !store->images_dir)
		return br_error_set(err, ENOMEM, "image store: out of memory");
	made = access(store->images_dir, F_OK) < 0;
	r = br_mkdir_all(store->images_dir, 0755, err);
	if (!r && made)
		r = br_state_own(dir, store->images_dir, err);
	if (r < 0)
		return r;
	sweep(store);
	*ret = br_take(store);
	return 0;
}

void br_store_close(struct br_store *store)
{
	if (store)
		store_unref(store);
}

int br_store_info(struct br_store *store, const char *name, struct br_image_info *ret, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = NULL, *path = NULL;
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	char canon[BR_IMAGE_NAME_MAX + 1];
	struct stat st;
	int r = br_image_name_canon(name, canon, err);

	if (r < 0)
		return r;
	name = canon;
	dir = br_store_path(store, name);
	path = dir ? br_path_join(dir, "image.json") : NULL;
	if (!path || !info)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	if (lstat(dir, &st) < 0 && errno == ENOENT)
		return br_error_set(err, ENOENT, "no image '%s' here; 'bramble image list' shows what there is", name);
	r = br_image_info_read(path, info, err);
	if (r < 0) {
		br_error_prefix(err, "image %s", name);
		return r == -ENOENT ? -EBADMSG : r;
	}
	if (strcmp(info->name, name) != 0)
		return br_error_set(err, EBADMSG, "image %s: %s is about another image; remove it and add it again",
			name, path);
	*ret = *info;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in images/ that could be images; *ret_n of them, each and the array freed by the caller. */
static int names(struct br_store *store, char ***ret, size_t *ret_n, struct br_error *err)
{
	br_cleanup(dir_closep) DIR *d = opendir(store->images_dir);
	char **list = NULL;
	size_t n = 0;
	struct dirent *e;

	if (!d)
		return br_error_set(err, errno, "%s: cannot read: %m", store->images_dir);
	while ((e = readdir(d))) {
		char **p;

		if (br_image_name_check(e->d_name, NULL) < 0 || br_str_ends(e->d_name, ":latest"))
			continue;
		p = realloc(list, (n + 1) * sizeof(*list));
		if (p)
			list = p;
		if (!p || !(list[n] = strdup(e->d_name))) {
			while (n)
				free(list[--n]);
			free(list);
			return br_error_set(err, ENOMEM, "image store: out of memory");
		}
		n++;
	}
	if (n)
		qsort(list, n, sizeof(*list), by_name);
	*ret = list;
	*ret_n = n;
	return 0;
}

int br_store_list(struct br_store *store, int (*fn)(void *ctx, const struct br_image_info *info, const char *err_text),
	void *ctx, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	char **list = NULL;
	size_t n = 0;
	int r = info ? names(store, &list, &n, err) : br_error_set(err, ENOMEM, "image store: out of memory");

	for (size_t i = 0; i < n; i++) {
		struct br_error broken = BR_ERROR_NULL;
		int k = r ? r : br_store_info(store, list[i], info, &broken);

		if (!r && k < 0 && k != -ENOENT) { /* -ENOENT: removed in between */
			*info = (struct br_image_info){ 0 };
			br_strcpy(info->name, sizeof(info->name), list[i]);
			r = fn(ctx, info, br_error_text(&broken, k));
		} else if (!r && !k) {
			r = fn(ctx, info, NULL);
		}
		free(list[i]);
	}
	free(list);
	return r;
}

int br_store_set_aside(struct br_store *store, const char *path, char **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *away = br_store_path(store, ".remove-XXXXXX");

	if (!away)
		return br_error_set(err, ENOMEM, "%s: out of memory", path);
	/* a rename onto an empty directory takes its place, so the name is ours alone */
	if (!mkdtemp(away))
		return br_error_set(err, errno, "%s: cannot make: %m", away);
	if (rename(path, away) < 0) {
		int r = br_error_set(err, errno, "%s: cannot rename: %m", path);

		rmdir(away);
		return r;
	}
	(void)br_sync_dir(store->images_dir);
	*ret = br_take(away);
	return 0;
}

int br_store_discard(struct br_store *store, const char *path, struct br_error *err)
{
	br_cleanup(br_freep) char *away = NULL;
	int r = br_store_set_aside(store, path, &away, err);

	return r < 0 ? r : br_remove_tree(away, err);
}

int br_store_publish(struct br_store *store, const char *dir, const char *name, bool replace, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_store_path(store, name);
	br_cleanup(br_closep) int lock = -1;
	int r = path ? br_store_lock(store, &lock, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r < 0)
		return r;
	r = renameat2(AT_FDCWD, dir, AT_FDCWD, path, RENAME_NOREPLACE) < 0 ? -errno : 0;
	if (r == -EEXIST && replace) {
		r = renameat2(AT_FDCWD, dir, AT_FDCWD, path, RENAME_EXCHANGE) < 0 ? -errno : 0;
		if (!r) /* the old one is now where ours was; a daemon that serves it keeps its bytes */
			(void)br_remove_tree(dir, NULL);
	}
	if (r == -EEXIST)
		return r;
	if (r < 0)
		return br_error_set(err, -r, "%s: cannot rename to %s: %s", dir, path, strerrordesc_np(-r));
	r = br_sync_dir(store->images_dir);
	if (r < 0)
		return br_error_set(err, -r, "%s: cannot make it stable: %s", store->images_dir, strerrordesc_np(-r));
	return 0;
}

struct needs {
	const char *name, *sha256;
	bool other; /* another name has the same content */
	struct br_text children;
};

static int look_for_children(void *ctx, const struct br_image_info *i, const char *err_text)
{
	struct needs *n = ctx;

	if (err_text || !strcmp(i->name, n->name))
		return 0;
	if (!strcmp(i->sha256, n->sha256))
		n->other = true;
	else if (!strcmp(i->parent_sha256, n->sha256))
		br_text_addf(&n->children, "%s%s", n->children.len ? ", " : "", i->name);
	return 0;
}

/* -EBUSY when images were saved from disks on this one. A broken one is nobody's parent. */
static int check_children(struct br_store *store, const char *name, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	struct needs n = { .name = name };
	int r = info ? br_store_info(store, name, info, NULL) : -ENOMEM;

	if (r < 0)
		return r == -ENOMEM ? br_error_set(err, ENOMEM, "image %s: out of memory", name) : 0;
	n.sha256 = info->sha256;
	r = br_store_list(store, look_for_children, &n, err);
	if (!r && n.children.len && !n.other)
		r = br_error_set(err, EBUSY, "image %s is the parent of %s; remove %s first, or give this one another name "
			"with 'bramble image tag'", name, n.children.buf, strchr(n.children.buf, ',') ? "those" : "that one");
	br_text_done(&n.children);
	return r;
}

int br_store_remove(struct br_store *store, const char *name, struct br_error *err)
{
	br_cleanup(br_freep) char *path = NULL, *json = NULL;
	br_cleanup(br_closep) int lock = -1, fd = -1;
	char canon[BR_IMAGE_NAME_MAX + 1];
	struct stat st;
	int r = br_image_name_canon(name, canon, err);

	if (r < 0)
		return r;
	name = canon;
	path = br_store_path(store, name);
	json = path ? br_path_join(path, "image.json") : NULL;
	if (!json)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	if (lstat(path, &st) < 0)
		return br_error_set(err, errno, errno == ENOENT ? "no image '%s' here; 'bramble image list' shows what there is"
								 : "image %s: cannot look at it: %m", name);
	r = br_store_lock(store, &lock, err);
	if (!r)
		r = check_children(store, name, err);
	if (r < 0)
		return r;
	/* who has it open holds a shared lock (image.c) */
	fd = open(json, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return br_error_set(err, EBUSY,
			"image %s is in use by a running bramble; give its boards another image or stop the daemon first",
			name);
	r = br_store_discard(store, path, err);
	if (r < 0)
		br_error_prefix(err, "image %s", name);
	return r;
}
