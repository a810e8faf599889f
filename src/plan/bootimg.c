/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/bootimg.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "pi/configtxt.h"
#include "pi/rsakey.h"
#include "pi/sigfile.h"

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
	char *config;
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

/* As firmware wants it. The same files give the same bytes, at every boot and wherever they are put together. */
static int make(const struct br_fatimage_entry *entries, size_t n, struct br_fatimage **ret, struct br_error *err)
{
	struct br_fatimage_options opt = { .label = "BOOT", .spare = SPARE, .max_size = BR_BOOTIMG_MAX };
	uint8_t size[8];

	for (size_t i = 0; i < n; i++) {
		br_store_le64(size, entries[i].size);
		opt.volume_id = br_crc32c(opt.volume_id, entries[i].path, strlen(entries[i].path));
		opt.volume_id = br_crc32c(opt.volume_id, size, sizeof(size));
	}
	return br_fatimage_new(entries, n, &opt, ret, err);
}

/* What a plan's boot.img has inside: c->entries is the caller's to free, c->config, too. */
static int collect_all(const struct br_plan *plan, struct collecting *c, struct br_error *err)
{
	const struct br_pi_model *model = br_pi_model_by_id(br_plan_input(plan)->board.model);
	int r;

	*c = (struct collecting){ .soc = model ? model->soc : BR_SOC_UNKNOWN, .config = read_config(plan) };
	r = br_plan_bootfiles(plan, collect, c);
	return r < 0 ? br_error_set(err, -r, "boot.img: %s", strerror(-r)) : 0;
}

int br_bootimg_new(const struct br_plan *plan, struct br_fatimage **ret, struct br_error *err)
{
	struct collecting c;
	int r = collect_all(plan, &c, err);

	if (!r)
		r = make(c.entries, c.n, ret, err);
	free(c.entries);
	free(c.config);
	return r;
}

int br_bootimg_plan_missing(const struct br_plan *plan, struct br_text *words, struct br_error *err)
{
	const struct br_pi_model *model = br_pi_model_by_id(br_plan_input(plan)->board.model);
	struct collecting c;
	int r = collect_all(plan, &c, err);

	if (!r && model)
		r = (int)br_bootimg_missing(model->soc, model, c.entries, c.n, c.config, words);
	free(c.entries);
	free(c.config);
	return r;
}

int br_bootimg_check_sig(const struct br_bootfile *img, const struct br_span *sig, struct br_error *err)
{
	struct br_sha256 *h = br_sha256_new();
	uint64_t left = img->size;
	struct br_sigfile is;
	uint8_t sum[32];
	int r;

	if (!h)
		return br_error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < img->n_spans && left; i++) { /* of the last span only what belongs to the file */
		size_t len = img->spans[i].len < left ? img->spans[i].len : (size_t)left;

		br_sha256_add(h, img->spans[i].data, len);
		left -= len;
	}
	br_sha256_end(h, sum);
	r = br_sigfile_parse((const char *)sig->data, sig->len, &is, err);
	if (r < 0)
		return r;
	if (memcmp(sum, is.sha256, sizeof(sum)) != 0)
		return br_error_set(err, EBADMSG, "it is of another boot.img than the one that the board gets");
	return 0;
}

int br_bootimg_sign(const struct br_bootfile *img, const char *key_file, char **ret, struct br_error *err)
{
	const struct br_rsakey_options opt = { .key = key_file };
	struct iovec *parts = calloc(img->n_spans + 1, sizeof(*parts));
	struct br_sigfile sig = { .has_ts = true };
	struct br_rsakey *key = NULL;
	struct br_text text = BR_TEXT_NULL;
	uint64_t left = img->size;
	size_t n = 0;
	int r = parts ? br_sigfile_time(&sig.ts, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r)
		r = br_rsakey_open(&opt, &key, err);
	for (; !r && n < img->n_spans && left; n++) { /* of the last span only what belongs to the file */
		size_t len = img->spans[n].len < left ? img->spans[n].len : (size_t)left;

		parts[n] = (struct iovec){ (void *)(uintptr_t)img->spans[n].data, len };
		left -= len;
	}
	if (!r)
		r = br_rsakey_sign_file(key, parts, n, &sig, err);
	br_rsakey_free(key);
	free(parts);
	if (r < 0)
		return r;
	br_sigfile_write(&sig, &text);
	*ret = br_text_take(&text);
	return *ret ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

int br_bootimg_pack(const struct br_fatimage_entry *entries, size_t n, struct br_fatimage **ret, struct br_error *err)
{
	return make(entries, n, ret, err);
}

/* ---- what is missing ---- */

struct inside {
	const struct br_fatimage_entry *entries;
	size_t n;
	const char *os_prefix;
};

static bool has(const struct inside *in, const char *name)
{
	char path[2 * BR_PI_CONFIG_NAME];

	snprintf(path, sizeof(path), "%s%s", in->os_prefix, name);
	for (size_t i = 0; i < in->n; i++)
		if (!fnmatch(path, in->entries[i].path, FNM_CASEFOLD | FNM_PATHNAME))
			return true;
	return false;
}

/* The first of the names, which end with NULL, that is there. */
static bool has_any(const struct inside *in, const char *const *names)
{
	for (; *names; names++)
		if (has(in, *names))
			return true;
	return false;
}

/* What each processor loads unless config.txt names another file (wire notes 2.3). */
static const struct needs {
	const char *start, *fixup, *kernels[4], *dtb;
} needs[] = {
	[BR_SOC_BCM2835] = { "start.elf", "fixup.dat", { "kernel.img" }, "bcm2708-*.dtb" },
	[BR_SOC_BCM2836] = { "start.elf", "fixup.dat", { "kernel7.img" }, "bcm2709-*.dtb" },
	[BR_SOC_BCM2837] = { "start.elf", "fixup.dat", { "kernel8.img", "kernel7.img" }, "bcm2710-*.dtb" },
	[BR_SOC_BCM2711] = { "start4.elf", "fixup4.dat", { "kernel8.img", "kernel7l.img" }, "bcm2711-*.dtb" },
	[BR_SOC_BCM2712] = { NULL, NULL, { "kernel_2712.img", "kernel8.img" }, "bcm2712*.dtb" },
};

static size_t lacks(struct br_text *words, const char *name, const char *why)
{
	br_text_addf(words, "%s is missing: %s.\n", name, why);
	return 1;
}

static size_t firmware_missing(const struct inside *whole, const struct needs *want, const struct br_pi_config *c, struct br_text *words)
{
	const char *start = *c->start_file ? c->start_file : want->start, *fixup = *c->fixup_file ? c->fixup_file : want->fixup;
	bool variant = c->start_x || c->start_debug || c->gpu_mem == 16; /* start4x.elf and the like: not judged */
	size_t n = 0;

	if (!want->start || variant)
		return 0;
	if (!has(whole, start))
		n += lacks(words, start, "the bootloader starts this firmware");
	if (!has(whole, fixup))
		n += lacks(words, fixup, "the firmware would not use the board's whole memory");
	return n;
}

size_t br_bootimg_missing(enum br_soc soc, const struct br_pi_model *model, const struct br_fatimage_entry *entries, size_t n,
	const char *config, struct br_text *words)
{
	const struct needs *want = (size_t)soc < BR_ARRAY_SIZE(needs) ? &needs[soc] : NULL;
	const char *filters[BR_PI_FILTERS_MAX] = { NULL };
	const struct br_pi_config_reader who = { .filters = filters, .revision = model ? br_pi_model_revision(model) : 0, .includes = true };
	const struct br_pi_config_file file = { "config.txt", config, config ? strlen(config) : 0 };
	struct br_pi_config *c = calloc(1, sizeof(*c));
	struct inside whole = { entries, n, "" }, system = { entries, n, "" };
	size_t count = 0;

	if (!want || !want->dtb || !c) {
		free(c);
		return 0;
	}
	br_pi_config_filters(model, filters);
	br_pi_config_parse(&who, &file, 1, c);
	system.os_prefix = c->os_prefix;
	if (!has(&whole, "config.txt"))
		count += lacks(words, "config.txt", "without it the bootloader takes no boot.img");
	count += firmware_missing(&whole, want, c, words);
	if (*c->kernel ? !has(&system, c->kernel) : !has_any(&system, want->kernels))
		count += lacks(words, *c->kernel ? c->kernel : want->kernels[0], "there is no kernel to start");
	if (c->has_device_tree ? *c->device_tree && !has(&system, c->device_tree)
			       : !has(&system, model && model->dtb ? model->dtb : want->dtb))
		count += lacks(words, c->has_device_tree ? c->device_tree : model && model->dtb ? model->dtb : want->dtb,
			"Linux does not start without the device tree of the board");
	free(c);
	return count;
}
