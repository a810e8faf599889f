/* SPDX-License-Identifier: Apache-2.0 */
/* What a board on USB is served: the rules of names, the one door to all sources, files. */
#include "usb/payload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "usb/payload_priv.h"

bool br_usb_is_first_stage(const char *name)
{
	const struct br_usbboot_model *m;

	for (size_t i = 0; (m = br_usbboot_model_at(i)); i++)
		if (!strcasecmp(name, m->first_stage))
			return true;
	return false;
}

const char *const *br_usb_folders(const struct br_usbboot_model *model)
{
	/* rpi-imager calls the folder of the 2764 family "2836", upstream "2710" (c.5) */
	static const char *const folders[][3] = { { "2710", "2836" }, { "2711" }, { "2712" }, { NULL } };
	size_t i = 0;

	while (folders[i][0] && (!model || strcmp(model->dir, folders[i][0]) != 0))
		i++;
	return folders[i];
}

static bool part_ok(const char *s, size_t n)
{
	return n && !(n == 1 && s[0] == '.');
}

int br_usb_name_check(const char *name)
{
	size_t len = strnlen(name, BR_USB_NAME_MAX + 1), n;

	if (!len || len > BR_USB_NAME_MAX || strstr(name, ".."))
		return -EACCES;
	for (size_t i = 0; i < len; i++)
		if (name[i] < 0x20 || name[i] > 0x7e)
			return -EACCES;
	for (const char *p = name;; p += n + 1) {
		n = strcspn(p, "/");
		if (!part_ok(p, n))
			return -EACCES;
		if (!p[n])
			return 0;
	}
}

static int open_for_session(struct br_usb_files *files, const struct br_usb_device *dev,
	const struct br_usbboot_model *model, const char *name, struct br_usb_file *ret, struct br_error *err)
{
	struct br_usb_payload *payload = br_container_of(files, struct br_usb_payload, files);
	const struct br_usb_who who = { .model = model, .path = dev->path, .serial = dev->serial };
	br_cleanup(br_freep) struct br_usb_payload_file *file = malloc(sizeof(*file));
	int r;

	if (br_usb_name_check(name) < 0)
		return -ENOENT; /* what no board may have is not there: no reason to end its session */
	if (!file)
		return br_error_set(err, ENOMEM, "out of memory");
	r = payload->slow ? br_usb_open_beside(payload, &who, name, file, err) : br_usb_payload_lookup(payload, &who, name, file, err);
	if (r < 0)
		return r;
	ret->size = file->size;
	ret->handle = br_take(file);
	return 0;
}

static int read_for_session(struct br_usb_files *files, const struct br_usb_file *file, uint64_t offset, void *buf,
	size_t n, struct br_error *err)
{
	const struct br_usb_payload_file *f = file->handle;
	int r = br_usb_payload_read(f, offset, buf, n);

	if (r == -EIO)
		return br_error_set(err, EIO, "%s: became shorter while it was sent", f->where);
	return r < 0 ? br_error_set(err, -r, "%s: cannot read: %s", f->where, strerror(-r)) : 0;
}

static void close_for_session(struct br_usb_files *files, struct br_usb_file *file)
{
	if (file->handle)
		br_usb_payload_close(file->handle);
	free(br_take(file->handle));
}

struct br_usb_files *br_usb_payload_files(struct br_usb_payload *payload)
{
	return &payload->files;
}

int br_usb_payload_init(struct br_usb_payload *payload, const struct br_usb_source_ops *ops, char *text,
	struct br_error *err)
{
	static const struct br_usb_files_ops files = {
		.open = open_for_session,
		.read = read_for_session,
		.close = close_for_session,
	};

	*payload = (struct br_usb_payload){ .files = { &files }, .refs = 1, .ops = ops, .text = text };
	return text ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

struct br_usb_payload *br_usb_payload_ref(struct br_usb_payload *payload)
{
	__atomic_add_fetch(&payload->refs, 1, __ATOMIC_RELAXED);
	return payload;
}

void br_usb_payload_unref(struct br_usb_payload *payload)
{
	if (!payload || __atomic_sub_fetch(&payload->refs, 1, __ATOMIC_ACQ_REL))
		return;
	br_usb_opening_unref(payload->opening);
	br_usb_payload_unref(payload->firmware);
	free(payload->text);
	payload->ops->free(payload);
}

const char *br_usb_payload_text(const struct br_usb_payload *payload)
{
	return payload->text;
}

static int look(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	int r = payload->ops->lookup(payload, who, name, ret, err);

	if (r == -ENOENT && payload->firmware)
		r = look(payload->firmware, who, name, ret, err);
	return r;
}

int br_usb_payload_lookup(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	struct br_usb_payload_file file = { .fd = -1 };
	char vis[80];
	int r = br_usb_name_check(name);

	if (r < 0)
		return br_error_set(err, EACCES, "the board asks for '%s', which is no name of a boot file",
			br_vis(vis, sizeof(vis), name, strnlen(name, BR_USB_NAME_MAX)));
	r = look(payload, who, name, &file, err);
	if (r < 0)
		return r;
	if (file.size > BR_USB_FILE_MAX) {
		br_usb_payload_close(&file);
		return br_error_set(err, EFBIG, "%s: 4 GiB or more, which a board on USB cannot be told", file.where);
	}
	*ret = file;
	return 0;
}

int br_usb_payload_size(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name, uint64_t *ret,
	struct br_error *err)
{
	struct br_usb_payload_file file = { .fd = -1 };
	int r = br_usb_name_check(name);

	if (!r && payload->ops->size) {
		r = payload->ops->size(payload, who, name, ret, err);
		if (r == -ENOENT && payload->firmware)
			r = br_usb_payload_size(payload->firmware, who, name, ret, err);
		return r;
	}
	if (!r)
		r = br_usb_payload_lookup(payload, who, name, &file, err);
	if (!r)
		*ret = file.size;
	br_usb_payload_close(&file);
	return r;
}

void br_usb_payload_cancel(struct br_usb_payload *payload)
{
	if (payload->ops->cancel)
		payload->ops->cancel(payload);
}

int br_usb_payload_read(const struct br_usb_payload_file *file, uint64_t offset, void *buf, size_t n)
{
	if (offset > file->size || n > file->size - offset)
		return -EINVAL;
	return n ? file->ops->read(file, offset, buf, n) : 0;
}

void br_usb_payload_close(struct br_usb_payload_file *file)
{
	if (file->ops)
		file->ops->close(file);
	file->ops = NULL;
}

static int fd_read(const struct br_usb_payload_file *file, uint64_t offset, void *buf, size_t n)
{
	return br_pread_all(file->fd, buf, n, file->start + offset);
}

static void fd_close(struct br_usb_payload_file *file)
{
	close(file->fd);
	file->fd = -1;
}

const struct br_usb_payload_file_ops br_usb_fd_ops = { .read = fd_read, .close = fd_close };

struct br_usb_payload_file *br_usb_payload_name(struct br_usb_payload_file *file, const char *dir, const char *path)
{
	char full[1024];

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	br_vis(file->where, sizeof(file->where), full, strlen(full));
	return file;
}
