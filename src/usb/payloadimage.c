/* SPDX-License-Identifier: Apache-2.0 */
/* The boot partition of an image for boards on USB: a Compute Module that boots it as from its own storage. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "plan/bootimg.h"
#include "store/fatwrite.h"
#include "store/inspect.h"
#include "store/store.h"
#include "usb/payload_priv.h"

BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

struct image {
	struct br_usb_payload base;
	struct br_image *image;
	pthread_mutex_t lock;
	struct br_fatimage *bootimg; /* made at its first use, under the lock */
};

static void image_free(struct br_usb_payload *payload)
{
	struct image *im = br_container_of(payload, struct image, base);

	br_fatimage_free(im->bootimg);
	br_image_unref(im->image);
	pthread_mutex_destroy(&im->lock);
	free(im);
}

/* The pieces of a file lie anywhere in the partition. */
static int spans_read(const struct br_usb_payload_file *file, uint64_t offset, void *buf, size_t n)
{
	const struct br_fat_entry *e = file->entry;
	uint8_t *out = buf;

	for (size_t i = 0; i < e->n_spans && n; i++) {
		size_t len = e->spans[i].len, k;

		if (offset >= len) {
			offset -= len;
			continue;
		}
		k = len - (size_t)offset < n ? len - (size_t)offset : n;
		memcpy(out, e->spans[i].data + offset, k);
		out += k;
		n -= k;
		offset = 0;
	}
	if (n)
		return -EIO;
	return br_image_changed(file->ref, NULL); /* what was cut off reads as zeros */
}

static void image_close(struct br_usb_payload_file *file)
{
	br_image_unref(file->ref);
}

static const struct br_usb_payload_file_ops spans_ops = { .read = spans_read, .close = image_close };

/* ---- boot.img of what the partition has ---- */

static int bootimg_read(const struct br_usb_payload_file *file, uint64_t offset, void *buf, size_t n)
{
	const struct image *im = br_container_of((struct br_usb_payload *)file->ref, struct image, base);

	if (br_fatimage_read(im->bootimg, offset, buf, n) != n)
		return -EIO;
	return br_image_changed(im->image, NULL);
}

static void bootimg_close(struct br_usb_payload_file *file)
{
	br_usb_payload_unref(file->ref);
}

static const struct br_usb_payload_file_ops bootimg_ops = { .read = bootimg_read, .close = bootimg_close };

/* config.txt as text; NULL: none, or no memory. */
static char *read_config(const struct br_fat *fat)
{
	const struct br_fat_entry *e = br_fat_lookup(fat, "config.txt");
	struct br_text t = BR_TEXT_NULL;

	if (!e || e->is_dir || e->size > 1 << 20)
		return NULL;
	for (size_t i = 0; i < e->n_spans; i++)
		br_text_add_bytes(&t, e->spans[i].data, e->spans[i].len);
	return br_text_take(&t);
}

static int make_bootimg(struct image *im, struct br_error *err)
{
	static const struct br_fatimage_options opt = { .label = "BOOT", .spare = 16384, .max_size = BR_BOOTIMG_MAX };
	const struct br_fat *fat = br_image_boot(im->image);
	br_cleanup(br_freep) struct br_fatimage_entry *entries = calloc(br_fat_count(fat) + 1, sizeof(*entries));
	br_cleanup(br_freep) char *config = read_config(fat);
	const struct br_fat_entry *e;
	size_t n = 0;

	if (!entries)
		return br_error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; (e = br_fat_walk(fat, i)); i++)
		if (!e->is_dir && br_bootimg_needs(BR_SOC_BCM2712, e->path, config))
			entries[n++] = (struct br_fatimage_entry){ e->path, e->spans, e->n_spans, e->size };
	return br_fatimage_new(entries, n, &opt, &im->bootimg, err);
}

static int lookup_bootimg(struct image *im, struct br_usb_payload_file *ret, struct br_error *err)
{
	int r;

	pthread_mutex_lock(&im->lock);
	r = im->bootimg ? 0 : make_bootimg(im, err);
	pthread_mutex_unlock(&im->lock);
	if (r < 0)
		return r;
	*ret = (struct br_usb_payload_file){
		.size = br_fatimage_size(im->bootimg),
		.origin = "made",
		.ops = &bootimg_ops,
		.ref = br_usb_payload_ref(&im->base),
		.fd = -1,
	};
	br_usb_payload_name(ret, im->base.text, "boot.img");
	return 0;
}

/* ---- the payload ---- */

static int image_lookup(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	struct image *im = br_container_of(payload, struct image, base);
	const struct br_fat_entry *e = br_fat_lookup(br_image_boot(im->image), name);
	bool make = !e && who->model && !strcmp(who->model->dir, "2712") && !strcasecmp(name, "boot.img");
	int r;

	if (!make && (!e || e->is_dir))
		return -ENOENT;
	r = br_image_changed(im->image, err);
	if (r < 0 || make)
		return r < 0 ? r : lookup_bootimg(im, ret, err);
	*ret = (struct br_usb_payload_file){
		.size = e->size,
		.origin = "image",
		.ops = &spans_ops,
		.ref = br_image_ref(im->image),
		.entry = e,
		.fd = -1,
	};
	br_usb_payload_name(ret, payload->text, e->path);
	return 0;
}

static const struct br_usb_source_ops image_ops = { .lookup = image_lookup, .free = image_free };

int br_usb_payload_image(struct br_image *image, const char *firmware, struct br_usb_payload **ret, struct br_error *err)
{
	const char *name = br_image_info(image)->name;
	struct image *im;
	int r;

	if (!br_image_boot(image))
		return br_error_set(err, ENOENT, "image %s: it has no boot partition, so no board can start from it", name);
	im = calloc(1, sizeof(*im));
	if (!im)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&im->lock, NULL);
	im->image = br_image_ref(image);
	r = br_usb_payload_init(&im->base, &image_ops, br_asprintf("image %s", name), err);
	if (!r && firmware)
		r = br_usb_payload_firmware(firmware, &im->base.firmware, err);
	if (r < 0) {
		br_usb_payload_unref(&im->base);
		return r;
	}
	*ret = &im->base;
	return 0;
}

/* The last part of a path, as the name of an image that has none. */
static void name_of(const char *file, char *out, size_t size)
{
	const char *slash = strrchr(file, '/');

	if (br_strcpy(out, size, slash ? slash + 1 : file) < 0)
		br_strcpy(out, size, "file");
}

int br_usb_payload_image_file(const char *file, const char *firmware, struct br_usb_payload **ret, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	br_cleanup(br_closep) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct stat st;
	int r;

	if (!info)
		return br_error_set(err, ENOMEM, "out of memory");
	if (fd < 0 || fstat(fd, &st) < 0)
		return br_error_set(err, errno, "%s: cannot open the image: %m", file);
	if (!S_ISREG(st.st_mode))
		return br_error_set(err, EINVAL, "%s: not a plain file", file);
	name_of(file, info->name, sizeof(info->name));
	info->size = (uint64_t)st.st_size;
	r = br_inspect(fd, info, err);
	if (!r)
		r = br_image_of_fd(br_take_fd(fd), info, &image, err);
	if (r == -ENOMEDIUM)
		br_error_prefix(err, "a packed image must be added to the store first ('bramble image add %s')", file);
	if (r < 0) {
		br_error_prefix(err, "%s", file);
		return r;
	}
	return br_usb_payload_image(image, firmware, ret, err);
}
