/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/ubootkernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "plan/base.h"

static const struct br_fat *boot_of(const struct br_uboot_context *ctx)
{
	return br_image_boot(br_plan_base_image(ctx->in->base));
}

static bool is_there(const struct br_uboot_context *ctx, const char *path)
{
	const struct br_fat_entry *e = br_fat_lookup(boot_of(ctx), path);

	return br_override_find(ctx->overrides, path) || (e && !e->is_dir);
}

/* A text of the boot partition: an override, else the image's. *own: to be freed. false: there is none, or it is no text. */
static bool read_text(const struct br_uboot_context *ctx, const char *path, bool overrides, struct br_pi_config_file *ret,
	char **own)
{
	const struct br_override *o = overrides ? br_override_find(ctx->overrides, path) : NULL;
	const struct br_fat_entry *e = o ? NULL : br_fat_lookup(boot_of(ctx), path);
	struct br_text t = BR_TEXT_NULL;

	if (o)
		br_text_add_bytes(&t, o->span.data, o->span.len);
	else if (e && !e->is_dir && e->size <= 64 << 10)
		for (size_t i = 0; i < e->n_spans; i++)
			br_text_add_bytes(&t, e->spans[i].data, e->spans[i].len);
	else
		return false;
	ret->len = t.len;
	ret->text = *own = br_text_take(&t);
	return *own != NULL;
}

/* config.txt with what it includes. */
static void read_config(const struct br_uboot_context *ctx, bool overrides, struct br_pi_config *ret)
{
	const struct br_plan_base *base = ctx->in->base;
	const struct br_pi_model *model = br_pi_model_by_id(ctx->in->board.model);
	const char *filters[BR_PI_FILTERS_MAX];
	const struct br_pi_config_reader who = { filters, (uint32_t)ctx->in->board.serial, ctx->in->board.revision, true };
	struct br_pi_config_file files[1 + BR_PI_CONFIG_INCLUDES] = { { .name = "config.txt" } };
	char names[1 + BR_PI_CONFIG_INCLUDES][BR_PI_CONFIG_NAME];
	char *own[1 + BR_PI_CONFIG_INCLUDES] = { NULL };
	size_t n = 1;

	br_pi_config_filters(model, filters);
	if (base->config && !(overrides && br_override_find(ctx->overrides, "config.txt"))) {
		files[0].text = base->config;
		files[0].len = strlen(base->config);
	} else if (!read_text(ctx, "config.txt", overrides, &files[0], &own[0])) {
		files[0].text = "";
	}
	br_pi_config_parse(&who, files, n, ret);
	while (ret->n_missing && n < BR_ARRAY_SIZE(files)) {
		memcpy(names[n], ret->missing[0], sizeof(names[n]));
		files[n] = (struct br_pi_config_file){ .name = names[n] };
		read_text(ctx, names[n], overrides, &files[n], &own[n]);
		n++;
		br_pi_config_parse(&who, files, n, ret);
	}
	for (size_t i = 0; i < n; i++)
		free(own[i]);
}

/* A kernel's initramfs files that are there: those config.txt names, else the one that goes with its name. */
static void take_initramfs(const struct br_uboot_context *ctx, const char *kernel,
	char out[BR_UBOOT_INITRAMFS_MAX][2 * BR_PI_CONFIG_NAME], struct br_uboot_names *names, struct br_uboot_kernel *k)
{
	const struct br_pi_config *c = &names->config;
	char name[BR_PI_CONFIG_NAME];
	size_t n = 0;

	for (size_t i = 0; i < c->n_initramfs && n < BR_UBOOT_INITRAMFS_MAX; i++) {
		snprintf(out[n], sizeof(out[n]), "%s%s", c->os_prefix, c->initramfs[i]);
		if (!is_there(ctx, out[n]))
			snprintf(out[n], sizeof(out[n]), "%s", c->initramfs[i]);
		if (is_there(ctx, out[n]))
			k->initramfs[n] = out[n], n++;
	}
	if (c->n_initramfs || !c->auto_initramfs)
		return;
	br_pi_initramfs_name(kernel, name);
	snprintf(out[0], sizeof(out[0]), "%s%s", c->os_prefix, name);
	if (name[0] && is_there(ctx, out[0]))
		k->initramfs[0] = out[0];
}

static bool take_kernel(const struct br_uboot_context *ctx, const char *kernel, int slot, struct br_uboot_names *names,
	struct br_uboot_kernel *k)
{
	snprintf(names->kernel[slot], sizeof(names->kernel[slot]), "%s%s", names->config.os_prefix, kernel);
	if (!is_there(ctx, names->kernel[slot]))
		return false;
	k->kernel = names->kernel[slot];
	take_initramfs(ctx, kernel, names->initramfs[slot], names, k);
	return true;
}

static bool is_for_32_bit(const struct br_pi_config *c)
{
	return c->arm_64bit == 0 || br_str_starts(c->kernel, "kernel7") || !strcmp(c->kernel, "kernel.img");
}

static bool is_uboot(const char *kernel)
{
	return !strncasecmp(kernel, "u-boot", 6) || !strncasecmp(kernel, "uboot", 5);
}

/* In the firmware's order (wire notes 2.3). */
static const struct {
	const char *name;
	unsigned socs; /* 0: all */
	bool is_32_bit;
} defaults[] = {
	{ "kernel_2712.img", 1u << BR_SOC_BCM2712, false },
	{ "kernel8.img", 0, false },
	{ "kernel7l.img", 1u << BR_SOC_BCM2711, true },
	{ "kernel7.img", 0, true },
	{ "kernel.img", 0, true },
};

int br_uboot_find_kernels(const struct br_uboot_context *ctx, struct br_uboot_names *ret)
{
	const struct br_pi_model *model = br_pi_model_by_id(ctx->in->board.model);
	unsigned soc = 1u << (model ? model->soc : BR_SOC_UNKNOWN);

	memset(ret, 0, sizeof(*ret));
	read_config(ctx, true, &ret->config);
	if (is_uboot(ret->config.kernel)) /* that is how it came to us; what it is to boot is what the image says */
		read_config(ctx, false, &ret->config);
	if (ret->config.kernel[0] && !is_uboot(ret->config.kernel)) {
		bool is_32 = is_for_32_bit(&ret->config);

		take_kernel(ctx, ret->config.kernel, is_32, ret, is_32 ? &ret->arm : &ret->arm64);
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(defaults); i++) {
		struct br_uboot_kernel *k = defaults[i].is_32_bit ? &ret->arm : &ret->arm64;

		if (!k->kernel && (!defaults[i].socs || defaults[i].socs & soc))
			take_kernel(ctx, defaults[i].name, defaults[i].is_32_bit, ret, k);
	}
	return 0;
}
