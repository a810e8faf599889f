/* SPDX-License-Identifier: Apache-2.0 */
/* Partition tables through libfdisk, and what the partitions hold. */
#include "store/partition.h"

#include <ctype.h>
#include <errno.h>
#include <libfdisk.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define SECTOR 512

/* ---- what a partition holds ---- */

static const struct magic {
	const char *fs;
	uint32_t at;
	uint8_t len;
	const char *bytes;
} magics[] = {
	{ "btrfs", 0x10040, 8, "_BHRfS_M" },
	{ "f2fs", 0x400, 4, "\x10\x20\xf5\xf2" },
	{ "squashfs", 0, 4, "hsqs" },
	{ "xfs", 0, 4, "XFSB" },
	{ "exfat", 3, 8, "EXFAT   " },
	{ "ntfs", 3, 8, "NTFS    " },
	{ "luks", 0, 6, "LUKS\xba\xbe" },
	{ "lvm", 0x218, 8, "LVM2 001" },
	{ "swap", 4086, 10, "SWAPSPACE2" },
};

static bool is_fat(const uint8_t *p)
{
	uint32_t sector = br_load_le16(p + 11);

	return (p[21] == 0xf0 || p[21] >= 0xf8) && sector >= 512 && sector <= 4096 && !(sector & (sector - 1)) &&
		p[13] && !(p[13] & (p[13] - 1)) && p[16] && p[16] <= 4 && br_load_le16(p + 14);
}

static const char *ext_name(const uint8_t *super, char *label)
{
	/* s_feature_compat, s_feature_incompat: journal, extents */
	bool journal = br_load_le32(super + 92) & 4, extents = br_load_le32(super + 96) & 0x40;

	memcpy(label, super + 120, 16);
	label[16] = 0;
	for (char *s = label; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			*s = '?';
	return extents ? "ext4" : journal ? "ext3" : "ext2";
}

const char *br_fs_probe(int fd, uint64_t offset, uint64_t size, char *label)
{
	uint8_t b[4096 + 16];

	label[0] = 0;
	if (size < sizeof(b) || br_pread_all(fd, b, sizeof(b), offset) < 0)
		return "";
	if (br_load_le16(b + 1024 + 56) == 0xef53)
		return ext_name(b + 1024, label);
	for (size_t i = 0; i < BR_ARRAY_SIZE(magics); i++) {
		uint8_t m[10];

		if (size >= magics[i].at + sizeof(m) && !br_pread_all(fd, m, sizeof(m), offset + magics[i].at) &&
			!memcmp(m, magics[i].bytes, magics[i].len))
			return magics[i].fs;
	}
	return is_fat(b) ? "vfat" : "";
}

/* ---- the table ---- */

static void context_free(struct fdisk_context *c)
{
	fdisk_unref_context(c);
}
BR_DEFINE_CLEANUP(struct fdisk_context *, context_free);

static void table_free(struct fdisk_table *t)
{
	fdisk_unref_table(t);
}
BR_DEFINE_CLEANUP(struct fdisk_table *, table_free);

/*
 * A FAT boot sector ends in 55 AA as an MBR does, and libfdisk takes its code for partitions.
 * As Linux does: an MBR's four boot flags are 0 or 0x80.
 */
static bool flags_of_an_mbr(const uint8_t *sector)
{
	for (int i = 0; i < 4; i++)
		if (sector[446 + 16 * i] & 0x7f)
			return false;
	return true;
}

static int no_table_but(const char *fs, struct br_error *err)
{
	if (*fs)
		return br_error_set(err, ENOMEDIUM,
			"it has no partition table, it is one bare %s file system; bramble needs the image of a whole SD card (MBR or GPT with a FAT boot partition and an ext4 root)",
			fs);
	return br_error_set(err, ENOMEDIUM,
		"no MBR and no GPT partition table found: it is not the image of an SD card, or it is damaged");
}

static int no_table(int fd, uint64_t size, struct br_error *err)
{
	char label[64];

	return no_table_but(br_fs_probe(fd, 0, size, label), err);
}

int br_partitions_check_start(const void *data, size_t len, struct br_error *err)
{
	const uint8_t *p = data;
	bool ext = len >= 2048 && br_load_le16(p + 1024 + 56) == 0xef53;

	/* a GPT disk has a protective MBR too */
	if (len >= SECTOR && br_load_le16(p + 510) == 0xaa55)
		return 0;
	return no_table_but(ext ? "ext4" : "", err);
}

static void lower_case(char *dst, size_t size, const char *src)
{
	size_t i = 0;

	for (; src && src[i] && i + 1 < size; i++)
		dst[i] = (char)tolower((unsigned char)src[i]);
	dst[i] = 0;
}

static int take(int fd, uint64_t size, uint32_t disk_id, struct fdisk_partition *pa, struct br_partitions *t,
	struct br_error *err)
{
	struct br_partition *p = &t->p[t->n];
	struct fdisk_parttype *type = fdisk_partition_get_type(pa);
	uint64_t start, n;
	const char *name;

	if (!fdisk_partition_is_used(pa) || fdisk_partition_is_container(pa) || !fdisk_partition_has_start(pa) ||
		!fdisk_partition_has_size(pa) || !fdisk_partition_has_partno(pa))
		return 0;
	start = fdisk_partition_get_start(pa);
	n = fdisk_partition_get_size(pa);
	if (!n || t->n == BR_PARTITIONS_MAX)
		return 0;
	if (start > size / SECTOR || n > size / SECTOR - start) {
		char have[24], need[24];
		uint64_t end = start > UINT64_MAX / SECTOR - n ? UINT64_MAX : (start + n) * SECTOR;

		return br_error_set(err, EBADMSG,
			"its partition %zu ends at %s (%llu bytes), the image has only %s (%llu bytes): it is cut off or its table is damaged; get it again",
			fdisk_partition_get_partno(pa) + 1, br_format_size(need, sizeof(need), end),
			(unsigned long long)end, br_format_size(have, sizeof(have), size), (unsigned long long)size);
	}
	*p = (struct br_partition){
		.number = (unsigned)fdisk_partition_get_partno(pa) + 1,
		.start = start * SECTOR,
		.size = n * SECTOR,
	};
	if (!strcmp(t->table, "mbr")) {
		p->mbr_type = type ? (uint8_t)fdisk_parttype_get_code(type) : 0;
		/* what the kernel's PARTUUID= says: the disk's id and the number, both hexadecimal */
		snprintf(p->partuuid, sizeof(p->partuuid), "%08x-%02x", disk_id, p->number);
	} else {
		lower_case(p->partuuid, sizeof(p->partuuid), fdisk_partition_get_uuid(pa));
	}
	br_strcpy(p->fs, sizeof(p->fs), br_fs_probe(fd, p->start, p->size, p->label));
	name = fdisk_partition_get_name(pa);
	if (!p->label[0] && name)
		br_vis(p->label, sizeof(p->label), name, strlen(name));
	t->n++;
	return 0;
}

static int read_entries(int fd, uint64_t size, uint32_t disk_id, struct fdisk_context *c, struct br_partitions *t,
	struct br_error *err)
{
	br_cleanup(table_freep) struct fdisk_table *table = NULL;
	struct fdisk_partition *pa;
	struct fdisk_iter *iter;
	int r = fdisk_get_partitions(c, &table);

	if (r < 0)
		return br_error_set(err, EBADMSG, "its partition table cannot be read: %s", strerror(-r));
	iter = fdisk_new_iter(FDISK_ITER_FORWARD);
	if (!iter)
		return br_error_set(err, ENOMEM, "out of memory");
	while (!r && !fdisk_table_next_partition(table, iter, &pa))
		r = take(fd, size, disk_id, pa, t, err);
	fdisk_free_iter(iter);
	return r;
}

int br_partitions_read(int fd, uint64_t size, struct br_partitions *ret, struct br_error *err)
{
	br_cleanup(context_freep) struct fdisk_context *c = NULL;
	br_cleanup(br_freep) struct br_partitions *t = calloc(1, sizeof(*t));
	uint8_t sector[SECTOR];
	const char *kind;
	int r;

	/* below this libfdisk itself reads past the end */
	if (size < 4 * SECTOR || br_pread_all(fd, sector, sizeof(sector), 0) < 0)
		return no_table(fd, size, err);
	fdisk_init_debug(0);
	c = fdisk_new_context();
	if (!c || !t)
		return br_error_set(err, ENOMEM, "out of memory");
	fdisk_disable_dialogs(c, 1);
	r = fdisk_assign_device_by_fd(c, fd, "image", 1);
	if (r < 0)
		return br_error_set(err, -r, "its partition table cannot be read: %s", strerror(-r));
	kind = fdisk_has_label(c) ? fdisk_label_get_name(fdisk_get_label(c, NULL)) : "";
	if (!strcmp(kind, "gpt"))
		br_strcpy(t->table, sizeof(t->table), "gpt");
	else if (!strcmp(kind, "dos") && flags_of_an_mbr(sector))
		br_strcpy(t->table, sizeof(t->table), "mbr");
	else
		r = no_table(fd, size, err);
	if (!r)
		r = read_entries(fd, size, br_load_le32(sector + 440), c, t, err);
	/* libfdisk sees a table in a FAT boot sector too: an empty one, or nonsense out of its code */
	if ((r < 0 || !t->n) && is_fat(sector))
		r = no_table(fd, size, err);
	else if (!r && !t->n)
		r = br_error_set(err, ENOMEDIUM, "its partition table is empty; it is not the image of a Raspberry Pi's SD card");
	fdisk_deassign_device(c, 1);
	if (!r)
		*ret = *t;
	return r;
}
