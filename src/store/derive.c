/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that share what others have: a second name, and what a board's disk became. A hidden directory gets a hard link
 * to disk.img and an image.json of its own, then its name by one rename.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"
#include "store/disk.h"
#include "store/inspect.h"
#include "store/layer.h"
#include "store/store.h"

BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

struct fresh {
	char *dir, *disk, *json;
	int fd; /* locked, so that no sweeper takes it */
};

static void fresh_done(struct fresh *f)
{
	if (f->dir)
		(void)br_remove_tree(f->dir, NULL); /* published: it is not there any more */
	if (f->fd >= 0)
		close(f->fd);
	free(f->dir);
	free(f->disk);
	free(f->json);
}

static int fresh_make(struct br_store *store, struct fresh *f, struct br_error *err)
{
	br_cleanup(br_closep) int lock = -1;
	char *dir = br_store_path(store, ".import-XXXXXX");
	int r = dir ? br_store_lock(store, &lock, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r && !mkdtemp(dir))
		r = br_error_set(err, errno, "%s: cannot make a directory: %m", store->images_dir);
	if (r < 0) {
		free(dir);
		return r;
	}
	f->dir = dir;
	f->disk = br_path_join(dir, "disk.img");
	f->json = br_path_join(dir, "image.json");
	if (!f->disk || !f->json)
		return br_error_set(err, ENOMEM, "out of memory");
	f->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->fd < 0 || flock(f->fd, LOCK_EX | LOCK_NB) < 0 || fchmod(f->fd, 0755) < 0)
		return br_error_set(err, errno, "%s: cannot lock: %m", dir);
	return 0;
}

/* A hard link to the very file that the image has open, whatever its name stands for meanwhile. */
static int link_disk(const struct br_image *image, const char *to, struct br_error *err)
{
	br_cleanup(br_freep) char *from = br_asprintf("/proc/self/fd/%d", br_image_fd(image));
	const char *name = br_image_info(image)->name;

	if (!from)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno == ENOENT)
		return br_error_set(err, ESTALE,
			"image %s was replaced in the store since it was opened, and its bytes go when it is closed; they cannot be shared",
			name);
	return br_error_set(err, errno, "image %s: its disk.img cannot be linked to %s: %m; the file system of the state "
		"directory must know hard links", name, to);
}

static int taken(const struct br_image_info *old, const char *name, struct br_error *err)
{
	return br_error_set(err, EEXIST,
		"there is another image named '%s' (%s, sha256 %.12s...); give --replace, or another name", name, old->source,
		old->sha256);
}

/* 1: the name has this content already. */
static int look_at_name(struct br_store *store, const char *name, const char *sha256, bool replace, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *old = malloc(sizeof(*old));
	int r = old ? br_store_info(store, name, old, NULL) : -ENOMEM;

	if (r == -ENOMEM)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	if (r == -ENOENT || (r < 0 && replace))
		return 0;
	if (r < 0)
		return br_error_set(err, EEXIST, "there is a broken image named '%s'; give --replace, or remove it", name);
	if (!strcmp(old->sha256, sha256))
		return 1;
	return replace ? 0 : taken(old, name, err);
}

/* info->name: the new one. 0, or 1 when it is there already. */
static int put(struct br_store *store, const struct br_image *image, const struct br_image_info *info, bool replace,
	struct br_error *err)
{
	struct fresh f = { .fd = -1 };
	int r = look_at_name(store, info->name, info->sha256, replace, err);

	if (r)
		return r;
	r = fresh_make(store, &f, err);
	if (!r)
		r = link_disk(image, f.disk, err);
	if (!r)
		r = br_image_info_write(f.json, info, err);
	if (!r)
		r = br_state_own(store->state_dir, f.json, err);
	if (!r)
		r = br_state_own(store->state_dir, f.dir, err);
	if (!r) {
		r = br_store_publish(store, f.dir, info->name, replace, err);
		if (r == -EEXIST) /* somebody was faster */
			r = look_at_name(store, info->name, info->sha256, replace, err);
	}
	fresh_done(&f);
	return r;
}

int br_store_tag(struct br_store *store, const char *name, const char *as, bool replace, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	char canon[BR_IMAGE_NAME_MAX + 1];
	int r = info ? br_image_name_canon(as, canon, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r)
		r = br_image_open(store, name, &image, err);
	if (r < 0)
		return r;
	*info = *br_image_info(image);
	if (!strcmp(info->name, canon))
		return 1;
	memcpy(info->name, canon, sizeof(canon));
	return put(store, image, info, replace, err);
}

/* What a look at the changed root says: an update may have changed the release and the kernels. */
static int look_into_root(struct br_image *image, struct br_blocks *blocks, struct br_image_info *info, struct br_error *err)
{
	struct br_fs *fs;
	int r = br_blocks_fs(image, blocks, &fs, err);

	if (r < 0)
		return br_error_prefix(err, "the disk as it was frozen");
	info->os_id[0] = info->os_name[0] = info->os_version[0] = info->arch[0] = info->kernels[0] = 0;
	br_inspect_root(fs, info);
	fs->ops->close(fs);
	return 0;
}

static int describe(struct br_store *store, struct br_image *image, const char *layer, const char *from,
	struct br_image_info *info, struct br_error *err)
{
	const struct br_image_info *base = br_image_info(image);
	struct br_blocks *blocks;
	unsigned depth;
	int r;

	memcpy(info->parent, base->name, sizeof(info->parent));
	memcpy(info->parent_sha256, base->sha256, sizeof(info->parent_sha256));
	memcpy(info->base, base->layer[0] ? base->base : base->sha256, sizeof(info->base));
	memcpy(info->layer, layer, sizeof(info->layer));
	br_vis(info->source, sizeof(info->source), from, strlen(from));
	info->source_size = 0;
	info->source_mtime_ns = 0;
	info->imported_at = (int64_t)time(NULL);
	r = br_layer_measure(store, layer, base->layer, &info->layer_bytes, &depth, err);
	if (r < 0)
		return r;
	info->depth = base->depth + depth;
	r = br_layer_content(store, layer, info->sha256, err);
	if (!r)
		r = br_layer_stack(store, layer, base->layer, br_image_blocks(image), &blocks, err);
	if (r)
		return r;
	r = look_into_root(image, blocks, info, err);
	br_blocks_unref(blocks);
	return r;
}

int br_store_derive(struct br_store *store, struct br_image *image, const char *layer, const char *name, const char *from,
	bool replace, struct br_image_info *ret, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	int r;

	if (!info)
		return br_error_set(err, ENOMEM, "out of memory");
	*info = *br_image_info(image);
	r = br_image_name_canon(name, info->name, err);
	if (!r && strcmp(layer, info->layer) != 0) /* else nothing was changed: only a name more */
		r = describe(store, image, layer, from, info, err);
	if (!r)
		r = put(store, image, info, replace, err);
	/* until the image was there only the disk kept the layers, and that may have been reset */
	if (!r && strcmp(info->layer, br_image_info(image)->layer) != 0) {
		uint64_t bytes;
		unsigned depth;

		r = br_layer_measure(store, info->layer, "", &bytes, &depth, NULL);
		if (r < 0) {
			(void)br_store_remove(store, info->name, NULL);
			r = br_error_set(err, ESTALE, "image %s: the disk was reset or removed while it was saved; save it again",
				info->name);
		}
	}
	if (r >= 0 && ret)
		*ret = *info;
	return r;
}
