/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of files for boards on USB: the order of c.5, and what a name may lead to. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "usb/payload_priv.h"
#include "usb/payloadtar.h"

#define BOOTFILES "bootfiles.bin"

struct directory {
	struct br_usb_payload base;
	char *dir;
	int fd;
	int tar_fd; /* of bootfiles.bin; -1: there is none */
	struct br_usb_tar *tar;
	bool overlay, links;
	bool firmware; /* only what starts a board: not the config.txt and boot.img of whoever put it together */
};

static void directory_free(struct br_usb_payload *payload)
{
	struct directory *d = br_container_of(payload, struct directory, base);

	br_usb_tar_close(d->tar);
	br_closep(&d->tar_fd);
	br_closep(&d->fd);
	free(d->dir);
	free(d);
}

/* A descriptor; -EXDEV: a link leads out of the directory. O_NONBLOCK: a pipe must not hold us. */
static int open_below(int dir_fd, const char *path, bool links)
{
	return br_open_resolved(dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
		RESOLVE_NO_MAGICLINKS | (links ? 0 : RESOLVE_BENEATH));
}

static bool is_missing(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ENAMETOOLONG;
}

/* -ENOENT without words: go on looking. */
static int open_file(const struct directory *d, const char *path, const char *origin, struct br_usb_payload_file *ret,
	struct br_error *err)
{
	struct br_usb_payload_file file = { .ops = &br_usb_fd_ops, .origin = origin };
	struct stat st;
	int r;

	br_usb_payload_name(&file, d->dir, path);
	file.fd = open_below(d->fd, path, d->links);
	if (is_missing(file.fd))
		return -ENOENT;
	if (file.fd == -EXDEV || file.fd == -ELOOP)
		return br_error_set(err, ELOOP, "%s: a symbolic link leads out of the directory; copy the file to its place, or "
			"give --follow-links if you trust whoever made the link", file.where);
	if (file.fd < 0)
		return br_error_set(err, -file.fd, "%s: cannot open: %s", file.where,
			file.fd == -ENOSYS ? "this kernel has no openat2(2), which keeps links inside; Linux 5.6 has" : strerror(-file.fd));
	r = fstat(file.fd, &st) < 0 ? -errno : 0;
	if (!r && S_ISREG(st.st_mode)) {
		file.size = (uint64_t)st.st_size;
		*ret = file;
		return 0;
	}
	br_usb_payload_close(&file);
	if (r < 0 || !S_ISDIR(st.st_mode))
		return br_error_set(err, r < 0 ? -r : EINVAL, "%s: %s", file.where,
			r < 0 ? strerror(-r) : "is neither a plain file nor a directory");
	return -ENOENT; /* a directory is no file */
}

static int open_in(const struct directory *d, const char *folder, const char *name, const char *origin,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	char path[2 * BR_USB_NAME_MAX + 2];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return open_file(d, path, origin, ret, err);
}

/* Under the folder of the chip. */
static int in_folder(const struct directory *d, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	int r = -ENOENT;

	for (const char *const *p = br_usb_folders(who->model); r == -ENOENT && *p; p++)
		r = open_in(d, *p, name, d->firmware ? "firmware" : "directory", ret, err);
	return r;
}

static int in_tar(const struct directory *d, const struct br_usb_who *who, const char *name, struct br_usb_payload_file *ret,
	struct br_error *err)
{
	const struct br_usb_tar_member *m = NULL;
	int fd;

	for (const char *const *p = br_usb_folders(who->model); !m && *p; p++)
		m = br_usb_tar_find(d->tar, *p, name);
	if (!m)
		return -ENOENT;
	fd = fcntl(d->tar_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return br_error_set(err, errno, "%s/" BOOTFILES ": cannot open: %m", d->dir);
	*ret = (struct br_usb_payload_file){
		.size = m->size,
		.origin = BOOTFILES,
		.ops = &br_usb_fd_ops,
		.fd = fd,
		.start = m->start,
	};
	br_usb_payload_name(br_usb_payload_name(ret, d->dir, BOOTFILES), ret->where, m->name);
	return 0;
}

static int directory_lookup(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	const struct directory *d = br_container_of(payload, struct directory, base);
	bool first_stage = br_usb_is_first_stage(name);
	int r = -ENOENT;

	if (d->tar) {
		r = in_folder(d, who, name, ret, err);
		if (r == -ENOENT)
			r = in_tar(d, who, name, ret, err);
	}
	/* a path is one part: it comes from sysfs, and is checked all the same */
	if (r == -ENOENT && d->overlay && !first_stage && who->path && !strchr(who->path, '/') &&
		!br_usb_name_check(who->path))
		r = open_in(d, who->path, name, "overlay", ret, err);
	if (r == -ENOENT && !d->tar)
		r = in_folder(d, who, name, ret, err);
	if (r == -ENOENT && (first_stage || !d->firmware))
		r = open_file(d, name, d->firmware ? "firmware" : "directory", ret, err);
	return r;
}

static const struct br_usb_source_ops directory_ops = { .lookup = directory_lookup, .free = directory_free };

static int open_tar(struct directory *d, struct br_error *err)
{
	int r;

	/* a link here may lead anywhere, as usbboot's own do: nothing but boot files comes out of an archive */
	d->tar_fd = open_below(d->fd, BOOTFILES, true);
	if (d->tar_fd == -ENOENT) {
		d->tar_fd = -1;
		return 0;
	}
	if (d->tar_fd < 0) {
		r = d->tar_fd;
		d->tar_fd = -1;
		return br_error_set(err, -r, "%s/" BOOTFILES ": cannot open: %s", d->dir, strerror(-r));
	}
	r = br_usb_tar_open(d->tar_fd, &d->tar, err);
	if (r < 0)
		br_error_prefix(err, "%s/" BOOTFILES, d->dir);
	return r;
}

/* Whether any board could start from it. */
static bool has_first_stage(struct directory *d)
{
	const struct br_usbboot_model *m;

	if (d->tar)
		return true;
	for (size_t i = 0; (m = br_usbboot_model_at(i)); i++) {
		const struct br_usb_who who = { .model = m };
		struct br_usb_payload_file file = { .fd = -1 };
		int r = directory_lookup(&d->base, &who, m->first_stage, &file, NULL);

		br_usb_payload_close(&file);
		if (r != -ENOENT) /* there, or there and with a trouble of its own that is told when it is asked for */
			return true;
	}
	return false;
}

static int directory_new(const char *dir, bool firmware, const struct br_usb_directory *opt,
	struct br_usb_payload **ret, struct br_error *err)
{
	struct directory *d = calloc(1, sizeof(*d));
	struct br_usb_payload *payload;
	int r;

	if (!d)
		return br_error_set(err, ENOMEM, "out of memory");
	*d = (struct directory){
		.fd = -1,
		.tar_fd = -1,
		.overlay = opt->overlay && !firmware,
		.links = opt->links,
		.firmware = firmware,
	};
	payload = &d->base;
	r = br_usb_payload_init(payload, &directory_ops, br_asprintf("directory %s", dir), err);
	d->dir = strdup(dir);
	if (!d->dir)
		r = br_error_set(err, ENOMEM, "out of memory");
	if (!r) {
		d->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = d->fd < 0 ? br_error_set(err, errno, "%s: cannot open the directory: %m", dir) : open_tar(d, err);
	}
	if (r < 0) {
		br_usb_payload_unref(payload);
		return r;
	}
	*ret = payload;
	return 0;
}

static int need_first_stage(struct br_usb_payload *payload, struct br_error *err)
{
	struct directory *d = br_container_of(payload, struct directory, base);

	return has_first_stage(d) ? 0 : br_error_set(err, ENOENT, "%s: there is neither " BOOTFILES " nor bootcode4.bin (CM4), "
		"bootcode5.bin (CM5) or bootcode.bin (older ones) in it, so no board can start from it; give --firmware DIR with one "
		"of them", d->dir);
}

static int checked(struct br_usb_payload *payload, int r, struct br_usb_payload **ret)
{
	if (r < 0)
		br_usb_payload_unref(payload);
	else
		*ret = payload;
	return r;
}

int br_usb_payload_firmware(const char *dir, struct br_usb_payload **ret, struct br_error *err)
{
	/* whoever names a directory for firmware trusts it */
	const struct br_usb_directory opt = { .dir = dir, .links = true };
	struct br_usb_payload *payload;
	int r = directory_new(dir, true, &opt, &payload, err);

	return r < 0 ? r : checked(payload, need_first_stage(payload, err), ret);
}

int br_usb_payload_directory(const struct br_usb_directory *opt, struct br_usb_payload **ret, struct br_error *err)
{
	struct br_usb_payload *payload;
	int r = directory_new(opt->dir, false, opt, &payload, err);

	if (r < 0)
		return r;
	r = opt->firmware ? br_usb_payload_firmware(opt->firmware, &payload->firmware, err) : need_first_stage(payload, err);
	return checked(payload, r, ret);
}
