/* SPDX-License-Identifier: Apache-2.0 */
/* Names of an image's partitions in its texts, as they are on another disk. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "flash/plan.h"

static bool ends_name(const char *s, const char *end)
{
	return s == end || (!isalnum((unsigned char)*s) && *s != '-');
}

/* ---- disks ---- */

/* How long the name of a disk is that partitions' numbers follow: "mmcblk0p", "nvme0n1p", "sda", "vda". 0: none. */
static size_t disk_name(const char *s, const char *end)
{
	if (end - s > 8 && !memcmp(s, "mmcblk", 6) && isdigit((unsigned char)s[6]) && s[7] == 'p')
		return 8;
	if (end - s > 8 && !memcmp(s, "nvme", 4) && isdigit((unsigned char)s[4]) && s[5] == 'n' && isdigit((unsigned char)s[6]) &&
		s[7] == 'p')
		return 8;
	if (end - s > 3 && (!memcmp(s, "sd", 2) || !memcmp(s, "vd", 2)) && islower((unsigned char)s[2]))
		return 3;
	return 0;
}

void br_flash_linux_disk(const char *bif, unsigned dev, char ret[static BR_FLASH_DISK_NAME])
{
	if (!strcmp(bif, "mmc"))
		snprintf(ret, BR_FLASH_DISK_NAME, "mmcblk%up", dev % 10);
	else if (!strcmp(bif, "nvme"))
		snprintf(ret, BR_FLASH_DISK_NAME, "nvme%un1p", dev % 10);
	else
		snprintf(ret, BR_FLASH_DISK_NAME, "%s%c", !strcmp(bif, "virtio") ? "vd" : "sd", (char)('a' + dev % 26));
}

static const char dev_dir[] = "/dev/";

/* The disk of a "/dev/..." at s. */
static bool take_disk(const char *s, const char *end, char ret[static BR_FLASH_DISK_NAME])
{
	size_t n;

	if ((size_t)(end - s) < sizeof(dev_dir) || memcmp(s, dev_dir, sizeof(dev_dir) - 1) != 0)
		return false;
	s += sizeof(dev_dir) - 1;
	n = disk_name(s, end);
	if (!n || !isdigit((unsigned char)s[n]))
		return false;
	memcpy(ret, s, n);
	ret[n] = 0;
	return true;
}

static bool root_of_cmdline(const char *text, size_t len, char ret[static BR_FLASH_DISK_NAME])
{
	static const char root[] = "root=";
	const char *end = text + len;

	for (const char *s = text; (size_t)(end - s) > sizeof(root); s++)
		if ((s == text || isspace((unsigned char)s[-1])) && !memcmp(s, root, sizeof(root) - 1))
			return take_disk(s + sizeof(root) - 1, end, ret);
	return false;
}

/* A line "/dev/mmcblk0p2 / ..." or "... /boot..." */
static bool is_own_line(const char *s, const char *end)
{
	while (s < end && !isspace((unsigned char)*s))
		s++;
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	if (end - s >= 5 && !memcmp(s, "/boot", 5))
		return true;
	return end - s >= 2 && s[0] == '/' && (s[1] == ' ' || s[1] == '\t');
}

static bool root_of_fstab(const char *text, size_t len, char ret[static BR_FLASH_DISK_NAME])
{
	const char *end = text + len;

	for (const char *s = text, *line; s < end; s = line + 1) {
		line = memchr(s, '\n', (size_t)(end - s));
		line = line ?: end;
		if (is_own_line(s, line) && take_disk(s, line, ret))
			return true;
	}
	return false;
}

bool br_flash_own_disk(const char *text, size_t len, bool fstab, char ret[static BR_FLASH_DISK_NAME])
{
	return fstab ? root_of_fstab(text, len, ret) : root_of_cmdline(text, len, ret);
}

/* ---- renaming ---- */

/* Writes a name over another that is n long; blanks part words in both files, so a shorter one is filled up with them. It
 * is stuck where there is no room. */
static void put_name(char *s, size_t n, const char *end, const char *fresh, struct br_flash_renamed *ret)
{
	size_t len = strlen(fresh);

	if (len > n || (len < n && s + n < end && !isspace((unsigned char)s[n]))) {
		ret->stuck++;
		return;
	}
	memcpy(s, fresh, len);
	memset(s + len, ' ', n - len);
	ret->changed++;
}

/* "PARTUUID=" was read. How long the old name is, 0: none of the image's. */
static size_t rename_uuid(const struct br_flash_names *names, char *s, const char *end, struct br_flash_renamed *ret)
{
	const struct br_image_info *info = names->info;

	for (unsigned i = 0; i < info->n_partitions; i++) {
		size_t n = strlen(info->partitions[i].partuuid);
		char fresh[24];

		if (!n || !names->to[i] || n > (size_t)(end - s) || strncasecmp(s, info->partitions[i].partuuid, n) != 0 ||
			!ends_name(s + n, end))
			continue;
		snprintf(fresh, sizeof(fresh), "%08x-%02x", names->disk_id, names->to[i]);
		put_name(s, n, end, fresh, ret);
		return n;
	}
	return 0;
}

/* "mmcblk0p2" behind "/dev/", of the image's own disk. Other disks keep their names. */
static size_t rename_device(const struct br_flash_names *names, char *s, const char *end, struct br_flash_renamed *ret)
{
	size_t n = strlen(names->was), digits = 0;
	unsigned number = 0;
	char fresh[BR_FLASH_DISK_NAME + 12];

	if (!n || (size_t)(end - s) < n || memcmp(s, names->was, n) != 0)
		return 0;
	for (; s + n + digits < end && digits < 3 && isdigit((unsigned char)s[n + digits]); digits++)
		number = number * 10 + (unsigned)(s[n + digits] - '0');
	if (!digits || !ends_name(s + n + digits, end))
		return 0;
	n += digits;
	for (unsigned i = 0; i < names->info->n_partitions; i++) {
		if (names->info->partitions[i].number != number || !names->to[i])
			continue;
		snprintf(fresh, sizeof(fresh), "%s%u", names->is, names->to[i]);
		if (strlen(fresh) == n && !memcmp(s, fresh, n))
			return n; /* it is called so already */
		put_name(s, n, end, fresh, ret);
		return n;
	}
	return 0;
}

struct br_flash_renamed br_flash_rename(const struct br_flash_names *names, char *text, size_t len)
{
	static const char uuid[] = "PARTUUID=", by[] = "/dev/disk/by-partuuid/";
	struct br_flash_renamed ret = { 0 };
	char *end = text + len;

	for (char *s = text; s < end;) {
		size_t left = (size_t)(end - s), n = 0, skip = 1;

		if (left > sizeof(uuid) && !memcmp(s, uuid, sizeof(uuid) - 1)) {
			skip = sizeof(uuid) - 1;
			n = rename_uuid(names, s + skip, end, &ret);
		} else if (left > sizeof(by) && !memcmp(s, by, sizeof(by) - 1)) {
			skip = sizeof(by) - 1;
			n = rename_uuid(names, s + skip, end, &ret);
		} else if (left > sizeof(dev_dir) && !memcmp(s, dev_dir, sizeof(dev_dir) - 1)) {
			skip = sizeof(dev_dir) - 1;
			n = rename_device(names, s + skip, end, &ret);
		}
		s += skip + n;
	}
	return ret;
}
