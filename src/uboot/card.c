/* SPDX-License-Identifier: Apache-2.0 */
/* The recovery card. */
#include "uboot/card.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "uboot/legacy.h"
#include "uboot/stages.h"

#define MIB	   (1ull << 20)
#define FIRST	   (4 * MIB)   /* where partition 1 begins: what cards erase at once */
#define FIRST_SIZE (64 * MIB)
#define BOOT_SIZE  (512 * MIB) /* of today's images */
#define REST_MIN   (64 * MIB)
#define FILES_MAX  64
#define FILE_MAX   (32u << 20)

struct br_card {
	uint64_t size, boot_size;
	uint32_t disk_id;
	struct {
		char *name;
		struct br_span span;
	} files[FILES_MAX];
	size_t n_files;
	struct br_fatimage *fat;
	struct br_text notes;
};

BR_DEFINE_CLEANUP(struct br_card *, br_card_free);

/* What a model cannot start without. The first name of a device tree is what the firmware asks for, the others what kernels call it. */
static const struct model {
	const char *name;
	const char *firmware[4];
	const char *dtb[3];
} models[] = {
	{ "3b+", { "bootcode.bin", "start.elf", "fixup.dat" }, { "bcm2710-rpi-3-b-plus.dtb", "bcm2837-rpi-3-b-plus.dtb" } },
	{ "4", { "start4.elf", "fixup4.dat" }, { "bcm2711-rpi-4-b.dtb" } },
	{ "5", { NULL }, { "bcm2712-rpi-5-b.dtb" } },
};

static const char config[] =
	"# Recovery card of bramble: every board starts U-Boot, which asks the server what to do.\n"
	"arm_64bit=1\n"
	"enable_uart=1\n"
	"kernel=u-boot.bin\n"
	"disable_splash=1\n";
static const char mark[] =
	"This partition is bramble's recovery system. It is written once, when the card is made; images that are\n"
	"flashed lie behind it. U-Boot knows the card by this file.\n";

static bool has(const struct br_card *card, const char *name)
{
	for (size_t i = 0; i < card->n_files; i++)
		if (!strcasecmp(card->files[i].name, name))
			return true;
	return false;
}

/* Takes data over. */
static int add(struct br_card *card, const char *name, void *data, size_t len)
{
	char *copy = strdup(name);

	if (!copy || !data || card->n_files == FILES_MAX) {
		free(copy);
		free(data);
		return -ENOMEM;
	}
	card->files[card->n_files].name = copy;
	card->files[card->n_files++].span = (struct br_span){ data, len };
	return 0;
}

static int add_text(struct br_card *card, const char *name, const char *text)
{
	return add(card, name, strdup(text), strlen(text));
}

/* 1: there is none in any of the directories (NULL ends them). */
static int add_file(struct br_card *card, const char *const *dirs, const char *file, const char *as, struct br_error *err)
{
	if (has(card, as))
		return 0;
	for (; *dirs; dirs++) {
		br_cleanup(br_freep) char *path = br_path_join(*dirs, file);
		char *data;
		size_t len;
		int r = path ? br_file_read(path, FILE_MAX, &data, &len, err) : -ENOMEM;

		if (!r)
			return add(card, as, data, len);
		if (r != -ENOENT && r != -ENOTDIR)
			return r;
		*err = BR_ERROR_NULL;
	}
	return 1;
}

/* Where Debian's kernels for arm64 keep their device trees, the last of the glob; NULL: none is installed. */
static char *kernel_trees(void)
{
	glob_t g = { 0 };
	char *dir = NULL;

	if (!glob("/usr/lib/linux-image-*-arm64/broadcom", GLOB_ONLYDIR, NULL, &g) && g.gl_pathc)
		dir = strdup(g.gl_pathv[g.gl_pathc - 1]);
	globfree(&g);
	return dir;
}

static int missing(const struct model *m, const char *file, const char *cure, struct br_error *err)
{
	return br_error_set(err, ENOENT, "a Raspberry Pi %s needs %s, which was not found: %s", m->name, file, cure);
}

static int add_model(struct br_card *card, const struct model *m, const struct br_card_options *opt, struct br_error *err)
{
	static const char *const usual[] = { "/usr/lib/raspi-firmware", "/boot/firmware", NULL };
	br_cleanup(br_freep) char *trees = opt->dtb ? NULL : kernel_trees();
	const char *given[] = { opt->firmware, NULL };
	const char *const *firmware = opt->firmware ? given : usual;
	const char *dtb[] = { opt->dtb ?: opt->firmware ?: usual[0], opt->dtb ? NULL : opt->firmware ? trees : usual[1],
		opt->dtb || opt->firmware ? NULL : trees, NULL };
	int r = 1;

	for (size_t i = 0; i < BR_ARRAY_SIZE(m->firmware) && m->firmware[i]; i++) {
		r = add_file(card, firmware, m->firmware[i], m->firmware[i], err);
		if (r > 0)
			return missing(m, m->firmware[i], "install raspi-firmware, or name a directory with --firmware (a boot partition "
				"of Raspberry Pi OS has all of it)", err);
		if (r < 0)
			return r;
	}
	r = 1;
	for (size_t i = 0; r > 0 && i < BR_ARRAY_SIZE(m->dtb) && m->dtb[i]; i++)
		r = add_file(card, dtb, m->dtb[i], m->dtb[0], err);
	if (r > 0)
		return missing(m, m->dtb[0], "name a directory with --dtb (a boot partition of Raspberry Pi OS, or "
			"usr/lib/linux-image-.../broadcom of Debian's linux-image-arm64)", err);
	if (r == 0)
		br_text_addf(&card->notes, "Raspberry Pi %s\n", m->name);
	return r;
}

static bool wanted(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = list; *s; s += strcspn(s, ","), s += *s == ',')
		if (strcspn(s, ",") == n && !strncmp(s, name, n))
			return true;
	return false;
}

/* Every word of the list is a model: a card that lacks one that was asked for is found out at the board only. */
static int check_models(const char *list, struct br_error *err)
{
	for (const char *s = list;; s++) {
		size_t n = strcspn(s, ","), i = 0;
		char vis[80];

		while (i < BR_ARRAY_SIZE(models) && (strlen(models[i].name) != n || strncmp(s, models[i].name, n) != 0))
			i++;
		if (i == BR_ARRAY_SIZE(models))
			return br_error_set(err, EINVAL, "model '%s': 3b+, 4, 5, several with commas, or all", br_vis(vis, sizeof(vis), s, n));
		s += n;
		if (!*s)
			return 0;
	}
}

static int add_models(struct br_card *card, const struct br_card_options *opt, struct br_error *err)
{
	bool all = !strcmp(opt->models, "all");
	struct br_error first = BR_ERROR_NULL;
	size_t n = 0;
	int wrong = all ? 0 : check_models(opt->models, err);

	if (wrong < 0)
		return wrong;
	for (size_t i = 0; i < BR_ARRAY_SIZE(models); i++) {
		size_t before = card->n_files;
		int r;

		if (!all && !wanted(opt->models, models[i].name))
			continue;
		r = add_model(card, &models[i], opt, err);
		if (r < 0 && !(all && r == -ENOENT))
			return r;
		n += r == 0;
		if (r == 0)
			continue;
		while (card->n_files > before) {
			free(card->files[--card->n_files].name);
			free((void *)(uintptr_t)card->files[card->n_files].span.data);
		}
		br_text_addf(&card->notes, "left out: %s\n", err->text);
		first = first.code ? first : *err;
		*err = BR_ERROR_NULL;
	}
	if (n)
		return 0;
	*err = first;
	return -first.code;
}

static int add_own(struct br_card *card, const struct br_card_options *opt, struct br_error *err)
{
	const char *dirs[] = { opt->uboot ?: "/usr/lib/u-boot", NULL };
	uint8_t *script = NULL;
	size_t len = 0;
	int r = add_file(card, dirs, "rpi_arm64/u-boot.bin", "u-boot.bin", err);

	if (r > 0)
		return br_error_set(err, ENOENT, "%s/rpi_arm64/u-boot.bin: not found; install u-boot-rpi (an arm64 package: 'apt-get "
			"download u-boot-rpi:arm64' and 'dpkg-deb -x' give its files anywhere), or name its usr/lib/u-boot with --u-boot",
			dirs[0]);
	if (!r)
		r = br_uimage_pack_script("bramble stage 1", 0, opt->stage1, strlen(opt->stage1), &script, &len);
	if (!r)
		r = add(card, "boot.scr", script, len);
	if (!r)
		r = add_text(card, "config.txt", config);
	if (!r)
		r = add_text(card, BR_UBOOT_CARD_MARK, mark);
	return r;
}

static int make_fat(struct br_card *card, struct br_error *err)
{
	struct br_fatimage_entry entries[FILES_MAX];
	struct br_fatimage_options opt = { .label = "BRAMBLE", .volume_id = card->disk_id, .max_size = FIRST_SIZE };
	uint64_t sum = 0;

	for (size_t i = 0; i < card->n_files; i++) {
		entries[i] = (struct br_fatimage_entry){ card->files[i].name, &card->files[i].span, 1, card->files[i].span.len };
		sum += card->files[i].span.len;
	}
	/* near the whole partition, so that the file system is one of FAT32 whatever is on it */
	opt.spare = sum + 6 * MIB < FIRST_SIZE ? FIRST_SIZE - sum - 6 * MIB : 0;
	return br_fatimage_new(entries, card->n_files, &opt, &card->fat, err);
}

int br_card_new(const struct br_card_options *opt, struct br_card **ret, struct br_error *err)
{
	br_cleanup(br_card_freep) struct br_card *card = calloc(1, sizeof(*card));
	struct br_error own = BR_ERROR_NULL;
	int r;

	if (!card)
		return br_error_set(err, ENOMEM, "out of memory");
	card->size = opt->size & ~511ull;
	card->boot_size = opt->boot_size ? (opt->boot_size + FIRST - 1) & ~(FIRST - 1) : BOOT_SIZE;
	card->disk_id = opt->disk_id;
	if (card->size < FIRST + FIRST_SIZE + card->boot_size + REST_MIN)
		return br_error_set(err, ENOSPC, "a card of %llu MiB is too small: the recovery partition, one of %llu MiB to boot and one "
			"for a system need %llu MiB", (unsigned long long)(card->size / MIB), (unsigned long long)(card->boot_size / MIB),
			(unsigned long long)((FIRST + FIRST_SIZE + card->boot_size + REST_MIN) / MIB));
	r = add_models(card, opt, &own);
	if (r >= 0)
		r = add_own(card, opt, &own);
	if (r >= 0)
		r = make_fat(card, &own);
	if (r < 0) {
		if (err)
			*err = own;
		return own.code ? r : br_error_set(err, -r, "%s", strerrordesc_np(-r));
	}
	*ret = br_take(card);
	return 0;
}

void br_card_free(struct br_card *card)
{
	if (!card)
		return;
	br_fatimage_free(card->fat);
	for (size_t i = 0; i < card->n_files; i++) {
		free(card->files[i].name);
		free((void *)(uintptr_t)card->files[i].span.data);
	}
	br_text_done(&card->notes);
	free(card);
}

const char *br_card_notes(const struct br_card *card)
{
	return card->notes.buf ?: "";
}

static void put_entry(uint8_t *e, uint8_t flag, uint8_t type, uint64_t start, uint64_t size)
{
	e[0] = flag;
	memcpy(e + 1, "\xfe\xff\xff", 3); /* no cylinders: the sectors count */
	e[4] = type;
	memcpy(e + 5, "\xfe\xff\xff", 3);
	br_store_le32(e + 8, (uint32_t)(start / 512));
	br_store_le32(e + 12, (uint32_t)(size / 512 < UINT32_MAX ? size / 512 : UINT32_MAX));
}

static int write_parts(const struct br_card *card, int fd)
{
	uint64_t second = FIRST + FIRST_SIZE, third = second + card->boot_size, at = FIRST;
	uint8_t mbr[512] = { 0 }, zeros[4096] = { 0 };
	const struct br_span *spans;
	size_t n;
	int r = 0;

	spans = br_fatimage_spans(card->fat, &n);
	for (size_t i = 0; !r && i < n; at += spans[i++].len)
		r = br_pwrite_all(fd, spans[i].data, spans[i].len, at);
	if (!r)
		r = br_pwrite_all(fd, zeros, sizeof(zeros), second);
	if (!r)
		r = br_pwrite_all(fd, zeros, sizeof(zeros), third);
	br_store_le32(mbr + 440, card->disk_id);
	put_entry(mbr + 446, 0x80, 0x0c, FIRST, FIRST_SIZE); /* U-Boot looks on partitions with this flag */
	put_entry(mbr + 462, 0, 0x0c, second, card->boot_size);
	put_entry(mbr + 478, 0, 0x83, third, card->size - third);
	mbr[510] = 0x55;
	mbr[511] = 0xaa;
	if (!r)
		r = br_pwrite_all(fd, mbr, sizeof(mbr), 0);
	return r ? r : fsync(fd) < 0 ? -errno : 0;
}

int br_card_write(const struct br_card *card, int fd, struct br_error *err)
{
	int r = write_parts(card, fd);

	return r < 0 ? br_error_set(err, -r, "cannot write the card: %s", strerrordesc_np(-r)) : 0;
}
