/* SPDX-License-Identifier: Apache-2.0 */
/* The boot partition of an image for boards on USB: a Compute Module that boots it as from its own storage. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "store/inspect.h"
#include "store/store.h"
#include "usb/payload_priv.h"

struct image {
	struct br_usb_payload base;
	struct br_image *image;
};

static void image_free(struct br_usb_payload *payload)
{
	struct image *im = br_container_of(payload, struct image, base);

	br_image_unref(im->image);
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

static int image_lookup(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	struct image *im = br_container_of(payload, struct image, base);
	const struct br_fat_entry *e = br_fat_lookup(br_image_boot(im->image), name);
	int r;

	if (!e || e->is_dir)
		return -ENOENT;
	r = br_image_changed(im->image, err);
	if (r < 0)
		return r;
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
	struct br_image *image;
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
	r = br_usb_payload_image(image, firmware, ret, err);
	br_image_unref(image);
	return r;
}
