/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/bootimg.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"

#define SPARE 16384 /* as rpi-make-boot-image leaves */

#define OLD (1u << BR_SOC_BCM2835 | 1u << BR_SOC_BCM2836 | 1u << BR_SOC_BCM2837)
#define PI4 (1u << BR_SOC_BCM2711)
#define PI5 (1u << BR_SOC_BCM2712)

/* Names of files that only some processors ask for (wire notes 2.3), the first match decides. */
static const struct {
	const char *pattern; /* of the whole path, without case */
	unsigned socs;
} rules[] = {
	{ "bootcode.bin", OLD },
	{ "start4*.elf", PI4 },
	{ "fixup4*.dat", PI4 },
	{ "start*.elf", OLD },
	{ "fixup*.dat", OLD },
	{ "kernel.img", 1u << BR_SOC_BCM2835 },
	{ "kernel7.img", 1u << BR_SOC_BCM2836 | 1u << BR_SOC_BCM2837 },
	{ "kernel7l.img", PI4 },
	{ "kernel_2712.img", PI5 },
	{ "initramfs", 1u << BR_SOC_BCM2835 },
	{ "initramfs7", 1u << BR_SOC_BCM2836 | 1u << BR_SOC_BCM2837 },
	{ "initramfs7l", PI4 },
	{ "initramfs_2712", PI5 },
	{ "bcm2708-*.dtb", OLD },
	{ "bcm2709-*.dtb", OLD },
	{ "bcm2710-*.dtb", OLD },
	{ "bcm283?-*.dtb", OLD },
	{ "bcm2711-*.dtb", PI4 },
	{ "bcm2712*-*.dtb", PI5 },
	{ "boot.img", 0 }, /* what it comes in */
	{ "boot.sig", 0 },
	{ "tryboot.img", 0 },
	{ "tryboot.sig", 0 },
};

/* Whether a name is a word of config.txt: "kernel=kernel.img" names kernel.img, "kernel7.img" does not name it. */
static bool names(const char *config, const char *name)
{
	size_t n = strlen(name);
	const char *s = config;

	while (s && (s = strcasestr(s, name))) {
		bool begins = s == config || strchr("= \t,/\n", s[-1]);
		bool ends = !s[n] || isspace((unsigned char)s[n]) || s[n] == ',' || s[n] == ';';

		if (begins && ends)
			return true;
		s++;
	}
	return false;
}

bool br_bootimg_needs(enum br_soc soc, const char *path, const char *config)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(rules); i++) {
		if (fnmatch(rules[i].pattern, path, FNM_CASEFOLD | FNM_PATHNAME))
			continue;
		if (!rules[i].socs)
			return false;
		return soc == BR_SOC_UNKNOWN || rules[i].socs & 1u << soc || names(config, path);
	}
	return true;
}

struct collecting {
	struct br_fatimage_entry *entries;
	size_t n, cap;
	enum br_soc soc;
	const char *config;
};

static int collect(void *ctx, const char *path, const struct br_bootfile *file)
{
	struct collecting *c = ctx;

	if (!br_bootimg_needs(c->soc, path, c->config))
		return 0;
	if (br_array_reserve(&c->entries, &c->cap, c->n + 1, sizeof(*c->entries)) < 0)
		return -ENOMEM;
	c->entries[c->n++] = (struct br_fatimage_entry){ path, file->spans, file->n_spans, file->size };
	return 0;
}

/* config.txt as text; NULL when there is none (or no memory: then nothing counts as named in it). */
static char *read_config(const struct br_plan *plan)
{
	char path[BR_BOOT_PATH_MAX];
	struct br_text t = BR_TEXT_NULL;
	struct br_bootfile file;

	if (br_plan_bootfile(plan, "config.txt", &file, path) < 0 || file.size > 1 << 20)
		return NULL;
	for (size_t i = 0; i < file.n_spans; i++)
		br_text_add_bytes(&t, file.spans[i].data, file.spans[i].len);
	return br_text_take(&t);
}

int br_bootimg_new(const struct br_plan *plan, struct br_fatimage **ret, struct br_error *err)
{
	const struct br_plan_input *in = br_plan_input(plan);
	const struct br_pi_model *model = br_pi_model_by_id(in->board.model);
	br_cleanup(br_freep) char *config = read_config(plan);
	struct collecting c = { .soc = model ? model->soc : BR_SOC_UNKNOWN, .config = config };
	struct br_fatimage_options opt = {
		.label = "BOOT",
		.volume_id = (uint32_t)in->board.id * 2654435761u ^ (uint32_t)in->boot,
		.spare = SPARE,
		.max_size = BR_BOOTIMG_MAX,
	};
	int r = br_plan_bootfiles(plan, collect, &c);

	if (!r)
		r = br_fatimage_new(c.entries, c.n, &opt, ret, err);
	else
		br_error_set(err, -r, "boot.img: %s", strerror(-r));
	free(c.entries);
	return r;
}
