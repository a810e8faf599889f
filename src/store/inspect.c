/* SPDX-License-Identifier: Apache-2.0 */
/* What an import finds out: which partition is what, and which boards have their files. */
#include "store/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "pi/identity.h"
#include "store/disk.h"
#include "store/partition.h"
#include "store/store.h"

BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

void br_inspect_note(struct br_image_info *info, const char *fmt, ...)
{
	br_cleanup(br_text_done) struct br_text t = BR_TEXT_NULL;
	size_t have = strlen(info->notes);
	va_list ap;

	va_start(ap, fmt);
	br_text_addv(&t, fmt, ap);
	va_end(ap);
	if (t.buf && have + t.len + 3 <= sizeof(info->notes))
		snprintf(info->notes + have, sizeof(info->notes) - have, "%s%s", have ? "; " : "", t.buf);
}

/* ---- the boot partition ---- */

/* How much a FAT partition looks like what a Pi boots from. */
static unsigned score(const struct br_fat *fat)
{
	static const char *const names[] = { "config.txt", "cmdline.txt", "bootcode.bin", "start.elf", "start4.elf",
		"kernel8.img", "kernel7.img", "kernel.img", "kernel_2712.img", "overlays" };
	unsigned n = 1;

	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++)
		n += br_fat_lookup(fat, names[i]) != NULL;
	return n;
}

/* The disk with this FAT partition taken for the boot partition. */
static int try_boot(int fd, struct br_image_info *info, unsigned number, struct br_image **ret, struct br_error *err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return br_error_set(err, errno, "cannot open it once more: %m");
	info->boot = number;
	return br_image_of_fd(copy, info, ret, err);
}

/* Sets info->boot to the FAT partition that looks most like a Pi's, 0 when there is none. */
static int choose_boot(int fd, struct br_image_info *info, struct br_error *err)
{
	unsigned best = 0, best_score = 0, tried = 0;
	struct br_error first = BR_ERROR_NULL;
	int failed = 0;

	for (unsigned i = 0; i < info->n_partitions; i++) {
		br_cleanup(br_image_unrefp) struct br_image *image = NULL;
		struct br_error why = BR_ERROR_NULL;
		unsigned n;
		int r;

		if (strcmp(info->partitions[i].fs, "vfat") != 0)
			continue;
		tried++;
		r = try_boot(fd, info, info->partitions[i].number, &image, &why);
		if (r < 0) {
			br_inspect_note(info, "partition %u: %s", info->partitions[i].number, br_error_text(&why, r));
			if (!failed)
				first = why;
			failed = failed ? failed : r;
			continue;
		}
		n = score(br_image_boot(image));
		if (n > best_score) {
			best_score = n;
			best = info->partitions[i].number;
		}
	}
	info->boot = best;
	if (tried && !best) /* an image whose only boot partition is broken boots nothing */
		return br_error_set(err, -failed, "%s", br_error_text(&first, failed));
	return 0;
}

static void take_boot_label(const struct br_fat *boot, struct br_image_info *info)
{
	for (unsigned i = 0; boot && i < info->n_partitions; i++)
		if (info->partitions[i].number == info->boot && *br_fat_label(boot))
			br_strcpy(info->partitions[i].label, sizeof(info->partitions[i].label), br_fat_label(boot));
}

/* ---- models ---- */

/* The firmware's names, and upstream Linux's for the same boards: the firmware falls back to those. */
static bool has_dtb(const struct br_fat *fat, const char *dtb)
{
	static const char *const upstream[][2] = {
		{ "bcm2708", "bcm2835" }, { "bcm2709", "bcm2836" }, { "bcm2710", "bcm2837" },
	};

	if (br_fat_lookup(fat, dtb))
		return true;
	for (size_t i = 0; i < BR_ARRAY_SIZE(upstream); i++) {
		char name[64];

		if (!br_str_starts(dtb, upstream[i][0]))
			continue;
		snprintf(name, sizeof(name), "%s%s", upstream[i][1], dtb + strlen(upstream[i][0]));
		return br_fat_lookup(fat, name) != NULL;
	}
	return false;
}

static bool has_firmware(const struct br_fat *fat, enum br_soc soc)
{
	switch (soc) {
	case BR_SOC_BCM2711:
		return br_fat_lookup(fat, "start4.elf") != NULL;
	case BR_SOC_BCM2712: /* all of it is in the EEPROM */
		return true;
	default:
		return br_fat_lookup(fat, "bootcode.bin") && br_fat_lookup(fat, "start.elf");
	}
}

void br_inspect_models(const struct br_fat *fat, char *ret, size_t size)
{
	size_t len = 0;

	ret[0] = 0;
	for (const struct br_pi_model *m = br_pi_models(); m->id; m++) {
		if (!m->dtb || !has_firmware(fat, m->soc) || !has_dtb(fat, m->dtb) || len + strlen(m->id) + 2 > size)
			continue;
		len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? " " : "", m->id);
	}
}

/* ---- the root partition ---- */

static bool is_ext(const struct br_partition *p)
{
	return br_str_starts(p->fs, "ext");
}

static bool is_root(const struct br_partition *p, const char *value, size_t n)
{
	static const char *const devices[] = { "/dev/mmcblk0p", "/dev/sda", "/dev/nvme0n1p" };
	char number[16];

	if (n > 9 && !strncasecmp(value, "PARTUUID=", 9))
		return n - 9 == strlen(p->partuuid) && !strncasecmp(value + 9, p->partuuid, n - 9);
	if (n > 6 && !strncmp(value, "LABEL=", 6))
		return n - 6 == strlen(p->label) && !strncmp(value + 6, p->label, n - 6);
	snprintf(number, sizeof(number), "%u", p->number);
	for (size_t i = 0; i < BR_ARRAY_SIZE(devices); i++) {
		size_t k = strlen(devices[i]);

		if (n == k + strlen(number) && !strncmp(value, devices[i], k) && !strncmp(value + k, number, n - k))
			return true;
	}
	return false;
}

unsigned br_inspect_root_of_cmdline(const struct br_image_info *info, const char *cmdline)
{
	unsigned found = 0;

	/* the last root= counts, as in the kernel */
	for (const char *s = cmdline; *s;) {
		size_t n = strcspn(s, " \t\r\n");

		if (n > 5 && !strncmp(s, "root=", 5)) {
			found = 0;
			for (unsigned i = 0; i < info->n_partitions; i++)
				if (is_root(&info->partitions[i], s + 5, n - 5))
					found = info->partitions[i].number;
		}
		s += n + strspn(s + n, " \t\r\n");
	}
	return found;
}

static void read_cmdline(const struct br_fat *fat, char *buf, size_t size)
{
	const struct br_fat_entry *e = fat ? br_fat_lookup(fat, "cmdline.txt") : NULL;
	size_t n = 0;

	for (size_t i = 0; e && i < e->n_spans; i++) {
		size_t k = e->spans[i].len < size - 1 - n ? e->spans[i].len : size - 1 - n;

		memcpy(buf + n, e->spans[i].data, k);
		n += k;
	}
	buf[n] = 0;
}

/* The partition that cmdline.txt names, else the largest ext4. */
static void choose_root(const struct br_fat *boot, struct br_image_info *info)
{
	char cmdline[4096];
	unsigned named;
	uint64_t size = 0;

	read_cmdline(boot, cmdline, sizeof(cmdline));
	named = br_inspect_root_of_cmdline(info, cmdline);
	for (unsigned i = 0; i < info->n_partitions; i++) {
		const struct br_partition *p = &info->partitions[i];

		if (named && p->number == named && !is_ext(p))
			br_inspect_note(info,
				"its root partition %u is %s, not ext4: boards get its boot files, but no network root", named,
				*p->fs ? p->fs : "of an unknown kind");
		if (is_ext(p) && (p->number == named || (p->size > size && !named))) {
			size = p->size;
			info->root = p->number;
		}
	}
}

static void look_into_root(struct br_image *image, struct br_image_info *info)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_fs *fs;
	int r = br_image_fs(image, &fs, &err);

	if (r < 0) {
		br_inspect_note(info, "its root partition cannot be read: %s", br_error_text(&err, r));
		return;
	}
	br_inspect_root(fs, info);
	fs->ops->close(fs);
}

int br_inspect(int fd, struct br_image_info *info, struct br_error *err)
{
	br_cleanup(br_freep) struct br_partitions *t = malloc(sizeof(*t));
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	const struct br_fat *boot;
	const char *words;
	int r = t ? br_partitions_read(fd, info->size, t, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r < 0)
		return r;
	memcpy(info->table, t->table, sizeof(info->table));
	memcpy(info->partitions, t->p, sizeof(t->p));
	info->n_partitions = t->n;
	r = choose_boot(fd, info, err);
	if (!r)
		r = try_boot(fd, info, info->boot, &image, err);
	if (r < 0)
		return r;
	boot = br_image_boot(image);
	take_boot_label(boot, info);
	choose_root(boot, info);
	if (!info->boot && !info->root)
		return br_error_set(err, ENOMEDIUM,
			"neither a FAT boot partition nor an ext4 root partition found among its %u partitions (%s): it is not an image of a Raspberry Pi's SD card",
			info->n_partitions, info->table);
	if (boot && br_fat_damaged(boot, &words))
		br_inspect_note(info, "its boot partition is damaged (%s)", words);
	if (boot)
		br_inspect_models(boot, info->models, sizeof(info->models));
	if (boot && !info->models[0])
		br_inspect_note(info, "no Raspberry Pi has its firmware and device tree in the boot partition");
	if (!boot)
		br_inspect_note(info, "it has no FAT boot partition: boards get no boot files from it");
	br_image_unref(br_take(image));
	if (!info->root)
		return 0;
	r = try_boot(fd, info, info->boot, &image, err); /* now with the root in it */
	if (!r)
		look_into_root(image, info);
	return r;
}
