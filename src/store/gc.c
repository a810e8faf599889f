/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nothing needs. A frozen layer is needed when an image or a disk names it, or a needed layer lies on it. Where one
 * of these cannot be read nobody knows what it needs, and nothing is removed.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/disk.h"
#include "store/layer.h"
#include "store/store.h"

static void dir_close(DIR *d)
{
	closedir(d);
}
BR_DEFINE_CLEANUP(DIR *, dir_close);

struct known {
	struct br_layer l;
	bool needed, unread;
	char *away; /* where it is until it is removed; free() */
};

struct gc {
	struct br_store *store;
	struct known *layers;
	size_t n, cap;
	struct br_error *err;
	bool dry;
	void (*fn)(void *ctx, const char *what, uint64_t bytes);
	void *ctx;
	int n_removed;
};

static struct known *find(struct gc *gc, const char *id)
{
	for (size_t i = 0; i < gc->n; i++)
		if (!strcmp(gc->layers[i].l.id, id))
			return &gc->layers[i];
	return NULL;
}

static int add_layer(void *ctx, const char *id)
{
	struct gc *gc = ctx;

	if (br_array_reserve(&gc->layers, &gc->cap, gc->n + 1, sizeof(*gc->layers)) < 0)
		return -ENOMEM;
	gc->layers[gc->n] = (struct known){ 0 };
	/* one that cannot be read is removed when nothing names it; see mark() for when something does */
	if (br_layer_read(gc->store, id, &gc->layers[gc->n].l, NULL) < 0) {
		memcpy(gc->layers[gc->n].l.id, id, BR_LAYER_ID);
		gc->layers[gc->n].unread = true;
	}
	gc->n++;
	return 0;
}

static int mark(struct gc *gc, const char *id)
{
	struct known *k;

	for (; *id && (k = find(gc, id)) && !k->needed; id = k->l.parent) {
		struct br_error why = BR_ERROR_NULL;
		int r = k->unread ? br_layer_read(gc->store, id, &k->l, &why) : 0; /* once more, to say why */

		if (r < 0)
			return br_error_set(gc->err, EBADMSG,
				"layer %s is needed and cannot be read, so nobody knows which ones it lies on (%s); repair it, or "
				"remove the image or the disk that names it", id, br_error_text(&why, r));
		k->needed = true;
	}
	return 0;
}

static int mark_image(void *ctx, const struct br_image_info *info, const char *err_text)
{
	struct gc *gc = ctx;

	if (err_text)
		return br_error_set(gc->err, EBADMSG,
			"image %s is broken, so nobody knows which layers it needs (%s); remove or repair it first", info->name,
			err_text);
	return mark(gc, info->layer);
}

static int mark_id(void *ctx, const char *id)
{
	return mark(ctx, id);
}

/* STATE/disks/<board>/<policy>: each directory with a disk.json. */
static int mark_disks_of(struct gc *gc, const char *board)
{
	br_cleanup(dir_closep) DIR *d = opendir(board);
	struct dirent *e;
	int r = 0;

	if (!d)
		return errno == ENOTDIR || errno == ENOENT ? 0 : br_error_set(gc->err, errno, "%s: cannot read: %m", board);
	while (!r && (e = readdir(d))) {
		br_cleanup(br_freep) char *dir = br_path_join(board, e->d_name);

		if (e->d_name[0] == '.')
			continue;
		r = dir ? br_disk_layers(dir, mark_id, gc, gc->err) : -ENOMEM;
	}
	return r;
}

static int mark_disks(struct gc *gc)
{
	br_cleanup(br_freep) char *disks = br_path_join(gc->store->state_dir, "disks");
	br_cleanup(dir_closep) DIR *d = disks ? opendir(disks) : NULL;
	struct dirent *e;
	int r = 0;

	if (!d)
		return disks && errno == ENOENT ? 0 : br_error_set(gc->err, errno, "%s: cannot read: %m", disks);
	while (!r && (e = readdir(d))) {
		br_cleanup(br_freep) char *board = br_path_join(disks, e->d_name);

		if (e->d_name[0] == '.')
			continue;
		r = board ? mark_disks_of(gc, board) : -ENOMEM;
	}
	return r;
}

static uint64_t stored(const char *dir)
{
	static const char *const names[] = { "slots", "map", "layer.json" };
	uint64_t bytes = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++) {
		br_cleanup(br_freep) char *path = br_path_join(dir, names[i]);
		struct stat st;

		/* with another name its blocks stay */
		if (path && !stat(path, &st) && st.st_nlink == 1)
			bytes += (uint64_t)st.st_blocks * 512;
	}
	return bytes;
}

static int sweep_layer(struct gc *gc, struct known *k)
{
	br_cleanup(br_freep) char *dir = br_layer_path(gc->store, k->l.id);
	int r = 0;

	if (!dir)
		return -ENOMEM;
	if (gc->fn)
		gc->fn(gc->ctx, dir, stored(dir));
	if (!gc->dry)
		r = br_store_set_aside(gc->store, dir, &k->away, gc->err);
	gc->n_removed++;
	return r;
}

int br_store_gc(struct br_store *store, bool dry, void (*fn)(void *ctx, const char *what, uint64_t bytes), void *ctx,
	struct br_error *err)
{
	struct gc gc = { .store = store, .err = err, .dry = dry, .fn = fn, .ctx = ctx };
	br_cleanup(br_closep) int lock = -1;
	int r = br_store_lock(store, &lock, err);

	if (!r)
		r = br_layer_list(store, add_layer, &gc, err);
	if (!r)
		r = br_store_list(store, mark_image, &gc, err);
	if (!r)
		r = mark_disks(&gc);
	for (size_t i = 0; !r && i < gc.n; i++)
		if (!gc.layers[i].needed)
			r = sweep_layer(&gc, &gc.layers[i]);
	br_closep(&lock); /* removing takes long, and disks that are saved or made larger wait for the lock */
	for (size_t i = 0; i < gc.n; i++) {
		if (gc.layers[i].away && br_remove_tree(gc.layers[i].away, r < 0 ? NULL : err) < 0 && !r)
			r = -EIO;
		free(gc.layers[i].away);
	}
	free(gc.layers);
	if (r == -ENOMEM)
		br_error_set(err, ENOMEM, "out of memory");
	return r < 0 ? r : gc.n_removed;
}
