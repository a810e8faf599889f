/* SPDX-License-Identifier: Apache-2.0 */
/* USB devices out of sysfs. */
#include "usb/sysfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"

#define DEVICE_DESCRIPTOR 18
#define TYPE_DEVICE 1
#define TYPE_CONFIGURATION 2

int br_usb_decode_descriptors(const void *data, size_t len, struct br_usb_device *ret)
{
	const uint8_t *p = data;

	if (len < DEVICE_DESCRIPTOR || p[0] != DEVICE_DESCRIPTOR || p[1] != TYPE_DEVICE)
		return -EBADMSG;
	ret->vendor = br_load_le16(p + 8);
	ret->product = br_load_le16(p + 10);
	ret->serial_index = p[16];
	ret->n_interfaces = 0;
	p += DEVICE_DESCRIPTOR;
	if (len >= DEVICE_DESCRIPTOR + 5 && p[0] >= 5 && p[1] == TYPE_CONFIGURATION)
		ret->n_interfaces = p[4];
	return 0;
}

/* "1-2.3": a device, neither a root hub ("usb1") nor an interface ("1-2.3:1.0"). */
static bool is_device_name(const char *name)
{
	size_t bus = strspn(name, "0123456789");

	return bus && name[bus] == '-' && isdigit((unsigned char)name[bus + 1]) &&
		!name[bus + 1 + strspn(name + bus + 1, "0123456789.")];
}

/* What the file has at the moment, cut at the buffer's end; negative errno. */
static ssize_t read_attribute(int dir_fd, const char *device, const char *name, void *buf, size_t size)
{
	char path[300];
	br_cleanup(br_closep) int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", device, name);
	fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size);
	return n < 0 ? -errno : n;
}

static int read_number(int dir_fd, const char *device, const char *name, uint64_t max, uint64_t *ret)
{
	char text[16] = { 0 };
	ssize_t n = read_attribute(dir_fd, device, name, text, sizeof(text) - 1);

	if (n < 0)
		return (int)n;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return br_parse_u64(text, 0, max, ret);
}

static void read_serial(int dir_fd, const char *device, char out[static BR_USB_SERIAL_MAX])
{
	char raw[256] = { 0 };
	ssize_t n = read_attribute(dir_fd, device, "serial", raw, sizeof(raw));

	out[0] = 0;
	if (n > 0 && raw[n - 1] == '\n')
		n--;
	if (n > 0)
		br_vis(out, BR_USB_SERIAL_MAX, raw, (size_t)n);
}

/* It is not, no longer or not yet a whole device, and that is no trouble of ours (as a lack of descriptors is). */
static bool is_no_device(int r)
{
	return r == -ENOENT || r == -ENODEV || r == -ENOTDIR || r == -EBADMSG || r == -EINVAL || r == -ERANGE || r == -EIO;
}

/* 0, or negative: is_no_device(), or it could not be seen. */
static int read_device(int dir_fd, const char *name, struct br_usb_listed *ret)
{
	struct br_usb_listed l = { 0 };
	uint8_t raw[256] = { 0 };
	uint64_t bus = 0, address = 0;
	const char *last = strrchr(name, '.');
	ssize_t n = read_attribute(dir_fd, name, "descriptors", raw, sizeof(raw));
	int r = n < 0 ? (int)n : br_usb_decode_descriptors(raw, (size_t)n, &l.device);

	if (!r)
		r = br_strcpy(l.device.path, sizeof(l.device.path), name);
	if (!r)
		r = read_number(dir_fd, name, "busnum", 255, &bus);
	if (!r)
		r = read_number(dir_fd, name, "devnum", 127, &address);
	if (r < 0)
		return r;
	l.device.bus = (uint8_t)bus;
	l.address = (uint8_t)address;
	l.device.port = (uint8_t)strtoul(last ? last + 1 : strchr(name, '-') + 1, NULL, 10);
	snprintf(l.device.node, sizeof(l.device.node), "/dev/bus/usb/%03u/%03u", l.device.bus, l.address);
	read_serial(dir_fd, name, l.device.serial);
	*ret = l;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strverscmp(((const struct br_usb_listed *)a)->device.path, ((const struct br_usb_listed *)b)->device.path);
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

int br_usb_sysfs_list(const char *dir, struct br_usb_listed **ret, size_t *ret_n, struct br_error *err)
{
	br_cleanup(close_dir) DIR *d = opendir(dir);
	br_cleanup(br_freep) struct br_usb_listed *list = NULL;
	size_t n = 0, cap = 0;
	int r;

	if (!d && errno != ENOENT)
		return br_error_set(err, errno, "%s: %s", dir, strerror(errno));
	for (struct dirent *e; d && (e = readdir(d));) {
		if (!is_device_name(e->d_name))
			continue;
		if (br_array_reserve(&list, &cap, n + 1, sizeof(*list)) < 0)
			return br_error_set(err, ENOMEM, "out of memory");
		r = read_device(dirfd(d), e->d_name, &list[n]);
		if (!r)
			n++;
		else if (!is_no_device(r)) /* not taken for one that is gone */
			return br_error_set(err, -r, "%s/%s: %s", dir, e->d_name, strerror(-r));
	}
	if (n)
		qsort(list, n, sizeof(*list), by_path);
	*ret = br_take(list);
	*ret_n = n;
	return 0;
}

/* "root:plugdev 0660" */
static void describe_node(const char *node, char *out, size_t size)
{
	struct passwd *user;
	struct group *group;
	struct stat st;

	out[0] = 0;
	if (stat(node, &st) < 0)
		return;
	user = getpwuid(st.st_uid);
	group = getgrgid(st.st_gid);
	snprintf(out, size, " (it is of %s:%s, mode %04o)", user ? user->pw_name : "?", group ? group->gr_name : "?",
		(unsigned)st.st_mode & 07777);
}

int br_usb_explain_open(const struct br_usb_device *dev, int r, struct br_error *err)
{
	char owner[120];

	if (r == ENOENT)
		return br_error_set(err, ENODEV, "%s is not there: the board has left, or /dev has no USB nodes (a container?)",
			dev->node);
	if (r != EACCES && r != EPERM)
		return br_error_set(err, r, "%s cannot be opened: %s", dev->node, strerror(r));
	describe_node(dev->node, owner, sizeof(owner));
	return br_error_set(err, EACCES,
		"no permission for %s%s: be root, or put packaging/70-bramble-usb.rules (the package has it) into /etc/udev/rules.d, "
		"run 'udevadm control --reload', join the group bramble and plug the board in anew",
		dev->node, owner);
}

int br_usb_may_open(const struct br_usb_device *dev, struct br_error *err)
{
	if (access(dev->node, R_OK | W_OK) == 0)
		return 0;
	return br_usb_explain_open(dev, errno, err);
}
