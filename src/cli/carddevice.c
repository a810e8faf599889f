/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/carddevice.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

/* The directory of a device in sysfs, without links; NULL: there is none. free(). */
static char *device_dir(const char *sys, unsigned major, unsigned minor)
{
	br_cleanup(br_freep) char *link = br_asprintf("%s/dev/block/%u:%u", sys, major, minor);

	return link ? realpath(link, NULL) : NULL;
}

/* Whether a file of the device begins so; one that is not there begins with nothing. */
static bool says(const char *dir, const char *file, const char *words)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, file), *text = NULL;
	size_t n;

	return path && !br_file_read(path, 64, &text, &n, NULL) && n >= strlen(words) && !memcmp(text, words, strlen(words));
}

/* A reader on the PCI bus does not call its cards removable; the host's own eMMC is none either, and of another type. */
static bool is_card(const char *dir)
{
	return says(dir, "removable", "1") || says(dir, "device/type", "SD");
}

/* "36 35 98:0 /mnt1 /mnt2 ...": something of the disk at dir, or of a partition below. */
static bool is_of(const char *line, const char *sys, const char *dir)
{
	br_cleanup(br_freep) char *other = NULL;
	unsigned major, minor;
	size_t n = strlen(dir);

	if (sscanf(line, "%*u %*u %u:%u ", &major, &minor) != 2)
		return false;
	other = device_dir(sys, major, minor);
	return other && !strncmp(other, dir, n) && (!other[n] || other[n] == '/');
}

static int check_mounts(const char *name, const char *dir, const char *sys, const char *mounts, struct br_error *err)
{
	br_cleanup(br_fclosep) FILE *f = fopen(mounts, "re");
	br_cleanup(br_freep) char *line = NULL;
	size_t size = 0;

	if (!f)
		return br_error_set(err, errno, "%s: %m: whether %s is mounted cannot be told", mounts, name);
	while (getline(&line, &size, f) > 0) {
		char at[200] = "", vis[400];

		if (!is_of(line, sys, dir))
			continue;
		sscanf(line, "%*u %*u %*s %*s %199s", at);
		return br_error_set(err, EBUSY, "%s is mounted at %s: unmount what is on it first", name, br_vis(vis, sizeof(vis), at, strlen(at)));
	}
	return 0;
}

int br_card_device_check(const char *name, dev_t device, const char *sys, const char *mounts, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = device_dir(sys, major(device), minor(device));

	if (!dir)
		return br_error_set(err, ENODEV, "%s: sysfs does not know the device %u:%u, so it cannot be told whether it is a card", name,
			major(device), minor(device));
	if (says(dir, "partition", ""))
		return br_error_set(err, EINVAL, "%s is a partition: name the whole card", name);
	if (!is_card(dir))
		return br_error_set(err, EPERM, "%s is not removable: it is no card", name);
	return check_mounts(name, dir, sys, mounts, err);
}
