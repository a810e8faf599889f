/* SPDX-License-Identifier: Apache-2.0 */
/* An image opened for serving: its file, its mapped boot partition. */
#include "store/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mapping.h"
#include "base/text.h"
#include "store/blocks.h"
#include "store/layer.h"
#include "store/store.h"

struct br_image {
	struct br_image *next;
	struct br_store *store; /* NULL: not in a store */
	unsigned refs;		/* atomic; the registry itself holds none */
	struct br_image_info info;
	int fd, lock_fd;
	dev_t dev;
	ino_t ino;
	struct timespec mtime; /* of disk.img when it was opened */
	void *map;
	size_t map_len;
	int guard; /* of map; -1: none */
	struct br_fat *boot;
	struct br_blocks *blocks; /* NULL: no root partition */
};

static const struct br_partition *partition(const struct br_image_info *info, unsigned number)
{
	for (unsigned i = 0; number && i < info->n_partitions; i++)
		if (info->partitions[i].number == number)
			return &info->partitions[i];
	return NULL;
}

static void image_free(struct br_image *image)
{
	br_fat_close(image->boot);
	br_blocks_unref(image->blocks);
	br_mapping_unguard(image->guard);
	if (image->map)
		munmap(image->map, image->map_len);
	if (image->fd >= 0)
		close(image->fd);
	if (image->lock_fd >= 0)
		close(image->lock_fd);
	free(image);
}
BR_DEFINE_CLEANUP(struct br_image *, image_free);

/*
 * The mapping is shared and read-only. The store's files are 0444, belong to us and are never changed, only removed,
 * and a removed file keeps its bytes as long as it is mapped. Should somebody cut one all the same: the guard.
 */
static int map_boot(struct br_image *image, const struct br_partition *p, struct br_error *err)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), skip = p->start % page;
	int r;

	if (p->size > SIZE_MAX - skip || p->size > 64ull << 30)
		return br_error_set(err, EFBIG, "its boot partition is larger than 64 GiB; it is damaged");
	image->map_len = (size_t)(p->size + skip);
	image->map = mmap(NULL, image->map_len, PROT_READ, MAP_SHARED, image->fd, (off_t)(p->start - skip));
	if (image->map == MAP_FAILED) {
		image->map = NULL;
		return br_error_set(err, errno, "its boot partition cannot be mapped: %m");
	}
	image->guard = br_mapping_guard(image->map, image->map_len);
	if (image->guard < 0)
		return br_error_set(err, -image->guard, "too many images are open at once");
	r = br_fat_open((const char *)image->map + skip, (size_t)p->size, &image->boot, err);
	return r;
}

int br_image_of_fd(int fd, const struct br_image_info *info, struct br_image **ret, struct br_error *err)
{
	br_cleanup(image_freep) struct br_image *image = calloc(1, sizeof(*image));
	const struct br_partition *p;
	struct stat st;
	int r;

	if (!image) {
		close(fd);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	image->fd = fd;
	image->lock_fd = image->guard = -1;
	image->refs = 1;
	image->info = *info;
	if (fstat(fd, &st) < 0)
		return br_error_set(err, errno, "cannot look at its disk: %m");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != info->size)
		return br_error_set(err, EBADMSG,
			"its disk.img has %lld bytes and should have %llu; somebody changed it: remove the image and add it again",
			(long long)st.st_size, (unsigned long long)info->size);
	image->dev = st.st_dev;
	image->ino = st.st_ino;
	image->mtime = st.st_mtim;
	p = partition(info, info->boot);
	if (p) {
		r = map_boot(image, p, err);
		if (r < 0)
			return r;
	}
	p = partition(info, info->root);
	if (p) {
		r = br_blocks_new(fd, p->start, p->size, &image->blocks, err);
		if (r < 0)
			return r;
	}
	*ret = br_take(image);
	return 0;
}

/* The one that is open already, if it is still the same. Store locked. */
static struct br_image *find_open(struct br_store *store, const struct br_image_info *info, const struct stat *st)
{
	for (struct br_image *i = store->open; i; i = i->next)
		if (!strcmp(i->info.name, info->name) && !strcmp(i->info.sha256, info->sha256) && i->ino == st->st_ino &&
			i->dev == st->st_dev)
			return br_image_ref(i);
	return NULL;
}

struct opened {
	int fd, lock_fd;
	struct stat st;
};

static int open_file(struct br_store *store, const char *name, const char *file, int *ret_fd, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_store_path(store, name), *path = dir ? br_path_join(dir, file) : NULL;
	int fd;

	if (!path)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return br_error_set(err, errno == ENOENT ? EBADMSG : errno,
			"image %s: %s cannot be opened: %m; remove the image and add it again", name, path);
	*ret_fd = fd;
	return 0;
}

/* image.json is locked as long as the image is open, so that 'image rm' can tell (store.c): disk.img may be shared. */
static int open_disk(struct br_store *store, const char *name, struct opened *ret, struct br_error *err)
{
	br_cleanup(br_closep) int fd = -1, lock_fd = -1;
	int r = open_file(store, name, "disk.img", &fd, err);

	if (!r)
		r = open_file(store, name, "image.json", &lock_fd, err);
	if (r < 0)
		return r;
	if (flock(lock_fd, LOCK_SH | LOCK_NB) < 0)
		return br_error_set(err, errno, "image %s: it is being removed", name);
	if (fstat(fd, &ret->st) < 0)
		return br_error_set(err, errno, "image %s: cannot look at its disk: %m", name);
	ret->fd = br_take_fd(fd);
	ret->lock_fd = br_take_fd(lock_fd);
	return 0;
}

static void close_disk(struct opened *o)
{
	close(o->fd);
	close(o->lock_fd);
}

/* Disk and words of the same image, though another process may replace it meanwhile. */
static int open_with_info(struct br_store *store, const char *name, struct br_image_info *info, struct opened *ret,
	struct br_error *err)
{
	for (;;) {
		char sha256[BR_SHA256_HEX];
		int r = br_store_info(store, name, info, err);

		if (r < 0)
			return r;
		memcpy(sha256, info->sha256, sizeof(sha256));
		r = open_disk(store, info->name, ret, err);
		if (r < 0)
			return r;
		r = br_store_info(store, name, info, err);
		if (!r && !strcmp(sha256, info->sha256))
			return 0;
		close_disk(ret);
		if (r < 0)
			return r;
	}
}

/* The frozen layers of an image that has some. */
static int add_layers(struct br_store *store, struct br_image *image, struct br_error *err)
{
	struct br_blocks *stack;
	int r;

	if (!image->info.layer[0])
		return 0;
	if (!image->blocks)
		return br_error_set(err, EBADMSG, "it has layers and no root partition; it is damaged");
	r = br_layer_stack(store, image->info.layer, "", image->blocks, &stack, err);
	if (r < 0)
		return r;
	br_blocks_unref(image->blocks);
	image->blocks = stack;
	return 0;
}

/* Takes over what is open. */
static int make_image(struct br_store *store, const struct br_image_info *info, struct opened *o, struct br_image **ret,
	struct br_error *err)
{
	struct br_image *image;
	int r = br_image_of_fd(o->fd, info, &image, err);

	if (r < 0) {
		close(o->lock_fd);
		return r;
	}
	image->lock_fd = o->lock_fd;
	r = add_layers(store, image, err);
	if (r < 0) {
		image_free(image);
		return r;
	}
	*ret = image;
	return 0;
}

int br_image_open(struct br_store *store, const char *name, struct br_image **ret, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	struct br_image *image;
	struct opened o;
	int r;

	if (!info)
		return br_error_set(err, ENOMEM, "image %s: out of memory", name);
	r = open_with_info(store, name, info, &o, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->lock);
	image = find_open(store, info, &o.st);
	if (image) {
		close_disk(&o);
	} else {
		r = make_image(store, info, &o, &image, err);
		if (!r) {
			store->refs++;
			image->store = store;
			image->next = store->open;
			store->open = image;
		}
	}
	pthread_mutex_unlock(&store->lock);
	if (r < 0) {
		br_error_prefix(err, "image %s", info->name);
		return r;
	}
	*ret = image;
	return 0;
}

int br_image_of_file(struct br_store *store, int fd, const char *name, const char *sha256, struct br_image **ret,
	struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	struct br_image *image;
	struct stat st;
	int r;

	if (!info || fstat(fd, &st) < 0) {
		close(fd);
		return br_error_set(err, info ? errno : ENOMEM, "%s: cannot look at it", name);
	}
	info->size = (uint64_t)st.st_size;
	info->root = info->n_partitions = 1;
	info->partitions[0] = (struct br_partition){ .number = 1, .size = info->size };
	br_strcpy(info->name, sizeof(info->name), name);
	br_strcpy(info->sha256, sizeof(info->sha256), sha256);
	br_strcpy(info->base, sizeof(info->base), sha256);
	r = br_image_of_fd(fd, info, &image, err);
	if (r < 0)
		return r;
	image->store = br_store_ref(store);
	*ret = image;
	return 0;
}

struct br_image *br_image_ref(struct br_image *image)
{
	__atomic_add_fetch(&image->refs, 1, __ATOMIC_RELAXED);
	return image;
}

void br_image_unref(struct br_image *image)
{
	struct br_store *store;

	if (!image)
		return;
	store = image->store;
	if (!store) {
		if (!__atomic_sub_fetch(&image->refs, 1, __ATOMIC_ACQ_REL))
			image_free(image);
		return;
	}
	/* under the lock: find_open() must not revive one whose last reference just went */
	pthread_mutex_lock(&store->lock);
	if (__atomic_sub_fetch(&image->refs, 1, __ATOMIC_ACQ_REL)) {
		pthread_mutex_unlock(&store->lock);
		return;
	}
	for (struct br_image **p = &store->open; *p; p = &(*p)->next) {
		if (*p == image) {
			*p = image->next;
			break;
		}
	}
	pthread_mutex_unlock(&store->lock);
	image_free(image);
	br_store_close(store);
}

const struct br_image_info *br_image_info(const struct br_image *image)
{
	return &image->info;
}

bool br_image_current(const struct br_image *image)
{
	br_cleanup(br_freep) char *dir = image->store ? br_store_path(image->store, image->info.name) : NULL;
	br_cleanup(br_freep) char *path = dir ? br_path_join(dir, "image.json") : NULL;
	struct stat there, ours;

	if (!path || fstat(image->lock_fd, &ours) < 0)
		return true; /* nobody knows better */
	return !stat(path, &there) && there.st_ino == ours.st_ino && there.st_dev == ours.st_dev;
}

int br_image_changed(const struct br_image *image, struct br_error *err)
{
	struct stat st;

	if (fstat(image->fd, &st) < 0)
		return br_error_set(err, errno, "image %s: cannot look at its disk.img: %m", image->info.name);
	if ((uint64_t)st.st_size != image->info.size)
		return br_error_set(err, EIO,
			"image %s: its disk.img has %lld bytes now and should have %llu: somebody changed it on the host; "
			"remove the image and add it again",
			image->info.name, (long long)st.st_size, (unsigned long long)image->info.size);
	if (st.st_mtim.tv_sec != image->mtime.tv_sec || st.st_mtim.tv_nsec != image->mtime.tv_nsec ||
		br_mapping_cut(image->guard))
		return br_error_set(err, EIO,
			"image %s: its disk.img was written to while it was served: somebody changed it on the host; "
			"remove the image and add it again", image->info.name);
	return 0;
}

const struct br_fat *br_image_boot(const struct br_image *image)
{
	return image->boot;
}

int br_image_fd(const struct br_image *image)
{
	return image->fd;
}

struct br_blocks *br_image_blocks(const struct br_image *image)
{
	return image->blocks;
}

struct br_store *br_image_store(const struct br_image *image)
{
	return image->store;
}

bool br_image_root(const struct br_image *image, uint64_t *ret_start, uint64_t *ret_size)
{
	const struct br_partition *p = partition(&image->info, image->info.root);

	if (!p)
		return false;
	*ret_start = p->start;
	*ret_size = p->size;
	return true;
}
